"""Schemas: Gemini's own form read, JSON Schema brought into the subset."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.protocols.gemini.schemas import cleaned, cleaned_parameters, json_schema
from tests.protocols.gemini import legal


@pytest.mark.parametrize(
    ("own", "standard"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "INTEGER", "format": "int32"}, {"type": "integer", "format": "int32"}),
        (
            {"type": 5, "items": {"type": 1}, "maxItems": "3"},
            {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        ),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "TYPE_UNSPECIFIED", "description": "d"}, {"description": "d"}),
        (
            {"any_of": [{"type": "NUMBER"}], "property_ordering": ["a"]},
            {"anyOf": [{"type": "number"}], "propertyOrdering": ["a"]},
        ),
        ({"type": "STRING", "example": "x"}, {"type": "string", "examples": ["x"]}),
        (
            {"type": "OBJECT", "properties": {"any_of": {"ref": "#/defs/P"}}, "defs": {"P": {"type": "NULL"}}},
            {"type": "object", "properties": {"any_of": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "null"}}},
        ),
    ],
)
def test_geminis_schema_as_json_schema(own: dict[str, Any], standard: dict[str, Any]) -> None:
    assert json_schema(own) == standard


def test_what_is_json_schema_already_is_the_same_object() -> None:
    schema: Any = {
        "type": "object",
        "properties": {"type": {"type": ["string", "null"]}, "b": {"anyOf": [{"type": "integer", "minimum": 1}]}},
        "required": ["type"],
        "default": {"type": "STRING"},
        "enum": [{"type": "STRING"}],
    }
    assert json_schema(schema) is schema


@pytest.mark.parametrize(
    ("schema", "written", "told"),
    [
        ({"$schema": "x", "$id": "y", "$comment": "z", "x-order": 1, "type": "string"}, {"type": "string"}, ()),
        ({"const": "a"}, {"enum": ["a"]}, ()),
        ({"const": True, "type": "boolean"}, {"type": "boolean", "description": "(const: true)"}, ("const",)),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1]}, ()),
        ({"enum": [True, {}]}, {"description": "(enum: [true,{}])"}, ("enum",)),
        ({"oneOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}]}, ()),
        (
            {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 5, "description": "d"},
            {"type": "integer", "minimum": 1, "description": "d (exclusiveMinimum: 0, multipleOf: 5)"},
            ("exclusiveMinimum", "multipleOf"),
        ),
        ({"type": "string", "pattern": "^a" * 200}, {"type": "string"}, ("pattern",)),
        (
            {"type": "object", "properties": {"a": True, "b": False}, "required": ["a", "zz"]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]},
            ("false", "required"),
        ),
        ({"type": "object", "properties": {}, "required": []}, {"type": "object", "properties": {}}, ()),
        (
            {"type": "array", "items": [{"type": "string"}, {"type": "number"}]},
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
            (),
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string", "maxLength": 2}},
            {"type": "object", "additionalProperties": {"type": "string", "description": "(maxLength: 2)"}},
            ("maxLength",),
        ),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "number"}}, "required": ["b"], "description": "d"},
                ]
            },
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "number"}},
                "required": ["a", "b"],
                "description": "d",
            },
            (),
        ),
        ({"type": "string", "allOf": [{"type": "number"}]}, {"type": "string"}, ("allOf",)),
        ({"if": {"type": "string"}, "then": {}}, {"description": '(if: {"type":"string"}, then: {})'}, ("if", "then")),
        ({"$ref": "https://example.com/x", "type": "string"}, {"type": "string"}, ("$ref",)),
        ({"$ref": "#/$defs/none", "description": "d"}, {"description": "d"}, ("$ref",)),
        (
            {"properties": {"a": {"$ref": "#/$defs/A", "description": "here"}}, "$defs": {"A": {"type": "string"}}},
            {"properties": {"a": {"type": "string", "description": "here"}}},
            (),
        ),
        (
            {
                "properties": {
                    "a": {"type": "string"},
                    "b": {"$ref": "#/properties/a"},
                    "c d": {"$ref": "#/properties/c%20d~1"},
                }
            },
            {"properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c d": {}}},
            ("$ref",),
        ),
    ],
)
def test_each_keyword(schema: dict[str, Any], written: dict[str, Any], told: tuple[str, ...]) -> None:
    found = cleaned(schema)
    assert found == (written, told)
    legal.check_schema(found[0])


NODE: dict[str, Any] = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
    "required": ["value"],
}


def test_recursion_stays_a_reference_to_a_definition() -> None:
    found, told = cleaned({"type": "object", "properties": {"head": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": NODE}})
    assert found == {
        "type": "object",
        "properties": {"head": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": NODE},
    }
    assert told == ("$ref",)


def test_a_root_that_is_a_reference_is_put_in_place() -> None:
    found, told = cleaned_parameters({"$ref": "#/$defs/Node", "$defs": {"Node": NODE, "Other": {"type": "null"}}})
    assert found == {**NODE, "$defs": {"Node": NODE}}
    assert told == ("$ref",)


def test_a_root_that_refers_to_itself() -> None:
    found, _ = cleaned({"type": "object", "properties": {"me": {"$ref": "#"}}})
    inner = {"type": "object", "properties": {"me": {"$ref": "#/$defs/_"}}}
    assert found == {**inner, "$defs": {"_": inner}}
    assert cleaned({"$ref": "#"})[0] == {}


@pytest.mark.parametrize(
    ("schema", "written", "told"),
    [
        ({}, {"type": "object"}, ()),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}, ()),
        (
            {"anyOf": [{"required": ["a"]}], "properties": {"a": {}}, "description": "d"},
            {"type": "object", "properties": {"a": {}}, "description": "d"},
            ("required", "root"),
        ),
        ({"type": "string"}, {"type": "object"}, ("root",)),
    ],
)
def test_parameters_are_an_object(schema: dict[str, Any], written: dict[str, Any], told: tuple[str, ...]) -> None:
    assert cleaned_parameters(schema) == (written, told)
