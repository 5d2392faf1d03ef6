"""Upstreams that answer anything but what they should."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tests.faults import Action, Drop, FaultUpstream, Malformed, Peer, Received, Reply, Reset, Sse, WrongLength
from tests.hostile.conftest import ASK, GOOD, JSON, UPSTREAM_KEY, Attack
from tests.runtime.streams import MESSAGE, STREAM, Pieces

STREAMED = json.dumps({**ASK, "stream": True}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


def sized(body: bytes) -> bytes:
    return b"content-length: %d\r\n\r\n" % len(body) + body


@dataclass(frozen=True, slots=True)
class Endless:
    """The same bytes again and again, until the other side has had enough. `sent` counts them."""

    head: bytes
    piece: bytes
    pause: float = 0.0
    sent: list[int] = field(default_factory=lambda: [0])

    async def play(self, peer: Peer, request: Received) -> bool:
        """Send until it fails."""
        await peer.write(self.head)
        while True:
            await peer.write(self.piece)
            self.sent[0] += len(self.piece)
            await asyncio.sleep(self.pause)


def bomb(size: int) -> bytes:
    """So many zeros, compressed."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b"\0" * 2**20
    return b"".join(packer.compress(piece) for _ in range(size // 2**20)) + packer.flush()


GARBAGE: dict[str, Action] = {
    "no HTTP": Malformed(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "zeros": Malformed(b"\0" * 100_000),
    "nothing": Malformed(b""),
    "a reset": Reset(),
    "half a status line": Malformed(b"HTTP/1.1 2"),
    "half a head": Malformed(HEAD),
    "half a body": Drop(after=180),
    "HTTP/2": Malformed(b"HTTP/2 200 OK\r\n" + sized(MESSAGE)),
    "a status that is none": Malformed(b"HTTP/1.1 999 What\r\n" + sized(MESSAGE)),
    "status zero": Malformed(b"HTTP/1.1 000 What\r\n" + sized(MESSAGE)),
    "a header without colon": Malformed(HEAD + b"nothing\r\n" + sized(MESSAGE)),
    "zero in a header": Malformed(HEAD + b"x-a: a\0b\r\n" + sized(MESSAGE)),
    "a negative length": Malformed(HEAD + b"content-length: -1\r\n\r\n" + MESSAGE),
    "two lengths": Malformed(HEAD + b"content-length: 5\r\n" + sized(MESSAGE)),
    "a length too long": WrongLength(10**12),
    "chunks that are none": Malformed(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
    "an endless chunk size": Malformed(HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\nabc"),
    "another protocol": Malformed(b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
    "only hints": Malformed(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3),
    "endless headers": Endless(HEAD, b"x-a: b\r\n" * 1000),
    "one endless header": Endless(HEAD + b"x-a: ", b"a" * 10_000),
    "endless hints": Endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 100),
    "not JSON": Reply(headers=JSON, body=b"<html>not JSON</html>"),
    "half JSON": Reply(headers=JSON, body=MESSAGE[:-20]),
    "JSON without measure": Reply(headers=JSON, body=b"[" * 100_000 + b"]" * 100_000),
    "nothing at all": Reply(headers=JSON),
    "compressed garbage": Reply(headers={**JSON, "content-encoding": "gzip"}, body=b"garbage"),
    "compressed and cut": Reply(headers={**JSON, "content-encoding": "gzip"}, body=bomb(2**20)[:200]),
}


@pytest.mark.parametrize("content", [GOOD, STREAMED], ids=["whole", "stream"])
async def test_what_is_no_answer_is_one_clear_error(facing: Attack, content: bytes) -> None:
    target = await facing([])
    assert target.upstream is not None
    for name, action in GARBAGE.items():
        target.upstream.script = [action]
        begun = time.monotonic()
        answer = await target.post(content=content)
        took = time.monotonic() - begun
        assert answer.status_code in (502, 504), (name, answer.status_code, answer.text)
        error = answer.json()
        assert error["type"] == "error", name
        assert error["error"]["message"], name
        assert answer.headers["x-ccx-attempts"].startswith("messages:"), name
        assert took < 3, (name, took)
    await target.unharmed()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/chat/completions", b'{"model":"m","messages":[]}'),
        ("/v1/responses", b'{"model":"m","input":"x"}'),
        ("/v1beta/models/m:generateContent", b'{"contents":[]}'),
    ],
)
async def test_it_is_said_in_each_protocol(facing: Attack, path: str, content: bytes) -> None:
    target = await facing([Malformed(b"garbage")])
    answer = await target.post(path, content)
    assert answer.status_code == 502
    error = answer.json()["error"]
    assert "gateway" in error["message"] or "HTTP" in error["message"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(facing: Attack, status: int) -> None:
    """Least of all to the metadata service, with a key in the header."""
    target = await facing([])
    assert target.upstream is not None
    async with FaultUpstream([Reply(headers=JSON, body=MESSAGE)]) as other:
        for where in (
            "http://169.254.169.254/latest/meta-data/",
            f"{other.url}/v1/messages",
            "/v1/messages",
            "//[::1]",
        ):
            target.upstream.script = [Reply(status, headers={"location": where})]
            for content in (GOOD, STREAMED):
                answer = await target.post(content=content)
                assert answer.status_code == 502, answer.text
                assert "location" not in answer.headers
        assert other.requests == []
        assert other.opened == 0


async def test_interim_replies_and_trailers_are_no_part_of_the_answer(facing: Attack) -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\nx-hint: 1\r\n\r\n"
    chunked = b"transfer-encoding: chunked\r\ntrailer: x-trailer\r\n\r\n%x\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n"
    target = await facing([Malformed(hints + HEAD + chunked % (len(MESSAGE), MESSAGE))])
    answer = await target.post()
    assert (answer.status_code, answer.content) == (200, MESSAGE)
    for name in ("link", "x-hint", "x-trailer", "trailer"):
        assert name not in answer.headers


async def test_headers_of_the_hop_stay_behind(facing: Attack) -> None:
    headers = {
        **JSON, "connection": "close, x-hop", "x-hop": "1", "keep-alive": "timeout=5", "set-cookie": "session=1",
        "strict-transport-security": "max-age=1", "alt-svc": "h3", "x-ccx-route": "forged", "x-kept": "1",
        "access-control-allow-origin": "*", "proxy-authenticate": "Basic",
    }  # fmt: skip
    target = await facing([Reply(headers=headers, body=MESSAGE)])
    answer = await target.post()
    assert answer.content == MESSAGE
    assert answer.headers["x-kept"] == "1"
    assert answer.headers.get_list("x-ccx-route") == ["messages"]
    for name in set(headers) - {"x-kept", "content-type", "x-ccx-route", "connection"}:
        assert name not in answer.headers, name


async def test_a_key_that_is_echoed_in_an_error_is_not_passed_on(facing: Attack) -> None:
    said = f"Incorrect API key provided: {UPSTREAM_KEY}"
    body = json.dumps({"type": "error", "error": {"type": "authentication_error", "message": said}}).encode()
    event = f'event: error\ndata: {{"type":"error","error":{{"type":"api_error","message":"{said}"}}}}'
    target = await facing([])
    assert target.upstream is not None
    for action in (
        Reply(401, headers=JSON, body=body),
        Reply(401, headers={**JSON, "x-debug": said, "www-authenticate": f'Bearer error="{UPSTREAM_KEY}"'}, body=body),
        Reply(500, headers={"content-type": "text/plain"}, body=said.encode()),
        Malformed(b"HTTP/1.1 " + UPSTREAM_KEY.encode()),
        Sse([event]),
    ):
        target.upstream.script = [action]
        for content in (GOOD, STREAMED):
            answer = await target.post(content=content)
            assert answer.status_code >= 400
            assert UPSTREAM_KEY not in answer.text + str(answer.headers)


async def test_the_wrong_kind_of_answer_is_passed_as_it_came(facing: Attack) -> None:
    """What the upstream calls it is the client's to judge; but it must not be taken for a stream."""
    strange = MESSAGE.replace(b'"hi"', b'"\xff\xfe"')
    target = await facing([Reply(headers=JSON, body=strange)])
    assert target.upstream is not None
    answer = await target.post()
    assert (answer.status_code, answer.content) == (200, strange)
    for kind in ("text/html", "application/octet-stream", "", "text/event-stream-not", "\xff"):
        target.upstream.script = [Reply(headers={"content-type": kind}, body=MESSAGE)]
        answer = await target.post(content=STREAMED)
        assert answer.status_code in (200, 502)
        if answer.status_code == 200:
            assert answer.content == MESSAGE


@dataclass(frozen=True, slots=True)
class Flood:
    """A stream's beginning, then something without end."""

    piece: bytes
    before: Sequence[bytes] = tuple(STREAM[:3])

    async def play(self, peer: Peer, request: Received) -> bool:
        """Send until it fails."""
        await peer.write(EVENTS + b"\r\n" + b"".join(self.before))
        while True:
            await peer.write(self.piece)
            await asyncio.sleep(0.005)  # fast enough, and all three of us live in this loop


async def test_a_line_of_a_megabyte_passes(facing: Attack) -> None:
    line = STREAM[2].replace(b'"hi"', b'"%b"' % (b"x" * 2**20))
    whole = b"".join([*STREAM[:3], line, *STREAM[3:]])
    pieces = [whole[at : at + 16_384] for at in range(0, len(whole), 16_384)]
    target = await facing([Pieces(pieces)])
    status, body, ended = await target.stream(content=STREAMED)
    assert (status, body == whole, ended) == (200, True, True)
    assert (await target.gw.exchange()).finish == "end_turn"


@pytest.mark.parametrize(
    "piece",
    [b"x" * 65536, b"data: " + b"x" * 65536 + b"\n", b": ping\n\n" * 1000, b"\n" * 65536, b"\xff" * 65536],
    ids=["a line", "an event", "comments", "blank lines", "no text"],
)
async def test_streams_without_end_are_cut(facing: Attack, piece: bytes) -> None:
    """By the total limit; what is kept back meanwhile is bounded."""
    target = await facing([Flood(piece)])
    begun = time.monotonic()
    _, body, ended = await target.stream(content=STREAMED)
    assert time.monotonic() - begun < 6
    assert ended
    assert b"event: error" in body[-2000:]
    assert b"message_stop" not in body
    assert (await target.gw.exchange()).error_kind == "upstream_cut"


async def test_streams_that_never_begin_are_refused(facing: Attack) -> None:
    target = await facing([Flood(b": ping\n\n" * 1000, before=())])
    answer = await target.post(content=STREAMED)
    assert answer.status_code in (502, 504) or b"event: error" in answer.content
    await target.unharmed()


async def test_bodies_without_end_are_cut(facing: Attack) -> None:
    action = Endless(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"8000\r\n%b\r\n" % (b"1" * 0x8000), pause=0.005)
    target = await facing([action])
    status, _, ended = await target.stream()
    assert status in (200, 502, 504)
    assert not (status == 200 and ended), "an end was invented"
    await target.unharmed()


async def test_a_slow_reader_bounds_what_is_kept(facing: Attack) -> None:
    """An upstream that sends much faster than the client reads is slowed down, not buffered."""
    action = Endless(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"8000\r\n%b\r\n" % (b"1" * 0x8000))
    target = await facing([action])
    reader, writer = await asyncio.open_connection("127.0.0.1", target.gw.port, limit=4096)
    writer.write(target.head() + GOOD)
    await reader.readuntil(b"\r\n\r\n")
    sent = [0, 0]
    for turn in range(2):
        await asyncio.sleep(0.4)
        sent[turn] = action.sent[0]
    assert sent[1] < 40 * 2**20, "everything is buffered somewhere"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("status", "size"), [(200, 300 * 2**20), (400, 300 * 2**20), (400, 16 * 2**20)])
async def test_a_compressed_bomb_does_not_go_off(facing: Attack, status: int, size: int) -> None:
    """It was not asked for, and is not unpacked whole. Passed through it is the client's; an error is ours to read."""
    packed = bomb(size)
    assert len(packed) < 2**20
    reply = Reply(status, headers={**JSON, "content-encoding": "gzip"}, body=packed)
    target = await facing([reply])
    loop = asyncio.get_running_loop()
    late = [0.0]

    async def ticks() -> None:
        while True:
            at = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late[0] = max(late[0], loop.time() - at)

    ticking = asyncio.create_task(ticks())
    async with asyncio.timeout(10):
        answered, received, whole = await target.stream()
    ticking.cancel()
    assert whole
    if status == 200:
        assert (answered, received) == (200, packed)
        assert (await target.gw.exchange()).losses == ("usage_unknown",)
    else:
        assert answered >= 400
        assert len(received) < 2**20
    assert late[0] < 1, f"the loop stood still for {late[0]:.2f} s"
