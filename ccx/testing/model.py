"""What a run of tests found, as values. Renderers lay it out; nothing here knows a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from ccx.analysis.outcome import Outcome
from ccx.routing.facts import Facts
from ccx.routing.trace import Trace
from ccx.spec.locations import Place
from ccx.spec.suite import Moment
from ccx.testing.cases import Case
from ccx.testing.decided import Decided

Metric = Literal["routes", "targets", "failover_edges", "boundaries", "axes"]
METRICS: tuple[Metric, ...] = ("routes", "targets", "failover_edges", "boundaries", "axes")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One expectation that does not hold: its name in the language, and both sides in words."""

    field: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill saw. Times are milliseconds on the drill's own clock, from the request.

    `asked` are the upstreams asked, as (channel, model), in order. `answered` is when the client got its first byte.
    `error` is the class of failure the client was told of. `trouble` says why the drill shows nothing. `continued` is
    how often another upstream went on with an answer that broke off.
    """

    status: int | None
    served_by: str | None
    error: str | None
    timeline: tuple[Moment, ...]
    asked: tuple[tuple[str, str], ...]
    answered: float | None
    route: str | None
    trouble: str | None = None
    continued: int = 0

    @property
    def attempts(self) -> int:
        """How many upstreams were asked."""
        return len(self.asked)


@dataclass(frozen=True, slots=True)
class Result:
    """One case and what came of it. It passed if nothing mismatches."""

    case: Case
    decided: Decided
    drilled: Drilled | None
    mismatches: tuple[Mismatch, ...]
    trace: Trace[Place]

    @property
    def passed(self) -> bool:
        """Whether everything is as expected."""
        return not self.mismatches


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A request for which an invariant does not hold."""

    facts: Facts
    outcome: Outcome
    broken: tuple[Mismatch, ...]
    trace: Trace[Place]


@dataclass(frozen=True, slots=True)
class Proof:
    """An invariant: proved, refuted by a request, or left open because the analysis met its bound."""

    name: str
    place: Place
    counterexample: Counterexample | None = None
    unfinished: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it is proved."""
        return self.counterexample is None and self.unfinished is None


@dataclass(frozen=True, slots=True)
class Suggested:
    """A test that was made and passes. `written` is it in the language, as plain data."""

    name: str
    written: Mapping[str, Any]
    result: Result


@dataclass(frozen=True, slots=True)
class Hole:
    """Something that no test covers, in words. `route` is the one it belongs to; `test` would cover it, and `why` says
    why there is none."""

    metric: Metric
    route: str
    what: str
    test: Suggested | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: how much of what can be covered is."""

    metric: Metric
    covered: int
    total: int

    @property
    def share(self) -> Fraction:
        """The exact part that is covered; all of nothing is all."""
        return Fraction(self.covered, self.total) if self.total else Fraction(1)

    @property
    def percent(self) -> int:
        """Whole percent, rounded down: 999 of 1,000 are 99."""
        return int(self.share * 100)

    def reaches(self, floor: int) -> bool:
        """Whether the floor, in percent, is met exactly."""
        return self.share * 100 >= floor


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the tests cover. `excluded` are parts that no request can reach, with the reason; they count for nothing."""

    measures: tuple[Measure, ...]
    holes: tuple[Hole, ...]
    excluded: tuple[Hole, ...] = ()

    @property
    def total(self) -> Measure:
        """All metrics together."""
        covered, total = sum(m.covered for m in self.measures), sum(m.total for m in self.measures)
        return Measure("routes", covered, total)


@dataclass(frozen=True, slots=True)
class Report:
    """One spec. `floors` are in percent; `fail_under` is a floor for all metrics together."""

    spec: str
    digest: str
    results: tuple[Result, ...]
    proofs: tuple[Proof, ...]
    coverage: Coverage | None = None
    floors: Mapping[Metric, int] = field(default_factory=dict)
    fail_under: int | None = None
    skipped: int = 0

    @property
    def below(self) -> tuple[str, ...]:
        """The floors that are not met, in words."""
        if self.coverage is None:
            return ()
        found = [
            f"coverage of {one.metric} is {one.percent} % ({one.covered} of {one.total}), below {floor} %"
            for one in self.coverage.measures
            if (floor := self.floors.get(one.metric)) is not None and not one.reaches(floor)
        ]
        whole = self.coverage.total
        if self.fail_under is not None and not whole.reaches(self.fail_under):
            share = f"{whole.percent} % ({whole.covered} of {whole.total})"
            found.append(f"coverage of all metrics together is {share}, below {self.fail_under} %")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether every test passed, every invariant is proved and every floor is met."""
        held = all(one.passed for one in self.results) and all(one.passed for one in self.proofs)
        return held and not self.below
