"""One attempt at one target: send, and hold the answer back until it is known to be one.

Law: an attempt ends in an `Answer` (nothing of which has been shown to the client yet) or a `Failure` that has been
classified by the pure table of `upstream.outcome`. A stream is held until its first meaningful event, another answer
until it is whole or larger than `HOLD_BYTES`; so whatever goes wrong before is still a failure that may be tried
elsewhere, and whatever goes wrong after is the relay's to report. No key leaves an error body unredacted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from ccx.errors import BadReply, UpstreamError, UpstreamTimeout
from ccx.protocols.endpoints import Endpoint, gemini_path
from ccx.protocols.failures import read_error
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.observe import Observation, StreamObserver, observe_body
from ccx.routing.decide import Choice
from ccx.runtime.encoded import LARGE, Decoder, Unreadable, decoder_for, worked
from ccx.runtime.live import LiveKey, Upstream
from ccx.upstream.credentials import auth_headers, redact
from ccx.upstream.outcome import FailureClass, classify, classify_exception, retry_after, retry_after_body
from ccx.upstream.reply import Call, Header, Reply, Timeouts

HOLD_BYTES = 1024 * 1024
ERROR_BYTES = 1024 * 1024


class Outgoing(NamedTuple):
    """A request as it goes to upstreams of one protocol, for one model. `stream`: an answer in events is asked for."""

    endpoint: Endpoint
    method: bytes
    query: bytes
    headers: list[Header]
    stream: bool
    body: list[bytes]


@dataclass(slots=True)
class Answer:
    """A reply worth relaying. `held` has been received; `reply` is None when that is all of it. `events`: it is a
    stream of server-sent events, in plain text, so that an error can be said inside it."""

    status: int
    headers: list[Header]
    held: list[bytes]
    reply: Reply | None
    observer: StreamObserver | None
    decoder: Decoder | None
    observation: Observation | None
    events: bool = False
    plain: bytes = b""  # of a whole answer: without its compression
    unread: BadReply | None = None  # why an answer that may be in order was not looked at


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that came to nothing. `status` and `body` are the upstream's, if it said anything."""

    failure: FailureClass
    message: str
    status: int | None = None
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    retry_after: float | None = None
    protocol: Protocol | None = None  # of `body`
    shown: bool = False  # it broke off when the client had been told some of it


def build_call(
    upstream: Upstream,
    choice: Choice,
    key: LiveKey | None,
    *,
    outgoing: Outgoing,
    timeouts: Timeouts,
) -> Call:
    """The request as it goes out: the client's headers as they came, the key, what the channel adds and takes away."""
    surface = choice.surface
    headers = outgoing.headers
    if upstream.dropped_headers:
        headers = [header for header in headers if header[0] not in upstream.dropped_headers]
    out = [*headers, *upstream.set_headers, *upstream.fixed[surface.protocol]]
    defaults = upstream.defaults[surface.protocol]
    if defaults:
        present = {header[0] for header in out}
        out += [header for header in defaults if header[0] not in present]
    out += auth_headers(surface.auth, key.value if key else None)
    out.append((b"accept-encoding", b"identity"))
    endpoint = outgoing.endpoint
    gemini = endpoint.protocol is Protocol.GEMINI
    path = gemini_path(choice.model or "", endpoint.path) if gemini else endpoint.path
    target = upstream.paths[surface.protocol] + path.encode()
    if outgoing.query:
        target += b"?" + outgoing.query
    return Call(
        method=outgoing.method,
        origin=upstream.origins[surface.protocol],
        target=target,
        headers=out,
        body=outgoing.body,
        timeouts=timeouts,
    )


async def attempt(
    upstream: Upstream,
    choice: Choice,
    key: LiveKey | None,
    *,
    call: Call,
    outgoing: Outgoing,
    clock: Callable[[], float],
) -> Answer | Failure:
    """Send one call and hold its answer. `clock` tells unix time, for dates in retry headers: it is read when they have
    come. Raises only CancelledError."""
    reply: Reply | None = None
    answer: Answer | None = None
    begun = asyncio.get_running_loop().time()
    begin = call.timeouts.begin
    try:
        reply = await (upstream.engine.send(call) if begin is None else _begun(upstream, call, begin))
        if 200 <= reply.status < 300:
            found = await _hold(reply, outgoing, begun=begun, first_byte=call.timeouts.first_byte)
        else:
            found = await _refused(reply)
        if isinstance(found, _Refusal):
            return _classified(found, choice, key, now=clock())
        answer = found
        return answer
    except UpstreamError as error:
        return Failure(classify_exception(error), _redacted(str(error), key))
    finally:
        if answer is None and reply is not None:
            reply.abort()


async def _begun(upstream: Upstream, call: Call, within: float) -> Reply:
    """The reply, whose head is here within so many seconds. Raises UpstreamError."""
    try:
        async with asyncio.timeout(within):
            return await upstream.engine.send(call)
    except TimeoutError:
        raise UpstreamTimeout(f"no answer within the {within:.3g} s left of the deadline", stage="first_byte") from None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """An upstream's error, as it came: a status, an error event at the head of a stream, or an error for an answer."""

    status: int
    headers: list[Header]
    body: bytes


async def _refused(reply: Reply) -> _Refusal:
    body = await reply.read(ERROR_BYTES)
    headers = reply.headers
    decoder = decoder_for(headers, limit=ERROR_BYTES)
    if decoder is not None and decoder.known:
        unpack, packed = decoder.feed, body
        body = await worked(len(packed), lambda: unpack(packed), packed=True)
        headers = [header for header in headers if header[0] != b"content-encoding"]
    return _Refusal(reply.status, headers, body)


async def _hold(reply: Reply, outgoing: Outgoing, *, begun: float, first_byte: float | None) -> Answer | _Refusal:
    content_type = _header(reply.headers, b"content-type")
    if content_type.startswith(b"text/event-stream"):
        try:
            async with asyncio.timeout_at(None if first_byte is None else begun + first_byte):
                return await _hold_stream(reply, outgoing.endpoint.protocol)
        except TimeoutError:
            raise UpstreamTimeout(f"no meaningful event within {first_byte} s", stage="first_byte") from None
    return await _hold_body(reply, outgoing, json=b"json" in content_type)


async def _hold_stream(reply: Reply, protocol: Protocol) -> Answer | _Refusal:
    observer = StreamObserver(protocol)
    decoder = decoder_for(reply.headers)
    if decoder is not None and not decoder.known:
        return Answer(reply.status, reply.headers, [], reply, None, decoder, None)
    held: list[bytes] = []
    size = 0
    while not observer.meaningful:
        chunk = await reply.next()
        if not chunk:
            observer.end()
            if observer.error is None and not observer.meaningful:
                raise BadReply("the stream ended before it said anything", stage="body")
            break
        held.append(chunk)
        size += len(chunk)
        await observe(observer, decoder, chunk)
        if observer.error is not None and not observer.meaningful:
            reply.abort()
            return _Refusal(reply.status, reply.headers, observer.error)
        if size > HOLD_BYTES:
            break
    if observer.error is not None and not observer.meaningful:
        return _Refusal(reply.status, reply.headers, observer.error)
    return Answer(reply.status, reply.headers, held, reply, observer, decoder, None, events=decoder is None)


async def _hold_body(reply: Reply, outgoing: Outgoing, *, json: bool) -> Answer | _Refusal:
    endpoint = outgoing.endpoint
    streamed = endpoint.protocol is Protocol.GEMINI and endpoint.stream is True
    if streamed:
        return await _hold_array(reply, endpoint.protocol)
    held: list[bytes] = []
    size = 0
    while size <= HOLD_BYTES:
        chunk = await reply.next()
        if not chunk:
            return await _whole(reply, b"".join(held), endpoint, json=json)
        held.append(chunk)
        size += len(chunk)
    return Answer(reply.status, reply.headers, held, reply, None, decoder_for(reply.headers), None)


async def _hold_array(reply: Reply, protocol: Protocol) -> Answer | _Refusal:
    """A Gemini stream that was not asked for as events: one JSON array, an element at a time."""
    first = await reply.next()
    if not first:
        raise BadReply("the reply is empty", stage="body")
    observer = StreamObserver(protocol)
    decoder = decoder_for(reply.headers)
    if decoder is not None and not decoder.known:
        return Answer(reply.status, reply.headers, [first], reply, None, decoder, None)
    await observe(observer, decoder, first)
    if observer.error is not None and not observer.meaningful:
        return _Refusal(reply.status, reply.headers, observer.error)
    return Answer(reply.status, reply.headers, [first], reply, observer, decoder, None)


async def observe(observer: StreamObserver, decoder: Decoder | None, chunk: bytes) -> None:
    """Let an observer read a piece of a stream. Raises BadReply where it cannot be unpacked."""
    if decoder is None:
        observer.feed(chunk)
    else:
        unpack = decoder.feed
        await asyncio.to_thread(lambda: observer.feed(unpack(chunk)))


async def _whole(reply: Reply, body: bytes, endpoint: Endpoint, *, json: bool) -> Answer | _Refusal:
    decoder = decoder_for(reply.headers)
    if decoder is None and len(body) < LARGE:
        return _looked_at(reply, body, endpoint, None, json=json)
    try:
        return await worked(
            len(body),
            lambda: _looked_at(reply, body, endpoint, decoder, json=json),
            packed=decoder is not None,
        )
    except Unreadable as error:
        return Answer(reply.status, reply.headers, [body], None, None, decoder, None, unread=error)


def _looked_at(
    reply: Reply, body: bytes, endpoint: Endpoint, decoder: Decoder | None, *, json: bool
) -> Answer | _Refusal:
    plain = body
    if decoder is not None:
        plain = decoder.feed(body)
        if not decoder.complete:
            raise BadReply("the compressed reply ends before its end", stage="body")
    if json:
        try:
            msgspec.json.decode(plain, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadReply(f"the reply is not JSON: {error}", stage="body") from None
    elif not plain and endpoint.operation is Operation.GENERATE:
        raise BadReply("the reply is empty", stage="body")
    observation = observe_body(endpoint.protocol, endpoint.operation, plain)
    if observation.failed:
        return _Refusal(reply.status, reply.headers, plain)
    return Answer(reply.status, reply.headers, [body], None, None, decoder, observation, plain=plain)


def _classified(refusal: _Refusal, choice: Choice, key: LiveKey | None, *, now: float) -> Failure:
    body = redact(refusal.body, [key.value] if key else [])
    said = read_error(choice.surface.protocol, body)
    found = classify(
        dialect=choice.channel.dialect,
        status=refusal.status,
        type=said.type,
        code=said.code,
        message=said.message,
        status_text=said.status_text,
    )
    wait = retry_after(refusal.headers, now=now)
    return Failure(
        found or "server_error",
        said.message or f"HTTP {refusal.status}",
        status=refusal.status,
        headers=tuple((name, redact(value, [key.value] if key else [])) for name, value in refusal.headers),
        body=body,
        retry_after=wait if wait is not None else retry_after_body(body),
        protocol=choice.surface.protocol,
    )


def said_later(error: bytes, choice: Choice) -> tuple[FailureClass, float | None]:
    """The class of an error event that came after a part of the answer, and the wait in seconds that it asks for."""
    said = read_error(choice.surface.protocol, error)
    found = classify(
        dialect=choice.channel.dialect,
        status=200,
        type=said.type,
        code=said.code,
        message=said.message,
        status_text=said.status_text,
    )
    return found or "server_error", retry_after_body(error)


def _redacted(text: str, key: LiveKey | None) -> str:
    return redact(text.encode(), [key.value] if key else []).decode("utf-8", "replace")


def _header(headers: list[Header], name: bytes) -> bytes:
    for header in headers:
        if header[0] == name:
            return header[1].lower()
    return b""
