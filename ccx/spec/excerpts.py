"""Lines of source to show beside a diagnostic, with every secret covered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ccx.spec.diagnostics import Span
from ccx.spec.inline import MASK, mask_line

_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Excerpts:
    """Gives lines of the files that were read. `places` are the stretches that must not be shown."""

    files: Mapping[str, bytes]
    places: Sequence[tuple[str, Span]] = ()
    _lines: dict[str, list[str]] = field(default_factory=dict, compare=False)

    def line(self, file: str, number: int) -> str | None:
        """A line by its number, from 1, with columns unchanged; None where there is no such line."""
        lines = self._lines.get(file)
        if lines is None:
            data = self.files.get(file, b"")
            lines = _LINE_END.split(data.decode("utf-8", errors="replace"))
            self._lines[file] = lines
        if not 1 <= number <= len(lines):
            return None
        text = lines[number - 1]
        for place, span in self.places:
            if place == file and span.line <= number <= span.end_line:
                start = span.col - 1 if number == span.line else len(text) - len(text.lstrip())
                end = span.end_col - 1 if number == span.end_line else len(text)
                text = text[:start] + MASK * (min(end, len(text)) - start) + text[end:]
        return "".join(sign if sign.isprintable() or sign == "\t" else "�" for sign in mask_line(text))
