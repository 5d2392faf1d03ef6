"""Meters while their store is away: each admits its part, and tells what it did when the store is back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from ccx.errors import GatewayError
from ccx.state.failsafe import FailsafeMeters
from ccx.state.link import UnreachableError
from ccx.state.meters import Charge, Held, MemoryMeters, Meter, Rate, Short, Sum, Taken, Threshold, Use

TEN = Rate("r", 12, 60.0)
PLACES = Held("h", 6)
DOLLAR = Sum("s", 1200)


class Store:
    """A shared store that is there or not, over memory."""

    def __init__(self) -> None:
        self.up = True
        self.dies = False
        self.meters = MemoryMeters()

    async def charge(self, charges: tuple[Charge, ...], *, now: float) -> tuple[Taken | Short, tuple[int, ...]]:
        self._there()
        answer = self.meters.take_now(charges, now=now)
        return answer, await self._used(charges, now)

    def settling(
        self, taken: Taken, used: Mapping[str, int], *, least: Mapping[str, int] | None = None
    ) -> asyncio.Future[list[int]]:
        self._there()
        for charge in taken.charges:
            low = (least or {}).get(charge.meter.id, 0)
            level = self.meters._used(charge.meter, taken.at)
            if low > level:
                raised = Taken((Charge(charge.meter, 0),), taken.at)
                self.meters.settle_now(raised, {charge.meter.id: low - level}, now=taken.at)
        self.meters.settle_now(taken, used, now=taken.at)
        return asyncio.ensure_future(self._listed(taken.charges, taken.at))

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        self._there()
        return await self.meters.standing(meters, now=now)

    async def _used(self, charges: tuple[Charge, ...], now: float) -> tuple[int, ...]:
        return tuple(use.used for use in await self.meters.standing(tuple(c.meter for c in charges), now=now))

    async def _listed(self, charges: tuple[Charge, ...], now: float) -> list[int]:
        return [*await self._used(charges, now), *(self.meters.spent(charge.meter) for charge in charges)]

    def _there(self) -> None:
        if self.dies:
            self.up = False
        if not self.up:
            raise UnreachableError("away")


async def granted(meters: FailsafeMeters, charge: Charge, *, now: float = 0.0, of: int = 100) -> int:
    found = [await meters.take((charge,), now=now) for _ in range(of)]
    return sum(isinstance(one, Taken) for one in found)


def pair(sharing: int = 3, *, closed: bool = False) -> tuple[FailsafeMeters, Store]:
    store = Store()
    meters = FailsafeMeters(store, closed=closed)
    meters.sharing = sharing
    return meters, store


async def test_a_part_of_each_limit_while_the_store_is_away() -> None:
    meters, store = pair()
    store.up = False
    assert meters.mode == "local"
    assert await granted(meters, Charge(TEN)) == 4
    assert await granted(meters, Charge(PLACES)) == 2
    assert await granted(meters, Charge(DOLLAR, 100)) == 4
    short = await meters.take((Charge(TEN),), now=0.0)
    assert short == Short(TEN, 0, 15.0)  # 12 a minute for three: one every 15 s for each


async def test_a_rate_of_fewer_than_share_it_stays_exact_over_time() -> None:
    meters, store = pair(sharing=4)
    store.up = False
    one = Rate("one", 2, 60.0)
    assert await granted(meters, Charge(one)) == 1
    assert await meters.take((Charge(one),), now=0.0) == Short(one, 0, 120.0)


async def test_it_goes_on_from_what_was_known() -> None:
    meters, store = pair()
    for _ in range(6):
        await meters.take((Charge(TEN), Charge(DOLLAR, 100)), now=0.0)
    store.up = False
    assert await granted(meters, Charge(TEN)) == 2  # half of four are used
    assert await granted(meters, Charge(DOLLAR, 100)) == 2  # 600 left for three
    uses = await meters.standing((TEN, DOLLAR), now=0.0)
    assert [use.used for use in uses] == [12, 800]


async def test_places_held_before_count_and_are_given_back() -> None:
    meters, store = pair()
    held = await meters.take((Charge(PLACES),), now=0.0)
    assert isinstance(held, Taken)
    store.up = False
    assert await granted(meters, Charge(PLACES)) == 1
    await meters.settle(held, {}, now=0.0)
    assert await granted(meters, Charge(PLACES)) == 1
    assert [use.used for use in await meters.standing((PLACES,), now=0.0)] == [2]


async def test_a_store_that_is_back_is_told() -> None:
    meters, store = pair()
    before = await meters.take((Charge(TEN, 2), Charge(DOLLAR, 100)), now=0.0)
    assert isinstance(before, Taken)
    store.up = False
    await meters.settle(before, {"r": 1, "s": 30}, now=0.0)
    alone = await meters.take((Charge(TEN, 3), Charge(DOLLAR, 200)), now=0.0)
    assert isinstance(alone, Taken)
    late = await meters.take((Charge(DOLLAR, 50),), now=0.0)
    assert isinstance(late, Taken)
    await meters.settle(alone, {"s": 150}, now=0.0)
    store.up = True
    await meters.take((Charge(TEN, 0),), now=0.0)
    assert [use.used for use in await meters.standing((TEN, DOLLAR), now=0.0)] == [4, 230], (
        "what is under way is charged by its estimate"
    )
    await meters.settle(late, {"s": 40}, now=0.0)
    await meters.take((Charge(TEN, 0),), now=0.0)
    assert [use.used for use in await meters.standing((TEN, DOLLAR), now=0.0)] == [4, 220]


async def test_a_store_that_lost_all_learns_what_was_spent() -> None:
    meters, store = pair()
    taken = await meters.take((Charge(DOLLAR, 800),), now=0.0)
    assert isinstance(taken, Taken)
    await meters.settle(taken, {"s": 700}, now=0.0)
    await asyncio.sleep(0)
    store.up, store.meters = False, MemoryMeters()
    assert isinstance(await meters.take((Charge(DOLLAR, 100),), now=0.0), Taken)
    store.up = meters.forgotten = True
    await meters.take((Charge(DOLLAR, 0),), now=0.0)
    assert [use.used for use in await meters.standing((DOLLAR,), now=0.0)] == [800]
    assert not meters.forgotten


async def test_a_store_that_dies_under_a_take_is_done_without() -> None:
    meters, store = pair()
    store.dies = True
    assert isinstance(await meters.take((Charge(TEN),), now=0.0), Taken)
    assert meters.mode == "local"


async def test_closed_admits_nothing_that_is_limited() -> None:
    meters, store = pair(closed=True)
    held = await meters.take((Charge(PLACES),), now=0.0)
    assert isinstance(held, Taken)
    store.dies = True
    for _ in range(2):
        with pytest.raises(GatewayError) as refused:
            await meters.take((Charge(TEN),), now=0.0)
        assert refused.value.status == 503
        assert dict(refused.value.headers)[b"retry-after"] == b"5"
    assert meters.mode == "closed"
    await meters.settle(held, {}, now=0.0)  # never raises


async def test_what_is_owed_is_bounded_and_survives_a_store_that_dies_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccx.state.failsafe.REMEMBERED", 4)
    meters, store = pair(sharing=1)
    store.up = False
    for number in range(6):
        taken = await meters.take((Charge(Sum(f"s{number}", 100), 5),), now=0.0)
        assert isinstance(taken, Taken)
        await meters.settle(taken, {}, now=0.0)
    store.up = store.dies = True
    assert isinstance(await meters.take((Charge(TEN),), now=0.0), Taken)
    store.dies, store.up = False, True
    await meters.take((Charge(TEN),), now=0.0)
    kept = await meters.standing(tuple(Sum(f"s{number}", 100) for number in range(6)), now=0.0)
    assert [use.used for use in kept] == [0, 0, 0, 5, 5, 5]


async def test_what_was_spent_without_the_store_is_told_when_it_is_back() -> None:
    """By settlements alone: neither what was reserved before it went away nor what is reserved now."""
    marked = Sum("s", 1200, thresholds=(Threshold(600, "50%"),))
    store, told = Store(), list[int]()
    meters = FailsafeMeters(store)
    meters.on_spent = lambda meter, spent: told.append(spent)
    before = await meters.take((Charge(marked, 100),), now=0.0)
    exact = await meters.take((Charge(marked, 10),), now=0.0)
    open_ = await meters.take((Charge(marked, 70),), now=0.0)
    assert isinstance(before, Taken)
    assert isinstance(exact, Taken)
    assert isinstance(open_, Taken)
    store.up = False
    await meters.settle(before, {"s": 30}, now=1.0)
    await meters.settle(exact, {}, now=1.0)
    alone = await meters.take((Charge(marked, 50),), now=1.0)
    assert isinstance(alone, Taken)
    await meters.settle(alone, {"s": 200}, now=1.0)
    assert told == []
    store.up = True
    again = await meters.take((Charge(marked, 5),), now=2.0)
    assert isinstance(again, Taken)
    for _ in range(3):
        await asyncio.sleep(0)
    assert told == [240]
    assert [use.used for use in await meters.standing((marked,), now=2.0)] == [315]
    await meters.settle(again, {"s": 400}, now=2.0)
    assert told[-1] == 640
