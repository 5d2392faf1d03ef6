"""uvicorn's HTTP protocol with the bounds it lacks: on the size of request headers and on the time to send them.

Law: a stranger who sends headers without end, one byte a minute or nothing at all, is cut off before an application
exists for the request. A refusal is an answer of its own or none: nothing is ever said in the middle of another answer.
The request that is being served ends with its connection, whatever is queued behind it. An offer to change the protocol
is ignored, not the request that makes it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADER_BYTES = 64 * 1024
MAX_URL_BYTES = 16 * 1024
HEADER_SECONDS = 20.0
# uvicorn stops reading while 64 KiB of a body wait for the application: several round trips of the loop for each of the
# 200 KB bodies that coding agents send all day.
HIGH_WATER = vars(httptools_impl)["HIGH_WATER_LIMIT"] = 1024 * 1024
# What arrives of a body is handed on in pieces of this size, or whole: uvicorn copies what a read brings twice, and
# wakes the application for each.
PIECE = 256 * 1024
_FRAMING = (b"content-length", b"transfer-encoding")


class BoundedProtocol(HttpToolsProtocol):
    """Refuses oversized, endless and malformed request heads with 431, 414, 408 or 400, and closes."""

    _head_bytes = 0
    _head_begun = False
    _idle = False
    _ends: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _served: RequestResponseCycle | None = None
    _held: list[bytes]
    _held_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Start the clock on the first request's head."""
        super().connection_made(transport)
        self._held = []
        self._limit(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell the request that is being served."""
        self._ends = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)
        # uvicorn tells only the request that came last, which may be one that waits for its turn.
        served = self._served
        if served is not None and not served.response_complete:
            served.disconnected = True
            served.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._idle:
            self._idle, self._ends = False, None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._stay(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")
        else:
            if self._ends is None and self._served is not None and self.cycle.response_complete:
                # Nothing has begun: these were empty lines, which must not keep a connection for ever.
                self._limit(HEADER_SECONDS)

    def on_message_begin(self) -> None:
        """A new head begins."""
        self._head_bytes = 0
        self._head_begun = True
        if self._ends is None:
            self._limit(HEADER_SECONDS)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._head_bytes += len(url)
        if self._head_bytes > MAX_URL_BYTES:
            self._refuse(b"414 URI Too Long")
            return
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header. A trailer is counted too, and dropped: it must not pass for a header (RFC 9110, 6.5.1)."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEADER_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._head_begun:
            name = name.lower()
            if name == b"expect":
                super().on_header(name, value)
            else:
                self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._ends = None
        self._head_begun = False
        self._take_held()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hold a body back until it is worth handing on. Nothing more is read of a connection that was refused, or of
        a request that is answered."""
        if self.transport.is_closing() or self.cycle.response_complete:
            return
        self._held.append(body)
        self._held_bytes += len(body)
        if self._held_bytes >= PIECE:
            self._hand_on()
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole; not so where the parser only stops at an offer to change the protocol."""
        if not self.parser.should_upgrade():
            self._hand_on()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Serve the next request, or wait for it."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        if self._ends is None:
            self._idle = True
            self._limit(self.timeout_keep_alive)

    def _take_held(self) -> list[bytes]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held

    def _hand_on(self) -> None:
        """Give the cycle what is held, and stop reading while it has too much."""
        if not self._held:
            return
        cycle = self.cycle
        held = self._take_held()
        if cycle.body:
            held.insert(0, bytes(cycle.body))
        # `receive` asks for its bytes and its length only: of bytes it makes no copy.
        cycle.body = held[0] if len(held) == 1 else b"".join(held)  # type: ignore[assignment]  # as just said
        if len(cycle.body) > HIGH_WATER:
            self.flow.pause_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def _stay(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 after an offer to leave it (RFC 9110, 7.8). The parser is done with the connection then,
        and has skipped the body: another one takes over, on a head that only says how the body is framed."""
        if self.transport.is_closing():
            return
        lines = [self.scope["method"].encode() + b" / HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name in _FRAMING]
        self.parser = httptools.HttpRequestParser(_Behind(self))
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _limit(self, seconds: float) -> None:
        """The next head must be whole, or begin, within this time. One timer looks at that now and then: to set and
        cancel one or two for each request would cost a good part of what a short one does."""
        self._ends = self.loop.time() + seconds
        if self._timer is None:
            self._timer = self.loop.call_later(min(seconds, HEADER_SECONDS), self._look)

    def _look(self) -> None:
        self._timer = None
        if self._ends is None:
            return  # whoever sets the next limit sets a timer too
        left = self._ends - self.loop.time()
        if left <= 0:
            self._too_slow()
        else:
            self._timer = self.loop.call_later(min(left, HEADER_SECONDS), self._look)

    def _too_slow(self) -> None:
        self._ends = None
        if self._head_begun:
            self._refuse(b"408 Request Timeout")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        served = self._served
        if served is None or not served.response_started or served.response_complete:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()


class _Behind:
    """The callbacks of a parser that takes over behind a head: the protocol's, but for those of that head."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self._in_head = True

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._in_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._in_head:
            self._protocol.on_headers_complete()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        self._protocol.on_body(body)

    def on_message_complete(self) -> None:
        self._protocol.on_message_complete()
