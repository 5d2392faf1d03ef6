"""Where each value of the document stands in the files.

A `Tree` is a value with its place; the document is one tree, though its parts come from several files and, through
aliases and merge keys, one part may stand in several places of the document: a place is always where it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ccx.spec.diagnostics import START, Path, Span

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Tree:
    """A YAML value with its place.

    `content` is a scalar, a mapping of names to trees, or a tuple of trees. `keys` has the span of each key of a
    mapping; a key stands in the file of its value. `plain` tells an unquoted scalar. `size` counts the nodes with
    aliases expanded; `height` is the depth below.
    """

    content: Scalar | Mapping[str, Tree] | tuple[Tree, ...]
    file: str
    span: Span
    keys: Mapping[str, Span] | None = None
    plain: bool = False
    size: int = 1
    height: int = 0

    def value(self) -> Any:
        """The plain Python value: dict, list or scalar."""
        content = self.content
        if isinstance(content, Mapping):
            return {key: child.value() for key, child in content.items()}
        if isinstance(content, tuple):
            return [child.value() for child in content]
        return content

    def child(self, part: str | int) -> Tree | None:
        """The value under a key or list position, if there is one."""
        if isinstance(self.content, Mapping):
            return self.content.get(part) if isinstance(part, str) else None
        if isinstance(self.content, tuple) and isinstance(part, int) and 0 <= part < len(self.content):
            return self.content[part]
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: its file, the span of its key (none in a list) and of the value itself."""

    file: str
    key: Span | None
    value: Span

    @property
    def span(self) -> Span:
        """The key where there is one, else the value: what to point at when the whole entry is meant."""
        return self.key or self.value


class Locations(Mapping[Path, Place]):
    """The place of every value of a document, by path; found by walking the tree, so that building it costs nothing."""

    __slots__ = ("_root",)

    def __init__(self, root: Tree | None) -> None:
        self._root = root

    @property
    def root(self) -> Tree | None:
        """The document as a tree."""
        return self._root

    def tree(self, path: Path) -> Tree | None:
        """The value at a path with its place, if there is one."""
        here = self._root
        for part in path:
            if here is None:
                return None
            here = here.child(part)
        return here

    def __getitem__(self, path: Path) -> Place:
        here = self.tree(path)
        if here is None:
            raise KeyError(path)
        key: Span | None = None
        if path and isinstance(path[-1], str):
            above = self.tree(path[:-1])
            key = above.keys.get(path[-1]) if above and above.keys else None
        return Place(here.file, key, here.span)

    def nearest(self, path: Path) -> Place:
        """The place of the path, or of the closest value above it that exists."""
        while True:
            try:
                return self[path]
            except KeyError:
                if not path:
                    return Place("", None, START)
                path = path[:-1]

    def __iter__(self) -> Iterator[Path]:
        todo: list[tuple[Path, Tree]] = [((), self._root)] if self._root else []
        while todo:
            path, tree = todo.pop()
            yield path
            if isinstance(tree.content, Mapping):
                todo.extend(((*path, key), child) for key, child in reversed(list(tree.content.items())))
            elif isinstance(tree.content, tuple):
                todo.extend(((*path, index), child) for index, child in reversed(list(enumerate(tree.content))))

    def __len__(self) -> int:
        return self._root.size if self._root else 0
