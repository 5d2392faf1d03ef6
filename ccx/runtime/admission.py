"""Admission: who calls, with which headers, and the body they sent, within the declared bounds.

Law: everything a stranger can send is bounded before it is looked at: size (declared, received, and decompressed), time
to send it, nesting. A key is compared by its SHA-256, so that the time taken says nothing about it. Without declared
clients only this machine may call, and only by a name of this machine, so that no web page can reach in by DNS tricks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import zlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import parse_qsl

from ccx.errors import ClientError
from ccx.routing.table import Client, Server
from ccx.runtime.begun import Begun
from ccx.runtime.live import Live
from ccx.upstream.reply import Header

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    },
)
CREDENTIALS = (b"x-api-key", b"authorization", b"x-goog-api-key", b"api-key")
SESSION = b"x-ccx-session"
CACHE = b"x-ccx-cache"
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_READ = frozenset(
    {
        *CREDENTIALS,
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"origin",
        SESSION,
        CACHE,
        b"cache-control",
        *FORWARDED,
    },
)
# Not sent on: what belongs to this hop, what authenticates to ccx, and what a browser adds for us alone.
_KEPT_BACK = HOP_BY_HOP | {
    *CREDENTIALS,
    b"accept-encoding",
    b"content-encoding",
    b"content-length",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"origin",
    b"referer",
}
OFF_LOOP_BYTES = 16 * 1024
DRAIN_SECONDS = 5.0
# The rest of a body that is refused is not read: the connection ends.
CLOSE: tuple[Header, ...] = ((b"connection", b"close"),)


@dataclass(slots=True)
class Inbound:
    """A request's headers, read once: those ccx looks at, and those that go on to the upstream."""

    read: dict[bytes, bytes]
    forward: list[Header]


def read_headers(headers: Iterable[Header]) -> Inbound:
    """Sort request headers (lower-case names, as ASGI gives them)."""
    read: dict[bytes, bytes] = {}
    forward: list[Header] = []
    for header in headers:
        name = header[0]
        if name in _READ:
            read[name] = header[1]
        if name not in _KEPT_BACK and not name.startswith(b"x-ccx-"):
            forward.append(header)
    named = read.get(b"connection")
    if named is not None and named.lower() not in (b"keep-alive", b"close"):
        hop = {part.strip().lower() for part in named.split(b",")}
        forward = [header for header in forward if header[0] not in hop]
    return Inbound(read, forward)


def credential(inbound: Inbound, query: bytes) -> str | None:
    """The key a caller presents: x-api-key, Authorization: Bearer, x-goog-api-key, api-key, or ?key=."""
    read = inbound.read
    for header in CREDENTIALS:
        value = read.get(header)
        if value is None:
            continue
        text = value.decode("latin-1").strip()
        if header == b"authorization":
            scheme, _, rest = text.partition(" ")
            text = rest.strip() if scheme.lower() == "bearer" else ""
        if text:
            return text
    if b"key=" in query:
        for name, text in parse_qsl(query.decode("latin-1")):
            if name == "key" and text:
                return text
    return None


def without_key(query: bytes) -> bytes:
    """A query string without its `key`, which is ours; all else byte for byte."""
    if b"key=" not in query:
        return query
    kept = [part for part in query.split(b"&") if part.partition(b"=")[0] != b"key"]
    return b"&".join(kept)


def is_loopback(host: str) -> bool:
    """Whether an address or host name is of this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def host_of(header: bytes) -> str:
    """The host of a Host or Origin value, without scheme and port."""
    text = header.decode("latin-1").strip().lower().rpartition("://")[2]
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def from_this_machine(scope: Scope, inbound: Inbound) -> bool:
    """Whether the caller is on this machine and, if it is a web page, one served by this machine. What a proxy on this
    machine passes on comes from anywhere."""
    peer = scope.get("client")
    if peer is None or not is_loopback(str(peer[0])) or any(name in inbound.read for name in FORWARDED):
        return False
    host, origin = inbound.read.get(b"host"), inbound.read.get(b"origin")
    if host is not None and not is_loopback(host_of(host)):
        return False
    return origin is None or is_loopback(host_of(origin))


def admit(live: Live, scope: Scope, inbound: Inbound, *, today: date) -> Client | None:
    """The declared client that calls; None where none is declared and the caller is on this machine.

    Raises ClientError 401 for a missing or wrong key, 403 for a stranger at a gateway without clients.
    """
    query: bytes = scope["query_string"]
    if not live.clients:
        if from_this_machine(scope, inbound) or _cors_allowed(live.table.server, scope, inbound):
            return None
        raise ClientError(
            403,
            "permission",
            "This gateway declares no clients, so it answers callers on its own machine only. "
            "Declare one under `clients:` (`ccx keys new NAME` makes a key).",
        )
    key = credential(inbound, query)
    if key is not None:
        client = live.admits(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest(), today=today)
        if client is not None:
            return client
        message = "This key is not valid here: unknown, expired or disabled."
    else:
        message = "No key: send one as x-api-key, Authorization: Bearer, x-goog-api-key or ?key=."
    raise ClientError(
        401,
        "authentication",
        message,
        headers=((b"www-authenticate", b'Bearer realm="ccx"'), (b"x-should-retry", b"false")),
    )


def _cors_allowed(server: Server, scope: Scope, inbound: Inbound) -> bool:
    """A web page of a declared origin, in a browser on this machine, talking to a loopback name."""
    peer, origin = scope.get("client"), inbound.read.get(b"origin")
    host = inbound.read.get(b"host", b"localhost")
    return (
        peer is not None
        and is_loopback(str(peer[0]))
        and is_loopback(host_of(host))
        and origin is not None
        and origin.decode("latin-1") in server.cors
    )


async def read_body(receive: Receive, inbound: Inbound, server: Server) -> bytes:
    """The request's body, decompressed. Raises ClientError 400, 408, 413 or 415."""
    declared = inbound.read.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > server.max_body:
        if b"expect" not in inbound.read:
            await _drain(receive)
        raise too_large(server.max_body)
    reading = Begun(_receive_all(receive, limit=server.max_body))
    try:
        if reading.done:
            body = reading.result
        else:
            async with asyncio.timeout(server.body_timeout / 1000):
                body = await reading
    except TimeoutError:
        message = f"The body did not arrive within {server.body_timeout / 1000:g} s (server.body_timeout)."
        raise ClientError(408, "timeout", message, headers=CLOSE) from None
    encoding = inbound.read.get(b"content-encoding")
    if encoding is None or encoding.lower() in (b"", b"identity"):
        return body
    name = encoding.decode("latin-1").strip().lower()
    if len(body) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(decompress, body, name, limit=server.max_body)
    return decompress(body, name, limit=server.max_body)


class ClientGone(Exception):
    """The client went away before the request was whole."""


async def _receive_all(receive: Receive, *, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            parts.clear()
            if message.get("more_body", False):
                await _drain(receive)
            raise too_large(limit)
        if not message.get("more_body", False):
            return part if not parts else b"".join((*parts, part))
        parts.append(part)


async def _drain(receive: Receive) -> None:
    """Read on for a while, keeping nothing: an answer given while the client still sends would be lost in the reset."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                if not message.get("more_body", False):
                    return


def too_large(limit: int) -> ClientError:
    """The refusal of a body of more bytes than that."""
    message = f"The body is larger than the {limit} bytes allowed here (server.max_body)."
    return ClientError(413, "too_large", message, headers=CLOSE)


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Undo a Content-Encoding of gzip, deflate or zstd, never producing more than `limit` bytes.

    Raises ClientError 400 (not what it says), 413 (too large) or 415 (not supported).
    """
    match encoding:
        case "gzip" | "x-gzip" | "deflate":
            return _inflate(body, 31 if encoding != "deflate" else 15, limit=limit)
        case "zstd":
            return _unzstd(body, limit=limit)
        case _:
            raise ClientError(
                415,
                "invalid_request",
                f"Content-Encoding {encoding!r} is not supported; send gzip, deflate, zstd or none.",
                headers=((b"accept-encoding", b"gzip, deflate, zstd"),),
            )


def _inflate(body: bytes, bits: int, *, limit: int) -> bytes:
    stream = zlib.decompressobj(wbits=bits)
    try:
        out = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise ClientError(400, "invalid_request", f"The compressed body cannot be read: {error}.") from None
    if len(out) > limit:
        raise too_large(limit)
    if not stream.eof:
        raise ClientError(400, "invalid_request", "The compressed body ends before its end.")
    return out


def _unzstd(body: bytes, *, limit: int) -> bytes:
    try:
        import zstandard  # noqa: PLC0415 - an optional extra: its absence is an answer, not a failure to start
    except ImportError:
        raise ClientError(
            415,
            "invalid_request",
            "Content-Encoding zstd needs the zstd extra here (pip install 'ccx[zstd]'); send gzip or none.",
        ) from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(body) as reader:
            out: bytes = reader.read(limit + 1)
    except zstandard.ZstdError as error:
        raise ClientError(400, "invalid_request", f"The compressed body cannot be read: {error}.") from None
    if len(out) > limit:
        raise too_large(limit)
    return out
