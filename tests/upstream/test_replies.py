"""DirectEngine: replies and their framing, small and big."""

from __future__ import annotations

import asyncio
import os

import pytest

from ccx.errors import BadReply, ConnectionLost
from ccx.upstream.engine import BATCH, DirectEngine
from tests.faults import (
    Early,
    FaultUpstream,
    Malformed,
    Peer,
    Received,
    Reply,
    Reset,
    encode,
)
from tests.upstream.conftest import call_to, drained, until


async def test_interim_replies_are_skipped(engine: DirectEngine) -> None:
    early = encode(100, {}) + encode(103, {"link": "</x>"})
    async with FaultUpstream([Malformed([early, Reply(body=b"final").raw()], stay=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        assert (reply.status, reply.headers, await reply.read(10)) == (200, [(b"content-length", b"5")], b"final")
        assert engine.idle_connections == 1


@pytest.mark.parametrize("headers", [{"content-length": "5"}, {"transfer-encoding": "chunked"}])
async def test_a_head_request_has_no_body_whatever_its_reply_says(
    engine: DirectEngine, headers: dict[str, str]
) -> None:
    async with FaultUpstream([Malformed([encode(200, headers)], stay=True)]) as upstream:
        reply = await engine.send(call_to(upstream, method=b"HEAD"))
        assert (reply.status, await reply.next()) == (200, b"")


async def test_a_connection_is_reused_after_a_head_request(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(body=b"12345")]) as upstream:
        assert await (await engine.send(call_to(upstream, method=b"HEAD"))).read(0) == b""
        assert await (await engine.send(call_to(upstream))).read(10) == b"12345"
        assert upstream.opened == 1


async def test_a_body_without_a_length_ends_with_the_connection(engine: DirectEngine) -> None:
    async with FaultUpstream([Malformed([encode(200, {}), b"all ", b"of it"])]) as upstream:
        reply = await engine.send(call_to(upstream))
        assert await reply.read(100) == b"all of it"
        assert await reply.next() == b""
        await until(lambda: engine.open_connections == 0)


async def test_trailers_are_read_and_dropped(engine: DirectEngine) -> None:
    raw = encode(200, {"transfer-encoding": "chunked"}) + b"3;ext=1\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n"
    async with FaultUpstream([Malformed(raw, stay=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        assert await reply.read(10) == b"abc"
        assert reply.headers == [(b"transfer-encoding", b"chunked")]
        assert engine.idle_connections == 1


async def test_header_values_lose_surrounding_space_and_may_be_empty(engine: DirectEngine) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Wide: \t a b \t\r\nContent-Length: 0\r\n\r\n"
    async with FaultUpstream([Malformed(raw, stay=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        assert reply.headers[:2] == [(b"x-empty", b""), (b"x-wide", b"a b")]


@pytest.mark.parametrize(
    ("raw", "stage"),
    [
        (b"SSH-2.0-OpenSSH_9.7\r\n", "first_byte"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "first_byte"),
        (b"HTTP/1.1 700 Odd\r\ncontent-length: 0\r\n\r\n", "first_byte"),
        (b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", "first_byte"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "first_byte"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "first_byte"),
        (b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "first_byte"),
        (encode(200, {"x": "y" * 70_000, "content-length": "0"}), "first_byte"),
        (encode(200, [(f"x-{n}", "1") for n in range(300)]), "first_byte"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, "first_byte"),
        (encode(100, {}) * 5000, "first_byte"),
    ],
)
async def test_what_is_not_a_reply_is_refused(engine: DirectEngine, raw: bytes, stage: str) -> None:
    async with FaultUpstream([Malformed(raw, stay=True)]) as upstream:
        with pytest.raises(BadReply) as caught:
            await engine.send(call_to(upstream))
        assert caught.value.stage == stage
        await upstream.all_closed()


@pytest.mark.parametrize(
    "rest",
    [b"zz\r\nabc\r\n", b"3\r\nabcd\r\n", b"0\r\n" + b"x: " + b"y" * 1_000_000, b"1;" + b"e" * 1_000_000 + b"\r\n"],
)
async def test_a_body_that_stops_making_sense_is_refused(engine: DirectEngine, rest: bytes) -> None:
    pieces = [encode(200, {"transfer-encoding": "chunked"}) + b"2\r\nok\r\n", rest]
    async with FaultUpstream([Malformed(pieces, stay=True)]) as upstream:
        reply = await engine.send(call_to(upstream))
        got, error = await drained(reply)
        assert got.startswith(b"ok")
        assert isinstance(error, BadReply)
        assert error.stage == "body"
        with pytest.raises(BadReply):
            await reply.next()
        await upstream.all_closed()


async def test_a_big_request_is_written_as_it_is_taken(engine: DirectEngine) -> None:
    parts = (os.urandom(BATCH - 1), b"", os.urandom(3 * BATCH + 5), b"tail")
    async with FaultUpstream([Reply(body=b"ok")]) as upstream:
        assert await (await engine.send(call_to(upstream, *parts))).read(10) == b"ok"
        assert engine.idle_connections == 1
    assert upstream.requests[0].body == b"".join(parts)


async def test_an_early_refusal_stops_the_upload(engine: DirectEngine) -> None:
    refusal = Reply(413, body=b"too large", close=False)
    async with FaultUpstream([Early(refusal, deaf=True)]) as upstream:
        reply = await engine.send(call_to(upstream, bytes(50_000_000)))
        assert (reply.status, await reply.read(100)) == (413, b"too large")
        await until(lambda: engine.open_connections == 0)


async def test_an_early_acceptance_does_not_stop_the_upload(engine: DirectEngine) -> None:
    body = os.urandom(3_000_000)
    uploaded: list[int] = []

    class Accept(Early):
        async def play(self, peer: Peer, request: Received) -> bool:
            await peer.write(encode(200, {"content-length": "2"}))
            await asyncio.sleep(0.01)
            uploaded.append(len(await peer.reader.readexactly(len(body))))
            await peer.write(b"ok")
            return True

    async with FaultUpstream([Accept(Reply())]) as upstream:
        reply = await engine.send(call_to(upstream, body))
        assert (reply.status, await reply.read(10)) == (200, b"ok")
        assert uploaded == [len(body)]
        assert engine.idle_connections == 1


async def test_an_upload_that_is_cut_off(engine: DirectEngine) -> None:
    async with FaultUpstream([Early(Reset())]) as upstream:
        with pytest.raises(ConnectionLost) as caught:
            await engine.send(call_to(upstream, bytes(50_000_000)))
        assert caught.value.stage in ("send", "first_byte")


async def test_a_big_reply_waits_for_its_reader(engine: DirectEngine) -> None:
    size = 20_000_000
    body = os.urandom(1000) * (size // 1000)
    async with FaultUpstream([Reply(body=body)]) as upstream:
        reply = await engine.send(call_to(upstream))
        await asyncio.sleep(0.05)
        largest, got = 0, 0
        while piece := await reply.next():
            largest = max(largest, len(piece))
            assert piece == body[got : got + len(piece)]
            got += len(piece)
        assert got == size
        assert largest <= 1_000_000
        assert engine.idle_connections == 1
