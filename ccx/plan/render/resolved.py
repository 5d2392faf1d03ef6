"""A spec laid open, as YAML, JSON or lines of text.

YAML is a spec again; what is no part of the language stands in comments. JSON:

    {"format_version": "1.0", "spec": {...},
     "values": [{"path": str, "value": any, "note": bool, "origin": {"kind": str, "text": str}}]}

`values` is there with provenance: `path` is a JSON pointer, `kind` one of file, defaults, preset, built-in. A note is a
value that is told and no part of the language. Within a major version keys are only added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from ccx.plan.effective import Shown
from ccx.spec.appending import flow, scalar
from ccx.spec.diagnostics import name_path, pointer
from ccx.spec.layout import laid_out
from ccx.spec.written import Entry, Group, Node, Page, Word

FORMAT_VERSION: Final = "1.0"
_PLAIN: Final = re.compile(
    r"[0-9]+(?:\.[0-9]+)?(?:(?:ms|s|m|h|d|k|M|[KMG]iB|%)(?:/[a-z]+)?|/[a-z]+)|https?://[A-Za-z0-9./:_-]+[A-Za-z0-9/_-]"
)
"""Quantities and addresses, which need no quotes either."""


def render_yaml(shown: Sequence[Shown], *, provenance: bool) -> str:
    """As a spec, with each value's origin in a comment where asked."""
    root = Group(mapping=True, flow=False)
    notes: dict[tuple[str | int, ...], list[str]] = {}
    homes: dict[tuple[str | int, ...], Group] = {(): root}
    for one in shown:
        if one.note:
            origin = f" ({one.origin.text})" if provenance else ""
            notes.setdefault(one.path[:-2], []).append(f"# {one.path[-1]}: {one.value}{origin}")
            continue
        for depth in range(1, len(one.path)):
            if one.path[:depth] not in homes:
                group = Group(mapping=isinstance(one.path[depth], str), flow=False)
                homes[one.path[:depth]] = group
                homes[one.path[: depth - 1]].entries.append(_entry(one.path[depth - 1], group))
        entry = _entry(one.path[-1], _node(one.value))
        entry.behind = f"# {one.origin.text}" if provenance else ""
        # What is told of a channel stands with the first of its values after it.
        entry.above = notes.pop(one.path[:-1], [])
        homes[one.path[:-1]].entries.append(entry)
    return laid_out(Page(root))


def _entry(part: str | int, value: Node) -> Entry:
    if not isinstance(part, str):
        return Entry(None, value)
    # A key is always text, whatever it looks like; `on` is one.
    return Entry(Word(part if part.isidentifier() else scalar(part), value=part), value)


def _node(value: Any) -> Node:
    match value:
        case dict():
            entries = [_entry(key, _node(one)) for key, one in value.items()]
            return Group(mapping=True, flow=True, entries=entries)
        case list():
            return Group(mapping=False, flow=True, entries=[Entry(None, _node(one)) for one in value])
        case _:
            plain = isinstance(value, str) and _PLAIN.fullmatch(value) is not None
            return Word(value if plain else scalar(value))


def render_json(shown: Sequence[Shown], *, provenance: bool) -> str:
    """For programs."""
    document: dict[str, Any] = {"format_version": FORMAT_VERSION, "spec": as_data(shown)}
    if provenance:
        document["values"] = [
            {
                "path": pointer(one.path),
                "value": one.value,
                "note": one.note,
                "origin": {"kind": one.origin.kind, "text": one.origin.text},
            }
            for one in shown
        ]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_data(shown: Sequence[Shown]) -> dict[str, Any]:
    """As one document, without notes."""
    root: dict[str, Any] = {}
    for one in shown:
        if one.note:
            continue
        here: Any = root
        for part in one.path[:-1]:
            here = here.setdefault(part, {})
        here[one.path[-1]] = one.value
    if isinstance(root.get("routes"), dict):
        root["routes"] = list(root["routes"].values())
    return root


def render_text(shown: Sequence[Shown], *, provenance: bool) -> str:
    """A line for each value, aligned."""
    rows = [(name_path(one.path), flow(one.value), one.origin.text) for one in shown]
    left = max((len(path) for path, _, _ in rows), default=0)
    middle = min(60, max((len(value) for _, value, _ in rows), default=0))
    lines = [
        f"{path:<{left}}  {value:<{middle}}  {origin}" if provenance else f"{path:<{left}}  {value}"
        for path, value, origin in rows
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)
