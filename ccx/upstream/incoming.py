"""The reply that is being read from a direct connection.

Law
- What has arrived is never lost: buffered body is delivered before the error that ended it.
- It ends once, whole or in one `UpstreamError`, which is kept and raised to whoever asks next.
- One task waits at a time. A wait that is cancelled gives the reply up: nobody will come for the rest.
- While nobody waits only the total limit counts: a slow client is not the upstream's silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from ccx.errors import BadReply, ConnectionLost, UpstreamError, UpstreamTimeout
from ccx.upstream.reply import Call, Header

if TYPE_CHECKING:
    from ccx.upstream.connection import Connection

HIGH_WATER = 256 * 1024
"""Unread bytes of a body above which reading from the socket pauses."""


class IncomingReply:
    """Implements `reply.Reply` over a connection. Made by the engine when a request is about to be written."""

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_ended",
        "_error",
        "_first_byte_ends",
        "_idle",
        "_total_ends",
        "_waiter",
        "began",
        "headers",
        "sent_at",
        "status",
    )

    def __init__(self, connection: Connection, call: Call, *, now: float, total_ends: float) -> None:
        self.status = 0  # 0 until the head is complete
        self.headers: list[Header] = []
        self.sent_at: float | None = None  # loop time at which the last byte was handed to the transport
        self.began = False  # a byte of the reply has arrived
        self._connection: Connection | None = connection
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._ended = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._first_byte_ends = inf if call.timeouts.first_byte is None else now + call.timeouts.first_byte
        self._idle = inf if call.timeouts.idle is None else call.timeouts.idle
        self._total_ends = total_ends
        connection.serve(self, head_only=call.method == b"HEAD")

    async def send(self, batches: Sequence[list[bytes | memoryview]]) -> None:
        """Write the request a batch at a time and wait for the head. Raises UpstreamTimeout, ConnectionLost, BadReply.

        A refusal (status >= 400) that arrives early ends the writing: the upstream will not read the rest.
        """
        left = len(batches)
        for batch in batches:
            if self._connection is None or self.status >= 400:
                break
            self._connection.write(batch)
            left -= 1
            if not left:
                self.sent_at = asyncio.get_running_loop().time()
                break
            while self._is_congested():
                await self._wait(self._first_byte_ends)
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait(self._first_byte_ends)

    async def next(self) -> bytes:
        """See `reply.Reply.next`."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            await self._wait(asyncio.get_running_loop().time() + self._idle)
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._buffered = 0
        if self._connection is not None:
            self._connection.resume_reading()
        return data

    async def read(self, limit: int) -> bytes:
        """See `reply.Reply.read`."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.next():
            size += len(piece)
            if size > limit:
                self.abort()
                raise BadReply(f"the reply's body is larger than {limit} bytes", stage="body")
            pieces.append(piece)
        return b"".join(pieces)

    def abort(self) -> None:
        """See `reply.Reply.abort`."""
        if self._chunks or not self._ended:
            self._chunks = []
            self._error = self._error or ConnectionLost("the reply was given up", stage="body")
        connection = self._connection
        if connection is not None:
            connection.close(self._error)
        self.wake()

    def _is_congested(self) -> bool:
        """The transport wants no more for now, and there is still a reason to give it more later."""
        return self._connection is not None and self._connection.write_paused and self.status < 400

    async def _wait(self, deadline: float) -> None:
        connection = self._connection
        if connection is None:
            return
        if self._waiter is not None:
            raise RuntimeError("another task is waiting for this reply")
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        connection.set_deadline(min(deadline, self._total_ends))
        try:
            await waiter
        except BaseException:
            self._waiter = None
            self.abort()
            raise
        self._waiter = None
        if self._connection is not None:
            connection.set_deadline(self._total_ends)

    # What follows is called by the connection.

    def wake(self) -> None:
        """Let the waiting task look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def add(self, body: bytes) -> None:
        """A piece of the body arrived."""
        self._chunks.append(body)
        self._buffered += len(body)

    @property
    def flooded(self) -> bool:
        """More is buffered than should be."""
        return self._buffered > HIGH_WATER

    def end(self, error: UpstreamError | None) -> None:
        """Nothing more will come: the body is whole, or `error` says why not."""
        self._ended = error is None
        self._error = self._error or error
        self._connection = None
        self.wake()

    def timeout(self, now: float) -> UpstreamTimeout:
        """The error for a deadline that has passed."""
        if now >= self._total_ends:
            return UpstreamTimeout("the exchange took longer than its total limit", stage="total")
        if not self.status:
            return UpstreamTimeout("no reply within the limit for the first byte", stage="first_byte")
        return UpstreamTimeout("the reply fell silent for longer than the idle limit", stage="idle")
