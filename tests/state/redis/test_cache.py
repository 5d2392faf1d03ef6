"""Kept answers in a real Redis: found by any replica, bounded, cleared by route, and missed in silence without it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ccx.state.cache import Counts, Entry
from ccx.state.link import Link
from ccx.state.redis.cache import RedisAnswers
from ccx.state.redis.keys import Keys
from ccx.state.redis.wire import RedisWire
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.state.redis.test_meters import linked

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


def entry(body: bytes = b"hello", *, route: str = "r", at: float = 0.0, ttl: float = 60.0) -> Entry:
    headers = ((b"content-type", b"text/plain"),)
    return Entry(route, at, at + ttl, headers, body, Counts(input=3, output=5), "stop", ("losses",), "openai", "m")


@pytest.fixture
async def answers(redis: RedisServer) -> AsyncIterator[RedisAnswers]:
    async with linked(redis.url) as link:
        found = RedisAnswers(link, Keys("ccx"))
        found.configure(size=80_000, routes=("r", "s"))
        yield found


async def test_an_entry_comes_back_as_it_was(answers: RedisAnswers, redis: RedisServer) -> None:
    assert await answers.put(b"k", entry(), now=1.0)
    assert await answers.get(b"k", now=2.0, oldest=60.0) == entry()
    async with linked(redis.url) as link:
        assert await RedisAnswers(link, Keys("ccx")).get(b"k", now=2.0, oldest=60.0) == entry()
        assert await RedisAnswers(link, Keys("else")).get(b"k", now=2.0, oldest=60.0) is None
    assert await answers.get(b"other", now=2.0, oldest=60.0) is None


async def test_time_is_checked_when_it_is_read(answers: RedisAnswers) -> None:
    await answers.put(b"k", entry(), now=1.0)
    assert await answers.get(b"k", now=61.0, oldest=600.0) is None
    assert await answers.get(b"k", now=30.0, oldest=10.0) is None
    assert not await answers.put(b"k", entry(), now=60.0)


async def test_one_in_place_of_another(answers: RedisAnswers) -> None:
    await answers.put(b"k", entry(b"one"), now=1.0)
    await answers.put(b"k", entry(b"another"), now=2.0)
    found = await answers.get(b"k", now=3.0, oldest=60.0)
    assert found is not None
    assert found.body == b"another"
    assert (await answers.holdings())["r"].entries == 1


async def test_a_route_is_bounded_and_the_least_used_goes_first(answers: RedisAnswers) -> None:
    for number in range(20):
        assert await answers.put(b"%d" % number, entry(b"x" * 3500), now=1.0 + number)
        assert await answers.get(b"0", now=1.5 + number, oldest=60.0) is not None
    held = (await answers.holdings())["r"]
    assert held.bytes <= 40_000
    assert held.entries + held.evictions == 20
    assert await answers.get(b"1", now=30.0, oldest=60.0) is None
    assert not await answers.put(b"large", entry(b"x" * 6000), now=30.0)


async def test_a_route_is_cleared_alone(answers: RedisAnswers) -> None:
    await answers.put(b"k", entry(), now=1.0)
    await answers.put(b"l", entry(route="s"), now=1.0)
    assert await answers.clear("r") == 1
    assert await answers.get(b"k", now=2.0, oldest=60.0) is None
    assert await answers.get(b"l", now=2.0, oldest=60.0) is not None
    assert await answers.clear() == 1
    assert await answers.holdings() == {}


async def test_without_redis_nothing_is_found_and_nothing_fails() -> None:
    async def nowhere() -> str:
        return "redis://127.0.0.1:1"

    answers = RedisAnswers(Link(RedisWire(nowhere)), Keys("ccx"))
    answers.configure(size=10_000, routes=("r",))
    assert not await answers.put(b"k", entry(b""), now=1.0)
    assert await answers.get(b"k", now=2.0, oldest=60.0) is None
    assert await answers.clear() == 0
    assert await answers.holdings() == {}


async def test_what_is_too_large_leaves_nothing_older_in_its_place(answers: RedisAnswers) -> None:
    await answers.put(b"k", entry(), now=1.0)
    assert not await answers.put(b"k", entry(b"x" * 60_000), now=2.0)
    assert await answers.get(b"k", now=3.0, oldest=60.0) is None


async def test_a_shorter_life_does_not_cost_the_others_their_place_in_the_books(
    answers: RedisAnswers, redis: RedisServer
) -> None:
    """Else they would be counted by nobody, and a clear would leave them."""
    await answers.put(b"k", entry(ttl=3600.0), now=1.0)
    await answers.put(b"l", entry(ttl=2.0), now=1.5)
    async with linked(redis.url) as link:
        lasts = [await link.ask(("TTL", name)) for name in answers._index("r")]
        assert min(lasts) > 3600
    await answers.put(b"m", entry(at=10.0, ttl=2.0), now=10.0)
    assert await answers.get(b"k", now=11.0, oldest=3600.0) is not None
    assert (await answers.holdings())["r"].entries >= 2
