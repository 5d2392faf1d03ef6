"""What replicas hear of each other's targets, through a real Redis, by clocks that do not agree."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from ccx.state.breaker import Settings
from ccx.state.health import Care, Health, Override, TargetId
from ccx.state.redis.health import SharedHealth
from ccx.state.redis.keys import Keys
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.state.redis.test_meters import linked

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
TARGET = TargetId("main", "messages", "f00d")
CARE = {"main": Care(Settings(consecutive=2, open=30.0))}


class Replica:
    """A replica whose clock of the loop is `ahead` of the others' by so many seconds."""

    def __init__(self, link: object, name: str, ahead: float) -> None:
        self.health = Health()
        self.health.configure(CARE)
        self.ahead = ahead
        self.shared = SharedHealth(link, Keys("ccx"), self.health, name=name)  # type: ignore[arg-type]  # a link

    async def round(self, at: float) -> None:
        await self.shared.round(now=at + self.ahead, unix=1_000_000.0 + at)

    def fails(self, at: float, times: int = 2) -> None:
        for _ in range(times):
            held = self.health.enter(TARGET, at + self.ahead)
            self.health.leave(held, "failed", now=at + self.ahead)

    def asked(self, at: float) -> bool:
        return self.health.trouble(TARGET, at + self.ahead) is None


@contextlib.asynccontextmanager
async def two(redis: RedisServer) -> AsyncIterator[tuple[Replica, Replica]]:
    async with linked(redis.url) as link:
        yield Replica(link, "one", 100.0), Replica(link, "other", 7000.0)


async def rounds(at: float, *replicas: Replica) -> None:
    for replica in replicas:
        await replica.round(at)


async def test_a_breaker_that_opens_opens_everywhere_and_one_replica_tries(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        one.fails(0.0)
        await rounds(1.0, one, other)
        assert not other.asked(2.0)
        assert other.health.trouble(TargetId("main", "chat", "f00d"), 7002.0) is None
        await rounds(29.0, other, one)  # the other one is the first to ask for the lease
        assert other.asked(30.5)
        assert not one.asked(30.5)
        held = other.health.enter(TARGET, 7030.5)
        other.health.leave(held, "passed", now=7031.0)
        await rounds(31.5, other, one)
        assert one.asked(31.6)
        held = one.health.enter(TARGET, 131.6)
        one.health.leave(held, "passed", now=131.7)
        await rounds(32.0, one, other)
        assert one.asked(33.0)
        assert other.asked(33.0)


async def test_a_probe_that_fails_keeps_it_open_everywhere(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        one.fails(0.0)
        await rounds(1.0, one, other)
        await rounds(29.0, one, other)
        assert one.asked(30.5)
        one.fails(30.5, 1)
        await rounds(31.0, one, other)
        assert not other.asked(80.0)
        await rounds(89.5, one, other)
        assert one.asked(90.6)


async def test_a_replica_that_took_the_lease_and_died_is_not_waited_for(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        one.fails(0.0)
        await rounds(1.0, one, other)
        await rounds(29.0, one, other)
        assert not other.asked(31.0)
        redis.said("FLUSHALL")  # the lease has lapsed
        await rounds(34.0, other)
        assert other.asked(35.1)


async def test_a_key_that_is_refused_cools_down_everywhere(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        held = one.health.enter(TARGET, 100.0)
        one.health.leave(held, "neither", now=100.0, cause="rate_limit", wait=20.0)
        await rounds(1.0, one, other)
        found = other.health.trouble(TARGET, 7002.0)
        assert found is not None
        assert (found.why, found.cause, round(found.until)) == ("cooling", "rate_limit", 7020)
        assert other.asked(21.0)
        held = other.health.enter(TARGET, 7002.0)
        other.health.leave(held, "passed", now=7003.0)
        await rounds(4.0, one, other)
        assert other.asked(4.0)  # the same word is not heard twice


async def test_orders_hold_everywhere_and_the_last_one_wins(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        one.health.order("main", Override("drain", 160.0, "maintenance"))
        await rounds(1.0, one, other)
        assert other.health.override("main", 7002.0) == Override("drain", 7060.0, "maintenance")
        other.health.order("main", Override("promote", 7090.0))
        await rounds(2.0, one, other, one)
        assert (one.health.override("main", 103.0) or Override("drain", 0)).order == "promote"
        one.health.order("main", None)
        await rounds(3.0, one, other)
        assert other.health.override("main", 7004.0) is None
        await rounds(95.0, one, other)
        assert one.health.overrides(195.0) == other.health.overrides(7095.0) == {}
        assert redis.said("EXISTS {ccx}:health") == b":0\r\n"


async def test_words_of_another_version_are_dropped(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        redis.said("HSET {ccx}:health x y")
        await rounds(1.0, one, other)
        assert redis.said("EXISTS {ccx}:health") == b":0\r\n"


async def test_an_order_taken_back_is_heard_by_whoever_was_cut_off(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        one.health.order("main", Override("drain", 100.0 + 3600, "maintenance"))
        await rounds(1.0, one, other)
        one.health.order("main", None)
        await rounds(2.0, one)
        await rounds(900.0, one, other)
        assert other.health.override("main", 7900.0) is None
        one.health.order("main", Override("drain", 100.0 + 3600))
        await rounds(901.0, one, other)
        one.health.order("main", Override("drain", 100.0 + 910))
        await rounds(902.0, one)
        await rounds(920.0, one, other)
        assert other.health.override("main", 7920.0) is None


async def test_a_server_that_has_lost_all_is_told_again(redis: RedisServer) -> None:
    async with two(redis) as (one, other):
        one.fails(0.0)
        one.health.order("main", Override("drain", 160.0))
        held = one.health.enter(TARGET, 100.0)
        one.health.leave(held, "neither", now=100.0, cause="quota", wait=50.0)
        await rounds(1.0, one, one)
        redis.flush()
        await rounds(2.0, one, other)
        assert other.health.override("main", 7002.0) is None
        one.shared.retell()
        await rounds(3.0, one, other)
        assert other.health.override("main", 7003.0) == Override("drain", 7060.0)
        assert not other.asked(3.0)
        assert other.health.report(TARGET, 7003.0).breaker == "open"
