"""The space of all requests that some tables can be asked, and how far an analysis of it may go.

Law: an analysis is exact or it says that it is not. It counts its own steps, and asks a callable that it was given
whether there is time left: this package has no clock.

What a request is: any values of the axes, with these bounds. A model has no white space at its ends or beside the
sign of a channel's name before it, and no `*`: the gateway trims the one, and no model is called the other. Server
tools are tools. A path prefix is a segment that some table serves. A caller without a name is on the gateway's own
machine and may name channels, and there is one only where a table declares no clients: all others are turned away
before they are routed. Where two tables declare a client differently, it has on each what that one says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ccx.analysis.axes import (
    PLAIN,
    Axis,
    BodyAxis,
    ClientAxis,
    FlagAxis,
    ProtocolAxis,
    TextAxis,
    TokensAxis,
    ToolsAxis,
)
from ccx.analysis.boxes import Lowering
from ccx.analysis.effort import Budget, Unfinished
from ccx.routing.conditions import (
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Direct,
    Flag,
    HeaderMatches,
    Leaf,
    ModelMatches,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
    leaves,
)
from ccx.routing.decide import PrefixSet
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable

__all__ = ["Budget", "Space", "Unfinished"]


class Space:
    """The axes that matter to some tables and conditions. The model is an axis of its own, see `boxes`."""

    def __init__(self, tables: Sequence[RoutingTable], conditions: Iterable[Condition] = ()) -> None:
        asked = [route.when for table in tables for route in table.routes] + list(conditions)
        found = dict.fromkeys(leaf for condition in dict.fromkeys(asked) for leaf in leaves(condition))
        served = [PrefixSet(table) for table in tables]

        def admits(prefix: str) -> bool:
            return prefix != "" and "/" not in prefix and any(prefix in one for one in served)

        headers: dict[str, list[HeaderMatches]] = {}
        fields: dict[str, list[BodyField]] = {}
        for leaf in found:
            if isinstance(leaf, HeaderMatches):
                headers.setdefault(leaf.name, []).append(leaf)
            elif isinstance(leaf, BodyField):
                fields.setdefault(leaf.path, []).append(leaf)
        named: dict[tuple[str, str], Axis] = {
            ("protocol", ""): ProtocolAxis(),
            ("tokens", ""): TokensAxis(leaf for leaf in found if isinstance(leaf, TokensIn)),
            ("client", ""): ClientAxis(_callers(tables)),
            ("tools", ""): ToolsAxis(leaf for leaf in found if isinstance(leaf, ServerTool)),
        }
        for name in sorted(headers):
            named["header", name] = TextAxis("header", headers[name], name=name)
        for flag in ("stream", "thinking", "images"):
            named["flag", flag] = FlagAxis(flag)
        prefixes = [leaf for leaf in found if isinstance(leaf, PrefixIn)]
        named["prefix", ""] = TextAxis("prefix", prefixes, admits=admits)
        for path in sorted(fields):
            named["body", path] = BodyAxis(path, fields[path])
        self.axes = tuple(named.values())
        self.full = tuple(axis.full for axis in self.axes)
        self._place = {key: place for place, key in enumerate(named)}

    def place(self, leaf: Leaf) -> int:
        """Which axis a leaf asks about. Raises ValueError for a leaf without one."""
        match leaf:
            case ProtocolIn():
                key = ("protocol", "")
            case TokensIn():
                key = ("tokens", "")
            case ClientIn() | TagMatches() | Direct():
                key = ("client", "")
            case ServerTool() | Flag(name="tools"):
                key = ("tools", "")
            case HeaderMatches(name=name):
                key = ("header", name)
            case Flag(name=name):
                key = ("flag", name)
            case PrefixIn():
                key = ("prefix", "")
            case BodyField(path=path):
                key = ("body", path)
            case Constant() | ModelMatches():
                raise ValueError(f"{leaf} is on no axis of atoms")
        return self._place[key]

    def lowering(self, seen: Callable[[Facts], Facts] = lambda facts: facts) -> Lowering:
        """Boxes of conditions, for a table that sees a caller as `seen` says."""

        def mask(leaf: Leaf) -> tuple[int, int]:
            place = self.place(leaf)
            axis = self.axes[place]
            if isinstance(axis, ClientAxis):
                return place, axis.where(lambda facts: bool(leaf.holds(seen(facts))))
            return place, axis.mask(leaf)

        return Lowering(self.full, mask)

    def terms(self, place: int, atoms: int) -> list[tuple[int, Condition]]:
        """Conditions that together hold for just these atoms of an axis."""
        return self.axes[place].terms(atoms)

    def request(self, model: str | None, masks: Sequence[int]) -> Facts:
        """The plainest request within these sets of atoms."""
        facts = replace(PLAIN, model=model)
        for axis, atoms in zip(self.axes, masks, strict=True):
            facts = axis.put(facts, axis.best(atoms))
        return facts


def _callers(tables: Sequence[RoutingTable]) -> list[Facts]:
    """One request for each client that a table declares, as the last that does sees it."""
    declared = {client.name: client for table in tables for client in table.clients}
    found = [
        replace(PLAIN, client=name, tags=dict(declared[name].tags), direct=declared[name].direct)
        for name in sorted(declared)
    ]
    return found if all(table.clients for table in tables) else [*found, PLAIN]
