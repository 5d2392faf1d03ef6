"""How a plan is worded: outcomes, what tells two of them apart, effects, counts.

Law: one home for every wording, so that terminal, pull request and page say the same. Names come out printable; a
renderer escapes them further for its own format.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, assert_never

from ccx.analysis.outcome import Asked, Outcome, Stage, Treatment
from ccx.plan.model import Edit, Effect, Kind, Moved, Operation, Plan, Side
from ccx.plan.readable import hedge
from ccx.plan.render.cells import ASCII, UNICODE, Signs, Tone, visible
from ccx.routing.table import Cache, Failover, Pairs, RequestPolicy
from ccx.spec.locations import Place


@dataclass(frozen=True, slots=True)
class EffectWords:
    """`symbol` stands before a change; `does` completes "5 requests' changes: 5 ...": the summary's word."""

    symbol: str
    emoji: str
    tone: Tone
    does: str
    legend: str


EFFECTS: Final[Mapping[Effect, EffectWords]] = {
    "newly_unrouted": EffectWords("-", "⚫", "bad", "newly unrouted", "no longer served"),
    "newly_refused": EffectWords("-", "⚫", "bad", "newly refused", "no longer served"),
    "retargeted": EffectWords("!", "🔴", "warn", "retargeted", "another target"),
    "newly_routed": EffectWords("+", "🟢", "good", "newly routed", "newly served"),
    "failover": EffectWords("~", "🟡", "note", "with other failover", "failover, weights, treatment"),
    "weights": EffectWords("~", "🟡", "note", "with other weights", "failover, weights, treatment"),
    "treatment": EffectWords("~", "🟡", "note", "treated otherwise", "failover, weights, treatment"),
}

OPERATIONS: Final[Mapping[Operation, str]] = {
    "add": "+",
    "edit": "~",
    "remove": "-",
    "move": "»",
    "rename": "~",
    "reorder": "»",
}

_QUOTED: Final = re.compile(r"`([^`\n]{1,200})`|(?<!\w)'([^'\n]{1,200})'(?!\w)")
_BALANCE: Final[Mapping[str, str]] = {
    "round_robin": "",
    "weighted": "",
    "priority": "",
    "least_connections": "least connections",
    "least_latency": "least latency",
    "least_cost": "least cost",
}


def name(text: str, signs: Signs = UNICODE) -> str:
    """A name that cannot do anything but be read."""
    return visible(text, ascii_only=signs is ASCII)


def outcome_words(outcome: Outcome, signs: Signs = UNICODE) -> str:
    """`anthropic ▸ (a 70% | b 30%) ▸ gemini (gemini-2.5-pro)`, `denied 403`, `no route`."""
    match outcome.kind:
        case "routed":
            return f" {signs.then} ".join(_stage(stage, signs) for stage in outcome.stages)
        case "denied":
            return f"denied {outcome.deny.status}" if outcome.deny is not None else "denied"
        case "no_route":
            return "no route"
        case "unservable":
            return "no target can serve it"
        case "refused":
            return "client refused"
        case _:
            assert_never(outcome.kind)


def _stage(stage: Stage, signs: Signs) -> str:
    alone = len(stage.targets) == 1
    if alone or stage.balance == "priority":
        return f" {signs.then} ".join(_target(target, signs) for target in stage.targets)
    weighed = stage.balance == "weighted"
    inside = " | ".join(_target(t, signs) + (f" {percent(t.share)}" if weighed else "") for t in stage.targets)
    how = _BALANCE[stage.balance]
    return f"({inside}{', ' + how if how else ''})"


def _target(target: Asked, signs: Signs) -> str:
    shown = name(target.channel, signs)
    if target.model is not None:
        return f"{shown} ({name(target.model, signs)})"
    return f"{shown} (the name after its prefix)" if target.bare else shown


def percent(share: Fraction) -> str:
    """A share in percent, to three figures: 70%, 66.7%."""
    return f"{float(share * 100):.3g}%"


def pair_words(before: Outcome, after: Outcome, signs: Signs = UNICODE) -> tuple[str, str, tuple[str, ...]]:
    """Both outcomes, and what else tells them apart. Where the words are the same, the rest is all there is."""
    return outcome_words(before, signs), outcome_words(after, signs), tuple(differences(before, after, signs=signs))


def differences(before: Outcome, after: Outcome, *, signs: Signs = UNICODE) -> Iterator[str]:
    """What tells two outcomes apart apart from their targets: `attempts 3 → 4`, `cap max_output_tokens 32,000`."""
    to = signs.to
    if before.deny is not None and after.deny is not None and before.deny.message != after.deny.message:
        yield f'message "{name(before.deny.message, signs)}" {to} "{name(after.deny.message, signs)}"'
    yield from _between_stages(before.stages, after.stages, signs)
    if before.treatment is not None and after.treatment is not None:
        yield from _between_treatments(before.treatment, after.treatment, signs)


def _between_stages(before: Sequence[Stage], after: Sequence[Stage], signs: Signs) -> Iterator[str]:
    if [_shape(stage) for stage in before] != [_shape(stage) for stage in after]:
        return  # other targets; their own words tell them apart
    to = signs.to
    for old, new in zip(before, after, strict=True):
        group = " | ".join(_target(target, signs) for target in old.targets)
        if old.balance != new.balance:
            yield f"balance of {group}: {old.balance} {to} {new.balance}"
        elif old.balance != "weighted":
            # Strategies that ask the upstreams' state start from weights too.
            for one, other in zip(old.targets, new.targets, strict=True):
                if one.share != other.share:
                    yield f"share of {_target(one, signs)} {percent(one.share)} {to} {percent(other.share)}"
        if old.affinity != new.affinity:
            yield f"affinity of {group}: {old.affinity} {to} {new.affinity}"
        if old.max_ejection != new.max_ejection:
            yield f"max_ejection of {group}: {percent(old.max_ejection)} {to} {percent(new.max_ejection)}"
        for one, other in zip(old.targets, new.targets, strict=True):
            if one.protocol is not other.protocol:
                yield f"{name(one.channel, signs)} speaks {one.protocol} {to} {other.protocol}"


def _shape(stage: Stage) -> tuple[tuple[str, str | None, bool], ...]:
    return tuple((target.channel, target.model, target.bare) for target in stage.targets)


def _between_treatments(before: Treatment, after: Treatment, signs: Signs) -> Iterator[str]:
    to = signs.to
    yield from _between_failovers(before.failover, after.failover, to)
    yield from _between_policies(before.policy, after.policy, signs)
    if before.on_loss != after.on_loss:
        yield f"on_loss {before.on_loss} {to} {after.on_loss}"
    if before.cache != after.cache:
        yield f"cache {_cache(before.cache)} {to} {_cache(after.cache)}"


def _between_failovers(before: Failover, after: Failover, to: str) -> Iterator[str]:
    if before.attempts != after.attempts:
        yield f"attempts {before.attempts} {to} {after.attempts}"
    if before.deadline != after.deadline:
        yield f"deadline {duration(before.deadline)} {to} {duration(after.deadline)}"
    signed = [f"+{kind}" for kind in sorted(after.on - before.on)] + [f"-{k}" for k in sorted(before.on - after.on)]
    if signed:
        yield f"fails over on {' '.join(signed)}"
    if _backoff(before) != _backoff(after):
        yield f"backoff {_backoff(before)} {to} {_backoff(after)}"
    if before.retry_budget != after.retry_budget:
        yield f"retry_budget {_budget(before)} {to} {_budget(after)}"
    if before.hedge != after.hedge:
        yield f"hedge {hedge(before.hedge)} {to} {hedge(after.hedge)}"
    if before.midstream != after.midstream:
        yield f"midstream {before.midstream} {to} {after.midstream}"


def _backoff(failover: Failover) -> str:
    plain = "" if failover.jitter else " without jitter"
    return f"{duration(failover.backoff_initial)}..{duration(failover.backoff_max)}{plain}"


def _budget(failover: Failover) -> str:
    return percent(failover.retry_budget) if failover.retry_budget is not None else "off"


def _between_policies(before: RequestPolicy, after: RequestPolicy, signs: Signs) -> Iterator[str]:
    to = signs.to
    if before.max_output_tokens != after.max_output_tokens:
        yield f"cap max_output_tokens {_count(before.max_output_tokens)} {to} {_count(after.max_output_tokens)}"
    for word, old, new in (("default", before.default, after.default), ("set", before.set, after.set)):
        yield from _between_pairs(word, old, new, signs)
    signed = [f"+{name(field, signs)}" for field in sorted(set(after.drop) - set(before.drop))]
    signed += [f"-{name(field, signs)}" for field in sorted(set(before.drop) - set(after.drop))]
    if signed:
        yield f"drop {' '.join(signed)}"
    for word, one, other in (
        ("system prefix", before.system_prefix, after.system_prefix),
        ("system prompt", before.system_replace, after.system_replace),
    ):
        if one != other:
            yield f"{word} {_quoted(one, signs)} {to} {_quoted(other, signs)}"


def _between_pairs(word: str, before: Pairs, after: Pairs, signs: Signs) -> Iterator[str]:
    old, new = dict(before), dict(after)
    for field in sorted(old.keys() | new.keys()):
        if old.get(field) != new.get(field):
            was, now = (name(values.get(field, "none"), signs) for values in (old, new))
            yield f"{word} {name(field, signs)} {was} {signs.to} {now}"


def _quoted(text: str | None, signs: Signs) -> str:
    if text is None:
        return "none"
    short = text if len(text) <= 40 else text[:37] + "..."
    return name(json.dumps(short, ensure_ascii=False), signs)


def _cache(cache: Cache | None) -> str:
    if cache is None:
        return "none"
    scope = "per client" if cache.scope == "client" else "shared"
    return f"{duration(cache.ttl)} {scope}{' of any answer' if cache.when == 'any' else ''}"


def _count(number: int | None) -> str:
    return "none" if number is None else f"{number:,}"


def duration(milliseconds: int) -> str:
    """`90s`, `250ms`, `15m`: the largest unit that is exact; minutes only from two on."""
    for size, unit, least in ((3_600_000, "h", 1), (60_000, "m", 2), (1_000, "s", 1)):
        if milliseconds % size == 0 and milliseconds >= least * size:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 edit`, `12 edits`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def effect_counts(plan: Plan) -> dict[Effect, int]:
    """How many changes have each effect, in the order of a reader's interest."""
    found: dict[Effect, int] = dict.fromkeys(EFFECTS, 0)
    for moved in plan.moved:
        found[moved.effect] += 1
    return {effect: number for effect, number in found.items() if number}


def route_counts(plan: Plan) -> str:
    """`1 added, 2 edited`; empty for none."""
    routes = plan.routes
    numbers = {
        "added": routes.added,
        "edited": routes.edited,
        "removed": routes.removed,
        "moved": routes.moved,
        "renamed": routes.renamed,
    }
    return ", ".join(f"{number:,} {word}" for word, number in numbers.items() if number)


def place_words(place: Place | None, signs: Signs = UNICODE) -> str:
    """`gateway.yaml:31`; empty where nothing is known."""
    return f"{name(place.file, signs)}:{place.span.line}" if place is not None and place.file else ""


def side_words(side: Side, signs: Signs = UNICODE) -> str:
    """`main@3f1c2ab`, or the name alone."""
    short = side.revision[:7] if side.revision is not None else None
    at = f"@{name(short, signs)}" if short is not None and not side.name.startswith(short) else ""
    return f"{name(side.name, signs)}{at}{' (no spec)' if side.absent else ''}"


def which(plan: Plan) -> str:
    """`request`, or `such request` where only some were looked at."""
    return "request" if plan.within is None else "such request"


def digest_words(digest: str) -> str:
    """`sha256:5b0e91f2`, the digest's beginning."""
    scheme, colon, rest = visible(digest).rpartition(":")
    return f"{scheme}{colon}{rest[:12]}"


def edit_words(edit: Edit, signs: Signs = UNICODE) -> str:
    """`edit route long-context`; a route's kind goes without saying."""
    kind: Kind = edit.kind
    was = f" (was {name(edit.was, signs)})" if edit.was is not None and edit.was != edit.name else ""
    shown = name(edit.name, signs)
    thing = shown if kind == "route" else f"{kind} {shown}" if shown and shown != kind else kind
    return f"{edit.operation} {thing}{was}"


def value_words(value: str | None, signs: Signs = UNICODE) -> str:
    """A field's value; an absent one is `none`."""
    return name(value, signs) if value is not None else "none"


def moved_share(moved: Moved) -> str:
    """How much of a change's traffic gets another target, where that is not all of it; empty where nothing is known."""
    if moved.share is None:
        return ""
    sticky = any(stage.affinity != "none" for stage in (*moved.change.before.stages, *moved.change.after.stages))
    more = ", more where sessions stick to targets" if sticky else ""
    return f"{percent(Fraction(moved.share))} of this traffic gets another target{more}"


def command_words(line: str) -> list[str]:
    """A command line in parts that belong on one line: an option with its value stays together."""
    try:
        words = [shlex.quote(word) for word in shlex.split(line)]
    except ValueError:
        return [line]
    parts: list[str] = []
    for word in words:
        if parts and not word.startswith(("-", "'-")) and parts[-1].startswith("-") and "=" not in parts[-1]:
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts


def quotations(message: str) -> Iterator[tuple[str, bool]]:
    """A sentence in pieces, and of each whether it is a quoted name: in backticks, or in single quotes."""
    end = 0
    for found in _QUOTED.finditer(message):
        if found.start() > end:
            yield message[end : found.start()], False
        yield found[1] or found[2], True
        end = found.end()
    if end < len(message):
        yield message[end:], False
