"""The JSON Schema of the spec language, for editors and for validation. Draft-07, which every editor reads.

Laws. It is generated from the models, never written by hand: `python -m ccx.spec.schema` writes the two copies in the
repository, and a test fails when they are stale. It accepts every form that the models accept, short ones included.
What a schema says badly (references, ranges, exactly one of) the models and `ccx.spec.references` check after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from ccx.spec.document import Spec
from ccx.spec.node import Node
from ccx.spec.scalars import COUNT_PATTERN, DURATION_PATTERN, SHARE_PATTERN, SIZE_PATTERN
from ccx.spec.suite import Suite
from ccx.spec.versions import v1alpha1

SCHEMA_ID: Final = "urn:ccx:schema:v1"
FILE_NAME: Final = "ccx.v1.json"
SUITE_SCHEMA_ID: Final = "urn:ccx:schema:test:v1"
SUITE_FILE_NAME: Final = "ccx-test.v1.json"
FILE_OF: Final[Mapping[type[Node], str]] = {Spec: FILE_NAME, Suite: SUITE_FILE_NAME}
"""The schema of each kind of file."""
_KEPT: Final = ("title", "description", "default", "examples")
_UNITS: Final[dict[str, tuple[tuple[int, str], ...]]] = {
    DURATION_PATTERN: ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")),
    SIZE_PATTERN: ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    COUNT_PATTERN: ((10**6, "M"), (10**3, "k"), (1, "")),
}

JsonObject = dict[str, Any]


def generate() -> JsonObject:
    """The schema of a spec, as made from the models."""
    example = {
        "version": "ccx/v1",
        "channels": {"main": {"provider": "anthropic", "keys": {"env": "ANTHROPIC_API_KEY"}}},
        "routes": [{"name": "default", "to": ["main"]}],
    }
    return _of(Spec, id=SCHEMA_ID, title="ccx gateway, ccx/v1", example=example)


def generate_suite() -> JsonObject:
    """The schema of a file of tests."""
    example = {
        "version": "ccx/v1",
        "spec": "ccx.yaml",
        "tests": [{"name": "Claude", "request": {"model": "claude-opus-5"}, "expect": {"target": "main"}}],
    }
    return _of(Suite, id=SUITE_SCHEMA_ID, title="ccx tests, ccx/v1", example=example)


def _of(model: type[Node], *, id: str, title: str, example: JsonObject) -> JsonObject:  # noqa: A002  # the schema's `$id`
    raw = model.model_json_schema(by_alias=True, mode="validation")
    definitions = raw.pop("$defs")
    root = _convert(raw)
    converted = {name: _convert(definitions[name]) for name in sorted(definitions)}
    for schema in (root, *converted.values()):
        for name, part in schema.get("properties", {}).items():
            schema["properties"][name] = _described(part, converted)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": id,
        "title": title,
        **{key: value for key, value in root.items() if key != "title"},
        "examples": [example],
        "definitions": converted,
    }


def render(schema: JsonObject) -> str:
    """The schema as text, the same for the same schema."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


@cache
def embedded_text(file: str = FILE_NAME) -> str:
    """The copy in the package."""
    return files("ccx.spec").joinpath(file).read_text(encoding="utf-8")


@cache
def embedded(file: str = FILE_NAME) -> JsonObject:
    """The copy in the package, parsed. Not to be changed."""
    schema: JsonObject = json.loads(embedded_text(file))
    return schema


def _described(part: JsonObject, definitions: JsonObject) -> JsonObject:
    """The property with a description: where it is that of what it refers to, pydantic leaves it out."""
    (reference,) = part.get("allOf", [part])[:1]
    if "description" in part or "$ref" not in reference:
        return part
    meant = definitions[reference["$ref"].rsplit("/", 1)[-1]]
    return {"allOf": [reference], "description": meant["description"], **{k: part[k] for k in _KEPT if k in part}}


def _convert(node: Any) -> Any:
    """One schema from pydantic's draft 2020-12 to draft-07."""
    if not isinstance(node, dict):
        return [_convert(item) for item in node] if isinstance(node, list) else node
    out: JsonObject = {}
    for key, value in node.items():
        match key:
            case "$ref":
                out["$ref"] = value.replace("#/$defs/", "#/definitions/")
            case "properties":
                out[key] = {name: _property(schema) for name, schema in value.items()}
            case "default" | "examples" | "enum" | "const" | "required":
                out[key] = value
            case _:
                out[key] = _convert(value)
    if out.get("type") == "array" and "minLength" in out:
        out["minItems"] = out.pop("minLength")
    _close_names(out)
    if "$ref" in out and len(out) > 1:
        # Draft-07 ignores what stands beside a $ref.
        out = {"allOf": [{"$ref": out.pop("$ref")}], **out}
    return out


def _close_names(out: JsonObject) -> None:
    """A mapping whose names have a form: a name of another form is an error, not a free property."""
    patterns = out.pop("patternProperties", None)
    if patterns is None:
        return
    (pattern, value), *more = patterns.items()
    if more:
        raise ValueError("a mapping has one form of names")
    names = {**out.get("propertyNames", {}), "type": "string", "pattern": pattern}
    out["propertyNames"] = _convert(names)
    out["additionalProperties"] = value


def _property(raw: JsonObject) -> JsonObject:
    """A property. Optional means absent, so `null` is no value; a default is shown as one would write it."""
    schema: JsonObject = _convert(raw)
    schema.pop("title", None)
    default = schema.get("default")
    if default is None:
        schema.pop("default", None)
        branches = schema.get("anyOf", ())
        if {"type": "null"} in branches:
            rest = [branch for branch in branches if branch != {"type": "null"}]
            schema.pop("anyOf")
            schema = _joined(rest, schema)
    elif isinstance(default, dict):
        schema.pop("default")
    elif isinstance(default, int) and not isinstance(default, bool):
        schema["default"] = _written(default, _pattern(schema))
    elif isinstance(default, str) and schema.get("pattern") == SHARE_PATTERN:
        schema["default"] = f"{float(Fraction(default) * 100):g}%"
    return schema


def _joined(branches: list[JsonObject], outer: JsonObject) -> JsonObject:
    if len(branches) > 1:
        return {"anyOf": branches, **outer}
    if "$ref" in branches[0]:
        return {"allOf": branches, **outer}
    kept = {key: value for key, value in outer.items() if key in _KEPT}
    return {**branches[0], **kept}


def _pattern(schema: JsonObject) -> str | None:
    patterns = [part.get("pattern") for part in (schema, *schema.get("anyOf", ()))]
    return next((pattern for pattern in patterns if pattern in _UNITS), None)


def _written(value: int, pattern: str | None) -> int | str:
    """A number as one would write it: 30000 milliseconds are `30s`."""
    for scale, unit in _UNITS.get(pattern or "", ()):
        if value and value % scale == 0 and (unit or pattern != COUNT_PATTERN):
            return f"{value // scale}{unit}"
    return value


def write(repository: Path) -> tuple[Path, ...]:
    """Write every schema in a checkout, those that the package needs twice; returns their paths. Raises OSError."""
    old = repository / "schema" / v1alpha1.FILE_NAME
    old.write_text(render(v1alpha1.schema()), encoding="utf-8")
    written = [old]
    for file, schema in ((FILE_NAME, generate()), (SUITE_FILE_NAME, generate_suite())):
        for folder in (repository / "schema", repository / "ccx" / "spec"):
            (folder / file).write_text(render(schema), encoding="utf-8")
            written.append(folder / file)
    return tuple(written)


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2])
