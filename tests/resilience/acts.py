"""What a failing upstream does: an action for each fault, given its protocol and whether a stream was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never

from tests.faults import Action, Drip, Drop, Gzip, Malformed, Peer, Received, Reply, Reset, Sse, Stall, encode
from tests.resilience.speech import Speech
from tests.runtime.streams import Pieces

JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}
_EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"

Play = Callable[[Speech, bool], Action]
"""What the upstream does, given its protocol and whether a stream was asked for."""


@dataclass(frozen=True, slots=True)
class Then:
    """Bytes as they are, then another action."""

    first: bytes
    then: Action

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(self.first)
        return await self.then.play(peer, request)


def sound(speech: Speech, stream: bool) -> Action:
    """What a healthy upstream answers."""
    return Pieces(speech.pieces) if stream else Reply(headers=JSON, body=speech.whole)


def status(code: int, kind: str, **headers: str) -> Play:
    """An error of the provider's. Headers with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda speech, _: Reply(code, headers={**JSON, **named}, body=speech.error(kind))


def reset_of_limits(speech: Speech, stream: bool) -> Action:
    """A rate limit that is said by the provider's own headers only: full again in 90 seconds."""
    if speech.name == "messages":
        moment = (datetime.now(UTC) + timedelta(seconds=90)).isoformat()
        said = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": moment}
    else:
        said = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}
    return Reply(429, headers={**JSON, **said}, body=speech.error("rate_limit"))


def half(ending: Literal["reset", "cut", "stall"]) -> Play:
    """Half an answer; of a stream its first words."""

    def made(speech: Speech, stream: bool) -> Action:
        if stream:
            events = [piece[:-2] for piece in speech.pieces[: speech.begun]]
            return Sse(events, cut=ending == "cut", reset=ending == "reset", stall=ending == "stall")
        reply = Reply(headers=JSON, body=speech.whole)
        after = len(reply.raw()) - len(speech.whole) // 2
        match ending:
            case "reset":
                return Reset(after, reply)
            case "cut":
                return Drop(after, reply)
            case "stall":
                return Stall(after, reply)
            case _:
                assert_never(ending)

    return made


def well_framed_half(speech: Speech, stream: bool) -> Action:
    """Half an answer that HTTP takes for whole."""
    body = begun(speech) if stream else speech.whole[: len(speech.whole) // 2]
    return Reply(headers=EVENTS if stream else JSON, body=body, chunked=True)


def head_only(speech: Speech, stream: bool) -> Action:
    """The head of an answer, then silence."""
    reply = Reply(headers=EVENTS if stream else JSON, body=speech.whole)
    return Stall(len(reply.raw()) - len(speech.whole), reply)


def drip(speech: Speech, stream: bool) -> Action:
    """A byte now and then; of a stream after its first words."""
    body = b"".join(speech.pieces) if stream else speech.whole
    head = encode(200, {**(EVENTS if stream else JSON), "content-length": str(len(body))})
    first = begun(speech) if stream else b""
    return Then(head + first, Drip(body[len(first) :], pause=0.03))


def pings(speech: Speech, stream: bool) -> Action:
    """Signs of life, and never a word."""
    sign = b": still here\n\n" if stream else b" "
    return Then(encode(200, EVENTS if stream else JSON), Drip(sign * 400, step=len(sign), pause=0.03))


def garbage(speech: Speech, stream: bool) -> Action:
    """The page of some proxy, called what was asked for."""
    page = b"<html><body>Welcome</body></html>"
    return Pieces([b"data: " + page + b"\n\n"]) if stream else Reply(headers=JSON, body=page)


def cut_gzip(speech: Speech, stream: bool) -> Action:
    """Compressed, though nobody asked for that, and cut; of a stream, what can be unpacked has its first words."""
    if not stream:
        return Gzip(speech.whole, truncated=True)
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(begun(speech)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return Reply(headers={**EVENTS, "content-encoding": "gzip"}, body=packed, chunked=True)


def length(by: int) -> Play:
    """A Content-Length that is wrong by so many bytes; the upstream closes behind what it has."""

    def made(speech: Speech, stream: bool) -> Action:
        body = b"".join(speech.pieces) if stream else speech.whole
        if stream and by > 0:
            body = begun(speech)
        declared = str(len(body) + by)
        return Malformed(encode(200, {**(EVENTS if stream else JSON), "content-length": declared}) + body)

    return made


def broken_chunks(speech: Speech, stream: bool) -> Action:
    """A chunk whose size is none; of a stream after its first words."""
    first = begun(speech) if stream else speech.whole[:40]
    head = encode(200, {**(EVENTS if stream else JSON), "transfer-encoding": "chunked"})
    return Malformed([head + b"%x\r\n%b\r\n" % (len(first), first), b"zz\r\nabc\r\n"], stay=True)


def error_first(kind: str) -> Play:
    """A status of 200, and an error in place of the answer."""

    def made(speech: Speech, stream: bool) -> Action:
        if stream:
            return Pieces([speech.error_event(kind)])
        return Reply(headers=JSON, body=speech.error(kind))

    return made


def error_later(kind: str, *, then_reset: bool = False) -> Play:
    """A stream that begins well and then says an error; as a whole answer, the same as `error_first`."""

    def made(speech: Speech, stream: bool) -> Action:
        if stream:
            pieces = [*speech.pieces[: speech.begun], speech.error_event(kind)]
            return Sse([piece[:-2] for piece in pieces], reset=then_reset)
        return Reply(headers=JSON, body=speech.error(kind))

    return made


def whole_then(ending: Literal["reset", "stall"]) -> Play:
    """All of an answer, without the end of its HTTP message."""

    def made(speech: Speech, stream: bool) -> Action:
        pieces = [piece[:-2] for piece in speech.pieces]
        if stream:
            return Sse(pieces, reset=ending == "reset", stall=ending == "stall")
        reply = Reply(headers=JSON, body=speech.whole, chunked=True)
        after = len(reply.raw()) - len(b"0\r\n\r\n")
        return Reset(after, reply) if ending == "reset" else Stall(after, reply)

    return made


def finished_then_reset(speech: Speech, stream: bool) -> Action:
    """All but the last of a stream: why it ended has been said, and not that it did."""
    if stream:
        return Sse([piece[:-2] for piece in speech.pieces[:-1]], reset=True)
    return half("reset")(speech, stream)


def large_then_reset(speech: Speech, stream: bool) -> Action:
    """More than is held back, and then a reset."""
    if stream:
        return half("reset")(speech, stream)
    reply = Reply(headers=JSON, body=speech.whole + b" " * 2**21)
    return Reset(len(reply.raw()) - 2**19, reply)


def begun(speech: Speech) -> bytes:
    """A stream up to its first words."""
    return b"".join(speech.pieces[: speech.begun])
