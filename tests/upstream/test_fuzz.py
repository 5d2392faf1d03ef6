"""DirectEngine by property: whatever an upstream sends, however it is cut, comes back whole or as a declared error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import UpstreamError
from ccx.upstream.engine import DirectEngine
from ccx.upstream.reply import Timeouts
from tests.faults import Action, FaultUpstream, Malformed, Reply, chunk, encode
from tests.upstream.conftest import call_to, drained, until

SOON = Timeouts(connect=1.0, first_byte=1.0, idle=1.0, total=2.0)


@asynccontextmanager
async def exchange(*script: Action) -> AsyncIterator[tuple[FaultUpstream, DirectEngine]]:
    """An upstream and an engine, neither of which may have a connection left in the end."""
    engine = DirectEngine()
    async with FaultUpstream(script) as upstream:
        yield upstream, engine
        await engine.aclose()
        await until(lambda: engine.open_connections == 0)
        await upstream.all_closed()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at these places, modulo its length."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True) if start != end]


# Bytes near enough to HTTP to get past the first check of a parser.
fragments = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n",
        b"HTTP/1.1 999 \r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Keep-Alive: timeout=\xff, max=x\r\n",
        b" folded\r\n",
        b"X\x00: y\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"abc",
        b"3\r\nabc\r\n",
        b"ffffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"",
    ]
)
junk = st.lists(fragments | st.binary(max_size=20), max_size=12).map(b"".join)


@given(raw=junk, places=st.lists(st.integers(0, 500), max_size=6), body=st.binary(max_size=10), head=st.booleans())
async def test_any_bytes_are_a_reply_or_a_declared_error(
    raw: bytes, places: list[int], body: bytes, head: bool
) -> None:
    async with exchange(Malformed(cut(raw, places)), Malformed(cut(raw, places)), Reply(body=b"fine")) as (up, engine):
        for _ in range(2):
            try:
                call = call_to(up, body, method=b"HEAD" if head else b"POST", timeouts=SOON)
                reply = await engine.send(call)
            except UpstreamError:
                continue
            assert 200 <= reply.status < 600
            _, error = await drained(reply)
            assert await drained(reply) == (b"", error)


@given(
    body=st.binary(max_size=2000) | st.integers(0, 400_000).map(lambda size: b"0123456789abcdef" * (size // 16)),
    chunks=st.lists(st.integers(0, 400_000), max_size=5),
    places=st.lists(st.integers(0, 500_000), max_size=8),
    framing=st.sampled_from(["length", "chunked", "close"]),
)
async def test_any_body_however_cut_arrives_whole(
    body: bytes, chunks: list[int], places: list[int], framing: str
) -> None:
    match framing:
        case "length":
            raw = encode(200, {"content-length": str(len(body))}) + body
        case "chunked":
            raw = encode(200, {"transfer-encoding": "chunked"}) + b"".join(map(chunk, cut(body, chunks))) + chunk(b"")
        case _:
            raw = encode(200, {}) + body
    async with exchange(Malformed(cut(raw, places), stay=framing != "close")) as (up, engine):
        reply = await engine.send(call_to(up, timeouts=SOON))
        assert await drained(reply) == (body, None)
        assert engine.idle_connections == (framing != "close")


@given(body=st.binary(min_size=1, max_size=2000), at=st.integers(0, 1_000_000), chunked=st.booleans())
async def test_any_cut_is_noticed(body: bytes, at: int, chunked: bool) -> None:
    raw = Reply(body=body, chunked=chunked).raw()
    short = raw[: at % len(raw)]
    async with exchange(Malformed(short)) as (up, engine):
        try:
            reply = await engine.send(call_to(up, timeouts=SOON))
        except UpstreamError:
            assert len(short) < len(raw)
            return
        got, error = await drained(reply)
        assert body.startswith(got)
        assert error is not None


@given(parts=st.lists(st.binary(max_size=300) | st.integers(0, 700_000).map(bytes), max_size=5))
async def test_any_request_body_is_sent_whole(parts: list[bytes]) -> None:
    async with exchange(Reply()) as (up, engine):
        await (await engine.send(call_to(up, *parts, timeouts=SOON))).read(0)
        assert up.requests[0].body == b"".join(parts)


@given(st.lists(st.sampled_from(["next", "abort", "cancel", "pause"]), max_size=6))
async def test_a_reply_can_be_given_up_at_any_point(steps: list[str]) -> None:
    raw = [encode(200, {"transfer-encoding": "chunked"}), chunk(b"one"), chunk(b"two")]
    async with exchange(Malformed(raw, stay=True)) as (up, engine):
        reply = await engine.send(call_to(up, timeouts=SOON))
        seen = b""
        for step in steps:
            match step:
                case "next" if seen != b"onetwo":
                    try:
                        seen += await reply.next()
                    except UpstreamError:
                        assert {"abort", "cancel"} & set(steps)
                case "abort":
                    reply.abort()
                case "cancel":
                    task = asyncio.ensure_future(drained(reply))
                    await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                case _:
                    await asyncio.sleep(0)
        assert b"onetwo".startswith(seen)
        reply.abort()
