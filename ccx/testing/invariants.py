"""Invariants: what is said of every request, proved by the analysis of the whole request space, or refuted by one.

Law: a claim is about an outcome. `always` is broken by an outcome of which part of the claim does not hold, `never` by
one of which any part holds. What is said of targets is said of each that may be asked, after failures too; where none
is asked there is nothing to break it. A request that its client may not make comes to no route: but for `served`
nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ccx.analysis.outcome import Asked, Judge, Outcome
from ccx.analysis.query import find
from ccx.analysis.space import Budget, Unfinished
from ccx.routing.compile import Compiled
from ccx.routing.compile_conditions import compile_when
from ccx.routing.conditions import All, Condition, ModelMatches, Not
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs
from ccx.routing.trace import explain
from ccx.spec.locations import Place
from ccx.spec.suite import Claim, Invariant
from ccx.testing.decided import decide
from ccx.testing.expectations import what
from ccx.testing.model import Counterexample, Mismatch, Proof


@dataclass(frozen=True, slots=True)
class Stated:
    """An invariant and where it is written."""

    invariant: Invariant
    place: Place


def prove(stated: Stated, compiled: Compiled, judge: Judge, *, budget: Budget | None = None) -> Proof:
    """Prove an invariant, or find a request that breaks it. A bound that is met is told, never taken for a proof."""
    invariant, table = stated.invariant, compiled.table
    when = compile_when(invariant.when)
    tags = {channel.name: dict(channel.tags) for channel in table.channels}
    try:
        for within, broken in _questions(invariant, when, tags):
            facts = find(table, within=within, accept=broken, budget=budget or Budget())
            if facts is not None:
                return Proof(invariant.name, stated.place, _counterexample(invariant, facts, compiled, judge))
    except Unfinished as unfinished:
        return Proof(invariant.name, stated.place, unfinished=str(unfinished))
    return Proof(invariant.name, stated.place)


def _counterexample(invariant: Invariant, facts: Facts, compiled: Compiled, judge: Judge) -> Counterexample:
    outcome = judge.outcome(facts)
    tags = {channel.name: dict(channel.tags) for channel in compiled.table.channels}
    seen = judge.facts(facts)
    return Counterexample(
        facts=seen,
        outcome=outcome,
        broken=tuple(breaches(invariant, outcome, tags, asked=facts.model))
        or (Mismatch("invariant", "holds", what(decide(judge, facts))),),
        trace=explain(judge.decider, seen, sources=compiled.sources),
    )


Tags = Mapping[str, Mapping[str, str]]


def _questions(
    invariant: Invariant, when: Condition, tags: Tags
) -> Iterable[tuple[Condition, Callable[[Outcome], bool]]]:
    """Sets of requests, and what no outcome within may be. Where a target is asked for the client's own model the
    outcome does not tell which: those requests are asked about by their model."""

    def broken(outcome: Outcome) -> bool:
        return any(True for _ in breaches(invariant, outcome, tags, asked=None))

    yield when, broken
    for claim, held in ((invariant.always, False), (invariant.never, True)):
        if claim is None or claim.model is None:
            continue
        for bare, patterns in ((False, claim.model), (True, _by_name(claim.model, tags))):
            matching = ModelMatches(Globs.of(patterns))
            yield All((when, matching if held else Not(matching))), partial(_passes_the_model_on, bare=bare)


def _passes_the_model_on(outcome: Outcome, *, bare: bool) -> bool:
    return any(target.model is None and target.bare is bare for target in _targets(outcome))


def _by_name(patterns: Sequence[str], channels: Iterable[str]) -> tuple[str, ...]:
    """The patterns for requests that name a channel themselves, as `lab/qwen3` and `lab,qwen3`."""
    every = patterns if any(not one.startswith("!") for one in patterns) else ("*", *patterns)
    signs = [f"{channel}{sign}" for channel in channels for sign in "/,"]
    return tuple(
        f"!{named}{pattern[1:]}" if pattern.startswith("!") else f"{named}{pattern}"
        for named in signs
        for pattern in every
    )


def _asked_for(target: Asked, asked: str | None) -> str | None:
    """The model an upstream is asked for; None where that hangs on the client's, which is not known."""
    if target.model is not None or asked is None:
        return target.model
    return asked[len(target.channel) + 1 :].strip() if target.bare else asked


def _targets(outcome: Outcome) -> tuple[Asked, ...]:
    return tuple(target for stage in outcome.stages for target in stage.targets)


def breaches(invariant: Invariant, outcome: Outcome, tags: Tags, *, asked: str | None) -> Iterable[Mismatch]:
    """What an outcome breaks. `asked` is the client's model; None where it is not known, and then nothing is said of a
    target that is asked for it."""
    if invariant.always is not None:
        for name, expected, holds, got in _parts(invariant.always, outcome, tags, asked=asked):
            bad = [shown for held, shown in zip(holds, got, strict=True) if not held]
            if bad:
                yield Mismatch(f"always {name}", expected, ", ".join(dict.fromkeys(bad)))
    if invariant.never is not None:
        for name, expected, holds, got in _parts(invariant.never, outcome, tags, asked=asked):
            bad = [shown for held, shown in zip(holds, got, strict=True) if held]
            if bad:
                yield Mismatch(f"never {name}", f"not {expected}", ", ".join(dict.fromkeys(bad)))


_Part = tuple[str, str, list[bool], list[str]]


def _parts(claim: Claim, outcome: Outcome, tags: Tags, *, asked: str | None) -> Iterable[_Part]:
    """Each part of a claim: its name and words, and whether it holds of each thing that it is about."""
    targets, reached = _targets(outcome), outcome.kind != "refused"
    if claim.route is not None:
        globs = Globs.of(claim.route)
        met = [outcome.route is not None and globs.matches(outcome.route)] if reached else []
        yield "route", str(globs), met, [outcome.route or "no route"] if reached else []
    if claim.target is not None:
        globs = Globs.of(claim.target)
        names = list(outcome.channels)
        yield "target", str(globs), [globs.matches(name) for name in names], names
    if claim.first is not None:
        globs = Globs.of(claim.first)
        names = _firsts(outcome)
        yield "first", str(globs), [globs.matches(name) for name in names], names
    if claim.model is not None:
        globs = Globs.of(claim.model)
        models = [model for target in targets if (model := _asked_for(target, asked)) is not None]
        yield "model", str(globs), [globs.matches(model) for model in models], models
    for name, patterns in (claim.tag or {}).items():
        globs = Globs.of(patterns)
        values = [(channel, tags.get(channel, {}).get(name)) for channel in outcome.channels]
        yield (
            f"tag {name}",
            str(globs),
            [value is not None and globs.matches(value) for _, value in values],
            [f"{channel} ({name}: {value or 'none'})" for channel, value in values],
        )
    if claim.served is not None:
        yield "served", _yes(claim.served), [(outcome.kind == "routed") is claim.served], [outcome.kind]
    if claim.deny is not None:
        status = outcome.deny.status if outcome.deny is not None else None
        held = (status is not None) is claim.deny if isinstance(claim.deny, bool) else status == claim.deny
        said = f"denied with {status}" if status is not None else outcome.kind
        yield "deny", _yes(claim.deny), [held] if reached else [], [said] if reached else []


def _firsts(outcome: Outcome) -> list[str]:
    if not outcome.stages:
        return []
    stage = outcome.stages[0]
    targets = stage.targets if stage.balance != "priority" else stage.targets[:1]
    return [target.channel for target in targets]


def _yes(value: bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def prove_all(
    invariants: Iterable[Stated], compiled: Compiled, judge: Judge, *, budget: Budget | None = None
) -> tuple[Proof, ...]:
    """Every invariant."""
    return tuple(prove(stated, compiled, judge, budget=budget) for stated in invariants)
