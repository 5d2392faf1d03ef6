"""Meters: what has been used of what is allowed. Rates, requests under way, and sums of money, taken all or nothing.

Laws
- A take charges every meter or none. What was taken is settled exactly once, with what was really used; until then
  the estimate stands. So a rate is exceeded by no more than estimates were wrong by, and repays it first.
- Time is an argument: seconds of one clock, unix time where a meter ends at a date. It may jump back; meters then wait.
- A meter that is as good as new is forgotten. One whose capacity changes in a swap keeps what is used of it.
- One more than a meter could ever hold is let through when it is whole: to refuse it for good would be a lie about the
  rate, and it repays what it borrowed.

- What is spent of a sum is what was settled: it never falls before the sum ends, and estimates are not part of it. Of
  two settlements, wherever made, one sees what the other has spent.

Amounts are integers: requests, tokens, millionths of a US dollar. The store is in memory; `ccx.state.redis` has one
that is shared and behaves alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

SWEEP_EVERY: Final = 1024
"""Takes between two looks for meters to forget."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `capacity` in any stretch of `seconds`, refilled evenly."""

    id: str
    capacity: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """So many at once. `longest` seconds after it was taken a place is free again even if nobody gave it back, which
    matters where the holder may die without a word."""

    id: str
    capacity: int
    longest: float = 3600.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """An amount that somebody wants to be told of when so much is spent, and what it is called."""

    amount: int
    name: str


@dataclass(frozen=True, slots=True)
class Sum:
    """So much until `ends`, a unix time; None is for good. `thresholds` make a settlement say what is spent."""

    id: str
    capacity: int
    ends: float | None = None
    thresholds: tuple[Threshold, ...] = ()


Meter = Rate | Held | Sum


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request is expected to use of a meter."""

    meter: Meter
    amount: int = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A take that was granted, to be settled. `at` is when; `token` names its places where they are held."""

    charges: tuple[Charge, ...]
    at: float
    token: str = ""


@dataclass(frozen=True, slots=True)
class Short:
    """A take that was not: the meter that is used up, what is left of it, and in how many seconds it will do; None
    where that hangs on others."""

    meter: Meter
    left: int
    wait: float | None


@dataclass(frozen=True, slots=True)
class Use:
    """How a meter stands: what is used of its capacity at the moment."""

    meter: Meter
    used: int


OnSpent = Callable[[Sum, int], None]
"""Told after a settlement what is spent of a sum that has thresholds. It neither waits nor raises."""


def tell(on_spent: OnSpent | None, charges: Sequence[Charge], spent: Sequence[int]) -> None:
    """Say what is spent, in the order of the charges, of those that have thresholds."""
    if on_spent is not None:
        for one, much in zip(charges, spent, strict=True):
            if isinstance(one.meter, Sum) and one.meter.thresholds:
                on_spent(one.meter, much)


class Meters(Protocol):
    """A store of meters."""

    on_spent: OnSpent | None

    async def take(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        """Charge all of them, or none: then the one with the longest wait."""

    async def settle(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        """Put what was really used, by meter id, in place of the estimates; an id that is not named was estimated
        right. What was held is given back."""

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        """How these meters stand, in the order given."""


@dataclass(slots=True)
class _Level:
    """`used` of a rate falls with time, of a sum and of what is held it does not. `seconds_each` is a rate's; what
    is `lasting` is a sum, of which `spent` is what was settled."""

    used: float
    at: float
    ends: float | None = None
    seconds_each: float = 0.0
    lasting: bool = False
    spent: int = 0


class MemoryMeters:
    """The meters of one process."""

    def __init__(self) -> None:
        self.on_spent: OnSpent | None = None
        self._levels: dict[str, _Level] = {}
        self._takes = 0

    async def take(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        """See `Meters`."""
        return self.take_now(charges, now=now)

    def take_now(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        """The same without waiting: there is nothing to wait for."""
        self._takes += 1
        if self._takes % SWEEP_EVERY == 0:
            self.sweep(now)
        shortest: Short | None = None
        for charge in charges:
            short = self._short(charge, now)
            if short is not None and (shortest is None or _longer(short, shortest)):
                shortest = short
        if shortest is not None:
            return shortest
        for charge in charges:
            self._level(charge.meter, now).used += charge.amount
        return Taken(charges, now)

    async def settle(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        """See `Meters`."""
        self.settle_now(taken, used, now=now)

    def settle_now(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        """The same without waiting."""
        for charge in taken.charges:
            meter = charge.meter
            actual = 0 if isinstance(meter, Held) else used.get(meter.id, charge.amount)
            if actual == charge.amount and not isinstance(meter, Sum):
                continue
            level = self._levels.get(meter.id)
            if level is None:
                # Forgotten since: a rate that was whole again, or a sum whose time was over.
                if actual <= charge.amount:
                    continue
                level = self._level(meter, now)
            elif isinstance(meter, Rate):
                self._flow(level, now)
            level.used = max(0.0, level.used + actual - charge.amount)
            if isinstance(meter, Sum):
                level.spent += actual
                if meter.thresholds and self.on_spent is not None:
                    self.on_spent(meter, level.spent)

    def spent(self, meter: Meter) -> int:
        """What was settled of a sum; 0 for any other meter."""
        level = self._levels.get(meter.id) if isinstance(meter, Sum) else None
        return level.spent if level is not None else 0

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        """See `Meters`."""
        return tuple(Use(meter, self._used(meter, now)) for meter in meters)

    def sums(self) -> dict[str, tuple[int, float | None]]:
        """What is used of each sum, and when it ends: what has to outlive the process."""
        kept = self._levels.items()
        return {id_: (int(level.used), level.ends) for id_, level in kept if level.lasting and level.used > 0}

    def restore(self, sums: Mapping[str, tuple[int, float | None]], *, now: float) -> None:
        """Begin with what an earlier process had used of sums."""
        for id_, (used, ends) in sums.items():
            if ends is None or ends > now:
                self._levels[id_] = _Level(float(used), now, ends, lasting=True, spent=used)

    def sweep(self, now: float) -> None:
        """Forget meters that are as good as new."""
        for id_, level in tuple(self._levels.items()):
            self._flow(level, now)
            if level.used <= 0 or (level.ends is not None and now >= level.ends):
                del self._levels[id_]

    def __len__(self) -> int:
        """How many meters are in use."""
        return len(self._levels)

    def _short(self, charge: Charge, now: float) -> Short | None:
        meter, amount = charge.meter, charge.amount
        level = self._levels.get(meter.id)
        if level is None or amount <= 0:
            return None if amount <= meter.capacity or isinstance(meter, Rate) else Short(meter, meter.capacity, None)
        match meter:
            case Rate(_, capacity, seconds):
                self._flow(level, now, seconds / capacity)
                missing = level.used + min(amount, capacity) - capacity
                wait: float | None = missing * seconds / capacity
            case Held(_, capacity):
                missing, wait = level.used + amount - capacity, None
            case Sum(_, capacity, ends):
                if ends is not None and level.ends is not None and now >= level.ends:
                    del self._levels[meter.id]
                    return self._short(charge, now)
                missing = level.used + amount - capacity
                wait = None if ends is None or amount > capacity else max(0.0, ends - now)
        return Short(meter, max(0, int(capacity - level.used)), wait) if missing > 0 else None

    def _level(self, meter: Meter, now: float) -> _Level:
        level = self._levels.get(meter.id)
        if level is None:
            each = meter.seconds / meter.capacity if isinstance(meter, Rate) else 0.0
            ends = meter.ends if isinstance(meter, Sum) else None
            level = _Level(0.0, now, ends, each, isinstance(meter, Sum))
            self._levels[meter.id] = level
        return level

    def _used(self, meter: Meter, now: float) -> int:
        level = self._levels.get(meter.id)
        if level is None or (level.ends is not None and now >= level.ends):
            return 0
        flown = (now - level.at) / level.seconds_each if level.seconds_each and now > level.at else 0.0
        return int(max(0.0, level.used - flown))

    def _flow(self, level: _Level, now: float, each: float | None = None) -> None:
        """Let a rate's use fall with the time that has passed. `each` is the seconds that one takes from now on."""
        if level.seconds_each and now > level.at:
            level.used = max(0.0, level.used - (now - level.at) / level.seconds_each)
            level.at = now
        if each is not None:
            level.seconds_each = each


def _longer(one: Short, other: Short) -> bool:
    if other.wait is None:
        return one.wait is not None
    return one.wait is not None and one.wait > other.wait
