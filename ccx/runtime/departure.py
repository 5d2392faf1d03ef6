"""Noticing that a client has gone, at no cost to requests that are answered quickly."""

from __future__ import annotations

import asyncio
from typing import Any

from ccx.runtime.admission import Receive

PATIENCE = 0.02


class Departure:
    """Cancels the request's task when its client disconnects. Watching starts `PATIENCE` seconds after `watch`: a task
    for each of the requests that are over by then would cost more than it saves."""

    __slots__ = ("_receive", "_task", "_timer", "_watching", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self.gone = False

    def watch(self) -> None:
        """Begin, once the body has been received: from then on `receive` only ever tells of the end."""
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._start)

    def _start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._task is not None:
            self._task.cancel()

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
