"""Reading parts of a document that may be malformed: what is not of the expected kind is as good as absent here.

The checks of references look at every document, also at one whose shape is wrong, so that all mistakes show at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ccx.spec.diagnostics import Path
from ccx.spec.locations import Tree


def under(tree: Tree | None, *path: str | int) -> Tree | None:
    """The value at a path below, if there is one."""
    for part in path:
        if tree is None:
            return None
        tree = tree.child(part)
    return tree


def entries(tree: Tree | None) -> Mapping[str, Tree]:
    """The entries of a mapping."""
    return tree.content if tree is not None and isinstance(tree.content, Mapping) else {}


def items(tree: Tree | None) -> tuple[Tree, ...]:
    """The items of a list."""
    return tree.content if tree is not None and isinstance(tree.content, tuple) else ()


def text(tree: Tree | None) -> str | None:
    """A text."""
    return tree.content if tree is not None and isinstance(tree.content, str) else None


def texts(tree: Tree | None, path: Path) -> Iterator[tuple[Path, str]]:
    """The texts of a list, or the one text in its place, with their paths."""
    single = text(tree)
    if single is not None:
        yield path, single
    for index, item in enumerate(items(tree)):
        value = text(item)
        if value is not None:
            yield (*path, index), value


def one_or_many(tree: Tree | None, path: Path) -> Iterator[tuple[Path, Tree]]:
    """The mappings of a list, or the one mapping in its place, with their paths."""
    if tree is not None and isinstance(tree.content, Mapping):
        yield path, tree
    for index, item in enumerate(items(tree)):
        if isinstance(item.content, Mapping):
            yield (*path, index), item


def conditions(route: Tree, path: Path) -> Iterator[tuple[Path, Tree]]:
    """Every `when` of a route, those within `any` and `not` included."""
    todo: list[tuple[Path, Tree | None]] = [((*path, "when"), under(route, "when"))]
    while todo:
        here, when = todo.pop()
        if when is None or not isinstance(when.content, Mapping):
            continue
        yield here, when
        todo.append(((*here, "not"), under(when, "not")))
        todo.extend(((*here, "any", index), item) for index, item in enumerate(items(under(when, "any"))))


def targets(route: Tree, path: Path) -> Iterator[tuple[Path, Tree]]:
    """Every target of a route, those of balanced groups included: a text or a mapping."""
    for index, step in enumerate(items(under(route, "to"))):
        here: Path = (*path, "to", index)
        group = under(step, "targets")
        if group is None:
            yield here, step
        else:
            yield from (((*here, "targets", position), member) for position, member in enumerate(items(group)))
