"""Small egress proxies (HTTP with CONNECT, SOCKS5) and an HTTP/2 server, just enough to test a client of each."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Seen:
    """What a proxy was asked: the first line of each request, or the address; and the credentials given."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)


@asynccontextmanager
async def serving(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a connection handler on an ephemeral loopback port."""
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(guarded(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, port: int, first: bytes
) -> None:
    onward, back = await asyncio.open_connection(host, port)
    back.write(first)
    try:
        await asyncio.gather(_pipe(reader, back), _pipe(onward, writer))
    finally:
        back.close()


@asynccontextmanager
async def http_proxy(*, refuse: bool = False) -> AsyncIterator[Seen]:
    """Forwards absolute-form requests and opens tunnels; `refuse` answers 407 to everything."""
    seen = Seen()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        seen.asked.append(line)
        seen.credentials += [h.partition(": ")[2] for h in headers if h.lower().startswith("proxy-authorization")]
        if refuse:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        method, target, _ = line.split(" ")
        if method == "CONNECT":
            host, _, port = target.partition(":")
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await _join(reader, writer, host=host, port=int(port), first=b"")
            return
        host, _, port = target.removeprefix("http://").partition("/")[0].partition(":")
        path = "/" + target.removeprefix("http://").partition("/")[2]
        first = head.replace(target.encode(), path.encode(), 1)
        await _join(reader, writer, host=host, port=int(port), first=first)

    async with serving(serve) as seen.port:
        yield seen


@asynccontextmanager
async def socks_proxy(*, answer: bytes | None = None) -> AsyncIterator[Seen]:
    """SOCKS5 (RFC 1928, 1929) for CONNECT; `answer` is sent in place of the method's reply."""
    seen = Seen()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if answer is not None:
            writer.write(answer)
            await writer.drain()
            return
        chosen = 2 if 2 in methods else 0
        writer.write(bytes([5, chosen]))
        if chosen == 2:
            await reader.readexactly(1)
            parts = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
            seen.credentials.append(":".join(parts))
            writer.write(b"\x01\x00")
        *_, kind = await reader.readexactly(4)
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        port = int.from_bytes(await reader.readexactly(2))
        seen.asked.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await _join(reader, writer, host=host, port=port, first=b"")

    async with serving(serve) as seen.port:
        yield seen


@asynccontextmanager
async def http2_server(tls: ssl.SSLContext) -> AsyncIterator[Seen]:
    """Echoes each request's body; a path of /stall is never answered."""
    tls.set_alpn_protocols(["h2"])
    seen = Seen()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        peer.initiate_connection()
        bodies: dict[int, bytes] = {}
        paths: dict[int, str] = {}
        writer.write(peer.data_to_send())
        while data := await reader.read(65536):
            for event in peer.receive_data(data):
                match event:
                    case h2.events.RequestReceived(stream_id=int(number)):
                        headers = {name.decode(): value.decode() for name, value in event.headers or ()}
                        paths[number], bodies[number] = headers[":path"], b""
                        seen.asked.append(f"{headers[':method']} {headers[':path']}")
                    case h2.events.DataReceived(stream_id=int(number), data=bytes(piece)):
                        bodies[number] += piece
                        peer.acknowledge_received_data(event.flow_controlled_length or 0, number)
                    case h2.events.StreamEnded(stream_id=int(number)) if paths[number] != "/stall":
                        peer.send_headers(number, [(":status", "200"), ("x-over", "h2")])
                        peer.send_data(number, bodies[number], end_stream=True)
            writer.write(peer.data_to_send())

    async with serving(serve, tls=tls) as seen.port:
        yield seen
