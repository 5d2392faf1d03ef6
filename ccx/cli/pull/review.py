"""One spec through all that a pull request is checked for.

Law: every check that can be made is made, whatever came of those before it, and nothing is claimed of one that was not.
What fails is the policy's to say: an invalid spec, a failing test and a forbidden change always do, findings from the
severity that is asked for, a plan that did not come to an end is its own verdict.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

from ccx.analysis.effort import Budget
from ccx.analysis.outcome import Judge
from ccx.cli.plan import UNCOVERED
from ccx.cli.pull.history import Origin
from ccx.lint.baseline import Baseline, baseline
from ccx.lint.examine import Examined, Wish, examine, linted
from ccx.plan.build import nothing, plan, side
from ccx.plan.edits import Compared
from ccx.plan.guards import forbidden
from ccx.plan.model import Plan
from ccx.plan.replay.result import Replay
from ccx.plan.replay.run import replay
from ccx.plan.revisions import Comparison, Version, WorkingTree, versions
from ccx.routing.compile import compile_spec
from ccx.spec.diagnostics import Diagnostic, has_errors
from ccx.spec.render.report import Report
from ccx.spec.render.text import render_findings
from ccx.spec.rules import RULES
from ccx.spec.validate import extended
from ccx.testing.cases import expand
from ccx.testing.changes import Uncovered, uncovered
from ccx.testing.invariants import prove_all
from ccx.testing.model import Report as Tested
from ccx.testing.promises import Promises, gather
from ccx.testing.run import Runner
from ccx.testing.suggest import Survey

FailOn = Literal["error", "new-warning", "warning"]
Verdict = Literal["passed", "failed", "incomplete"]
State = Literal["passed", "warned", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is checked, and what fails. `forbid` are marks of a plan, `any` or `uncovered`."""

    lint: bool = True
    test: bool = True
    plan: bool = True
    fail_on: FailOn = "error"
    forbid: tuple[str, ...] = ()
    fail_under: int | None = None
    cover_changes: bool = False
    logs: tuple[str, ...] = ()
    lint_budget: Callable[[], Budget] = Budget
    plan_budget: Callable[[], Budget] = Budget


@dataclass(frozen=True, slots=True)
class Gate:
    """The result of one check in a few words."""

    name: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Review:
    """What came of a spec. `findings` are the spec's own and those of files of tests that cannot be used; `fresh` are
    findings of the spec that the base does not have, as far as that is known. `errors` is why there is no plan, as text
    for a person; `broken` tells on which side. `refused` are changes that the policy forbids."""

    spec: str
    gates: tuple[Gate, ...]
    findings: tuple[Report, ...]
    fresh: tuple[Diagnostic, ...] = ()
    tested: Tested | None = None
    plan: Plan | None = None
    bare: tuple[Uncovered, ...] = ()
    traffic: Replay | None = None
    errors: str | None = None
    broken: Literal["old", "new"] | None = None
    refused: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Failed before incomplete: what is known to be wrong counts more than what is not known."""
        if any(gate.state == "failed" for gate in self.gates):
            return "failed"
        return "incomplete" if self.plan is not None and not self.plan.complete else "passed"

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell: the spec means what it meant, and nothing is wrong with it."""
        untouched = self.plan is not None and self.plan.no_op and not self.plan.edits
        return untouched and all(gate.state in ("passed", "skipped") for gate in self.gates)


@dataclass(slots=True)
class _Course:
    """A review while it is made."""

    path: Path
    policy: Policy
    gates: list[Gate] = field(default_factory=list)
    suites: list[Report] = field(default_factory=list)

    def gate(self, name: str, state: State, detail: str) -> None:
        self.gates.append(Gate(name, state, detail))


def review(
    path: Path,
    origin: Origin | None,
    policy: Policy,
    *,
    today: date,
    clock: Callable[[], float],
    names: tuple[str, str],
    revision: str | None = None,
) -> Review:
    """Check one spec of the working tree against where the change started; `origin` is None without a plan.

    `names` are those of both sides for people, `revision` the commit of the new one if it is of one. Raises
    RevisionError where the old side cannot be read, and what `replay` raises for logs that cannot.
    """
    course = _Course(path, policy)
    if origin is None:
        examined = examine(path, Wish(today=today, budget=policy.lint_budget()))
        shown = _findings(examined, course, known=None)
        tested, _ = _tests(examined, course)
        return Review(os.fspath(path), tuple(course.gates), (shown[0], *course.suites), shown[1], tested=tested)
    with versions(Comparison(path, origin.where, WorkingTree())) as (old, new):
        if new.loaded is None:
            return _removed(course, old, names)
        examined = examine(path, Wish(today=today, budget=policy.lint_budget()))
        report, fresh = _findings(examined, course, known=_known(old, today, policy))
        tested, promises = _tests(examined, course)
        before, after = _side(old, names[0]), _side(replace(new, revision=revision), names[1])
        found = Review(os.fspath(path), (), (report, *course.suites), fresh, tested)
        if isinstance(before, str) or isinstance(after, str):
            wrong = isinstance(after, str)
            course.gate(
                "plan", "skipped", "the spec is not valid" if wrong else "what it is compared with is not valid"
            )
            errors = after if isinstance(after, str) else before if isinstance(before, str) else None
            return replace(found, gates=tuple(course.gates), errors=errors, broken="new" if wrong else "old")
        made = plan(before, after, spec=os.fspath(path), budget=policy.plan_budget())
        traffic = None
        if policy.logs:
            sides = (side(before), before.table), (side(after), after.table)
            traffic = replay(*sides, logs=policy.logs, clock=clock)
        bare, refused = _planned(made, promises, course)
        return replace(found, gates=tuple(course.gates), plan=made, bare=bare, traffic=traffic, refused=refused)


def _removed(course: _Course, old: Version, names: tuple[str, str]) -> Review:
    """The spec is gone: nothing to validate, and a plan of all that it did."""
    spec = os.fspath(course.path)
    for name in ("validate", "lint", "tests"):
        course.gate(name, "skipped", "the spec is removed")
    loaded = old.loaded
    assert loaded is not None  # noqa: S101 - versions() has the spec on one side at least
    report = Report(spec, (), loaded.excerpts, loaded.locations)
    before = _side(old, names[0])
    if isinstance(before, str):
        course.gate("plan", "skipped", "what it is compared with is not valid")
        return Review(spec, tuple(course.gates), (report,), errors=before, broken="old")
    made = plan(before, nothing(names[1]), spec=spec, budget=course.policy.plan_budget())
    _, refused = _planned(made, None, course)
    return Review(spec, tuple(course.gates), (report,), plan=made, refused=refused)


def _findings(examined: Examined, course: _Course, *, known: Baseline | None) -> tuple[Report, tuple[Diagnostic, ...]]:
    """What validate and lint say, and what of it is new. With `known` None all is."""
    policy, all_found = course.policy, examined.linted.findings
    kept = tuple(one for one in all_found if policy.lint or _of_validate(one) or one.severity == "error")
    locations = examined.loaded.locations
    fresh = known.new(kept, locations) if known is not None else kept
    for name, mine in (("validate", True), ("lint", False)):
        if name == "lint" and not policy.lint and not any(not _of_validate(one) for one in kept):
            course.gate(name, "skipped", "not asked for")
            continue
        found = [one for one in kept if _of_validate(one) is mine]
        new = [one for one in fresh if _of_validate(one) is mine]
        if name == "lint" and examined.compiled is None:
            course.gate(name, "skipped", "the spec is not valid")
            continue
        course.gate(name, _state(found, new, policy.fail_on), _counts(found, new if known is not None else None))
    spec = os.fspath(course.path)
    return Report(spec, kept, examined.loaded.excerpts, locations, verdicts=("passed", "failed")), fresh


def _of_validate(found: Diagnostic) -> bool:
    return RULES[found.code].finder == "validate"


def _state(found: Sequence[Diagnostic], fresh: Sequence[Diagnostic], fail_on: FailOn) -> State:
    warned = [one for one in (fresh if fail_on == "new-warning" else found) if one.severity == "warning"]
    if has_errors(found) or (fail_on != "error" and warned):
        return "failed"
    return "warned" if any(one.severity == "warning" for one in found) else "passed"


def _counts(found: Sequence[Diagnostic], fresh: Sequence[Diagnostic] | None) -> str:
    words = []
    for severity, noun in (("error", "error"), ("warning", "warning"), ("info", "note")):
        number = sum(one.severity == severity for one in found)
        if number:
            words.append(f"{number} {noun}{'s' if number != 1 else ''}")
    if not words:
        return ""
    said = ", ".join(words)
    return said if fresh is None else f"{said} ({len(fresh)} new)"


def _known(old: Version, today: date, policy: Policy) -> Baseline:
    """What the linter finds on the old side already."""
    if old.loaded is None:
        return Baseline({})
    compiled = compile_spec(old.loaded.spec, locations=old.loaded.locations) if old.loaded.spec is not None else None
    then = linted(old.loaded, compiled, Wish(today=today, budget=policy.lint_budget()))
    return baseline([(then.findings, old.loaded.locations)])


def _tests(examined: Examined, course: _Course) -> tuple[Tested | None, Promises | None]:
    """Every test run and every invariant proved; coverage where there is a floor."""
    policy = course.policy
    if examined.compiled is None or not examined.compiled.servable:
        course.gate("tests", "skipped", "the spec is not valid")
        return None, None
    promises = gather(course.path)
    for suite in promises.suites:
        if suite.diagnostics:
            report = Report(suite.closure.entry, suite.diagnostics, suite.excerpts, suite.locations)
            course.suites.append(report)
    if not promises.valid or promises.compiled is None:
        course.gate("tests", "failed", "a file of tests cannot be used")
        return None, None
    if not policy.test:
        course.gate("tests", "skipped", "not asked for")
        return None, promises
    judge = Judge(promises.compiled.table)
    cases = expand(promises.tests, judge)
    runner = Runner(promises.compiled, judge)
    results = tuple(runner.run_all(cases))
    proofs = prove_all(promises.invariants, promises.compiled, judge)
    measured = None
    if promises.floors or policy.fail_under is not None:
        measured = Survey(promises.compiled, judge, runner, {case.test.name for case in cases}).coverage(results)
    tested = Tested(
        spec=os.fspath(course.path),
        digest=promises.compiled.digest,
        results=results,
        proofs=proofs,
        coverage=measured,
        floors=promises.floors,
        fail_under=policy.fail_under,
    )
    _tell(tested, course)
    return tested, promises


def _tell(tested: Tested, course: _Course) -> None:
    """The gates of tests, of invariants and of the floors, each where there is one."""
    if not tested.results and not tested.proofs:
        course.gate("tests", "skipped", "there are none")
    for name, results in (("tests", tested.results), ("invariants", tested.proofs)):
        good = sum(one.passed for one in results)
        if results:
            course.gate(name, "passed" if good == len(results) else "failed", f"{good}/{len(results)}")
    if tested.coverage is not None:
        below = tested.below
        words = [one.removeprefix("coverage of ") for one in below] or [f"{tested.coverage.total.percent} %"]
        course.gate("coverage", "failed" if below else "passed", "; ".join(words))


def _planned(made: Plan, promises: Promises | None, course: _Course) -> tuple[tuple[Uncovered, ...], tuple[str, ...]]:
    """The gates of the plan; the changed regions without a test, and what is forbidden."""
    policy = course.policy
    refused = [*forbidden(made, [kind for kind in policy.forbid if kind != UNCOVERED])]
    bare: tuple[Uncovered, ...] = ()
    if (policy.cover_changes or UNCOVERED in policy.forbid) and promises is not None and made.moved:
        bare = uncovered([(one.id, one.change) for one in made.moved], promises)
        more = sum(one.change.more for one in made.moved)
        every = more + sum(len(one.change.regions) for one in made.moved)
        missing = len(bare) + more
        forbid = UNCOVERED in policy.forbid and missing > 0
        if forbid:
            refused.append(f"{UNCOVERED}: {missing} changed regions without a test")
        state: State = "failed" if forbid else "warned" if missing else "passed"
        course.gate("tests of changes", state, f"{every - missing}/{every}")
    state = "failed" if refused else "warned" if made.marks or not made.complete else "passed"
    course.gate("plan", state, f"forbidden: {'; '.join(refused)}" if refused else _said(made))
    return bare, tuple(refused)


def _said(made: Plan) -> str:
    if not made.complete:
        return "analysis incomplete"
    if made.no_op:
        return "no changes"
    parts = [(len(made.moved), "routing change"), (len(made.touched), "other change")]
    return ", ".join(f"{number} {noun}{'s' if number != 1 else ''}" for number, noun in parts if number)


def _side(version: Version, name: str) -> Compared | str:
    """A version compiled, or its errors as text."""
    loaded = version.loaded
    if loaded is None:
        return nothing(name, version.revision)
    compiled = None
    if loaded.spec is not None:
        compiled = compile_spec(loaded.spec, locations=loaded.locations)
        loaded = extended(loaded, compiled.diagnostics)
    if compiled is not None and not has_errors(loaded.diagnostics):
        return Compared(compiled, name, version.revision, loaded.locations)
    errors = [one for one in loaded.diagnostics if one.severity == "error"]
    return render_findings(errors, excerpts=loaded.excerpts)
