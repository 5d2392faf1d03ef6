"""Balancing: in which order the targets of one step, and the keys of one pool, are asked.

Law: everything is an argument. Counters come through a `StateView`, randomness as a function; nothing here reads a
clock or keeps anything. The first of an order is the balanced choice; the rest are where the request goes if that one
fails, and they are spread too, so that a dead target's load does not fall on a single neighbour.

`least_latency` and `least_cost` keep the order as written: the figures they would need do not exist yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol, TypeVar, assert_never

from ccx.routing.decide import Choice, Step
from ccx.routing.table import Channel, RoutingTable

_T = TypeVar("_T")


class StateView(Protocol):
    """The counters that balancing looks at. Ids are stable over swaps."""

    def inflight(self, id: str, /) -> int:  # noqa: A002  # positional only: an id is what it is
        """Requests under way at a channel, or with a key (see `key_id`)."""

    def turn(self, id: str, /) -> int:  # noqa: A002  # likewise
        """0, 1, 2, ... : one more with each call."""

    def smooth(self, id: str, weights: tuple[int, ...], /) -> int:  # noqa: A002  # likewise
        """The next index by smooth weighted round robin over these weights."""


def order(step: Step, *, view: StateView, rng: Callable[[], float]) -> tuple[Choice, ...]:
    """The step's targets in the order to ask them. `rng` gives numbers in [0, 1). Takes a turn: call once per use."""
    choices = step.choices
    if len(choices) < 2:
        return choices
    match step.balance:
        case "priority" | "least_latency" | "least_cost":
            return choices
        case "round_robin":
            return tuple(_rotated(choices, view.turn(step.id)))
        case "weighted":
            weights = tuple(choice.weight for choice in choices)
            first = view.smooth(step.id, weights)
            rest = [choice for place, choice in enumerate(choices) if place != first]
            return (choices[first], *_drawn(rest, [choice.weight for choice in rest], rng=rng))
        case "least_connections":
            loads = [Fraction(view.inflight(choice.channel.name), choice.weight) for choice in choices]
            return tuple(_lightest(choices, loads, turn=view.turn(step.id)))
        case _:
            assert_never(step.balance)


def pick_key(channel: Channel, keys: Sequence[tuple[str, int]], *, view: StateView) -> tuple[int, ...]:
    """Indices of a pool's keys in the order to try them, by the channel's strategy; a weight of 0 is never tried.

    `keys` are (fingerprint, weight). `least_used` takes the key with fewest requests under way for its weight.
    """
    usable = [place for place, (_, weight) in enumerate(keys) if weight > 0]
    if len(usable) < 2:
        return tuple(usable)
    weights = [keys[place][1] for place in usable]
    pool = f"{channel.name}/"
    match channel.key_strategy:
        case "in_order":
            return tuple(usable)
        case "round_robin":
            return tuple(_rotated(usable, view.smooth(pool, tuple(weights))))
        case "least_used":
            under_way = [view.inflight(key_id(channel.name, keys[place][0])) for place in usable]
            loads = [Fraction(count, weight) for count, weight in zip(under_way, weights, strict=True)]
            return tuple(_lightest(usable, loads, turn=view.turn(pool)))
        case _:
            assert_never(channel.key_strategy)


def key_id(channel: str, fingerprint: str) -> str:
    """The id under which requests with a key are counted."""
    return f"{channel}/{fingerprint}"


def stable_ids(table: RoutingTable) -> frozenset[str]:
    """The names whose counters a table still needs: of channels and routes. Ids of parts begin with one of them."""
    return frozenset({channel.name for channel in table.channels} | {route.name for route in table.routes})


def _rotated(items: Sequence[_T], by: int) -> list[_T]:
    start = by % len(items)
    return [*items[start:], *items[:start]]


def _lightest(items: Sequence[_T], loads: Sequence[Fraction], *, turn: int) -> list[_T]:
    """By load. Equals take turns, so that idle targets share the work instead of the first having all of it."""
    places = sorted(range(len(items)), key=lambda place: loads[place])
    lightest = [place for place in places if loads[place] == loads[places[0]]]
    return [items[place] for place in (*_rotated(lightest, turn), *places[len(lightest) :])]


def _drawn(items: list[_T], weights: list[int], *, rng: Callable[[], float]) -> list[_T]:
    """Drawn without replacement, each time in proportion to the weights left."""
    left, drawn = list(zip(items, weights, strict=True)), []
    while left:
        point = rng() * sum(weight for _, weight in left)
        place = 0
        while place < len(left) - 1 and point >= left[place][1]:
            point -= left[place][1]
            place += 1
        drawn.append(left.pop(place)[0])
    return drawn
