"""The in-process engine keeps the promises of an engine with a network."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from ccx.errors import BadReply, ConnectError, ConnectionLost, UpstreamTimeout
from ccx.upstream.demo.answer import Answer, End, Piece
from ccx.upstream.demo.engine import DemoEngine, DemoReply
from ccx.upstream.demo.respond import LARGE_BODY, respond
from ccx.upstream.reply import Call, Engine, Origin, Reply, Timeouts

ORIGIN = Origin(tls=False, host="demo.invalid", port=80)
BRIEF = 0.01


def call(model: str = "demo", *, stream: bool = True, **timeouts: Any) -> Call:
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).encode()
    limits = Timeouts(**timeouts)
    return Call(
        b"POST",
        ORIGIN,
        b"/v1/chat/completions?a=b",
        [(b"Content-Type", b"application/json")],
        (body[:9], body[9:]),
        limits,
    )


async def test_a_stream_comes_event_by_event_and_in_one_go() -> None:
    engine: Engine = DemoEngine()
    sent = call()
    reply: Reply = await engine.send(sent)
    assert reply.status == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in reply.headers
    assert all(name == name.lower() for name, _ in reply.headers)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.ensure_future(count())
    pieces = []
    while piece := await reply.next():
        pieces.append(piece)
    assert turns == 0  # nothing waited: the loop never got its turn
    counter.cancel()
    assert await reply.next() == b""
    expected = respond("POST", "/v1/chat/completions?a=b", sent.headers, b"".join(sent.body))
    assert pieces == [piece.data for piece in expected.pieces]
    assert len(pieces) > 10
    reply.abort()  # harmless after the end
    await engine.aclose()


async def test_read() -> None:
    engine = DemoEngine()
    answer = json.loads(await (await engine.send(call(stream=False))).read(10_000))
    assert answer["object"] == "chat.completion"
    reply = await engine.send(call(stream=False))
    with pytest.raises(BadReply):
        await reply.read(20)


async def test_a_closed_engine_takes_no_calls_but_ends_its_replies() -> None:
    engine = DemoEngine()
    reply = await engine.send(call())
    await engine.aclose()
    with pytest.raises(ConnectError):
        await engine.send(call())
    assert (await reply.read(100_000)).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("model", "limits", "stage"),
    [
        ("demo-stall", {"first_byte": BRIEF}, "first_byte"),
        ("demo-slow", {"first_byte": BRIEF}, "first_byte"),
        ("demo-stall", {"total": BRIEF}, "total"),
        ("demo-slow", {"total": BRIEF, "first_byte": None}, "total"),
    ],
)
async def test_no_head_in_time(model: str, limits: dict[str, Any], stage: str) -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await DemoEngine().send(call(model, **limits))
    assert caught.value.stage == stage


@pytest.mark.parametrize(
    ("limits", "stage"),
    [({"idle": BRIEF}, "idle"), ({"idle": None, "total": BRIEF}, "total"), ({"idle": 1, "total": BRIEF}, "total")],
)
async def test_silence_in_the_middle(limits: dict[str, Any], stage: str) -> None:
    reply = await DemoEngine().send(call("demo-stall-midstream", **limits))
    assert await reply.next()
    with pytest.raises(UpstreamTimeout) as caught:
        await reply.read(100_000)
    assert caught.value.stage == stage


async def test_pauses_within_the_limits_are_waited_out() -> None:
    pieces = (Piece(0.0, b"a"), Piece(0.005, b"b"), Piece(0.005, b"c"))
    started = asyncio.get_running_loop().time()
    reply = DemoReply(Answer(200, (), pieces), idle=1, deadline=None)
    assert await reply.read(10) == b"abc"
    assert asyncio.get_running_loop().time() - started >= 0.009
    late = DemoReply(Answer(200, (), pieces), idle=1, deadline=started)
    assert await late.next() == b"a"
    with pytest.raises(UpstreamTimeout, match="total"):
        await late.next()


async def test_a_cut() -> None:
    reply = await DemoEngine().send(call("demo-cut"))
    assert (await reply.next()).startswith(b"data: {")
    with pytest.raises(ConnectionLost):
        await reply.read(100_000)
    with pytest.raises(ConnectionLost):
        await reply.next()


async def test_abort() -> None:
    reply = await DemoEngine().send(call())
    assert await reply.next()
    reply.abort()
    reply.abort()
    with pytest.raises(ConnectionLost):
        await reply.next()


async def test_abort_wakes_who_waits() -> None:
    reply = DemoReply(Answer(200, (), (), end=End.STALL), idle=None, deadline=None)
    waiting = asyncio.ensure_future(reply.next())
    await asyncio.sleep(0)
    reply.abort()
    with pytest.raises(ConnectionLost):
        await waiting


@pytest.mark.parametrize("model", ["demo-stall", "demo-stall-midstream"])
async def test_cancelling(model: str) -> None:
    async def exchange() -> bytes:
        reply = await DemoEngine().send(call(model, first_byte=None, idle=None, total=None))
        return await reply.read(100_000)

    task = asyncio.ensure_future(exchange())
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_large_body_is_answered_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []

    def watched(*asked: Any) -> Answer:
        threads.append(threading.current_thread() is threading.main_thread())
        return respond(*asked)

    monkeypatch.setattr("ccx.upstream.demo.engine.respond", watched)
    small = call()
    large = small._replace(body=(b" " * LARGE_BODY, *small.body))
    for sent in (small, large):
        assert (await (await DemoEngine().send(sent)).read(100_000)).endswith(b"[DONE]\n\n")
    assert threads == [True, False]
