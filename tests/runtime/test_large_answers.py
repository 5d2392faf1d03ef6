"""Answers that are large, packed, or both: converted off the loop, passed through whole, and never cut by who reads
along."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ccx.errors import BadReply
from ccx.runtime import encoded
from ccx.runtime.encoded import Decoder, Unreadable
from ccx.runtime.relay import USAGE_UNKNOWN
from tests.faults import Action, FaultUpstream, Peer, Received, Reply, chunk, encode
from tests.gateway import Running, running
from tests.runtime.chats import said, streamed

JSON = {"content-type": "application/json"}
ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
_T = TypeVar("_T")


def spec(url: str, protocol: str = "chat") -> str:
    return f"""
    version: ccx/v1
    channels:
      up: {{protocol: {protocol}, base_url: {url}, keys: none}}
    """


def packed(reply: Reply, coding: str = "gzip") -> Reply:
    body = gzip.compress(reply.body) if coding == "gzip" else zlib.compress(reply.body)
    return Reply(200, headers={**JSON, "content-encoding": coding}, body=body)


def message(text: str) -> Reply:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    return Reply(200, headers=JSON, body=json.dumps(body).encode())


@dataclass(frozen=True, slots=True)
class Slow:
    """A stream sent in these pieces, each on its own."""

    headers: Mapping[str, str]
    pieces: Sequence[bytes]

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(encode(200, {**self.headers, "transfer-encoding": "chunked"}))
        for piece in self.pieces:
            await peer.write(chunk(piece))
            await asyncio.sleep(0.004)
        await peer.write(chunk(b""))
        return True


@asynccontextmanager
async def asked(reply: Action, folder: Path, protocol: str = "chat") -> AsyncIterator[Running]:
    async with FaultUpstream([reply]) as up, running(spec(up.url, protocol), folder) as gw:
        yield gw


async def longest_stall(work: Awaitable[_T]) -> tuple[float, _T]:
    """The longest time, in seconds, for which the loop did not turn while this was awaited."""
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            worst, last = max(worst, now - last - 0.001), now

    ticking = asyncio.create_task(tick())
    try:
        found = await work
        return worst, found
    finally:
        ticking.cancel()


# --- converted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
@pytest.mark.parametrize("size", [100, 2_000_000])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_whole_answer_is_converted(size: int, stream: bool, coding: str | None, tmp_path: Path) -> None:
    text = "".join(chr(97 + at * at % 26) for at in range(1000)) * (size // 1000) or "short"
    reply = said(text)
    async with asked(reply if coding is None else packed(reply, coding), tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json={**ASK, "stream": stream})
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers
        if stream:
            assert answer.text.count("message_stop") == 2
        else:
            assert answer.json()["content"] == [{"type": "text", "text": text}]
        exchange = await gw.exchange()
        assert (exchange.input_tokens, exchange.output_tokens) == (11, 5)


async def test_packed_beyond_what_is_held_back(tmp_path: Path) -> None:
    """More than a mebibyte even when packed."""
    noise = "".join(f"{at * 2654435761 % 2**32:08x}" for at in range(400_000))
    async with asked(packed(said(noise)), tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json=ASK)
        assert answer.json()["content"] == [{"type": "text", "text": noise}]
        assert (await gw.exchange()).output_tokens == 5


@pytest.mark.parametrize("stream", [False, True])
async def test_a_packed_stream_is_converted(stream: bool, tmp_path: Path) -> None:
    body = gzip.compress(b"".join(streamed("Hel", "lo.").pieces))
    reply = Reply(200, headers={"content-type": "text/event-stream", "content-encoding": "gzip"}, body=body)
    async with asked(reply, tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json={**ASK, "stream": stream})
        assert answer.status_code == 200
        if stream:
            assert '"message_stop"' in answer.text
        else:
            assert answer.json()["content"] == [{"type": "text", "text": "Hello."}]
        assert (await gw.exchange()).output_tokens == 5


@pytest.mark.parametrize(
    ("body", "coding"),
    [(gzip.compress(said("hi").body)[:-9], "gzip"), (b"no gzip", "gzip"), (b"\x1b\x00", "br"), (None, "gzip")],
)
async def test_what_cannot_be_unpacked_cannot_be_converted(
    body: bytes | None, coding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if body is None:
        limited(monkeypatch, 1000)
        body = gzip.compress(said("x" * 2000).body)
    async with asked(Reply(200, headers={**JSON, "content-encoding": coding}, body=body), tmp_path) as gw:
        answer = await gw.client.post("/v1/messages", json=ASK)
        assert answer.status_code == 502
        assert {one.outcome for one in (await gw.exchange()).attempts} == {"server_error"}


async def test_the_loop_turns_while_20_megabytes_are_converted(
    tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """The figure is for the record: how long a wait is on a busy machine proves nothing."""
    text = "All work and no play. " * (20_000_000 // 22)
    for name, reply in (("plain", said(text)), ("packed", packed(said(text)))):
        async with asked(reply, tmp_path) as gw:
            gw.client.timeout = 30
            worst, answer = await longest_stall(gw.client.post("/v1/messages", json=ASK))
            assert len(answer.content) > 19_000_000
            record_testsuite_property(f"longest_stall_ms_{name}", round(worst * 1000, 1))


# --- passed through ---------------------------------------------------------------------------------------------------


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Let less be unpacked, so that no test needs 64 MiB for it."""
    monkeypatch.setattr(encoded.decoder_for, "__kwdefaults__", {"limit": limit})


async def test_a_packed_answer_passes_as_it_is(tmp_path: Path) -> None:
    reply = packed(message("x" * 5000))
    async with asked(reply, tmp_path, "messages") as gw:
        async with gw.client.stream("POST", "/v1/messages", json=ASK) as answer:
            assert b"".join([piece async for piece in answer.aiter_raw()]) == reply.body
        exchange = await gw.exchange()
        assert (exchange.output_tokens, exchange.losses) == (4, ())


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_what_is_too_large_to_read_along_is_passed_unread(
    coding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 1000)
    body = gzip.compress(message("x" * 5000).body)
    async with asked(Reply(200, headers={**JSON, "content-encoding": coding}, body=body), tmp_path, "messages") as gw:
        async with gw.client.stream("POST", "/v1/messages", json=ASK) as answer:
            assert b"".join([piece async for piece in answer.aiter_raw()]) == body
        exchange = await gw.exchange()
        assert (exchange.status, exchange.error_kind, exchange.output_tokens) == (200, None, None)
        assert exchange.losses == (USAGE_UNKNOWN,)


async def test_an_answer_larger_than_what_is_held_is_passed_unread(tmp_path: Path) -> None:
    reply = message("x" * 2_000_000)
    async with asked(reply, tmp_path, "messages") as gw:
        assert (await gw.client.post("/v1/messages", json=ASK)).content == reply.body
        assert (await gw.exchange()).losses == (USAGE_UNKNOWN,)


@pytest.mark.parametrize("coding", ["gzip", "br", "garbled"])
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_packed_stream_goes_on_where_reading_along_stops(
    kind: str, coding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, 5000)
    event = {"candidates": [{"content": {"parts": [{"text": "x" * 1000}], "role": "model"}}]}
    texts = [json.dumps(event)] * 20
    plain = ("".join(f"data: {text}\n\n" for text in texts) if "event" in kind else f"[{','.join(texts)}]").encode()
    zipper = zlib.compressobj(0, wbits=31)  # stored, so that it comes in several pieces
    pieces = [zipper.compress(plain[at : at + 2000]) + zipper.flush(zlib.Z_SYNC_FLUSH) for at in range(0, 20_000, 2000)]
    if coding == "garbled":
        pieces = [*pieces[:1], b"\xff" * 100, *pieces[1:]]
    headers = {"content-type": kind, "content-encoding": "br" if coding == "br" else "gzip"}
    async with asked(Slow(headers, pieces), tmp_path, "gemini") as gw:
        path = "/v1beta/models/m:streamGenerateContent" + ("?alt=sse" if "event" in kind else "")
        async with gw.client.stream("POST", path, json={"contents": []}) as answer:
            assert b"".join([piece async for piece in answer.aiter_raw()]) == b"".join(pieces)
        exchange = await gw.exchange()
        assert (exchange.status, exchange.error_kind) == (200, None)
        assert exchange.losses == (USAGE_UNKNOWN,)
        assert (exchange.input_tokens, exchange.output_tokens) == (None, None)


# --- the decoder ------------------------------------------------------------------------------------------------------


def test_the_limit_holds_for_all_pieces_together() -> None:
    bomb = gzip.compress(b"0" * 10_000_000)
    decoder = Decoder(b"gzip", limit=1_000_000)
    found: list[int] = []
    with pytest.raises(Unreadable, match="larger than 1000000 bytes"):
        found.extend(len(decoder.feed(bomb[at : at + 100])) for at in range(0, len(bomb), 100))
    assert 0 < sum(found) <= 1_000_000


def test_garbage_is_no_reply_and_an_unknown_coding_is_unreadable() -> None:
    with pytest.raises(BadReply) as caught:
        Decoder(b"gzip").feed(b"garbage")
    assert not isinstance(caught.value, Unreadable)
    unknown = Decoder(b"zstd")
    assert not unknown.known
    assert not unknown.complete
    with pytest.raises(Unreadable, match="'zstd'"):
        unknown.feed(b"x")
