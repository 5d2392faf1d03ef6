"""Instances satisfy their schemas; jsonschema is the judge."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.upstream.demo.instance import instance
from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

TREE: Any = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
    "$ref": "#/$defs/node",
}
CASES: list[tuple[Any, Any]] = [
    (SCHEMA, ARGUMENTS),
    (True, "demo"),
    ({}, "demo"),
    ({"type": ["string", "null"]}, "demo"),
    ({"const": {"a": 1}}, {"a": 1}),
    ({"enum": [3, 4]}, 3),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({"type": "string", "minLength": 6}, "demooo"),
    ({"type": "string", "maxLength": 2}, "de"),
    ({"type": "string", "pattern": "^[A-Z]{2}$"}, "DE"),
    ({"type": "string", "pattern": r"^\d{4}$"}, "1234"),
    ({"type": "number", "minimum": 2.5}, 2.5),
    ({"type": "integer", "exclusiveMinimum": 1}, 2),
    ({"type": "integer", "maximum": -3}, -3),
    ({"type": "integer", "multipleOf": 7, "minimum": 8}, 14),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
    ({"type": "array", "items": {"type": "string"}}, []),
    ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["demo", "demo"]),
    ({"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True}, ["demo", "demo1"]),
    ({"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "uniqueItems": True}, [1, 2]),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "uniqueItems": True}, [True, False]),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]}, [1, None]),
    ({"type": "array", "contains": {"const": 5}, "minContains": 2}, [5, 5]),
    ({"required": ["a"], "properties": {"a": {"$ref": "#/properties/b"}, "b": {"type": "integer"}}}, {"a": 1}),
    ({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1}, {"a": "demo"}),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2}, {"demo0": 1, "demo1": 1}),
    (
        {"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"], "b": ["c"]}},
        {"a": "demo", "b": "demo", "c": "demo"},
    ),
    (
        {"allOf": [{"type": "object", "required": ["a"]}, {"required": ["b"], "properties": {"b": {"type": "null"}}}]},
        {"a": "demo", "b": None},
    ),
    ({"anyOf": [False, {"type": "integer"}]}, 1),
    (
        {
            "type": "object",
            "required": ["kind"],
            "oneOf": [{"properties": {"kind": {"const": "x"}}}, {"properties": {"kind": {"const": "y"}}}],
        },
        {"kind": "x"},
    ),
    ({"anyOf": [{"type": "string"}, {"type": "null"}], "minLength": 5}, "demoo"),
    (TREE, {"value": 1, "next": None}),
    ({"$defs": {"a~b/c": {"const": 9}}, "$ref": "#/$defs/a~0b~1c"}, 9),
]


@pytest.mark.parametrize(("schema", "expected"), CASES, ids=lambda value: json.dumps(value)[:60])
def test_cases(schema: Any, expected: Any) -> None:
    made = instance(schema)
    assert made == expected
    assert type(made) is type(expected)
    jsonschema.Draft202012Validator(schema).validate(made)


@pytest.mark.parametrize("name", ["date-time", "date", "email", "uuid", "ipv4", "ipv6", "uri", "hostname"])
def test_formats(name: str) -> None:
    schema = {"type": "string", "format": name}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(instance(schema))


def test_schemas_of_gemini() -> None:
    schema = {
        "type": "OBJECT",
        "properties": {
            "days": {"type": "ARRAY", "minItems": "2", "items": {"type": "INTEGER"}},
            "no": {"type": "STRING"},
        },
        "required": ["days"],
    }
    assert instance(schema) == {"days": [1, 1]}


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": [], "type": "integer", "minimum": 3, "maximum": 2},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "array", "minItems": 10**9, "items": {}},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_what_has_no_instance_is_null(schema: Any) -> None:
    assert instance(schema) is None


def test_hostile_schemas_end() -> None:
    fan: Any = {
        f"d{level}": {"type": "array", "minItems": 9, "items": {"$ref": f"#/$defs/d{level + 1}"}} for level in range(40)
    }
    assert instance({"$defs": fan, "$ref": "#/$defs/d0"}) is None
    deep: Any = {"type": "integer"}
    for _ in range(5000):
        deep = {"type": "array", "minItems": 1, "items": deep}
    assert instance(deep) is None
    assert instance({"type": "string", "pattern": "("}) == "demo"


BOUND = st.integers(-20, 20)
SIMPLE = st.one_of(
    st.builds(
        lambda kind, low, extra: {"type": kind, "minimum": low, "maximum": low + extra},
        st.sampled_from(["integer", "number"]),
        BOUND,
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, step: {"type": "integer", "exclusiveMinimum": low, "multipleOf": step}, BOUND, st.integers(1, 9)
    ),
    st.builds(
        lambda low, extra: {"type": "string", "minLength": low, "maxLength": low + extra},
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    st.builds(
        lambda values: {"enum": values}, st.lists(st.one_of(BOUND, st.text(), st.none()), min_size=1, max_size=3)
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, True, {"type": ["null", "string"]}]),
)


def compound(children: Any) -> Any:
    return st.one_of(
        st.builds(
            lambda members, cut: {
                "type": "object",
                "properties": members,
                "required": sorted(members)[cut:],
                "additionalProperties": False,
            },
            st.dictionaries(st.text(max_size=4), children, max_size=4),
            st.integers(0, 4),
        ),
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least}, children, st.integers(0, 3)
        ),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(children, min_size=1, max_size=3)),
    )


@given(st.recursive(SIMPLE, compound, max_leaves=12))
def test_instances_satisfy_their_schema(schema: Any) -> None:
    jsonschema.Draft202012Validator(schema).validate(instance(schema))
