"""What was published stays legal: the schemas of the last release against those of now, and the check itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from ccx.spec.compat import breaking, main
from ccx.spec.schema import embedded

ROOT = Path(__file__).parents[2]
PUBLISHED = Path(__file__).with_name("published")
"""The schemas as last released. A release copies those of `schema/` here."""
ACCEPTED = Path(__file__).with_name("accepted.json")
"""Breaks that were decided on, each with its reason. A release empties it."""


def test_what_was_published_is_still_legal(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([str(PUBLISHED), str(ROOT / "schema"), str(ACCEPTED)])
    assert (code, capsys.readouterr().out) == (0, ""), "accept it there with its reason, or do it otherwise"


def test_a_break_is_accepted_by_its_line_and_only_while_it_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, accepted = tmp_path / "old", tmp_path / "new", tmp_path / "accepted.json"
    for folder, fields in ((old, {"a": {}, "b": {}}), (new, {"a": {}})):
        folder.mkdir()
        (folder / "x.json").write_text(
            json.dumps({"type": "object", "properties": fields, "additionalProperties": False})
        )
    arguments = [str(old), str(new), str(accepted)]
    accepted.write_text("{}")
    assert main(arguments) == 1
    line = capsys.readouterr().out.strip()
    assert "FIELD_REMOVED" in line
    accepted.write_text(json.dumps({line: "nobody had it"}))
    assert main(arguments) == 0
    accepted.write_text(json.dumps({line: "nobody had it", "x.json: c: FIELD_REMOVED: gone": "long ago"}))
    assert main(arguments) == 1
    assert "no break any more: x.json: c" in capsys.readouterr().out
    accepted.write_text(json.dumps({line: " "}))
    assert main(arguments) == 64
    assert "reason" in capsys.readouterr().err


def test_every_schema_breaks_nothing_against_itself() -> None:
    for path in (ROOT / "schema").glob("*.json"):
        schema = json.loads(path.read_text())
        assert breaking(schema, schema) == ()


def changed(change: Callable[[Any], object]) -> list[tuple[str, str]]:
    """The breaks after a change of the real schema."""
    new = copy.deepcopy(embedded())
    change(new)
    Draft7Validator.check_schema(new)
    return [(one.rule, one.path) for one in breaking(embedded(), new)]


def of(schema: Any, name: str) -> Any:
    return schema["definitions"][name]["properties"]


BREAKS: list[tuple[Callable[[Any], object], list[tuple[str, str]]]] = [
    (lambda s: s["properties"].pop("tokens"), [("FIELD_REMOVED", "tokens")]),
    (lambda s: of(s, "Server").pop("drain"), [("FIELD_REMOVED", "server.drain")]),
    (lambda s: s["required"].append("routes"), [("FIELD_REQUIRED", "routes")]),
    (lambda s: s["definitions"]["Deny"]["required"].append("status"), [("FIELD_REQUIRED", "routes[].deny.status")]),
    (lambda s: of(s, "Deny")["status"].update(default=404), [("DEFAULT_CHANGED", "routes[].deny.status")]),
    (lambda s: of(s, "Server")["direct"].pop("default"), [("DEFAULT_CHANGED", "server.direct")]),
    (lambda s: of(s, "Deny")["status"].update(maximum=450), [("BOUND_TIGHTENED", "routes[].deny.status")]),
    (lambda s: of(s, "Deny")["status"].update(minimum=401), [("BOUND_TIGHTENED", "routes[].deny.status")]),
    (lambda s: of(s, "Deny")["status"].update(multipleOf=2), [("CONSTRAINT_CHANGED", "routes[].deny.status")]),
    (lambda s: of(s, "Deny")["message"].update(pattern="^A"), [("PATTERN_CHANGED", "routes[].deny.message")]),
    (lambda s: of(s, "Server")["listen"].update(pattern="^127"), [("PATTERN_CHANGED", "server.listen")]),
    (lambda s: of(s, "Deny")["message"].update(type="integer"), [("TYPE_NARROWED", "routes[].deny.message")]),
    (lambda s: of(s, "Logs")["format"]["enum"].remove("text"), [("VALUE_REMOVED", "telemetry.logs.format")]),
    (lambda s: of(s, "Group")["balance"]["enum"].remove("weighted"), [("VALUE_REMOVED", "routes[].to[].balance")]),
    (lambda s: s["properties"]["channels"].update(minProperties=2), [("BOUND_TIGHTENED", "channels")]),
    (lambda s: s["properties"]["models"].update(additionalProperties=False), [("TYPE_NARROWED", "models")]),
    (lambda s: of(s, "Price")["input"].update(anyOf=[{"type": "number", "minimum": 0}]),
     [("TYPE_NARROWED", "models.*.price.input")]),
    (lambda s: s["definitions"]["When"]["properties"].pop("stream"), [("FIELD_REMOVED", "*")]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "wanted"), BREAKS)
def test_breaks(change: Callable[[Any], object], wanted: list[tuple[str, str]]) -> None:
    found = changed(change)
    if wanted[0][1] == "*":  # in many places
        assert {rule for rule, _ in found} == {wanted[0][0]}
        assert ("FIELD_REMOVED", "routes[].when.stream") in found
        return
    assert set(wanted) <= set(found)
    assert {rule for rule, _ in found} == {wanted[0][0]}


ADDITIONS: list[Callable[[Any], object]] = [
    lambda s: s["properties"].update(extra={"type": "string"}),
    lambda s: of(s, "Server").update(extra={"type": "integer", "default": 3}),
    lambda s: s["required"].clear(),
    lambda s: of(s, "Deny")["status"].update(maximum=599, minimum=300),
    lambda s: of(s, "Deny")["message"].pop("maxLength"),
    lambda s: of(s, "Server")["listen"].pop("pattern"),
    lambda s: of(s, "Logs")["format"]["enum"].append("xml"),
    lambda s: of(s, "Deny")["status"].update(type="number", description="other words"),
    lambda s: of(s, "Deny").update(message={"anyOf": [of(s, "Deny")["message"], {"type": "integer"}]}),
    lambda s: s.update(title="another", examples=[]),
    lambda s: s["definitions"].update(Unused={"type": "string"}),
]


@pytest.mark.parametrize("change", ADDITIONS)
def test_additions_are_no_breaks(change: Callable[[Any], object]) -> None:
    assert changed(change) == []


def test_files_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    (old / "x.json").write_text(json.dumps(schema))
    (old / "y.json").write_text("{}")
    (new / "x.json").write_text(json.dumps({**schema, "properties": {}}))
    (new / "z.json").write_text("{}")
    assert main([str(old), str(new)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "x.json: a: FIELD_REMOVED: the field is gone",
        "y.json: FILE_REMOVED: the schema is gone",
    ]
    assert main([str(old / "x.json"), str(old / "x.json")]) == 0
    assert main([str(old)]) == 64
    assert main([str(old / "x.json"), str(new / "none.json")]) == 64
    (new / "bad.json").write_text("{")
    assert main([str(old / "x.json"), str(new / "bad.json")]) == 64
    assert "compat:" in capsys.readouterr().err


scalars = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "pattern": "^a"},
        {"type": "string", "maxLength": 1},
        {"type": "integer"},
        {"type": "number"},
        {"type": "integer", "minimum": 2},
        {"type": "boolean"},
        {"enum": ["a", "bb", 1]},
        {"const": "a"},
        {"type": ["string", "null"]},
        {},
    ]
)
schemas = st.recursive(
    scalars,
    lambda inner: (
        st.builds(lambda *parts: {"anyOf": list(parts)}, inner, inner)
        | st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 2))
        | st.builds(
            lambda fields, required, free: {
                "type": "object",
                "properties": fields,
                "required": [name for name in fields if name in required],
                "additionalProperties": free,
            },
            st.dictionaries(st.sampled_from("pq"), inner, max_size=2),
            st.sets(st.sampled_from("pq")),
            st.booleans() | inner,
        )
    ),
    max_leaves=5,
)
values = st.recursive(
    st.sampled_from(["a", "bb", "", 0, 1, 2, 3.5, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("pqr"), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(schemas, schemas, st.lists(values, min_size=1, max_size=12))
def test_without_breaks_whatever_was_legal_is(old: Any, new: Any, tried: list[Any]) -> None:
    if breaking(old, new):
        return
    before, after = Draft7Validator(old), Draft7Validator(new)
    for value in tried:
        assert not before.is_valid(value) or after.is_valid(value), value


def test_a_name_that_could_hold_anything_is_not_narrowed() -> None:
    old = {"type": "object", "properties": {}}
    new = {"type": "object", "properties": {"p": {"type": "array"}}}
    assert [(found.rule, found.path) for found in breaking(old, new)] == [("TYPE_NARROWED", "p")]
    closed = {**old, "additionalProperties": False}
    assert breaking(closed, {**new, "additionalProperties": False}) == ()
