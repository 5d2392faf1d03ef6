"""Whether a newer JSON Schema of the language still takes every spec that an older one took: `buf breaking` for ours.

    python -m ccx.spec.compat OLD NEW      # two files, or two folders of files of the same names; exit 1 for a break

Laws. Pure but for the command at the end. What is only added is no break: fields that are optional, alternatives, wider
bounds. A break is a spec that was legal and is not, or that is legal and means something else because a default is
another. Where it cannot be decided whether something became narrower (a pattern that changed) it is called a break:
whoever knows better accepts it by name, with the reason, where the check is run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from jsonschema import Draft7Validator

Schema = Mapping[str, Any]
Rule = Literal[
    "FILE_REMOVED",
    "FIELD_REMOVED",
    "FIELD_REQUIRED",
    "TYPE_NARROWED",
    "VALUE_REMOVED",
    "DEFAULT_CHANGED",
    "PATTERN_CHANGED",
    "BOUND_TIGHTENED",
    "CONSTRAINT_CHANGED",
]

_LEAST: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_MOST: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_SAID: Final = frozenset(
    {"$schema", "$id", "title", "description", "examples", "default", "definitions", "deprecated", "$comment"}
)
_LOOKED_AT: Final = frozenset(
    {"type", "enum", "const", "pattern", "properties", "required", "additionalProperties", "propertyNames", "items"}
) | {*_LEAST, *_MOST, "$ref", "allOf", "anyOf"}
_UNIONS: Final = ("$ref", "allOf", "anyOf")
_ANYTHING: Final[Schema] = {}
_NO: Final = object()


@dataclass(frozen=True, slots=True, order=True)
class Break:
    """Something that was legal and is not any more, or means something else. `path` is that of the value in a spec."""

    path: str
    rule: Rule
    message: str

    def __str__(self) -> str:
        return f"{self.path or '(root)'}: {self.rule}: {self.message}"


def breaking(old: Schema, new: Schema) -> tuple[Break, ...]:
    """Every break between two schemas (draft-07), in the order of their paths."""
    return tuple(sorted(set(_Comparison(old, new).compare(old, new, ""))))


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old: Schema = old.get("definitions", {})
        self._new: Schema = new.get("definitions", {})
        self._root = new
        self._under_way: set[tuple[int, int]] = set()

    def compare(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        """The breaks of one value. A pair of schemas that is being compared already is taken for compatible."""
        pair = (id(old), id(new))
        if pair in self._under_way:
            return
        self._under_way.add(pair)
        try:
            before, after = old.get("default", _NO), new.get("default", _NO)
            if before is not _NO and before != after:
                shown = json.dumps(after) if after is not _NO else "none"
                yield Break(path, "DEFAULT_CHANGED", f"the default was {json.dumps(before)} and is {shown}")
            others = list(_branches(new, self._new))
            for branch in _branches(old, self._old):
                yield from self._taken(branch, others, new, path)
        finally:
            self._under_way.discard(pair)

    def _taken(self, old: Schema, others: Sequence[Schema], new: Schema, path: str) -> Iterator[Break]:
        """The breaks of one alternative of the old: none if one of the new takes all of it."""
        values = [old["const"]] if "const" in old else old.get("enum")
        if values is not None:
            legal = Draft7Validator({"definitions": self._new, "allOf": [new]})
            for value in values:
                if not legal.is_valid(value):
                    yield Break(path, "VALUE_REMOVED", f"{json.dumps(value)} is not legal any more")
            return
        best: list[Break] | None = None
        for other in others:
            if not _kind_fits(old, other):
                continue
            found = list(self._narrower(old, other, path))
            if best is None or len(found) < len(best):
                best = found
        if best is None:
            taken = " or ".join(dict.fromkeys(_kind(other) for other in others))
            yield Break(path, "TYPE_NARROWED", f"takes no {_kind(old)} any more, only {taken}")
        else:
            yield from best

    def _narrower(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        if "pattern" in new and new["pattern"] != old.get("pattern"):
            was = f"was {old['pattern']!r} and " if "pattern" in old else ""
            yield Break(path, "PATTERN_CHANGED", f"the pattern {was}is {new['pattern']!r}")
        for word in (*_LEAST, *_MOST):
            if word in new:
                before, after = old.get(word), new[word]
                if before is None or (after > before if word in _LEAST else after < before):
                    yield Break(path, "BOUND_TIGHTENED", f"{word} was {old.get(word, 'not given')} and is {new[word]}")
        for word in sorted(new.keys() - _SAID - _LOOKED_AT):
            if old.get(word, _NO) != new[word]:
                yield Break(path, "CONSTRAINT_CHANGED", f"`{word}` is another, or new")
        yield from self._fields(old, new, path)
        if "items" in new:
            yield from self.compare(old.get("items", _ANYTHING), new["items"], f"{path}[]")
        if "propertyNames" in new:
            yield from self.compare(old.get("propertyNames", _ANYTHING), new["propertyNames"], f"{path}.<name>")

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        before: Schema = old.get("properties", {})
        after: Schema = new.get("properties", {})
        others = new.get("additionalProperties", True)
        for name, schema in before.items():
            here = f"{path}.{name}" if path else name
            if name in after:
                yield from self.compare(schema, after[name], here)
            elif others is False:
                yield Break(here, "FIELD_REMOVED", "the field is gone")
            elif isinstance(others, Mapping):
                yield from self.compare(schema, others, here)
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                here = f"{path}.{name}" if path else name
                yield Break(here, "FIELD_REQUIRED", "the field was optional, or not there, and must be written")
        free = old.get("additionalProperties", True)
        if free is False:
            return
        for name in after.keys() - before.keys():
            # Any value could stand under this name before, or any of one kind.
            here = f"{path}.{name}" if path else name
            yield from self.compare(free if isinstance(free, Mapping) else _ANYTHING, after[name], here)
        if "additionalProperties" not in new:
            return
        if others is False:
            yield Break(path, "TYPE_NARROWED", "other names than those listed are not legal any more")
        elif isinstance(others, Mapping):
            here = f"{path}.*" if path else "*"
            yield from self.compare(free if isinstance(free, Mapping) else _ANYTHING, others, here)


def _branches(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """What a value may be: unions taken apart, references followed. What stands beside a union holds for each part."""
    own = {word: value for word, value in schema.items() if word not in (*_UNIONS, *_SAID)}
    parts: list[Schema] = []
    if "$ref" in schema:
        parts = list(_branches(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions))
    elif "anyOf" in schema:
        parts = [part for one in schema["anyOf"] for part in _branches(one, definitions)]
    elif "allOf" in schema:
        (only,) = schema["allOf"]  # what our generator writes: one reference, beside its description
        parts = list(_branches(only, definitions))
    if parts:
        yield from ({**part, **own} for part in parts) if own else parts
        return
    kinds = schema.get("type")
    if isinstance(kinds, list):
        yield from ({**schema, "type": kind} for kind in kinds)
        return
    yield schema


def _kind(schema: Schema) -> str:
    if "const" in schema or "enum" in schema:
        return "of the listed values"
    return str(schema.get("type", "any value"))


def _kind_fits(old: Schema, new: Schema) -> bool:
    """Whether values of the old one's kind can be of the new one's."""
    if "const" in new or "enum" in new:
        return False
    kind, other = old.get("type"), new.get("type")
    return other is None or kind == other or (kind == "integer" and other == "number")


def check(old: Path, new: Path) -> tuple[Break, ...]:
    """The breaks between two files, or two folders of files. Raises OSError and ValueError."""
    if not old.is_dir():
        return breaking(_read(old), _read(new))
    found: list[Break] = []
    for path in sorted(old.glob("*.json")):
        other = new / path.name
        if not other.exists():
            found.append(Break(path.name, "FILE_REMOVED", "the schema is gone"))
            continue
        breaks = breaking(_read(path), _read(other))
        found += [Break(f"{path.name}: {one.path or '(root)'}", one.rule, one.message) for one in breaks]
    return tuple(found)


def _read(path: Path) -> Schema:
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


def main(arguments: Sequence[str]) -> int:
    """Run the check; returns the exit code: 0, 1 for breaks, 64 for a mistake in the command line.

    ACCEPTED is a JSON object of breaks that were decided on: the line that is printed for each, and the reason. One
    that is none any more is to be taken out, and counts as a break until it is.
    """
    if len(arguments) not in (2, 3):
        sys.stderr.write("usage: python -m ccx.spec.compat OLD NEW [ACCEPTED]\n")
        return 64
    try:
        found = {str(one) for one in check(Path(arguments[0]), Path(arguments[1]))}
        accepted = _accepted(Path(arguments[2])) if len(arguments) == 3 else {}
    except (OSError, ValueError) as error:
        sys.stderr.write(f"compat: {error}\n")
        return 64
    for line in sorted(found - accepted.keys()):
        sys.stdout.write(f"{line}\n")
    for line in sorted(accepted.keys() - found):
        sys.stdout.write(f"accepted, and no break any more: {line}\n")
    return 1 if found ^ accepted.keys() else 0


def _accepted(file: Path) -> Mapping[str, str]:
    said = json.loads(file.read_text())
    if not (isinstance(said, dict) and all(isinstance(reason, str) and reason.strip() for reason in said.values())):
        raise ValueError(f"{file} is to be an object of lines, each with its reason")
    return said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
