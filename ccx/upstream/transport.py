"""Where httpx meets the engines; the only module that imports it.

`EngineTransport` lets an `httpx.AsyncClient` run on any engine. `HttpxEngine` lets a channel that needs an egress proxy
or HTTP/2 run on httpx's own transport. `make_engine` chooses.

Law
- httpx's exceptions become ours in `_translated`, ours become httpx's in `_untranslated`, and nowhere else.
- A body is passed as it came over the wire: nothing here decompresses.
- A proxy's URL may hold credentials: no message contains them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from importlib.util import find_spec
from math import inf
from typing import Any

import httpx

from ccx.errors import (
    BadReply,
    ConnectError,
    ConnectionLost,
    GatewayError,
    SecretError,
    UpstreamError,
    UpstreamStage,
    UpstreamTimeout,
    UsageError,
)
from ccx.upstream.credentials import redact
from ccx.upstream.engine import DirectEngine, PoolLimits
from ccx.upstream.head import encode_head
from ccx.upstream.reply import Call, Engine, Header, Origin, Reply, Timeouts
from ccx.upstream.tls import TlsSettings

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
# What httpcore and h2 say when the other side went away; anything else under RemoteProtocolError is nonsense received.
_GONE = ("Server disconnected", "peer closed connection", "<ConnectionTerminated", "<StreamReset")


def make_engine(*, proxy: str | None, http2: bool, tls: TlsSettings) -> Engine:
    """The engine for a channel: our own, unless it needs an egress proxy (its URL, credentials included) or HTTP/2.

    Raises UsageError when an optional package is missing, SecretError for a proxy URL or CA bundle that is unusable.
    """
    if proxy is None and not http2:
        return DirectEngine(tls=tls)
    return HttpxEngine(proxy=proxy, http2=http2, tls=tls)


class HttpxEngine:
    """Implements `reply.Engine` over `httpx.AsyncHTTPTransport`. Raises as `make_engine` does.

    Like `DirectEngine` it serves calls even after `aclose`, without keeping their connections for long.
    """

    def __init__(self, *, proxy: str | None, http2: bool, tls: TlsSettings, limits: PoolLimits | None = None) -> None:
        if http2 and find_spec("h2") is None:
            raise UsageError("HTTP/2 to an upstream needs the package 'h2'", hint="pip install 'ccx[http2]'")
        limits = limits or PoolLimits()
        via = None if proxy is None else _proxy(proxy, tls)
        self._secrets = () if via is None or via.auth is None else via.auth
        self._busy = 0
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls.context(alpn=("http/1.1", "h2") if http2 else ("http/1.1",)),
            http1=True,
            http2=http2,
            proxy=via,
            limits=httpx.Limits(
                max_connections=limits.connections,
                max_keepalive_connections=limits.idle,
                keepalive_expiry=limits.idle_expiry,
            ),
        )

    async def send(self, call: Call) -> HttpxReply:
        """See `reply.Engine.send`. Raises GatewayError for a call that cannot be written as one request."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        total_ends = now + _seconds(call.timeouts.total)
        size = sum(map(len, call.body))
        stage: UpstreamStage = "connect"
        streams: list[Any] = []

        async def trace(event: str, info: dict[str, Any]) -> None:
            # httpcore's way to say that connecting is over. A CONNECT to the proxy is still part of it.
            nonlocal stage
            if event.endswith("connect_tcp.complete"):
                streams.append(info["return_value"])
            elif event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                stage = "first_byte"
                clock.reschedule(_moment(min(loop.time() + _seconds(call.timeouts.first_byte), total_ends)))

        self._busy += 1
        try:
            request = _request(call, size=size, trace=trace)
            async with asyncio.timeout_at(_moment(min(now + _seconds(call.timeouts.connect), total_ends))) as clock:
                response = await self._transport.handle_async_request(request)
        except BaseException as error:
            self._busy -= 1
            if stage == "connect":
                self._forget(streams)
            if not isinstance(error, Exception) or isinstance(error, GatewayError):
                raise
            if isinstance(error, TimeoutError) and clock.expired():
                over: UpstreamStage = "total" if clock.when() == total_ends else stage
                raise UpstreamTimeout(f"no reply within the {over} limit", stage=over) from error
            raise self.translated(error, stage=stage) from error
        return HttpxReply(self, response, timeouts=call.timeouts, total_ends=total_ends)

    async def aclose(self) -> None:
        """See `reply.Engine.aclose`. httpx cannot close idle connections alone: they go with the last busy one."""
        self._closed = True
        if not self._busy:
            await self._transport.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def close_soon(self, response: httpx.Response) -> None:
        """Close a reply that was given up, in a task of this engine: httpx closes only asynchronously."""
        self._spawn(self.close(response))

    async def close(self, response: httpx.Response) -> None:
        """Close a reply, whole or not. Never raises: nobody is left to tell that a connection died while closing."""
        try:
            await response.stream.aclose()  # type: ignore[union-attr]  # the transport always gives an async stream
        except Exception:  # noqa: BLE001 - as said
            return
        finally:
            self._busy -= 1
            if self._closed and not self._busy:
                await self._transport.aclose()

    def translated(self, error: Exception, *, stage: UpstreamStage) -> UpstreamError:
        """Our exception for one that came out of httpx, without a proxy's credentials."""
        text = redact(str(error).encode(), self._secrets).decode("utf-8", "replace") or type(error).__name__
        return _translated(error, text, stage=stage)

    def _forget(self, streams: list[Any]) -> None:
        """Close what a failed handshake with a proxy leaves open: httpcore would leave it to the garbage collector."""
        for stream in streams:
            self._spawn(stream.aclose())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class HttpxReply:
    """Implements `reply.Reply` over a response of httpx's transport."""

    def __init__(self, engine: HttpxEngine, response: httpx.Response, *, timeouts: Timeouts, total_ends: float) -> None:
        self.status = response.status_code
        self.headers: list[Header] = [(name.lower(), value) for name, value in response.headers.raw]
        self._engine = engine
        self._response: httpx.Response | None = response
        self._pieces = _not_empty(response)
        self._idle = _seconds(timeouts.idle)
        self._total_ends = total_ends
        self._error: UpstreamError | None = None

    async def next(self) -> bytes:
        """See `reply.Reply.next`."""
        if self._error is not None:
            raise self._error
        if self._response is None:
            return b""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(_moment(min(loop.time() + self._idle, self._total_ends))) as clock:
                piece = await anext(self._pieces, b"")
        except Exception as error:
            over: UpstreamStage = "total" if clock.when() == self._total_ends else "idle"
            raise self._failed(error, over=over if clock.expired() else None) from error
        except BaseException:
            self.abort()
            raise
        if not piece and self._response is not None:
            response, self._response = self._response, None
            await self._engine.close(response)  # before the caller goes on: only then is the connection free again
        return piece

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
        if self._response is not None:
            self._error = self._error or ConnectionLost("the reply was given up", stage="body")
            self._close()

    def _failed(self, error: Exception, *, over: UpstreamStage | None) -> UpstreamError:
        if self._error is None:  # else given up by another task
            if over is not None and isinstance(error, TimeoutError):
                self._error = UpstreamTimeout(f"no more of the body within the {over} limit", stage=over)
            else:
                self._error = self._engine.translated(error, stage="body")
        self._close()
        return self._error

    def _close(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            self._engine.close_soon(response)


async def _not_empty(response: httpx.Response) -> AsyncIterator[bytes]:
    """The pieces of a body as they came, not decompressed, but for empty ones: those would look like the end."""
    async for piece in response.stream:  # type: ignore[union-attr]  # as above
        if piece:
            yield piece


class EngineTransport(httpx.AsyncBaseTransport):
    """Any engine behind httpx's interface. Its timeouts are httpx's: connect and pool, then read for each wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport.handle_async_request`."""
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        url = request.url
        tls = url.scheme == "https"
        body = await request.aread()
        call = Call(
            method=request.method.encode("ascii"),
            origin=Origin(tls, url.host, url.port or (443 if tls else 80)),
            target=url.raw_path,
            headers=[header for header in request.headers.raw if header[0].lower() not in _FRAMING],
            body=[body] if body else [],
            timeouts=Timeouts(limits.get("connect"), limits.get("read"), limits.get("read"), None),
            idempotent=request.method in _IDEMPOTENT,
        )
        try:
            reply = await self._engine.send(call)
        except (UpstreamError, GatewayError) as error:
            raise _untranslated(error) from error
        return httpx.Response(
            reply.status,
            headers=reply.headers,
            stream=_ReplyStream(reply),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close the engine."""
        await self._engine.aclose()


class _ReplyStream(httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._reply.next():
                yield piece
        except UpstreamError as error:
            raise _untranslated(error) from error

    async def aclose(self) -> None:
        self._reply.abort()


def _proxy(url: str, tls: TlsSettings) -> httpx.Proxy:
    """Raises SecretError, which shows nothing of the URL but a scheme that is wrong."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise SecretError("the proxy's URL cannot be read as one") from None
    if parsed.scheme not in PROXY_SCHEMES:
        raise SecretError(f"the proxy's URL must begin with one of {', '.join(PROXY_SCHEMES)}, not {parsed.scheme!r}")
    if not parsed.host:
        raise SecretError("the proxy's URL names no host")
    if parsed.scheme.startswith("socks"):
        if find_spec("socksio") is None:
            raise UsageError("a SOCKS proxy needs the package 'socksio'", hint="pip install 'httpx[socks]'")
        # At DEBUG, httpcore logs the arguments of the SOCKS handshake, and the password is one of them.
        logging.getLogger("httpcore.socks").setLevel(logging.INFO)
    return httpx.Proxy(parsed, ssl_context=tls.context() if parsed.scheme == "https" else None)


def _request(call: Call, *, size: int, trace: object) -> httpx.Request:
    """Raises GatewayError as `encode_head` does, so that both engines refuse the same calls."""
    authority = call.origin.authority
    encode_head(call, authority, size=size)
    url = httpx.URL(
        scheme="https" if call.origin.tls else "http",
        host=call.origin.host,
        port=call.origin.port,
        raw_path=call.target,
    )
    headers = [(b"host", authority), *call.headers]
    if size or call.method in (b"POST", b"PUT", b"PATCH"):
        headers.append((b"content-length", b"%d" % size))
    method = call.method.decode("ascii")
    return httpx.Request(method, url, headers=headers, stream=_Body(call.body), extensions={"trace": trace})


class _Body(httpx.AsyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def _translated(error: Exception, text: str, *, stage: UpstreamStage) -> UpstreamError:
    match error:
        case httpx.ProxyError():
            return ConnectError(f"the proxy refused: {text}")
        case httpx.ConnectError() | httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return ConnectError(f"cannot connect: {text}")
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError():
            return ConnectionLost(f"the connection was lost: {text}", stage=stage)
        case httpx.RemoteProtocolError() if text.startswith(_GONE):
            return ConnectionLost(f"the connection was lost: {text}", stage=stage)
        case httpx.TimeoutException():
            return UpstreamTimeout(text, stage=stage)
        case httpx.HTTPError():
            return BadReply(f"the reply is not valid: {text}", stage=stage)
        case _ if stage == "connect":
            return ConnectError(f"cannot connect: {text}")  # out of the SOCKS handshake and the like, which httpx leaks
        case _:
            return BadReply(f"the exchange failed: {text}", stage=stage)


def _untranslated(error: UpstreamError | GatewayError) -> httpx.TransportError:
    text = str(error)
    match error:
        case GatewayError():
            return httpx.LocalProtocolError(text)
        case ConnectError():
            return httpx.ConnectError(text)
        case UpstreamTimeout(stage="connect"):
            return httpx.ConnectTimeout(text)
        case UpstreamTimeout():
            return httpx.ReadTimeout(text)
        case ConnectionLost() if isinstance(error.__cause__, OSError):
            return httpx.WriteError(text) if error.stage == "send" else httpx.ReadError(text)
        case _:
            return httpx.RemoteProtocolError(text)


def _seconds(limit: float | None) -> float:
    return inf if limit is None else limit


def _moment(ends: float) -> float | None:
    return None if ends == inf else ends
