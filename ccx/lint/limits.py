"""7xx: limits and budgets that limit nothing, or everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ccx.lint.exposure import may_match
from ccx.lint.models import priced
from ccx.lint.rule import Rule
from ccx.lint.subject import Subject
from ccx.routing import table
from ccx.routing.globs import glob_matches, most_specific
from ccx.routing.groups import members
from ccx.routing.table import Client
from ccx.routing.table import Limits as Limited
from ccx.spec.channels import Key, Limits
from ccx.spec.diagnostics import Path
from ccx.spec.finding import Finding
from ccx.spec.groups import Budget

_RATES: Final = ("requests", "input_tokens", "output_tokens")
_UNITS: Final = {1: "s", 60: "min", 3600: "h", 86_400: "day"}


def _rate(rate: tuple[int, int]) -> str:
    return f"{rate[0]:,}/{_UNITS[rate[1]]}"


def _keys(subject: Subject, channel: str) -> Iterator[tuple[Path, Key]]:
    """The keys of a channel's pool that are in use, with their paths."""
    pool = subject.spec.channels[channel].keys
    path: Path = ("channels", channel, "keys")
    tree = subject.tree(path)
    listed = tree is not None and isinstance(tree.content, tuple)
    for index, key in enumerate(pool if isinstance(pool, tuple) else ()):
        if key.enabled and key.weight:
            yield ((*path, index) if listed else path), key


def _limits(subject: Subject) -> Iterator[tuple[Path, Limits]]:
    """Every `limits` of the spec."""
    yield ("defaults", "channel", "limits"), subject.spec.defaults.channel.limits
    for name, client in subject.spec.clients.items():
        if client.enabled:
            yield ("clients", name, "limits"), client.limits
    for name, group in subject.spec.groups.items():
        yield ("groups", name, "limits"), group.limits
    for name, channel in subject.spec.channels.items():
        yield ("channels", name, "limits"), channel.limits
        yield from (((*path, "limits"), key.limits) for path, key in _keys(subject, name))
    for name, model in subject.spec.models.items():
        yield ("models", name, "limits"), model.limits


def _budgets(subject: Subject) -> Iterator[tuple[Path, Budget]]:
    """Every budget of the spec that anybody is held to."""
    spenders: list[tuple[Path, tuple[Budget, ...]]] = [
        (("clients", name), client.budget) for name, client in subject.spec.clients.items() if client.enabled
    ]
    spenders += [(("groups", name), group.budget) for name, group in subject.spec.groups.items()]
    for path, budgets in spenders:
        at: Path = (*path, "budget")
        tree = subject.tree(at)
        listed = tree is not None and isinstance(tree.content, tuple)
        for index, budget in enumerate(budgets):
            yield ((*at, index) if listed else at), budget


def _limiting(subject: Subject) -> Mapping[str, tuple[Client, ...]]:
    """The clients of each group that has limits or a budget."""
    return {
        group.name: members(subject.table, group)
        for group in subject.table.groups
        if group.limits != table.Limits() or group.budgets
    }


def _window(subject: Subject, path: Path, kind: str, index: int) -> Path:
    tree = subject.tree((*path, kind))
    return (*path, kind, index) if tree is not None and isinstance(tree.content, tuple) else (*path, kind)


def unlimited_clients(subject: Subject) -> Iterator[Finding]:
    clients = {name: client for name, client in subject.spec.clients.items() if client.enabled}
    limited = [name for name, client in clients.items() if client.limits != Limits() or client.budget]
    limited += [client.name for group in _limiting(subject).values() for client in group]
    for name in clients:
        if limited and name not in limited:
            also = ((("clients", limited[0]), f"`{limited[0]}` has some"),)
            message = f"client `{name}` has neither limits nor a budget"
            yield Finding(("clients", name), "CCX701", message, help="write limits or a budget", at_key=True, also=also)


def stale_pools(subject: Subject) -> Iterator[Finding]:
    for name, channel in subject.spec.channels.items():
        keys = list(_keys(subject, name))
        for kind in _RATES:
            for index, (amount, seconds) in enumerate(getattr(channel.limits, kind)):
                of_keys = [_amount(getattr(key.limits, kind), seconds) for _, key in keys]
                known = [one for one in of_keys if one is not None]
                if not known or len(known) < len(of_keys) or sum(known) >= amount:
                    continue
                total, wanted = _rate((sum(known), seconds)), _rate((amount, seconds))
                yield Finding(
                    _window(subject, ("channels", name, "limits"), kind, index),
                    "CCX702",
                    f"the keys of channel `{name}` allow {total} together, and the channel {wanted}",
                    help="raise the limits of the keys, or lower that of the channel",
                    also=((("channels", name, "keys"), "the keys"),),
                )


def _amount(rates: tuple[tuple[int, int], ...], seconds: int) -> int | None:
    """How much a limit lets through in a window of that length, if it has one."""
    return next((amount for amount, window in rates if window == seconds), None)


def unpriced_models(subject: Subject) -> Iterator[Finding]:
    spenders: list[tuple[Client, Path]] = [
        (client, ("clients", client.name)) for client in subject.table.clients if client.enabled and client.budgets
    ]
    for group in subject.table.groups:
        if group.budgets:
            spenders += [(client, ("groups", group.name)) for client in members(subject.table, group)]
    if not spenders:
        return
    for route in subject.routes:
        clients = [of for client, of in spenders if may_match(route.rule.when, client)]
        for target in route.live:
            names = [name for name in target.models if not priced(subject, name)]
            if not clients or not names or not target.channel.keys or target.channel.dialect == "demo":
                continue
            listed = ", ".join(f"`{name}`" for name in names)
            yield Finding(
                (*target.path, "model") if target.target.model is not None else target.path,
                "CCX703",
                f"what {listed} costs is not known, so it takes nothing from the budget of `{clients[0][-1]}`",
                help=f"write models: {{{names[0]}: {{price: {{input: …, output: …}}}}}}, in USD per million tokens",
                also=(((*clients[0], "budget"), "the budget"),),
            )


def high_concurrency(subject: Subject) -> Iterator[Finding]:
    most = subject.spec.server.max_concurrency
    for path, limits in _limits(subject):
        if limits.concurrency is not None and limits.concurrency > most:
            message = f"{limits.concurrency:,} requests at once are more than the {most:,} that the server takes"
            at: Path = (*path, "concurrency")
            yield Finding(at, "CCX704", message, help="lower it, or raise server.max_concurrency")


def zeros(subject: Subject) -> Iterator[Finding]:
    for path, limits in _limits(subject):
        for kind in _RATES:
            for index, (amount, _) in enumerate(getattr(limits, kind)):
                if amount == 0:
                    at = _window(subject, path, kind, index)
                    yield Finding(at, "CCX705", "a limit of zero refuses every request", help="write enabled: false")
    for path, budget in _budgets(subject):
        if budget.usd == 0:
            message = "a budget of nothing refuses every request that costs something"
            yield Finding((*path, "usd"), "CCX705", message, help="write enabled: false")


def idle_windows(subject: Subject) -> Iterator[Finding]:
    for path, limits in _limits(subject):
        for kind in _RATES:
            rates: tuple[tuple[int, int], ...] = getattr(limits, kind)
            for index, rate in enumerate(rates):
                by = next((other for other in rates if other != rate and _implies(other, rate)), None)
                if by is not None:
                    message = f"{_rate(rate)} is never met: {_rate(by)} comes first"
                    advice = "remove it, or put right the other one"
                    yield Finding(_window(subject, path, kind, index), "CCX706", message, help=advice)


def _implies(rate: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether whoever keeps the first also keeps the other, in whatever way time is cut into windows."""
    (amount, seconds), (most, window) = rate, other
    if window <= seconds:
        return amount <= most  # no more in the longer window, so no more in the shorter
    return amount * (window // seconds) <= most


def idle_groups(subject: Subject) -> Iterator[Finding]:
    for group in subject.table.groups:
        at: Path = ("groups", group.name)
        if not members(subject.table, group):
            message = f"no client belongs to group `{group.name}`"
            where = ("groups", group.name, "when") if subject.tree((*at, "when")) is not None else at
            advice = "name clients of this spec, or tags that one of them has"
            yield Finding(where, "CCX707", message, help=advice, at_key=True)
        elif group.limits == table.Limits() and not group.budgets:
            message = f"group `{group.name}` has neither limits nor a budget"
            yield Finding(at, "CCX707", message, help="write limits or a budget, or remove it", at_key=True)


def large_shares(subject: Subject) -> Iterator[Finding]:
    for group in subject.table.groups:
        shared = {budget.per: budget.usd for budget in reversed(group.budgets)}  # the smallest of each period
        names = {client.name for client in members(subject.table, group)}
        for path, budget in _budgets(subject):
            if path[0] == "clients" and path[1] in names and budget.usd > shared.get(budget.per, budget.usd):
                yield Finding(
                    (*path, "usd"),
                    "CCX708",
                    f"client `{path[1]}` may spend {budget.usd:,} USD per {budget.per}, and group `{group.name}`, to "
                    f"which it belongs, {shared[budget.per]:,}",
                    help="lower it, or raise the budget of the group",
                    also=((("groups", group.name, "budget"), "the budget of the group"),),
                )


def _queue(subject: Subject, name: str) -> Path:
    """Where a channel's queue is written: at the channel, or where it is inherited from."""
    own: Path = ("channels", name, "queue")
    return own if subject.tree(own) is not None else ("defaults", "channel", "queue")


def idle_queues(subject: Subject) -> Iterator[Finding]:
    for name, channel in subject.channels.items():
        limited = channel.limits != Limited() or any(key.limits != Limited() for key in channel.keys)
        path = _queue(subject, name)
        if channel.queue is None or limited or not channel.enabled or path[0] != "channels":
            continue
        message = f"nobody ever waits for channel `{name}`: neither it nor any of its keys has a limit"
        yield Finding(path, "CCX709", message, help="write limits, or remove the queue", at_key=True)


def long_queues(subject: Subject) -> Iterator[Finding]:
    for name, channel in subject.channels.items():
        rules = [
            rule
            for rule in subject.table.routes
            if any(target.channel == name for tier in rule.tiers for target in tier.targets)
        ]
        if channel.queue is None or not channel.enabled or not rules:
            continue
        longest = max(rules, key=lambda rule: rule.failover.deadline)
        wait, deadline = channel.queue.wait, longest.failover.deadline
        if wait > deadline:
            allowed = f"{deadline / 1000:g}s, the deadline of route `{longest.name}`"
            yield Finding(
                (*_queue(subject, name), "wait"),
                "CCX710",
                f"a wait of {wait / 1000:g}s for channel `{name}` is longer than {allowed}",
                help="shorten the wait, or allow the route more time",
            )


def limited_aliases(subject: Subject) -> Iterator[Finding]:
    channels = [channel for channel in subject.table.channels if channel.enabled]
    for model in subject.table.models:
        asked = {upstream for channel in channels for upstream in _upstream(model.name, channel)}
        if model.limits == table.Limits() or not asked or model.name in asked:
            continue
        if any(model.name == name for channel in channels for _, name in channel.models or ()):
            continue
        others = sorted(asked)
        yield Finding(
            ("models", model.name, "limits"),
            "CCX711",
            f"no upstream is asked for `{model.name}`: it is what clients call `{'`, `'.join(others)}`",
            help=f"write the limits under models: {{{others[0]}: …}}, the name upstream",
            at_key=True,
        )


def _upstream(name: str, channel: table.Channel) -> Iterator[str]:
    """What a channel asks for when it is asked for a model of this name; nothing if it does not allow it."""
    if any(glob_matches(pattern, name) for pattern in channel.not_models):
        return
    if channel.models is None:
        yield name
        return
    names = dict(channel.models)
    entry = most_specific(tuple(names), name)
    if entry is not None:
        yield names[entry] or name


LIMITS: Final[tuple[Rule, ...]] = (
    Rule(("CCX701",), unlimited_clients),
    Rule(("CCX702",), stale_pools),
    Rule(("CCX703",), unpriced_models),
    Rule(("CCX704",), high_concurrency),
    Rule(("CCX705",), zeros),
    Rule(("CCX706",), idle_windows),
    Rule(("CCX707",), idle_groups),
    Rule(("CCX708",), large_shares),
    Rule(("CCX709",), idle_queues),
    Rule(("CCX710",), long_queues),
    Rule(("CCX711",), limited_aliases),
)
