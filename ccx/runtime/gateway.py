"""The gateway: the only holder of the live table, and of a new one that is tried beside it.

Law: requests are handed a `Live`, or a `Split` of two to choose from, and keep it to their end; nobody else asks which
one is current. `commit` is a reference assignment, after everything that could fail. What outlives tables is kept for
as long as either of the two names it; where both do, the live one's settings hold.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from ccx.routing.select import stable_ids
from ccx.routing.table import RoutingTable
from ccx.runtime.alerts import Alerts
from ccx.runtime.budgets import Budgets
from ccx.runtime.caching import Caching
from ccx.runtime.canary import Canary
from ccx.runtime.live import Live, retired
from ccx.runtime.overload import Guard
from ccx.runtime.queueing import Queueing
from ccx.runtime.selecting import budgeted, cares
from ccx.runtime.splitting import Split
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
        self.health = Health(unix=_unix)
        self.health.configure(cares(live.table))
        self.caching = Caching()
        self.caching.configure(live.table)
        self.retries = Retries()
        self.guard = Guard(live.table.server, rng=self._draw)
        self.queueing = Queueing(shared=lambda: self.shared is not None, rng=self._draw)
        self.health.on_order = self.queueing.stir
        self.responses: ResponseStore = MemoryResponses()
        self.shared: Shared | None = None
        self.alerts: Alerts | None = None
        self.budgets: Budgets | None = None
        self.rng: Callable[[], float] = random.random
        self.watch = SwapWatch(live.digest)
        self.on_breach: Callable[[str], None] | None = None
        self.canary: Canary | None = None
        self.split: Split | None = None
        self.on_canary_breach: Callable[[Canary, str], None] | None = None
        self.in_flight = 0
        self.draining = False
        self._live = live
        self._closing: set[asyncio.Task[None]] = set()
        self.on_commit: Callable[[tuple[Live, ...]], None] | None = None

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
        now = asyncio.get_running_loop().time()
        breach = self.watch.seen(exchange, now=now)
        if breach is not None and self.on_breach is not None:
            self.on_breach(breach)
        if exchange.table is not None and self.canary is not None:
            breach = self.canary.seen(exchange, now=now)
            if breach is not None and self.on_canary_breach is not None:
                self.on_canary_breach(self.canary, breach)

    @property
    def live(self) -> Live:
        """The table in force: new requests are served by it, but for a canary's share."""
        return self._live

    @property
    def newest(self) -> Live:
        """The table whose word counts where it is about who may do what: a canary's, if there is one."""
        return self.canary.live if self.canary is not None else self._live

    @property
    def lives(self) -> tuple[Live, ...]:
        """The tables that serve: the live one, and a canary's."""
        return (self._live,) if self.canary is None else (self._live, self.canary.live)

    def commit(self, live: Live, canary: Canary | None = None) -> None:
        """Make a prepared table the live one, with another tried beside it or none; drain what only the old used."""
        before = self.lives
        split = Split(live, canary.live, canary.lot) if canary is not None else None
        self._live, self.canary, self.split = live, canary, split
        if canary is not None:
            canary.against(live.digest)
        lives = self.lives
        tables = [one.table for one in lives]
        self._retain(tables)
        self.health.configure({name: care for table in reversed(tables) for name, care in cares(table).items()})
        self.caching.configure(*tables)
        if all(table.sticky is None for table in tables) and isinstance(self.marks, MemoryMarks):
            self.marks.clear()
        self.queueing.configure(*((one.table, one.metering) for one in lives))
        self.guard.configure(live.table.server)
        for engine in retired(before, lives):
            self._close(engine)
        if self.on_commit is not None:
            self.on_commit(lives)

    def sweep(self, now: float) -> None:
        """Forget what has ended, and what requests on tables before these have told since they came. Called now and
        then with the loop's time; nothing depends on when."""
        tables = [one.table for one in self.lives]
        self.health.sweep(now)
        self.caching.retain(*tables)
        self._retain(tables)

    def _retain(self, tables: list[RoutingTable]) -> None:
        clients = {client.name for table in tables for client in table.clients}
        self.state.retain(frozenset[str]().union(*map(stable_ids, tables)), clients)
        self.retries.retain(frozenset[str]().union(*map(budgeted, tables)))

    def _close(self, engine: Engine) -> None:
        task = asyncio.get_running_loop().create_task(engine.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close every engine; requests under way have ended or been cut by then."""
        for engine in {id(up.engine): up.engine for live in self.lives for up in live.upstreams.values()}.values():
            await engine.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)


def _unix(now: float) -> float:
    """The unix time of a moment of the loop's clock, by what the time is now: it may have been set meanwhile."""
    return time.time() + now - asyncio.get_running_loop().time()
