"""Shedding by lag and memory, on a clock of its own: when it begins, how far it goes, and that it ends."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.state.overload import FEW, FLOOR, Bounds, Shedding

EVERY = 0.1
BOUNDS = Bounds(lag=0.25, memory=1000)


class Process:
    """A process that is asked for so much a second. `lag` and `resident` are functions of what it admits a second."""

    def __init__(self, lag: Callable[[float], float], resident: Callable[[float], int | None] = lambda _: 10) -> None:
        self.shedding = Shedding()
        self.now = 0.0
        self._lag, self._resident = lag, resident
        self.rate = 0.0  # admitted a second of late

    def runs(self, seconds: float, *, asked: float, under_way: int = 1000) -> tuple[int, int]:
        """How many are let in and how many not, of so many asked in a second."""
        admitted = refused = 0
        ends, due = self.now + seconds, 0.0
        while self.now < ends:
            lag = self._lag(self.rate)
            spent = EVERY + lag
            self.now += spent
            let = 0
            due += asked * spent
            while due >= 1.0:
                due -= 1.0
                if self.shedding.admit(self.now, under_way=under_way) is None:
                    let += 1
                else:
                    refused += 1
            admitted += let
            self.rate = let / spent
            self.shedding.sample(self.now, lag=lag, resident=self._resident(self.rate), bounds=BOUNDS)
        return admitted, refused


def test_a_process_that_keeps_up_sheds_nothing() -> None:
    process = Process(lambda rate: 0.2 if rate > 100 else 0.0)
    assert process.runs(600, asked=5000)[1] == 0
    assert process.shedding.limit is None


@pytest.mark.parametrize("pause", [0.3, 3.0, 60.0])
def test_a_moment_that_blocks_is_no_overload(pause: float) -> None:
    """However long, and however often, as long as the loop is in order between."""
    shedding, now = Shedding(), 0.0
    for number in range(1000):
        lag = pause if number % 4 < 2 else 0.0
        now += EVERY + lag
        shedding.sample(now, lag=lag, resident=10, bounds=BOUNDS)
        assert shedding.limit is None


def test_lag_that_lasts_sheds_within_seconds_and_no_sooner_than_one() -> None:
    shedding, now, began = Shedding(), 0.0, None
    shedding.sample(now, lag=0.0, resident=10, bounds=BOUNDS)
    while shedding.limit is None:
        now += EVERY + 0.3
        shedding.sample(now, lag=0.3, resident=10, bounds=BOUNDS)
        assert now < 5
    began = now
    assert began >= 1.0
    assert (shedding.reason, shedding.standing) == ("lag", 0.3)


def test_what_is_admitted_finds_what_can_be_served() -> None:
    """Twice what it can do is asked of it: it lets in about what it can, and the loop is not late for long."""
    capacity = 500.0
    process = Process(lambda rate: 0.6 if rate > capacity else 0.02)
    process.runs(20, asked=2 * capacity)
    admitted, refused = process.runs(60, asked=2 * capacity)
    assert admitted / 60 > 0.6 * capacity
    assert refused > 0


def test_it_is_over_by_itself_when_less_is_asked() -> None:
    process = Process(lambda rate: 0.6 if rate > 500 else 0.0)
    process.runs(30, asked=2000)
    assert process.shedding.limit is not None
    process.runs(20, asked=100)
    assert process.shedding.limit is None
    assert process.shedding.reason is None
    assert process.runs(60, asked=450)[1] == 0


def test_some_are_always_let_in() -> None:
    """A loop that is late whatever is done, because of the streams it carries: new requests are few, not none."""
    process = Process(lambda _: 1.0)
    process.runs(120, asked=3000)
    admitted, _ = process.runs(100, asked=3000)
    assert process.shedding.limit == FLOOR
    assert admitted / 100 == pytest.approx(FLOOR, rel=0.3)


def test_a_process_of_which_little_is_asked_never_sheds_for_lag() -> None:
    process = Process(lambda _: 0.5)
    assert process.runs(600, asked=FLOOR / 2)[1] == 0


def test_memory_sheds_but_never_the_few_that_cannot_be_what_fills_it() -> None:
    process = Process(lambda _: 0.0, lambda _: 1001)
    process.runs(10, asked=1000)
    assert process.shedding.reason == "memory"
    assert process.runs(10, asked=1000)[1] > 0
    assert process.runs(10, asked=1000, under_way=FEW)[1] == 0


def test_memory_that_cannot_be_read_or_has_no_bound_sheds_nothing() -> None:
    process = Process(lambda _: 0.0, lambda _: None)
    assert process.runs(60, asked=1000)[1] == 0
    shedding = Shedding()
    for number in range(100):
        shedding.sample(number * EVERY, lag=0.0, resident=10**12, bounds=Bounds(0.25, None))
    assert shedding.limit is None


@given(st.integers(0, 2**32), st.floats(50, 2000), st.floats(0.26, 3.0))
@settings(max_examples=60, deadline=None)
def test_whatever_happened_it_recovers(seed: int, asked: float, lag: float) -> None:
    rng = random.Random(seed)
    process = Process(lambda rate: lag * rng.random() * 2 if rate > asked / 3 else 0.0)
    process.runs(rng.uniform(1, 60), asked=asked)
    assert process.shedding.limit is None or process.shedding.limit >= FLOOR
    calm = Process(lambda _: 0.0)
    calm.shedding, calm.now = process.shedding, process.now
    calm.runs(60, asked=asked)
    assert calm.shedding.limit is None
