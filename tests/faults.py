"""An upstream that misbehaves on purpose, driven by a script; shared by all tests that talk to one.

    async with FaultUpstream([Reply(429, headers={"retry-after": "1"}), Drop(after=10), Reply(body=b"ok")]) as upstream:
        ...  # talk to upstream.url
        assert upstream.requests[0].method == "POST"
        await upstream.all_closed()

Each request gets the next action of the script, whichever connection it comes on; the last action repeats. An action
plays its part on the raw socket and says whether the connection may serve another request. It runs in the test's own
event loop on an ephemeral loopback port.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. Header names are lower case; a repeated one keeps its last value in `header`."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        """The value of a header, None if it was not sent."""
        return dict(self.headers).get(name.lower())


@dataclass(slots=True)
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def write(self, data: bytes) -> None:
        """Send bytes. Raises ConnectionError once the client has left, which ends the connection's part."""
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has closed its end."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock: socket.socket | None = self.writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def half_close(self) -> None:
        """Send FIN and keep listening."""
        if self.writer.can_write_eof():
            self.writer.write_eof()


class Action(Protocol):
    """What happens to one request."""

    async def play(self, peer: Peer, request: Received) -> bool:
        """Returns whether the connection may serve another request."""


def encode(status: int, headers: Headers, *, reason: str = "Scripted") -> bytes:
    """A response head."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in pairs)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked coding; the empty one is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True, slots=True)
class Reply:
    """A proper answer. `delay` in seconds; `close` says so in the head and does it."""

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    chunked: bool = False
    close: bool = False
    delay: float = 0.0

    def raw(self, *, head_only: bool = False) -> bytes:
        """The answer on the wire."""
        pairs = list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)
        if self.close:
            pairs.append(("connection", "close"))
        body = self.body
        if self.chunked:
            pairs.append(("transfer-encoding", "chunked"))
            body = (chunk(body) if body else b"") + chunk(b"")
        elif self.status not in (204, 304) and "content-length" not in (name.lower() for name, _ in pairs):
            pairs.append(("content-length", str(len(body))))
        return encode(self.status, pairs) + (b"" if head_only or self.status in (204, 304) else body)

    async def play(self, peer: Peer, request: Received) -> bool:
        await asyncio.sleep(self.delay)
        await peer.write(self.raw(head_only=request.method == "HEAD"))
        return not self.close


_USUAL = Reply(
    headers={"content-type": "application/json"}, body=b'{"scripted": "upstream", "padding": "' + b"x" * 200 + b'"}'
)


@dataclass(frozen=True, slots=True)
class Drop:
    """The first `after` bytes of an answer, then a proper close."""

    after: int = 0
    of: Reply = _USUAL

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(self.of.raw()[: self.after])
        return False


@dataclass(frozen=True, slots=True)
class Reset:
    """The first `after` bytes of an answer, then a reset."""

    after: int = 0
    of: Reply = _USUAL

    async def play(self, peer: Peer, request: Received) -> bool:
        if self.after:
            await peer.write(self.of.raw()[: self.after])
            await asyncio.sleep(0.01)  # let the client take it: a reset may overtake data
        peer.reset()
        return False


@dataclass(frozen=True, slots=True)
class Stall:
    """The first `after` bytes of an answer, then silence until the client leaves."""

    after: int = 0
    of: Reply = _USUAL

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(self.of.raw()[: self.after])
        await peer.gone()
        return False


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The first `after` bytes of an answer, then FIN, still listening until the client leaves."""

    after: int = 0
    of: Reply = _USUAL

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(self.of.raw()[: self.after])
        peer.half_close()
        await peer.gone()
        return False


@dataclass(frozen=True, slots=True)
class Drip:
    """Bytes as they are, head included, `step` at a time with `pause` seconds between, then a close."""

    raw: bytes
    step: int = 1
    pause: float = 0.0

    async def play(self, peer: Peer, request: Received) -> bool:
        for start in range(0, len(self.raw), self.step):
            await peer.write(self.raw[start : start + self.step])
            await asyncio.sleep(self.pause)
        return False


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes as they are, in the pieces given, then a close (or not: `stay`)."""

    raw: bytes | Sequence[bytes]
    stay: bool = False

    async def play(self, peer: Peer, request: Received) -> bool:
        for piece in [self.raw] if isinstance(self.raw, bytes) else self.raw:
            await peer.write(piece)
            await asyncio.sleep(0)
        if self.stay:
            await peer.gone()
        return False


@dataclass(frozen=True, slots=True)
class WrongLength:
    """A Content-Length that lies about the body; then a close."""

    declared: int
    body: bytes = b"x" * 100

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(encode(200, {"content-length": str(self.declared)}) + self.body)
        return False


@dataclass(frozen=True, slots=True)
class Gzip:
    """A compressed answer, whole or cut in the middle of the compressed data (its length being right)."""

    body: bytes = b'{"compressed": true}' * 50
    truncated: bool = False
    content_type: str = "application/json"

    async def play(self, peer: Peer, request: Received) -> bool:
        packed = gzip.compress(self.body, mtime=0)
        if self.truncated:
            packed = packed[: len(packed) // 2]
        reply = Reply(headers={"content-type": self.content_type, "content-encoding": "gzip"}, body=packed)
        return await reply.play(peer, request)


@dataclass(frozen=True, slots=True)
class Sse:
    """A stream of events, each one the text between blank lines, one chunk each. `cut` closes it before its last chunk,
    `reset` with RST; `stall` falls silent instead."""

    events: Sequence[str | bytes]
    cut: bool = False
    reset: bool = False
    stall: bool = False
    pause: float = 0.0
    headers: Headers = ()

    async def play(self, peer: Peer, request: Received) -> bool:
        pairs = list(self.headers.items() if isinstance(self.headers, Mapping) else self.headers)
        await peer.write(encode(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), *pairs]))
        for event in self.events:
            await peer.write(chunk((event.encode() if isinstance(event, str) else event) + b"\n\n"))
            await asyncio.sleep(self.pause)
        if self.stall:
            await peer.gone()
            return False
        if self.reset:
            await asyncio.sleep(0.01)
            peer.reset()
            return False
        if self.cut:
            return False
        await peer.write(chunk(b""))
        return True


def one_meg_line(size: int = 1024 * 1024) -> Sse:
    """A stream with one event whose data line is `size` bytes long."""
    return Sse(["data: " + "x" * (size - len("data: "))])


@dataclass(frozen=True, slots=True)
class Respond:
    """An action chosen by what was asked."""

    choose: Callable[[Received], Action]

    async def play(self, peer: Peer, request: Received) -> bool:
        return await self.choose(request).play(peer, request)


@dataclass(frozen=True, slots=True)
class Early:
    """An answer given before the body of the request is read; the rest is then read and dropped (or not: `deaf`)."""

    reply: Action
    deaf: bool = False

    async def play(self, peer: Peer, request: Received) -> bool:
        await self.reply.play(peer, request)
        if self.deaf:
            await asyncio.Event().wait()
        await peer.gone()
        return False


@dataclass(slots=True)
class FaultUpstream:
    """See the module. `opened` and `closed` count connections; `requests` are in the order in which they were complete
    (or, for `Early`, begun). `ssl` makes it speak TLS."""

    script: Sequence[Action] = (Reply(),)
    ssl: ssl.SSLContext | None = None
    requests: list[Received] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    port: int = 0
    _played: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"{'https' if self.ssl else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections open now."""
        return self.opened - self.closed

    async def __aenter__(self) -> FaultUpstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.ssl, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def all_closed(self, *, within: float = 2.0) -> None:
        """Wait until no connection is open. Raises TimeoutError."""
        await self._until(lambda: self.open == 0, within)

    async def received(self, count: int, *, within: float = 2.0) -> None:
        """Wait until so many requests have been received. Raises TimeoutError."""
        await self._until(lambda: len(self.requests) >= count, within)

    async def _until(self, condition: Callable[[], bool], within: float) -> None:
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(condition)

    def _next(self) -> Action:
        action = self.script[min(self._played, len(self.script) - 1)]
        self._played += 1
        return action

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio.streams reports a cancelled handler task as an unhandled error.
        task = asyncio.get_running_loop().create_task(self._connection(Peer(reader, writer, self.opened)))
        self.opened += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, peer: Peer) -> None:
        try:
            while await self._exchange(peer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left; an SSLError and ENOTCONN are OSErrors, too
        finally:
            peer.writer.close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(1):
                    await peer.writer.wait_closed()
            await self._count_closed()

    async def _count_closed(self) -> None:
        self.closed += 1
        async with self._changed:
            self._changed.notify_all()

    async def _exchange(self, peer: Peer) -> bool:
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head[:-4].split("\r\n")
        method, target, _ = line.split(" ")
        headers = tuple((name.lower(), value.strip()) for name, _, value in (item.partition(":") for item in rest))
        action = self._next()
        body = b"" if isinstance(action, Early) else await _body(peer.reader, dict(headers))
        request = Received(method, target, headers, body, peer.number)
        self.requests.append(request)
        async with self._changed:
            self._changed.notify_all()
        return await action.play(peer, request)


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        pieces.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(pieces)
