"""Running cases: each through the decision engine, and those that are drills through the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ccx.analysis.outcome import Judge
from ccx.routing.compile import Compiled
from ccx.routing.trace import explain
from ccx.spec.locations import Place
from ccx.testing.cases import Case
from ccx.testing.decided import Decided, decide
from ccx.testing.drills import Bench, DrillError
from ccx.testing.expectations import mismatches
from ccx.testing.model import Drilled, Mismatch, Result


class Runner:
    """Runs cases on one table. The bench for drills is set up when the first drill comes."""

    def __init__(self, compiled: Compiled, judge: Judge) -> None:
        self._compiled = compiled
        self._judge = judge
        self._bench: Bench | None = None

    def run(self, case: Case) -> Result:
        """One case."""
        decided = decide(self._judge, case.facts, sample=case.test.sample)
        drilled: Drilled | None = None
        wrong: tuple[Mismatch, ...] = ()
        if case.drilled:
            try:
                drilled = self._drill(case, decided)
            except DrillError as error:
                wrong = (Mismatch("request", "a drill", str(error)),)
        places: Mapping[str, Place] = self._compiled.sources
        trace = explain(self._judge.decider, case.facts, sources=places)
        return Result(case, decided, drilled, (*wrong, *mismatches(case.test.expect, decided, drilled)), trace)

    def run_all(self, cases: Sequence[Case], *, fail_fast: bool = False) -> Iterator[Result]:
        """Every case in order; up to the first that fails with `fail_fast`."""
        for case in cases:
            result = self.run(case)
            yield result
            if fail_fast and not result.passed:
                return

    def _drill(self, case: Case, decided: Decided) -> Drilled:
        if self._bench is None:
            self._bench = Bench(self._compiled.table, self._compiled.digest)
        return self._bench.drill(case, decided)


def chosen(cases: Sequence[Case], pattern: re.Pattern[str] | None) -> tuple[Case, ...]:
    """The cases whose name holds the pattern."""
    return tuple(case for case in cases if pattern is None or pattern.search(case.name))
