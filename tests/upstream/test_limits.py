"""DirectEngine: limits in time and in number."""

from __future__ import annotations

import asyncio
import gc
import os
import socket

import pytest

from ccx.errors import BadReply, ConnectError, ConnectionLost, UpstreamTimeout
from ccx.upstream.engine import DirectEngine, PoolLimits
from ccx.upstream.reply import Call, Origin, Timeouts
from tests.faults import (
    Action,
    Drop,
    FaultUpstream,
    Malformed,
    Received,
    Reply,
    Reset,
    Respond,
    Sse,
    Stall,
)
from tests.upstream.conftest import QUICK, call_to, until


async def test_no_connection() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        origin = Origin(False, "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConnectError, match=f"127.0.0.1:{origin.port}"):
            await DirectEngine().send(Call(b"GET", origin, b"/?key=secret", (), (), QUICK))


@pytest.mark.parametrize("host", ["a" * 64 + "é.example", "..", "no-such-host.invalid"])
async def test_a_host_that_is_none(host: str) -> None:
    engine = DirectEngine()
    with pytest.raises(ConnectError):
        await engine.send(Call(b"GET", Origin(False, host, 80), b"/", (), (), QUICK))
    assert engine.open_connections == 0


async def test_connecting_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.BaseEventLoop):
        monkeypatch.setattr(loop, "create_connection", never)
    else:
        pytest.skip("uvloop's methods cannot be replaced")
    engine = DirectEngine()
    origin = Origin(False, "127.0.0.1", 9)
    with pytest.raises(UpstreamTimeout) as caught:
        await engine.send(Call(b"GET", origin, b"/", (), (), Timeouts(connect=0.02)))
    assert caught.value.stage == "connect"
    with pytest.raises(UpstreamTimeout) as caught:
        await engine.send(Call(b"GET", origin, b"/", (), (), Timeouts(connect=5, total=0.02)))
    assert caught.value.stage == "total"


async def test_the_operating_systems_own_timeout_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def timed_out(*_: object, **__: object) -> None:
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr("ccx.upstream.pool.Pool.acquire", timed_out)
    with pytest.raises(ConnectError, match="timed out"):
        await DirectEngine().send(Call(b"GET", Origin(False, "127.0.0.1", 9), b"/", (), (), QUICK))


@pytest.mark.parametrize(
    ("limits", "action", "stage"),
    [
        (Timeouts(first_byte=0.03), Stall(), "first_byte"),
        (Timeouts(first_byte=0.03), Stall(after=10), "first_byte"),
        (Timeouts(idle=0.03), Stall(after=120), "idle"),
        (Timeouts(idle=0.03), Sse(["data: 1"], stall=True), "idle"),
        (Timeouts(total=0.03), Stall(), "total"),
        (Timeouts(total=0.05, idle=1), Sse(["data: 1"] * 100, pause=0.005), "total"),
    ],
)
async def test_each_limit_in_time_is_kept_and_named(
    engine: DirectEngine, limits: Timeouts, action: Stall | Sse, stage: str
) -> None:
    loop = asyncio.get_running_loop()
    async with FaultUpstream([action]) as upstream:
        began = loop.time()
        with pytest.raises(UpstreamTimeout) as caught:
            await (await engine.send(call_to(upstream, timeouts=limits))).read(10_000)
        assert caught.value.stage == stage
        assert 0.02 < loop.time() - began < 0.5
        await upstream.all_closed()


async def test_a_slow_reader_is_not_the_upstreams_silence(engine: DirectEngine) -> None:
    async with FaultUpstream([Sse(["data: 1", "data: 2"], pause=0.01)]) as upstream:
        reply = await engine.send(call_to(upstream, timeouts=Timeouts(idle=0.03, total=5)))
        await asyncio.sleep(0.08)
        assert await reply.read(1000) == b"data: 1\n\ndata: 2\n\n"


async def test_one_timer_serves_many_requests(engine: DirectEngine) -> None:
    async with FaultUpstream([Stall()]) as upstream:
        limits = [Timeouts(first_byte=0.02 + 0.01 * n) for n in range(8)]
        loop = asyncio.get_running_loop()

        async def timed(limit: Timeouts) -> float:
            began = loop.time()
            with pytest.raises(UpstreamTimeout):
                await engine.send(call_to(upstream, timeouts=limit))
            return loop.time() - began - (limit.first_byte or 0)

        late = await asyncio.gather(*map(timed, limits))
        assert all(-0.01 < seconds < 0.1 for seconds in late)


async def test_calls_beyond_the_limit_wait_their_turn() -> None:
    engine = DirectEngine(limits=PoolLimits(connections=2))
    order: list[int] = []

    async def one(upstream: FaultUpstream, number: int) -> None:
        await (await engine.send(call_to(upstream, b"%d" % number))).read(10)
        order.append(number)

    async with FaultUpstream([Reply(delay=0.005)]) as upstream:
        await asyncio.gather(*(one(upstream, number) for number in range(10)))
        assert upstream.opened == 2
        assert [int(request.body) for request in upstream.requests] == list(range(10))
        assert sorted(order) == list(range(10))
        await engine.aclose()


async def test_waiting_for_a_place_is_bounded_by_the_connect_limit() -> None:
    engine = DirectEngine(limits=PoolLimits(connections=1))
    async with FaultUpstream([Stall()]) as upstream:
        holder = asyncio.ensure_future(engine.send(call_to(upstream)))
        await upstream.received(1)
        with pytest.raises(UpstreamTimeout, match="all 1 being busy") as caught:
            await engine.send(call_to(upstream, timeouts=Timeouts(connect=0.02)))
        assert caught.value.stage == "connect"
        holder.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holder
        await engine.aclose()


@pytest.mark.parametrize("free", ["released", "closed"])
async def test_a_place_handed_to_one_who_left_goes_to_the_next(free: str) -> None:
    engine = DirectEngine(limits=PoolLimits(connections=1))
    action = Respond(lambda request: Reply(close=free == "closed", delay=0.01))
    async with FaultUpstream([action]) as upstream:
        holder = await engine.send(call_to(upstream, timeouts=QUICK))
        first = asyncio.ensure_future(engine.send(call_to(upstream)))
        second = asyncio.ensure_future(engine.send(call_to(upstream)))
        await asyncio.sleep(0)
        await holder.read(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).status == 200
        await engine.aclose()


async def test_a_full_pool_makes_room_for_a_fresh_connection() -> None:
    engine = DirectEngine(limits=PoolLimits(connections=1))
    async with FaultUpstream([Reply(), Drop(), Reply(body=b"ok")]) as upstream:
        await (await engine.send(call_to(upstream))).read(0)
        assert await (await engine.send(call_to(upstream))).read(10) == b"ok"
        await engine.aclose()


async def test_many_at_once_each_get_their_own_answer(engine: DirectEngine) -> None:
    echo = Respond(lambda request: Reply(body=request.body * 3, chunked=len(request.body) % 2 == 0))

    async def one(upstream: FaultUpstream, number: int) -> None:
        body = b"%d" % number
        assert await (await engine.send(call_to(upstream, body))).read(100) == body * 3

    async with FaultUpstream([echo]) as upstream:
        for _ in range(3):
            await asyncio.gather(*(one(upstream, number) for number in range(100)))
        assert upstream.opened <= 100


async def test_nothing_leaks_over_many_requests(engine: DirectEngine) -> None:
    actions: list[Action] = [
        Reply(body=b"x"),
        Drop(after=120),
        Reset(),
        Malformed(b"junk\r\n"),
        Reply(close=True),
        Drop(),
    ]

    def choose(request: Received) -> Action:
        return actions[int(request.body) % len(actions)]

    async with FaultUpstream([Respond(choose)]) as upstream:

        async def one(number: int) -> None:
            try:
                await (await engine.send(call_to(upstream, b"%d" % number))).read(1000)
            except (ConnectionLost, BadReply):
                assert number % len(actions) in (1, 2, 3, 5)

        for number in range(60):
            await one(number)
        await until(lambda: engine.open_connections <= 1 and upstream.open <= 1)
        gc.collect()
        before = len(os.listdir("/proc/self/fd")), len(gc.get_objects())
        for number in range(300):
            await one(number)
        await until(lambda: engine.open_connections <= 1 and upstream.open <= 1)
        upstream.requests.clear()
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= before[0] + 2
        assert len(gc.get_objects()) <= before[1] + 300
