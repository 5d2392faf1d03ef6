"""3xx: failover that does not do what it seems to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from ccx.lint.edit import replaced, without
from ccx.lint.rule import Rule
from ccx.lint.subject import RouteView, Subject, TargetView
from ccx.protocols.names import CHAT_PROTOCOLS
from ccx.routing.compile_conditions import admitted
from ccx.routing.promotion import overlap
from ccx.routing.table import Channel
from ccx.spec.diagnostics import Fix, Path
from ccx.spec.finding import Finding
from ccx.spec.routes import Failover

_LIMITED: Final = ("connect", "first_byte", "idle")
_MIDSTREAM: Final = frozenset({"overloaded", "server_error", "timeout"})


def span_of_time(milliseconds: int) -> str:
    """A duration as the spec writes it."""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def single_targets(subject: Subject) -> Iterator[Finding]:
    several = [route for route in subject.routes if len({t.channel.name for t in route.live}) > 1]
    if not several:
        return
    for route in subject.routes:
        if len(route.targets) == 1 and route.live:
            name = route.live[0].channel.name
            yield Finding(
                (*route.path, "to"),
                "CCX302",
                f"route `{route.written.name}` has no other target when `{name}` fails",
                help="add a fallback, or say in an ignore why it has none",
                also=((several[0].name_path, f"`{several[0].written.name}` has one"),),
                at_key=True,
            )


def same_domains(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        live = route.live
        if len({target.channel.name for target in live}) < 2:
            continue
        if len({_domain(target) for target in live}) == 1 and live[0].channel.dialect != "demo":
            surface = live[0].channel.surfaces[0]
            yield Finding(
                (*route.path, "to"),
                "CCX303",
                f"all targets of route `{route.written.name}` ask {surface.host} with the same key and model",
                help="add a target with another upstream, or at least another key",
                at_key=True,
            )


def _domain(target: TargetView) -> object:
    channel: Channel = target.channel
    hosts = frozenset((surface.host, surface.port, surface.path) for surface in channel.surfaces)
    return hosts, tuple(key.secret for key in channel.keys), target.target.model, channel.models


def _place(subject: Subject, route: RouteView, *field: str) -> Path:
    """Where a setting of failover is written: in the route, else in the defaults, else nowhere, which is the route."""
    for path in ((*route.path, "failover", *field), ("defaults", "failover", *field)):
        if subject.tree(path) is not None:
            return path
    return (*route.path, "to")


def too_few_attempts(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        live, attempts = len(route.live), route.rule.failover.attempts
        if attempts >= live or not route.rule.failover.on:
            continue
        at = _place(subject, route, "attempts")
        edits = replaced(subject, at, str(live)) if at[0] == "routes" and at[-1] == "attempts" else ()
        unasked = ", ".join(f"`{target.channel.name}`" for target in route.live[attempts:])
        yield Finding(
            at,
            "CCX308",
            f"route `{route.written.name}` has {live} targets and {attempts} attempt{'s' * (attempts != 1)}",
            help=f"allow {live}; as it is, not every target has its turn: in the order written never {unasked}",
            at_key=at[-1] == "to",
            fix=Fix(f"allow {live} attempts", False, edits) if edits else None,
        )


def short_deadlines(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        live = route.live
        if len(live) < 2 or "timeout" not in route.rule.failover.on:
            continue
        deadline, patience = route.rule.failover.deadline, live[0].channel.timeouts.first_byte
        if deadline > patience:
            continue
        at = _place(subject, route, "deadline")
        yield Finding(
            at,
            "CCX309",
            f"route `{route.written.name}` gives up after {span_of_time(deadline)}, and `{live[0].channel.name}` may "
            f"stay silent for {span_of_time(patience)}",
            help=f"raise the deadline, or shorten `timeouts.first_byte` of `{live[0].channel.name}`",
            at_key=at[-1] == "to",
        )


def refusals(subject: Subject) -> Iterator[Finding]:
    places: list[tuple[Path, Failover]] = [(("defaults", "failover"), subject.spec.defaults.failover)]
    places += [((*route.path, "failover"), route.written.failover) for route in subject.routes]
    for path, failover in places:
        for index, name in enumerate(failover.on or ()):
            at: Path = (*path, "on", index)
            edits = without(subject, at)
            fix = Fix(f"remove `{name}`", False, edits) if edits else None
            if name == "bad_request":
                message = "a request that one upstream calls bad is bad for the next one too"
                yield Finding(at, "CCX310", message, help="remove it from the list", fix=fix)
            elif name == "content_filter":
                message = "what one provider's filter stops is asked of the next provider"
                yield Finding(at, "CCX310", message, help="if that is meant, say why", severity="info", fix=fix)


def long_waits(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        policy = route.rule.failover
        if route.rule.deny is not None or policy.attempts < 2:
            continue
        at = _place(subject, route, "backoff", "initial")
        if at[-1] == "to":
            at = _place(subject, route, "deadline" if policy.backoff_initial >= policy.deadline else "backoff", "max")
        initial = span_of_time(policy.backoff_initial)
        if min(policy.backoff_initial, policy.backoff_max) >= policy.deadline:
            message = f"the first wait of {initial} is longer than the deadline of {span_of_time(policy.deadline)}"
            yield Finding(at, "CCX311", message, help="shorten `backoff.initial`: as it is, nothing is asked again")
        elif policy.backoff_initial > policy.backoff_max:
            message = f"the first wait of {initial} is above the longest of {span_of_time(policy.backoff_max)}"
            yield Finding(at, "CCX311", message, help="raise `backoff.max`, or lower `backoff.initial`")


def no_failures(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        if len(route.live) > 1 and not route.rule.failover.on and len({t.step for t in route.live}) > 1:
            at = _place(subject, route, "on")
            message = f"route `{route.written.name}` has {len(route.live)} targets, and no failure leads to the next"
            yield Finding(at, "CCX312", message, help="remove `on` for the usual failures, or list some", at_key=True)


def long_timeouts(subject: Subject) -> Iterator[Finding]:
    for name, channel in subject.channels.items():
        for field in _LIMITED:
            limit, total = getattr(channel.timeouts, field), channel.timeouts.total
            if limit <= total:
                continue
            places: tuple[Path, ...] = (("channels", name, "timeouts"), ("defaults", "channel", "timeouts"))
            written = [(*path, one) for path in places for one in (field, "total") if subject.tree((*path, one))]
            if written:
                message = f"`{field}` of {span_of_time(limit)} is never reached: `total` is {span_of_time(total)}"
                yield Finding(written[0], "CCX315", message, help="lower the one, or raise `total`")


def breakers(subject: Subject) -> Iterator[Finding]:
    for name, channel in subject.channels.items():
        breaker = channel.breaker
        if breaker is None or breaker.max_open >= breaker.open:
            continue
        places: tuple[Path, ...] = (("channels", name, "breaker"), ("defaults", "channel", "breaker"))
        written = [(*path, one) for path in places for one in ("open", "max_open") if subject.tree((*path, one))]
        if written:
            first, longest = span_of_time(breaker.open), span_of_time(breaker.max_open)
            message = f"the breaker opens for {first} at first and for {longest} at most"
            yield Finding(written[0], "CCX316", message, help="raise `max_open`, or lower `open`")


def promoted_together(subject: Subject) -> Iterator[Finding]:
    told: set[frozenset[str]] = set()
    for route in subject.routes:
        for one, other in combinations(route.live, 2):
            first, second = one.channel, other.channel
            pair = frozenset({first.name, second.name})
            if one.step != other.step or len(pair) < 2 or pair in told:
                continue
            if first.promote is None or second.promote is None or not overlap(first.promote, second.promote):
                continue
            told.add(pair)
            yield Finding(
                ("channels", first.name, "promote"),
                "CCX317",
                f"`{first.name}` and `{second.name}` of one step of route `{route.written.name}` are promoted at once",
                help="between the two nothing changes: they share that time's requests as they do now",
                at_key=True,
                also=((("channels", second.name, "promote"), "and here"),),
            )


def never_continued(subject: Subject) -> Iterator[Finding]:
    for route in subject.routes:
        failover = route.rule.failover
        if route.written.failover.midstream != "continue" or route.rule.deny is not None:
            continue
        if failover.attempts < 2:
            why, help_ = "allows one attempt, so nobody else goes on", "allow 2 attempts or more"
        elif not failover.on & _MIDSTREAM:
            why = "fails over on nothing that breaks a stream"
            help_ = f"add some of {', '.join(sorted(_MIDSTREAM))} to `on`"
        elif route.written.when.stream is False:
            why, help_ = "takes no request for a stream", "remove `midstream`"
        elif not admitted(route.rule.when) & CHAT_PROTOCOLS:
            why, help_ = "takes no conversations, and only those are continued", "remove `midstream`"
        else:
            continue
        at = (*route.path, "failover", "midstream")
        yield Finding(at, "CCX318", f"route `{route.written.name}` {why}", help=f"{help_}: as it is, it does nothing")


FAILOVER: Final[tuple[Rule, ...]] = (
    Rule(("CCX302",), single_targets),
    Rule(("CCX303",), same_domains),
    Rule(("CCX308",), too_few_attempts),
    Rule(("CCX309",), short_deadlines),
    Rule(("CCX310",), refusals),
    Rule(("CCX311",), long_waits),
    Rule(("CCX312",), no_failures),
    Rule(("CCX315",), long_timeouts),
    Rule(("CCX316",), breakers),
    Rule(("CCX317",), promoted_together),
    Rule(("CCX318",), never_continued),
)
