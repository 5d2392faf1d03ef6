"""What a test expects, held against what came: every difference, in the words of both sides.

Law: each expectation is looked at by itself and every one that fails is told. What a drill saw is passed in; nothing is
run here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ccx.spec.suite import Expectation, Moment
from ccx.testing.decided import Decided
from ccx.testing.model import Drilled, Mismatch

_SLACK = 1.0
"""Milliseconds by which a stated time may differ: times are written in whole ones."""


@dataclass(frozen=True, slots=True)
class _Seen:
    decided: Decided
    drilled: Drilled | None


def mismatches(expect: Expectation, decided: Decided, drilled: Drilled | None) -> tuple[Mismatch, ...]:
    """Everything that is not as expected, in the order of the language's own documentation."""
    seen = _Seen(decided, drilled)
    return (*_of_the_decision(expect, seen), *_of_the_targets(expect, seen), *_of_the_run(expect, seen))


def _of_the_decision(expect: Expectation, seen: _Seen) -> Iterator[Mismatch]:
    outcome = seen.decided.outcome
    if expect.route is not None and outcome.route != expect.route:
        yield Mismatch("route", expect.route, outcome.route or what(seen.decided))
    if expect.deny is not None and (outcome.deny is None or outcome.deny.status != expect.deny):
        yield Mismatch("deny", str(expect.deny), what(seen.decided))
    if expect.no_route and outcome.kind != "no_route":
        yield Mismatch("no_route", "no route matches", what(seen.decided))
    if expect.status is not None:
        got = seen.drilled.status if seen.drilled is not None else seen.decided.status
        if got != expect.status:
            yield Mismatch("status", str(expect.status), "none" if got is None else str(got))
    if expect.error is not None:
        error = _error(seen)
        if error != expect.error:
            yield Mismatch("error", expect.error, error or "none: it is served")


def _error(seen: _Seen) -> str | None:
    kind = seen.decided.outcome.kind
    if kind != "routed":
        return kind
    return seen.drilled.error if seen.drilled is not None else None


def _of_the_targets(expect: Expectation, seen: _Seen) -> Iterator[Mismatch]:
    decided = seen.decided
    firsts = tuple(dict.fromkeys(choice.channel.name for choice in decided.firsts))
    if expect.targets is not None and not _laid_out(expect.targets, decided.stages):
        yield Mismatch("targets", _list(expect.targets), _stages(decided.stages) or what(decided))
    if expect.target is not None and firsts != (expect.target,):
        if len(firsts) > 1:
            got = f"any of {', '.join(firsts)}; pin one with `sample`, or write `weights` or `target_in`"
        else:
            got = firsts[0] if firsts else what(decided)
        yield Mismatch("target", expect.target, got)
    if expect.target_in is not None and (not firsts or not set(firsts) <= set(expect.target_in)):
        yield Mismatch("target_in", f"one of {', '.join(expect.target_in)}", ", ".join(firsts) or what(decided))
    if expect.not_target is not None:
        asked = [name for stage in decided.stages for name in stage if name in expect.not_target]
        if asked:
            where = "first" if asked[0] in firsts else "after a failure"
            yield Mismatch("not_target", f"never {', '.join(expect.not_target)}", f"{asked[0]} is asked {where}")
    if expect.model is not None:
        models = tuple(dict.fromkeys(choice.model or "(none)" for choice in decided.firsts))
        if models != (expect.model,):
            yield Mismatch("model", expect.model, ", ".join(models) or what(decided))
    if expect.weights is not None:
        total = sum(expect.weights.values())
        wanted = {name: Fraction(weight, total) for name, weight in expect.weights.items()}
        if decided.shares != wanted:
            yield Mismatch("weights", _shares(wanted), _shares(decided.shares) or what(decided))
    if expect.failover is not None and not _laid_out(expect.failover, _after(decided)):
        yield Mismatch("failover", _list(expect.failover), _stages(_after(decided)) or "nobody")


def _after(decided: Decided) -> tuple[tuple[str, ...], ...]:
    return tuple(stage for stage in decided.rest if stage)


def _of_the_run(expect: Expectation, seen: _Seen) -> Iterator[Mismatch]:
    drilled = seen.drilled
    if drilled is None:
        return
    if drilled.trouble is not None:
        yield Mismatch("request", "a request with these facts", drilled.trouble)
    if expect.served_by is not None and drilled.served_by != expect.served_by:
        yield Mismatch("served_by", expect.served_by, drilled.served_by or f"nobody: {_ended(seen)}")
    if expect.attempts is not None and drilled.attempts != expect.attempts:
        yield Mismatch("attempts", str(expect.attempts), str(drilled.attempts))
    if expect.continued is not None and drilled.continued != expect.continued:
        yield Mismatch("continued", str(expect.continued), str(drilled.continued))
    if expect.timeline is not None and not _same(expect.timeline, drilled.timeline):
        yield Mismatch("timeline", _timeline(expect.timeline), _timeline(drilled.timeline) or "nobody is asked")
    if expect.within is not None and (drilled.answered is None or drilled.answered > expect.within + _SLACK):
        got = "never" if drilled.answered is None else duration(drilled.answered)
        yield Mismatch("within", duration(expect.within), got)


def _ended(seen: _Seen) -> str:
    drilled = seen.drilled
    error = _error(seen)
    status = f"HTTP {drilled.status}" if drilled is not None and drilled.status is not None else "no answer"
    return f"{status} ({error})" if error else status


def what(decided: Decided) -> str:
    """What becomes of a request, in a few words."""
    outcome = decided.outcome
    match outcome.kind:
        case "routed":
            return f"{outcome.route} to {_stages(decided.stages)}"
        case "denied":
            return f"denied with {decided.status} by {outcome.route}"
        case "no_route":
            return "no route matches"
        case "unservable":
            return f"no target of {outcome.route} can serve it ({outcome.reason})"
        case "refused":
            return f"refused: {outcome.reason}"


def _laid_out(names: Sequence[str], stages: Sequence[Sequence[str]]) -> bool:
    """Whether the names are the stages one after the other, those of a stage in any order."""
    at = 0
    for stage in stages:
        part = names[at : at + len(stage)]
        if sorted(part) != sorted(stage):
            return False
        at += len(stage)
    return at == len(names)


def _same(wanted: Sequence[Moment], got: Sequence[Moment]) -> bool:
    return len(wanted) == len(got) and all(map(_agrees, wanted, got))


def _agrees(wanted: Moment, got: Moment) -> bool:
    times = ((wanted.took, got.took), (wanted.at, got.at))
    near = all(one is None or (other is not None and abs(one - other) <= _SLACK) for one, other in times)
    return (wanted.channel, wanted.what) == (got.channel, got.what) and near


def _list(names: Sequence[str]) -> str:
    return " then ".join(names) or "nobody"


def _stages(stages: Sequence[Sequence[str]]) -> str:
    return " then ".join(stage[0] if len(stage) == 1 else f"({' | '.join(stage)})" for stage in stages)


def _shares(found: dict[str, Fraction]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in sorted(found.items(), key=lambda one: -one[1]))


def percent(share: Fraction) -> str:
    """An exact share: `90 %`, `1/3`."""
    hundredths = share * 10_000
    if hundredths.denominator != 1:
        return str(share)
    return f"{float(share * 100):g} %"


def _timeline(moments: Sequence[Moment]) -> str:
    return ", ".join(map(line, moments))


def line(moment: Moment) -> str:
    """A line of a timeline as one writes it."""
    parts = [moment.channel, moment.what] if moment.channel is not None else [moment.what]
    parts += [duration(moment.took)] if moment.took else []
    parts += [f"at {duration(moment.at)}"] if moment.at is not None else []
    return " ".join(parts)


def duration(milliseconds: float) -> str:
    """A time as the language writes it: `250ms`, `1.5s`, `90s`."""
    whole = round(milliseconds)
    return f"{whole}ms" if 0 < whole < 1000 else f"{whole / 1000:g}s"
