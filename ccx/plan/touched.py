"""Edits that matter although they route nothing differently: where a channel is, which key it takes, what it costs.

Law: an edit is told here if it changes how an upstream is asked, who may call, what is counted or how the process
runs. What only decides where requests go is told as requests that move, and only there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ccx.plan.edits import Edits
from ccx.plan.model import Edit, Kind, Touched
from ccx.routing.capability import upstream_models
from ccx.routing.groups import members
from ccx.routing.table import RoutingTable

ROUTING: Final[Mapping[Kind, frozenset[str]]] = {
    "channel": frozenset({"models", "enabled", "prefix", "order"}),
    "client": frozenset({"models", "tags", "direct", "enabled"}),
    "server": frozenset({"direct"}),
}
"""Fields that decide nothing but where requests go, by their first word."""


def touched(edits: Edits, *, old: RoutingTable, new: RoutingTable) -> tuple[Touched, ...]:
    """Those edits, with the routes that use what was edited, in the order of the table."""
    found: list[Touched] = []
    for edit in edits.listed:
        match edit.kind:
            case "route":
                continue
            case "channel" if edit.operation in ("add", "reorder"):
                continue  # nothing asks it yet, or requests move
            case "channel" if edit.operation == "remove":
                continue  # likewise: who asked it asks another
            case "channel":
                if _matters(edit):
                    found.append(Touched(edit, using(new, {edit.name})))
            case "client":
                if edit.operation != "edit" or _matters(edit):
                    found.append(Touched(edit))
            case "group":
                found.append(Touched(edit, clients=_belonging(edit.name, old=old, new=new)))
            case "model":
                found.append(Touched(edit, asking(new if edit.operation != "remove" else old, edit.name)))
            case "defaults":
                channels = {name for kind, name in edits.inheriting if kind == "channel"}
                if channels:
                    found.append(Touched(edit, using(new, channels)))
            case "server" | "telemetry" | "state" | "admin" | "tokens":
                if _matters(edit):
                    found.append(Touched(edit))
    return tuple(found)


def _belonging(name: str, *, old: RoutingTable, new: RoutingTable) -> tuple[str, ...]:
    """The clients that belong to a group before or after, in order."""
    found = {
        client.name for table in (old, new) for group in table.groups if group.name == name
        for client in members(table, group)
    }  # fmt: skip
    return tuple(sorted(found))


def _matters(edit: Edit) -> bool:
    routing = ROUTING.get(edit.kind, frozenset())
    return any(_root(one.path) not in routing for one in edit.fields)


def _root(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def using(table: RoutingTable, channels: Iterable[str]) -> tuple[str, ...]:
    """The routes that ask one of the channels, at once or after a failure."""
    wanted = set(channels)
    return tuple(
        route.name
        for route in table.routes
        if any(target.channel in wanted for tier in route.tiers for target in tier.targets)
    )


def asking(table: RoutingTable, model: str) -> tuple[str, ...]:
    """The routes with a target that can only ask for certain models, this one among them."""
    channels = {channel.name: channel for channel in table.channels}
    return tuple(
        route.name
        for route in table.routes
        if any(
            model in upstream_models(target, channels[target.channel])
            for tier in route.tiers
            for target in tier.targets
        )
    )
