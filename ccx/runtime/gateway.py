"""The gateway: the only holder of the live table.

Law: requests are handed a `Live` and keep it to their end; nobody else asks which one is current. `commit` is one
reference assignment, after everything that could fail.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Protocol

from ccx.routing.select import stable_ids
from ccx.runtime.caching import Caching
from ccx.runtime.live import Live, retired
from ccx.runtime.queueing import Queueing
from ccx.runtime.selecting import budgeted, cares
from ccx.runtime.watch import SwapWatch
from ccx.state.health import Health
from ccx.state.marks import Marks, MemoryMarks
from ccx.state.memory import MemoryState
from ccx.state.meters import MemoryMeters, Meters
from ccx.state.responses import MemoryResponses, ResponseStore
from ccx.state.retries import Retries
from ccx.telemetry.exchange import Exchange
from ccx.upstream.reply import Engine


class Shared(Protocol):
    """Where state is that this process shares with others."""

    async def run(self) -> None:
        """Stay in touch until cancelled."""

    async def ready(self) -> None:
        """Wait a moment until it is known whether it is there."""

    def describe(self) -> dict[str, Any]:
        """How it fares, for the status."""


class Gateway:
    """Holds the live table and what outlives tables: counters, kept responses, and the engines that are draining."""

    def __init__(self, live: Live) -> None:
        self.state = MemoryState()
        self.meters: Meters = MemoryMeters()
        self.marks: Marks = MemoryMarks()
        self.health = Health()
        self.health.configure(cares(live.table))
        self.caching = Caching()
        self.caching.configure(live.table)
        self.retries = Retries()
        self.queueing = Queueing(shared=lambda: self.shared is not None, rng=self._draw)
        self.health.on_order = self.queueing.stir
        self.responses: ResponseStore = MemoryResponses()
        self.shared: Shared | None = None
        self.rng: Callable[[], float] = random.random
        self.watch = SwapWatch(live.digest)
        self.on_breach: Callable[[str], None] | None = None
        self.in_flight = 0
        self.draining = False
        self._live = live
        self._closing: set[asyncio.Task[None]] = set()
        self.on_commit: Callable[[Live], None] | None = None

    def _draw(self) -> float:
        return self.rng()  # looked up when drawn: tests replace it

    def enter(self) -> None:
        """A request begins."""
        self.in_flight += 1

    def leave(self) -> None:
        """A request has ended."""
        self.in_flight -= 1

    def seen(self, exchange: Exchange) -> None:
        """A request has been served, or not."""
        breach = self.watch.seen(exchange, now=asyncio.get_running_loop().time())
        if breach is not None and self.on_breach is not None:
            self.on_breach(breach)

    @property
    def live(self) -> Live:
        """The table that new requests are served by."""
        return self._live

    def commit(self, live: Live) -> None:
        """Make a prepared table the live one; drain what only the old one used."""
        old, self._live = self._live, live
        self.state.retain(stable_ids(live.table), {client.name for client in live.table.clients})
        self.health.configure(cares(live.table))
        self.caching.configure(live.table)
        if live.table.sticky is None and isinstance(self.marks, MemoryMarks):
            self.marks.clear()
        self.retries.retain(budgeted(live.table))
        self.queueing.configure(live.table, live.metering)
        for engine in retired(old, live):
            self._close(engine)
        if self.on_commit is not None:
            self.on_commit(live)

    def _close(self, engine: Engine) -> None:
        task = asyncio.get_running_loop().create_task(engine.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every engine; requests under way have ended or been cut by then."""
        for upstream in self._live.upstreams.values():
            await upstream.engine.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)
