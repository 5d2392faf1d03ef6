"""From what a healthy upstream would answer to what this one does: the script of an answer and the manner of giving it.

Law: a protocol module writes the script and knows nothing of manners; a manner is applied here, to all protocols alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from ccx.upstream.demo.answer import Answer, End, Piece, encode
from ccx.upstream.demo.behaviour import FIRST_BYTE_DELAY, PIECE_DELAY, Manner, behaviour
from ccx.upstream.demo.failures import Failure, Shape
from ccx.upstream.reply import Header

JSON_TYPE = b"application/json"
SSE_TYPE = b"text/event-stream; charset=utf-8"
_RETRYABLE = (429, 503, 529)


@dataclass(frozen=True, slots=True)
class Script:
    """A healthy answer. `model` and `text` are where the words of `behaviour` are looked for.

    `pieces` are the events of a stream, or the one body of an answer that is not streamed. `broken` writes the error of
    a stream, given how many of its pieces went before; None where the answer is not streamed.
    `blocked` is what comes instead of an error where the protocol reports a blocked request with a 200.
    """

    model: str
    text: str
    pieces: tuple[bytes, ...]
    content_type: bytes = JSON_TYPE
    broken: Callable[[Failure, int], bytes] | None = None
    blocked: tuple[bytes, ...] | None = None
    status: int = 200


def failed(failure: Failure, shape: Shape) -> Answer:
    """An error answer."""
    extra: tuple[Header, ...] = ((b"retry-after", b"1"),) if retryable(failure) else ()
    return single(encode(shape.body(failure)), status=shape.status(failure), extra=extra)


def retryable(failure: Failure) -> bool:
    """Whether a later try may succeed: not when the quota is gone."""
    return failure.cause == "overloaded" or (failure.cause == "status" and failure.status in _RETRYABLE)


def single(
    body: bytes, *, status: int = 200, content_type: bytes = JSON_TYPE, extra: tuple[Header, ...] = ()
) -> Answer:
    """An answer in one piece, its length declared."""
    headers = ((b"content-type", content_type), (b"content-length", str(len(body)).encode()), *extra)
    return Answer(status, headers, (Piece(0.0, body),) if body else ())


def perform(script: Script, shape: Shape, *, extra: tuple[Header, ...] = ()) -> Answer:
    """Give the answer in the manner that the request asks for."""
    asked = behaviour(script.model, script.text)
    if asked.failure is not None:
        if asked.failure.cause == "content_filter" and script.blocked is not None:
            return _healthy(script, script.blocked, extra=extra)
        return failed(asked.failure, shape)
    healthy = _healthy(script, script.pieces, extra=extra)
    sent = script.pieces
    match asked.manner:
        case Manner.PLAIN | Manner.REFUSAL:
            return healthy
        case Manner.STALL:
            return Answer(healthy.status, healthy.headers, (), delay=None, end=End.STALL)
        case Manner.STALL_MIDSTREAM:
            return Answer(healthy.status, healthy.headers, _paced(_half(sent)), end=End.STALL)
        case Manner.SLOW:
            pieces = _paced(sent, pause=PIECE_DELAY)
            return Answer(healthy.status, healthy.headers, pieces, delay=FIRST_BYTE_DELAY)
        case Manner.CUT:
            return Answer(healthy.status, healthy.headers, _paced(_half(sent)), end=End.CUT)
        case Manner.ERROR_MIDSTREAM:
            failure = Failure(500, "The demo upstream failed in the middle of its answer, as asked.")
            if script.broken is None:
                return failed(failure, shape)
            before = len(sent) // 2
            pieces = _paced((*sent[:before], script.broken(failure, before)))
            return Answer(healthy.status, healthy.headers, pieces)
        case Manner.GARBAGE:
            body = b"<html><body>502 Bad Gateway: this is not the protocol you asked for</body></html>\n"
            garbage = body if script.broken is None else b"data: {" + body + b"\n"
            return single(garbage, content_type=script.content_type, extra=extra)
        case Manner.EMPTY:
            return single(b"", content_type=script.content_type, extra=extra)
        case _:
            assert_never(asked.manner)


def _healthy(script: Script, pieces: tuple[bytes, ...], *, extra: tuple[Header, ...]) -> Answer:
    if script.broken is None:
        return single(b"".join(pieces), status=script.status, content_type=script.content_type, extra=extra)
    headers = ((b"content-type", script.content_type), (b"cache-control", b"no-cache"), *extra)
    return Answer(script.status, headers, _paced(pieces))


def _paced(pieces: tuple[bytes, ...], *, pause: float = 0.0) -> tuple[Piece, ...]:
    """The pieces with a pause before each but the first."""
    return tuple(Piece(pause if index else 0.0, data) for index, data in enumerate(pieces) if data)


def _half(pieces: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The first half, and the beginning of the piece after it: a break is never polite enough to fall between two."""
    middle = len(pieces) // 2
    return (*pieces[:middle], pieces[middle][: len(pieces[middle]) // 2])
