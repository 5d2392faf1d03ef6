"""A YAML text as it is written: words, collections, and every comment at the thing it is about.

Law: nothing that a person wrote is lost or read twice. A word keeps its spelling, an entry the comment lines above it
and the comment behind it, a collection the comments after its last entry. What a comment between two entries belongs to
is told by its column: to the deepest collection that it stands in, else to what follows. Blank lines are kept as empty
comment lines. Unlike a `Tree` this knows nothing of what values mean; `ccx.spec.written_reader` makes it of a text,
`ccx.spec.layout` makes a text of it. It is built and rearranged in place, and lives only that long.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Style = Literal["plain", "'", '"', "|", ">", "*"]
"""How a word is written: plain, in quotes, as a block of text, or as an alias."""


@dataclass(slots=True)
class Word:
    """A scalar or an alias.

    `text` is its spelling, in one line or several; of a block of text only its head, `lines` being the rest without its
    indentation. `value` is the text that it means, the name for an alias. `tail` are comments in the place of a value
    that is not there.
    """

    text: str
    style: Style = "plain"
    value: str = ""
    anchor: str = ""
    lines: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is written: a null."""
        return not self.text and self.style == "plain"


@dataclass(slots=True)
class Entry:
    """An entry of a mapping, or an item of a list, which has no key. `behind` is the comment at the end of its line."""

    key: Word | None
    value: Node
    above: list[str] = field(default_factory=list)
    behind: str = ""


@dataclass(slots=True)
class Group:
    """A mapping or a list. `flow` is one in brackets; `behind` is then the comment behind the opening one."""

    mapping: bool
    flow: bool
    anchor: str = ""
    entries: list[Entry] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)
    behind: str = ""

    def entry(self, key: str) -> Entry | None:
        """The entry of that key; of a key that is there twice, the first."""
        return next((one for one in self.entries if one.key is not None and one.key.value == key), None)


Node = Word | Group


@dataclass(slots=True)
class Page:
    """A whole text: its one document. `before` are the lines above an explicit `---`, `marked` whether there is one."""

    root: Group
    marked: bool = False
    before: list[str] = field(default_factory=list)
    behind: str = ""


def walk(node: Node) -> Iterator[Entry]:
    """All entries, depth first, in the order written."""
    if isinstance(node, Group):
        for entry in node.entries:
            yield entry
            yield from walk(entry.value)


def comments(page: Page) -> list[str]:
    """Every comment, sorted: to see that none was lost."""
    found = [*page.before, page.behind, *page.root.tail, page.root.behind]
    for entry in walk(page.root):
        found += [*entry.above, entry.behind, *entry.value.tail]
        if isinstance(entry.value, Group):
            found.append(entry.value.behind)
    return sorted(one for one in found if one)
