"""Reads a YAML text as it is written.

Law: for texts that `compose` has read without an error; what it refuses never comes here. The scanner of ruamel.yaml
says where words stand; everything between them is punctuation, white space and comments, and is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from ccx.spec.written import Entry, Group, Node, Page, Style, Word

_BLANKS: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLOCK_HEAD: Final = re.compile(r"([|>])([-+]?)([0-9]?)([-+]?)[ \t]*(#[^\n]*)?")
_STYLES: Final[dict[str | None, Style]] = {"'": "'", '"': '"', "|": "|", ">": ">"}
_BELOW_KEY: Final = 0.5
"""Half a column: a list that starts in the column of its key is still below it."""


class CannotRead(Exception):
    """A text in a form that is not understood here. The message says which."""


def read_page(text: str) -> Page:
    """The text as written. Its line ends are `\\n`. Raises CannotRead."""
    return _Reader(text).page()


@dataclass(slots=True)
class _Line:
    """A comment line, or a blank one; its column from 0, or -1 where it can only be about what follows."""

    column: int
    text: str


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        self._at = 0
        self._behind: Page | Entry | Group | None = None
        self._lines: list[_Line] = []
        self._closed: list[tuple[float, Node]] = []

    def page(self) -> Page:
        page = Page(Group(mapping=True, flow=False))
        for event in self._events:
            match event:
                case DocumentStartEvent() if event.explicit:
                    self._gap(event.start_mark.index)
                    page.before, page.marked, page.behind = self._taken(-1.0), True, ""
                    self._at, self._behind = event.end_mark.index, page
                case MappingStartEvent():
                    page.root = self._mapping(event, above=None)
                    break
                case ScalarEvent() | AliasEvent() | SequenceStartEvent():
                    raise CannotRead("it is no mapping")
        self._gap(len(self._text))
        page.root.tail += self._taken(-1.0)
        return page

    # -- what stands between two words

    def _gap(self, end: int) -> None:
        """Read on to a place: a comment on this line is behind what was last, the others wait for what comes."""
        text, at = self._text, self._at
        start = text.rfind("\n", 0, at) + 1
        first, bare, seen = at > start, at == start, False
        while at < end:
            sign = text[at]
            if sign == "#":
                stop = text.find("\n", at)
                stop = len(text) if stop < 0 else stop
                self._comment(text[at:stop].rstrip(), first=first, column=at - start if bare else -1)
                at, seen = stop, True
                continue
            if sign == "\n":
                if bare and not seen and not first:
                    self._lines.append(_Line(-1, ""))
                first, bare, seen, start = False, True, False, at + 1
            elif sign not in " \t":
                bare = False
            at += 1
        self._at = max(self._at, end)

    def _comment(self, text: str, *, first: bool, column: int) -> None:
        behind = self._behind
        if first and behind is not None and not behind.behind:
            behind.behind = text
        else:
            self._lines.append(_Line(column, text))

    def _taken(self, column: float) -> list[str]:
        """The lines that wait: those that stand in a collection that has ended are its own, the rest is returned."""
        waiting: list[str] = []
        owners = [(inner, node) for inner, node in self._closed if inner > column]
        blank = False
        for line in self._lines:
            if not line.text:
                blank = True
                continue
            while owners and line.column < owners[0][0]:
                owners.pop(0)
            home = owners[0][1].tail if owners else waiting
            if blank:
                home.append("")
            home.append(line.text)
            blank = False
        if blank:
            waiting.append("")
        self._lines, self._closed = [], []
        return waiting

    def _after_anchor(self, event: Any) -> tuple[str, int]:
        """The anchor of a node, and where the node itself begins."""
        start: int = event.start_mark.index
        if event.anchor is None:
            return "", start
        anchor = f"&{event.anchor}"
        start += len(anchor)
        blanks = _BLANKS.match(self._text, start)
        return anchor, blanks.end() if blanks is not None else start

    def _column(self, index: int) -> int:
        return index - (self._text.rfind("\n", 0, index) + 1)

    # -- words and collections

    def _mapping(self, event: Any, *, above: Entry | None) -> Group:
        flow = bool(event.flow_style)
        group, column = self._begin(event, mapping=True, flow=flow, above=above)
        for key_event in self._events:
            if isinstance(key_event, MappingEndEvent):
                return self._end(group, key_event, column=column, above=above)
            if not isinstance(key_event, ScalarEvent):
                raise CannotRead("a key that is no text")
            if column is None and not flow:
                column = self._column(key_event.start_mark.index)
            self._gap(key_event.start_mark.index)
            entry = Entry(None, Word(""), self._taken(-1.0 if column is None else column))
            group.entries.append(entry)
            key = self._word(key_event, column=column or 0, entry=entry)
            if key.lines or "\n" in key.text:
                raise CannotRead(f"the key {key.value[:40]!r} is written over several lines")
            entry.key = key
            self._behind = entry
            entry.value = self._value(next(self._events), entry, column=-1 if column is None else column)
        raise CannotRead("a mapping without an end")

    def _sequence(self, event: Any, *, parent: int, above: Entry | None) -> Group:
        flow = bool(event.flow_style)
        group, column = self._begin(event, mapping=False, flow=flow, above=above)
        inner: float | None = None
        if not flow:
            _, start = self._after_anchor(event)
            column = self._column(start)
            # A list in the column of its key: what stands in that column behind it is no part of it.
            inner = column + _BELOW_KEY if above is not None and above.key is not None and column == parent else column
        for one in self._events:
            if isinstance(one, SequenceEndEvent):
                return self._end(group, one, column=inner, above=above)
            self._gap(one.start_mark.index)
            entry = Entry(None, Word(""), self._taken(-1.0 if inner is None else inner))
            group.entries.append(entry)
            self._behind = entry
            entry.value = self._value(one, entry, column=-1 if column is None else column)
        raise CannotRead("a list without an end")

    def _begin(self, event: Any, *, mapping: bool, flow: bool, above: Entry | None) -> tuple[Group, int | None]:
        anchor, start = self._after_anchor(event)
        group = Group(mapping, flow, anchor)
        if anchor:
            self._gap(event.start_mark.index)
            self._at = event.start_mark.index + len(anchor)
        if flow and self._text[start : start + 1] in ("{", "["):
            self._gap(start)
            if above is not None:
                self._hoist(above)
            self._at, self._behind = start + 1, group
        return group, None

    def _end(self, group: Group, event: Any, *, column: float | None, above: Entry | None) -> Group:
        if not group.flow:
            if column is not None:
                self._closed.append((column, group))
            return group
        if event.end_mark.index > event.start_mark.index:
            self._gap(event.start_mark.index)
            group.tail += self._taken(-1.0)
            self._at, self._behind = event.end_mark.index, above
        if not group.entries and above is not None:
            above.above += [*([group.behind] if group.behind else []), *group.tail]
            group.behind, group.tail = "", []
        return group

    def _hoist(self, entry: Entry) -> None:
        """Comments between a key and a value on a later line go above both."""
        if entry.behind:
            entry.above.append(entry.behind)
            entry.behind = ""
        entry.above += [line for line in self._taken(-1.0) if line]

    def _value(self, event: Any, entry: Entry, *, column: int) -> Node:
        match event:
            case MappingStartEvent():
                return self._mapping(event, above=entry)
            case SequenceStartEvent():
                return self._sequence(event, parent=column, above=entry)
            case AliasEvent():
                self._gap(event.start_mark.index)
                self._hoist(entry)
                self._at, self._behind = event.end_mark.index, entry
                return Word(f"*{event.anchor}", "*", event.anchor)
            case ScalarEvent():
                word = self._word(event, column=column, entry=entry)
                if word.empty and column >= 0:
                    self._closed.append((column + _BELOW_KEY, word))
                return word
            case _:
                raise CannotRead(f"{type(event).__name__} in the place of a value")

    def _word(self, event: Any, *, column: int, entry: Entry) -> Word:
        anchor, start = self._after_anchor(event)
        end: int = event.end_mark.index
        if end <= start and not event.style:
            self._gap(min(event.start_mark.index, end))
            self._at = max(self._at, event.start_mark.index + len(anchor))
            return Word("", anchor=anchor)
        self._gap(event.start_mark.index)
        if anchor:
            self._at = event.start_mark.index + len(anchor)
            self._gap(start)
        if self._behind is entry:
            self._hoist(entry)
        style = _STYLES.get(event.style, "plain")
        if style in ("|", ">"):
            return self._block(event, start, column=column, entry=entry, anchor=anchor)
        self._at, self._behind = end, entry
        return Word(self._text[start:end], style, event.value, anchor)

    def _block(self, event: Any, start: int, *, column: int, entry: Entry, anchor: str) -> Word:
        head = _BLOCK_HEAD.match(self._text, start)
        if head is None:
            raise CannotRead("a block of text without its head")
        sign, first, digit, second, comment = head.groups()
        chomping = first or second
        end: int = event.end_mark.index
        raw = self._text[head.end() : end]
        lines = raw.split("\n")[1:]
        if raw.endswith("\n"):
            lines.pop()
        elif chomping != "-":
            chomping = "-"  # the text ends here, without the break that a whole file ends with
        if digit:
            indent = column + int(digit)
        else:
            indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), 0)
            # Lines of nothing but spaces count only beyond the indentation of the others.
            indent = indent or max((len(line) for line in lines), default=0)
        lines = [line[indent:] for line in lines]
        if chomping != "+":
            blank = len(lines)
            while lines and not lines[-1]:
                lines.pop()
            if len(lines) < blank:
                self._lines.append(_Line(-1, ""))
        self._at, self._behind = end, None
        entry.behind = entry.behind or (comment or "").rstrip()
        text = f"{sign}{'2' if digit else ''}{chomping}"
        return Word(text, "|" if sign == "|" else ">", event.value, anchor, lines)
