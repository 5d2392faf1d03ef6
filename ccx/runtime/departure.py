"""Noticing that a client has gone, at no cost to requests that are answered quickly."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from ccx.runtime.admission import Receive

PATIENCE: Final = 0.02
"""Seconds before watching starts: a task for each of those that are over by then would cost more than it saves."""


class Departures:
    """Has all requests of a loop watched once `PATIENCE` is over, by one timer: a timer of its own would be a good part
    of what a short request costs."""

    __slots__ = ("_timer", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Departure]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, departure: Departure) -> None:
        """Begin to watch it after `PATIENCE`, unless it has been stopped by then."""
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + PATIENCE, departure))
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE, self._sweep)

    def _sweep(self) -> None:
        loop, waiting = asyncio.get_running_loop(), self._waiting
        now = loop.time()
        while waiting and waiting[0][0] <= now:
            waiting.popleft()[1].start()
        # A timer may come a moment early; what is due then has its turn a moment later.
        self._timer = loop.call_later(max(waiting[0][0] - now, 0.001), self._sweep) if waiting else None


class Departure:
    """Cancels the request's task when its client disconnects."""

    __slots__ = ("_receive", "_stopped", "_task", "_watching", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[Any] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._stopped = False
        self.gone = False

    def watch(self, departures: Departures) -> None:
        """Begin, once the body has been received: from then on `receive` only ever tells of the end."""
        self._task = asyncio.current_task()
        departures.add(self)

    def start(self) -> None:
        """Watch from now on."""
        if not self._stopped:
            self._watching = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._task is not None:
            self._task.cancel()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped = True
        self._task = None
        if self._watching is not None:
            self._watching.cancel()
