"""What a picture of the routing shows, before anybody draws it: routes in order, channels, and which leads where.

Law: a scene says what is written, not what a request meets: conditions and targets as the table has them. With two
tables it is both at once, each route and each edge marked with what became of it. Names are printable; a drawing
escapes them for its own format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from fractions import Fraction
from typing import Literal

from ccx.analysis.wording import say
from ccx.plan.render.cells import visible
from ccx.plan.render.words import percent
from ccx.routing.table import Channel, Route, RoutingTable, Tier

Fate = Literal["same", "added", "removed", "changed", "moved"]

MOST = 60
"""Cards beyond which routes that go to the same targets are drawn as one."""


@dataclass(frozen=True, slots=True)
class Port:
    """One target of a route. `step` is its place in the failover order, from 1; targets that share a step share its
    load. `share` is its part by weight, else empty; `model` the name it is asked for, if another."""

    channel: str
    step: int
    model: str = ""
    share: str = ""
    fate: Fate = "same"


@dataclass(frozen=True, slots=True)
class Card:
    """One route, or several that go to the same targets. `denied` is what it answers instead of asking anybody."""

    names: tuple[str, ...]
    when: str
    ports: tuple[Port, ...]
    denied: str = ""
    fate: Fate = "same"
    note: str = ""

    @property
    def title(self) -> str:
        """The name, or the first of several."""
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]} and {len(self.names) - 1} more"


@dataclass(frozen=True, slots=True)
class Node:
    """One channel. `about` is where it leads, or that it is switched off."""

    name: str
    about: str
    fate: Fate = "same"


@dataclass(frozen=True, slots=True)
class Scene:
    """`compared` tells whether fates mean anything."""

    cards: tuple[Card, ...]
    nodes: tuple[Node, ...]
    compared: bool

    @property
    def edges(self) -> int:
        """How many lines lead from routes to channels."""
        return sum(len(card.ports) for card in self.cards)


def scene(table: RoutingTable, *, before: RoutingTable | None = None, most: int = MOST) -> Scene:
    """The scene of a table; with `before`, of what became of that one."""
    cards = [_card(r) for r in table.routes] if before is None else list(_compared(before.routes, table.routes))
    return Scene(_gathered(cards, most), _nodes(table, before), before is not None)


def _card(route: Route, *, fate: Fate = "same") -> Card:
    ports = tuple(port for step, tier in enumerate(route.tiers, 1) for port in _ports(tier, step))
    denied = f"denied {route.deny.status}" if route.deny is not None else ""
    inner: Fate = fate if fate in ("added", "removed") else "same"
    return Card(
        (visible(route.name),),
        visible(say(route.when)),
        tuple(replace(port, fate=inner) for port in ports),
        denied,
        fate,
    )


def _ports(tier: Tier, step: int) -> Iterable[Port]:
    total = sum(target.weight for target in tier.targets)
    weighed = tier.balance == "weighted" and len(tier.targets) > 1 and total
    for target in tier.targets:
        share = percent(Fraction(target.weight, total)) if weighed else ""
        yield Port(visible(target.channel), step, visible(target.model or ""), share)


def _compared(before: Sequence[Route], after: Sequence[Route]) -> Iterable[Card]:
    """Both lists as one, in the order of the new; what is gone stands where it stood."""
    old = {route.name: route for route in before}
    new = {route.name: route for route in after}
    renamed = _renamed([route for route in before if route.name not in new], [r for r in after if r.name not in old])
    called = {was: name for name, was in renamed.items()}
    olds, news = [called.get(route.name, route.name) for route in before], [route.name for route in after]
    kept = set(_in_order([name for name in olds if name in new], [n for n in news if n in set(olds)]))
    follows: dict[str, list[Route]] = {}
    last = ""
    for route, name in zip(before, olds, strict=True):
        if name in new:
            last = name
        else:
            follows.setdefault(last, []).append(route)
    yield from (_card(route, fate="removed") for route in follows.get("", ()))
    for route in after:
        was = old.get(renamed.get(route.name, route.name))
        yield _card(route, fate="added") if was is None else _card_of_both(was, route, moved=route.name not in kept)
        yield from (_card(gone, fate="removed") for gone in follows.get(route.name, ()))


def _in_order(one: Sequence[str], other: Sequence[str]) -> Iterable[str]:
    """Names of which none has moved past another."""
    for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        yield from one[block.a : block.a + block.size]


def _renamed(gone: Sequence[Route], come: Sequence[Route]) -> dict[str, str]:
    """New names by old ones: routes that are the same but for the name."""
    found: dict[str, str] = {}
    left = list(gone)
    for route in come:
        twin = next((one for one in left if replace(one, name=route.name) == route), None)
        if twin is not None:
            found[route.name] = twin.name
            left.remove(twin)
    return found


def _card_of_both(before: Route, after: Route, *, moved: bool) -> Card:
    old, new = _card(before), _card(after)
    note = f"was {old.names[0]}" if before.name != after.name else ""
    if replace(before, name=after.name) == after:
        return replace(new, fate="moved" if moved else "same", note=note)
    was = {(port.channel, port.model): port for port in old.ports}
    ports: list[Port] = []
    for port in new.ports:
        other = was.pop((port.channel, port.model), None)
        fate: Fate = "added" if other is None else "same" if other == port else "changed"
        ports.append(replace(port, fate=fate))
    ports += [replace(port, fate="removed") for port in was.values()]
    if before.when != after.when:
        note = "condition changed"
    elif all(port.fate == "same" for port in ports) and old.denied == new.denied:
        note = "treatment changed"
    return replace(new, ports=tuple(ports), fate="changed", note=note)


def _gathered(cards: Sequence[Card], most: int) -> tuple[Card, ...]:
    """The cards; where they are too many, unchanged ones that go to the same targets as one: neighbours first."""
    if len(cards) <= most:
        return tuple(cards)
    runs: list[list[Card]] = []
    for card in cards:
        if runs and card.fate == "same" and _ends(runs[-1][-1]) == _ends(card):
            runs[-1].append(card)
        else:
            runs.append([card])
    if len(runs) > most:
        groups: dict[object, list[Card]] = {}
        for number, run in enumerate(runs):
            key = _ends(run[0]) if run[0].fate == "same" else number
            groups.setdefault(key, []).extend(run)
        runs = list(groups.values())
    return tuple(run[0] if len(run) == 1 else _together(run) for run in runs)


def _ends(card: Card) -> tuple[object, ...]:
    return (card.fate, card.ports, card.denied)


def _together(run: Sequence[Card]) -> Card:
    names = tuple(name for card in run for name in card.names)
    return replace(run[0], names=names, when=f"{len(names)} routes to the same targets", note="")


def _nodes(table: RoutingTable, before: RoutingTable | None) -> tuple[Node, ...]:
    nodes: list[Node] = []
    old = {channel.name: channel for channel in before.channels} if before is not None else {}
    for channel in table.channels:
        was = old.pop(channel.name, None)
        fate: Fate = "same"
        if before is not None and was != channel:
            fate = "added" if was is None else "changed"
        nodes.append(_node(channel, fate))
    return (*nodes, *(_node(channel, "removed") for channel in old.values()))


def _node(channel: Channel, fate: Fate) -> Node:
    hosts = dict.fromkeys(surface.host for surface in channel.surfaces if surface.host)
    about = next(iter(hosts), channel.provider or channel.dialect)
    return Node(visible(channel.name), visible(about) if channel.enabled else "switched off", fate)
