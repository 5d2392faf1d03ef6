"""A small instance of a JSON Schema: required members only, the simplest value of each.

Understood: type (also in capitals, as Gemini writes it), const, enum, required, properties, additionalProperties,
items, prefixItems, contains, local $ref, allOf, anyOf, oneOf, minItems, uniqueItems, minProperties, string lengths,
dependentRequired, formats, numeric bounds, multipleOf. A pattern is met when one of some usual strings matches. `not`,
`if`, and that exactly one branch of oneOf holds, are not looked at.
Source: https://json-schema.org/draft/2020-12/json-schema-validation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from ccx.upstream.demo.fields import Json, integer, listed, record, records, string

BUDGET = 4096
"""How many values one instance may hold; a schema may ask for an endless one."""

_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "demo@example.com",
    "idn-email": "demo@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/demo",
    "uri-reference": "/demo",
    "iri": "https://example.com/demo",
    "iri-reference": "/demo",
    "url": "https://example.com/demo",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/demo",
    "regex": "demo",
}
_USUAL = ("demo", "Demo", "DEMO", "a", "A", "1", "12", "123", "1234", "12345", "#000000", "1.0", "1.0.0", "de", "DE",
          "en-US", "+15555550100", "555-555-0100", "10:00", "$1.00", "demo_1", "demo-1", "/demo", "demo.txt", "A1",
          "a1", "AB1", "ABC", "ABC-123", "")  # fmt: skip


class EndlessError(Exception):
    """This branch of the schema has no instance, or none that is finite."""


def instance(schema: object) -> object:
    """A small instance of `schema`; null where a schema admits none that is finite."""
    try:
        return _Maker(schema).make(schema, nth=0, open_refs=frozenset())
    except (EndlessError, RecursionError):
        return None


class _Maker:
    __slots__ = ("left", "root")

    def __init__(self, root: object) -> None:
        self.root = root
        self.left = BUDGET

    def make(self, schema: object, *, nth: int, open_refs: frozenset[str]) -> object:
        """An instance; another `nth` gives another value where the schema leaves the choice."""
        self.left -= 1
        if self.left < 0 or schema is False:
            raise EndlessError
        if not isinstance(schema, Mapping):
            return _text({}, nth)
        failure = EndlessError()
        for branch, refs in self.branches(schema, open_refs):
            try:
                return self.plain(branch, nth=nth, open_refs=refs)
            except EndlessError as error:
                failure = error
        raise failure

    def branches(self, schema: Json, open_refs: frozenset[str]) -> Iterator[tuple[Json, frozenset[str]]]:
        """The schema without references and combinations, once for each choice that it leaves."""
        self.left -= 1
        if self.left < 0:
            raise EndlessError
        for key in ("$ref", "anyOf", "oneOf", "allOf"):
            if key not in schema:
                continue
            rest: Json = {name: value for name, value in schema.items() if name != key}
            if key == "$ref":
                target = string(schema[key])
                # Coming back to a reference that is being expanded never ends: the smallest instance has no such loop.
                if target in open_refs:
                    return
                yield from self.branches(_merge(rest, self.resolve(target)), open_refs | {target})
            elif key == "allOf":
                for part in records(schema[key]):
                    rest = _merge(rest, part)
                yield from self.branches(rest, open_refs)
            else:
                for choice in listed(schema[key]):
                    if choice is not False:
                        yield from self.branches(_merge(rest, record(choice)), open_refs)
            return
        yield schema, open_refs

    def resolve(self, pointer: str) -> Json:
        value: object = self.root
        if pointer != "#" and not pointer.startswith("#/"):
            return {}  # another document, or an anchor: anything goes
        for token in pointer[1:].split("/")[1:]:
            name = unquote(token).replace("~1", "/").replace("~0", "~")
            if isinstance(value, list):
                value = value[int(name)] if name.isdigit() and int(name) < len(value) else None
            else:
                value = record(value).get(name)
        return record(value)

    def plain(self, schema: Json, *, nth: int, open_refs: frozenset[str]) -> object:
        if "const" in schema:
            return schema["const"]
        if choices := listed(schema.get("enum")):
            return choices[nth % len(choices)]
        match _kind(schema):
            case "object":
                return self.table(schema, open_refs=open_refs)
            case "array":
                return self.array(schema, open_refs=open_refs)
            case "integer":
                return _number(schema, nth=nth, whole=True)
            case "number":
                return _number(schema, nth=nth, whole=False)
            case "boolean":
                return nth % 2 == 0
            case "null":
                return None
            case _:
                return _text(schema, nth)

    def table(self, schema: Json, *, open_refs: frozenset[str]) -> Json:
        declared = record(schema.get("properties"))
        dependent = record(schema.get("dependentRequired"))
        names = [name for name in listed(schema.get("required")) if isinstance(name, str)]
        least = _count(schema.get("minProperties"))
        names += [name for name in declared if name not in names][: max(0, least - len(names))]
        names += [f"demo{index}" for index in range(min(BUDGET, least) - len(names))]
        made: dict[str, object] = {}
        for name in names:  # grows while it is walked
            if name not in made:
                part = declared.get(name, schema.get("additionalProperties"))
                made[name] = self.make(part, nth=0, open_refs=open_refs)
                names += [needed for needed in listed(dependent.get(name)) if isinstance(needed, str)]
        return made

    def array(self, schema: Json, *, open_refs: frozenset[str]) -> list[object]:
        fixed = list(listed(schema.get("prefixItems")))
        least = _count(schema.get("minItems"))
        if "contains" in schema:
            fixed += [schema["contains"]] * min(BUDGET, max(1, _count(schema.get("minContains", 1))))
        # Members of `prefixItems` may be missing, unless minItems asks for them: but a tuple without them is of no use.
        parts = fixed + [schema.get("items")] * (min(BUDGET, least) - len(fixed))
        different = schema.get("uniqueItems") is True
        return [self.make(part, nth=index if different else 0, open_refs=open_refs) for index, part in enumerate(parts)]


def _merge(one: Json, other: Json) -> Json:
    """Both schemas at once, near enough: members and demands are united, else the second wins."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        shared = record(one["properties"]).keys() & record(other["properties"]).keys()
        both = {**record(one["properties"]), **record(other["properties"])}
        for name in shared:
            both[name] = _merge(record(record(one["properties"])[name]), record(record(other["properties"])[name]))
        merged["properties"] = both
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*listed(one["required"]), *listed(other["required"])]))
    if "allOf" in one and "allOf" in other:
        merged["allOf"] = [*listed(one["allOf"]), *listed(other["allOf"])]
    for choice in ("anyOf", "oneOf", "$ref"):
        if choice in one and choice in other:
            merged["allOf"] = [*listed(merged.get("allOf")), {choice: one[choice]}]
    if isinstance(one.get("enum"), list) and isinstance(other.get("enum"), list):
        merged["enum"] = [value for value in listed(one["enum"]) if value in listed(other["enum"])]
    return merged


def _kind(schema: Json) -> str:
    declared = schema.get("type")
    named = declared if isinstance(declared, str) else next(iter(listed(declared)), None)
    if isinstance(named, str):
        return named.lower()
    if any(key in schema for key in ("properties", "required", "minProperties", "additionalProperties")):
        return "object"
    if any(key in schema for key in ("items", "prefixItems", "minItems", "contains")):
        return "array"
    if any(key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return "number"
    return "string"


def _count(value: object) -> int:
    """A count; Gemini writes it as a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return max(0, integer(value) or 0)


def _number(schema: Json, *, nth: int, whole: bool) -> float:
    """1, or else a number near a bound that the bounds and the step allow."""
    low, above = _real(schema.get("minimum")), _real(schema.get("exclusiveMinimum"))
    high, below = _real(schema.get("maximum")), _real(schema.get("exclusiveMaximum"))
    step = _real(schema.get("multipleOf"))
    unit = step if step is not None and step > 0 else 1
    bounds = [bound for bound in (low, above, high, below) if bound is not None]
    near = [
        edge + shift
        for bound in bounds
        for edge in (bound, math.floor(bound / unit) * unit)
        for shift in (0, unit, -unit)
    ]
    middle = [sum(bounds) / len(bounds)] if bounds else []

    def allowed(value: float) -> bool:
        return (
            (low is None or value >= low)
            and (high is None or value <= high)
            and (above is None or value > above)
            and (below is None or value < below)
            and (step is None or value % unit == 0)
            and (not whole or value == int(value))
        )

    found = next((value for value in (1 + nth * unit, nth * unit, unit, 0, *near, *middle) if allowed(value)), None)
    if found is None:
        raise EndlessError
    return int(found) if whole else found


def _real(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(schema: Json, nth: int) -> str:
    least, most = _count(schema.get("minLength")), integer(schema.get("maxLength"))
    text = _FORMATS.get(string(schema.get("format")), "demo")
    if pattern := string(schema.get("pattern")):
        text = next((usual for usual in _USUAL if _matches(pattern, usual, least=least, most=most)), text)
    elif len(text) < least:
        text += "o" * min(BUDGET, least - len(text))
    if nth:
        text += str(nth)
    return text if most is None else text[: max(0, most)]


def _matches(pattern: str, text: str, *, least: int, most: int | None) -> bool:
    try:
        return least <= len(text) and (most is None or len(text) <= most) and re.search(pattern, text) is not None
    except (re.error, OverflowError, RecursionError):
        return False
