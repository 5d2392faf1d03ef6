"""Parts of the language on their way out, as data: what is said of them, and what is written instead.

Law: whatever a later version of ccx will no longer read has its row here, at least one version before that. The linter
names each use (CCX502); `ccx migrate` writes the replacement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ccx.spec.diagnostics import Span
from ccx.spec.locations import Tree


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A field that goes.

    `field` is its path; `*` stands for any name or list position. `since` is the version of ccx that first warns of it,
    `removed_in` the one that no longer reads it. `replacement` is how it is written now.
    """

    field: tuple[str, ...]
    since: str
    removed_in: str
    replacement: str

    @property
    def shown(self) -> str:
        """The path as one would say it: `rules[].match`."""
        return ".".join(self.field).replace(".*", "[]")


@dataclass(frozen=True, slots=True)
class Use:
    """A deprecated field that a file has, and where its key stands."""

    row: Deprecated
    file: str
    key: Span


def uses(root: Tree, rows: tuple[Deprecated, ...]) -> Iterator[Use]:
    """Every use of these fields in one file, as it is written."""
    for row in rows:
        for tree, key in _matching(root, row.field):
            yield Use(row, tree.file, key)


def _matching(tree: Tree, field: tuple[str, ...]) -> Iterator[tuple[Tree, Span]]:
    first, *rest = field
    content = tree.content
    if isinstance(content, Mapping):
        for name, child in content.items():
            if first not in ("*", name):
                continue
            if rest:
                yield from _matching(child, tuple(rest))
            elif tree.keys is not None:
                yield child, tree.keys[name]
    elif isinstance(content, tuple) and first == "*" and rest:
        for child in content:
            yield from _matching(child, tuple(rest))
