"""Groups and limits of models in a plan: what changed, and whom it concerns."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft7Validator

from ccx.plan.build import plan
from ccx.plan.effective import effective
from ccx.plan.json import as_data
from ccx.plan.model import Touched
from ccx.plan.schema import generate
from ccx.routing.canonical import table_json
from ccx.routing.compile import compile_spec
from ccx.routing.decode import table_of
from ccx.spec.document import Spec
from tests.plan.specs import side

OLD = """\
version: ccx/v1
clients:
  ann: {key: {sha256: "2222222222222222222222222222222222222222222222222222222222222222"}, tags: {team: core}}
  bob: {key: {sha256: "3333333333333333333333333333333333333333333333333333333333333333"}, tags: {team: ops}}
groups:
  core: {when: {tag: {team: core}}, limits: {requests: 600/min}, budget: {usd: 500, alerts: [80%, 100%]}}
channels:
  main: {provider: anthropic, keys: {env: K}}
models:
  claude-opus-4-1: {limits: {requests: 50/min}}
routes:
  - {name: opus, when: {model: claude-opus-*}, to: [{channel: main, model: claude-opus-4-1}]}
  - {name: rest, to: [main]}
"""


def changed(old: str, new: str) -> list[Touched]:
    made = plan(side(old), side(new), spec="ccx.yaml")
    assert not made.moved  # who may spend what moves no request
    return list(made.touched)


@pytest.mark.parametrize(
    ("before", "after", "fields", "clients"),
    [
        ("usd: 500", "usd: 900", {"budget": ("500", "900")}, ("ann",)),
        ("600/min", "60/min", {"limits.requests": ("600/min", "60/min")}, ("ann",)),
        ("[80%, 100%]", "50%", {"budget": ("alerts at 80%, 100%", "alerts at 50%")}, ("ann",)),
        ("tag: {team: core}", "tag: {team: '*'}", {"when.tag.team": ("core", "*")}, ("ann", "bob")),
    ],
)
def test_a_group_that_changes(
    before: str, after: str, fields: dict[str, tuple[str, str]], clients: tuple[str, ...]
) -> None:
    (touched,) = changed(OLD, OLD.replace(before, after))
    assert (touched.edit.kind, touched.edit.operation, touched.clients) == ("group", "edit", clients)
    assert [field.path for field in touched.edit.fields] == list(fields)
    for field, (was, now) in zip(touched.edit.fields, fields.values(), strict=True):
        assert was in (field.before or "")
        assert now in (field.after or "")
    assert touched.edit.place is not None
    assert touched.edit.place.span.line == 6


def test_a_group_that_comes_and_goes() -> None:
    without = OLD.replace(
        "  core: {when", "  other: {when: {client: nobody-*}, limits: {requests: 1/s}}\n  core: {when"
    )
    (added,) = changed(OLD, without)
    assert (added.edit.kind, added.edit.name, added.edit.operation, added.clients) == ("group", "other", "add", ())
    (removed,) = changed(without, OLD)
    assert removed.edit.operation == "remove"


def test_a_model_whose_limit_changes_names_its_routes() -> None:
    (touched,) = changed(OLD, OLD.replace("50/min", "[50/min, 1k/day]"))
    assert (touched.edit.kind, touched.edit.name, touched.routes) == ("model", "claude-opus-4-1", ("opus",))
    assert [(field.path, field.before, field.after) for field in touched.edit.fields] == [
        ("limits.requests", "50/min", "50/min, 1k/day")
    ]


def test_clients_of_a_group_are_in_the_json() -> None:
    made = plan(side(OLD), side(OLD.replace("usd: 500", "usd: 900")), spec="ccx.yaml")
    document = json.loads(json.dumps(as_data(made)))
    Draft7Validator(generate()).validate(document)
    assert document["touched"] == [{"edit": 0, "routes": [], "clients": ["ann"]}]


def test_a_spec_without_groups_has_the_digest_that_it_had() -> None:
    compiled = side(OLD.replace(OLD[OLD.index("groups:") : OLD.index("channels:")], "")).compiled
    data = table_json(compiled.table)
    assert b'"groups"' not in data
    assert b'"alerts"' not in data


def test_a_table_with_groups_reads_back() -> None:
    table = side(OLD).compiled.table
    assert table_of(table_json(table)) == table


def test_what_is_shown_compiles_to_the_same_table() -> None:
    one = side(OLD)
    assert one.locations is not None
    spec = Spec.model_validate(one.locations.root.value()) if one.locations.root is not None else None
    assert spec is not None
    shown = [found for found in effective(spec, one.compiled, one.locations) if found.path[0] == "groups"]
    values = {".".join(map(str, found.path)): found.value for found in shown}
    assert values == {
        "groups.core.when": {"tag": {"team": "core"}},
        "groups.core.limits.requests": "600/min",
        "groups.core.budget": {"usd": 500, "alerts": ["80%", "100%"]},
    }
    assert compile_spec(spec).digest == one.compiled.digest
