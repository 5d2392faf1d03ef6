"""Losses are named where they can be seen, and a route may refuse them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conversion.clients import raw
from tests.gateway import Running

pytestmark = pytest.mark.asyncio(loop_scope="session")

both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def body(stream: bool, **more: Any) -> dict[str, Any]:
    return {**raw("messages", stream=stream)[1], **more}


@both
async def test_a_loss_is_in_the_header_and_in_the_exchange(gateway: Running, stream: bool) -> None:
    answer = await gateway.client.post("/v1/messages", json=body(stream, top_k=5), headers={"x-to": "chat"})
    assert answer.status_code == 200
    assert answer.headers["x-ccx-losses"] == "top_k"
    exchange = await gateway.exchange()
    assert exchange.losses == ("top_k",)


@both
async def test_no_loss_no_header(gateway: Running, stream: bool) -> None:
    answer = await gateway.client.post("/v1/messages", json=body(stream), headers={"x-to": "responses"})
    assert answer.status_code == 200
    assert "x-ccx-losses" not in answer.headers


@both
async def test_a_target_that_would_drop_something_is_skipped(gateway: Running, stream: bool) -> None:
    answer = await gateway.client.post("/v1/messages", json=body(stream, top_k=5), headers={"x-to": "strict-chat"})
    assert answer.status_code == 200
    assert answer.headers["x-ccx-attempts"] == "messages:200"
    assert "x-ccx-losses" not in answer.headers
    answer = await gateway.client.post("/v1/messages", json=body(stream, top_k=5), headers={"x-to": "strict-alone"})
    assert answer.headers["x-ccx-attempts"] == "gemini:200"


async def test_a_target_that_says_it_in_another_way_is_used(gateway: Running) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    asked = body(False, thinking=thinking, max_tokens=4096)
    answer = await gateway.client.post("/v1/messages", json=asked, headers={"x-to": "strict-chat"})
    assert answer.headers["x-ccx-attempts"] == "chat:200"
    assert answer.headers["x-ccx-losses"] == "budget"


async def test_when_every_target_would_drop_something_the_client_is_told(gateway: Running) -> None:
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    answer = await gateway.client.post(
        "/v1/messages", json=body(False, system=system), headers={"x-to": "strict-alone"}
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"] == (
        "Route 'strict-alone' allows no loss, and chat would lose cache_control; gemini would lose cache_control; "
        "responses would lose cache_control."
    )
    assert (await gateway.exchange()).attempts == ()


@pytest.mark.parametrize("name", ["messages", "chat", "responses", "gemini"])
@pytest.mark.parametrize("to", ["messages", "chat", "responses", "gemini"])
async def test_a_request_without_meaning_is_the_clients_fault(gateway: Running, name: str, to: str) -> None:
    """In its own protocol's shape, before any upstream is asked; a request that is passed on is the upstream's."""
    target, asked = raw(name, stream=False)
    field = {"messages": "messages", "chat": "messages", "responses": "input", "gemini": "contents"}[name]
    answer = await gateway.client.post(target, json={**asked, field: 7}, headers={"x-to": to})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"]
    if name == "gemini":
        assert error["status"] == "INVALID_ARGUMENT"
    elif name != to:
        assert field in error["message"]
    exchange = await gateway.exchange()
    assert len(exchange.attempts) == (1 if name == to else 0)
