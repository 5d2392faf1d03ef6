"""The order of keys: that of the language, for the keys of the language.

Law: only mappings whose keys the JSON Schema knows are put in order; names that people chose (channels, clients,
models, headers) stay in theirs, which may mean something. Keys that the schema does not know come last, as written.
Nothing moves before the anchor that it refers to: where an order would do that, the mapping stays as it is. What is
said at the head of a file stays there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ccx.spec.written import Entry, Group, Node, Word, walk

Schema = Mapping[str, Any]

_LED: Final = (("provider", "protocol", "base_url", "auth", "keys", "key_strategy", "models"),)
"""Where a mapping's order is not that of its schema: what stands first. A channel is named before it is set."""

_KEPT: Final = frozenset({"matrix"})
"""Whose keys are in an order that shows: the cases of a matrix are numbered by it."""


def in_order(root: Group, schema: Schema) -> None:
    """Put the keys of a document in order, in place."""
    definitions: Schema = schema.get("definitions", {})
    header: list[str] = []
    if root.entries:
        above = root.entries[0].above
        # A comment that a blank line parts from the first entry is about the file.
        blank = max((place + 1 for place, line in enumerate(above) if not line), default=0)
        header, root.entries[0].above = above[:blank], above[blank:]
        first = root.entries[0]
        _arrange(root, schema, definitions)
        if root.entries[0] is not first and not header:
            header, first.above = first.above, []
        root.entries[0].above = [*header, *root.entries[0].above]


def _arrange(node: Node, schema: Schema, definitions: Schema) -> None:
    if isinstance(node, Word):
        return
    if not node.mapping:
        items: Schema = next((one["items"] for one in _branches(schema, definitions) if "items" in one), {})
        for entry in node.entries:
            _arrange(entry.value, items, definitions)
        return
    form = _form(node, schema, definitions)
    properties: Schema = form.get("properties", {})
    others = form.get("additionalProperties")
    for entry in node.entries:
        name = entry.key.value if entry.key is not None else ""
        inner = properties.get(name, others if isinstance(others, Mapping) else {})
        if name not in _KEPT:
            _arrange(entry.value, inner, definitions)
    if properties:
        first = next((led for led in _LED if set(led) <= set(properties)), ())
        _sort(node, [*first, *(name for name in properties if name not in first)])


def _sort(group: Group, names: list[str]) -> None:
    rank = {name: place for place, name in enumerate(["<<", *names])}
    wanted = sorted(group.entries, key=lambda entry: rank.get(entry.key.value if entry.key else "", len(rank)))
    tied = [entry for entry in group.entries if _refers(entry)]
    if [entry for entry in wanted if _refers(entry)] == tied or len(tied) < 2:
        group.entries = wanted


def _refers(entry: Entry) -> bool:
    """Whether an entry holds an anchor or an alias."""
    words = [entry.key, *(one.key for one in walk(entry.value))]
    values = [entry.value, *(one.value for one in walk(entry.value))]
    return any(word is not None and word.anchor for word in words) or any(
        value.anchor or (isinstance(value, Word) and value.style == "*") for value in values
    )


def _form(group: Group, schema: Schema, definitions: Schema) -> Schema:
    """Of the mappings that a value may be, the one that has most of these keys."""
    keys = {entry.key.value for entry in group.entries if entry.key is not None}
    forms = [one for one in _branches(schema, definitions) if "properties" in one or "additionalProperties" in one]
    return max(forms, key=lambda one: len(keys & set(one.get("properties", ()))), default={})


def _branches(schema: Schema, definitions: Schema) -> Iterator[Schema]:
    """A schema with its references followed, and all that it is a union of."""
    yield schema
    if "$ref" in schema:
        yield from _branches(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    for word in ("allOf", "anyOf"):
        for one in schema.get(word, ()):
            yield from _branches(one, definitions)
