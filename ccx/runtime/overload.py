"""The guard of the process: which new requests it sheds so that those it has taken go on.

Law: it is asked before anything is read of a request, and costs a comparison while all is well. It looks at the event
loop ten times a second and at the memory with it, decides nothing itself (`ccx.state.overload` does), and never stops
what is under way. Only requests to be proxied are shed: health, status, metrics and orders go on.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ccx.errors import GatewayError
from ccx.routing.table import Server
from ccx.state.overload import Bounds, Shedding
from ccx.telemetry import process

EVERY: Final = 0.1
TRIM_EVERY: Final = 10.0
"""Seconds between two attempts to give freed memory back to the system while there is too much."""
RETRY_AFTER: Final = 1
RETRY_SPREAD: Final = 3
"""Clients are told to come back after one to three seconds, not all at once."""

_CGROUPS: Final = Path("/sys/fs/cgroup")
_SAID: Final = {
    "concurrency": "The gateway is serving as many requests as it may.",
    "lag": "The gateway is overloaded: its event loop cannot keep up.",
    "memory": "The gateway is overloaded: it is short of memory.",
}


class Guard:
    """Sheds requests. `clock` is in seconds, `resident` gives this process's memory and `allowed` what all workers may
    have together, each in bytes or None where it is not known; `rng` gives numbers in [0, 1)."""

    def __init__(
        self,
        server: Server,
        *,
        rng: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        resident: Callable[[], int | None] = process.resident_bytes,
        allowed: int | None = None,
    ) -> None:
        self.shed: Counter[str] = Counter()
        """Requests shed so far, by reason: concurrency, lag, memory."""
        self.workers = 1
        """How many processes share the memory."""
        self.changed: Callable[[bool], None] | None = None
        """Told when shedding begins and when it is over."""
        self.state = Shedding()
        self.resident: int | None = None
        self._rng, self._clock, self._resident = rng, clock, resident
        self._allowed = allowed if allowed is not None else memory_allowed()
        self._server = server
        self._handle: asyncio.Handle | None = None
        self._trimmed = 0.0
        self._trimming: asyncio.Future[None] | None = None

    def configure(self, server: Server) -> None:
        """Go by what another table says."""
        self._server = server
        if server.overload is None:
            was, self.state = self.state.limit is not None, Shedding()
            if was and self.changed is not None:
                self.changed(False)

    def refuses(self, under_way: int, *, most: int) -> str | None:
        """Why a new request is shed; None if it is let in. `under_way` counts it too; `most` may be."""
        state = self.state
        reason: str | None
        if under_way > most:
            reason = "concurrency"
        elif state.limit is None:
            state.admitted += 1
            return None
        else:
            reason = state.admit(self._clock(), under_way=under_way)
        if reason is not None:
            self.shed[reason] += 1
        return reason

    def refusal(self, reason: str) -> GatewayError:
        """What a client is told."""
        after = RETRY_AFTER + int(self._rng() * RETRY_SPREAD)
        return GatewayError(503, "overloaded", _SAID[reason], headers=((b"retry-after", str(after).encode()),))

    @property
    def memory_bound(self) -> int | None:
        """Bytes that this process may have; None where none is declared, or nothing is known."""
        overload = self._server.overload
        if overload is None or self._allowed is None:
            return None
        return int(overload.memory * self._allowed / self.workers)

    async def run(self) -> None:
        """Look at the loop until cancelled."""
        loop = asyncio.get_running_loop()
        self._begin(loop)
        try:
            await loop.create_future()
        finally:
            if self._handle is not None:
                self._handle.cancel()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = loop.call_later(EVERY, self._due, loop, self._clock() + EVERY)

    def _due(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # A timer says how late the loop comes to its timers, a hop how long one round of it takes: the larger is what
        # each step of a request waits.
        now = self._clock()
        self._handle = loop.call_soon(self._hop, loop, now, now - due)

    def _hop(self, loop: asyncio.AbstractEventLoop, before: float, late: float) -> None:
        now = self._clock()
        self.look(now, lag=max(0.0, late, now - before))
        self._begin(loop)

    def look(self, now: float, *, lag: float) -> None:
        """The loop was late by `lag` seconds."""
        overload = self._server.overload
        if overload is None:
            return
        bound = self.memory_bound
        resident = self.resident = self._resident()
        was = self.state.limit is not None
        self.state.sample(now, lag=lag, resident=resident, bounds=Bounds(overload.lag / 1000, bound))
        if resident is not None and bound is not None and resident > bound and now - self._trimmed >= TRIM_EVERY:
            self._trimmed = now
            self._trimming = asyncio.get_running_loop().run_in_executor(None, give_back)
        if self.changed is not None and was != (self.state.limit is not None):
            self.changed(not was)

    def describe(self) -> dict[str, Any]:
        """How it stands, for the status."""
        limit = self.state.limit
        return {
            "enabled": self._server.overload is not None,
            "shedding": self.state.reason,
            "limit_per_second": round(limit, 1) if limit is not None else None,
            "lag_ms": round(self.state.standing * 1000, 1),
            "memory_bytes": self.resident,
            "memory_bound_bytes": self.memory_bound,
            "shed": dict(self.shed),
        }


def memory_allowed(*, root: Path = _CGROUPS, mine: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes of memory that the cgroup or the machine allows, the lesser; None where neither says."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        machine = 0
    found = [machine] if machine > 0 else []
    for file in _limit_files(root, mine):
        try:
            found.append(int(file.read_text()))
        except (OSError, ValueError):
            continue  # not there, or `max`
    return min(found, default=None)


def _limit_files(root: Path, mine: Path) -> Iterator[Path]:
    """Where the limits of this process's cgroup and of those above it may stand. Version 2 has one tree, version 1 one
    for memory; in a container the root is its own. https://docs.kernel.org/admin-guide/cgroup-v2.html"""
    try:
        lines = mine.read_text().splitlines()
    except OSError:
        lines = []
    yield root / "memory.max"
    yield root / "memory" / "memory.limit_in_bytes"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        here = base / path.lstrip("/")
        while here != base and base in here.parents:
            yield here / name
            here = here.parent


def give_back() -> None:
    """Give freed memory back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
