"""Edits by meaning: what a person did to the spec, read off two tables.

Law: comments, key order, short forms and spellings are no edits, for the tables do not have them. Things are matched by
name; a route of another name and the same body was renamed; of the routes that stay, the fewest that explain the new
order were moved. A value that a thing inherits is an edit of `defaults`, not of the thing, as far as the texts are
there to tell.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, get_args

from ccx.plan import readable
from ccx.plan.model import Edit, FieldEdit, Kind, Operation
from ccx.plan.readable import Fields, Path
from ccx.routing.canonical import canonical
from ccx.routing.compile import Compiled
from ccx.routing.table import Channel, Client, Group, ModelInfo, Route, RoutingTable
from ccx.spec.locations import Locations, Place

_LONGEST: Final = 120
_INHERITED: Final[Mapping[Kind, frozenset[str]]] = {
    "route": frozenset({"failover", "request", "on_loss"}),
    "channel": frozenset({"timeouts", "limits", "breaker", "headers", "proxy", "tls", "http2", "key_strategy", "tags"}),
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the two compared: a compiled spec, what it is called, the commit it is from if it is from one, and the
    places of its text where there is a text; a table that a gateway serves has none."""

    compiled: Compiled
    name: str
    revision: str | None = None
    locations: Locations | None = None
    positions: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, int] = {}
        listed = self.locations.tree(("routes",)) if self.locations is not None else None
        for place, route in enumerate(listed.content if listed and isinstance(listed.content, tuple) else ()):
            name = route.child("name")
            if name is not None and isinstance(name.content, str):
                found.setdefault(name.content, place)
        object.__setattr__(self, "positions", found)

    @property
    def table(self) -> RoutingTable:
        """The table."""
        return self.compiled.table

    def path(self, kind: Kind, name: str) -> Path | None:
        """Where a thing stands in the document."""
        match kind:
            case "route":
                return ("routes", self.positions[name]) if name in self.positions else None
            case "channel" | "client" | "group" | "model":
                return (f"{kind}s", name)
            case _:
                return (kind,)

    def place(self, kind: Kind, name: str, below: Path = ()) -> Place | None:
        """The place of a thing or of a field of it; None without a text."""
        path = self.path(kind, name)
        if self.locations is None:
            found = self.compiled.sources.get(f"{kind}s/{name}")
        else:
            found = self.locations.nearest((*path, *below)) if path is not None else None
        return found if found is not None and found.file else None

    def written(self, path: Path) -> Any:
        """What is written at a path of the document, or the scalar above that it lies under; None for nothing."""
        here = self.locations.root if self.locations is not None else None
        for part in path:
            if here is None or not isinstance(here.content, Mapping | tuple):
                break
            here = here.child(part)
        return here.value() if here is not None else None


@dataclass(frozen=True, slots=True)
class Edits:
    """All edits, and the routes and channels that changed by what they inherit."""

    listed: tuple[Edit, ...]
    inheriting: frozenset[tuple[Kind, str]]


def edits(old: Compared, new: Compared) -> Edits:
    """The edits that lead from one to the other, in the order of kinds and of the new text."""
    return _Comparison(old, new).edits()


def implicit(name: str) -> bool:
    """Whether a route is one that stands for something else in the spec, such as the prefix of a channel."""
    return name.startswith("@")


class _Comparison:
    def __init__(self, old: Compared, new: Compared) -> None:
        self.old, self.new = old, new
        self.found: list[Edit] = []
        self.inherited: dict[Path, FieldEdit] = {}
        self.inheriting: set[tuple[Kind, str]] = set()

    def edits(self) -> Edits:
        old, new = self.old.table, self.new.table
        self.routes()
        self.named("channel", old.channels, new.channels, fields=readable.channel_fields, usual=_channel)
        self.order_of_channels()
        self.named("client", old.clients, new.clients, fields=readable.client_fields, usual=_client)
        self.named("group", old.groups, new.groups, fields=readable.group_fields, usual=Group)
        self.named("model", old.models, new.models, fields=readable.model_fields, usual=ModelInfo)
        if old.server.direct and new.server.direct:
            self.changed("route", "@direct", readable.treatment_fields, (old.direct, new.direct))
        kinds: Sequence[Kind] = ("server", "telemetry", "state", "admin", "tokens")
        for kind in kinds:
            read = readable.SECTIONS[kind]
            if fields := _differences(read(old), read(new)):
                self.found.append(self.edit(kind, kind, "edit", fields))
        if self.inherited:
            fields = {path: (one.before, one.after) for path, one in sorted(self.inherited.items(), key=_spelled)}
            self.found.append(self.edit("defaults", "defaults", "edit", fields))
        rank: Mapping[str, int] = {kind: place for place, kind in enumerate(get_args(Kind))}
        return Edits(tuple(sorted(self.found, key=lambda edit: rank[edit.kind])), frozenset(self.inheriting))

    def edit(
        self,
        kind: Kind,
        name: str,
        operation: Operation,
        fields: Mapping[Path, tuple[str | None, str | None]] = {},
        *,
        was: str | None = None,
    ) -> Edit:
        listed = tuple(FieldEdit(_said(path), *_short(*values)) for path, values in fields.items())
        text = self.old if operation == "remove" else self.new
        below = next(iter(fields), ()) if operation == "edit" else ("name",) if operation == "rename" else ()
        place = text.place(kind, name, below)
        if place is None and kind == "state":
            place = self.old.place(kind, name)
        return Edit(kind, name, operation, listed, place, was)

    def routes(self) -> None:
        old = {route.name: route for route in self.old.table.routes if not implicit(route.name)}
        new = {route.name: route for route in self.new.table.routes if not implicit(route.name)}
        renamed = _renamed(
            [route for name, route in old.items() if name not in new],
            [route for name, route in new.items() if name not in old],
        )
        before = {renamed.get(name, name): name for name in old}  # by the new name
        kept = [name for name in new if name in before]
        rank = {renamed.get(name, name): place for place, name in enumerate(old)}
        still = _longest_rise([rank[name] for name in kept])
        moved = {name for name in kept if rank[name] not in still}
        removed = [name for name in old if renamed.get(name, name) not in new]
        follow = _after(list(old), removed, renamed)
        self.removed_routes(old, follow.pop(None, []))
        for name, route in new.items():
            if name not in before:
                self.add("route", name, readable.route_fields(route), readable.route_fields(Route(name)))
            else:
                was = before[name]
                if was != name:
                    self.found.append(self.edit("route", name, "rename", was=was))
                self.changed("route", name, readable.route_fields, (replace(old[was], name=name), route), was=was)
                if name in moved:
                    self.found.append(self.edit("route", name, "move"))
                self.removed_routes(old, follow.pop(was, []))

    def removed_routes(self, old: Mapping[str, Route], removed: Iterable[str]) -> None:
        for name in removed:
            fields = readable.route_fields(old[name])
            self.remove("route", name, fields, readable.route_fields(Route(name)))

    def named(
        self,
        kind: Kind,
        old: Sequence[Any],
        new: Sequence[Any],
        *,
        fields: Callable[[Any], Fields],
        usual: Callable[[str], Any],
    ) -> None:
        before, after = ({one.name: one for one in side} for side in (old, new))
        for name in sorted(before.keys() | after.keys()):
            plain = fields(usual(name))
            if name not in before:
                self.add(kind, name, fields(after[name]), plain)
            elif name not in after:
                self.remove(kind, name, fields(before[name]), plain)
            else:
                self.changed(kind, name, fields, (before[name], after[name]))

    def add(self, kind: Kind, name: str, fields: Fields, plain: Fields) -> None:
        shown: dict[Path, tuple[str | None, str | None]] = {
            path: (None, text) for path, text in _chain(fields).items() if plain.get(path) != text
        }
        self.found.append(self.edit(kind, name, "add", self.own(kind, name, shown, self.new)))

    def remove(self, kind: Kind, name: str, fields: Fields, plain: Fields) -> None:
        shown: dict[Path, tuple[str | None, str | None]] = {
            path: (text, None) for path, text in _chain(fields).items() if plain.get(path) != text
        }
        self.found.append(self.edit(kind, name, "remove", self.own(kind, name, shown, self.old)))

    def own(self, kind: Kind, name: str, fields: Mapping[Path, T], text: Compared) -> dict[Path, T]:
        """Without what the thing does not say itself, where there is a text to tell."""
        at = text.path(kind, name)
        if text.locations is None or at is None:
            return dict(fields)
        inherited = _INHERITED.get(kind, frozenset())
        return {
            path: value
            for path, value in fields.items()
            if path[0] not in inherited or text.written((*at, *path)) is not None
        }

    def changed(
        self, kind: Kind, name: str, read: Callable[[Any], Fields], both: tuple[T, T], *, was: str | None = None
    ) -> None:
        old, new = both
        if old == new:
            return
        fields = _differences(read(old), read(new))
        inherited = {path for path in fields if self.is_inherited(kind, was or name, name, path)}
        for path in inherited:
            key = ("channel", *path) if kind == "channel" else path
            self.inherited.setdefault(key, FieldEdit(_said(key), *fields[path]))
            self.inheriting.add((kind, name))
        own = {path: values for path, values in fields.items() if path not in inherited}
        if not fields and (rest := _differences(_flat(old), _flat(new))):
            own = rest
        if own:
            self.found.append(self.edit(kind, name, "edit", own))

    def is_inherited(self, kind: Kind, was: str, name: str, path: Path) -> bool:
        """Whether a field changed because of `defaults`: the thing says of it what it said, and they do not."""
        if path[0] not in _INHERITED.get(kind, ()):
            return False
        if name == "@direct":
            return True
        if self.old.locations is None or self.new.locations is None:
            return False
        shared: Path = ("defaults", "channel", path[0]) if kind == "channel" else ("defaults", path[0])
        if self.old.written(shared) == self.new.written(shared):
            return False
        before, after = self.old.path(kind, was), self.new.path(kind, name)
        if before is None or after is None:
            return False
        return bool(self.old.written((*before, *path)) == self.new.written((*after, *path)))

    def order_of_channels(self) -> None:
        """Where no route is declared, requests go to the channels in the order written."""
        old, new = (_fallback(text.table) for text in (self.old, self.new))
        kept_old, kept_new = [name for name in old if name in new], [name for name in new if name in old]
        if kept_old != kept_new:
            order: Path = ("order",)
            both = (readable.THEN.join(kept_old), readable.THEN.join(kept_new))
            edit = self.edit("channel", "channels", "reorder", {order: both})
            self.found.append(replace(edit, place=None))


def _fallback(table: RoutingTable) -> list[str]:
    route = next((route for route in table.routes if route.name == "@all"), None)
    return [target.channel for tier in route.tiers for target in tier.targets] if route is not None else []


def _channel(name: str) -> Channel:
    return Channel(name, "generic", ())


def _client(name: str) -> Client:
    return Client(name, ())


def _renamed(gone: Sequence[Route], come: Sequence[Route]) -> dict[str, str]:
    """Old names to new ones, for routes that are alike but for the name; of several alike, in order."""
    bodies: dict[Route, list[str]] = {}
    for route in come:
        bodies.setdefault(replace(route, name=""), []).append(route.name)
    found: dict[str, str] = {}
    for route in gone:
        names = bodies.get(replace(route, name=""))
        if names:
            found[route.name] = names.pop(0)
    return found


def _after(names: Sequence[str], removed: Sequence[str], renamed: Mapping[str, str]) -> dict[str | None, list[str]]:
    """Removed names by the last one before them that is not removed."""
    found: dict[str | None, list[str]] = {}
    last: str | None = None
    gone = set(removed)
    for name in names:
        if name in gone:
            found.setdefault(last, []).append(name)
        else:
            last = name
    return found


def _longest_rise(ranks: Sequence[int]) -> set[int]:
    """The members of one longest rising subsequence of different numbers, in O(n log n)."""
    ends: list[int] = []  # the smallest end of a rise of each length
    at: list[int] = []
    before: list[int | None] = [None] * len(ranks)
    for place, rank in enumerate(ranks):
        length = bisect.bisect_left(ends, rank)
        before[place] = at[length - 1] if length else None
        ends[length : length + 1] = [rank]
        at[length : length + 1] = [place]
    kept: set[int] = set()
    place_: int | None = at[-1] if at else None
    while place_ is not None:
        kept.add(ranks[place_])
        place_ = before[place_]
    return kept


def _differences(old: Fields, new: Fields) -> dict[Path, tuple[str | None, str | None]]:
    """The lines that differ, in the order of the new and then of the old."""
    if {path for path in old if path[:1] == ("to",)} != {path for path in new if path[:1] == ("to",)}:
        old, new = _chain(old), _chain(new)
    if (("models",) in old) is not (("models",) in new):
        old, new = _listed(old), _listed(new)
    paths = dict.fromkeys((*new, *old))
    return {path: (old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)}


def _chain(fields: Fields) -> Fields:
    """With the steps of a failover order in one line."""
    steps = [text for path, text in fields.items() if path[:1] == ("to",)]
    rest = {path: text for path, text in fields.items() if path[:1] != ("to",)}
    if not steps:
        return rest
    chain: Fields = {("to",): readable.THEN.join(steps)}
    when = {path: text for path, text in rest.items() if path[0] == "when"}
    return when | chain | {path: text for path, text in rest.items() if path[0] != "when"}


def _listed(fields: Fields) -> Fields:
    """With all models that a channel allows in one line."""
    models = {path: text for path, text in fields.items() if path[0] == "models" and len(path) > 1}
    if not models:
        return fields
    line = ", ".join(str(path[1]) + (f" {text}" if text.startswith("as ") else "") for path, text in models.items())
    return {path: text for path, text in fields.items() if path not in models} | {("models",): line}


def _flat(value: object) -> Fields:
    """Any value of a table, line by line: for what has no words of its own, such as what a preset brings."""
    found: Fields = {}

    def visit(here: object, path: Path) -> None:
        match here:
            case dict():
                for key, below in here.items():
                    visit(below, (*path, str(key)))
            case list():
                for place, below in enumerate(here):
                    visit(below, (*path, place))
            case _:
                found[path] = str(here)

    visit(canonical(value), ())
    return found


def _said(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _spelled(item: tuple[Path, object]) -> str:
    return _said(item[0])


def _short(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Both, cut where they are long; with a fingerprint where the cut hides the difference."""
    cut = [_cut(text, mark="") if text is not None else None for text in (before, after)]
    if cut[0] == cut[1] and before is not None and after is not None:
        return _cut(before, mark=_print(before)), _cut(after, mark=_print(after))
    return cut[0], cut[1]


def _cut(text: str, *, mark: str) -> str:
    if len(text) <= _LONGEST and not mark:
        return text
    return f"{text[: _LONGEST - 40]}… ({len(text):,} characters{mark})"


def _print(text: str) -> str:
    return f", sha256 {hashlib.sha256(text.encode()).hexdigest()[:8]}"
