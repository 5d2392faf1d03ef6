"""Each client's own SDK in front of each protocol of an upstream: what it asks for is there, typed and whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conversion.clients import ARGUMENTS, BROKEN, Answer, Client, Wish, raw
from tests.gateway import Running

pytestmark = [pytest.mark.sdk, pytest.mark.asyncio(loop_scope="session")]

PROTOCOLS = ("messages", "chat", "responses", "gemini")
FINISHED = {"messages": "end_turn", "chat": "stop", "responses": "completed", "gemini": "STOP"}
CALLED = {"messages": "tool_use", "chat": "tool_calls", "responses": "completed", "gemini": "STOP"}

clients = pytest.mark.parametrize("name", PROTOCOLS)
upstreams = pytest.mark.parametrize("upstream", PROTOCOLS, ids=[f"to-{protocol}" for protocol in PROTOCOLS])
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def wish(upstream: str, stream: bool, **kwargs: Any) -> Wish:
    return Wish(stream=stream, headers={"x-to": upstream}, **kwargs)


async def noted(gateway: Running, answer: Answer, name: str, upstream: str, *, count: int = 1) -> tuple[str, ...]:
    """The losses, after the exchange has been checked against the answer."""
    exchange = await gateway.exchange(count)
    assert (exchange.protocol, exchange.status) == (name, 200)
    assert exchange.attempts[-1].protocol == upstream
    assert exchange.input_tokens == answer.input_tokens > 0
    assert exchange.output_tokens == answer.output_tokens > 0
    return exchange.losses


@both
@upstreams
@clients
async def test_text(sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool) -> None:
    sdk = sdks[name]
    answer = await sdk.ask(sdk.said("hello there"), wish(upstream, stream))
    assert '"hello there"' in answer.text
    assert answer.text.startswith("This is the ccx demo upstream")
    assert (answer.finish, answer.calls, answer.thoughts) == (FINISHED[name], (), "")
    assert answer.model == "demo"
    if stream:
        assert answer.pieces > 5
    assert await noted(gateway, answer, name, upstream) == ()


@both
@upstreams
@clients
async def test_parallel_calls(
    sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool
) -> None:
    sdk = sdks[name]
    answer = await sdk.ask(sdk.said("call weather and clock"), wish(upstream, stream, tools=True))
    assert [(call.name, call.arguments) for call in answer.calls] == [("weather", ARGUMENTS), ("clock", {})]
    if name != upstream or name != "gemini":
        assert len({call.id for call in answer.calls}) == 2
    assert answer.finish == CALLED[name]
    losses = await noted(gateway, answer, name, upstream)
    # OpenAI's functions may be strict, and Gemini's cannot.
    assert set(losses) <= {"strict"}


@both
@upstreams
@clients
async def test_tool_loop(sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool) -> None:
    sdk = sdks[name]
    asked = wish(upstream, stream, tools=True, think=name != "gemini" or upstream != "messages")
    talk = sdk.said("call weather")
    for turn in range(3):
        answer = await sdk.ask(talk, asked)
        assert [call.name for call in answer.calls] == ["weather"]
        talk = [*talk, *answer.own, *sdk.results(answer.calls, [f"result {turn}"])]
        told = await sdk.ask(talk, asked)
        assert f"result {turn}" in told.text
        assert not told.calls
        talk = [*talk, *told.own, *sdk.said("now call the weather again")]
    assert len(gateway.exchanges) == 6


@both
@upstreams
@clients
async def test_thinking(sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool) -> None:
    sdk = sdks[name]
    answer = await sdk.ask(sdk.said("hello there"), wish(upstream, stream, think=True))
    assert '"hello there"' in answer.text
    assert "newest of" in answer.thoughts
    losses = await noted(gateway, answer, name, upstream)
    # Budgets and efforts are told in one another's terms, and thoughts may be shown as a summary; nothing is left out.
    assert set(losses) <= {"budget", "effort", "reasoning"}
    again = await sdk.ask(
        [*sdk.said("hello there"), *answer.own, *sdk.said("why?")], wish(upstream, stream, think=True)
    )
    assert '"why?"' in again.text


@both
@upstreams
@clients
async def test_image(sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool) -> None:
    sdk = sdks[name]
    answer = await sdk.ask(sdk.said("what is this", image=True), wish(upstream, stream))
    assert '"what is this"' in answer.text
    assert await noted(gateway, answer, name, upstream) == ()


@both
@upstreams
@clients
async def test_structured_output(
    sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool
) -> None:
    sdk = sdks[name]
    answer = await sdk.ask(sdk.said("hello there"), wish(upstream, stream, schema=True))
    losses = await noted(gateway, answer, name, upstream)
    assert json.loads(answer.text) == ARGUMENTS
    assert answer.finish == FINISHED[name]
    assert set(losses) <= {"strict"}


@both
@upstreams
@clients
@pytest.mark.parametrize("failure", ["demo-fail-400", "demo-fail-429", "demo-overloaded", "demo-context-window"])
async def test_errors(
    sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool, failure: str
) -> None:
    """The upstream's status, in words of its own, in the shape of the client's protocol."""
    sdk = sdks[name]
    with pytest.raises(sdk.failed, match=r"as asked") as caught:
        await sdk.ask(sdk.said(failure), wish(upstream, stream))
    status = sdk.status(caught.value)
    exchange = await gateway.exchange()
    assert exchange.status == status == exchange.attempts[-1].status
    wanted = {"demo-fail-400": 400, "demo-fail-429": 429, "demo-context-window": 400}.get(failure)
    assert status == wanted or (wanted is None and status in (503, 529))


@upstreams
@clients
async def test_an_error_in_a_stream(sdks: dict[str, Client], gateway: Running, name: str, upstream: str) -> None:
    sdk = sdks[name]
    with pytest.raises((*BROKEN, RuntimeError)):
        await sdk.ask(sdk.said("demo-error-midstream"), wish(upstream, True))
    exchange = await gateway.exchange()
    assert exchange.status == 200
    assert exchange.error_kind == "upstream_stream_error"


@upstreams
@clients
async def test_a_cut_stream_is_an_error(sdks: dict[str, Client], gateway: Running, name: str, upstream: str) -> None:
    """Whatever the client has been told, it has not been told that this was all; and why is in the bytes."""
    target, body = raw(name, stream=True)
    text = json.dumps(body).replace("hello", "demo-cut")
    answer = await gateway.client.post(
        target, content=text, headers={"x-to": upstream, "content-type": "application/json"}
    )
    assert answer.status_code == 200
    assert "broke off" in answer.text
    for end in ("message_stop", "[DONE]", "response.completed", '"finishReason"'):
        assert end not in answer.text
    exchange = await gateway.exchange()
    assert exchange.error_kind == "upstream_cut"
    sdk = sdks[name]
    with pytest.raises((*BROKEN, RuntimeError)):
        await sdk.ask(sdk.said("demo-cut"), wish(upstream, True))


@both
@upstreams
@clients
@pytest.mark.parametrize("failure", ["demo-garbage", "demo-empty"])
async def test_what_is_no_answer_is_an_error(
    sdks: dict[str, Client], gateway: Running, name: str, upstream: str, stream: bool, failure: str
) -> None:
    sdk = sdks[name]
    with pytest.raises(sdk.failed) as caught:
        await sdk.ask(sdk.said(failure), wish(upstream, stream))
    assert sdk.status(caught.value) == 502
    assert (await gateway.exchange()).status == 502
