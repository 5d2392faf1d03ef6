"""How the budgets of the table in service stand: for the status, and for the gauges.

Law: it looks, and changes nothing. One question to the store for all of them; while that is away the answer is what
this process knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from ccx.runtime.alerts import flag_of, label, usd
from ccx.runtime.metering import Purse
from ccx.state.meters import Meters

EVERY: Final = 15.0
"""Seconds between two looks of its own, between those that a scrape or a status asks for."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget: `group/core`, `month`, `2026-11`. What is used of it has the estimates of requests under way in it.
    `alerts` says of each share whether it has been told of. `ends` is unix time."""

    budget: str
    per: str
    period: str
    used_usd: Decimal
    limit_usd: Decimal
    alerts: tuple[tuple[str, bool], ...]
    ends: float | None


class Budgets:
    """Looks at budgets: those that `purses` gives, in `meters`. `known` is what was last seen."""

    def __init__(self, meters: Meters, purses: Callable[[], tuple[Purse, ...]], *, clock: Callable[[], float]) -> None:
        self.known: tuple[Standing, ...] = ()
        self._meters = meters
        self._purses = purses
        self._clock = clock

    async def look(self) -> tuple[Standing, ...]:
        """See how they stand now."""
        now = self._clock()
        moment = datetime.fromtimestamp(now, UTC)
        found = [(purse, purse.at(moment)) for purse in self._purses()]
        asked = {meter.id: meter for _, meter in found}
        asked |= {
            flag.id: flag
            for _, meter in found
            for flag in (flag_of(meter, threshold) for threshold in meter.thresholds)
        }
        uses = await self._meters.standing(tuple(asked.values()), now=now) if asked else ()
        used = {use.meter.id: use.used for use in uses}
        self.known = tuple(
            Standing(
                label(purse.name),
                purse.per,
                meter.id.rpartition("/")[2],
                usd(used[meter.id]),
                usd(meter.capacity),
                tuple((threshold.name, used[flag_of(meter, threshold).id] > 0) for threshold in meter.thresholds),
                meter.ends,
            )
            for purse, meter in found
        )
        return self.known

    def current(self) -> tuple[Standing, ...]:
        """What was last seen, but for budgets whose period is over since."""
        now = self._clock()
        return tuple(one for one in self.known if one.ends is None or one.ends > now)

    async def run(self) -> None:
        """Look now and then until cancelled, so that the gauges of a process that nobody asks are not old."""
        while True:
            if self.known or self._purses():
                await self.look()
            await asyncio.sleep(EVERY)


def describe(standing: tuple[Standing, ...]) -> list[dict[str, Any]]:
    """For the status; US dollars."""
    return [
        {
            "budget": one.budget,
            "per": one.per,
            "period": one.period,
            "used_usd": float(one.used_usd),
            "limit_usd": float(one.limit_usd),
            "alerts": dict(one.alerts),
        }
        for one in standing
    ]
