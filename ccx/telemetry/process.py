"""What the operating system and the event loop say about this process. Nothing here raises."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc/self")
_LAG_EVERY: Final = 0.5
_LAG_KEEP: Final = 30  # samples: the worst of the last 15 seconds


def cpu_seconds() -> float:
    """User and system CPU time of this process."""
    return time.process_time()


def resident_bytes() -> int | None:
    """Resident memory; None where the system has no /proc."""
    try:
        return int((_PROC / "statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def open_descriptors() -> int | None:
    """Open file descriptors; None where the system has no /proc."""
    try:
        return len(os.listdir(_PROC / "fd")) - 1  # the listing itself holds one
    except OSError:
        return None


def start_time() -> float | None:
    """Unix time at which the process started; None where the system has no /proc."""
    try:
        # The second field, the command, may hold spaces and parentheses: count from its end.
        ticks = int((_PROC / "stat").read_text(errors="replace").rpartition(")")[2].split()[19])
        boot = next(
            int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")
        )
        return boot + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None


class LoopLag:
    """How late the event loop runs its timers: what a request waits because of other work."""

    def __init__(self, *, every: float = _LAG_EVERY) -> None:
        self._every = every
        self._samples: deque[float] = deque(maxlen=_LAG_KEEP)

    @property
    def seconds(self) -> float:
        """The worst of the last `_LAG_KEEP` samples; 0 before the first."""
        return max(self._samples, default=0.0)

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._every
            await asyncio.sleep(self._every)
            self._samples.append(max(0.0, loop.time() - due))
