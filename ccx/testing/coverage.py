"""What tests cover, counted over what there is to cover in a table.

    routes          a request is decided by it
    targets         it is asked first: alone, by the draw that `sample` pins, or as a member of a group that the test
                    states as a whole (weights, targets, target_in); or a drill asks it
    failover edges  a drill goes from one step to the next, or on within a balanced group
    boundaries      of each token threshold: a request on either side, which the other side would change
    axes            of each clause: a request that it alone keeps out of the route

Law: a part is covered by what a case did, whether or not the case passed; percentages are rounded down; what no request
can reach is no part of the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ccx.analysis.outcome import Judge
from ccx.routing.conditions import All, Condition, Constant, TokensIn, leaves
from ccx.routing.decide import Choice, Decider, Step
from ccx.routing.facts import Facts
from ccx.routing.table import Route, RoutingTable, Tier
from ccx.testing.decided import Decided, balanced
from ccx.testing.model import METRICS, Measure, Metric, Result

WITHIN = -1
"""In the place of the next step: the edge from one member of a balanced group to another."""
_STATED_AS_A_WHOLE = ("weights", "targets", "target_in")


@dataclass(frozen=True, slots=True)
class Part:
    """Something to cover. `key` is its place: of a target (step, member), of an edge (from, to), of a boundary
    (threshold, tokens), of an axis (clause,). `what` says it in words."""

    metric: Metric
    route: str
    key: tuple[int, ...]
    what: str


Key = tuple[Metric, str, tuple[int, ...]]


def key(part: Part) -> Key:
    """What a part is told by."""
    return part.metric, part.route, part.key


def routes(table: RoutingTable) -> tuple[Route, ...]:
    """The routes that somebody wrote; where nobody did, the one that stands in."""
    return tuple(route for route in table.routes if not route.name.startswith("@")) or table.routes


def parts(table: RoutingTable) -> Iterator[Part]:
    """Everything there is to cover, metric by metric, in the order of the routes."""
    enabled = {channel.name for channel in table.channels if channel.enabled}
    for metric in METRICS:
        for route in routes(table):
            yield from _parts(metric, route, enabled)


def _parts(metric: Metric, route: Route, enabled: set[str]) -> Iterator[Part]:
    match metric:
        case "routes":
            yield Part(metric, route.name, (), "no test ends in it")
        case "targets":
            for place, tier in enumerate(route.tiers):
                for member, target in enumerate(tier.targets):
                    if target.weight > 0 and target.channel in enabled:
                        asked = f" for {target.model}" if target.model is not None else ""
                        words = f"step {place + 1}, {target.channel}{asked}, is never asked"
                        yield Part(metric, route.name, (place, member), words)
        case "failover_edges":
            for place, tier in enumerate(route.tiers):
                if len(tier.targets) > 1:
                    words = f"step {place + 1} never goes on from one of {_names(tier)} to another"
                    yield Part(metric, route.name, (place, WITHIN), words)
                if place + 1 < len(route.tiers):
                    words = f"it never goes on from {_names(tier)} to {_names(route.tiers[place + 1])}"
                    yield Part(metric, route.name, (place, place + 1), words)
        case "boundaries":
            for threshold in thresholds(route.when):
                for tokens in (threshold - 1, threshold):
                    side = "the last below" if tokens < threshold else "the first above"
                    words = f"no test asks with {tokens:,} tokens, {side} the threshold"
                    yield Part(metric, route.name, (threshold, tokens), words)
        case "axes":
            for place, clause in enumerate(clauses(route.when)):
                yield Part(metric, route.name, (place,), f"no test is kept out of it by `{clause}` alone")


def _names(tier: Tier) -> str:
    return " | ".join(dict.fromkeys(target.channel for target in tier.targets))


def thresholds(when: Condition) -> tuple[int, ...]:
    """The token counts at which a condition may change its answer, ascending."""
    found = {n for leaf in leaves(when) if isinstance(leaf, TokensIn) for n in (leaf.low, leaf.high or 0) if n > 0}
    return tuple(sorted(found))


def clauses(when: Condition) -> tuple[Condition, ...]:
    """What a condition asks, each part by itself."""
    if isinstance(when, All):
        return when.parts
    return () if isinstance(when, Constant) else (when,)


def covered(results: Iterable[Result], judge: Judge) -> frozenset[Key]:
    """The keys of all parts that some case covers."""
    return frozenset(found for result in results for found in _covered(result, judge))


def _covered(result: Result, judge: Judge) -> Iterator[Key]:
    decided, facts = result.decided, result.case.facts
    route = decided.decision.route
    if route is not None and decided.outcome.kind != "refused":
        yield "routes", route.name, ()
        if decided.steps:
            members = {step.id: _members(judge.decider, route, step, facts) for step in decided.steps}
            yield from _asked_first(result, route, members)
            yield from _drilled(result, route, members)
    for reached in _reached(judge, facts):
        yield from _on_a_boundary(reached, facts)
        yield from _kept_out(reached, facts)


def place_of(step: Step) -> int:
    """The step's place in its route."""
    return int(step.id.partition("#")[2].partition(":")[0])


def _members(decider: Decider, route: Route, step: Step, facts: Facts) -> tuple[int, ...]:
    """For each choice of a step, its place among the targets written: a step leaves out those that cannot serve."""
    model = next((model for known, model in decider.candidates(facts.model) if known.name == route.name), facts.model)
    found = []
    for member, target in enumerate(route.tiers[place_of(step)].targets):
        alone = decider.resolve(replace(route, tiers=(Tier((target,)),)), protocol=facts.protocol, model=model)
        if alone.steps:
            found.append(member)
    return tuple(found)


def _asked_first(result: Result, route: Route, members: Mapping[str, Sequence[int]]) -> Iterator[Key]:
    decided = result.decided
    first = decided.steps[0]
    whole = any(getattr(result.case.test.expect, name) is not None for name in _STATED_AS_A_WHOLE)
    if balanced(first) and decided.pinned is None and not whole:
        return
    for choice, member in zip(first.choices, members[first.id], strict=True):
        if any(choice is asked for asked in decided.firsts):
            yield "targets", route.name, (place_of(first), member)


def _drilled(result: Result, route: Route, members: Mapping[str, Sequence[int]]) -> Iterator[Key]:
    if result.drilled is None:
        return
    before: tuple[int, int] | None = None
    for channel, model in result.drilled.asked:
        here = _position(result.decided, channel, model, members)
        if here is None:
            continue
        yield "targets", route.name, here
        if before is not None and here != before:
            yield "failover_edges", route.name, (before[0], WITHIN if here[0] == before[0] else here[0])
        before = here


def _position(
    decided: Decided, channel: str, model: str, members: Mapping[str, Sequence[int]]
) -> tuple[int, int] | None:
    """The target that was asked, by its step and its place in it."""

    def named(choice: Choice, exactly: bool) -> bool:
        return choice.channel.name == channel and (not exactly or (choice.model or "") == model)

    for exactly in (True, False):
        for step in decided.steps:
            for choice, member in zip(step.choices, members[step.id], strict=True):
                if named(choice, exactly):
                    return place_of(step), member
    return None


def _reached(judge: Judge, facts: Facts) -> Iterator[Route]:
    """The routes that are asked about a request: up to the first that takes it."""
    for route, _ in judge.decider.candidates(facts.model):
        yield route
        if route.when.holds(facts):
            return


def _on_a_boundary(route: Route, facts: Facts) -> Iterator[Key]:
    tokens = facts.input_tokens
    for threshold in thresholds(route.when):
        if tokens is None or tokens not in (threshold - 1, threshold):
            continue
        across = threshold if tokens < threshold else threshold - 1
        if route.when.holds(facts) is not route.when.holds(replace(facts, input_tokens=across)):
            yield "boundaries", route.name, (threshold, tokens)


def _kept_out(route: Route, facts: Facts) -> Iterator[Key]:
    failing = [place for place, clause in enumerate(clauses(route.when)) if not clause.holds(facts)]
    if len(failing) == 1:
        yield "axes", route.name, (failing[0],)


def measured(every: Sequence[Part], found: frozenset[Key], excluded: frozenset[Key]) -> tuple[Measure, ...]:
    """The figures, metric by metric."""
    counted = [part for part in every if key(part) not in excluded]
    return tuple(
        Measure(
            metric,
            sum(1 for part in counted if part.metric == metric and key(part) in found),
            sum(1 for part in counted if part.metric == metric),
        )
        for metric in METRICS
    )
