"""JSON Schemas from and for Gemini.

Law
- Reading: Gemini's own Schema (an OpenAPI subset, types in capitals, `nullable`, limits as text) becomes JSON Schema.
- Writing: always JSON Schema (`parametersJsonSchema`, `responseJsonSchema`), which is a field of the API and not of a
  model, brought into the documented subset. Local references are put in place; recursive ones stay references to
  `$defs`, which the API unrolls. A keyword outside the subset is told in the description, where the model still reads
  it, and named to the caller; one without meaning for a model (`$schema`, `$id`) just goes.
- The work is bounded: beyond a number of nodes references are no longer put in place.

Sources: https://ai.google.dev/api/caching#Schema, https://ai.google.dev/api/generate-content#generationconfig
(responseJsonSchema), https://ai.google.dev/gemini-api/docs/structured-output#json_schema_support
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import msgspec

from ccx.protocols.gemini.spelling import TYPES, integer
from ccx.protocols.ir import Json, JsonObject

MAX_INLINED: Final = 2000
"""Nodes of a schema up to which references are put in place."""

_KEPT: Final = frozenset(
    {"type", "format", "title", "description", "minItems", "maxItems", "minimum", "maximum", "default"}
    | {"propertyOrdering", "required"}
)
_LEAF: Final = _KEPT - {"required"}
_SILENT: Final = frozenset(
    {"$schema", "$id", "id", "$comment", "$anchor", "$vocabulary", "$defs", "definitions", "$dynamicAnchor"}
)
_UNIONS: Final = frozenset({"anyOf", "oneOf"})
_MAX_TOLD: Final = 300  # characters of a keyword's value in a description

_SNAKE: Final = {
    "any_of": "anyOf",
    "one_of": "oneOf",
    "all_of": "allOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "property_ordering": "propertyOrdering",
    "prefix_items": "prefixItems",
    "additional_properties": "additionalProperties",
    "unique_items": "uniqueItems",
    "defs": "$defs",
    "ref": "$ref",
}
_COUNTS: Final = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_NAMES: Final = {name: name.lower() for name in TYPES.values()}
_STANDARD: Final = frozenset(_NAMES.values())
_SIMPLE: Final = frozenset({"type", "description", "title", "default", "minimum", "maximum", "pattern", "enum"})

_dumps = msgspec.json.Encoder().encode


# --- reading ----------------------------------------------------------------------------------------------------------


def json_schema(schema: JsonObject) -> JsonObject:
    """A schema in Gemini's form, or in JSON Schema already, as JSON Schema; the same object if it was one."""
    type_ = schema.get("type")
    if isinstance(type_, str) and type_ in _STANDARD and schema.keys() <= _SIMPLE:
        return schema
    found: JsonObject = {}
    changed = False
    for key, value in schema.items():
        name = _SNAKE.get(key, key)
        new: Json = value
        match name:
            case "type":
                new = _type(value)
            case "properties" | "$defs" | "definitions" if isinstance(value, dict):
                inner: JsonObject = {one: _sub(item) for one, item in value.items()}
                new = inner if any(inner[one] is not value[one] for one in value) else value
            case "anyOf" | "oneOf" | "allOf" | "prefixItems" if isinstance(value, list):
                listed = [_sub(item) for item in value]
                new = listed if any(one is not old for one, old in zip(listed, value, strict=True)) else value
            case "items" | "additionalProperties" | "not":
                new = _sub(value)
            case "$ref" if isinstance(value, str) and value.startswith("#/defs/"):
                new = f"#/$defs/{value.removeprefix('#/defs/')}"
            case _ if name in _COUNTS and isinstance(value, str):
                new = number if (number := integer(value)) is not None else value
        if name == "nullable" or (name == "format" and value == "enum") or (name == "type" and new is None):
            changed = True
            continue
        changed = changed or name != key or new is not value
        if name == "example":
            name, new, changed = "examples", [value], True
        found[name] = new
    if schema.get("nullable") is True:
        _allow_null(found)
    return found if changed else schema


def _sub(value: Json) -> Json:
    return json_schema(value) if isinstance(value, dict) else value


def _type(value: Json) -> Json:
    if isinstance(value, int) and not isinstance(value, bool):
        return _NAMES.get(TYPES.get(value, ""))
    if isinstance(value, str):
        return None if value == "TYPE_UNSPECIFIED" else _NAMES.get(value, value)
    if isinstance(value, list) and any(one in _NAMES for one in value if isinstance(one, str)):
        return [_type(one) for one in value]
    return value


def _allow_null(schema: JsonObject) -> None:
    type_, union = schema.get("type"), schema.get("anyOf")
    if isinstance(type_, str) and type_ != "null":
        schema["type"] = [type_, "null"]
        if isinstance(values := schema.get("enum"), list) and None not in values:
            schema["enum"] = [*values, None]
    elif isinstance(union, list) and {"type": "null"} not in union:
        schema["anyOf"] = [*union, {"type": "null"}]


# --- writing ----------------------------------------------------------------------------------------------------------


def cleaned(schema: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """A schema within the subset, and the keywords that could not be said in it."""
    cleaner = _Cleaner(schema)
    return cleaner.root(), tuple(sorted(cleaner.told))


def cleaned_parameters(schema: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """The same for the parameters of a function, which are an object."""
    found, told = cleaned(schema)
    if found.get("type") == "object":
        return found, told
    plain = found.get("type") is None and not _UNIONS & found.keys() and "$ref" not in found
    if plain:
        return {"type": "object", **found}, told
    kept: JsonObject = {key: found[key] for key in ("description", "title", "properties", "required") if key in found}
    return _with_definitions({"type": "object", **kept}, found.get("$defs")), (*told, "root")


def _with_definitions(schema: JsonObject, definitions: Json) -> JsonObject:
    """A clean schema, and those of the definitions that can be reached from it."""
    if not isinstance(definitions, dict) or not definitions:
        return schema
    found: set[str] = set()
    waiting: list[Json] = [schema]
    while waiting:
        at = waiting.pop()
        if isinstance(at, list):
            waiting.extend(at)
        elif isinstance(at, dict):
            name = pointer.removeprefix("#/$defs/") if isinstance(pointer := at.get("$ref"), str) else None
            if name is not None and name not in found:
                found.add(name)
                waiting.append(definitions.get(name))
            waiting.extend(at.values())
    if not found:
        return schema
    return {**schema, "$defs": {name: one for name, one in definitions.items() if name in found}}


class _Cleaner:
    """Cleans one schema. `told`: keywords outside the subset that were met."""

    def __init__(self, schema: JsonObject) -> None:
        self.told: set[str] = set()
        self._root = schema
        self._nodes = 0
        self._recursive: set[str] = set()
        self._defs: JsonObject = {}
        self._names: dict[str, str] = {}  # of definitions, by pointer

    def root(self) -> JsonObject:
        found = self._node(self._root, ("#",))
        if "#" in self._recursive:
            self._defs[self._name("#")] = {} if found == {"$ref": f"#/$defs/{self._name('#')}"} else dict(found)
        # The root says what it is itself: parameters must be an object at sight.
        seen: set[str] = set()
        while isinstance(pointer := found.get("$ref"), str) and pointer not in seen:
            seen.add(pointer)
            target = self._defs[pointer.removeprefix("#/$defs/")]
            found = dict(target) if isinstance(target, dict) else {}
        return _with_definitions(found, self._defs)

    def _node(self, schema: Json, within: tuple[str, ...]) -> JsonObject:
        self._nodes += 1
        if not isinstance(schema, dict):
            if schema is False:
                self.told.add("false")
            return {}
        if schema.keys() <= _LEAF:
            return dict(schema)
        if "$ref" in schema:
            return self._reference(schema, within)
        found: JsonObject = {}
        said: list[str] = []
        for key, value in schema.items():
            if key in _KEPT:
                found[key] = value
            elif key == "properties" and isinstance(value, dict):
                found[key] = {name: self._node(one, within) for name, one in value.items()}
            elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
                if isinstance(value, list):
                    found["prefixItems"] = [self._node(one, within) for one in value]
                else:
                    found[key] = self._node(value, within)
            elif key == "additionalProperties" and isinstance(value, bool):
                found[key] = value
            elif key == "prefixItems" and isinstance(value, list):
                found[key] = [self._node(one, within) for one in value]
            elif key in _SILENT or key.startswith("x-"):
                continue
            elif key not in _UNIONS | {"allOf"} or not isinstance(value, list):
                self._other(key, value, found, said)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                self._union(key, schema[key], found, within)
        if isinstance(parts := schema.get("allOf"), list):
            for one in parts:
                self._merge(found, self._node(one, within))
        if "required" in found:
            self._required(found)
        if said:
            words = found.get("description")
            found["description"] = " ".join([*([words] if isinstance(words, str) else []), f"({', '.join(said)})"])
        return found

    def _other(self, key: str, value: Json, found: JsonObject, said: list[str]) -> None:
        match key, value:
            case "enum", list():
                self._enum(value, found, said)
            case "const", str() | int() | float() if not isinstance(value, bool):
                found["enum"] = [value]
            case "exclusiveMinimum" | "exclusiveMaximum", int() if not isinstance(value, bool):
                bound, step = ("minimum", 1) if key == "exclusiveMinimum" else ("maximum", -1)
                found.setdefault(bound, value + step)
                self._tell(key, value, said)
            case _:
                self._tell(key, value, said)

    def _tell(self, key: str, value: Json, said: list[str]) -> None:
        self.told.add(key)
        text = _dumps(value).decode("utf-8", "surrogatepass")
        if len(text) <= _MAX_TOLD:
            said.append(f"{key}: {text}")

    def _enum(self, values: list[Json], found: JsonObject, said: list[str]) -> None:
        """An enum of strings and numbers; null in it is a type, and other values are told."""
        kept = [one for one in values if isinstance(one, str | int | float) and not isinstance(one, bool)]
        if kept and len(kept) + values.count(None) == len(values):
            found["enum"] = list(kept)
        else:
            self._tell("enum", list(values), said)

    def _union(self, key: str, branches: Json, found: JsonObject, within: tuple[str, ...]) -> None:
        if not isinstance(branches, list):
            return
        cleaned = [self._node(one, within) for one in branches]
        if "anyOf" in found:
            self.told.add(key)
        else:
            found["anyOf"] = list(cleaned)

    def _merge(self, found: JsonObject, part: JsonObject) -> None:
        """One branch of an `allOf`, merged into what holds it."""
        if "$ref" in part:
            self.told.add("allOf")
            return
        for key, value in part.items():
            there = found.get(key)
            if there is None:
                found[key] = value
            elif key == "properties" and isinstance(there, dict) and isinstance(value, dict):
                if any(name in there and there[name] != one for name, one in value.items()):
                    self.told.add("allOf")
                found[key] = {**value, **there}
            elif key == "required" and isinstance(there, list) and isinstance(value, list):
                found[key] = [*there, *(one for one in value if one not in there)]
            elif there != value and key not in ("description", "title", "default"):
                self.told.add("allOf")

    def _required(self, found: JsonObject) -> None:
        """Names that are required must be declared, and a list of none is refused."""
        required = found["required"]
        if not isinstance(required, list):
            del found["required"]
            return
        properties = found.get("properties")
        known = properties if isinstance(properties, dict) else {}
        kept = [one for one in required if isinstance(one, str) and one in known]
        if len(kept) != len(required):
            self.told.add("required")
        if kept:
            found["required"] = list(kept)
        else:
            del found["required"]

    # --- references

    def _reference(self, schema: JsonObject, within: tuple[str, ...]) -> JsonObject:
        pointer = schema["$ref"]
        target = self._resolved(pointer) if isinstance(pointer, str) else None
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if target is None or not isinstance(pointer, str):
            self.told.add("$ref")
            return self._node(rest, within)
        found = self._inlined(pointer, target, within)
        if "$ref" in found or not rest.keys() - _SILENT:
            return found
        beside = self._node(rest, within)
        return {**found, **beside}

    def _inlined(self, pointer: str, target: Json, within: tuple[str, ...]) -> JsonObject:
        reference: JsonObject = {"$ref": f"#/$defs/{self._name(pointer)}"}
        if pointer in within:
            self._recursive.add(pointer)
            self.told.add("$ref")
            return reference
        if self._name(pointer) in self._defs:
            return reference
        hoisted = self._nodes > MAX_INLINED
        if hoisted:
            # In place before it is known, so that a schema of references only is walked once.
            self._defs[self._name(pointer)] = {}
        found = self._node(target, (*within, pointer))
        if found == reference:
            # It refers to nothing but itself.
            self._defs.pop(self._name(pointer), None)
            return {}
        if hoisted or pointer in self._recursive:
            self._defs[self._name(pointer)] = found
            return reference
        return found

    def _resolved(self, pointer: str) -> Json:
        """What a local JSON Pointer points to; None where there is nothing."""
        if pointer != "#" and not pointer.startswith("#/"):
            return None
        at: Json = self._root
        for token in pointer.split("/")[1:]:
            token = unquote(token).replace("~1", "/").replace("~0", "~")
            if isinstance(at, dict):
                at = at.get(token)
            elif isinstance(at, list) and token.isdecimal() and int(token) < len(at):
                at = at[int(token)]
            else:
                return None
        return at

    def _name(self, pointer: str) -> str:
        """The name of a definition, short and unlike any other."""
        found = self._names.get(pointer)
        if found is None:
            base = "".join(one if one.isalnum() else "_" for one in pointer.rpartition("/")[2]) or "root"
            found, number = base, 2
            while found in self._names.values():
                found, number = f"{base}_{number}", number + 1
            self._names[pointer] = found
        return found
