"""Relaying an answer that has to be converted on its way to the client.

Law: as of the relay, nothing is tried again after the first byte, and a stream that breaks ends in the client's
protocol's own error. A whole answer is converted before anything is sent, so that one which cannot be converted is a
failure like any other. In silent stretches the client's protocol's keep-alive is sent, where it has one.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from ccx.errors import BadReply, UpstreamError
from ccx.protocols.conversion import CODECS
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.failures import keepalive
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.observe import observe_body
from ccx.runtime.answers import Sender, receipt, reply_headers
from ccx.runtime.attempt import Answer, observe
from ccx.runtime.convert import Conversion, Converted, folded
from ccx.runtime.drawing import Drawing
from ccx.runtime.encoded import decoder_for, worked
from ccx.runtime.relay import note
from ccx.telemetry.exchange import OK, Exchange
from ccx.upstream.reply import Header

MAX_WHOLE = 64 * 1024 * 1024
SILENCE = 15.0
_CONTENT = (b"content-", b"transfer-")
_EVENTS = re.compile(rb"text/event-stream", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Whole:
    """A converted answer, whole: its body, whether that is a stream of events, and the losses of converting it."""

    body: bytes
    losses: tuple[str, ...]


async def drawn_whole(answer: Answer, drawing: Drawing) -> Whole:
    """The client's body for an answer with images. Raises UpstreamError where the answer breaks off or is none, and
    ClientError where the provider declined."""
    plain = await rest(answer)
    if answer.observation is None:
        # Most images are larger than what is held back and looked at.
        answer.observation = await worked(len(plain), lambda: observe_body(Protocol.GEMINI, Operation.GENERATE, plain))
    return Whole(*await drawing.answer(plain))


async def convert_whole(answer: Answer, conversion: Conversion, converted: Converted, spoken: Protocol) -> Whole | None:
    """The converted body of an answer that can be had whole; None for a stream that the client wants as a stream.

    Raises UpstreamError where the answer breaks off or is none.
    """
    codec = CODECS[spoken]
    if answer.events and conversion.stream:
        return None
    if is_events(answer):
        chunks = await rest(answer)
        give = conversion.streamed if conversion.stream else conversion.whole
        return Whole(*await worked(len(chunks), lambda: give(folded(chunks, codec, converted.context))))
    plain = await rest(answer)
    if answer.observation is None and answer.observer is None:
        answer.observation = await worked(len(plain), lambda: observe_body(spoken, Operation.GENERATE, plain))
    return Whole(*await conversion.answer(plain, codec, converted.context))


def is_events(answer: Answer) -> bool:
    """Whether an answer consists of events, readable at once or not."""
    return answer.events or any(name == b"content-type" and _EVENTS.match(value) for name, value in answer.headers)


async def rest(answer: Answer) -> bytes:
    """All of an answer, plain. Raises UpstreamError where it breaks off or cannot be read."""
    if answer.unread is not None:
        raise answer.unread
    if answer.reply is None:
        return answer.plain
    pieces = answer.held
    size = sum(map(len, pieces))
    while piece := await answer.reply.next():
        size += len(piece)
        if size > MAX_WHOLE:
            raise BadReply(f"the reply's body is larger than {MAX_WHOLE} bytes", stage="body")
        pieces.append(piece)
        if answer.observer is not None:
            await observe(answer.observer, answer.decoder, piece)
    if answer.observer is not None:
        answer.observer.end()
    found = b"".join(pieces)
    # Not the one that reads along, which is somewhere in the middle.
    decoder = decoder_for(answer.headers)
    if decoder is None:
        return found
    plain = await worked(size, lambda: decoder.feed(found), packed=True)
    if not decoder.complete:
        raise BadReply("the compressed reply ends before its end", stage="body")
    return plain


async def send_whole(
    endpoint: Endpoint,
    answer: Answer,
    whole: Whole,
    *,
    stream: bool,
    exchange: Exchange,
    sender: Sender,
) -> str:
    """Give the client a converted answer that is there whole. Returns the attempt's outcome."""
    note(exchange, answer.observation if answer.observer is None else answer.observer.observation)
    exchange.losses = tuple(sorted({*exchange.losses, *whole.losses}))
    headers = client_headers(endpoint, answer, exchange, stream=stream)
    await sender.whole(answer.status, headers, whole.body)
    return OK


async def send_stream(
    endpoint: Endpoint,
    answer: Answer,
    conversion: Conversion,
    converted: Converted,
    *,
    spoken: Protocol,
    exchange: Exchange,
    sender: Sender,
) -> str:
    """Convert a stream for the client as it comes. Returns the attempt's outcome."""
    reply = answer.reply
    assert reply is not None  # noqa: S101 - a stream is never whole
    converter = conversion.stream_converter(CODECS[spoken], converted.context)
    observer = answer.observer
    await sender.start(answer.status, client_headers(endpoint, answer, exchange, stream=True))
    silence = Silence(sender, keepalive(endpoint.protocol))
    try:
        chunk = b"".join(answer.held)
        while chunk:
            if out := converter.feed(chunk):
                silence.broken()
                if converter.over:
                    await conversion.keep(out)
                await sender.piece(out)
            chunk = await reply.next()
            if observer is not None and chunk:
                observer.feed(chunk)
        if out := converter.end():
            await conversion.keep(out)
            await sender.piece(out)
    except UpstreamError as error:
        if not converter.over:  # else all has been said, and what broke is the connection only
            exchange.error_kind = "upstream_cut"
            await sender.piece(converter.fail(f"The upstream's stream broke off: {error}."))
            await sender.end()
            return "timeout" if error.stage in ("idle", "total") else "server_error"
    finally:
        silence.stop()
        reply.abort()
        if observer is not None:
            observer.end()
            note(exchange, observer.observation)
        exchange.losses = tuple(sorted({*exchange.losses, *converter.losses}))
    await sender.end()
    if observer is not None and (observer.error is not None or not observer.terminal):
        exchange.error_kind = "upstream_stream_error" if observer.error is not None else "upstream_cut"
        return "server_error"
    return OK


def client_headers(endpoint: Endpoint, answer: Answer, exchange: Exchange, *, stream: bool) -> list[Header]:
    """The headers of a converted answer."""
    kind = b"text/event-stream; charset=utf-8" if stream else b"application/json"
    if stream and endpoint.protocol is Protocol.GEMINI and not exchange.stream:
        kind = b"application/json"
    headers = [(b"content-type", kind)]
    headers += [h for h in reply_headers(answer.headers) if not h[0].startswith(_CONTENT)]
    if stream:
        headers.append((b"cache-control", b"no-cache"))
    headers += receipt(exchange, status=answer.status)
    if exchange.losses:
        headers.append((b"x-ccx-losses", ", ".join(exchange.losses).encode()))
    return headers


class Silence:
    """Sends a keep-alive after each `SILENCE` seconds in which nothing else was sent."""

    def __init__(self, sender: Sender, sign: bytes | None) -> None:
        self._sender = sender
        self._sign = sign
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self._since = self._loop.time()
        # It looks when the silence was broken last: to set it anew for each piece would cost more than the piece.
        self._timer = self._loop.call_later(SILENCE, self._look) if sign is not None else None

    def broken(self) -> None:
        """Something is being sent."""
        self._since = self._loop.time()

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._since + SILENCE:
            assert self._sign is not None  # noqa: S101 - no timer is set without one
            self._sending = self._loop.create_task(self._sender.piece(self._sign))
            self._since = now
        self._timer = self._loop.call_at(self._since + SILENCE, self._look)

    def stop(self) -> None:
        """No more."""
        if self._timer is not None:
            self._timer.cancel()
