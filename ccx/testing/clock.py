"""An event loop whose time is told by its timers: a wait of an hour ends at once, and the clock says an hour.

Law: while anything can run, time stands still; when nothing can, it moves to the next timer. So what runs here is a
function of its input, and takes no longer than its work.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_THREADS = 5.0
"""Seconds in which a thread that was given work must have answered."""


class Stuck(RuntimeError):
    """Everything waits for something that will never come."""


class _Instant(selectors.DefaultSelector):
    """Waits for nothing: moves the clock instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(_THREADS if timeout is None else 0)
        if not ready and timeout is None:
            raise Stuck("nothing is left that could happen")
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Its time starts at 0."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        """Seconds since the loop was made, as its timers count them."""
        return self._instant.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a clock of its own. Raises Stuck, and what `main` raises."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
