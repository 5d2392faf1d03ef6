"""How wide a text is in a picture, roughly: in a proportional font, without one.

Law: errs on the wide side. The widths are of the widest common sans-serif, in parts of the font's size, so that text
stays within its box whatever font a viewer has.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_NARROW: Final = frozenset("ijlI.,:;'!|()[]{}/\\ tfr-")
_WIDE: Final = frozenset("mwMW@%")


def width(text: str, size: float) -> float:
    """The width of a printable text in a font of this size, in the size's unit."""
    return sum(_em(sign) for sign in text) * size


def _em(sign: str) -> float:
    if sign in _NARROW:
        return 0.4
    if sign in _WIDE:
        return 0.98
    if sign.isascii():
        return 0.72 if sign.isupper() else 0.62
    if unicodedata.combining(sign):
        return 0.0
    return 1.1 if unicodedata.east_asian_width(sign) in "WF" else 0.8


def cut(text: str, room: float, *, size: float) -> str:
    """The text within `room`; of one too long the middle is left out."""
    if width(text, size) <= room:
        return text
    head, tail = len(text) // 2, len(text) // 2 + 1
    while head > 0 and width(f"{text[:head]}…{text[tail:]}", size) > room:
        head, tail = head - 1, min(tail + 1, len(text))
    return f"{text[:head]}…{text[tail:]}"


def lines(text: str, room: float, *, size: float, most: int) -> list[str]:
    """The text in at most `most` lines within `room`, broken at spaces; the last one tells that there was more."""
    found: list[str] = []
    line = ""
    words = text.split(" ")
    for place, word in enumerate(words):
        longer = f"{line} {word}" if line else word
        if line and width(longer, size) > room:
            found.append(line)
            if len(found) == most:
                found[-1] = cut(f"{found[-1]} {' '.join(words[place:])}", room, size=size)
                return found
            longer = word
        line = longer if width(longer, size) <= room else cut(longer, room, size=size)
    return [*found, line]
