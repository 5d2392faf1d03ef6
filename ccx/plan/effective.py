"""What a spec says in the end, value by value: what is written, inherited, preset or built in, and from where.

Law: what is shown is itself a spec, and compiles to the same table, so that it can be read instead of the rules of
inheritance. `compile` resolves; here the same is laid open, and the tests hold one against the other. Written values
are shown as they are written. Secrets are references, as in the spec. Nothing of a value is made up: each has its
origin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal

from ccx.plan.readable import duration, percent, url
from ccx.routing import table
from ccx.routing.compile import Compiled
from ccx.spec.diagnostics import Path, name_path
from ccx.spec.document import Spec
from ccx.spec.locations import Locations
from ccx.spec.schema import embedded

Kind = Literal["file", "defaults", "preset", "built-in"]
ATOMS: Final = frozenset({"when", "to", "keys", "key", "budget", "deny", "cache", "price", "models", "include"})
"""Parts that are read as one, and have one origin."""
_WHOLE: Final = frozenset({"tests", "invariants", "coverage", "lint"})
_OPTIONAL: Final = frozenset({"rollback", "canary", "traces", "usage", "alerts"})
"""Parts that do nothing unless they are written."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value is from. `text` is how it is said: `ccx.yaml:12`, `defaults.channel.http2 (ccx.yaml:4)`."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A value of the resolved spec. `note` is one that is told and not part of the language, such as an address."""

    path: Path
    value: Any
    origin: Origin
    note: bool = False


BUILT_IN: Final = Origin("built-in", "built-in default")


def written(locations: Locations) -> tuple[Shown, ...]:
    """The spec as it is written, its files put together, section by section in the order of the language."""
    rank = {section: place for place, section in enumerate(embedded()["properties"])}
    found = [one for one in _below(locations, ()) if one.path != ("include",)]
    return tuple(sorted(found, key=lambda one: rank.get(str(one.path[0]), len(rank))))


def effective(spec: Spec, compiled: Compiled, locations: Locations) -> tuple[Shown, ...]:
    """The spec with everything resolved. `locations` are those of the document that both come from."""
    return tuple(_Resolved(spec, compiled.table, locations).all())


def _below(locations: Locations, path: Path) -> Iterator[Shown]:
    """What is written at a path, leaf by leaf."""
    tree = locations.tree(path)
    if tree is None:
        return
    content = tree.content
    # Whole are lists but that of the routes, what is read as one, and what holds nothing.
    walked = isinstance(content, Mapping) or (isinstance(content, tuple) and path == ("routes",))
    atom = path[-1:] and (path[-1] in ATOMS or path[0] in _WHOLE) and path != ("models",)
    if not walked or not content or atom:
        yield Shown(path, tree.value(), _at(locations, path))
    elif isinstance(content, Mapping):
        for key in content:
            yield from _below(locations, (*path, key))
    elif isinstance(content, tuple):
        for place in range(len(content)):
            yield from _below(locations, (*path, place))


def _at(locations: Locations, path: Path) -> Origin:
    place = locations[path]
    return Origin("file", f"{place.file}:{place.span.line}")


class _Resolved:
    """One spec being laid open."""

    def __init__(self, spec: Spec, one: table.RoutingTable, locations: Locations) -> None:
        self._spec = spec
        self._table = one
        self._locations = locations
        self._definitions: Mapping[str, Any] = embedded()["definitions"]

    def all(self) -> Iterator[Shown]:
        places = self._locations
        yield from _below(places, ("version",))
        yield from self._filled(("server",), "Server")
        yield from self._filled(("admin",), "Admin")
        for name in self._spec.clients:
            yield from self._filled(("clients", name), "Client")
        for name in self._spec.groups:
            yield from self._filled(("groups", name), "ClientGroup")
        channels = {channel.name: channel for channel in self._table.channels}
        for name in self._spec.channels:
            yield from self._channel(channels[name])
        yield from _below(places, ("models",))
        rules = {route.name: route for route in self._table.routes}
        for place, route in enumerate(self._spec.routes):
            yield from self._route(place, rules[route.name])
        yield from _below(places, ("defaults",))
        yield from self._filled(("tokens",), "Tokens")
        yield from self._own_or(("state",), "memory")
        yield from self._filled(("telemetry",), "Telemetry")
        for section in ("lint", "tests", "invariants", "coverage"):
            yield from _below(places, (section,))

    # -- sections whose defaults the schema has

    def _filled(self, path: Path, definition: str) -> Iterator[Shown]:
        """What is written below a path, and what the schema says of the rest."""
        tree = self._locations.tree(path)
        for name, schema in self._definitions[definition]["properties"].items():
            here = (*path, name)
            there = tree is not None and tree.child(name) is not None
            inner = self._inner(schema)
            if inner is not None and name not in ATOMS and (there or name not in _OPTIONAL):
                yield from self._filled(here, inner)
            elif there:
                yield from _below(self._locations, here)
            elif schema.get("default", []) not in ([], {}):
                yield Shown(here, schema["default"], BUILT_IN)

    def _inner(self, schema: Mapping[str, Any]) -> str | None:
        """The definition of a part that is a mapping of its own; None for any other."""
        (reference,) = schema.get("allOf", [schema])[:1]
        name = str(reference.get("$ref", "")).rsplit("/", 1)[-1]
        return name if "properties" in self._definitions.get(name, {}) and name != "SecretSource" else None

    def _own_or(self, path: Path, value: Any, *, default: Path | None = None) -> Iterator[Shown]:
        """What is written at a path, else what is inherited, else what is built in (nothing for None)."""
        found = self._first(path, default)
        if found is not None:
            yield found
        elif value is not None:
            yield Shown(path, value, BUILT_IN)

    def _first(self, path: Path, default: Path | None) -> Shown | None:
        for at in (path, default):
            tree = self._locations.tree(at) if at is not None else None
            if at is not None and tree is not None:
                return Shown(path, tree.value(), self._origin(at, own=at == path))
        return None

    def _origin(self, at: Path, *, own: bool) -> Origin:
        place = _at(self._locations, at)
        return place if own else Origin("defaults", f"{name_path(at)} ({place.text})")

    def _joined(self, path: Path, default: Path, *, keep: Sequence[str]) -> Iterator[Shown]:
        """Mappings that are united: those of the inherited entries that are kept, and one's own."""
        own, inherited = (self._locations.tree(at) for at in (path, default))
        mine = set(own.content) if own is not None and isinstance(own.content, Mapping) else set()
        theirs = set(inherited.content) if inherited is not None and isinstance(inherited.content, Mapping) else set()
        folded = {name.lower() if path[-2:-1] == ("headers",) else name: name for name in (*theirs, *mine)}
        for name in keep:
            written_as = folded.get(name, name)
            at = (*path, written_as) if written_as in mine else (*default, written_as)
            tree = self._locations.tree(at)
            if tree is not None:
                yield Shown((*path, name), tree.value(), self._origin(at, own=written_as in mine))

    def _listed(self, path: Path, default: Path, values: Sequence[str]) -> Iterator[Shown]:
        """Lists that are united."""
        if not values:
            return
        froms = [at for at in (path, default) if self._locations.tree(at) is not None]
        texts = [self._origin(at, own=at == path).text for at in froms]
        yield Shown(path, list(values), Origin("file" if path in froms else "defaults", " and ".join(texts)))

    # -- channels and routes, which inherit

    def _channel(self, channel: table.Channel) -> Iterator[Shown]:
        path: Path = ("channels", channel.name)
        above: Path = ("defaults", "channel")
        places = self._locations
        preset = Origin("preset", f"provider preset {channel.provider}") if channel.provider is not None else BUILT_IN
        yield from _below(places, (*path, "provider"))
        own = self._first((*path, "protocol"), None)
        yield own or Shown((*path, "protocol"), [surface.protocol.value for surface in channel.surfaces], preset)
        for name in ("base_url", "auth"):
            yield from _below(places, (*path, name))
        for surface in channel.surfaces:
            sent = "no key" if surface.auth == "none" else f"key as {surface.auth}"
            source = _at(places, (*path, "base_url")) if places.tree((*path, "base_url")) is not None else preset
            yield Shown((*path, "surfaces", surface.protocol.value), f"{url(surface)}, {sent}", source, note=True)
        if channel.keys or places.tree((*path, "keys")) is not None:
            yield from _below(places, (*path, "keys"))
        yield from self._own_or((*path, "key_strategy"), channel.key_strategy, default=(*above, "key_strategy"))
        for name in ("models", "prefix"):
            yield from _below(places, (*path, name))
        for name in ("connect", "first_byte", "idle", "total"):
            usual = duration(getattr(channel.timeouts, name))
            yield from self._own_or((*path, "timeouts", name), usual, default=(*above, "timeouts", name))
        for name in ("requests", "input_tokens", "output_tokens", "concurrency"):
            yield from self._own_or((*path, "limits", name), None, default=(*above, "limits", name))
        yield from self._breaker(channel.breaker, path, above)
        yield from self._joined(
            (*path, "headers", "set"), (*above, "headers", "set"), keep=[name for name, _ in channel.set_headers]
        )
        yield from self._listed((*path, "headers", "remove"), (*above, "headers", "remove"), channel.remove_headers)
        for names in (("proxy",), ("tls", "ca")):
            yield from self._own_or((*path, *names), None, default=(*above, *names))
        yield from self._own_or((*path, "http2"), channel.http2, default=(*above, "http2"))
        yield from self._joined((*path, "tags"), (*above, "tags"), keep=[name for name, _ in channel.tags])
        yield from self._own_or((*path, "enabled"), channel.enabled)

    def _breaker(self, breaker: table.Breaker | None, path: Path, above: Path) -> Iterator[Shown]:
        path, above = (*path, "breaker"), (*above, "breaker")
        if breaker is None:
            at = path if self._locations.tree(path) is not None else above
            yield Shown(path, "off", self._origin(at, own=at == path))
            return
        for name in ("window", "min_requests", "error_rate", "consecutive", "open", "max_open", "probes"):
            value: int | Fraction = getattr(breaker, name)
            usual: Any = value
            if isinstance(value, Fraction):
                usual = percent(value)
            elif name in ("window", "open", "max_open"):
                usual = duration(value)
            yield from self._own_or((*path, name), usual, default=(*above, name))

    def _route(self, place: int, route: table.Route) -> Iterator[Shown]:
        path: Path = ("routes", place)
        above: Path = ("defaults",)
        for name in ("name", "when", "to", "deny"):
            yield from _below(self._locations, (*path, name))
        if route.deny is None:
            yield from self._treatment(route, path, above)
            yield from _below(self._locations, (*path, "cache"))
        for name in ("owner", "description"):
            yield from _below(self._locations, (*path, name))

    def _treatment(self, route: table.Route, path: Path, above: Path) -> Iterator[Shown]:
        failover, policy = route.failover, route.policy
        built_in: Mapping[tuple[str, ...], Any] = {
            ("on",): sorted(failover.on),
            ("attempts",): failover.attempts,
            ("deadline",): duration(failover.deadline),
            ("backoff", "initial"): duration(failover.backoff_initial),
            ("backoff", "max"): duration(failover.backoff_max),
            ("backoff", "jitter"): "full" if failover.jitter else "none",
        }
        for names, usual in built_in.items():
            yield from self._own_or((*path, "failover", *names), usual, default=(*above, "failover", *names))
        own, inherited = (*path, "request"), (*above, "request")
        yield from self._own_or(
            (*own, "cap", "max_output_tokens"), None, default=(*inherited, "cap", "max_output_tokens")
        )
        for name, pairs in (("default", policy.default), ("set", policy.set)):
            yield from self._joined((*own, name), (*inherited, name), keep=[field for field, _ in pairs])
        yield from self._listed((*own, "drop"), (*inherited, "drop"), policy.drop)
        for name in ("prefix", "replace"):
            yield from self._own_or((*own, "system", name), None, default=(*inherited, "system", name))
        yield from self._own_or((*path, "on_loss"), route.on_loss, default=(*above, "on_loss"))
