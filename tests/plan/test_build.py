"""Whole plans: of the engine, the edits, the marks, and the JSON that binds them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator
from syrupy.assertion import SnapshotAssertion

from ccx.analysis.effort import Budget
from ccx.analysis.outcome import Judge
from ccx.plan.build import nothing, plan
from ccx.plan.edits import Compared
from ccx.plan.guards import forbidden
from ccx.plan.json import as_data, digest_of, render_json
from ccx.plan.model import Plan
from ccx.plan.saved import SavedPlanError, read_plan
from ccx.plan.schema import FILE_NAME, generate, render
from ccx.routing.compile import compile_spec
from ccx.routing.conditions import ClientIn
from ccx.routing.globs import Globs
from ccx.spec.document import Spec
from tests.plan.specs import EDITS, SPEC, edited, side
from tests.routing.drawn import specs

OLD = side(SPEC, "main")
SCHEMA = Draft7Validator(generate())
REPOSITORY = Path(__file__).parents[2]


def made(new: str, old: Compared = OLD, **options: Any) -> Plan:
    return plan(old, side(new, "working tree"), spec="ccx.yaml", **options)


@pytest.mark.parametrize("name", EDITS)
def test_the_plan_of_each_edit(name: str, snapshot: SnapshotAssertion) -> None:
    found = made(edited(name))
    data = as_data(found)
    SCHEMA.validate(data)
    assert digest_of(data) == found.digest == data["digest"]
    del data["analysis"]  # how hard it was is the engine's affair
    assert json.dumps(data, indent=1, ensure_ascii=False) == snapshot


@pytest.mark.parametrize("name", EDITS)
def test_every_witness_fares_as_the_plan_says(name: str) -> None:
    new = side(edited(name))
    found = plan(OLD, new, spec="ccx.yaml")
    judges = [Judge(one.compiled.table) for one in (OLD, new)]
    for one in found.moved:
        for region in one.change.regions:
            assert [judge.outcome(region.witness) for judge in judges] == [one.change.before, one.change.after]
            assert region.when.holds(region.witness)


NO_OPS = ["route renamed", "comments and spellings", "reorder without effect"]


def test_what_changes_nothing_is_proven_to(snapshot: SnapshotAssertion) -> None:
    for name in EDITS:
        found = made(edited(name))
        assert found.complete
        assert found.no_op is (name in NO_OPS), name
        assert (found.digest == made(SPEC).digest) is (name == "comments and spellings")


def test_there_and_back_is_the_inverse() -> None:
    for name in EDITS:
        there, back = made(edited(name)), plan(side(edited(name)), OLD, spec="ccx.yaml")
        pairs = [
            {(one.change.before, one.change.after) for one in there.moved},
            {(one.change.after, one.change.before) for one in back.moved},
        ]
        assert pairs[0] == pairs[1], name


def test_the_digest_leaves_out_what_two_runs_may_call_differently() -> None:
    new = edited("threshold moved")
    found = made(new)
    other = plan(
        replace(OLD, name="elsewhere", revision="0" * 40),
        replace(side("# a line more\n" + new), name="x"),
        spec="other.yaml",
        budget=Budget(100_000),
    )
    assert other.digest == found.digest
    assert as_data(other) != as_data(found)
    assert made(edited("weights")).digest != found.digest
    assert made(new, within=ClientIn(Globs(("team-*",)))).digest != found.digest


def sides(data: dict[str, Any], *, backwards: bool) -> Compared:
    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value, reverse=backwards)}
        return [ordered(one) for one in value] if isinstance(value, list) else value

    # Without routes, the order of channels is itself meant.
    shown = ordered(data) if data.get("routes") else data
    return Compared(compile_spec(Spec.model_validate(shown)), "side")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specs(), specs())
def test_plans_of_any_two_specs(one: dict[str, Any], other: dict[str, Any]) -> None:
    old, new = sides(one, backwards=False), sides(other, backwards=False)
    assert plan(old, old, spec="x").no_op
    found = plan(old, new, spec="x", budget=Budget(5_000))
    again = plan(sides(one, backwards=True), sides(other, backwards=True), spec="x", budget=Budget(5_000))
    assert again.digest == found.digest
    data = as_data(found)
    SCHEMA.validate(data)
    assert read_plan(render_json(found)).document == data
    assert (found.unfinished is None) is found.complete
    assert len({moved.id for moved in found.moved}) == len(found.moved)
    if old.compiled.digest != new.compiled.digest:
        assert found.edits


def test_a_new_spec_and_one_that_is_gone() -> None:
    new = plan(nothing("main"), OLD, spec="ccx.yaml")
    assert new.old.absent
    assert not new.new.absent
    assert {edit.operation for edit in new.edits if edit.kind == "route"} == {"add"}
    assert set(new.effects) <= {"newly_routed", "treatment"}
    gone = plan(OLD, nothing("main"), spec="ccx.yaml")
    assert gone.new.absent
    assert set(gone.effects) <= {"newly_unrouted", "treatment"}
    for one in (new, gone):
        SCHEMA.validate(as_data(one))


def test_past_its_budget_a_plan_claims_nothing() -> None:
    found = made(edited("catch-all removed"), budget=Budget(1))
    assert not found.complete
    assert not found.no_op
    assert [mark.guard for mark in found.marks][-1] == "incomplete"
    assert forbidden(found, ["any"])


def test_within_looks_at_such_requests_only() -> None:
    new = edited("threshold moved").replace("weight: 9", "weight: 4")
    assert {one.effect for one in made(new).moved} > {"weights"}
    found = made(new, within=ClientIn(Globs(("eval-*",))))
    assert found.moved == ()
    assert found.within is not None
    assert not made(new).within


def test_the_schema_is_fresh_and_legal() -> None:
    Draft7Validator.check_schema(generate())
    path = REPOSITORY / "schema" / FILE_NAME
    assert path.read_text(encoding="utf-8") == render(generate()), "run: python -m ccx.plan.schema"


def test_a_saved_plan_is_read_back() -> None:
    found = made(edited("threshold moved"))
    saved = read_plan(render_json(found))
    assert (saved.old, saved.new, saved.digest) == (found.old, found.new, found.digest)
    assert (saved.complete, saved.no_op, saved.within) == (True, False, None)
    assert read_plan(render_json(found).encode()).digest == found.digest


def changed(text: str, *path: str | int, to: Any) -> str:
    data: Any = json.loads(text)
    here = data
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = to
    return json.dumps(data)


def test_a_saved_plan_that_was_changed_is_refused() -> None:
    text = render_json(made(edited("catch-all removed")))
    for path, to in (
        (["changes", 0, "effect"], "treatment"),
        (["changes", 0, "regions", 0, "words"], "nothing"),
        (["changes"], []),
        (["marks"], []),
        (["no_op"], True),
        (["new", "digest"], "0" * 64),
        (["edits", 0, "name"], "x"),
        (["digest"], "sha256:" + "0" * 64),
        (["within"], "every request"),
    ):
        with pytest.raises(SavedPlanError, match="changed after"):
            read_plan(changed(text, *path, to=to))
    # What is not bound may be called otherwise, and a later minor version may add what is bound then.
    for path, to in (
        (["spec"], "y"),
        (["old", "name"], "y"),
        (["edits", 0, "place"], None),
        (["analysis"], {}),
        (["replay"], {}),
    ):
        read_plan(changed(text, *path, to=to))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a saved plan"),
        ("[]", "no format_version"),
        ('{"format_version": 1}', "no format_version"),
        ('{"format_version": "2.0"}', "format 2.0"),
        ('{"format_version": "1.9"}', "damaged"),
        ("[" * 100_000, "not a saved plan"),
        (b"\xff", "not a saved plan"),
    ],
)
def test_what_is_no_saved_plan(text: str, said: str) -> None:
    with pytest.raises(SavedPlanError, match=said):
        read_plan(text)
    good = render_json(made(SPEC))
    for path, to in ((["old"], {}), (["old", "name"], 1), (["complete"], "yes"), (["new"], None)):
        with pytest.raises(SavedPlanError, match="damaged"):
            read_plan(changed(good, *path, to=to))
