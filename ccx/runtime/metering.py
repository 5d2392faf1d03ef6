"""What a table limits, as meters: built once with the table, so that a request only looks them up.

Law: a meter's id is made of names that outlive swaps, and of its window: a limit that stays keeps what is used of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import assert_never

from ccx.routing.groups import belongs
from ccx.routing.table import Budget, Client, Limits, RoutingTable
from ccx.state.meters import Held, Rate, Sum


@dataclass(frozen=True, slots=True)
class Metered:
    """The meters of one thing that is limited."""

    name: str
    requests: tuple[Rate, ...]
    input: tuple[Rate, ...]
    output: tuple[Rate, ...]
    held: Held | None
    budgets: tuple[Budget, ...] = ()


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
    def budgeted(self) -> tuple[Metered, ...]:
        """What has a budget: clients, then groups."""
        return tuple(one for one in (*self.clients.values(), *self.groups.values()) if one.budgets)


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


def purse(name: str, budget: Budget, *, at: datetime) -> Sum:
    """The meter of a budget at a moment: a new one each day or month, by UTC. In millionths of a US dollar."""
    match budget.per:
        case "day":
            period, ends = f"{at:%Y-%m-%d}", datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1)
        case "month":
            later = datetime(at.year, at.month, 1, tzinfo=UTC) + timedelta(days=32)
            period, ends = f"{at:%Y-%m}", later.replace(day=1)
        case "total":
            return Sum(f"{name}/usd/total", micros(budget.usd))
        case _:
            assert_never(budget.per)
    return Sum(f"{name}/usd/{period}", micros(budget.usd), ends.timestamp())


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
        tuple(tightest.values()),
    )
