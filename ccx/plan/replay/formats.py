"""Which gateway wrote a log: by its first lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, assert_never, get_args

from ccx.errors import UsageError
from ccx.plan.replay import ccx_log, csv_log, litellm_log
from ccx.plan.replay.files import BROKEN, Log
from ccx.plan.replay.logged import REFUSED, Reader, Unreadable

LogFormat = Literal["ccx", "litellm", "csv"]
FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
_TRIED: Final = 200
"""Lines that are looked at before giving up."""
_HINT: Final = f"--log-format {'|'.join(FORMATS)}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A log whose format is known. `skip` lines at the front are no requests; `unit` is what is counted."""

    format: LogFormat
    read: Reader
    blocks: Callable[[], Iterator[list[bytes]]]
    skip: int = 0
    unit: Literal["line", "element"] = "line"


def opened(log: Log, wanted: LogFormat | None) -> Opened:
    """How to read a log. Raises UsageError if the format cannot be told, or is not what was asked for."""
    head = log.head()
    if head is BROKEN or not head.strip():  # nothing to tell a format by, and nothing to read
        return Opened(wanted or "ccx", ccx_log.read, log.lines)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"[") and wanted in (None, "litellm"):
        return Opened("litellm", litellm_log.read, log.elements, unit="element")
    lines = head.split(b"\n")[:_TRIED]
    name = wanted or _guess(lines)
    match name:
        case "ccx":
            return Opened("ccx", ccx_log.read, log.lines)
        case "litellm":
            return Opened("litellm", litellm_log.read, log.lines)
        case "csv":
            before = next((place for place, line in enumerate(lines) if line.strip()), 0)
            return Opened("csv", csv_log.reader(lines[before]), log.lines, skip=before + 1)
        case None:
            raise UsageError(f"{log.name} is in no format that ccx knows", hint=_HINT)
        case _:
            assert_never(name)


def _guess(lines: list[bytes]) -> LogFormat | None:
    for line in lines:
        text = line.strip()
        if text.startswith(b"{"):
            if litellm_log.looks_like(text):
                return "litellm"
            try:
                ccx_log.read(text)
            except Unreadable as why:
                if str(why) != REFUSED:
                    continue
            return "ccx"
        cells = [cell.strip(b' "\r').lower() for cell in text.removeprefix(b"\xef\xbb\xbf").split(b",")]
        if b"protocol" in cells and b"model" in cells:
            return "csv"
    return None
