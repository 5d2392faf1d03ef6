"""Tests for what no test covers: each made from a request that the analysis found, run, and kept only if it covers it.

Law: a suggested test passes: what it expects is what came. Whether that is what was wanted is for its reader to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import lcm
from typing import Any

from ccx.analysis.outcome import Judge
from ccx.analysis.space import Budget, Unfinished
from ccx.protocols.names import Protocol
from ccx.routing.compile import Compiled
from ccx.routing.facts import Facts
from ccx.routing.table import Route
from ccx.spec.diagnostics import START
from ccx.spec.locations import Place
from ccx.spec.suite import RoutingTest
from ccx.testing.cases import Case, facts_of
from ccx.testing.coverage import Key, Part, covered, key, measured, parts
from ccx.testing.decided import Decided, balanced, decide
from ccx.testing.model import Coverage, Hole, Result, Suggested
from ccx.testing.run import Runner
from ccx.testing.witnesses import witness

NAME_LENGTH = 120
NOWHERE = Place("", None, START)
# What an upstream may do to be left for the next, the usual first; which of them a route goes on after, it says itself.
_FAILURES: tuple[Any, ...] = (529, "refused", 500, "stall", 429, 401, {"error": "quota"}, 404)
_BY_A_DRILL = ("targets", "failover_edges")
_UNREACHED = "no request reaches it"
_NO_FAILURE = "no failure leads there within the attempts of the route"


@dataclass(slots=True)
class _Found:
    """What became of one part that is not covered: a test, or why there is none. `proved`: none can be."""

    test: Suggested | None = None
    why: str = ""
    proved: bool = False


@dataclass(slots=True)
class Survey:
    """Looks at one spec's coverage. Names of tests are kept apart."""

    compiled: Compiled
    judge: Judge
    runner: Runner
    names: set[str] = field(default_factory=set)
    budget: Budget | None = None

    def coverage(self, results: Sequence[Result]) -> Coverage:
        """The coverage of some results. What no request can reach is proved to be so, and left out."""
        every = tuple(parts(self.compiled.table))
        found = covered(results, self.judge)
        holes: list[Hole] = []
        excluded: list[Hole] = []
        for part in every:
            if key(part) in found:
                continue
            seen = self._fill(part)
            hole = Hole(part.metric, part.route, part.what, seen.test, seen.why)
            (excluded if seen.proved else holes).append(hole)
        out = frozenset(key(part) for part in every if _is_among(part, excluded))
        return Coverage(measured(every, found, out), tuple(holes), tuple(excluded))

    def suggestions(self, coverage: Coverage) -> tuple[Suggested, ...]:
        """Tests that fill all holes that can be filled, as few as one after the other allows."""
        chosen: list[Suggested] = []
        done: set[Key] = set()
        every = {(part.metric, part.route, part.what): key(part) for part in parts(self.compiled.table)}
        for hole in coverage.holes:
            if hole.test is None or every[hole.metric, hole.route, hole.what] in done:
                continue
            name = unique(hole.test.name, self.names)
            self.names.add(name)
            chosen.append(Suggested(name, {**hole.test.written, "name": name}, hole.test.result))
            done |= covered([hole.test.result], self.judge)
        return tuple(chosen)

    def _fill(self, part: Part) -> _Found:
        try:
            facts = witness(part, self.compiled.table, budget=self.budget)
        except Unfinished as unfinished:
            return _Found(why=f"not told: {unfinished}")
        if facts is None:
            return _Found(why=_UNREACHED, proved=True)
        route = next(route for route in self.compiled.table.routes if route.name == part.route)
        for written in self._attempts(part, route, facts):
            test = self._run(part, route, written, facts)
            if test is not None:
                return _Found(test)
        if part.metric in _BY_A_DRILL:
            return _Found(why=_NO_FAILURE, proved=True)
        return _Found(why="the request that was found cannot be written as a test")

    def _attempts(self, part: Part, route: Route, facts: Facts) -> Iterator[Mapping[str, Any]]:
        """Tests that may cover the part: the request as it is, and drills with more and more failures."""
        request = request_of(facts)
        yield {"name": named(part, route), "request": request}
        if part.metric in _BY_A_DRILL:
            for failure in _FAILURES:
                for count in range(1, route.failover.attempts):
                    script = [*[failure] * count, 200]
                    yield {"name": named(part, route), "request": request, "attempts": script}

    def _run(self, part: Part, route: Route, written: Mapping[str, Any], facts: Facts) -> Suggested | None:
        """The test with its expectation, if it covers the part and passes."""
        bare = RoutingTest.model_validate({**written, "expect": {"status": 200}})
        asked = facts_of(bare.request, self.judge)
        decided = decide(self.judge, asked)
        expect = expectation(decided)
        first = Case(bare.name, bare, asked, NOWHERE)
        if bare.attempts is not None:
            drilled = self.runner.run(first).drilled
            if drilled is None or drilled.served_by is None:
                return None
            expect = {"route": route.name, "served_by": drilled.served_by, "attempts": drilled.attempts}
        whole = {**written, "expect": expect}
        test = RoutingTest.model_validate(whole)
        result = self.runner.run(Case(test.name, test, asked, NOWHERE))
        if not result.passed or key(part) not in covered([result], self.judge):
            return None
        return Suggested(test.name, whole, result)


def unique(name: str, taken: Collection[str]) -> str:
    """The name, shortened where it is long, and numbered where it is taken."""
    name = name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + "…"
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate


def _is_among(part: Part, holes: Sequence[Hole]) -> bool:
    return any((hole.metric, hole.route, hole.what) == (part.metric, part.route, part.what) for hole in holes)


def request_of(facts: Facts) -> dict[str, Any]:
    """A request as a test writes it: what differs from the language's defaults."""
    found: dict[str, Any] = {}
    if facts.protocol is not Protocol.MESSAGES:
        found["protocol"] = facts.protocol.value
    if facts.model is not None:
        found["model"] = facts.model
    if facts.input_tokens:
        found["input_tokens"] = facts.input_tokens
    for flag in ("stream", "tools", "thinking", "images"):
        if getattr(facts, flag) and not (flag == "tools" and facts.server_tools):
            found[flag] = True
    if facts.server_tools:
        found["server_tools"] = sorted(facts.server_tools)
    if facts.client is not None:
        found["client"] = facts.client
    if facts.headers:
        found["headers"] = dict(sorted(facts.headers.items()))
    if facts.prefix is not None:
        found["prefix"] = facts.prefix
    if facts.body:
        found["body"] = dict(sorted(facts.body.items()))
    return found


def expectation(decided: Decided) -> dict[str, Any]:
    """What a test would expect of what was decided."""
    outcome = decided.outcome
    match outcome.kind:
        case "denied":
            return {"route": outcome.route, "deny": decided.status}
        case "no_route":
            return {"no_route": True}
        case "unservable":
            return {"route": outcome.route, "error": "unservable"}
        case "refused":
            return {"error": "refused", "status": decided.status}
        case "routed":
            return _routed(decided)


def _routed(decided: Decided) -> dict[str, Any]:
    found: dict[str, Any] = {"route": decided.outcome.route}
    found["targets"] = [name for stage in decided.stages for name in stage]
    first = decided.steps[0]
    shares = decided.shares
    if balanced(first) and len(shares) > 1:
        common = lcm(*(share.denominator for share in shares.values()))
        scale = 100 // common if 100 % common == 0 else 1
        found["weights"] = {name: int(share * common) * scale for name, share in shares.items()}
    models = {choice.model for choice in decided.firsts}
    if len(models) == 1 and (model := next(iter(models))) != decided.facts.model and model is not None:
        found["model"] = model
    return found


def named(part: Part, route: Route) -> str:
    """A name that says what the test is there for."""
    match part.metric:
        case "routes":
            return f"{route.name} is reached"
        case "targets":
            place, member = part.key
            return f"{route.name} asks {route.tiers[place].targets[member].channel}"
        case "failover_edges":
            first, then = part.key
            start = " or ".join(dict.fromkeys(t.channel for t in route.tiers[first].targets))
            if then < 0:
                return f"{route.name} goes on among {start}"
            return f"{route.name} goes on from {start} to " + " or ".join(
                dict.fromkeys(target.channel for target in route.tiers[then].targets)
            )
        case "boundaries":
            return f"{route.name} at {part.key[1]:,} tokens"
        case "axes":
            clause = part.what.partition("`")[2].rpartition("`")[0]
            return f"{route.name} needs: {clause}"
