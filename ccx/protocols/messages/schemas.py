"""JSON Schemas as structured output of Messages takes them: a subset in which every object is closed.

Law: what is outside the subset is left out of the grammar and told in the description, where the model still reads it;
a schema within the subset is the same object, untouched. The caller is told whether anything changed.

Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema limitations)
"""

from __future__ import annotations

from typing import Final

import msgspec

from ccx.protocols.ir import Json, JsonObject

_UNSUPPORTED: Final = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "contains",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
)
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_MAPS: Final = frozenset({"properties", "$defs", "definitions"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})

_dumps = msgspec.json.Encoder().encode


def closed(schema: JsonObject) -> tuple[JsonObject, bool]:
    """A schema within the subset, and whether it differs from the one given."""
    found = _schema(schema)
    return found, found is not schema


def _schema(schema: JsonObject) -> JsonObject:
    found: JsonObject = {}
    told: list[str] = []
    changed = False
    for key, value in schema.items():
        if _refused(key, value):
            told.append(f"{key}: {_dumps(value).decode('utf-8', 'surrogatepass')}")
            continue
        kept = _value(key, value)
        changed = changed or kept is not value
        if key == "oneOf":
            key, changed = "anyOf", True
        found[key] = kept
    is_object = schema.get("type") == "object" or ("properties" in schema and "type" not in schema)
    if is_object and found.get("additionalProperties") is not False:
        found["additionalProperties"] = False
        changed = True
    if told:
        words = found.get("description")
        found["description"] = " ".join([*([words] if isinstance(words, str) else []), f"({', '.join(told)})"])
    return found if changed or told else schema


def _refused(key: str, value: Json) -> bool:
    match key:
        case "minItems":
            return value not in (0, 1)
        case "format":
            return not isinstance(value, str) or value not in _FORMATS
        case _:
            return key in _UNSUPPORTED


def _value(key: str, value: Json) -> Json:
    if isinstance(value, dict):
        if key in _MAPS:
            inner = {name: _schema(one) if isinstance(one, dict) else one for name, one in value.items()}
            return inner if any(inner[name] is not value[name] for name in value) else value
        return _schema(value) if key in ("items", "not", "additionalProperties") else value
    if isinstance(value, list) and key in _LISTS:
        several = [_schema(one) if isinstance(one, dict) else one for one in value]
        return several if any(new is not old for new, old in zip(several, value, strict=True)) else value
    return value
