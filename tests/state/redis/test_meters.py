"""Meters in a real Redis: the suite that all stores pass, the machine against memory, and what only replicas have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ccx.state.link import Link, UnreachableError
from ccx.state.meters import Charge, Held, MemoryMeters, Rate, Short, Sum, Taken
from ccx.state.redis.keys import Keys
from ccx.state.redis.meters import RedisMeters
from ccx.state.redis.wire import RedisWire, Reply, Word
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer, redis_server
from tests.state.conformance import START, Alike, Shared, Suite

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
PLACE = Held("h", 2, 3600.0)


@contextlib.asynccontextmanager
async def linked(url: str) -> AsyncIterator[Link[tuple[Word, ...], Reply]]:
    async def where() -> str:
        return url

    link: Link[tuple[Word, ...], Reply] = Link(RedisWire(where), timeout=2.0)
    running = asyncio.create_task(link.run())
    await link.tried()
    try:
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def opened(
    redis: RedisServer, *, clock: Callable[[], float] | None = None, lease: float = 15.0, prefix: str = "ccx"
) -> AsyncIterator[RedisMeters]:
    async with linked(redis.url) as link:
        assert link.up, link.record
        yield RedisMeters(link, Keys(prefix), lease=lease, clock=clock)


class TestRedisMeters(Suite):
    @pytest.fixture
    async def meters(self, redis: RedisServer) -> AsyncIterator[RedisMeters]:
        async with opened(redis, clock=lambda: self.now, lease=1e9) as meters:
            yield meters


class TestMemoryMeters(Suite):
    @pytest.fixture
    def meters(self) -> MemoryMeters:
        return MemoryMeters()


def test_redis_and_memory_answer_alike(redis: RedisServer) -> None:
    with asyncio.Runner() as runner, _kept(runner, redis, lambda: Both.now) as meters:

        class Both(Alike):
            run = staticmethod(runner.run)
            now = START

            def __init__(self) -> None:
                super().__init__()
                redis.flush()
                type(self).now = START
                self.one, self.other = MemoryMeters(), meters

        run_state_machine_as_test(Both, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


def test_groups_share_in_redis(redis: RedisServer) -> None:
    with asyncio.Runner() as runner, _kept(runner, redis, lambda: START) as meters:

        class InRedis(Shared):
            run = staticmethod(runner.run)
            now = START

            def __init__(self) -> None:
                super().__init__()
                redis.flush()
                self.meters = meters

        run_state_machine_as_test(InRedis, settings=settings(max_examples=30, stateful_step_count=25, deadline=None))


@contextlib.contextmanager
def _kept(runner: asyncio.Runner, redis: RedisServer, clock: Callable[[], float]) -> Iterator[RedisMeters]:
    """Meters in Redis for a machine, which is not asynchronous."""
    opening = opened(redis, clock=clock, lease=1e12)
    try:
        yield runner.run(opening.__aenter__())
    finally:
        runner.run(opening.__aexit__(None, None, None))


async def test_replicas_share_and_prefixes_do_not(redis: RedisServer) -> None:
    rate = Rate("r", 2, 3600.0)
    async with opened(redis) as one, opened(redis) as other, opened(redis, prefix="else") as apart:
        assert isinstance(await one.take((Charge(rate),), now=0.0), Taken)
        assert isinstance(await other.take((Charge(rate),), now=0.0), Taken)
        short = await one.take((Charge(rate),), now=0.0)
        assert isinstance(short, Short)
        assert short.wait == pytest.approx(1800, abs=5)
        assert isinstance(await apart.take((Charge(rate),), now=0.0), Taken)


async def test_places_of_the_dead_come_back_and_those_of_the_living_do_not(redis: RedisServer) -> None:
    async with opened(redis, lease=0.15) as alive:
        async with opened(redis, lease=0.15) as dead:
            assert isinstance(await dead.take((Charge(PLACE),), now=0.0), Taken)
            held = await alive.take((Charge(PLACE),), now=0.0)
            assert isinstance(held, Taken)
            assert isinstance(await alive.take((Charge(PLACE),), now=0.0), Short)
        for _ in range(6):
            await asyncio.sleep(0.04)
            alive.renew(0.0)
        assert [use.used for use in await alive.standing((PLACE,), now=0.0)] == [1]
        assert isinstance(await alive.take((Charge(PLACE),), now=0.0), Taken)
        assert alive.holding == 2
        await alive.settle(held, {}, now=0.0)
        assert alive.holding == 1


async def test_a_place_is_not_renewed_beyond_its_longest(redis: RedisServer) -> None:
    brief = Held("h", 1, 0.1)
    async with opened(redis, lease=0.1) as meters:
        assert isinstance(await meters.take((Charge(brief),), now=100.0), Taken)
        await asyncio.sleep(0.06)
        meters.renew(100.2)
        await asyncio.sleep(0.06)
        assert isinstance(await meters.take((Charge(brief),), now=100.3), Taken)


async def test_a_take_that_nobody_waits_for_is_given_back(redis: RedisServer) -> None:
    budget = Sum("s", 10)
    async with opened(redis) as meters:
        asking = asyncio.create_task(meters.take((Charge(PLACE), Charge(budget, 7)), now=0.0))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        for _ in range(50):
            if [use.used for use in await meters.standing((PLACE, budget), now=0.0)] == [0, 0]:
                break
            await asyncio.sleep(0.01)
        assert [use.used for use in await meters.standing((PLACE, budget), now=0.0)] == [0, 0]
        assert meters.holding == 0


async def test_a_settlement_is_made_though_its_request_is_cancelled(redis: RedisServer) -> None:
    async with opened(redis) as meters:
        taken = await meters.take((Charge(PLACE),), now=0.0)
        assert isinstance(taken, Taken)
        settling = asyncio.create_task(meters.settle(taken, {}, now=0.0))
        await asyncio.sleep(0)
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)
        assert [use.used for use in await meters.standing((PLACE,), now=0.0)] == [0]


async def test_scripts_that_were_forgotten_are_loaded_again(redis: RedisServer) -> None:
    rate = Rate("r", 8, 4096.0)
    async with opened(redis) as meters:
        redis.said("SCRIPT FLUSH")
        found = await asyncio.gather(*(meters.take((Charge(rate),), now=0.0) for _ in range(10)))
        assert sum(isinstance(answer, Taken) for answer in found) == 8


async def test_levels_that_are_whole_again_are_not_kept(redis: RedisServer) -> None:
    async with opened(redis, lease=0.05) as meters:
        await meters.take((Charge(Rate("r", 100, 0.1)), Charge(PLACE), Charge(Sum("s", 5, ends=1.0), 0)), now=0.0)
        await asyncio.sleep(1.2)
        assert redis.said("DBSIZE") == b":0\r\n"


async def test_keys_are_on_one_node_of_a_cluster(redis: RedisServer) -> None:
    async with opened(redis, prefix="gw") as meters:
        await meters.take((Charge(Rate("client 'a'/requests/60", 5, 60.0)), Charge(PLACE)), now=0.0)
        assert b"{gw}:meter:client 'a'/requests/60" in redis.said("KEYS *")


async def test_a_server_that_is_away_is_said_to_be_so_at_once() -> None:
    async with linked("redis://127.0.0.1:1/0") as link:
        assert not link.up
        with pytest.raises(UnreachableError):
            await RedisMeters(link, Keys("ccx")).take((Charge(PLACE),), now=0.0)
        assert link.record.errors["lost"] >= 1


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:x"])
async def test_what_is_no_url_of_redis_is_not_shown(url: str) -> None:
    async with linked(url) as link:
        assert not link.up
        assert url not in link.record.why
        assert link.record.errors.keys() == {"url"}


async def test_a_password_is_given_and_never_told() -> None:
    with redis_server("--requirepass", "correct-horse") as server:
        async with linked(server.url.replace("//", "//:wrong-horse@")) as link:
            assert not link.up
            assert "horse" not in link.record.why
        async with linked(server.url.replace("//", "//:correct-horse@")) as link:
            assert link.up


async def test_a_server_that_refuses_to_write_is_away() -> None:
    with redis_server("--min-replicas-to-write", "1") as server:
        async with opened(server) as meters:
            with pytest.raises(UnreachableError):
                await meters.take((Charge(PLACE),), now=0.0)
            assert not meters.up
