"""Lays a page out: the one canonical form of what is written.

Law: a function of words, comments and structure alone, so that laying out twice changes nothing. Two spaces for each
level; what is in brackets stays on its line where it fits and holds no comment, and becomes a block where not; what is
a block stays one. At most one blank line, none at the start of a collection; one between sections and between routes
that take several lines. Words are not touched.
"""

from __future__ import annotations

from typing import Final

from ccx.spec.written import Entry, Group, Node, Page, Word

WIDTH: Final = 120
"""Columns that a collection in brackets may take, without the comment behind it."""
_STEP: Final = 2
_SPACED: Final = "routes"
_KEEPS: Final = "\0"
"""Stands behind the last line of a block that keeps its line breaks. A spec holds no such character."""


def laid_out(page: Page) -> str:
    """The text of a page."""
    lines: list[str] = []
    if page.marked:
        lines += [*_above(page.before, "", first=True), _with("---", page.behind)]
    root = page.root
    body = [*([root.behind] if root.behind else []), *_entries(root, 0, root=True)]
    return _joined([*lines, *body])


def _joined(lines: list[str]) -> str:
    """The lines as a text. Behind a block that keeps its last line breaks, a blank line would be one of its own."""
    kept: list[str] = []
    for line in lines:
        if line or not kept or not kept[-1].endswith(_KEEPS):
            kept.append(line)
    text = "\n".join(kept).lstrip("\n")
    return (text if text.endswith(_KEEPS) else text.rstrip("\n")).replace(_KEEPS, "") + "\n"


def _with(line: str, comment: str) -> str:
    return f"{line} {comment}" if comment else line


def _above(comments: list[str], indent: str, *, first: bool, apart: bool = False) -> list[str]:
    """Comment lines, with no two blank ones together; `apart` puts a blank one first where there is none."""
    lines: list[str] = []
    if apart and "" not in comments and not first:
        lines.append("")
    for comment in comments:
        if comment:
            lines.append(indent + comment)
        elif lines[-1:] != [""] and not (first and not lines):
            lines.append("")
    return lines


def _entries(group: Group, indent: int, *, root: bool = False, spaced: bool = False) -> list[str]:
    lines: list[str] = []
    lead = " " * indent
    tall = False
    for place, entry in enumerate(group.entries):
        above, body = _entry(entry, indent, root=root)
        several = len(body) > 1
        apart = (root or spaced) and (several or tall)
        lines += _above(above, lead, first=place == 0, apart=apart)
        lines += body
        tall = several
    tail = _above(group.tail, lead, first=not lines)
    while tail and not tail[-1]:
        tail.pop()
    return lines + tail


def _entry(entry: Entry, indent: int, *, root: bool) -> tuple[list[str], list[str]]:
    """The comments above an entry, and its lines."""
    lead = " " * indent
    if entry.key is None:
        return _item(entry, indent)
    start = f"{lead}{_anchored(entry.key)}:"
    value = entry.value
    if isinstance(value, Word):
        return entry.above, _word(start, value, entry.behind, indent=indent)
    line = _line(value)
    if line is not None and (not value.entries or len(start) + 1 + len(line) <= WIDTH):
        return entry.above, [_with(f"{start} {line}", entry.behind)]
    above = [*entry.above]
    behind = entry.behind
    if value.behind:
        behind, more = value.behind, behind
        above += [more] if more else []
    head = f"{start} {value.anchor}" if value.anchor else start
    spaced = root and entry.key.value == _SPACED
    return above, [_with(head, behind), *_entries(value, indent + _STEP, spaced=spaced)]


def _item(entry: Entry, indent: int) -> tuple[list[str], list[str]]:
    start = " " * indent + "-"
    value = entry.value
    if isinstance(value, Word):
        return entry.above, _word(start, value, entry.behind, indent=indent)
    line = _line(value)
    if line is not None and (not value.entries or len(start) + 1 + len(line) <= WIDTH):
        return entry.above, [_with(f"{start} {line}", entry.behind)]
    above = [*entry.above, *([value.behind] if value.behind else [])]
    if value.anchor:
        return above, [_with(f"{start} {value.anchor}", entry.behind), *_entries(value, indent + _STEP)]
    above += [entry.behind] if entry.behind else []
    # The first entry stands behind the dash; what is said above it goes above both.
    first = value.entries[0]
    more, body = _entry(first, indent + _STEP, root=False)
    above += [comment for comment in more if comment]
    rest = Group(value.mapping, value.flow, "", value.entries[1:], value.tail)
    body[0] = f"{start} {body[0].lstrip(' ')}"
    below = _entries(rest, indent + _STEP)
    gap = rest.entries[0].above if rest.entries else rest.tail
    return above, [*body, *([""] if below and gap[:1] == [""] else []), *below]


def _word(start: str, word: Word, behind: str, *, indent: int) -> list[str]:
    inner = " " * (indent + _STEP)
    if word.style in ("|", ">"):
        head = _with(f"{start} {_anchored(word)}", behind)
        lines = [head, *(inner + line if line else "" for line in word.lines)]
        lines[-1] += _KEEPS if "+" in word.text else ""
        return lines
    if word.empty:
        head = _with(f"{start} {word.anchor}" if word.anchor else start, behind)
        tail = _above(word.tail, inner, first=True)
        return [head, *tail]
    first, *more = _anchored(word).split("\n")
    rest = [inner + stripped if (stripped := line.lstrip(" \t")) else "" for line in more]
    lines = [f"{start} {first}", *rest]
    lines[-1] = _with(lines[-1], behind)
    return lines


def _anchored(word: Word) -> str:
    return f"{word.anchor} {word.text}".strip() if word.anchor else word.text


def _line(node: Node) -> str | None:
    """A collection in brackets, or a word in one, on one line; None where that is not possible."""
    if isinstance(node, Word):
        if node.lines or "\n" in node.text or node.tail:
            return None
        return _anchored(node) if node.text else f"{node.anchor} null".strip()
    if (not node.flow and node.entries) or node.behind or node.tail:
        return None
    parts: list[str] = []
    for entry in node.entries:
        value = _line(entry.value)
        if value is None or entry.behind or any(entry.above):
            return None
        # A colon behind an alias would be part of its name.
        parts.append(value if entry.key is None else f"{_anchored(entry.key)}: {value}")
    text = ", ".join(parts)
    text = f"{{{text}}}" if node.mapping else f"[{text}]"
    return f"{node.anchor} {text}" if node.anchor else text
