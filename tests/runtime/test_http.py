"""How bodies reach the application: whole where they are small, in pieces where they are not, never without bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from ccx.runtime import http
from ccx.runtime.http import HIGH_WATER, PIECE, BoundedProtocol

Receive = Callable[[], Awaitable[dict[str, Any]]]
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._reading = True
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def reads(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True


class Served:
    """A protocol on a wire, and what its application received."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.received: list[dict[str, Any]] = []
        self.go = asyncio.Event()
        config = uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None)
        config.load()
        self.state = ServerState()
        self.protocol = BoundedProtocol(config, self.state, {})
        self.protocol.connection_made(self.wire)

    async def _app(self, scope: Any, receive: Receive, send: Any) -> None:
        await self.go.wait()
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "http.disconnect":
                return
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.received]


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    served = Served()
    try:
        yield served
    finally:
        served.go.set()
        served.protocol.connection_lost(None)
        await asyncio.gather(*served.state.tasks)


@pytest.mark.parametrize("reads", [1, 7])
async def test_a_body_of_usual_size_arrives_whole(reads: int) -> None:
    async with serving() as served:
        served.go.set()
        body = bytes(range(256)) * 700
        size = len(body) // reads
        served.protocol.data_received(HEAD % len(body))
        for at in range(0, len(body), size):
            served.protocol.data_received(body[at : at + size])
            await served.settle()
        assert served.bodies() == [body]
        assert served.wire.written.startswith(b"HTTP/1.1 200")


async def test_a_large_body_arrives_in_pieces_that_are_not_hoarded() -> None:
    async with serving() as served:
        served.go.set()
        served.protocol.data_received(HEAD % (3 * PIECE + 10))
        for number in range(3):
            served.protocol.data_received(b"%d" % number * PIECE)
            await served.settle()
        assert served.bodies() == [b"%d" % number * PIECE for number in range(3)]
        served.protocol.data_received(b"x" * 10)
        await served.settle()
        assert served.bodies()[3:] == [b"x" * 10]


async def test_reading_stops_while_the_application_does_not_take_what_came() -> None:
    async with serving() as served:
        size = HIGH_WATER + PIECE
        served.protocol.data_received(HEAD % (size + 1))
        for _ in range(0, size, PIECE):
            assert served.wire.reads()
            served.protocol.data_received(b"x" * PIECE)
        assert not served.wire.reads()
        served.go.set()
        await served.settle()
        assert served.wire.reads()
        served.protocol.data_received(b"y")
        await served.settle()
        assert b"".join(served.bodies()) == b"x" * size + b"y"


async def test_a_client_that_leaves_in_its_body_leaves_nothing() -> None:
    async with serving() as served:
        served.go.set()
        served.protocol.data_received(HEAD % 1000 + b"x" * 10)
        await served.settle()
        assert not served.received
        served.protocol.connection_lost(None)
        await served.settle()
        assert [message["type"] for message in served.received] == ["http.disconnect"]


async def test_bodies_of_pipelined_requests_stay_apart() -> None:
    async with serving() as served:
        served.protocol.data_received(HEAD % 3 + b"one" + HEAD % 3 + b"two" + HEAD % 0 + HEAD % 5 + b"three")
        served.go.set()
        await served.settle()
        await served.settle()
        assert served.bodies() == [b"one", b"two", b"", b"three"]


@asynccontextmanager
async def answered(monkeypatch: pytest.MonkeyPatch, *, head: float, idle: float) -> AsyncIterator[Served]:
    """A connection that has had an answer, with these times for a head and for being idle."""
    monkeypatch.setattr(http, "HEADER_SECONDS", head)
    async with serving() as served:
        served.protocol.timeout_keep_alive = idle  # type: ignore[assignment]  # uvicorn declares whole seconds
        served.go.set()
        served.protocol.data_received(HEAD % 2 + b"ok")
        await served.settle()
        assert served.wire.written.startswith(b"HTTP/1.1 200")
        yield served


async def test_an_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answered(monkeypatch, head=0.01, idle=0.04) as served:
        await asyncio.sleep(0.02)
        assert not served.wire.closed, "a connection may be idle for longer than a head may take"
        await asyncio.sleep(0.05)
        assert served.wire.closed


async def test_a_request_on_an_idle_connection_is_served_and_idle_time_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with answered(monkeypatch, head=0.02, idle=0.06) as served:
        for _ in range(3):
            await asyncio.sleep(0.04)
            served.protocol.data_received(HEAD % 2 + b"ok")
            await served.settle()
        assert not served.wire.closed
        assert served.wire.written.count(b"HTTP/1.1 200") == 4
        await asyncio.sleep(0.09)
        assert served.wire.closed


async def test_empty_lines_do_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answered(monkeypatch, head=0.03, idle=5.0) as served:
        for _ in range(20):
            served.protocol.data_received(b"\r\n")
            await asyncio.sleep(0.005)
        assert served.wire.closed


async def test_a_second_head_has_the_time_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answered(monkeypatch, head=0.03, idle=5.0) as served:
        for sign in b"POST / HTTP/1.1\r\nhost: a-host-that-takes-its-time\r\n":
            served.protocol.data_received(bytes([sign]))
            await asyncio.sleep(0.003)
        assert served.wire.closed
        assert b"408 Request Timeout" in served.wire.written
