"""Where a command writes what: `text`, `sarif=ccx.sarif`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ccx.errors import UsageError

Format = Literal["text", "json", "github", "gitlab", "sarif", "junit"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A format and the file it goes to; None is standard output."""

    format: str
    file: Path | None

    def write(self, text: str) -> None:
        """Write the whole text, as UTF-8. Raises UsageError when the file cannot be written."""
        if self.file is None:
            # A terminal or pipe of another encoding shows what it can.
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(text.encode(encoding, errors="backslashreplace").decode(encoding))
            sys.stdout.flush()
            return
        try:
            self.file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {str(self.file)!r}: {error.strerror}") from error


def wanted(text: str, *, legal: Sequence[str]) -> Wanted:
    """Read `FORMAT` or `FORMAT=FILE`. Raises UsageError."""
    name, sign, file = text.partition("=")
    if name not in legal:
        raise UsageError(f"there is no output {name!r}", hint=f"choose from {', '.join(legal)}")
    if sign and not file:
        raise UsageError(f"{text!r} names no file", hint=f"write --output {name}=FILE")
    return Wanted(name, Path(file) if file else None)
