"""DirectEngine: what goes over the wire, what connections are kept, and what closing does."""

from __future__ import annotations

import asyncio
import os

import pytest

from ccx.errors import ConnectError, ConnectionLost, GatewayError, UpstreamTimeout
from ccx.upstream.engine import DirectEngine, PoolLimits, TlsSettings
from ccx.upstream.reply import Call, Origin, Timeouts
from tests.faults import (
    Drop,
    FaultUpstream,
    Malformed,
    Reply,
    Respond,
    Sse,
    encode,
)
from tests.upstream.conftest import Certificates, call_to, until


async def test_a_request_goes_out_as_given(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(201, headers={"X-Id": "7"}, body=b"made")]) as upstream:
        headers = ((b"authorization", b"Bearer k"), (b"x-twice", b"1"), (b"x-twice", b"2"))
        reply = await engine.send(call_to(upstream, b"one", b"", b"two", target=b"/v1/a?b=c%20d", headers=headers))
        assert (reply.status, await reply.read(100)) == (201, b"made")
        assert (b"x-id", b"7") in reply.headers
    [request] = upstream.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/a?b=c%20d", b"onetwo")
    assert request.headers == (
        ("host", f"127.0.0.1:{upstream.port}"),
        ("authorization", "Bearer k"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("content-length", "6"),
    )


async def test_a_get_has_no_content_length_and_an_empty_post_has_one(engine: DirectEngine) -> None:
    async with FaultUpstream() as upstream:
        for method in (b"GET", b"POST"):
            await (await engine.send(call_to(upstream, method=method))).read(0)
    assert [request.header("content-length") for request in upstream.requests] == [None, "0"]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/a b", ()),
        (b"/a\r\nx: y", ()),
        (b"", ()),
        (b"/\0", ()),
        (b"/", ((b"x", b"1\r\nevil: 2"),)),
        (b"/", ((b"x", b"1\nevil: 2"),)),
        (b"/", ((b"x", b"1\r"),)),
        (b"/", ((b"x", b"\0"),)),
        (b"/", ((b"x\r\ny", b"1"),)),
        (b"/", ((b"x y", b"1"),)),
        (b"/", ((b"x:y", b"1"),)),
        (b"/", ((b"", b"1"),)),
        (b"/", ((b"Host", b"elsewhere"),)),
        (b"/", ((b"Content-Length", b"1"),)),
        (b"/", ((b"transfer-encoding", b"chunked"),)),
    ],
)
async def test_a_call_that_is_not_one_request_is_refused(
    engine: DirectEngine, target: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    async with FaultUpstream() as upstream:
        with pytest.raises(GatewayError):
            await engine.send(call_to(upstream, target=target, headers=headers))
    assert upstream.requests == []
    assert upstream.opened == 0


async def test_connections_are_kept_and_reused(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(body=b"a", chunked=True), Reply(204), Reply(304), Reply(body=b"b")]) as upstream:
        for _ in range(6):
            reply = await engine.send(call_to(upstream))
            await reply.read(10)
            assert (engine.open_connections, engine.idle_connections) == (1, 1)
        assert upstream.opened == 1


async def test_the_connection_is_free_before_the_body_is_read(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(body=b"whole")]) as upstream:
        first = await engine.send(call_to(upstream))
        second = await engine.send(call_to(upstream))
        assert (await first.read(10), await second.read(10)) == (b"whole", b"whole")
        assert upstream.opened == 1


@pytest.mark.parametrize("action", [Reply(close=True), Reply(headers={"Keep-Alive": "timeout=1"})])
async def test_a_server_that_will_not_keep_a_connection_is_believed(engine: DirectEngine, action: Reply) -> None:
    async with FaultUpstream([action]) as upstream:
        await (await engine.send(call_to(upstream))).read(0)
        await upstream.all_closed()
        await until(lambda: engine.open_connections == 0)


async def test_an_idle_connection_is_closed_when_its_time_is_over() -> None:
    engine = DirectEngine(limits=PoolLimits(idle_expiry=0.03))
    async with FaultUpstream() as upstream:
        await (await engine.send(call_to(upstream))).read(0)
        assert engine.idle_connections == 1
        await upstream.all_closed(within=1)
        await until(lambda: engine.open_connections == 0)
        assert engine.idle_connections == 0
    await engine.aclose()


async def test_no_more_idle_connections_are_kept_than_allowed() -> None:
    engine = DirectEngine(limits=PoolLimits(idle=2))
    async with FaultUpstream([Reply(delay=0.01)]) as upstream:
        replies = await asyncio.gather(*(engine.send(call_to(upstream)) for _ in range(5)))
        for reply in replies:
            await reply.read(0)
        await until(lambda: upstream.open == 2)
        assert engine.idle_connections == 2
        await engine.aclose()


async def test_the_connection_used_last_is_used_first(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(delay=0.02), Reply(delay=0.001), Reply()]) as upstream:
        await asyncio.gather(*(engine.send(call_to(upstream)) for _ in range(2)))
        await engine.send(call_to(upstream))
        slow = upstream.requests[0].connection  # it came back last
        assert upstream.requests[2].connection == slow


async def test_bytes_that_nobody_asked_for_end_a_connection(engine: DirectEngine) -> None:
    stray = encode(200, {"content-length": "5"}) + b"first" + encode(200, {"content-length": "5"}) + b"stray"
    async with FaultUpstream([Malformed(stray, stay=True), Reply(body=b"second")]) as upstream:
        assert await (await engine.send(call_to(upstream))).read(10) == b"first"
        assert engine.idle_connections == 0
        assert await (await engine.send(call_to(upstream))).read(10) == b"second"
        assert upstream.opened == 2


async def test_bytes_that_come_while_idle_end_a_connection(engine: DirectEngine) -> None:
    late = [encode(200, {"content-length": "2"}) + b"ok", b"", b"", encode(500, {})]
    async with FaultUpstream([Malformed(late, stay=True), Reply(body=b"second")]) as upstream:
        assert await (await engine.send(call_to(upstream))).read(10) == b"ok"
        await until(lambda: engine.open_connections == 0)
        assert await (await engine.send(call_to(upstream))).read(10) == b"second"


async def test_a_server_that_closes_an_idle_connection_is_noticed(engine: DirectEngine) -> None:
    async with FaultUpstream([Malformed(encode(200, {"content-length": "2"}) + b"ok"), Reply()]) as upstream:
        await (await engine.send(call_to(upstream))).read(10)
        await until(lambda: engine.open_connections == 0)
        assert engine.idle_connections == 0
        assert (await engine.send(call_to(upstream))).status == 200


async def test_closing_keeps_busy_connections_until_they_end(engine: DirectEngine) -> None:
    async with FaultUpstream([Reply(), Sse(["data: 1", "data: 2"], pause=0.01)]) as upstream:
        idle = await engine.send(call_to(upstream))
        await idle.read(0)
        busy = await engine.send(call_to(upstream))
        await engine.aclose()
        assert engine.idle_connections == 0
        assert await busy.read(1000) == b"data: 1\n\ndata: 2\n\n"
        await upstream.all_closed()
        late = await engine.send(call_to(upstream))
        await late.read(1000)
        await upstream.all_closed()
        assert engine.open_connections == 0


async def test_tls_with_a_trusted_certificate(certificates: Certificates) -> None:
    engine = DirectEngine(tls=TlsSettings(ca=certificates.ca))
    body = os.urandom(2_000_000)
    echo = Respond(lambda request: Reply(body=request.body))
    async with FaultUpstream([echo, echo, Drop(after=150)], ssl=certificates.server_context()) as upstream:
        for _ in range(2):
            assert await (await engine.send(call_to(upstream, body))).read(3_000_000) == body
        assert (upstream.opened, engine.idle_connections) == (1, 1)
        cut = await engine.send(call_to(upstream))
        with pytest.raises(ConnectionLost):
            await cut.read(1000)
        await engine.aclose()
        await upstream.all_closed()


async def test_tls_is_always_verified(certificates: Certificates) -> None:
    engine = DirectEngine()
    async with FaultUpstream(ssl=certificates.server_context()) as upstream:
        with pytest.raises(ConnectError, match="cannot trust"):
            await engine.send(call_to(upstream))
        assert engine.open_connections == 0


async def test_tls_with_a_server_that_has_none() -> None:
    async with FaultUpstream([Malformed(b"HTTP/1.1 400 Bad Request\r\n\r\n")]) as upstream:
        origin = Origin(True, "127.0.0.1", upstream.port)
        with pytest.raises((ConnectError, UpstreamTimeout)):
            await DirectEngine().send(Call(b"GET", origin, b"/", (), (), Timeouts(connect=0.3)))
