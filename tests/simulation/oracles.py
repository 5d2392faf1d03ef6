"""Watchers that stand where the gateway keeps its state, and hold it to its word with books of their own."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from ccx.state.breaker import Verdict
from ccx.state.health import Cause, Health, TargetId
from ccx.state.health import Held as Place
from ccx.state.meters import Charge, Held, MemoryMeters, Meter, Rate, Short, Sum, Taken, Use
from ccx.state.retries import WINDOW, Retries

EPSILON: Final = 1e-6
number: ContextVar[int] = ContextVar("number", default=-1)
"""The request on whose behalf something happens."""


@dataclass(slots=True)
class _Book:
    used: float = 0.0
    at: float = 0.0
    each: float = 0.0


@dataclass(slots=True)
class Ledger:
    """A take: whose it was, and what it was settled with."""

    request: int
    taken: Taken
    used: Mapping[str, int] | None = None


class WatchedMeters:
    """Meters whose every grant is checked against a book of plain sums, and whose every take is to be settled once."""

    def __init__(self) -> None:
        self._real = MemoryMeters()
        self._books: dict[str, _Book] = {}
        self.takes: list[Ledger] = []
        self.shorts = 0

    async def take(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        answer = await self._real.take(charges, now=now)
        if isinstance(answer, Short):
            self.shorts += 1
            assert any(self._level(c.meter, now) + c.amount > c.meter.capacity - 1 + EPSILON for c in charges), (
                f"refused, and there was room: {answer}"
            )
            return answer
        for charge in charges:
            level, meter = self._level(charge.meter, now), charge.meter
            if isinstance(meter, Rate):
                assert level + min(charge.amount, meter.capacity) <= meter.capacity + EPSILON, f"{meter} exceeded"
            elif charge.amount:
                assert level + charge.amount <= meter.capacity, f"{meter} exceeded"
            self._books[meter.id].used += charge.amount
        self.takes.append(Ledger(number.get(), answer))
        return answer

    async def settle(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        (ledger,) = (one for one in self.takes if one.taken is taken)
        assert ledger.used is None, "settled twice"
        ledger.used = dict(used)
        for charge in taken.charges:
            meter = charge.meter
            actual = 0 if isinstance(meter, Held) else used.get(meter.id, charge.amount)
            level = self._level(meter, now)
            self._books[meter.id].used = max(0.0, level + actual - charge.amount)
        await self._real.settle(taken, used, now=now)

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        return await self._real.standing(meters, now=now)

    def open(self, request: int) -> set[str]:
        """Ids of the meters that a request is charged for at the moment."""
        mine = (one for one in self.takes if one.request == request and one.used is None)
        return {charge.meter.id for one in mine for charge in one.taken.charges}

    @property
    def left_open(self) -> list[Ledger]:
        """Takes that nobody has settled."""
        return [one for one in self.takes if one.used is None]

    def _level(self, meter: Meter, now: float) -> float:
        book = self._books.setdefault(meter.id, _Book(at=now))
        if book.each and now > book.at:
            book.used = max(0.0, book.used - (now - book.at) / book.each)
        book.at = max(now, book.at)
        if isinstance(meter, Rate):
            book.each = meter.seconds / meter.capacity
        elif isinstance(meter, Sum) and meter.ends is not None and now >= meter.ends:
            book.used = 0.0
        return book.used


@dataclass(slots=True)
class _Seconds:
    asked: Counter[int] = field(default_factory=Counter)
    granted: Counter[int] = field(default_factory=Counter)

    def last(self, of: Counter[int], second: int) -> int:
        return sum(of[one] for one in range(second - WINDOW + 1, second + 1))


class WatchedRetries(Retries):
    """Budgets with a low floor, so that some schedule reaches it."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self._floor = floor
        self._seen: dict[str, _Seconds] = defaultdict(_Seconds)
        self.granted: Counter[tuple[str, int]] = Counter()
        """By name and request."""

    def asked(self, name: str, now: float) -> None:
        self._seen[name].asked[int(now)] += 1
        super().asked(name, now)

    def grant(self, name: str, share: Fraction | None, now: float, *, floor: float | None = None) -> bool:
        floor = self._floor if floor is None else floor
        granted = super().grant(name, share, now, floor=floor)
        seen = self._seen[name]
        if granted:
            seen.granted[int(now)] += 1
            self.granted[name, number.get()] += 1
            if share is not None:
                most = max(floor * WINDOW, float(share) * seen.last(seen.asked, int(now)))
                assert seen.last(seen.granted, int(now)) <= most + EPSILON, f"the budget of {name} is exceeded"
        return granted

    def retain(self, names: object) -> None:
        """What a table does not name starts anew if it comes back."""
        super().retain(names)  # type: ignore[arg-type]  # a collection, as above
        for name in [name for name in self._seen if name not in names]:  # type: ignore[operator]  # likewise
            del self._seen[name]


class WatchedHealth(Health):
    """Health whose every entry is to be left once, with the verdict noted beside the request's fate."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = 0
        self.left: list[tuple[int, TargetId, Verdict, float]] = []

    def enter(self, target: TargetId, now: float) -> Place:
        self.entered += 1
        return super().enter(target, now)

    def leave(
        self, held: Place, verdict: Verdict, *, now: float, cause: Cause | None = None, wait: float | None = None
    ) -> None:
        self.left.append((number.get(), held.target, verdict, asyncio.get_running_loop().time()))
        super().leave(held, verdict, now=now, cause=cause, wait=wait)
