"""The ASGI application, driven by hand, and over a raw socket where the connection itself matters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest

from ccx.upstream.demo import app as module
from ccx.upstream.demo.app import DemoApp
from tests.upstream_demo.asking import CHAT, Dialect, post


def scope(target: str, method: str = "POST") -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
    }


class Client:
    """An ASGI client: gives the pieces of a body, then is silent or leaves."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = list(pieces)
        self.sent: list[Any] = []
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self.pieces:
            piece = self.pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def request(dialect: Dialect = CHAT, **kwargs: Any) -> tuple[dict[str, Any], bytes]:
    path, body = dialect.request("hi", **kwargs)
    return scope(path), json.dumps(body).encode()


async def test_a_stream_is_sent_event_by_event() -> None:
    where, body = request(stream=True)
    client = Client([body[:5], body[5:]])
    await DemoApp()(where, client.receive, client.send)
    start, *rest = client.sent
    expected = post("/v1/chat/completions", body)
    assert (start["type"], start["status"], tuple(start["headers"])) == ("http.response.start", 200, expected.headers)
    assert [message["body"] for message in rest] == [*(piece.data for piece in expected.pieces), b""]
    assert [message["more_body"] for message in rest] == [True] * (len(rest) - 1) + [False]


async def test_delay() -> None:
    where, body = request(stream=True)
    client = Client([body])
    started = asyncio.get_running_loop().time()
    await DemoApp(delay=0.001)(where, client.receive, client.send)
    assert asyncio.get_running_loop().time() - started >= 0.001 * (len(client.sent) - 2)
    assert client.body.endswith(b"[DONE]\n\n")


@pytest.mark.parametrize(("model", "messages"), [("demo-stall", 0), ("demo-slow", 0), ("demo-stall-midstream", 10)])
async def test_a_client_that_leaves_ends_the_answer(model: str, messages: int) -> None:
    where, body = request(stream=True, model=model)
    client = Client([body])
    serving = asyncio.ensure_future(DemoApp()(where, client.receive, client.send))
    await asyncio.sleep(0.005)
    assert not serving.done()
    assert len(client.sent) >= messages
    client.left.set()
    await asyncio.wait_for(serving, 1)
    assert all(message.get("more_body", True) for message in client.sent)
    assert len(asyncio.all_tasks()) == 1


async def test_a_client_that_leaves_early() -> None:
    client = Client([])
    client.left.set()
    await DemoApp()(scope("/v1/messages"), client.receive, client.send)
    assert client.sent == []


async def test_the_server_stops_while_an_answer_stalls() -> None:
    where, body = request(model="demo-stall")
    client = Client([body])
    serving = asyncio.ensure_future(DemoApp()(where, client.receive, client.send))
    await asyncio.sleep(0.005)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert len(asyncio.all_tasks()) == 1


async def test_a_failure_to_send_is_not_swallowed() -> None:
    where, body = request(model="demo-stall-midstream")
    client = Client([body])

    async def broken(message: Any) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await DemoApp()(where, client.receive, broken)


async def test_a_large_body_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY", 10)
    client = Client([b"x" * 8, b"x" * 8, b"x" * 8])
    await DemoApp()(scope("/v1/messages"), client.receive, client.send)
    assert client.sent[0]["status"] == 413
    assert json.loads(client.body)["error"]["type"] == "request_too_large"
    assert len(client.pieces) == 1


async def test_lifespan_and_websocket() -> None:
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return asked.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await DemoApp()({"type": "lifespan"}, receive, send)
    asked = [{"type": "websocket.connect"}]
    await DemoApp()({"type": "websocket"}, receive, send)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "websocket.close",
    ]


async def exchange(url: str, raw: bytes) -> bytes:
    """All bytes the server sends until it closes."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(raw)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_closes_the_connection_in_the_middle(demo_url: str, stream: bool) -> None:
    _, body = request(stream=stream, model="demo-cut")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answer = await exchange(demo_url, head + body)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    fields, _, received = answer.partition(b"\r\n\r\n")
    if stream:
        assert b"transfer-encoding: chunked" in fields.lower()
        assert not received.endswith(b"0\r\n\r\n")
    else:
        length = next(
            int(line.split(b":")[1]) for line in fields.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        assert 0 < len(received) < length


async def test_empty_and_head(demo_url: str) -> None:
    _, body = request(model="demo-empty")
    names = f"Host: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{names}\r\n".encode()
    fields, _, received = (await exchange(demo_url, head + body)).partition(b"\r\n\r\n")
    assert b"content-length: 0" in fields
    assert received == b""
    answer = await exchange(demo_url, b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")
