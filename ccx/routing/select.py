"""Balancing: in which order the targets of one step, and the keys of one pool, are asked.

Law: everything is an argument. Counters come through a `StateView`, randomness as a function; nothing here reads a
clock or keeps anything. The first of an order is the balanced choice; the rest are where the request goes if that one
fails, and they are spread too, so that a dead target's load does not fall on a single neighbour.

Affinity comes before balance: with a key to go by, a step's targets are in that key's own order on every replica, and
who is left out of the step by the caller (for its health) leaves its keys to their second choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Protocol, TypeVar, assert_never

from ccx.routing.affinity import rendezvous
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


Costs = Callable[[Choice], Decimal | None]
Latencies = Callable[[Choice], float]


def order(
    step: Step,
    *,
    view: StateView,
    rng: Callable[[], float],
    key: bytes | None = None,
    costs: Costs = lambda _: None,
    latencies: Latencies = lambda _: 0.0,
) -> tuple[Choice, ...]:
    """The step's targets in the order to ask them. Takes a turn: call once per use.

    `rng` gives numbers in [0, 1). `key` is what the request has affinity by, None if the step has none or nothing to go
    by. `costs` are what the request would cost at a target, in USD, None where that is not known; `latencies` how many
    seconds a target takes to begin an answer, 0 where that is not known, so that it is found out.
    """
    choices = step.choices
    if len(choices) < 2:
        return choices
    if key is not None:
        weighed = step.balance not in ("priority", "round_robin")
        return rendezvous(key, [(c, _name(c), c.weight if weighed else 1) for c in choices])
    match step.balance:
        case "priority":
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
        case "least_latency":
            return _quickest(choices, view=view, rng=rng, latencies=latencies)
        case "least_cost":
            return _cheapest(choices, costs, turn=view.turn(step.id))
        case _:
            assert_never(step.balance)


def _name(choice: Choice) -> str:
    """Tells targets of one step apart, for good: a channel may be in it twice, for two models."""
    return f"{choice.channel.name}/{choice.model or ''}"


def _quickest(
    choices: tuple[Choice, ...], *, view: StateView, rng: Callable[[], float], latencies: Latencies
) -> tuple[Choice, ...]:
    """The better of two drawn by chance comes first: nearly as good as the best of all, and without everybody running
    to the same one. What counts is the time a new request would wait: the latency, for each request under way."""
    scores = [latencies(c) * (view.inflight(c.channel.name) + 1) / c.weight for c in choices]
    drawn = _drawn(list(range(len(choices))), [1] * len(choices), rng=rng)
    one, other, rest = drawn[0], drawn[1], drawn[2:]
    if scores[other] < scores[one]:
        one, other = other, one
    return tuple(choices[place] for place in (one, *sorted((other, *rest), key=lambda place: scores[place])))


def _cheapest(choices: tuple[Choice, ...], costs: Costs, *, turn: int) -> tuple[Choice, ...]:
    """By cost; equals take turns, and what has no known price comes last, as written."""
    found = [costs(choice) for choice in choices]
    priced = [(cost, choice) for cost, choice in zip(found, choices, strict=True) if cost is not None]
    known = _lightest([c for _, c in priced], [Fraction(cost) for cost, _ in priced], turn=turn) if priced else []
    return (*known, *(choice for choice, cost in zip(choices, found, strict=True) if cost is None))


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
