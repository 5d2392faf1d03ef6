"""What every store of meters does alike: a suite to subclass, and a machine that runs two stores side by side.

Figures are such that no rounding can tell two stores apart: capacities and seconds are powers of two, moments quarters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ccx.state.meters import Charge, Held, Meter, Meters, Rate, Short, Sum, Taken, Threshold

EIGHT = Rate("client 'a'/requests/16", 8, 16.0)
TWO = Held("client 'a'/concurrency", 2, 1e9)
DOLLAR = Sum("client 'a'/usd/2026-01", 1_000_000, ends=1_000_100.0)
EVER = Sum("client 'a'/usd/total", 1000)
START = 1_000_000.0

Open = Callable[[Callable[[], float]], Awaitable[Meters]]


class Suite:
    """Laws of `ccx.state.meters`, asked of one store. A subclass gives `meters` as a fixture, and sets `clock`."""

    now: float = START

    async def take(self, meters: Meters, *charges: Charge, after: float = 0.0) -> Taken | Short:
        self.now += after
        return await meters.take(charges, now=self.now)

    async def used(self, meters: Meters, *of: Meter) -> tuple[int, ...]:
        return tuple(use.used for use in await meters.standing(of, now=self.now))

    async def test_a_rate_refills_evenly_and_says_when(self, meters: Meters) -> None:
        for _ in range(8):
            assert isinstance(await self.take(meters, Charge(EIGHT)), Taken)
        assert await self.take(meters, Charge(EIGHT)) == Short(EIGHT, 0, 2.0)
        assert await self.take(meters, Charge(EIGHT, 3), after=2.0) == Short(EIGHT, 1, 4.0)
        assert isinstance(await self.take(meters, Charge(EIGHT, 3), after=4.0), Taken)

    async def test_all_or_nothing_and_the_longest_wait(self, meters: Meters) -> None:
        await self.take(meters, Charge(EIGHT, 8))
        charges = (Charge(TWO), Charge(EIGHT, 4), Charge(DOLLAR, 2_000_000))
        assert await self.take(meters, *charges) == Short(EIGHT, 0, 8.0)
        assert await self.used(meters, EIGHT, TWO, DOLLAR) == (8, 0, 0)

    async def test_more_than_it_could_ever_hold_waits_for_a_whole_one_and_repays(self, meters: Meters) -> None:
        assert isinstance(await self.take(meters, Charge(EIGHT, 20)), Taken)
        assert await self.take(meters, Charge(EIGHT)) == Short(EIGHT, 0, 26.0)
        assert isinstance(await self.take(meters, Charge(EIGHT), after=26.0), Taken)

    async def test_what_is_held_is_given_back(self, meters: Meters) -> None:
        first = await self.take(meters, Charge(TWO))
        assert isinstance(first, Taken)
        assert isinstance(await self.take(meters, Charge(TWO)), Taken)
        assert await self.take(meters, Charge(TWO)) == Short(TWO, 0, None)
        await meters.settle(first, {}, now=self.now)
        assert isinstance(await self.take(meters, Charge(TWO)), Taken)
        assert await self.used(meters, TWO) == (2,)

    async def test_estimates_give_way_to_what_was_used(self, meters: Meters) -> None:
        taken = await self.take(meters, Charge(EIGHT, 2), Charge(DOLLAR, 500_000))
        assert isinstance(taken, Taken)
        await meters.settle(taken, {EIGHT.id: 7, DOLLAR.id: 20_000}, now=self.now)
        assert await self.used(meters, EIGHT, DOLLAR) == (7, 20_000)
        more = await self.take(meters, Charge(EIGHT, 1))
        assert isinstance(more, Taken)
        await meters.settle(more, {EIGHT.id: 6}, now=self.now)
        assert await self.take(meters, Charge(EIGHT)) == Short(EIGHT, 0, 12.0)  # in debt: 13 used

    async def test_a_sum_lasts_until_it_ends(self, meters: Meters) -> None:
        await self.take(meters, Charge(DOLLAR, 900_000))
        assert await self.take(meters, Charge(DOLLAR, 200_000), after=40.0) == Short(DOLLAR, 100_000, 60.0)
        assert await self.take(meters, Charge(DOLLAR, 1_000_001)) == Short(DOLLAR, 100_000, None)
        later = Sum(DOLLAR.id, 1_000_000, ends=START + 200)
        assert await self.take(meters, Charge(later, 1_000_001), after=60.0) == Short(later, 1_000_000, None)
        assert isinstance(await self.take(meters, Charge(later, 200_000)), Taken)
        assert await self.take(meters, Charge(EVER, 1001)) == Short(EVER, 1000, None)

    async def test_another_capacity_keeps_what_is_used(self, meters: Meters) -> None:
        await self.take(meters, Charge(EIGHT, 8))
        tighter, wider = Rate(EIGHT.id, 4, 8.0), Rate(EIGHT.id, 128, 16.0)
        assert await self.take(meters, Charge(tighter)) == Short(tighter, 0, 10.0)
        assert isinstance(await self.take(meters, Charge(wider, 120)), Taken)

    async def test_a_clock_that_jumps_back_gives_nothing_away(self, meters: Meters) -> None:
        await self.take(meters, Charge(EIGHT, 8), after=50.0)
        assert isinstance(await self.take(meters, Charge(EIGHT), after=-30.0), Short)
        assert isinstance(await self.take(meters, Charge(EIGHT), after=32.0), Taken)

    async def test_what_is_spent_is_what_was_settled(self, meters: Meters) -> None:
        told: list[tuple[Sum, int]] = []
        meters.on_spent = lambda meter, spent: told.append((meter, spent))
        marked = Sum("client 'a'/usd/2026-02", 1000, ends=START + 500, thresholds=(Threshold(500, "50%"),))
        plain = Sum("client 'a'/usd/2026-03", 1000)
        first = await self.take(meters, Charge(marked, 400), Charge(plain, 400))
        second = await self.take(meters, Charge(marked, 300), Charge(EIGHT))
        third = await self.take(meters, Charge(marked, 100))
        assert isinstance(first, Taken)
        assert isinstance(second, Taken)
        assert isinstance(third, Taken)
        await meters.settle(second, {marked.id: 50}, now=self.now)  # what is reserved by others is not spent
        await meters.settle(third, {}, now=self.now)  # right as estimated
        await meters.settle(first, {marked.id: 0, plain.id: 7}, now=self.now)
        assert told == [(marked, 50), (marked, 150), (marked, 150)]
        assert await self.used(meters, marked) == (150,)
        await meters.settle(Taken((Charge(marked, 0),), self.now), {marked.id: 600}, now=self.now)
        assert told[-1] == (marked, 750)

    async def test_ids_are_any_text(self, meters: Meters) -> None:
        odd = Rate("client 'zoë {x}:*\\n'/requests/60", 1, 64.0)
        assert isinstance(await self.take(meters, Charge(odd)), Taken)
        assert isinstance(await self.take(meters, Charge(odd)), Short)
        assert await self.used(meters, odd) == (1,)

    async def test_many_at_once_take_no_more_than_there_is(self, meters: Meters) -> None:
        rate = Rate("r", 64, 4096.0)
        found = await asyncio.gather(*(self.take(meters, Charge(rate), Charge(TWO)) for _ in range(200)))
        assert sum(isinstance(answer, Taken) for answer in found) == 2
        for answer in found:
            if isinstance(answer, Taken):
                await meters.settle(answer, {}, now=self.now)
        found = await asyncio.gather(*(self.take(meters, Charge(rate)) for _ in range(200)))
        assert sum(isinstance(answer, Taken) for answer in found) == 62


RATES = st.builds(
    Rate, st.sampled_from(("ra", "rb")), st.sampled_from((1, 4, 16)), st.sampled_from((0.5, 4.0, 16.0, 64.0))
)
HELDS = st.builds(Held, st.sampled_from(("ha", "hb")), st.integers(1, 3), st.just(1e12))
SUMS = st.one_of(
    st.builds(Sum, st.sampled_from(("sa", "sb")), st.sampled_from((8, 32)), st.sampled_from((START + 40, START + 90))),
    st.builds(Sum, st.just("se"), st.sampled_from((16, 64)), st.none()),
)
CHARGES = st.lists(
    st.builds(Charge, st.one_of(RATES, HELDS, SUMS), st.integers(1, 9)), max_size=4, unique_by=lambda c: c.meter.id
)


class Alike(RuleBasedStateMachine):
    """Two stores that are given the same takes, settlements and time answer alike. `stores` opens both."""

    run: Callable[..., Any]
    one: Meters
    other: Meters
    now: float

    def __init__(self) -> None:
        super().__init__()
        self.out: list[tuple[Taken, Taken]] = []
        self.seen: dict[str, Meter] = {}

    @rule(seconds=st.integers(-8, 80))
    def time_passes(self, seconds: int) -> None:
        type(self).now += seconds / 4

    @rule(charges=CHARGES)
    def takes(self, charges: list[Charge]) -> None:
        self.seen.update({charge.meter.id: charge.meter for charge in charges})
        one = self.run(self.one.take(tuple(charges), now=self.now))
        other = self.run(self.other.take(tuple(charges), now=self.now))
        if isinstance(one, Taken):
            assert isinstance(other, Taken), other
            self.out.append((one, other))
        else:
            assert one == other

    @rule(which=st.integers(0, 100), actual=st.lists(st.integers(0, 12), min_size=4, max_size=4), named=st.booleans())
    def settles(self, which: int, actual: list[int], named: bool) -> None:
        if self.out:
            one, other = self.out.pop(which % len(self.out))
            used = {c.meter.id: amount for c, amount in zip(one.charges, actual, strict=False)} if named else {}
            self.run(self.one.settle(one, used, now=self.now))
            self.run(self.other.settle(other, used, now=self.now))

    @invariant()
    def stand_alike(self) -> None:
        meters = tuple(self.seen.values())
        assert self.run(self.one.standing(meters, now=self.now)) == self.run(self.other.standing(meters, now=self.now))


CALLERS = {"a": ("own a", "core"), "b": ("own b", "core", "gold"), "c": ("core",), "d": ("own d", "gold", "every")}
"""What the limits of each client hang on: its own, and those of its groups."""


class Shared(RuleBasedStateMachine):
    """Clients whose limits are partly those of their groups, against a plain sum of what was let through and not given
    back. `meters` is the store."""

    run: Callable[..., Any]
    meters: Meters
    now: float

    def __init__(self) -> None:
        super().__init__()
        self.out: list[tuple[str, int, Taken]] = []
        self.sums: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        self.places: dict[str, int] = {}
        self.told: dict[str, int] = {}

    def of(self, caller: str) -> list[tuple[Held, Sum]]:
        thresholds = (Threshold(20, "50%"),)
        return [
            (Held(f"{of}/concurrency", 3, 1e12), Sum(f"{of}/usd/total", 40, thresholds=thresholds))
            for of in CALLERS[caller]
        ]

    @rule(caller=st.sampled_from(sorted(CALLERS)), estimate=st.integers(0, 12))
    def asks(self, caller: str, estimate: int) -> None:
        charges = tuple(c for place, money in self.of(caller) for c in (Charge(place), Charge(money, estimate)))
        answer = self.run(self.meters.take(charges, now=self.now))
        full = {place.id for place, _ in self.of(caller) if self.places.get(place.id, 0) == 3}
        if estimate:
            full |= {money.id for _, money in self.of(caller) if self.sums.get(money.id, 0) + estimate > 40}
        if full:
            assert isinstance(answer, Short)
            assert answer.meter.id in full
            return
        assert isinstance(answer, Taken), answer
        self.out.append((caller, estimate, answer))
        for place, money in self.of(caller):
            self.places[place.id] = self.places.get(place.id, 0) + 1
            self.sums[money.id] = self.sums.get(money.id, 0) + estimate

    @rule(which=st.integers(0, 100), actual=st.integers(0, 20))
    def is_answered(self, which: int, actual: int) -> None:
        if not self.out:
            return
        caller, estimate, taken = self.out.pop(which % len(self.out))
        self.meters.on_spent = lambda meter, spent: self.told.update({meter.id: spent})
        self.run(self.meters.settle(taken, {money.id: actual for _, money in self.of(caller)}, now=self.now))
        for place, money in self.of(caller):
            self.places[place.id] -= 1
            self.sums[money.id] += actual - estimate
            self.spent[money.id] = self.spent.get(money.id, 0) + actual
        # What is forgotten as whole again was spent of by nobody.
        assert {id_: spent for id_, spent in self.told.items() if spent} == {
            id_: spent for id_, spent in self.spent.items() if spent
        }

    @invariant()
    def stands(self) -> None:
        for expected, capacity in ((self.places, 3), (self.sums, 40)):
            meters = tuple(
                Held(id_, capacity, 1e12) if expected is self.places else Sum(id_, capacity) for id_ in expected
            )
            found = {use.meter.id: use.used for use in self.run(self.meters.standing(meters, now=self.now))}
            assert found == expected
