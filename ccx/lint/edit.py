"""Edits of a spec's text that leave everything else as it is: comments, quotes, order, blank lines.

Law: an edit is offered only where the text is plainly understood; where it is not (an alias, a comment amid the part to
go, a list written over odd lines) there is none, and the finding stays for a person. What is removed takes the comment
on its own lines with it, and the comment lines that stand directly above it, unless it is the first of its list: there
such a comment may be the list's own.
"""

from __future__ import annotations

import json
import re
from typing import Final

from ccx.lint.subject import Subject
from ccx.spec.diagnostics import Path, Span, TextEdit
from ccx.spec.locations import Tree
from ccx.spec.merge import CONCATENATED

_LINE_END: Final = re.compile("\r\n|\n|\r")
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_RESERVED: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_DASH: Final = re.compile(r"\s*-\s+")


def text_lines(data: bytes, *, keep: bool = False) -> list[str]:
    """The lines of a text as places count them, without their ends, or with them."""
    text = data.decode("utf-8", "replace")
    if not keep:
        return _LINE_END.split(text)
    ends = [match.end() for match in _LINE_END.finditer(text)]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def lines_of(subject: Subject, file: str) -> list[str]:
    """The lines of a file, without their ends."""
    return text_lines(subject.loaded.closure.files[file])


def scalar(text: str) -> str:
    """A text as YAML: plain where it may be, else in double quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    return json.dumps(text, ensure_ascii=False)


def replaced(subject: Subject, path: Path, text: str) -> tuple[TextEdit, ...]:
    """The scalar at a path, written anew. `text` is YAML."""
    tree = subject.tree(path)
    if tree is None or isinstance(tree.content, dict | tuple) or subject.shared(path):
        return ()
    if tree.span.line != tree.span.end_line or tree.span.col == tree.span.end_col:
        return ()
    return (TextEdit(tree.file, tree.span, text),)


def without(subject: Subject, path: Path) -> tuple[TextEdit, ...]:
    """The list item or the entry of a mapping at a path, taken out."""
    tree = subject.tree(path)
    home = _home(subject, path)
    if tree is None or home is None or subject.shared(path):
        return ()
    parent, part = home
    lines = lines_of(subject, tree.file)
    flow = _at(lines, parent.span) in ("[", "{")
    if isinstance(parent.content, tuple) and isinstance(part, int):
        if len(parent.content) < 2:
            return ()
        if flow:
            spans = [child.span for child in parent.content]
            return _from_flow(tree.file, spans, part, lines)
        return _block_item(tree, lines, first=part == 0)
    if parent.keys is None or not isinstance(part, str) or len(parent.keys) < 2 or not isinstance(parent.content, dict):
        return ()
    if flow:
        names = list(parent.content)
        spans = [_covering(parent.keys[name], parent.content[name].span) for name in names]
        return _from_flow(tree.file, spans, names.index(part), lines)
    return _block_entry(parent.keys[part], tree, lines)


def _home(subject: Subject, path: Path) -> tuple[Tree, str | int] | None:
    """What holds the value in its own file, and where in it: sections of several files are one in the document."""
    tree = subject.tree(path)
    parent = subject.tree(path[:-1])
    if tree is None or parent is None:
        return None
    if len(path) == 2 and path[0] in CONCATENATED:
        source = next((one for one in subject.loaded.closure.sources if one.name == tree.file), None)
        section = source.tree.child(path[0]) if source is not None and source.tree is not None else None
        for index, item in enumerate(section.content if section and isinstance(section.content, tuple) else ()):
            if item is tree and section is not None:
                return section, index
        return None
    holds = parent.file == tree.file and _within(tree.span, parent.span)
    return (parent, path[-1]) if holds else None


def _within(inner: Span, outer: Span) -> bool:
    return (outer.line, outer.col) <= (inner.line, inner.col) and (inner.end_line, inner.end_col) <= (
        outer.end_line,
        outer.end_col,
    )


def _covering(first: Span, second: Span) -> Span:
    end = max((first.end_line, first.end_col), (second.end_line, second.end_col))
    return Span(first.line, first.col, *end)


def _at(lines: list[str], span: Span) -> str:
    return lines[span.line - 1][span.col - 1 : span.col]


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The text from one place (line, column from 1) to another."""
    (line, col), (end_line, end_col) = start, end
    if line == end_line:
        return lines[line - 1][col - 1 : end_col - 1]
    middle = lines[line : end_line - 1]
    return "\n".join([lines[line - 1][col - 1 :], *middle, lines[end_line - 1][: end_col - 1]])


def _from_flow(file: str, spans: list[Span], index: int, lines: list[str]) -> tuple[TextEdit, ...]:
    """Of `[a, b, c]` or `{a: 1, b: 2}`: the entry and one comma. Nothing where a comment stands between."""
    span = spans[index]
    if index + 1 < len(spans):
        start, end = (span.line, span.col), (spans[index + 1].line, spans[index + 1].col)
        gap = _between(lines, (span.end_line, span.end_col), end)
    else:
        before = spans[index - 1]
        start, end = (before.end_line, before.end_col), (span.end_line, span.end_col)
        gap = _between(lines, start, (span.line, span.col))
    if gap.strip() != ",":
        return ()
    return (TextEdit(file, Span(*start, *end), ""),)


def _block_item(tree: Tree, lines: list[str], *, first: bool) -> tuple[TextEdit, ...]:
    span = tree.span
    lead = lines[span.line - 1][: span.col - 1]
    if _DASH.fullmatch(lead) is None:
        return ()
    return _whole_lines(tree.file, span, lines, indent=len(lead) - len(lead.lstrip()), first=first)


def _block_entry(key: Span, tree: Tree, lines: list[str]) -> tuple[TextEdit, ...]:
    lead = lines[key.line - 1][: key.col - 1]
    if lead.strip():
        return ()  # it stands behind the dash of a list
    above = lines[key.line - 2].strip() if key.line > 1 else ""
    return _whole_lines(tree.file, _covering(key, tree.span), lines, indent=len(lead), first=above.endswith(":"))


def _whole_lines(file: str, span: Span, lines: list[str], *, indent: int, first: bool) -> tuple[TextEdit, ...]:
    """The lines of a block, with its comment above; blank lines that would meet become one."""
    start, end = span.line, span.end_line
    if span.end_col == 1 and end > start:
        end -= 1  # a block scalar ends at the start of the line after it
    rest = lines[end - 1][span.end_col - 1 :] if span.end_col > 1 else ""
    if rest.strip() and not rest.lstrip().startswith("#"):
        return ()
    if not first:
        while start > 1 and lines[start - 2].startswith(" " * indent + "#"):
            start -= 1
    text_ends = len(lines) - 1 if not lines[-1] else len(lines)
    if start < 2 or not lines[start - 2].strip():
        while end < text_ends and not lines[end].strip():
            end += 1
    if end < text_ends:
        return (TextEdit(file, Span(start, 1, end + 1, 1), ""),)
    while start > 1 and not lines[start - 2].strip():
        start -= 1
    if start < 2:
        return ()
    # To the end of the text: the break before the block goes, the one at the very end stays.
    last = text_ends
    return (TextEdit(file, Span(start - 1, len(lines[start - 2]) + 1, last, len(lines[last - 1]) + 1), ""),)
