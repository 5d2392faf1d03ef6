"""5xx: what is left over, and what is about to end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Final

from ccx.catalog.models import Model, lookup
from ccx.catalog.providers import provider
from ccx.lint.conditions import whens
from ccx.lint.rule import Rule
from ccx.lint.subject import Subject
from ccx.routing.globs import Globs, glob_matches, most_specific
from ccx.routing.promotion import moment
from ccx.routing.table import Channel
from ccx.spec.diagnostics import Fix, Path, TextEdit
from ccx.spec.finding import Finding
from ccx.spec.versions.deprecated import Deprecated
from ccx.spec.wording import closest, listed

SOON: Final = timedelta(days=30)
_ALSO_SHOWN: Final = 5


def unused_channels(subject: Subject) -> Iterator[Finding]:
    if not subject.spec.routes:
        return
    used = {target.channel.name for route in subject.routes for target in route.targets}
    clients = [client for client in subject.table.clients if client.enabled]
    direct = subject.table.server.direct and (not clients or any(client.direct for client in clients))
    for name, channel in subject.channels.items():
        if name in used or channel.prefix is not None or not channel.enabled:
            continue
        message = f"no route leads to channel `{name}`"
        if direct:
            advice = f"it can only be had by name, as `{name}/model`; name it in a route, or remove it"
            yield Finding(("channels", name), "CCX503", message, help=advice, at_key=True, severity="info")
        else:
            advice = "name it in a route, or remove it; `enabled: false` keeps it for later"
            yield Finding(("channels", name), "CCX503", message, help=advice, at_key=True)


def unused_models(subject: Subject) -> Iterator[Finding]:
    named = {target.target.model for route in subject.routes for target in route.targets}
    for name in subject.spec.models:
        if name not in named and not any(_may_ask_for(channel, name) for channel in subject.table.channels):
            renames = {
                pattern: upstream
                for channel in subject.table.channels
                for pattern, upstream in channel.models or ()
                if upstream is not None and glob_matches(pattern, name)
            }
            advice = "remove it, or write the name that the upstream is asked for"
            if renames:
                upstream = next(iter(renames.values()))
                advice = f"the upstream is asked for `{upstream}` instead: write that name"
            message = f"no channel is ever asked for the model `{name}`"
            yield Finding(("models", name), "CCX504", message, help=advice, at_key=True)


def _may_ask_for(channel: Channel, name: str) -> bool:
    if channel.models is None:
        return not any(glob_matches(pattern, name) for pattern in channel.not_models)
    rows = dict(channel.models)
    if name in rows.values():
        return True
    entry = most_specific(tuple(rows), name)
    return entry is not None and rows[entry] is None


def expiring_clients(subject: Subject) -> Iterator[Finding]:
    for name, client in subject.spec.clients.items():
        if client.expires is None or not client.enabled:
            continue
        at: Path = ("clients", name, "expires")
        if client.expires < subject.today:
            message = f"the key of client `{name}` is refused since its last day, {client.expires}"
            yield Finding(at, "CCX506", message, help="remove the client, or give it a new key and another day")
        elif client.expires - subject.today <= SOON:
            days = (client.expires - subject.today).days
            left = "today" if days == 0 else "tomorrow" if days == 1 else f"in {days} days"
            message = f"the key of client `{name}` works for the last time {left}"
            yield Finding(at, "CCX507", message, help="`ccx keys new NAME` makes the next; two may be valid at once")


def ending_models(subject: Subject) -> Iterator[Finding]:
    for path, name, channel in _asked_for(subject):
        row = _row(subject, name, channel)
        if row is None:
            continue
        source = f"says {row.source}, read on {row.checked}"
        if row.retires is not None and row.retires <= subject.today:
            message = f"`{name}` has not been served since {row.retires}"
            yield Finding(path, "CCX508", message, help=f"choose another model; {source}")
        elif row.retires is not None or (row.deprecated is not None and row.deprecated <= subject.today):
            when = f"on {row.retires}" if row.retires is not None else "on a day not yet named"
            message = f"`{name}` ends {when}"
            yield Finding(path, "CCX511", message, help=f"plan for another model; {source}")


def past_promotions(subject: Subject) -> Iterator[Finding]:
    midnight = datetime.combine(subject.today, time(), UTC)
    for name, channel in subject.channels.items():
        if channel.promote is not None and channel.promote.until <= midnight.timestamp() * 1000:
            message = f"the promotion of channel `{name}` ended at {moment(channel.promote.until)}"
            yield Finding(
                ("channels", name, "promote", "until"), "CCX512", message, help="remove it, or write a new time"
            )


def _asked_for(subject: Subject) -> Iterator[tuple[Path, str, str]]:
    """Every model that the spec names for an upstream: where, which, and at which channel."""
    for route in subject.routes:
        for target in route.targets:
            if target.target.model is not None and target.models == (target.target.model,):
                yield (*target.path, "model"), target.target.model, target.channel.name
    for name, channel in subject.spec.channels.items():
        if isinstance(channel.models, dict):
            for pattern, upstream in channel.models.items():
                if upstream is not None or "*" not in pattern.removeprefix("!"):
                    asked = upstream if upstream is not None else pattern
                    if not asked.startswith("!"):
                        yield ("channels", name, "models", pattern), asked, name
        for index, pattern in enumerate(channel.models if isinstance(channel.models, tuple) else ()):
            if "*" not in pattern and not pattern.startswith("!"):
                yield ("channels", name, "models", index), pattern, name


def _row(subject: Subject, name: str, channel: str) -> Model | None:
    """The catalogue's row, where the channel is the vendor itself: others serve a model for longer."""
    written = subject.spec.channels[channel]
    preset = provider(written.provider) if written.provider is not None else None
    if preset is None or preset.models != preset.name or written.base_url is not None:
        return None
    return lookup(name, provider=preset.name)


def unknown_tags(subject: Subject) -> Iterator[Finding]:
    values: dict[str, set[str]] = {}
    for client in subject.spec.clients.values():
        for tag, value in client.tags.items():
            values.setdefault(tag, set()).add(value)
    for route in subject.routes:
        for path, when in whens(route.written.when, (*route.path, "when")):
            for tag, globs in (when.tag or {}).items():
                at: Path = (*path, "tag", tag)
                if tag not in values:
                    meant = closest(tag, list(values))
                    advice = f"did you mean `{meant}`?" if meant else f"tags: {listed(list(values))}"
                    message = f"no client has a tag `{tag}`"
                    fix = _renamed(subject, at, meant) if meant else None
                    yield Finding(
                        at, "CCX509", message, help=advice if values else "declare it at a client", at_key=True, fix=fix
                    )
                elif not any(Globs.of(globs).matches(value) for value in values[tag]):
                    message = f"no client has a tag `{tag}` with such a value"
                    yield Finding(at, "CCX509", message, help=f"values: {listed(sorted(values[tag]))}")


def _renamed(subject: Subject, path: Path, name: str) -> Fix | None:
    """The key of an entry, written anew."""
    place = subject.locations.get(path)
    if place is None or place.key is None or subject.shared(path[:-1]):
        return None
    return Fix(f"write {name}", False, (TextEdit(place.file, place.key, name),))


def deprecated_fields(subject: Subject) -> Iterator[Finding]:
    """One finding for each field, at its first place, naming up to five more.

    Where two fields are one now, that one stands at the first of them, and it is the first that is named.
    """
    if not subject.loaded.deprecated:
        return
    by_row: dict[Deprecated, list[Path]] = {}
    keys = {(place.file, place.key): path for path, place in subject.locations.items() if place.key is not None}
    for use in subject.loaded.deprecated:
        path = keys.get((use.file, use.key))
        if path is not None:
            by_row.setdefault(use.row, []).append(path)
    for row, paths in by_row.items():
        more = f" ({len(paths)} places)" if len(paths) > 1 else ""
        yield Finding(
            paths[0],
            "CCX502",
            f"`{row.shown}` is read until ccx {row.removed_in}{more}",
            help=f"it is written `{row.replacement}` now; `ccx migrate` writes it",
            at_key=True,
            also=tuple((path, "and here") for path in paths[1 : _ALSO_SHOWN + 1]),
        )


LIFECYCLE: Final[tuple[Rule, ...]] = (
    Rule(("CCX502",), deprecated_fields),
    Rule(("CCX503",), unused_channels),
    Rule(("CCX504",), unused_models),
    Rule(("CCX506", "CCX507"), expiring_clients),
    Rule(("CCX508", "CCX511"), ending_models),
    Rule(("CCX509",), unknown_tags),
    Rule(("CCX512",), past_promotions),
)
