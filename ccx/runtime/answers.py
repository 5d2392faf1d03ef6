"""What the client gets: the sending of it, its headers, and the receipt that says who served it."""

from __future__ import annotations

import time

from ccx.errors import ErrorKind, HttpError
from ccx.protocols.failures import render_error
from ccx.protocols.names import Protocol
from ccx.runtime.admission import HOP_BY_HOP, Send
from ccx.telemetry.exchange import OK, Exchange
from ccx.upstream.reply import Header

KINDS: dict[int, ErrorKind] = {
    400: "invalid_request",
    401: "authentication",
    403: "permission",
    404: "not_found",
    408: "timeout",
    413: "too_large",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}

WHOLE_BYTES = 256 * 1024
"""Bytes of a body that are sent at once."""

# Not relayed: what belongs to the upstream's hop or host, and what would tie our clients to one another.
_KEPT_BACK = HOP_BY_HOP | {b"alt-svc", b"content-length", b"set-cookie", b"strict-transport-security"}


def reply_headers(headers: list[Header]) -> list[Header]:
    """An upstream's response headers as the client gets them: all but those of the hop."""
    kept = [h for h in headers if h[0] not in _KEPT_BACK and not h[0].startswith((b"x-ccx-", b"access-control-"))]
    named = next((value for name, value in headers if name == b"connection"), None)
    if named is None or named.lower() in (b"keep-alive", b"close"):
        return kept
    hop = {part.strip().lower() for part in named.split(b",")}
    return [header for header in kept if header[0] not in hop]


def receipt(exchange: Exchange, *, status: int | None = None) -> list[Header]:
    """Which table and route serve this request, through which attempts. `status` is of an attempt under way."""
    headers = [
        (b"x-ccx-request-id", exchange.request_id.encode()),
        (b"x-ccx-digest", exchange.digest[:12].encode()),
    ]
    if exchange.route is not None:
        headers.append((b"x-ccx-route", exchange.route.encode()))
    if exchange.cache is not None:
        headers.append((b"x-ccx-cache", exchange.cache.encode()))
    if exchange.sticky_tokens is not None:
        headers.append((b"x-ccx-sticky-tokens", b"%d" % exchange.sticky_tokens))
    attempts = exchange.attempts
    if attempts:
        last = attempts[-1]
        shown = [f"{a.channel}:{a.outcome if a.status is None else a.status}" for a in attempts]
        if status is not None and last.status is None and last.outcome == OK:
            shown[-1] = f"{last.channel}:{status}"
        headers.append((b"x-ccx-channel", last.channel.encode()))
        headers.append((b"x-ccx-attempts", ", ".join(shown).encode()))
    return headers


class Sender:
    """Sends the one answer of a request, and notes in its exchange what was sent and when."""

    __slots__ = ("_exchange", "_send", "_started", "done", "started")

    def __init__(self, send: Send, exchange: Exchange, started: float) -> None:
        self._send = send
        self._exchange = exchange
        self._started = started
        self.started = False
        self.done = False

    async def start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        self._exchange.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def piece(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange.first_byte_seconds is None:
            exchange.first_byte_seconds = time.perf_counter() - self._started
        exchange.bytes_out += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        self.done = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, headers: list[Header], body: bytes) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        exchange = self._exchange
        exchange.first_byte_seconds = time.perf_counter() - self._started
        exchange.bytes_out = len(body)
        await self.start(status, headers)
        rest: bytes | memoryview = body
        if len(body) > WHOLE_BYTES:
            # What a transport cannot send at once it copies: a large body goes at the pace of who reads it.
            rest = memoryview(body)
            while len(rest) > WHOLE_BYTES:
                await self._send({"type": "http.response.body", "body": rest[:WHOLE_BYTES], "more_body": True})
                rest = rest[WHOLE_BYTES:]
        self.done = True
        await self._send({"type": "http.response.body", "body": rest, "more_body": False})

    async def error(self, protocol: Protocol, error: HttpError) -> None:
        exchange = self._exchange
        exchange.error_kind = exchange.error_kind or error.kind
        body = render_error(
            protocol,
            status=error.status,
            kind=error.kind,
            message=error.message,
            request_id=exchange.request_id,
            code=error.code,
            param=error.param,
        )
        headers = [(b"content-type", b"application/json"), *error.headers, *receipt(exchange)]
        await self.whole(error.status, headers, body)
