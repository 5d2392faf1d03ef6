"""What the parts of a document say about each other: names that must exist, entries that must say enough.

Works on any document, well-shaped or not. `excused` are paths of keys that are absent only because they were
misspelt or hold a secret: that has been said already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from ccx.catalog.providers import Provider, provider, providers
from ccx.spec.diagnostics import Path
from ccx.spec.finding import Finding
from ccx.spec.locations import Tree
from ccx.spec.rules import RULES
from ccx.spec.view import conditions, entries, items, one_or_many, targets, text, texts, under
from ccx.spec.wording import closest, listed, show

RESERVED_PREFIXES: Final = frozenset(
    {"v1", "v1beta", "messages", "chat", "responses", "models", "images", "embeddings"}
    | {"health", "ready", "status", "metrics", "admin", "api"}
)
_CODE: Final = re.compile(r"CCX\d{3}")
_OF_ROUTING: Final = ("failover", "request", "on_loss", "cache")


def check_references(root: Tree, *, complete: bool, excused: Collection[Path]) -> Iterator[Finding]:
    """Everything that does not fit. Names are not missed when the files are not `complete`."""
    yield from _channels(root, excused)
    yield from _prefixes(root)
    yield from _routes(root, excused)
    if complete:
        yield from _channel_names(root)
        yield from _client_names(root)
    yield from _models(root)
    yield from _lint(root)


def _channels(root: Tree, excused: Collection[Path]) -> Iterator[Finding]:
    for name, channel in entries(under(root, "channels")).items():
        path: Path = ("channels", name)
        if not isinstance(channel.content, Mapping):
            continue
        yield from _pool(channel, path)
        for pattern, upstream in entries(under(channel, "models")).items():
            if upstream.content == pattern:
                message = f"channel {show(name)} renames {show(pattern)} to itself"
                yield Finding((*path, "models", pattern), "CCX224", message, help="write null to keep the name")
        present = {key for key in ("provider", "protocol", "base_url", "keys") if key in channel.content}
        present |= {key for key in ("provider", "protocol", "base_url", "keys") if (*path, key) in excused}
        if "provider" in present:
            asked = text(under(channel, "provider"))
            if asked is None:
                continue
            preset = provider(asked)
            if preset is None:
                yield _unknown_provider((*path, "provider"), asked)
            else:
                yield from _of_preset(preset, channel, path=path, present=present)
        elif not {"protocol", "base_url"} <= present:
            lacking = " and ".join(f"`{key}`" for key in ("protocol", "base_url") if key not in present)
            if lacking == "`protocol` and `base_url`":
                message = f"channel {show(name)} says neither its `provider` nor its `protocol` and `base_url`"
            else:
                message = f"channel {show(name)} has no `provider` and no {lacking}"
            yield Finding(
                path,
                "CCX121",
                message,
                help="name a provider (`ccx providers` lists them), or write both protocol and base_url",
                at_key=True,
            )


def _unknown_provider(path: Path, asked: str) -> Finding:
    names = [preset.name for preset in providers()]
    aliases = {alias: preset.name for preset in providers() for alias in preset.aliases}
    meant = closest(asked, [*names, *aliases])
    advice = f"did you mean `{meant}`?" if meant else f"providers: {listed(names)}; `ccx providers` shows all"
    return Finding(path, "CCX119", f"there is no provider {show(asked)}", help=advice, suggestion=meant)


def _of_preset(preset: Provider, channel: Tree, *, path: Path, present: Collection[str]) -> Iterator[Finding]:
    name = path[-1]
    if preset.needs_base_url and "base_url" not in present:
        example = f"write base_url, such as {preset.base_url_example}" if preset.base_url_example else "write base_url"
        message = f"provider {preset.name!r} has no address of its own, and channel {show(name)} gives no `base_url`"
        yield Finding((*path, "provider"), "CCX122", message, help=example)
    if preset.needs_key and "keys" not in present and text(under(channel, "auth")) != "none":
        advice = f"write keys: {{env: {preset.key_env or 'API_KEY'}}} or keys: none"
        message = f"channel {show(name)} has no keys, and provider {preset.name!r} asks for one"
        yield Finding((*path, "provider"), "CCX123", message, help=advice)
    if "base_url" not in present:
        spoken = [protocol.value for protocol in preset.surfaces]
        for at, protocol in texts(under(channel, "protocol"), (*path, "protocol")):
            if protocol in {"messages", "chat", "responses", "gemini", "images", "embeddings"} - set(spoken):
                message = f"provider {preset.name!r} does not speak {protocol!r}"
                yield Finding(at, "CCX124", message, help=f"it speaks {listed(spoken)}")


def _pool(channel: Tree, path: Path) -> Iterator[Finding]:
    keys = list(one_or_many(under(channel, "keys"), (*path, "keys")))
    if keys and all(_idle(key) for _, key in keys):
        message = f"no key of channel {show(path[-1])} can be chosen: each is disabled or has weight 0"
        yield Finding((*path, "keys"), "CCX222", message, help="give one a weight, or write keys: none", at_key=True)


def _idle(member: Tree) -> bool:
    weight, enabled = under(member, "weight"), under(member, "enabled")
    no_weight = weight is not None and weight.content == 0 and not isinstance(weight.content, bool)
    return no_weight or (enabled is not None and enabled.content is False)


def _prefixes(root: Tree) -> Iterator[Finding]:
    owners: dict[str, Path] = {}
    uses: list[tuple[Path, str]] = []
    for name, channel in entries(under(root, "channels")).items():
        prefix = text(under(channel, "prefix"))
        if prefix is None:
            continue
        at: Path = ("channels", name, "prefix")
        uses.append((at, prefix))
        if prefix in owners:
            first = owners[prefix]
            message = f"channels {show(first[1])} and {show(name)} have the same prefix {show(prefix)}"
            yield Finding(at, "CCX125", message, help="a path leads to one channel", also=((first, "first used here"),))
        owners.setdefault(prefix, at)
    for index, route in enumerate(items(under(root, "routes"))):
        for path, when in conditions(route, ("routes", index)):
            for at, prefix in texts(under(when, "prefix"), (*path, "prefix")):
                uses.append((at, prefix))
                if prefix in owners:
                    channel_name = owners[prefix][1]
                    message = f"requests under {show(prefix)} go to channel {show(channel_name)} and never to a route"
                    yield Finding(
                        at,
                        "CCX125",
                        message,
                        help="choose another prefix for the route or the channel",
                        also=((owners[prefix], "the channel's prefix"),),
                    )
    for at, prefix in uses:
        if prefix.removeprefix("!").lower() in RESERVED_PREFIXES:
            message = f"the prefix {show(prefix)} is one of the gateway's own paths"
            yield Finding(at, "CCX126", message, help=f"reserved: {', '.join(sorted(RESERVED_PREFIXES))}")


def _routes(root: Tree, excused: Collection[Path]) -> Iterator[Finding]:
    first: dict[str, Path] = {}
    for index, route in enumerate(items(under(root, "routes"))):
        path: Path = ("routes", index)
        if not isinstance(route.content, Mapping):
            continue
        name = text(under(route, "name"))
        if name is not None:
            if name in first:
                message = f"two routes are called {show(name)}"
                also = ((first[name], "first used here"),)
                yield Finding((*path, "name"), "CCX102", message, help="rename one of them", also=also)
            first.setdefault(name, (*path, "name"))
        called = f"route {show(name)}" if name is not None else f"routes[{index}]"
        has_to = "to" in route.content or (*path, "to") in excused
        has_deny = "deny" in route.content or (*path, "deny") in excused
        if not has_to and not has_deny:
            at = (*path, "name") if name is not None else path
            advice = "write `to: [channel]`, or `deny: {message: ...}` to refuse"
            yield Finding(at, "CCX220", f"{called} says neither `to` nor `deny`", help=advice)
        elif "to" in route.content and "deny" in route.content:
            also = (((*path, "to"), "`to` is here"),)
            message = f"{called} has both `to` and `deny`"
            yield Finding((*path, "deny"), "CCX221", message, help="keep one of them", at_key=True, also=also)
        elif has_deny:
            for part in _OF_ROUTING:
                if part in route.content:
                    message = f"`{part}` does nothing in {called}, which denies"
                    yield Finding((*path, part), "CCX223", message, help="remove it", at_key=True)
        for position, step in enumerate(items(under(route, "to"))):
            members = items(under(step, "targets"))
            if members and all(_idle(member) for member in members):
                at = (*path, "to", position, "targets")
                message = f"no target of this group of {called} can be chosen: all weights are 0"
                yield Finding(at, "CCX222", message, help="give one of them a weight", at_key=True)


def _channel_names(root: Tree) -> Iterator[Finding]:
    channels = entries(under(root, "channels"))
    for index, route in enumerate(items(under(root, "routes"))):
        for path, target in targets(route, ("routes", index)):
            short = text(target)
            at = path if short is not None else (*path, "channel")
            name = short if short is not None else text(under(target, "channel"))
            if name is None:
                continue
            if name not in channels:
                yield _unknown_channel(at, name, channels)
                continue
            model = text(under(target, "model"))
            if model is not None:
                yield from _allowed(model, (*path, "model"), channel=channels[name], name=name)


def _unknown_channel(at: Path, name: str, channels: Mapping[str, Tree]) -> Finding:
    meant = closest(name, list(channels))
    advice = f"did you mean `{meant}`?" if meant else f"channels: {listed(list(channels))}" if channels else None
    return Finding(at, "CCX103", f"there is no channel {show(name)}", help=advice, suggestion=meant)


def _allowed(model: str, at: Path, *, channel: Tree, name: str) -> Iterator[Finding]:
    allowed = under(channel, "models")
    if allowed is None or not isinstance(allowed.content, Mapping | tuple):
        return
    patterns = [*entries(allowed), *(pattern for _, pattern in texts(allowed, ()))]
    if not allows(patterns, model):
        message = f"channel {show(name)} does not allow the model {show(model)}"
        also = ((("channels", name, "models"), "the models it allows"),)
        yield Finding(at, "CCX225", message, help=f"it allows {listed(patterns)}", also=also)


def allows(patterns: Collection[str], model: str) -> bool:
    """Whether a list of globs lets a name through: one must match (if any includes), and no exclusion may."""
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(_matches(pattern, model) for pattern in excluded):
        return False
    return not included or any(_matches(pattern, model) for pattern in included)


def _matches(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def _client_names(root: Tree) -> Iterator[Finding]:
    clients = list(entries(under(root, "clients")))
    named: list[tuple[Path, str]] = []
    for index, route in enumerate(items(under(root, "routes"))):
        for path, when in conditions(route, ("routes", index)):
            named.extend(texts(under(when, "client"), (*path, "client")))
    for group, said in entries(under(root, "groups")).items():
        named.extend(texts(under(said, "when", "client"), ("groups", group, "when", "client")))
    for at, pattern in named:
        name = pattern.removeprefix("!")
        if "*" not in name and name not in clients:
            meant = closest(name, clients)
            advice = f"did you mean `{meant}`?" if meant else "declare it under `clients`"
            yield Finding(at, "CCX120", f"there is no client {show(name)}", help=advice, suggestion=meant)


def _models(root: Tree) -> Iterator[Finding]:
    for name, model in entries(under(root, "models")).items():
        for size in entries(under(model, "price", "above")):
            if re.fullmatch(r"\d+(\.\d+)?[kM]?", size) is None:
                at: Path = ("models", name, "price", "above", size)
                message = f"{show(size)} is not a count of tokens"
                yield Finding(at, "CCX110", message, help="write it like 200k or 200000", at_key=True)


def _lint(root: Tree) -> Iterator[Finding]:
    for code, severity in entries(under(root, "lint", "rules")).items():
        at: Path = ("lint", "rules", code)
        if code in RULES:
            if RULES[code].fixed and severity.content != "error":
                message = f"{code} is an error of the language, and stays one"
                yield Finding(at, "CCX127", message, help="the setting does nothing", at_key=True)
            continue
        if _CODE.fullmatch(code):
            message = f"this ccx has no rule {code}"
            yield Finding(at, "CCX127", message, help="the setting does nothing", at_key=True)
        else:
            by_name = {info.name: info.code for info in RULES.values()}
            meant = by_name.get(code) or closest(code, list(RULES))
            advice = f"did you mean `{meant}`?" if meant else "rules are named by code, such as CCX120"
            message = f"{show(code)} is not the code of a rule"
            yield Finding(at, "CCX127", message, help=advice, suggestion=meant, at_key=True, severity="error")
