"""The demo upstream without a socket: what a channel of the provider `demo` talks to.

Law: it keeps the promises of `upstream.reply.Engine` as an engine with a network would: time limits, a cut connection
and an abort show themselves in the same errors at the same moments. Where an answer has no pauses, nothing waits.
"""

from __future__ import annotations

import asyncio

from ccx.errors import BadReply, ConnectError, ConnectionLost, UpstreamStage, UpstreamTimeout
from ccx.upstream.demo.answer import Answer, End
from ccx.upstream.demo.respond import LARGE_BODY, respond
from ccx.upstream.reply import Call, Header


class DemoReply:
    """An answer being given. See `upstream.reply.Reply`."""

    __slots__ = ("_aborted", "_answer", "_deadline", "_idle", "_place", "headers", "status")

    def __init__(self, answer: Answer, *, idle: float | None, deadline: float | None) -> None:
        self.status: int = answer.status
        self.headers: list[Header] = list(answer.headers)
        self._answer = answer
        self._idle = idle
        self._deadline = deadline
        self._place = 0
        self._aborted: asyncio.Event = asyncio.Event()

    async def next(self) -> bytes:
        """The next piece; b"" at the end. Raises UpstreamTimeout or ConnectionLost."""
        if self._aborted.is_set():
            raise ConnectionLost("the reply was given up", stage="body")
        if self._place == len(self._answer.pieces):
            match self._answer.end:
                case End.COMPLETE:
                    return b""
                case End.CUT:
                    raise ConnectionLost(
                        "the demo upstream closed the connection before the reply was whole", stage="body"
                    )
                case End.STALL:
                    await self._pause(None)
        piece = self._answer.pieces[self._place]
        if piece.delay > 0:
            await self._pause(piece.delay)
        self._place += 1
        return piece.data

    async def read(self, limit: int) -> bytes:
        """The rest of the body. Raises BadReply beyond `limit` bytes, and what `next` raises."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.next():
            size += len(piece)
            if size > limit:
                self.abort()
                raise BadReply(f"the reply is larger than {limit} bytes", stage="body")
            pieces.append(piece)
        return b"".join(pieces)

    def abort(self) -> None:
        """Give the reply up; whoever waits for it gets ConnectionLost."""
        self._aborted.set()

    async def _pause(self, delay: float | None) -> None:
        """Wait, for ever if None. Raises UpstreamTimeout at the first limit, ConnectionLost when given up."""
        await pause(delay, idle=self._idle, stage="idle", deadline=self._deadline, aborted=self._aborted)


class DemoEngine:
    """Calls that are answered in this process. See `upstream.reply.Engine`."""

    __slots__ = ("_closed",)

    def __init__(self) -> None:
        self._closed = False

    async def send(self, call: Call) -> DemoReply:
        """Answer a call. Raises ConnectError once closed, and UpstreamTimeout."""
        if self._closed:
            raise ConnectError("the demo upstream is closed")
        total = call.timeouts.total
        deadline = None if total is None else asyncio.get_running_loop().time() + total
        body = b"".join(call.body)
        asked = call.method.decode("ascii"), call.target.decode("latin-1"), call.headers, body
        answer = respond(*asked) if len(body) < LARGE_BODY else await asyncio.to_thread(respond, *asked)
        if answer.delay is None or answer.delay > 0:
            first_byte = call.timeouts.first_byte
            await pause(answer.delay, idle=first_byte, stage="first_byte", deadline=deadline, aborted=asyncio.Event())
        return DemoReply(answer, idle=call.timeouts.idle, deadline=deadline)

    async def aclose(self) -> None:
        """Take no more calls; replies under way go on."""
        self._closed = True


async def pause(
    delay: float | None, *, idle: float | None, stage: UpstreamStage, deadline: float | None, aborted: asyncio.Event
) -> None:
    """Wait for `delay` seconds, for ever if None, unless a limit comes first.

    Raises UpstreamTimeout with `stage` when `idle` seconds have passed, with "total" at the deadline (a time of the
    loop), and ConnectionLost when `aborted` is set.
    """
    left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
    limits: tuple[tuple[float | None, UpstreamStage | None], ...] = ((left, "total"), (idle, stage), (delay, None))
    ends = [(seconds, what) for seconds, what in limits if seconds is not None]
    seconds, what = min(ends, key=lambda end: end[0], default=(None, None))
    try:
        async with asyncio.timeout(seconds):
            await aborted.wait()
    except TimeoutError:
        if what is not None:
            raise UpstreamTimeout(f"the {what} time limit of {seconds:.3g} s ran out", stage=what) from None
        return
    raise ConnectionLost("the reply was given up", stage="body")
