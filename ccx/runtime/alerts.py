"""Telling, once, that a budget has been spent as far as its `alerts` say.

Law: of all processes that share a store of meters one tells, once in a period for each amount: whoever sees that so
much is spent lays claim to telling it, in the store, and the first claim tells. While the store is away nobody is
first; it is told when it is back. A claim is made beside the requests, none of which waits for it or fails by it.
Nothing is told twice, at the price that something may not be told at all where a process, or the connection to the
store, ends between a claim and its answer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ccx.state.meters import Charge, Meters, Short, Sum, Taken, Threshold

WAITING: Final = 1000
"""Claims that may wait to be made; more are made at the next settlement."""
REMEMBERED: Final = 10_000
"""Amounts of which it is known that they were told of."""

_FIRST: Final = (Threshold(1, ""),)


@dataclass(frozen=True, slots=True)
class Alert:
    """A budget of which a share is spent. `budget` is `group/core`; `period` is `2026-11-21`, `2026-11` or `total`.
    `refused`: not that much is spent, but a request was refused because the rest would not do. `at` is unix time."""

    budget: str
    period: str
    share: str
    spent_usd: Decimal
    limit_usd: Decimal
    refused: bool
    at: float


class Alerts:
    """The alerts of one process, whose meters are `meters`. `tell` is called once for each; it neither waits nor
    raises."""

    def __init__(self, meters: Meters, *, tell: Callable[[Alert], None], clock: Callable[[], float]) -> None:
        self._meters = meters
        self._tell = tell
        self._clock = clock
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._claimed: OrderedDict[str, Alert] = OrderedDict()
        self._queue: asyncio.Queue[tuple[Sum, Alert]] = asyncio.Queue(WAITING)
        meters.on_spent = self.spent

    def spent(self, meter: Sum, spent: int) -> None:
        """So much is spent of a sum, after a settlement."""
        alert = self._claimed.pop(meter.id, None)
        if alert is not None:
            if spent == 1:
                self._tell(alert)
            return
        for threshold in meter.thresholds:
            if spent >= threshold.amount:
                self._claim(meter, threshold, spent=spent, refused=False)

    def refused(self, short: Short) -> None:
        """A request was refused for want of what is left of a meter."""
        meter = short.meter
        if isinstance(meter, Sum):
            for threshold in meter.thresholds:
                if threshold.amount >= meter.capacity:
                    self._claim(meter, threshold, spent=meter.capacity - short.left, refused=True)

    async def run(self) -> None:
        """Make claims until cancelled."""
        while True:
            flag, alert = await self._queue.get()
            self._claimed[flag.id] = alert
            if len(self._claimed) > REMEMBERED:
                self._claimed.popitem(last=False)
            now = self._clock()
            await self._meters.settle(Taken((Charge(flag, 0),), now), {flag.id: 1}, now=now)

    def _claim(self, meter: Sum, threshold: Threshold, *, spent: int, refused: bool) -> None:
        now = self._clock()
        flag = flag_of(meter, threshold)
        if flag.id in self._seen or (meter.ends is not None and meter.ends <= now) or self._queue.full():
            return
        self._seen[flag.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        name, _, period = meter.id.rsplit("/", 2)
        alert = Alert(label(name), period, threshold.name, usd(spent), usd(meter.capacity), refused, now)
        self._queue.put_nowait((flag, alert))


def flag_of(meter: Sum, threshold: Threshold) -> Sum:
    """The sum in which claims to tell of an amount are counted, as long as the amount itself counts."""
    return Sum(f"{meter.id}/alert/{threshold.amount}", 1, meter.ends, _FIRST)


def label(name: str) -> str:
    """`group 'core'` as `group/core`."""
    kind, _, quoted = name.partition(" ")
    return f"{kind}/{quoted.strip(chr(39))}"


def usd(micros: int) -> Decimal:
    """Millionths of a dollar in dollars."""
    return Decimal(micros) / 1_000_000
