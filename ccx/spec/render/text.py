"""For people: place, message, source line with a caret, what to write instead, further places.

    ccx.yaml:4:10: error: unknown key 'provder' in channel 'main' [CCX101 unknown-key]
       4 |   main: {provder: anthropic}
         |          ^^^^^^^ provider
         = help: did you mean `provider`?

Columns count characters; wide characters take two cells and tabs four, so that carets stand where they should. A line
longer than the width is shown around its caret.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from ccx.spec.diagnostics import Diagnostic, Span
from ccx.spec.excerpts import Excerpts
from ccx.spec.render.report import Report, summary

MIN_WIDTH: Final = 40
_TAB: Final = 4
_COLOURS: Final = {"error": "31", "warning": "33", "info": "36", "place": "1", "frame": "34", "help": "32"}
_CUT: Final = "…"


def render_text(reports: Sequence[Report], *, width: int = 100, colour: bool = False, strict: bool = False) -> str:
    """All findings and a summary line for each spec. `width` is in terminal cells."""
    page = _Page(max(width, MIN_WIDTH), colour)
    blocks: list[str] = []
    for one in reports:
        blocks.extend("\n".join(page.block(found, one.excerpts)) + "\n" for found in one.diagnostics)
        counts = one.counts
        failed = counts.errors > 0 or (strict and counts.warnings > 0)
        tone = "error" if failed else "warning" if counts.warnings else "help"
        blocks.append(page.paint(tone, summary(one, strict=strict)))
    return "\n".join(blocks) + "\n"


def render_findings(
    diagnostics: Sequence[Diagnostic], *, excerpts: Excerpts, width: int = 100, colour: bool = False
) -> str:
    """Findings alone, without a summary; empty for none."""
    page = _Page(max(width, MIN_WIDTH), colour)
    return "\n".join("\n".join(page.block(found, excerpts)) + "\n" for found in diagnostics)


class _Page:
    """Lays out findings for one width, with or without colour."""

    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self.colour = colour

    def paint(self, tone: str, text: str) -> str:
        return f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m" if self.colour else text

    def block(self, found: Diagnostic, excerpts: Excerpts) -> Iterator[str]:
        place = self.paint("place", f"{found.file}:{found.span.line}:{found.span.col}:")
        yield f"{place} {self.paint(found.severity, found.severity)}: {found.message} [{found.code} {found.name}]"
        margin = len(str(max(found.span.line, *(one.span.line for one in found.related), 1))) + 3
        yield from self.excerpt(found.file, found.span, excerpts, margin=margin, note=found.suggestion)
        bar = " " * margin
        if found.help is not None:
            yield from self.wrapped(f"{bar} {self.paint('frame', '=')} help: ", found.help, indent=margin + 9)
        for one in found.related:
            yield f"{bar} {self.paint('frame', '=')} {one.file}:{one.span.line}:{one.span.col}: {one.message}"
            yield from self.excerpt(one.file, one.span, excerpts, margin=margin, note=None)
        if found.witness is not None:
            # Never wrapped: it is there to be copied.
            yield f"{bar} {self.paint('frame', '=')} try: {found.witness}"
        if found.fix is not None:
            option = "ccx lint --fix" if found.fix.safe else "ccx lint --unsafe-fixes"
            yield f"{bar} {self.paint('frame', '=')} fix: {found.fix.title} ({option})"

    def wrapped(self, head: str, text: str, *, indent: int) -> Iterator[str]:
        lines = textwrap.wrap(text, max(self.width - indent, 20), break_long_words=False, break_on_hyphens=False)
        for index, line in enumerate(lines or [""]):
            yield (head if index == 0 else " " * indent) + line

    def excerpt(self, file: str, span: Span, excerpts: Excerpts, *, margin: int, note: str | None) -> Iterator[str]:
        source = excerpts.line(file, span.line)
        if source is None or not source.strip():
            return
        last = span.end_col - 1 if span.end_line == span.line else len(source)
        start = min(span.col - 1, len(source))
        text, left, right = _fitted(source, start, max(last, start), room=max(self.width - margin - 3, 20))
        frame = self.paint("frame", "|")
        yield f"{self.paint('frame', str(span.line).rjust(margin))} {frame} {text}".rstrip()
        caret = self.paint("error", "^" * max(right - left, 1))
        yield f"{' ' * margin} {frame} {' ' * left}{caret}{' ' + note if note else ''}"


def _cells(sign: str) -> int:
    if sign == "\t":
        return _TAB
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _fitted(source: str, start: int, end: int, *, room: int) -> tuple[str, int, int]:
    """The part of a line that fits, and where in it, in cells, the stretch from start to end lies."""
    first, cut = 0, len(source)
    if sum(map(_cells, source)) > room:
        space = room - 2 * len(_CUT)
        # Some context before the caret, then as much as fits after it, then more before it if there is room left.
        first = start
        used = 0
        while first > 0 and used + _cells(source[first - 1]) <= space // 3:
            first -= 1
            used += _cells(source[first])
        cut = start
        while cut < len(source) and used + _cells(source[cut]) <= space:
            used += _cells(source[cut])
            cut += 1
        while first > 0 and used + _cells(source[first - 1]) <= space:
            first -= 1
            used += _cells(source[first])
    shown = source[first:cut].replace("\t", " " * _TAB)
    before = _CUT if first > 0 else ""
    after = _CUT if cut < len(source) else ""
    left = len(before) + sum(map(_cells, source[first : max(start, first)]))
    right = len(before) + sum(map(_cells, source[first : max(min(end, cut), first)]))
    return before + shown + after, left, right
