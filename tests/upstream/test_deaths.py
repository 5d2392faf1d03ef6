"""DirectEngine: connections that die, and calls that are given up."""

from __future__ import annotations

import asyncio
import socket

import pytest

from ccx.errors import BadReply, ConnectionLost
from ccx.upstream.engine import STALE_WINDOW, DirectEngine, may_resend
from ccx.upstream.reply import Call, Origin
from tests.faults import (
    Drop,
    Early,
    FaultUpstream,
    Peer,
    Received,
    Reply,
    Reset,
    Sse,
    Stall,
)
from tests.upstream.conftest import QUICK, call_to, drained, until


@pytest.mark.parametrize("action", [Drop(), Drop(after=10), Reset(), Reset(after=10)])
async def test_a_new_connection_that_dies_without_a_reply_is_lost(engine: DirectEngine, action: Drop | Reset) -> None:
    async with FaultUpstream([action, Reply()]) as upstream:
        with pytest.raises(ConnectionLost) as caught:
            await engine.send(call_to(upstream, idempotent=True))
        assert caught.value.stage == "first_byte"
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("action", [Drop(after=120), Reset(after=120), Sse(["data: 1"], cut=True)])
async def test_what_came_before_a_cut_is_delivered_before_the_error(
    engine: DirectEngine, action: Drop | Reset | Sse
) -> None:
    async with FaultUpstream([action]) as upstream:
        reply = await engine.send(call_to(upstream))
        got, error = await drained(reply)
        assert got.startswith((b'{"scripted"', b"data: 1"))
        assert isinstance(error, ConnectionLost)
        assert error.stage == "body"
        reply.abort()
        with pytest.raises(ConnectionLost):
            await reply.next()


@pytest.mark.parametrize("death", [Drop(), Reset()])
async def test_a_stale_connection_is_replaced_once(engine: DirectEngine, death: Drop | Reset) -> None:
    async with FaultUpstream([Reply(body=b"1"), death, Reply(body=b"2")]) as upstream:
        assert await (await engine.send(call_to(upstream))).read(10) == b"1"
        assert await (await engine.send(call_to(upstream, b"again"))).read(10) == b"2"
        assert [request.body for request in upstream.requests] == [b"", b"again", b"again"]
        assert upstream.opened == 2


async def test_a_stale_connection_is_not_replaced_twice(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(), Drop()]) as upstream:
        await (await engine.send(call_to(upstream))).read(10)
        with pytest.raises(ConnectionLost):
            await engine.send(call_to(upstream))
        assert len(upstream.requests) == 3


async def test_a_reply_that_began_is_never_asked_for_again(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(), Drop(after=5)]) as upstream:
        await (await engine.send(call_to(upstream))).read(10)
        with pytest.raises(ConnectionLost):
            await engine.send(call_to(upstream, idempotent=True))
        assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    ("reused", "began", "elapsed", "idempotent", "resend"),
    [
        (False, False, None, True, False),
        (True, True, None, True, False),
        (True, False, None, False, True),
        (True, False, STALE_WINDOW, False, True),
        (True, False, STALE_WINDOW * 1.01, False, False),
        (True, False, 3600.0, True, True),
    ],
)
def test_when_a_call_may_be_sent_again(
    reused: bool, began: bool, elapsed: float | None, idempotent: bool, resend: bool
) -> None:
    assert may_resend(reused=reused, began=began, elapsed=elapsed, idempotent=idempotent) is resend


async def test_a_post_that_was_cut_off_late_is_not_sent_again(
    engine: DirectEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccx.upstream.engine.STALE_WINDOW", 0.005)

    class LateDrop(Drop):
        async def play(self, peer: Peer, request: Received) -> bool:
            await asyncio.sleep(0.05)
            return False

    async with FaultUpstream([Reply(), LateDrop(), Reply()]) as upstream:
        await (await engine.send(call_to(upstream))).read(10)
        with pytest.raises(ConnectionLost):
            await engine.send(call_to(upstream))
        assert len(upstream.requests) == 2


async def test_cancelled_while_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        for member in crowd:
            member.setblocking(False)
            member.connect_ex(address)  # the backlog is full: the next connect hangs
        engine = DirectEngine()
        task = asyncio.ensure_future(
            engine.send(Call(b"GET", Origin(False, *address), b"/", (), (), QUICK)),
        )
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.open_connections == 0
        await engine.aclose()
        for member in crowd:
            member.close()


async def test_cancelled_while_sending(engine: DirectEngine) -> None:
    async with FaultUpstream([Early(Stall(), deaf=True)]) as upstream:
        task = asyncio.ensure_future(engine.send(call_to(upstream, bytes(30_000_000))))
        await upstream.received(1)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: engine.open_connections == 0)


async def test_cancelled_while_waiting_for_the_head(engine: DirectEngine) -> None:
    async with FaultUpstream([Stall()]) as upstream:
        task = asyncio.ensure_future(engine.send(call_to(upstream)))
        await upstream.received(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.all_closed()
        assert engine.open_connections == 0


async def test_cancelled_while_reading(engine: DirectEngine) -> None:
    async with FaultUpstream([Sse(["data: 1"], stall=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        assert await reply.next()
        task = asyncio.ensure_future(reply.next())
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.all_closed()
        with pytest.raises(ConnectionLost):
            await reply.next()


async def test_a_reply_given_up_closes_its_connection_and_wakes_its_reader(engine: DirectEngine) -> None:
    async with FaultUpstream([Sse(["data: 1"], stall=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        await reply.next()
        task = asyncio.ensure_future(reply.next())
        await asyncio.sleep(0.005)
        reply.abort()
        reply.abort()
        with pytest.raises(ConnectionLost):
            await task
        await upstream.all_closed()


async def test_giving_up_after_the_end_is_harmless(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(body=b"x")]) as upstream:
        reply = await engine.send(call_to(upstream))
        assert await reply.read(1) == b"x"
        reply.abort()
        assert await reply.next() == b""
        assert engine.idle_connections == 1
        unread = await engine.send(call_to(upstream))
        unread.abort()
        with pytest.raises(ConnectionLost):
            await unread.next()


async def test_one_task_reads_at_a_time(engine: DirectEngine) -> None:
    async with FaultUpstream([Sse(["data: 1"], stall=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        await reply.next()
        task = asyncio.ensure_future(reply.next())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await reply.next()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_body_larger_than_the_reader_allows(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(body=b"x" * 101)]) as upstream:
        with pytest.raises(BadReply, match="larger than 100 bytes"):
            await (await engine.send(call_to(upstream))).read(100)
