"""A line on a terminal that says how far a long work has come, and is gone when it is done. Elsewhere: nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, TextIO

_EVERY: Final = 0.1
_AFTER: Final = 0.3  # what is done by then needs no bar
_BAR: Final = 24


class Progress:
    """Draws on `stream` if it is a terminal. `clock` gives seconds."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._shown = False
        self._started = self._drawn = 0.0
        self._active = False

    def __enter__(self) -> Progress:
        self._active = self._stream.isatty()
        self._started = self._clock()
        self._drawn = self._started + _AFTER - _EVERY
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def say(self, text: str) -> None:
        """Show a short text in place of the last."""
        if self._active:
            self._shown = True
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()

    def lines(self, lines: int, at: int, size: int | None) -> None:
        """Lines read so far, and bytes of all; `size` None where it is not known."""
        now = self._clock()
        if not self._active or now - self._drawn < _EVERY:
            return
        self._drawn, self._shown = now, True
        rate = lines / max(now - self._started, 1e-9)
        part = ""
        if size:
            done = min(at / size, 1.0)
            filled = int(done * _BAR)
            part = f"[{'#' * filled}{'.' * (_BAR - filled)}] {int(done * 100):3d} %  "
        self._stream.write(f"\r\x1b[K{part}{lines:,} lines  {rate:,.0f}/s")
        self._stream.flush()
