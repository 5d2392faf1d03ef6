"""A table with one edit of another brought over: what would be if nothing else had been edited.

Law: for attributing, never for serving. It works in both directions, so that an edit can be tried alone on the old
table and be taken back from the new one. Where one edit alone makes no table, such as the removal of a channel that
is still asked, there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from ccx.plan.edits import implicit
from ccx.plan.model import Edit, Kind
from ccx.routing.table import Channel, Client, Group, ModelInfo, Route, RoutingTable, Tier

T = TypeVar("T", Channel, Client, Group, ModelInfo, Route)

_TREATMENT: Final[Mapping[str, Sequence[str]]] = {
    "failover": ("failover",),
    "request": ("policy",),
    "on_loss": ("on_loss",),
}
_SETTINGS: Final[Mapping[str, Sequence[str]]] = {
    "timeouts": ("timeouts",),
    "limits": ("limits",),
    "breaker": ("breaker",),
    "headers": ("set_headers", "remove_headers"),
    "proxy": ("proxy",),
    "tls": ("ca",),
    "http2": ("http2",),
    "key_strategy": ("key_strategy",),
    "tags": ("tags",),
}
"""What can be inherited: the first word of its path in the spec, and its fields in the table."""


def spliced(
    base: RoutingTable,
    other: RoutingTable,
    edit: Edit,
    *,
    back: bool = False,
    inheriting: Collection[tuple[Kind, str]] = (),
) -> RoutingTable | None:
    """`base` with the subject of the edit as `other` has it. With `back`, `other` is the older of the two."""
    match edit.kind:
        case "route":
            table = _route(base, other, edit, back=back)
        case "channel":
            table = _order(base, other) if edit.operation == "reorder" else _channel(base, other, edit)
        case "client":
            table = replace(base, clients=_named(base.clients, other.clients, edit.name))
        case "group":
            table = replace(base, groups=_named(base.groups, other.groups, edit.name))
        case "model":
            table = replace(base, models=_named(base.models, other.models, edit.name))
        case "defaults":
            table = _defaults(base, other, inheriting)
        case "server":
            table = replace(base, server=other.server, direct=other.direct)
        case "telemetry" | "state" | "admin" | "tokens":
            table = base
    known = {channel.name for channel in table.channels}
    asked = {target.channel for route in table.routes for tier in route.tiers for target in tier.targets}
    return table if asked <= known else None


def _route(base: RoutingTable, other: RoutingTable, edit: Edit, *, back: bool) -> RoutingTable:
    was = edit.was or edit.name
    here, there = (edit.name, was) if back else (was, edit.name)
    mine = next((route for route in base.routes if route.name == here), None)
    theirs = next((route for route in other.routes if route.name == there), None)
    rest = [route for route in base.routes if route.name != here]
    if theirs is None:
        routes = rest
    elif edit.operation in ("edit", "rename") and mine is not None:
        own = _own(edit, mine, theirs, _TREATMENT)
        routes = [own if route.name == here else route for route in base.routes]
    else:
        body = mine if mine is not None else theirs
        order = [route.name for route in other.routes]
        at = _position([route.name for route in rest], order, there)
        routes = [*rest[:at], body, *rest[at:]]
    if any(not implicit(route.name) for route in routes):
        routes = [route for route in routes if route.name != "@all"]
    else:
        routes += [route for route in other.routes if route.name == "@all" and route not in routes]
    return _with_channels(replace(base, routes=tuple(routes)), other)


def _own(edit: Edit, mine: T, theirs: T, inherited: Mapping[str, Sequence[str]]) -> T:
    """Theirs, but for what did not change by this edit: that comes from `defaults`, whose edit is another."""
    edited = {one.path.partition(".")[0] for one in edit.fields}
    kept = {name: getattr(mine, name) for part, names in inherited.items() if part not in edited for name in names}
    return replace(theirs, **kept)


def _position(names: Sequence[str], order: Sequence[str], name: str) -> int:
    """Where a name belongs among others, beside those that stand beside it in another order."""
    place = order.index(name)
    for before in reversed(order[:place]):
        if before in names:
            return names.index(before) + 1
    for after in order[place + 1 :]:
        if after in names:
            return names.index(after)
    return len(names)


def _with_channels(base: RoutingTable, other: RoutingTable) -> RoutingTable:
    """With the channels of the other that are asked here and do not exist."""
    known = {channel.name for channel in base.channels}
    asked = {target.channel for route in base.routes for tier in route.tiers for target in tier.targets}
    new = [channel for channel in other.channels if channel.name in asked - known]
    return (
        replace(base, channels=tuple(sorted((*base.channels, *new), key=lambda channel: channel.name))) if new else base
    )


def _channel(base: RoutingTable, other: RoutingTable, edit: Edit) -> RoutingTable:
    name = edit.name
    mine = next((channel for channel in base.channels if channel.name == name), None)
    if mine is not None:
        owns = (_own(edit, mine, one, _SETTINGS) if one.name == name else one for one in other.channels)
        other = replace(other, channels=tuple(owns))
    own = [route for route in other.routes if route.name.startswith("@prefix-") and _asks(route, name)]
    kept = [route for route in base.routes if not (route.name.startswith("@prefix-") and _asks(route, name))]
    routes = [_fallback(route, other, name) if route.name == "@all" else route for route in kept]
    return replace(
        base,
        channels=_named(base.channels, other.channels, name),
        routes=(*own, *routes),
    )


def _asks(route: Route, channel: str) -> bool:
    return any(target.channel == channel for tier in route.tiers for target in tier.targets)


def _fallback(route: Route, other: RoutingTable, channel: str) -> Route:
    theirs = next((one.tiers for one in other.routes if one.name == "@all"), ())
    order = [_first(tier) for tier in theirs]
    rest = [tier for tier in route.tiers if _first(tier) != channel]
    if channel in order:
        at = _position([_first(tier) for tier in rest], order, channel)
        rest.insert(at, theirs[order.index(channel)])
    elif len(rest) < len(route.tiers) and not theirs:
        return route
    return replace(route, tiers=tuple(rest))


def _order(base: RoutingTable, other: RoutingTable) -> RoutingTable:
    theirs = next((one.tiers for one in other.routes if one.name == "@all"), ())
    order = {_first(tier): place for place, tier in enumerate(theirs)}

    def ordered(route: Route) -> Route:
        tiers = sorted(route.tiers, key=lambda tier: order.get(_first(tier), len(order)))
        return replace(route, tiers=tuple(tiers)) if route.name == "@all" else route

    return replace(base, routes=tuple(map(ordered, base.routes)))


def _first(tier: Tier) -> str:
    return tier.targets[0].channel


def _defaults(base: RoutingTable, other: RoutingTable, inheriting: Collection[tuple[Kind, str]]) -> RoutingTable:
    routes = {
        route.name: route for route in other.routes if ("route", route.name) in inheriting or implicit(route.name)
    }
    channels = {channel.name: channel for channel in other.channels if ("channel", channel.name) in inheriting}

    def treated(route: Route) -> Route:
        theirs = routes.get(route.name)
        if theirs is None:
            return route
        return replace(route, failover=theirs.failover, policy=theirs.policy, on_loss=theirs.on_loss)

    return replace(
        base,
        routes=tuple(map(treated, base.routes)),
        channels=tuple(channels.get(channel.name, channel) for channel in base.channels),
        direct=other.direct if base.server.direct == other.server.direct else base.direct,
    )


def _named(base: tuple[T, ...], other: tuple[T, ...], name: str) -> tuple[T, ...]:
    """With the one of this name as the other has it, or without it."""
    found = {one.name: one for one in base if one.name != name}
    found |= {one.name: one for one in other if one.name == name}
    return tuple(found[key] for key in sorted(found))
