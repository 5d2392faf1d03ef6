"""Meters: what is let through, what a refusal says, and what is left when all is settled."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from ccx.state.meters import Charge, Held, MemoryMeters, Rate, Short, Sum, Taken
from tests.state.conformance import START, Shared

TEN = Rate("r", 10, 10.0)
TWO = Held("h", 2)
DOLLAR = Sum("s", 1_000_000, ends=100.0)


def take(meters: MemoryMeters, *charges: Charge, now: float = 0.0) -> Taken | Short:
    return meters.take_now(charges, now=now)


async def used(meters: MemoryMeters, now: float = 0.0) -> tuple[int, ...]:
    return tuple(use.used for use in await meters.standing((TEN, TWO, DOLLAR), now=now))


async def test_a_rate_refills_evenly_and_says_when() -> None:
    meters = MemoryMeters()
    for _ in range(10):
        assert isinstance(take(meters, Charge(TEN)), Taken)
    assert take(meters, Charge(TEN)) == Short(TEN, 0, 1.0)
    assert take(meters, Charge(TEN, 3), now=1.0) == Short(TEN, 1, 2.0)
    assert isinstance(take(meters, Charge(TEN, 3), now=3.0), Taken)
    assert isinstance(take(meters, Charge(TEN, 10), now=13.0), Taken)


async def test_all_or_nothing_and_the_longest_wait() -> None:
    meters = MemoryMeters()
    take(meters, Charge(TEN, 10))
    short = take(meters, Charge(TEN, 4), Charge(TWO), Charge(DOLLAR, 5))
    assert short == Short(TEN, 0, 4.0)
    assert await used(meters) == (10, 0, 0)


async def test_more_than_it_could_ever_hold_waits_for_a_whole_one_and_repays() -> None:
    meters = MemoryMeters()
    assert isinstance(take(meters, Charge(TEN, 25)), Taken)
    assert take(meters, Charge(TEN)) == Short(TEN, 0, 16.0)
    assert isinstance(take(meters, Charge(TEN), now=16.0), Taken)


async def test_what_is_held_is_given_back() -> None:
    meters = MemoryMeters()
    first, second = take(meters, Charge(TWO)), take(meters, Charge(TWO))
    assert isinstance(first, Taken)
    assert isinstance(second, Taken)
    assert take(meters, Charge(TWO)) == Short(TWO, 0, None)
    meters.settle_now(first, {}, now=0.0)
    assert isinstance(take(meters, Charge(TWO)), Taken)


async def test_estimates_give_way_to_what_was_used() -> None:
    meters = MemoryMeters()
    low = take(meters, Charge(TEN, 2), Charge(DOLLAR, 500_000))
    assert isinstance(low, Taken)
    meters.settle_now(low, {"r": 9, "s": 20_000}, now=0.0)
    assert await used(meters) == (9, 0, 20_000)
    high = take(meters, Charge(TEN, 1))
    assert isinstance(high, Taken)
    meters.settle_now(high, {"r": 0}, now=0.0)
    assert await used(meters) == (9, 0, 20_000)
    meters.settle_now(low, {"r": 14}, now=0.0)
    assert take(meters, Charge(TEN)) == Short(TEN, 0, 12.0)  # in debt: 21 used


async def test_a_sum_lasts_until_it_ends() -> None:
    meters = MemoryMeters()
    take(meters, Charge(DOLLAR, 900_000))
    assert take(meters, Charge(DOLLAR, 200_000), now=40.0) == Short(DOLLAR, 100_000, 60.0)
    assert isinstance(take(meters, Charge(Sum("s", 1_000_000, ends=200.0), 200_000), now=100.0), Taken)
    assert take(meters, Charge(Sum("t", 5, ends=None), 6)) == Short(Sum("t", 5, ends=None), 5, None)


async def test_another_capacity_keeps_what_is_used() -> None:
    meters = MemoryMeters()
    take(meters, Charge(TEN, 8))
    assert take(meters, Charge(Rate("r", 4, 4.0))) == Short(Rate("r", 4, 4.0), 0, 5.0)
    assert isinstance(take(meters, Charge(Rate("r", 100, 10.0), 90)), Taken)


async def test_a_clock_that_jumps_back_gives_nothing_away() -> None:
    meters = MemoryMeters()
    take(meters, Charge(TEN, 10), now=50.0)
    assert isinstance(take(meters, Charge(TEN), now=20.0), Short)
    assert isinstance(take(meters, Charge(TEN), now=51.0), Taken)


async def test_what_is_whole_again_is_forgotten() -> None:
    meters = MemoryMeters()
    held = take(meters, Charge(TEN, 5), Charge(TWO), Charge(DOLLAR, 1))
    assert isinstance(held, Taken)
    meters.sweep(5.0)
    assert len(meters) == 2
    meters.settle_now(held, {"r": 2}, now=5.0)
    meters.sweep(100.0)
    assert len(meters) == 0


@given(
    st.integers(1, 20),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=80),
)
def test_never_more_than_the_bucket_and_its_refill(capacity: int, seconds: int, asks: list[tuple[int, int]]) -> None:
    """Over every stretch between two moments, what was granted is at most the capacity and what flowed in."""
    meters, rate, now = MemoryMeters(), Rate("r", capacity, float(seconds)), 0
    granted: list[tuple[int, int]] = []
    for wait, amount in asks:
        now += wait
        amount = min(amount, capacity)
        answer = take(meters, Charge(rate, amount), now=float(now))
        if isinstance(answer, Taken):
            granted.append((now, amount))
        else:
            assert answer.wait is not None
            probe = MemoryMeters()
            for at, was in granted:
                assert isinstance(take(probe, Charge(rate, was), now=float(at)), Taken)
            assert isinstance(take(probe, Charge(rate, amount), now=now + answer.wait + 1e-6), Taken)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            total = sum(amount for _, amount in granted[first : last + 1])
            assert total <= capacity + (granted[last][0] - granted[first][0]) * capacity / seconds + 1e-6


@given(st.lists(st.tuples(st.sampled_from("tg"), st.integers(0, 5)), max_size=60))
def test_places_held_are_counted_exactly(steps: list[tuple[str, int]]) -> None:
    meters, place, out = MemoryMeters(), Held("h", 3), list[Taken]()
    for what, which in steps:
        if what == "t":
            answer = take(meters, Charge(place))
            assert isinstance(answer, Taken) == (len(out) < 3)
            if isinstance(answer, Taken):
                out.append(answer)
        elif out:
            meters.settle_now(out.pop(which % len(out)), {}, now=0.0)
    for held in out:
        meters.settle_now(held, {}, now=0.0)
    meters.sweep(0.0)
    assert len(meters) == 0


def test_groups_share_in_memory() -> None:
    with asyncio.Runner() as runner:

        class InMemory(Shared):
            run = staticmethod(runner.run)
            now = START

            def __init__(self) -> None:
                super().__init__()
                self.meters = MemoryMeters()

        run_state_machine_as_test(InMemory, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
