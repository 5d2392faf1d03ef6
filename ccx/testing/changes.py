"""Whether tests ask about what a change of the spec changes: each region of the difference holds a test, or is told.

Law: a region is a condition, and whether a test lies in it is answered by the runtime's own matcher.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ccx.analysis.difference import Change, Region
from ccx.analysis.outcome import Judge
from ccx.analysis.wording import say
from ccx.routing.compile import Compiled
from ccx.spec.appending import block
from ccx.spec.suite import RoutingTest
from ccx.testing.cases import Case, expand, facts_of
from ccx.testing.decided import decide
from ccx.testing.model import Suggested
from ccx.testing.promises import Promises
from ccx.testing.run import Runner
from ccx.testing.suggest import NOWHERE, expectation, request_of, unique


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A changed region that no test lies in. `id` is the change's in the plan; `test` would lie in it, if one can be
    written."""

    id: str
    region: Region
    test: Suggested | None


def uncovered(changes: Iterable[tuple[str, Change]], promises: Promises) -> tuple[Uncovered, ...]:
    """The changed regions without a test. `promises` are those of the new spec, which must be valid."""
    compiled = promises.compiled
    if compiled is None:
        raise ValueError("the new spec is not valid")
    judge = Judge(compiled.table)
    cases = expand(promises.tests, judge)
    names = {case.test.name for case in cases}
    return tuple(
        Uncovered(id_, region, _suggested(region, compiled, judge, names))
        for id_, change in changes
        for region in change.regions
        if not any(region.when.holds(case.facts) for case in cases)
    )


def _suggested(region: Region, compiled: Compiled, judge: Judge, names: Collection[str]) -> Suggested | None:
    request = request_of(region.witness)
    bare = RoutingTest.model_validate({"name": "bare", "request": request, "expect": {"status": 200}})
    facts = facts_of(bare.request, judge)
    if not region.when.holds(facts):
        return None  # it differs in something that a test cannot write
    name = unique(say(region.when), names)
    written = {"name": name, "request": request, "expect": expectation(decide(judge, facts))}
    test = RoutingTest.model_validate(written)
    result = Runner(compiled, judge).run(Case(test.name, test, facts, NOWHERE))
    return Suggested(name, written, result) if result.passed else None


def told(found: Collection[Uncovered], *, more: int = 0) -> Iterator[str]:
    """The list for people, a line each. `more` regions were left out of the plan."""
    if not found and not more:
        yield "Every changed region has a test."
        return
    yield f"{len(found)} changed {'region has' if len(found) == 1 else 'regions have'} no test:"
    for one in found:
        yield f"  {one.id}  {say(one.region.when)}"
        if one.test is not None:
            yield from (f"      {line}" for line in block(one.test.written))
    if more:
        yield f"  and {more} more regions, which the plan does not list, were not looked at"
