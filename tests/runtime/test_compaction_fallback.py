"""Compaction by upstreams that speak Responses and have none of their own; and what never reaches any upstream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ccx.protocols.compaction import INSTRUCTION, OPENED
from ccx.protocols.ir import Native
from ccx.protocols.names import Protocol
from ccx.protocols.residue import MARK, seal
from tests.faults import Action, FaultUpstream, Received, Reply, Respond
from tests.gateway import Running, running
from tests.runtime.test_compaction import HISTORY, NATIVE, NATIVELY, TOOLS

SPEC = """
version: ccx/v1
channels:
  up: {{protocol: responses, base_url: "{url}", keys: none}}
"""
COMPACT = "/v1/responses/compact"
MISSING = b'{"error":{"message":"Not Found","type":"invalid_request_error","param":null,"code":null}}'
SEALED = seal((Native(Protocol.GEMINI, "gemini", {"thoughtSignature": "U0lH"}),))
REASONED: list[dict[str, Any]] = [
    HISTORY[1],
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done.", "annotations": []}]},
]


def answer(text: str) -> Reply:
    body = {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "up",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16},
    }
    return Reply(200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def lacking(status: int, then: Action) -> Respond:
    """An upstream without the endpoint, that answers everything else."""
    missing = Reply(status, headers={"content-type": "application/json"}, body=MISSING)
    return Respond(lambda request: missing if request.target.endswith("/compact") else then)


def targets(up: FaultUpstream) -> list[str]:
    return [request.target for request in up.requests]


async def compact(gw: Running, **more: Any) -> dict[str, Any]:
    found = await gw.client.post(COMPACT, json={"model": "m", "input": HISTORY, **more})
    assert found.status_code == 200, found.text
    result: dict[str, Any] = found.json()
    return result


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_the_same_target_summarises(status: int, tmp_path: Path) -> None:
    async with (
        FaultUpstream([lacking(status, answer("All is fixed."))]) as up,
        running(SPEC.format(url=up.url), tmp_path) as gw,
    ):
        found = await compact(gw, instructions="Be odd.", tools=TOOLS, previous_response_id="resp_theirs")
        assert targets(up) == [COMPACT, "/v1/responses"]
        assert found["object"] == "response.compaction"
        assert [item["type"] for item in found["output"]] == ["message", "compaction"]
        assert found["output"][0]["content"] == HISTORY[1]["content"]
        assert found["usage"]["total_tokens"] == 16
        sent = json.loads(up.requests[1].body)
        assert sent["input"][-1]["content"] in (INSTRUCTION, [{"type": "input_text", "text": INSTRUCTION}])
        assert len(sent["input"]) == len(HISTORY) + 1
        # It knows the response that it made itself; and nobody shall come back to the summary.
        assert (sent["previous_response_id"], sent["store"]) == ("resp_theirs", False)
        assert (sent["instructions"], sent["tool_choice"], sent["model"]) == ("Be odd.", "none", "m")
        assert [tool["name"] for tool in sent["tools"]] == ["shell"]
        exchange = await gw.exchange()
        assert [(one.outcome, one.status) for one in exchange.attempts][1:] == [("ok", 200)]
        assert exchange.attempts[0].status == status
        assert (exchange.status, exchange.error_kind, exchange.output_tokens) == (200, None, 5)
        again = await gw.client.post("/v1/responses", json={"model": "m", "input": found["output"]})
        assert again.status_code == 200
        assert OPENED + "All is fixed." in json.dumps(json.loads(up.requests[-1].body), ensure_ascii=False).replace(
            "\\n", "\n"
        )


async def test_what_it_lacks_is_remembered_as_long_as_the_table(tmp_path: Path) -> None:
    async with (
        FaultUpstream([lacking(404, answer("All is fixed."))]) as up,
        running(SPEC.format(url=up.url), tmp_path) as gw,
    ):
        await compact(gw)
        await compact(gw)
        assert targets(up) == [COMPACT, "/v1/responses", "/v1/responses"]
        gw.rewrite(SPEC.format(url=up.url) + "routes: [{name: new, to: [up]}]\n")
        assert await gw.reconciler.reconcile("test") == "applied"
        await compact(gw)
        assert targets(up)[3:] == [COMPACT, "/v1/responses"]


async def test_a_summary_that_fails_too_proves_nothing(tmp_path: Path) -> None:
    """A 404 may be one of the model: then the next request asks the endpoint again."""
    missing = Reply(404, headers={"content-type": "application/json"}, body=MISSING)
    async with FaultUpstream([missing]) as up, running(SPEC.format(url=up.url), tmp_path) as gw:
        for _ in range(2):
            found = await gw.client.post(COMPACT, json={"model": "m", "input": HISTORY})
            assert found.status_code == 404
            assert found.json()["error"]["message"] == "Not Found"
        assert targets(up) == [COMPACT, "/v1/responses"] * 2


@pytest.mark.parametrize("status", [400, 403, 413])
async def test_other_refusals_stand(status: int, tmp_path: Path) -> None:
    refusal = Reply(status, headers={"content-type": "application/json"}, body=MISSING)
    async with FaultUpstream([refusal]) as up, running(SPEC.format(url=up.url), tmp_path) as gw:
        found = await gw.client.post(COMPACT, json={"model": "m", "input": HISTORY})
        assert found.status_code == status
        assert targets(up) == [COMPACT]


async def test_a_plain_answer_that_is_missing_is_not_summarised(tmp_path: Path) -> None:
    missing = Reply(404, headers={"content-type": "application/json"}, body=MISSING)
    async with FaultUpstream([missing]) as up, running(SPEC.format(url=up.url), tmp_path) as gw:
        assert (await gw.client.post("/v1/responses", json={"model": "m", "input": "a"})).status_code == 404
        assert targets(up) == ["/v1/responses"]


async def test_no_sealed_text_reaches_an_upstream(tmp_path: Path) -> None:
    async with FaultUpstream([NATIVELY]) as up, running(SPEC.format(url=up.url), tmp_path) as gw:
        found = await gw.client.post(COMPACT, json={"model": "m", "input": REASONED, "prompt_cache_key": "k"})
        assert found.content == NATIVE
        assert MARK.encode() not in up.requests[0].body
        sent = json.loads(up.requests[0].body)
        assert sent.keys() == {"model", "input", "prompt_cache_key"}
        assert [item["type"] for item in sent["input"] if item["type"] == "message"] == ["message", "message"]
        assert "signature" in (await gw.exchange()).losses


async def test_nor_where_the_target_summarises(tmp_path: Path) -> None:
    async with (
        FaultUpstream([lacking(404, answer("All is fixed."))]) as up,
        running(SPEC.format(url=up.url), tmp_path) as gw,
    ):
        await compact(gw, input=REASONED)
        assert targets(up) == [COMPACT, "/v1/responses"]
        assert all(MARK.encode() not in request.body for request in up.requests)


def counted(request: Received) -> Reply:
    body = b'{"input_tokens": 1000, "totalTokens": 1000}'
    return Reply(200, headers={"content-type": "application/json"}, body=body)


@pytest.mark.parametrize(
    ("protocol", "path", "body"),
    [
        ("responses", "/v1/responses/input_tokens", {"model": "m", "input": REASONED}),
        (
            "messages",
            "/v1/messages/count_tokens",
            {
                "model": "m",
                "messages": [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": SEALED}]},
                    {"role": "user", "content": "On."},
                ],
            },
        ),
        (
            "gemini",
            "/v1beta/models/m:countTokens",
            {"contents": [{"role": "model", "parts": [{"text": "Hm.", "thought": True, "thoughtSignature": SEALED}]}]},
        ),
    ],
)
async def test_what_it_cannot_read_is_counted_here(protocol: str, path: str, body: Any, tmp_path: Path) -> None:
    provider = {"responses": "openai", "messages": "anthropic", "gemini": "google"}[protocol]
    async with FaultUpstream([Respond(counted)]) as up:
        spec = f"""
        version: ccx/v1
        channels:
          up: {{provider: {provider}, protocol: {protocol}, base_url: {up.url}, keys: none}}
        """
        async with running(spec, tmp_path) as gw:
            found = await gw.client.post(path, json=json.loads(json.dumps(body).replace(SEALED, "theirs")))
            assert 1000 in found.json().values()
            assert len(up.requests) == 1
            found = await gw.client.post(path, json=body)
            assert found.status_code == 200
            assert 1000 not in found.json().values()
            assert len(up.requests) == 1
