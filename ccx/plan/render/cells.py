"""Text in terminal cells: measured, wrapped, cut, painted.

Law: nothing that comes out can move the cursor or change a colour but the colours asked for here. Whatever is not
printable is written as an escape that shows it; where the output is ASCII, so is whatever is not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Tone = Literal["plain", "dim", "bold", "bad", "warn", "good", "note", "moved", "before", "after"]

_SGR: Final[dict[Tone, str]] = {
    "dim": "2",
    "bold": "1",
    "bad": "1;31",
    "warn": "33",
    "good": "32",
    "note": "36",
    "moved": "35",
    "before": "2",
    "after": "1",
}


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of an output beyond ASCII, or what stands for them."""

    then: str
    to: str
    cut: str
    moved: str
    at_most: str
    dot: str
    bar: str


UNICODE: Final = Signs(then="▸", to="→", cut="…", moved="»", at_most="≤", dot="·", bar="─")
ASCII: Final = Signs(then=">", to="->", cut="...", moved=">>", at_most="<=", dot="-", bar="-")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one tone. The text is shown as it is: make it `visible` first."""

    text: str
    tone: Tone = "plain"


def visible(text: str, *, ascii_only: bool = False) -> str:
    """The text with whatever is not printable written as an escape: `\\x1b`, `\\n`, `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign
        if sign.isprintable() and (sign.isascii() or not ascii_only)
        else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def cells(text: str) -> int:
    """How many cells a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(sign) for sign in text)


def _cells(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def elided(text: str, room: int, *, cut: str = "…") -> str:
    """The text in at most `room` cells; of one too long the middle is left out, for both ends tell names apart."""
    if cells(text) <= room:
        return text
    space = room - cells(cut)
    if space < 1:
        return _first(text, max(room, 0))
    tail = space // 2
    return _first(text, space - tail) + cut + _last(text, tail)


def _first(text: str, room: int) -> str:
    used = 0
    for place, sign in enumerate(text):
        used += _cells(sign)
        if used > room:
            return text[:place]
    return text


def _last(text: str, room: int) -> str:
    used = 0
    for place in range(len(text) - 1, -1, -1):
        used += _cells(text[place])
        if used > room:
            return text[place + 1 :]
    return text


def wrapped(text: str, room: int, *, cut: str = "…", hang: int = 0) -> list[str]:
    """Lines of at most `room` cells, broken at spaces; lines after the first are indented by `hang`. At least one."""
    return filled(text.split(" "), room, cut=cut, hang=hang)


def filled(words: Sequence[str], room: int, *, cut: str = "…", hang: int = 0, gap: int = 1) -> list[str]:
    """The same for words that may hold spaces themselves, and are never broken. One too long is elided."""
    lines: list[str] = []
    line: str | None = None
    for word in words:
        if line is not None:
            if cells(line) + gap + cells(word) <= room:
                line = line + " " * gap + word
                continue
            lines.append(line)
        indent = hang if lines else 0
        line = " " * indent + elided(word, room - indent, cut=cut)
    return [*lines, line or ""]


def fitted(spans: Sequence[Span], width: int, *, cut: str = "…") -> list[Span]:
    """The spans in at most `width` cells: the line's last defence, for layouts wrap before they come here."""
    if sum(cells(span.text) for span in spans) <= width:
        return list(spans)
    kept: list[Span] = []
    left = width
    for span in spans:
        size = cells(span.text)
        if size > left:
            kept.append(Span(_first(_first(span.text, max(left - cells(cut), 0)) + cut, left), span.tone))
            break
        kept.append(span)
        left -= size
    return kept


def painted(spans: Sequence[Span], *, colour: bool) -> str:
    """One line as it goes to the terminal, without blanks at its end."""
    shown: list[str] = []
    for span in _trimmed(spans):
        code = _SGR.get(span.tone) if colour and span.text.strip() else None
        shown.append(f"\x1b[{code}m{span.text}\x1b[0m" if code else span.text)
    return "".join(shown)


def _trimmed(spans: Sequence[Span]) -> list[Span]:
    kept = list(spans)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        kept[-1] = Span(kept[-1].text.rstrip(), kept[-1].tone)
    return kept
