"""`routes:` with what they inherit to the rules of the table, and the check that their targets can answer at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import gcd
from typing import Any

from ccx.protocols.names import CHAT_PROTOCOLS, Protocol
from ccx.protocols.preference import answering
from ccx.routing import table
from ccx.routing.capability import check_target, needs
from ccx.routing.compile_conditions import admitted, asked_for, compile_when
from ccx.routing.conditions import PrefixIn
from ccx.routing.globs import Globs
from ccx.spec import routes as spec
from ccx.spec.document import Defaults

Report = Callable[..., None]
"""Takes a code, a message and a path below the route; and by keyword, what a diagnostic takes."""

_WEIGHING: frozenset[table.Balance] = frozenset({"weighted", "least_connections", "least_latency", "least_cost"})


@dataclass(frozen=True, slots=True)
class Treatment:
    """How requests of a route are treated: what `defaults` can give."""

    failover: table.Failover
    policy: table.RequestPolicy
    on_loss: table.OnLoss


def compile_route(
    route: spec.Route,
    *,
    channels: Mapping[str, table.Channel],
    models: Mapping[str, table.ModelInfo],
    defaults: Defaults,
    report: Report,
) -> table.Route:
    """The rule of a route. What cannot be compiled is reported, and left out."""
    when = compile_when(route.when)
    if route.deny is not None:
        # How requests are sent means nothing where none is; a change of it must not look like one of the table.
        return table.Route(route.name, when, deny=table.Deny(route.deny.status, route.deny.message))
    if route.to is None:
        report("CCX220", f"the route {route.name!r} says neither where requests go nor that they are denied", ())
    tiers = tuple(
        tier
        for place, step in enumerate(route.to or ())
        if (tier := _tier(step, path=("to", place), channels=channels, report=report)) is not None
    )
    _check_protocols(route, admitted(when), channels=channels, report=report)
    asked = needs(when)
    for place, step in enumerate(route.to or ()):
        for target, path in _targets(step, ("to", place)):
            if (channel := channels.get(target.channel)) is not None:
                check_target(
                    table.Target(target.channel, target.model),
                    channel,
                    asked,
                    route=route.name,
                    models=models,
                    report=partial(report, "CCX208", path=path, severity="warning"),
                )
    treatment = compile_treatment(
        defaults,
        failover=route.failover,
        request=route.request,
        on_loss=route.on_loss,
        report=report,
    )
    return table.Route(
        route.name,
        when,
        tiers,
        failover=treatment.failover,
        policy=treatment.policy,
        on_loss=treatment.on_loss,
        cache=None if route.cache is None else table.Cache(route.cache.ttl, route.cache.scope, route.cache.when),
    )


def compile_treatment(
    defaults: Defaults,
    *,
    report: Report,
    failover: spec.Failover | None = None,
    request: spec.RequestPolicy | None = None,
    on_loss: table.OnLoss | None = None,
) -> Treatment:
    """Field by field: the route's own, else the inherited, else what is built in."""
    return Treatment(
        _failover(failover or spec.Failover(), defaults.failover),
        _policy(request or spec.RequestPolicy(), defaults.request, report=report),
        on_loss or defaults.on_loss or "warn",
    )


def implicit_routes(channels: Iterable[table.Channel], treatment: Treatment, *, fallback: bool) -> list[table.Route]:
    """The route of each channel's prefix, and with `fallback` the one to all that are enabled, in the order given."""

    def route(name: str, to: Iterable[table.Channel], **condition: Any) -> table.Route:
        return table.Route(
            name,
            tiers=tuple(table.Tier((table.Target(channel.name),)) for channel in to),
            failover=treatment.failover,
            policy=treatment.policy,
            on_loss=treatment.on_loss,
            **condition,
        )

    listed = tuple(channels)
    routes = [
        route(f"@prefix-{channel.prefix}", [channel], when=PrefixIn(Globs((channel.prefix,))))
        for channel in sorted(listed, key=lambda channel: channel.name)
        if channel.prefix is not None
    ]
    if fallback:
        routes.append(route("@all", [channel for channel in listed if channel.enabled]))
    return routes


def _tier(
    step: spec.Group | spec.Target,
    *,
    path: tuple[str | int, ...],
    channels: Mapping[str, table.Channel],
    report: Report,
) -> table.Tier | None:
    """One step; None where none of its channels exists."""
    written = _targets(step, path)
    targets: list[table.Target] = []
    for target, place in written:
        if target.channel in channels:
            targets.append(table.Target(target.channel, target.model, target.weight))
        else:
            report("CCX103", f"there is no channel {target.channel!r}", (*place, "channel"))
    if not targets:
        return None
    if len(written) == 1 or isinstance(step, spec.Target):
        return table.Tier(_weighed(targets, "priority"))
    ejection = step.max_ejection if step.max_ejection is not None else table.ALL
    return table.Tier(_weighed(targets, step.balance), step.balance, step.affinity, ejection)


def _targets(
    step: spec.Group | spec.Target,
    path: tuple[str | int, ...],
) -> list[tuple[spec.Target, tuple[str | int, ...]]]:
    if isinstance(step, spec.Group):
        return [(target, (*path, "targets", place)) for place, target in enumerate(step.targets)]
    return [(step, path)]


def _weighed(targets: list[table.Target], balance: table.Balance) -> tuple[table.Target, ...]:
    """Weights in lowest terms; all one where the balance does not look at them. Zero takes a target out everywhere."""
    common = gcd(*(target.weight for target in targets)) or 1
    return tuple(
        table.Target(
            target.channel,
            target.model,
            target.weight // common if balance in _WEIGHING else min(target.weight, 1),
        )
        for target in targets
    )


def _failover(own: spec.Failover, inherited: spec.Failover) -> table.Failover:
    usual = table.Failover()

    def chosen(mine: int | None, theirs: int | None, default: int) -> int:
        return mine if mine is not None else theirs if theirs is not None else default

    on = own.on if own.on is not None else inherited.on
    return table.Failover(
        on=frozenset(on) if on is not None else usual.on,
        attempts=chosen(own.attempts, inherited.attempts, usual.attempts),
        deadline=chosen(own.deadline, inherited.deadline, usual.deadline),
        backoff_initial=chosen(own.backoff.initial, inherited.backoff.initial, usual.backoff_initial),
        backoff_max=chosen(own.backoff.max, inherited.backoff.max, usual.backoff_max),
        jitter=(own.backoff.jitter or inherited.backoff.jitter or "full") == "full",
        retry_budget=_budget(own.retry_budget, inherited.retry_budget),
        hedge=_hedge(own.hedge if own.hedge is not None else inherited.hedge),
        midstream=own.midstream or inherited.midstream or usual.midstream,
    )


def _hedge(nearest: spec.Hedge | str | None) -> table.Hedge | None:
    if nearest is None or isinstance(nearest, str):
        return None
    return table.Hedge(nearest.after) if nearest.share is None else table.Hedge(nearest.after, nearest.share)


def _budget(own: Fraction | str | None, inherited: Fraction | str | None) -> Fraction | None:
    nearest = own if own is not None else inherited
    if nearest is None:
        return table.Failover().retry_budget
    return None if isinstance(nearest, str) else nearest


def _policy(own: spec.RequestPolicy, inherited: spec.RequestPolicy, *, report: Report) -> table.RequestPolicy:
    """The route's word on a field beats the inherited one; within one policy, setting a field beats the rest."""
    settled = own.set.keys() | own.drop
    set_ = {**{name: value for name, value in inherited.set.items() if name not in settled}, **own.set}
    default = {**{name: value for name, value in inherited.default.items() if name not in settled}, **own.default}
    drop = {*inherited.drop, *own.drop} - set_.keys()
    cap = own.cap.max_output_tokens
    prefix, replace = own.system.prefix, own.system.replace
    policy = table.RequestPolicy(
        max_output_tokens=cap if cap is not None else inherited.cap.max_output_tokens,
        default=_texts({k: v for k, v in default.items() if k not in set_}, "default", own=own.default, report=report),
        set=_texts(set_, "set", own=own.set, report=report),
        drop=tuple(sorted(drop)),
        system_prefix=prefix if prefix is not None else inherited.system.prefix,
        system_replace=replace if replace is not None else inherited.system.replace,
    )
    return table.NO_POLICY if policy == table.NO_POLICY else policy


def _texts(values: Mapping[str, Any], field: str, *, own: Mapping[str, Any], report: Report) -> table.Pairs:
    """Values as canonical JSON text, sorted by name. Of inherited ones is said where they are written, not here."""
    texts: list[tuple[str, str]] = []
    for name, value in sorted(values.items()):
        try:
            text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError):
            if name in own:
                message = f"{value!r} has no form in JSON; a field of a request is JSON"
                report("CCX110", message, ("request", field, name))
        else:
            texts.append((name, text))
    return tuple(texts)


def _check_protocols(
    route: spec.Route,
    may: frozenset[Protocol],
    *,
    channels: Mapping[str, table.Channel],
    report: Report,
) -> None:
    """Refuse what could only ever be skipped: targets that cannot answer what the route lets in, converted or not."""
    if not may:
        return
    spoken: set[Protocol] = set()
    sound = True
    for place, step in enumerate(route.to or ()):
        for target, path in _targets(step, ("to", place)):
            channel = channels.get(target.channel)
            if channel is None or not channel.surfaces:
                sound = False
                continue
            speaks = {surface.protocol for surface in channel.surfaces}
            spoken |= speaks
            if not any(answering(protocol, speaks) for protocol in may):
                sound = False
                _report_target(route, target, speaks, may, path=path, report=report)
    if not sound or route.to is None:
        return
    unanswered = {protocol for protocol in asked_for(route.when) & may if answering(protocol, spoken) is None}
    if unanswered:
        report(
            "CCX208",
            f"the route {route.name!r} names {_list(unanswered)}, which none of its targets can answer; "
            f"they speak {_list(spoken)}",
            ("when", "protocol") if route.when.protocol is not None else ("when",),
            help="Conversations are converted into one another, images to Gemini, and embeddings not at all: add a "
            "target that can answer it, or do not name it.",
        )
    elif may == frozenset(Protocol) and not spoken & CHAT_PROTOCOLS:
        report(
            "CCX208",
            f"the route {route.name!r} is open to every protocol, and no target of it speaks one of conversations; "
            f"they speak {_list(spoken)}",
            (),
            severity="warning",
            help=f"Say whom the route is for, such as `when: {{protocol: {min(spoken)}}}`.",
        )


def _report_target(
    route: spec.Route,
    target: spec.Target,
    speaks: set[Protocol],
    may: frozenset[Protocol],
    *,
    path: tuple[str | int, ...],
    report: Report,
) -> None:
    report(
        "CCX208",
        f"the route {route.name!r} lets in {_list(may)}, and the channel {target.channel!r} speaks {_list(speaks)}",
        path,
        help="Conversations are converted into one another (messages, chat, responses, gemini), images to gemini; "
        "embeddings are not converted.",
    )


def _list(protocols: Iterable[Protocol]) -> str:
    return ", ".join(sorted(protocols)) or "nothing"
