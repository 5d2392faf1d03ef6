"""What a table limits, as meters: built once with the table, so that a request only looks them up.

Law: a meter's id is made of names that outlive swaps, and of its window: a limit that stays keeps what is used of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Literal, assert_never

from ccx.routing.groups import belongs
from ccx.routing.table import Budget, Client, Limits, RoutingTable
from ccx.state.meters import Held, Rate, Sum, Threshold


@dataclass(frozen=True, slots=True)
class Purse:
    """A budget with its amounts in millionths of a US dollar. `name` is that of what has it."""

    name: str
    per: Literal["day", "month", "total"]
    capacity: int
    thresholds: tuple[Threshold, ...] = ()

    def at(self, moment: datetime) -> Sum:
        """The meter of the budget at a moment: a new one each day or month, by UTC."""
        match self.per:
            case "day":
                period = f"{moment:%Y-%m-%d}"
                ends = datetime(moment.year, moment.month, moment.day, tzinfo=UTC) + timedelta(days=1)
            case "month":
                period = f"{moment:%Y-%m}"
                ends = (datetime(moment.year, moment.month, 1, tzinfo=UTC) + timedelta(days=32)).replace(day=1)
            case "total":
                return Sum(f"{self.name}/usd/total", self.capacity, None, self.thresholds)
            case _:
                assert_never(self.per)
        return Sum(f"{self.name}/usd/{period}", self.capacity, ends.timestamp(), self.thresholds)


@dataclass(frozen=True, slots=True)
class Metered:
    """The meters of one thing that is limited."""

    name: str
    requests: tuple[Rate, ...]
    input: tuple[Rate, ...]
    output: tuple[Rate, ...]
    held: Held | None
    purses: tuple[Purse, ...] = ()


@dataclass(frozen=True, slots=True)
class Metering:
    """The meters of a table: of clients, groups and channels by name, of models by their names upstream, of keys by
    channel and place in its pool. `callers` has all that a client is held to, by its name: its own and its groups'."""

    clients: Mapping[str, Metered]
    groups: Mapping[str, Metered]
    callers: Mapping[str, tuple[Metered, ...]]
    channels: Mapping[str, Metered]
    models: Mapping[str, Metered]
    keys: Mapping[tuple[str, int], Metered]

    @property
    def purses(self) -> tuple[Purse, ...]:
        """All budgets: of clients, then of groups."""
        return tuple(purse for one in (*self.clients.values(), *self.groups.values()) for purse in one.purses)


def metering(table: RoutingTable, fingerprints: Mapping[str, tuple[str, ...]]) -> Metering:
    """The meters of a table. `fingerprints` are those of each channel's keys, so that a key keeps its meter when others
    join or leave its pool."""
    clients = {c.name: found for c in table.clients if (found := _metered(f"client {c.name!r}", c.limits, c.budgets))}
    groups = {g.name: found for g in table.groups if (found := _metered(f"group {g.name!r}", g.limits, g.budgets))}
    callers = {c.name: held for c in table.clients if (held := tuple(_held_to(c, table, clients, groups)))}
    models = {m.name: found for m in table.models if (found := _metered(f"model {m.name!r}", m.limits))}
    channels = {c.name: found for c in table.channels if (found := _metered(f"channel {c.name!r}", c.limits))}
    keys = {
        (channel.name, place): found
        for channel in table.channels
        for place, (key, print_) in enumerate(zip(channel.keys, fingerprints.get(channel.name, ()), strict=False))
        if (found := _metered(f"key {print_} of channel {channel.name!r}", key.limits))
    }
    return Metering(clients, groups, callers, channels, models, keys)


def _held_to(
    client: Client, table: RoutingTable, clients: Mapping[str, Metered], groups: Mapping[str, Metered]
) -> Iterator[Metered]:
    if client.name in clients:
        yield clients[client.name]
    for group in table.groups:
        if group.name in groups and belongs(client, group):
            yield groups[group.name]


def micros(usd: Decimal) -> int:
    """Dollars in millionths, rounded up: a budget is not outspent by many small roundings."""
    return int((usd * 1_000_000).to_integral_value(ROUND_CEILING))


def _metered(name: str, limits: Limits, budgets: tuple[Budget, ...] = ()) -> Metered | None:
    if limits == Limits() and not budgets:
        return None

    tightest: dict[str, Budget] = {}  # two of one period would share a meter, and only one of them can be met
    for budget in budgets:
        known = tightest.get(budget.per)
        tightest[budget.per] = budget if known is None or budget.usd < known.usd else known

    def rates(kind: str, windows: tuple[tuple[int, int], ...]) -> tuple[Rate, ...]:
        return tuple(Rate(f"{name}/{kind}/{seconds}", amount, float(seconds)) for amount, seconds in windows)

    return Metered(
        name,
        rates("requests", limits.requests),
        rates("input_tokens", limits.input_tokens),
        rates("output_tokens", limits.output_tokens),
        Held(f"{name}/concurrency", limits.concurrency) if limits.concurrency is not None else None,
        tuple(_purse(name, budget) for budget in tightest.values()),
    )


def _purse(name: str, budget: Budget) -> Purse:
    capacity = micros(budget.usd)
    thresholds = tuple(Threshold(max(1, math.ceil(share * capacity)), _percent(share)) for share in budget.alerts)
    return Purse(name, budget.per, capacity, thresholds)


def _percent(share: Fraction) -> str:
    return f"{(Decimal(share.numerator) * 100 / share.denominator).normalize():f}%"
