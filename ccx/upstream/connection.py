"""One HTTP/1.1 connection to an upstream.

Law
- A connection serves one call at a time. It is busy (has a reply), idle (lent to nobody) or closing, and never comes
  back from closing.
- It may serve another call only if the last reply was framed, complete and asked for no close, the whole request was
  written, and not one byte or EOF has arrived that belongs to no reply.
- A reply that breaks off or stops making sense ends the connection.
- At most `MAX_BARREN` bytes may arrive without completing a head or adding to a body: this one bound covers endless
  heads, interim replies, chunk extensions and trailers.

The connection knows no pool and no policy: its owner is told of what happened. Time is the loop's.
"""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import Protocol, cast

import httptools

from ccx.errors import BadReply, ConnectionLost, UpstreamError
from ccx.upstream.incoming import IncomingReply
from ccx.upstream.reply import Header

MAX_HEAD = 64 * 1024
"""Bytes of header names and values that a reply may have."""
MAX_HEADERS = 256
MAX_BARREN = 64 * 1024

# A generation may be silent for minutes; middleboxes forget such connections without telling either side.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class Owner(Protocol):
    """Whoever opened a connection and wants to know what becomes of it."""

    def opened(self, connection: Connection) -> None:
        """The connection is established."""

    def released(self, connection: Connection, *, keep_alive: float | None) -> None:
        """Its call is over and it may serve another; `keep_alive`: seconds for which the server promised to keep it."""

    def lost(self, connection: Connection) -> None:
        """It is closed. Called once for each `opened`."""

    def watch(self, deadline: float) -> None:
        """A connection now has this deadline (loop time); `expire` is to be called soon after."""


class _RefusedReplyError(Exception):
    """Raised inside parser callbacks to stop the parser; carries the reason."""


class Connection(asyncio.Protocol):
    """The socket's callbacks and the parser's. `deadline` is loop time, `inf` when there is none."""

    __slots__ = (
        "_barren",
        "_complete",
        "_head_only",
        "_header_bytes",
        "_keep",
        "_keep_alive",
        "_owner",
        "_parser",
        "_paused",
        "_reply",
        "_surplus",
        "_transport",
        "_until_close",
        "deadline",
        "used",
        "write_paused",
    )

    def __init__(self, owner: Owner) -> None:
        self.deadline = inf
        self.used = False  # it has served a call
        self.write_paused = False
        self._owner = owner
        self._parser: httptools.HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._reply: IncomingReply | None = None
        self._paused = False
        self._reset(head_only=False)

    def _reset(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self._barren = 0
        self._header_bytes = 0
        self._complete = False
        self._surplus = False
        self._keep = False
        self._until_close = False
        self._keep_alive: float | None = None

    # Called by the owner.

    @property
    def was_made(self) -> bool:
        """The connection has been established; it may be closed by now."""
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        """The connection is established and nothing has begun to close it."""
        return self._transport is not None and not self._transport.is_closing()

    def expire(self, now: float) -> None:
        """The deadline has passed."""
        self.close(self._reply.timeout(now) if self._reply is not None else None)

    def close(self, error: UpstreamError | None = None) -> None:
        """Close at once; a reply in progress ends with `error`, or was given up."""
        # abort() and not close(): a TLS shutdown waits for the other side, unsent bytes are of no use any more.
        if self._transport is not None:
            self._transport.abort()
        self._end(error or ConnectionLost("the reply was given up", stage="body"))

    # Called by the reply.

    def serve(self, reply: IncomingReply, *, head_only: bool) -> None:
        """Make this reply the one that what arrives belongs to. `head_only`: the call is a HEAD, whose reply ends with
        its head whatever the head says (RFC 9112, 6.3)."""
        self._reply = reply
        self._reset(head_only=head_only)

    def write(self, batch: list[bytes | memoryview]) -> None:
        """Hand bytes to the transport, unless it is closing already: then the loss is about to be reported."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(batch)

    def set_deadline(self, deadline: float) -> None:
        """`expire` is to be called when loop time passes `deadline`."""
        self.deadline = deadline
        self._owner.watch(deadline)

    def resume_reading(self) -> None:
        """The reader has caught up."""
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods only
        self._parser = httptools.HttpResponseParser(self)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE:
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None or self._parser is None:
            self.close()  # nobody asked: whatever it is, the next reply could be taken for this one
            return
        reply.began = True
        self._barren += len(data)
        fault: str | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            fault = "the upstream switched protocols"
        except httptools.HttpParserError as error:
            cause = error.__context__
            if cause is not None and not isinstance(cause, _RefusedReplyError | httptools.HttpParserError):
                raise  # a callback of ours failed
            fault = str(cause) if cause is not None else f"the reply is not HTTP/1.1: {error}"
        if self._reply is not reply:
            return  # given up meanwhile
        if self._complete:
            self._finish(reusable=fault is None)
        elif fault is not None:
            self.close(BadReply(fault, stage="body" if reply.status else "first_byte"))
        elif self._barren > MAX_BARREN:
            fault = f"the reply came to {MAX_BARREN} bytes without a head or a piece of a body"
            self.close(BadReply(fault, stage="body" if reply.status else "first_byte"))
        else:
            if reply.flooded and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            if reply.status:
                reply.wake()

    def eof_received(self) -> None:
        self._closed_by_peer(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return  # never established: the owner learned that from connecting
        self._closed_by_peer(exc)
        self._parser = None  # it holds methods of this object: without this, only the cycle collector would free both
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._reply is not None:
            self._reply.wake()

    # httptools' callbacks. They only take notes: what follows from them is done when the parser has returned.

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        reply = self._reply
        if reply is None or reply.status or self._complete:
            return  # a trailer, or a message nobody asked for
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEAD or len(reply.headers) >= MAX_HEADERS:
            raise _RefusedReplyError(f"the reply's head is larger than {MAX_HEAD} bytes or {MAX_HEADERS} headers")
        name = name.lower()
        value = value.rstrip(b" \t")
        if name == b"keep-alive":
            self._keep_alive = _promised(value)
        reply.headers.append((name, value))

    def on_headers_complete(self) -> None:
        reply, parser = self._reply, self._parser
        if reply is None or parser is None or self._complete:
            return
        status = parser.get_status_code()
        if 100 <= status < 200:
            reply.headers.clear()  # interim: the reply proper is still to come (RFC 9110, 15.2)
            return
        if not 200 <= status < 600:
            raise _RefusedReplyError(f"the reply has the status {status}")
        reply.status = status
        self._barren = 0
        self._keep = parser.should_keep_alive()
        if self._head_only:
            self._complete = True
        elif not self._keep:
            self._until_close = not _is_framed(reply.headers)

    def on_body(self, body: bytes) -> None:
        if self._complete:
            self._surplus = True
        elif self._reply is not None:
            self._barren = 0
            self._reply.add(body)

    def on_message_complete(self) -> None:
        if self._reply is not None and self._reply.status:
            self._complete = True

    # Transitions.

    def _finish(self, *, reusable: bool) -> None:
        """The reply is whole. Keep the connection if the law allows."""
        reply, transport = self._reply, self._transport
        if reply is None or transport is None:
            return
        if self._head_only:
            self._parser = httptools.HttpResponseParser(self)  # this one still waits for the body that is not coming
        reusable = reusable and self._keep and not self._surplus and reply.sent_at is not None
        reusable = reusable and not self.write_paused and not transport.is_closing()
        self._end(None)
        if reusable:
            self.used = True
            self.resume_reading()
            self.deadline = inf
            self._owner.released(self, keep_alive=self._keep_alive)
        else:
            transport.abort()

    def _closed_by_peer(self, exc: Exception | None) -> None:
        reply = self._reply
        if reply is None:
            if self._transport is not None:
                self._transport.abort()
        elif reply.status and self._until_close and exc is None:
            self._finish(reusable=False)
        elif reply.status:
            self._fail(ConnectionLost("the connection closed before the reply was whole", stage="body"), exc)
        else:
            lost = ConnectionLost(
                "the connection closed without a reply", stage="first_byte" if reply.sent_at else "send"
            )
            self._fail(lost, exc)

    def _fail(self, error: UpstreamError, cause: Exception | None) -> None:
        error.__cause__ = cause
        self.close(error)

    def _end(self, error: UpstreamError | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.end(error)


def _is_framed(headers: list[Header]) -> bool:
    """Whether the head says where its body ends (RFC 9112, 6.3); otherwise the body ends with the connection."""
    for name, value in headers:
        if name == b"content-length":
            return True
        if name == b"transfer-encoding" and value.lower().rpartition(b",")[2].strip() == b"chunked":
            return True
    return False


def _promised(value: bytes) -> float | None:
    """Seconds out of `timeout=5, max=100`, the Keep-Alive header's de facto form (RFC 2068, 19.7.1.1)."""
    for part in value.split(b","):
        name, _, digits = part.partition(b"=")
        if name.strip().lower() == b"timeout" and digits.strip().isdigit():
            return float(digits)
    return None
