"""Parts of the language that this version reads and checks and does not act on yet, in one table.

Law: nothing is ignored in silence. Whoever gives a part its effect removes its row here in the same commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ccx.spec.diagnostics import Path
from ccx.spec.finding import Finding
from ccx.spec.locations import Tree

_ALSO_SHOWN: Final = 5


def _any(value: Any) -> bool:
    return value not in (None, {}, [])


def _on(value: Any) -> bool:
    return value not in (None, False, "off", "none")


@dataclass(frozen=True, slots=True)
class Pending:
    """A part without effect. `*` in the path stands for any name or list position; `meant` tells a value that asks for
    something from one that asks for nothing; `instead` is what happens now."""

    path: tuple[str, ...]
    part: str
    instead: str
    meant: Callable[[Any], bool] = _any


PENDING: Final[tuple[Pending, ...]] = (
    Pending(
        ("admin", "dashboard"), "the dashboard", "there is none; `GET /status` and `/metrics` say how things are", _on
    ),
    Pending(("telemetry", "traces"), "traces", "none are sent"),
    Pending(("telemetry", "usage"), "the usage store", "usage is in the request log and the metrics only"),
    Pending(("telemetry", "logs", "bodies"), "logging of bodies", "bodies are never logged", _on),
)


def check_pending(root: Tree) -> Iterator[Finding]:
    """One warning for each part in use, at its first place, naming up to five more."""
    for part, rows in _by_part().items():
        places = [place for row in rows for place, tree in _matching(root, row.path, ()) if row.meant(tree.value())]
        if not places:
            continue
        more = f" ({len(places)} places)" if len(places) > 1 else ""
        yield Finding(
            places[0],
            "CCX510",
            f"no effect in this version of ccx: {part}{more}; {rows[0].instead}",
            at_key=True,
            also=tuple((place, "and here") for place in places[1 : _ALSO_SHOWN + 1]),
        )


def _by_part() -> Mapping[str, list[Pending]]:
    parts: dict[str, list[Pending]] = {}
    for row in PENDING:
        parts.setdefault(row.part, []).append(row)
    return parts


def _matching(tree: Tree, pattern: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Tree]]:
    if not pattern:
        yield path, tree
        return
    first, rest = pattern[0], pattern[1:]
    if isinstance(tree.content, Mapping):
        for key, child in tree.content.items():
            if first in ("*", key):
                yield from _matching(child, rest, (*path, key))
    elif isinstance(tree.content, tuple) and first == "*":
        for index, child in enumerate(tree.content):
            yield from _matching(child, rest, (*path, index))
