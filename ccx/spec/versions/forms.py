"""What a converter between versions may do to a document, whether that is its values or its text.

Law: a converter is written once, in these few words. Over `Tree`s it makes the document that is loaded, whose places
are those of the old text; over what is written (`ccx.spec.written`) it makes the new text, with every comment. Nothing
is changed that is given: each word returns anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from ccx.spec.diagnostics import Span
from ccx.spec.locations import Tree
from ccx.spec.written import Entry, Group, Node, Word

N = TypeVar("N")


class CannotConvert(Exception):
    """A text written so that its conversion cannot be written: an alias or merge key in the place of what changes."""


@dataclass(frozen=True, slots=True)
class Change(Generic[N]):
    """An entry of a mapping in the place of the first of some: `new: value` for `olds`."""

    olds: tuple[str, ...]
    new: str
    value: N


class Forms(Protocol[N]):
    """The words."""

    def names(self, node: N, /) -> Sequence[str]:
        """The keys of a mapping; none for anything else."""

    def get(self, node: N, name: str, /) -> N | None:
        """The value under a key."""

    def items(self, node: N, /) -> Sequence[N] | None:
        """The items of a list; None for anything else."""

    def said(self, node: N, /) -> str | None:
        """A scalar as text; None for a collection."""

    def replaced(self, node: N, changes: Sequence[Change[N]], /) -> N:
        """The mapping with changes."""

    def with_items(self, node: N, items: Sequence[N], /) -> N:
        """The list with as many other items."""

    def text(self, value: str, of: N, /) -> N:
        """A text that comes of something."""

    def listing(self, items: Sequence[N], of: N, /) -> N:
        """A new list in the place of something; items of another list may be among its own."""

    def record(self, name: str, value: N, /) -> N:
        """A new mapping of one entry."""


def each(forms: Forms[N], node: N, convert: Callable[[N], N]) -> N:
    """All values of a mapping, or all items of a list, converted."""
    items = forms.items(node)
    if items is not None:
        return forms.with_items(node, [convert(item) for item in items])
    values = [(name, forms.get(node, name)) for name in forms.names(node)]
    changes = [Change((name,), name, convert(value)) for name, value in values if value is not None]
    return forms.replaced(node, changes) if changes else node


class TreeForms:
    """Over values: what is made keeps the place of what it is made of."""

    def names(self, node: Tree, /) -> Sequence[str]:
        return tuple(node.content) if isinstance(node.content, Mapping) else ()

    def get(self, node: Tree, name: str, /) -> Tree | None:
        return node.child(name)

    def items(self, node: Tree, /) -> Sequence[Tree] | None:
        return node.content if isinstance(node.content, tuple) else None

    def said(self, node: Tree, /) -> str | None:
        content = node.content
        return str(content) if isinstance(content, str | int | float) and not isinstance(content, bool) else None

    def replaced(self, node: Tree, changes: Sequence[Change[Tree]], /) -> Tree:
        content, keys = dict(node.content) if isinstance(node.content, Mapping) else {}, node.keys or {}
        by_old = {old: change for change in changes for old in change.olds}
        new, spans = dict[str, Tree](), dict[str, Span]()
        for name, value in content.items():
            change = by_old.get(name)
            new.setdefault(change.new if change else name, change.value if change else value)
            spans.setdefault(change.new if change else name, keys[name])
        return replace(_collection(new, node), keys=spans)

    def with_items(self, node: Tree, items: Sequence[Tree], /) -> Tree:
        return _collection(tuple(items), node)

    def text(self, value: str, of: Tree, /) -> Tree:
        return Tree(value, of.file, of.span)

    def listing(self, items: Sequence[Tree], of: Tree, /) -> Tree:
        return _collection(tuple(items), of)

    def record(self, name: str, value: Tree, /) -> Tree:
        return replace(_collection({name: value}, value), keys={name: value.span})


def _collection(content: Mapping[str, Tree] | tuple[Tree, ...], of: Tree) -> Tree:
    children = tuple(content.values()) if isinstance(content, Mapping) else content
    size = 1 + sum(child.size for child in children)
    height = 1 + max((child.height for child in children), default=-1)
    keys = of.keys if isinstance(content, Mapping) else None
    return Tree(content, of.file, of.span, keys, False, size, height)


class WrittenForms:
    """Over what is written: what is made keeps the comments of what it is made of. Raises CannotConvert."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

    def names(self, node: Node, /) -> Sequence[str]:
        if not isinstance(node, Group) or not node.mapping:
            return ()
        return tuple(entry.key.value for entry in node.entries if entry.key is not None)

    def get(self, node: Node, name: str, /) -> Node | None:
        entry = node.entry(name) if isinstance(node, Group) else None
        return entry.value if entry is not None else None

    def items(self, node: Node, /) -> Sequence[Node] | None:
        if not isinstance(node, Group) or node.mapping:
            return None
        self._entries |= {id(entry.value): entry for entry in node.entries}
        return [entry.value for entry in node.entries]

    def said(self, node: Node, /) -> str | None:
        if not isinstance(node, Word):
            return None
        if node.style == "*":
            raise CannotConvert(f"the alias {node.text} stands for what changes; write the value out")
        return node.value

    def replaced(self, node: Node, changes: Sequence[Change[Node]], /) -> Node:
        if not isinstance(node, Group):
            raise CannotConvert("what changes is not written as a mapping")
        by_old = {old: change for change in changes for old in change.olds}
        entries: list[Entry] = []
        made: dict[str, Entry] = {}
        for entry in node.entries:
            change = by_old.get(entry.key.value) if entry.key is not None else None
            if change is None or entry.key is None:
                entries.append(entry)
            elif (first := made.get(change.new)) is not None:
                # What was two entries is one: what is said of the second is said above both.
                first.above += [*entry.above, *([entry.behind] if entry.behind else [])]
                first.above[:] = [line for place, line in enumerate(first.above) if line or not place]
            else:
                key = entry.key if change.new == entry.key.value else Word(change.new, anchor=entry.key.anchor)
                key.value = change.new
                made[change.new] = Entry(key, change.value, [*entry.above], entry.behind)
                entries.append(made[change.new])
        return replace(node, entries=entries)

    def with_items(self, node: Node, items: Sequence[Node], /) -> Node:
        if not isinstance(node, Group):
            raise CannotConvert("what changes is not written as a list")
        pairs = zip(node.entries, items, strict=True)
        return replace(node, entries=[replace(entry, value=item) for entry, item in pairs])

    def text(self, value: str, of: Node, /) -> Node:
        plain = value.replace("/", "").replace(".", "").isalnum()
        return Word(value if plain else f'"{value}"', "plain" if plain else '"', value, of.anchor)

    def listing(self, items: Sequence[Node], of: Node, /) -> Node:
        entries = [self._entries.get(id(item)) or Entry(None, item) for item in items]
        old = of if isinstance(of, Group) else Group(mapping=False, flow=True)
        return Group(mapping=False, flow=old.flow, entries=entries, tail=old.tail, behind=old.behind)

    def record(self, name: str, value: Node, /) -> Node:
        return Group(mapping=True, flow=True, entries=[Entry(Word(name, value=name), value)])
