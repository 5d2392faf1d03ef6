"""Meters that are shared with others, and what is done while the shared store is away.

Laws
- While it answers, it alone decides. What is known of it then (how much is used, how many share it) is kept.
- While it is away, `local` admits this process's part of every limit: a rate, a number of places and what was left of
  a sum, each divided by how many shared them. A rate goes on from what was used when the store was last heard of.
  `closed` admits nothing that is limited.
- When it is back, it decides again from the next take on, and is told first what was used without it. A store that has
  lost everything meanwhile is told what is known to have been spent of sums, so that no budget begins anew.
- A settlement is never lost by cancellation, never raises, and never waits longer than one answer may take.

Where a limit is less than the number of those who share it, each still admits one at a time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol, assert_never

from ccx.errors import GatewayError
from ccx.state.link import UnreachableError
from ccx.state.meters import Charge, Held, MemoryMeters, Meter, OnSpent, Rate, Short, Sum, Taken, Use, tell

REMEMBERED: Final = 10_000
"""Meters of which it is kept what was last known, and what is owed, each."""
RETRY_AFTER: Final = 5
"""Seconds after which a client that was refused because the store is away may ask again."""

_ALONE: Final = "alone:"


class SharedMeters(Protocol):
    """Meters elsewhere. Each of these raises UnreachableError."""

    @property
    def up(self) -> bool:
        """Whether they can be asked at the moment."""

    async def charge(self, charges: tuple[Charge, ...], *, now: float) -> tuple[Taken | Short, tuple[int, ...]]:
        """Take, and what is then used of each meter."""

    def settling(
        self, taken: Taken, used: Mapping[str, int], *, least: Mapping[str, int] | None = None
    ) -> asyncio.Future[list[int]]:
        """Settle; the future gets what is then used of each meter, and after that what is spent of each. `least` is
        what is used of a meter at least."""

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        """See `Meters`."""


@dataclass(slots=True)
class _Known:
    meter: Rate | Sum
    used: int
    at: float


@dataclass(frozen=True, slots=True)
class _Owed:
    """What the store has not been told of a meter: what was really used, and by how much more it has been charged for
    that by estimate, less what it has not been charged for what is still under way."""

    meter: Rate | Sum
    estimated: int
    used: int


@dataclass(frozen=True, slots=True)
class _Part:
    """This process's part of a meter. `seed` is what its rate began with, at `at`."""

    whole: Meter
    meter: Meter
    seed: int
    at: float


class _Alone:
    """A time without the store."""

    def __init__(self, number: int, *, sharing: int, known: Mapping[str, _Known]) -> None:
        self.mark = f"{_ALONE}{number}"
        self.meters = MemoryMeters()
        self.sharing = sharing
        self.parts: dict[str, _Part] = {}
        self._known = dict(known)

    def part(self, whole: Meter, *, held: int, now: float) -> Meter:
        """This process's part of a meter. `held` is how many places this process held when the store went away."""
        share = max(1, whole.capacity // self.sharing)
        known = self._known.get(whole.id)
        match whole:
            case Rate(id_, capacity, seconds):
                found = self.parts.get(id_)
                if found is not None and found.whole == whole:
                    return found.meter
                part = Rate(id_, share, seconds * share * self.sharing / capacity)
                seed = 0
                if found is None and known is not None:
                    flown = max(0.0, now - known.at) * capacity / seconds
                    seed = max(0, int((known.used - flown) * share / capacity))
                    self._begin(part, seed, now)
                self.parts[id_] = _Part(whole, part, seed if found is None else found.seed, now)
                return part
            case Held(id_, _, longest):
                return Held(id_, max(0, share - held), longest)
            case Sum(id_, capacity, ends):
                spent = known.used if known is not None else 0
                left = max(0, capacity - spent)
                part_ = Sum(id_, left // self.sharing, ends)
                self.parts[id_] = _Part(whole, part_, 0, now)
                return part_
            case _:
                assert_never(whole)

    def _begin(self, part: Rate, seed: int, now: float) -> None:
        self.meters.settle_now(Taken((Charge(part, 0),), now), {part.id: seed}, now=now)

    async def used_of_rates(self, now: float) -> list[tuple[Rate, int]]:
        """What was used of rates beyond what they began with, as far as it has not flown off."""
        found = []
        for part in self.parts.values():
            if isinstance(part.whole, Rate) and isinstance(part.meter, Rate):
                (use,) = await self.meters.standing((part.meter,), now=now)
                flown = max(0.0, now - part.at) * part.meter.capacity / part.meter.seconds
                more = use.used - max(0, int(part.seed - flown))
                if more > 0:
                    found.append((part.whole, more))
        return found


class FailsafeMeters:
    """Meters that never keep a request waiting for a store that is away (`ccx.state.meters.Meters`)."""

    def __init__(self, shared: SharedMeters, *, closed: bool = False) -> None:
        self.sharing = 1
        """How many share the store, as last known."""
        self.forgotten = False
        """Whether the store has been found to have lost what it held: it is told at its return what is known."""
        self._shared = shared
        self._closed = closed
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._held: Counter[str] = Counter()
        self._owed: OrderedDict[str, _Owed] = OrderedDict()
        self.on_spent: OnSpent | None = None
        self._alone: _Alone | None = None
        self._times = 0

    @property
    def mode(self) -> str:
        """How takes are decided at the moment: shared, local or closed."""
        if self._shared.up:
            return "shared"
        return "closed" if self._closed else "local"

    async def take(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        """See `Meters`. Raises GatewayError 503 where the store is away and nothing may be admitted without it."""
        if self._shared.up:
            if self._alone is not None or self._owed or self.forgotten:
                await self._tell(now)
            try:
                answer, used = await self._shared.charge(charges, now=now)
            except UnreachableError:
                pass
            else:
                self._learn(charges, used, now=now)
                if isinstance(answer, Taken):
                    self._hold(answer, 1)
                return answer
        if self._closed:
            raise GatewayError(
                503,
                "overloaded",
                "The store of limits is away, and this gateway admits nothing that is limited without it.",
                headers=((b"retry-after", str(RETRY_AFTER).encode()),),
            )
        return self._take_alone(charges, now=now)

    async def settle(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        """See `Meters`."""
        if taken.token.startswith(_ALONE):
            self._settle_alone(taken, used, now=now)
            if self._shared.up and self._owed:
                await self._tell(now)
            return
        self._hold(taken, -1)
        try:
            settling = self._shared.settling(taken, used)
        except UnreachableError:
            for one in taken.charges:
                if not isinstance(one.meter, Held):
                    self._owe(one.meter, one.amount, used.get(one.meter.id, one.amount))
            return
        settling.add_done_callback(lambda done: self._settled(taken, done, now=now))
        try:
            await asyncio.shield(settling)
        except UnreachableError:
            return  # done or not, nobody knows: the estimate stands, what was held lapses

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        """See `Meters`. Without the store: as far as this process knows."""
        if self._shared.up:
            try:
                return await self._shared.standing(meters, now=now)
            except UnreachableError:
                pass
        return tuple([Use(meter, await self._used_alone(meter, now=now)) for meter in meters])

    async def _used_alone(self, meter: Meter, *, now: float) -> int:
        alone, known = self._alone, self._known.get(meter.id)
        part = alone.parts.get(meter.id) if alone is not None else None
        mine = 0
        if alone is not None:
            (use,) = await alone.meters.standing((part.meter if part is not None else meter,), now=now)
            mine = use.used
        match meter:
            case Held():
                return mine + self._held[meter.id]
            case Sum():
                return mine + (known.used if known is not None else 0)
            case Rate():
                if part is not None and alone is not None:
                    return min(meter.capacity, mine * alone.sharing)
                flown = (now - known.at) * meter.capacity / meter.seconds if known is not None else 0.0
                return max(0, int(known.used - max(0.0, flown))) if known is not None else 0
            case _:
                assert_never(meter)

    def _take_alone(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        if self._alone is None:
            self._times += 1
            self._alone = _Alone(self._times, sharing=self.sharing, known=self._known)
        alone = self._alone
        parts = tuple(replace(c, meter=alone.part(c.meter, held=self._held[c.meter.id], now=now)) for c in charges)
        answer = alone.meters.take_now(parts, now=now)
        if isinstance(answer, Taken):
            for one in charges:
                # Owed from now on, not from its settlement: the store may be back before.
                if isinstance(one.meter, Sum):
                    self._owe(one.meter, -one.amount, 0)
            return Taken(charges, now, alone.mark)
        whole = next(c.meter for c in charges if c.meter.id == answer.meter.id)
        return Short(whole, answer.left, answer.wait)

    def _settle_alone(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        alone = self._alone
        if alone is not None and alone.mark == taken.token:
            parts = tuple(replace(c, meter=alone.part(c.meter, held=0, now=now)) for c in taken.charges)
            alone.meters.settle_now(Taken(parts, taken.at), used, now=now)
        for one in taken.charges:
            if isinstance(one.meter, Sum):
                self._owe(one.meter, one.amount, used.get(one.meter.id, one.amount))

    def _owe(self, meter: Rate | Sum, estimated: int, used: int) -> None:
        if not estimated and not used:
            return
        before = self._owed.get(meter.id)
        if before is not None:
            estimated, used = estimated + before.estimated, used + before.used
        self._owed[meter.id] = _Owed(meter, estimated, used)
        if len(self._owed) > REMEMBERED:
            self._owed.popitem(last=False)

    async def _tell(self, now: float) -> None:
        """Tell a store that is back what happened without it. Sent before whatever is asked next."""
        alone, self._alone = self._alone, None
        if alone is not None:
            for rate, more in await alone.used_of_rates(now):
                self._owe(rate, 0, more)
        least = {}
        if self.forgotten:
            self.forgotten = False
            least = {id_: known.used for id_, known in self._known.items() if isinstance(known.meter, Sum)}
        owed, self._owed = self._owed, OrderedDict()
        for id_ in least:
            owed.setdefault(id_, _Owed(self._known[id_].meter, 0, 0))
        charges = tuple(Charge(one.meter, one.estimated) for one in owed.values())
        used = {one.meter.id: one.used for one in owed.values()}
        for first in range(0, len(charges), 500):
            taken = Taken(charges[first : first + 500], now)
            try:
                settling = self._shared.settling(taken, used, least=least)
            except UnreachableError:
                for one in list(owed.values())[first:]:
                    self._owe(one.meter, one.estimated, one.used)
                self.forgotten = self.forgotten or bool(least)
                return
            settling.add_done_callback(partial(self._settled, taken, now=now))

    def _hold(self, taken: Taken, times: int) -> None:
        for one in taken.charges:
            if isinstance(one.meter, Held):
                self._held[one.meter.id] += times * one.amount
                if not self._held[one.meter.id]:
                    del self._held[one.meter.id]

    def _settled(self, taken: Taken, done: asyncio.Future[list[int]], *, now: float) -> None:
        if not done.cancelled() and done.exception() is None:
            found, count = done.result(), len(taken.charges)
            self._learn(taken.charges, tuple(found[:count]), now=now)
            tell(self.on_spent, taken.charges, found[count:])

    def _learn(self, charges: tuple[Charge, ...], used: tuple[int, ...], *, now: float) -> None:
        known = self._known
        for one, much in zip(charges, used, strict=True):
            meter = one.meter
            if not isinstance(meter, Held):
                known[meter.id] = _Known(meter, much, now)
                known.move_to_end(meter.id)
        while len(known) > REMEMBERED:
            known.popitem(last=False)
