"""A trace laid out: as a tree for people, as JSON for programs.

One line for each rule: a mark, its name, what decided, and where it is written. On a terminal that cannot show signs
beyond ASCII the marks are words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ccx.plan.render.cells import visible
from ccx.plan.render.words import percent
from ccx.routing.canonical import Json
from ccx.routing.decide import Decision, NeedsTokens, Step
from ccx.routing.facts import Facts
from ccx.routing.table import ALL
from ccx.routing.trace import Check, Trace
from ccx.spec.locations import Place


@dataclass(frozen=True, slots=True)
class Signs:
    """The marks of an output."""

    yes: str
    no: str
    open: str
    later: str
    to: str


UNICODE = Signs(yes="✔", no="✗", open="?", later="·", to="→")
ASCII = Signs(yes="ok", no="no", open="??", later="..", to="->")
_REASON = 72


def as_text(trace: Trace[Place], *, digest: str, signs: Signs) -> str:
    """The trace for people, without a line break at its end."""
    rows: list[tuple[str, str, str, str]] = []
    for number, rule in enumerate(trace.rules):
        place = f"{rule.place.file}:{rule.place.span.line}" if rule.place is not None and rule.place.file else ""
        mark, name, why = _said(number, trace, signs)
        # Facts may come from a log, where strangers wrote them.
        rows.append((mark, visible(name), visible(why), visible(place)))
    width = max((len(mark) for mark, _, _, _ in rows), default=0)
    names = max((len(name) for _, name, _, _ in rows), default=0)
    # One long reason does not push the places of all the others off the screen.
    whys = max((len(why) for _, _, why, place in rows if place and len(why) <= _REASON), default=0)
    lines = [f"{visible(request_line(trace.facts))}   table {digest[:12]}"]
    for number, (mark, name, why, place) in enumerate(rows):
        lines.append(f"{mark:<{width}} {name:<{names}}  {why:<{whys}}  {place}".rstrip())
        if number == trace.deciding:
            lines += [f"{'':{width}}   {visible(line)}" for line in _outcome(trace, signs)]
    if trace.route is None:
        lines.append(f"{signs.no} no route matches")
    return "\n".join(lines)


def request_line(facts: Facts) -> str:
    """The request in a few words."""
    words = [facts.protocol.value, facts.model if facts.model is not None else "(no model)"]
    if facts.input_tokens is not None:
        words.append(f"{facts.input_tokens:,} tokens")
    words += [flag for flag in ("stream", "tools", "thinking", "images") if getattr(facts, flag)]
    words += [f"{tool} (server tool)" for tool in sorted(facts.server_tools)]
    words += [f"client {facts.client}"] if facts.client is not None else []
    words += [f"under /{facts.prefix}"] if facts.prefix is not None else []
    return ", ".join(words)


def as_data(trace: Trace[Place], *, digest: str) -> dict[str, Json]:
    """The trace as plain JSON data."""
    decision = trace.decision
    decided = decision if isinstance(decision, Decision) else Decision(None)
    route = decided.route
    deny: Json = {"status": route.deny.status, "message": route.deny.message} if route and route.deny else None
    return {
        "digest": digest,
        "request": _facts(trace.facts),
        "route": trace.route.name if trace.route is not None else None,
        "needs_tokens": isinstance(decision, NeedsTokens),
        "deny": deny,
        "steps": [_step(step) for step in decided.steps],
        "skipped": [{"channel": skip.channel, "reason": skip.reason} for skip in decided.skipped],
        "hidden": [route.name for route in trace.hidden],
        "rules": [
            {
                "route": rule.route.name,
                "holds": rule.holds,
                "place": _place(rule.place),
                "checks": [_check(check) for check in rule.checks],
            }
            for rule in trace.rules
        ],
    }


def _said(number: int, trace: Trace[Place], signs: Signs) -> tuple[str, str, str]:
    """Mark, name and reason of one rule."""
    rule = trace.rules[number]
    if number == trace.deciding:
        shown = [check for check in rule.checks if rule.holds or check.holds is not True]
        return (signs.yes if rule.holds else signs.open), rule.route.name, _joined(shown, signs)
    reached = trace.deciding is None or number < trace.deciding
    if rule.holds is False:
        failed = [check for check in rule.checks if check.holds is False]
        return (signs.no if reached else signs.later), rule.route.name, _joined(failed, signs)
    return signs.later, rule.route.name, f"not reached ({'would' if rule.holds else 'may'} match too)"


def _joined(checks: list[Check], signs: Signs) -> str:
    return "; ".join(_phrase(check, signs) for check in checks) or "always"


def _phrase(check: Check, signs: Signs) -> str:
    """A question on one line; the parts of a nested one carry their own marks."""
    if not check.parts:
        return check.words
    marks = {True: signs.yes, False: signs.no, None: signs.open}
    inside = ", ".join(f"{marks[part.holds]} {_phrase(part, signs)}" for part in check.parts)
    return f"{check.words} ({inside})"


def _outcome(trace: Trace[Place], signs: Signs) -> Iterator[str]:
    match trace.decision:
        case NeedsTokens():
            yield "the token count decides"
        case Decision(route, steps, skipped):
            if route is not None and route.deny is not None:
                yield f"{signs.to} denied with {route.deny.status}: {route.deny.message}"
            elif not steps:
                yield f"{signs.to} no target can serve this request"
            for number, step in enumerate(steps, 1):
                yield from _target_lines(number, step, signs)
            for skip in skipped:
                yield f"{signs.no} {skip.channel}: {skip.reason}"
    if trace.hidden:
        yield f"would also match: {', '.join(route.name for route in trace.hidden)}"


def _target_lines(number: int, step: Step, signs: Signs) -> Iterator[str]:
    alone = len(step.choices) == 1
    if not alone:
        affinity = f", affinity {step.affinity}" if step.affinity != "none" else ""
        if step.max_ejection != ALL:
            affinity += f", at most {percent(step.max_ejection)} of them left alone at once"
        yield f"{signs.to} {number}. {step.balance} of {len(step.choices)}{affinity}"
    for choice in step.choices:
        lead = f"{signs.to} {number}." if alone else f"{'':{len(signs.to)}}    -"
        weight = f"  weight {choice.weight}" if not alone and choice.weight != 1 else ""
        yield f"{lead} {choice.channel.name}  {choice.model if choice.model is not None else '(no model)'}{weight}"


def _step(step: Step) -> Json:
    return {
        "balance": step.balance,
        "affinity": step.affinity,
        "max_ejection": percent(step.max_ejection),
        "targets": [
            {"channel": choice.channel.name, "model": choice.model, "weight": choice.weight} for choice in step.choices
        ],
    }


def _check(check: Check) -> Json:
    shown: dict[str, Json] = {"check": check.words, "holds": check.holds}
    if check.parts:
        shown["parts"] = [_check(part) for part in check.parts]
    return shown


def _place(place: Place | None) -> Json:
    if place is None or not place.file:
        return None
    return {"file": place.file, "line": place.span.line, "col": place.span.col}


def _facts(facts: Facts) -> Json:
    return {
        "protocol": facts.protocol.value,
        "operation": facts.operation.value,
        "model": facts.model,
        "input_tokens": facts.input_tokens,
        "stream": facts.stream,
        "tools": facts.tools,
        "server_tools": [*sorted(facts.server_tools)],
        "thinking": facts.thinking,
        "images": facts.images,
        "client": facts.client,
        "tags": _texts(facts.tags),
        "headers": _texts(facts.headers),
        "prefix": facts.prefix,
        "body": {
            path: value if isinstance(value, str | bool | int) else str(value) for path, value in facts.body.items()
        },
    }


def _texts(texts: Mapping[str, str]) -> dict[str, Json]:
    return dict(sorted(texts.items()))
