"""From an answer to the client: byte for byte, while an observer reads along.

Law: from the first byte on there is no way back. A stream that breaks ends in the error of its protocol, never in an
invented normal end; where an error cannot be said inside the body, the connection is cut. The observer's trouble is
never the relay's.
"""

from __future__ import annotations

import msgspec

from ccx.errors import BadReply, UpstreamError
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.failures import render_stream_error
from ccx.protocols.observe import Observation, StreamObserver
from ccx.protocols.sse import parse_events
from ccx.runtime.answers import Sender, receipt, reply_headers
from ccx.runtime.attempt import Answer, observe
from ccx.telemetry.exchange import OK, Exchange
from ccx.upstream.reply import Header, Reply

USAGE_UNKNOWN = "usage_unknown"
"""Among the losses of an exchange: the answer passed through unread, being too large or packed in an unknown way."""


class CutError(Exception):
    """The client's connection must be cut: the body has begun and cannot say that it broke."""


_BLANK_LINES = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Tail:
    """Keeps back the event that has begun and not ended, so that a stream which breaks ends between two events: the
    error that follows is then an event of its own, and not the garbled rest of another."""

    __slots__ = ("held",)
    LIMIT = 1024 * 1024

    def __init__(self) -> None:
        self.held = b""

    def pass_on(self, chunk: bytes) -> bytes:
        """What may go to the client now: all up to the end of the last whole event."""
        if not self.held and chunk.endswith(b"\n\n"):
            return chunk
        data = self.held + chunk if self.held else chunk
        ends = [at + len(mark) for mark in _BLANK_LINES if (at := data.rfind(mark)) >= 0]
        end = max(ends, default=len(data) if len(data) > self.LIMIT else 0)
        self.held = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What is kept back at the stream's end: an event all the same, if only its blank line is missing. Raises
        BadReply where it is half of one."""
        if not self.held:
            return b""
        for event in parse_events(self.held.replace(b"\r\n", b"\n") + b"\n\n"):
            if event.data.strip() not in (b"", b"[DONE]"):
                try:
                    msgspec.json.decode(event.data, type=msgspec.Raw)
                except (msgspec.DecodeError, RecursionError):
                    raise BadReply("it ended within an event", stage="body") from None
        return self.held


async def relay(endpoint: Endpoint, answer: Answer, exchange: Exchange, sender: Sender) -> str:
    """Give the client an answer. Returns the attempt's outcome: `ok` or a class of failure.

    Raises CutError when the answer broke off where no error can be told.
    """
    headers = reply_headers(answer.headers)
    headers += receipt(exchange, status=answer.status)
    if answer.reply is None or answer.observer is None:
        unobserved(exchange, answer.observation)
    if answer.reply is None:
        note(exchange, answer.observation)
        await sender.whole(answer.status, headers, answer.held[0])
        return OK
    try:
        return await _stream(endpoint, answer, exchange, sender, headers=headers, reply=answer.reply)
    finally:
        answer.reply.abort()
        if answer.observer is not None:
            note(exchange, answer.observer.observation)


async def _stream(
    endpoint: Endpoint,
    answer: Answer,
    exchange: Exchange,
    sender: Sender,
    *,
    headers: list[Header],
    reply: Reply,
) -> str:
    observer, decoder = answer.observer, answer.decoder
    tail = Tail()
    first = answer.held[0] if len(answer.held) == 1 else b"".join(answer.held)
    await sender.start(answer.status, headers)
    if answer.events:
        first = tail.pass_on(first)
    if first:
        await sender.piece(first)
    try:
        if observer is not None and answer.events:
            feed, piece, pull = observer.feed, sender.piece, reply.next
            while chunk := await pull():
                feed(chunk)
                if whole := tail.pass_on(chunk):
                    await piece(whole)
        else:
            while chunk := await reply.next():
                if observer is not None:
                    try:
                        await observe(observer, decoder, chunk)
                    except BadReply:
                        # Reading along ends here; the relay goes on without it.
                        observer = answer.observer = None
                        unobserved(exchange, None)
                await sender.piece(chunk)
        if observer is not None:
            observer.end()
        if observer is not None and not observer.terminal and observer.error is None:
            raise BadReply("it ended early", stage="body")
        if rest := tail.rest():
            await sender.piece(rest)
    except UpstreamError as error:
        if observer is not None and answer.events and not tail.held and (observer.over or observer.error):
            # All has been said: what broke is the connection only, and an error behind the end would undo the answer.
            return await _ended(observer, exchange, sender)
        exchange.error_kind = "upstream_cut"
        if observer is None or not answer.events:
            raise CutError(str(error)) from error
        message = f"The upstream's stream broke off: {error}."
        await sender.piece(
            render_stream_error(
                endpoint.protocol,
                kind="api_error",
                message=message,
                request_id=exchange.request_id,
                sequence_number=observer.next_sequence_number,
                response_id=observer.response_id,
            ),
        )
        await sender.end()
        return "timeout" if error.stage in ("idle", "total") else "server_error"
    return await _ended(observer, exchange, sender)


async def _ended(observer: StreamObserver | None, exchange: Exchange, sender: Sender) -> str:
    await sender.end()
    if observer is not None and observer.error is not None:
        exchange.error_kind = "upstream_stream_error"
        return "server_error"
    return OK


def unobserved(exchange: Exchange, observation: Observation | None) -> None:
    """Declare in the exchange that an answer was not read along: what the upstream told of usage is unknown here."""
    if observation is None:
        exchange.losses = tuple(sorted({*exchange.losses, USAGE_UNKNOWN}))


def note(exchange: Exchange, observation: Observation | None) -> None:
    """Write what was observed of an answer into the exchange."""
    if observation is None:
        return
    usage = observation.usage
    exchange.input_tokens = usage.input_tokens
    exchange.output_tokens = usage.output_tokens
    exchange.cache_read_tokens = usage.cache_read_tokens
    exchange.cache_write_tokens = usage.cache_write_tokens
    exchange.reasoning_tokens = usage.reasoning_tokens
    exchange.finish = observation.finish
