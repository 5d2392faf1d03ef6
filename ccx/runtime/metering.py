"""What a table limits, as meters: built once with the table, so that a request only looks them up.

Law: a meter's id is made of names that outlive swaps, and of its window: a limit that stays keeps what is used of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ccx.routing.table import Limits, RoutingTable
from ccx.state.meters import Held, Rate


@dataclass(frozen=True, slots=True)
class Metered:
    """The meters of one thing that is limited."""

    name: str
    requests: tuple[Rate, ...]
    input: tuple[Rate, ...]
    output: tuple[Rate, ...]
    held: Held | None


@dataclass(frozen=True, slots=True)
class Metering:
    """The meters of a table: of clients and channels by name, of keys by channel and place in its pool."""

    clients: Mapping[str, Metered]
    channels: Mapping[str, Metered]
    keys: Mapping[tuple[str, int], Metered]

    @property
    def none(self) -> bool:
        """Whether nothing is limited."""
        return not (self.clients or self.channels or self.keys)


def metering(table: RoutingTable, fingerprints: Mapping[str, tuple[str, ...]]) -> Metering:
    """The meters of a table. `fingerprints` are those of each channel's keys, so that a key keeps its meter when others
    join or leave its pool."""
    clients = {c.name: found for c in table.clients if (found := _metered(f"client {c.name!r}", c.limits))}
    channels = {c.name: found for c in table.channels if (found := _metered(f"channel {c.name!r}", c.limits))}
    keys = {
        (channel.name, place): found
        for channel in table.channels
        for place, (key, print_) in enumerate(zip(channel.keys, fingerprints.get(channel.name, ()), strict=False))
        if (found := _metered(f"key {print_} of channel {channel.name!r}", key.limits))
    }
    return Metering(clients, channels, keys)


def _metered(name: str, limits: Limits) -> Metered | None:
    if limits == Limits():
        return None

    def rates(kind: str, windows: tuple[tuple[int, int], ...]) -> tuple[Rate, ...]:
        return tuple(Rate(f"{name}/{kind}/{seconds}", amount, float(seconds)) for amount, seconds in windows)

    return Metered(
        name,
        rates("requests", limits.requests),
        rates("input_tokens", limits.input_tokens),
        rates("output_tokens", limits.output_tokens),
        Held(f"{name}/concurrency", limits.concurrency) if limits.concurrency is not None else None,
    )
