"""The request log: one line per exchange, worked off in batches.

Law: `emit` appends to a bounded buffer and returns; that is all a request pays for. Everything else happens in `run`,
which is owned by the caller's task group, in slices short enough that no other request notices. When the buffer is
full because nobody reads what is written, new lines are dropped and counted: the log is late or short, the gateway is
not. The fields of a line are documented in `lines.ExchangeLine`. It must not know about requests, tables or metrics.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from typing import Final, Literal, assert_never

from ccx.telemetry.exchange import Exchange
from ccx.telemetry.lines import Clock, json_line, text_line
from ccx.telemetry.writer import LineWriter

LogFormat = Literal["json", "text", "none"]

CAPACITY: Final = 65_536
BATCH: Final = 512
INTERVAL: Final = 0.1
SLICE: Final = 16
"""Lines formatted between two turns of the loop, or a sixteenth of those that wait: few enough for a request not to
notice, and as many as it takes under load."""


class RequestLog:
    """Buffers exchanges and writes them as lines through `writer`.

    `format` none keeps nothing. `colour` is for `text` only; None means when the destination is a terminal. `redact`
    names headers and body fields whose values are not written, in lower case.
    Not thread-safe: `emit`, `run` and `flush` belong to the thread of the event loop.
    """

    def __init__(
        self,
        writer: LineWriter,
        *,
        format: LogFormat = "json",  # noqa: A002  # the word of the spec
        colour: bool | None = None,
        capacity: int = CAPACITY,
        interval: float = INTERVAL,
        redact: Collection[str] = (),
    ) -> None:
        self.writer = writer
        self.format: LogFormat = format
        self.colour = writer.is_terminal() if colour is None else colour
        self.dropped = 0
        self.unrenderable = 0
        self._capacity = 0 if format == "none" else capacity
        self._interval = interval
        self._buffer: deque[Exchange] = deque()
        self._wake = asyncio.Event()
        self._clock = Clock()
        self._redact = frozenset(redact)

    @property
    def lost(self) -> int:
        """Lines that reached the writer and could not be written."""
        return self.writer.lost_lines

    @property
    def waiting(self) -> int:
        """Exchanges that are buffered and not yet handed to the writer."""
        return len(self._buffer)

    def emit(self, exchange: Exchange) -> None:
        """Take over an exchange. Never blocks, never raises; drops and counts when the buffer is full."""
        buffer = self._buffer
        size = len(buffer)
        if size >= self._capacity:
            if self._capacity:
                self.dropped += 1
            return
        buffer.append(exchange)
        if size == 0 or size == BATCH - 1:
            self._wake.set()

    async def run(self) -> None:
        """Write batches until cancelled: `interval` seconds after the first line, or at once when `BATCH` are there.

        Idle costs nothing. What is buffered at cancellation is left to `flush`.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if len(self._buffer) < BATCH:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._wake.wait()
                self._wake.clear()
            while self._buffer:
                if self.writer.busy:
                    await asyncio.sleep(self._interval)
                    continue
                await self._hand_over()

    async def _hand_over(self) -> None:
        lines: list[bytes] = []
        try:
            while self._buffer and len(lines) < BATCH:
                self._format(lines, max(SLICE, len(self._buffer) // 16))
                await asyncio.sleep(0)
        finally:  # cancelled in between: what left the buffer is still written
            if lines:
                self.writer.submit(b"".join(lines), len(lines))

    def _format(self, lines: list[bytes], count: int) -> None:
        buffer, clock = self._buffer, self._clock
        for _ in range(min(count, len(buffer))):
            exchange = buffer.popleft()
            try:
                match self.format:
                    case "json":
                        lines.append(json_line(exchange, clock, redact=self._redact))
                    case "text":
                        lines.append(text_line(exchange, clock, colour=self.colour))
                    case "none":
                        continue
                    case _ as never:
                        assert_never(never)
            except Exception:  # noqa: BLE001  # a record that cannot be rendered costs its line, not the log
                self.unrenderable += 1

    def reopen(self) -> None:
        """Open the log file anew, as after SIGHUP."""
        self.writer.reopen()

    def flush(self, timeout: float = 2.0) -> bool:
        """Write everything buffered and wait for it, at most `timeout` seconds. For shutdown: it blocks.

        False if the destination did not take it all in that time.
        """
        lines: list[bytes] = []
        while self._buffer:
            self._format(lines, BATCH)
            self.writer.submit(b"".join(lines), len(lines))
            lines.clear()
        return self.writer.drain(timeout)
