"""uvicorn's server with our way of stopping.

Law: from the first stop signal the gateway is draining, and says so at `/ready` on a port that still answers, until the
requests under way have ended or the drain time has; only then is the port closed. A stop is not an error: the exit code
is 0. A second SIGINT cuts at once. A worker whose parent has gone stops as if it had been told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import uvicorn

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server(uvicorn.Server):
    """`drain` gives seconds, asked for when the stop begins; `parent` is the process that this one must not outlive, if
    there is one."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[], float],
        in_flight: Callable[[], int],
        on_started: Callable[[], None],
        on_draining: Callable[[], None],
        parent: int | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._in_flight = in_flight
        self._on_started = on_started
        self._on_draining = on_draining
        self._parent = parent
        self._limit = math.inf
        self._ends = math.inf

    @contextlib.contextmanager
    def stopping_at_signals(self) -> Iterator[None]:
        """Hear stop signals. Apart from `serve`, so that one that comes before it is not lost."""
        loop = asyncio.get_running_loop()
        for sig in STOP_SIGNALS:
            loop.add_signal_handler(sig, self.handle_exit, sig, None)
        try:
            yield
        finally:
            for sig in STOP_SIGNALS:
                loop.remove_signal_handler(sig)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to `stopping_at_signals`: uvicorn would die of the signal after all is done."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, and say so."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_started()

    def handle_exit(self, sig: int, frame: object) -> None:
        """A stop signal."""
        if not self.should_exit:
            self._limit = self._drain()
            self._ends = time.monotonic() + self._limit
            self._on_draining()
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # the frame is passed through untouched

    async def on_tick(self, counter: int) -> bool:
        """Whether to close the port and end."""
        if self._parent is not None and not self.should_exit and os.getppid() != self._parent:
            self.handle_exit(signal.SIGTERM, None)
        if not await super().on_tick(counter):
            return False
        left = self._ends - time.monotonic()
        if left > 0 and self._in_flight() and not self.force_exit:
            return False
        # What is left of the time is for answers that are still on their way to slow readers.
        self.config.timeout_graceful_shutdown = max(0, math.ceil(min(left, self._limit)))
        return True
