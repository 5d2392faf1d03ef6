"""The memory cache against a naive model of it, and its bounds one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ccx.state.cache import SHARE, SWEEP_EVERY, AnswerCache, Entry, Holding, MemoryAnswers

SIZE = 16_000
T = TypeVar("T")


def now_(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("it waits")


def entry(size: int = 10, *, at: float = 0.0, ttl: float = 60.0, route: str = "r") -> Entry:
    return Entry(route, at, at + ttl, ((b"content-type", b"application/json"),), b"x" * size)


def test_what_is_put_is_got_until_its_time_is_over() -> None:
    cache: AnswerCache = MemoryAnswers()
    kept = entry(at=100.0, ttl=60.0)
    assert now_(cache.put(b"k", kept, now=100.0))
    assert now_(cache.get(b"k", now=159.9, oldest=60.0)) is kept
    assert now_(cache.get(b"other", now=100.0, oldest=60.0)) is None
    assert now_(cache.get(b"k", now=160.0, oldest=1000.0)) is None
    assert now_(cache.get(b"k", now=100.0, oldest=60.0)) is None, "it was thrown away when it was found to be over"


def test_whoever_wants_it_younger_does_not_take_it_from_others() -> None:
    cache = MemoryAnswers()
    now_(cache.put(b"k", entry(at=0.0), now=0.0))
    assert now_(cache.get(b"k", now=10.0, oldest=10.0)) is None
    assert now_(cache.get(b"k", now=10.0, oldest=0.0)) is None
    assert now_(cache.get(b"k", now=10.0, oldest=10.1)) is not None


def test_an_entry_from_the_future_is_believed_within_the_skew_of_clocks_only() -> None:
    cache = MemoryAnswers()
    now_(cache.put(b"k", entry(at=1000.0), now=1000.0))
    assert now_(cache.get(b"k", now=950.0, oldest=60.0)) is not None
    assert now_(cache.get(b"k", now=900.0, oldest=60.0)) is None


def test_the_least_recently_used_goes_first() -> None:
    cache = MemoryAnswers(size=SIZE)
    each = entry(1000)
    room = SIZE // each.size
    for name in range(room):
        now_(cache.put(b"%d" % name, each, now=0.0))
    now_(cache.get(b"0", now=0.0, oldest=60.0))
    now_(cache.put(b"new", each, now=0.0))
    assert now_(cache.get(b"0", now=0.0, oldest=60.0)) is not None
    assert now_(cache.get(b"1", now=0.0, oldest=60.0)) is None
    assert now_(cache.holdings()) == {"r": Holding(room, room * each.size, 1)}


def test_what_is_too_large_is_not_kept_and_replaces_nothing_by_halves() -> None:
    cache = MemoryAnswers(size=SIZE)
    assert now_(cache.put(b"k", entry(10), now=0.0))
    assert not now_(cache.put(b"k", entry(SIZE // SHARE), now=0.0))
    assert now_(cache.get(b"k", now=0.0, oldest=60.0)) is None, "the old answer is not the newest any more"
    assert not now_(MemoryAnswers(size=0).put(b"k", entry(0), now=0.0))
    assert not now_(MemoryAnswers(largest=1000).put(b"k", entry(1000), now=0.0))


def test_entries_whose_time_is_over_leave_by_themselves() -> None:
    cache = MemoryAnswers()
    for name in range(SWEEP_EVERY - 1):
        now_(cache.put(b"%d" % name, entry(ttl=1.0), now=0.0))
    now_(cache.put(b"late", entry(at=2.0), now=2.0))
    assert len(cache) == 1


def test_a_route_is_cleared_alone() -> None:
    cache = MemoryAnswers()
    for name in (b"1", b"2"):
        now_(cache.put(name, entry(route="a"), now=0.0))
    now_(cache.put(b"3", entry(route="b"), now=0.0))
    assert now_(cache.clear("a")) == 2
    assert list(now_(cache.holdings())) == ["b"]
    assert now_(cache.clear()) == 1
    assert (len(cache), cache.taken) == (0, 0)


def test_a_table_that_allows_less_or_names_fewer_takes_away_at_once() -> None:
    cache = MemoryAnswers(size=SIZE)
    for name in range(6):
        now_(cache.put(b"%d" % name, entry(1000, route="ab"[name % 2]), now=0.0))
    cache.configure(size=SIZE, routes={"a"})
    assert list(now_(cache.holdings())) == ["a"]
    cache.configure(size=0, routes={"a"})
    assert (len(cache), cache.taken) == (0, 0)
    assert now_(cache.holdings()) == {"a": Holding(0, 0, 3)}


class Machine(RuleBasedStateMachine):
    """Any sequence of calls, beside a model that keeps a list."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = MemoryAnswers(size=SIZE)
        self.model: list[tuple[bytes, Entry]] = []  # least recently used first
        self.size = SIZE
        self.now = 0.0

    keys = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i", b"j"])
    routes = st.sampled_from(["r", "s", "t"])

    @rule(key=keys, size=st.integers(0, 3000), ttl=st.integers(0, 20), route=routes)
    def put(self, key: bytes, size: int, ttl: int, route: str) -> None:
        new = entry(size, at=self.now, ttl=ttl, route=route)
        self.model = [one for one in self.model if one[0] != key]
        fits = new.size <= self.size // SHARE and ttl > 0
        if fits:
            self.model.append((key, new))
        assert now_(self.cache.put(key, new, now=self.now)) == fits
        self.shrink()

    @rule(key=keys, oldest=st.integers(0, 25))
    def get(self, key: bytes, oldest: int) -> None:
        found = next((one for one in self.model if one[0] == key), None)
        good = found is not None and self.now < found[1].expires and self.now - found[1].at < oldest
        got = now_(self.cache.get(key, now=self.now, oldest=oldest))
        assert got is (found[1] if good and found is not None else None)
        if found is not None and self.now >= found[1].expires:
            self.model.remove(found)
        elif good and found is not None:
            self.model.remove(found)
            self.model.append(found)

    @rule(seconds=st.integers(0, 10))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(route=st.one_of(st.none(), routes))
    def clear(self, route: str | None) -> None:
        before = len(self.model)
        self.model = [one for one in self.model if route is not None and one[1].route != route]
        assert now_(self.cache.clear(route)) == before - len(self.model)

    @rule(size=st.integers(0, 2 * SIZE), routes=st.sets(routes))
    def configure(self, size: int, routes: set[str]) -> None:
        self.size = size
        self.model = [one for one in self.model if one[1].route in routes and one[1].size <= size // SHARE]
        self.cache.configure(size=size, routes=routes)
        self.shrink()

    @rule()
    def sweep(self) -> None:
        self.cache.sweep(self.now)
        self.model = [one for one in self.model if self.now < one[1].expires]

    def shrink(self) -> None:
        while sum(one[1].size for one in self.model) > self.size:
            self.model.pop(0)

    @invariant()
    def as_the_model(self) -> None:
        assert self.cache.taken == sum(one[1].size for one in self.model) <= self.size
        assert len(self.cache) == len(self.model)
        held = self.cache.holdings_now()
        for route in ("r", "s", "t"):
            own = [one[1] for one in self.model if one[1].route == route]
            got = held.get(route, Holding(0, 0, 0))
            assert (got.entries, got.bytes) == (len(own), sum(one.size for one in own))


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


def test_the_coroutines_wait_for_nothing_also_on_a_loop() -> None:
    async def run() -> bool:
        cache = MemoryAnswers()
        await cache.put(b"k", entry(), now=0.0)
        return await cache.get(b"k", now=0.0, oldest=1.0) is not None

    assert asyncio.run(run())


@pytest.mark.parametrize(("now", "age"), [(5.0, 0.0), (10.0, 0.0), (12.5, 2.5)])
def test_an_age_is_never_negative(now: float, age: float) -> None:
    assert entry(at=10.0).age(now) == age
