"""A request served by an upstream of another protocol: bytes to bytes, through the neutral form.

Law: what a conversion loses is named, in the exchange and in a response header; `on_loss: reject` makes such a target
one that cannot serve. A request is decoded once, however many targets it is encoded for. Large bodies are converted in
a thread. Time and ids come from here; the codecs are pure.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar, assert_never

import msgspec

from ccx.catalog.models import lookup
from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.body import Body
from ccx.protocols.codec import Asked, Codec, Context, StreamEncoder, Target
from ccx.protocols.compaction import Compacting
from ccx.protocols.conversion import CODECS
from ccx.protocols.dialects import dialect
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import Assembler, events
from ccx.routing.decide import Choice
from ccx.routing.table import RoutingTable
from ccx.runtime.dialogue import Dialogue

OFF_LOOP_BYTES = 96 * 1024
# Claude Code's note for Anthropic's bookkeeping means nothing to any other upstream: leaving it out rejects nobody.
_MEANINGLESS = frozenset({"unknown_part:x-anthropic-billing-header"})
Form = Literal["own", "other", "summary"]
"""A request as an upstream of the client's own protocol gets it, as others do, and as one for a summary."""

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


def new_id(prefix: str) -> str:
    """A fresh id with this prefix."""
    return prefix + os.urandom(12).hex()


@dataclass(frozen=True, slots=True)
class Converted:
    """A request in an upstream's protocol. `losses` are names, sorted."""

    body: bytes
    context: Context
    losses: tuple[str, ...]
    rejected: tuple[str, ...]  # losses that are not approximations


class Conversion:
    """One client's request, convertible to any protocol."""

    def __init__(
        self,
        table: RoutingTable,
        endpoint: Endpoint,
        body: Body,
        *,
        model: str,
        stream: bool,
        dialogue: Dialogue | None = None,
    ) -> None:
        self._table = table
        self._body = body
        self._codec = CODECS[endpoint.protocol]
        self._model = model
        self._requests: dict[Form, ir.Request] = {}
        self._dialogue = dialogue
        self.stream = stream
        self._decoded: ir.JsonObject | None = None

    async def request_for(self, choice: Choice, *, summary: bool = False) -> Converted:
        """The request for this choice; with `summary` the one that gets its compaction from an upstream of the client's
        own protocol which has none. Raises ClientError 400 where the client's protocol is broken beyond meaning."""
        form: Form = "other"
        if choice.surface.protocol is self._codec.protocol:
            form = "summary" if summary else "own"
        meant: ir.JsonObject | None = None
        if form not in self._requests and self._dialogue is not None:
            decoded = await self._off_loop(len(self._body.raw), self._decode)
            # An upstream of the client's own protocol may know what it refers to; another must be told.
            match form:
                case "own":
                    meant = decoded
                case "summary":
                    meant = await self._dialogue.to_summarise(decoded)
                case "other":
                    meant = await self._dialogue.meant(decoded)
                case _:
                    assert_never(form)
        return await self._off_loop(len(self._body.raw), lambda: self._encode(choice, form, meant))

    def _decode(self) -> ir.JsonObject:
        if self._decoded is None:
            self._decoded = decoded_body(self._body)
        return self._decoded

    def _encode(self, choice: Choice, form: Form, meant: ir.JsonObject | None) -> Converted:
        request = self._requests.get(form)
        if request is None:
            body = self._decode() if meant is None else meant
            request = self._requests[form] = self._codec.decode_request(body, model=self._model, stream=self.stream)
        target = target_of(self._table, choice)
        encoded = CODECS[choice.surface.protocol].encode_request(request, target, new_id=new_id)
        context = encoded.context or Context(target.issuer, target.model)
        return Converted(
            _encode(encoded.payload),
            context,
            loss_names(encoded.losses),
            tuple(sorted({loss.what for loss in encoded.losses if not loss.approximate} - _MEANINGLESS)),
        )

    @property
    def asked(self) -> Asked:
        """What an encoder of the answer must know. After `request_for` only."""
        body = self._decoded or {}
        if self._dialogue is not None:
            body = self._dialogue.asked(body)
        return Asked(self._model, body, self.stream, int(time.time()))

    async def answer(self, body: bytes, upstream: Codec, context: Context) -> tuple[bytes, tuple[str, ...]]:
        """A whole answer for the client, and what was lost. Raises BadReply for an answer that is none."""
        return await self._off_loop(len(body), lambda: self._answer(body, upstream, context))

    def _answer(self, body: bytes, upstream: Codec, context: Context) -> tuple[bytes, tuple[str, ...]]:
        try:
            decoded = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadReply(f"the reply is not JSON: {error}", stage="body") from None
        if not isinstance(decoded, dict):
            raise BadReply("the reply is not a JSON object", stage="body")
        response = upstream.decode_response(decoded, context)
        if self.stream:
            return self.streamed(response)
        return self.whole(response)

    def whole(self, response: ir.Response) -> tuple[bytes, tuple[str, ...]]:
        """A neutral answer as the client's JSON body."""
        response, lost = self._told(response)
        encoded = self._codec.encode_response(response, self.asked, new_id=new_id)
        payload = encoded.payload if self._dialogue is None else self._dialogue.shown(encoded.payload)
        return _encode(payload), loss_names((*lost, *encoded.losses))

    def streamed(self, response: ir.Response) -> tuple[bytes, tuple[str, ...]]:
        """A neutral answer as the client's whole stream."""
        response, lost = self._told(response)
        encoder = self._codec.stream_encoder(self.asked, new_id=new_id)
        body = b"".join(encoder.encode(event) for event in events(response))
        return body, loss_names((*lost, *encoder.losses))

    def _told(self, response: ir.Response) -> tuple[ir.Response, tuple[ir.Loss, ...]]:
        return (response, ()) if self._dialogue is None else self._dialogue.told(response)

    def stream_converter(self, upstream: Codec, context: Context) -> StreamConverter:
        """A converter of one upstream stream to the client's protocol."""
        rewriting = self._dialogue.rewriting() if self._dialogue is not None else None
        encoder = self._codec.stream_encoder(self.asked, new_id=new_id)
        return StreamConverter(upstream, context, encoder, rewriting=rewriting)

    async def keep(self, shown: bytes) -> None:
        """Keep what clients may come back to of an answer: the body that the client is about to get, or the end of its
        stream. It is kept before it is sent, so that no client can be faster."""
        if self._dialogue is not None:
            await self._dialogue.keep(shown, stream=self.stream)

    async def _off_loop(self, size: int, work: Callable[[], _T]) -> _T:
        return work() if size < OFF_LOOP_BYTES else await asyncio.to_thread(work)


def decoded_body(body: Body) -> ir.JsonObject:
    """All of a body. Raises ClientError 400 for a number beyond any machine's range, and for nesting likewise."""
    try:
        found: ir.JsonObject = msgspec.json.decode(body.text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ClientError(400, "invalid_request", f"The body cannot be read: {error}.") from None
    return found


def loss_names(losses: Iterable[ir.Loss]) -> tuple[str, ...]:
    """What was lost, sorted, each once."""
    return tuple(sorted({loss.what for loss in losses}))


class StreamConverter:
    """An upstream's stream in, the client's stream out, piece by piece."""

    def __init__(
        self, upstream: Codec, context: Context, encoder: StreamEncoder, *, rewriting: Compacting | None = None
    ) -> None:
        self._rewriting = rewriting
        self._sse = SseDecoder()
        self._decoder = upstream.stream_decoder(context)
        self._encoder = encoder
        self.over = False

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets for this chunk. Raises BadReply."""
        return self._pass_on([neutral for event in self._sse.feed(chunk) for neutral in self._decoder.feed(event)])

    def end(self) -> bytes:
        """What the client gets at the upstream's end: the rest, or an error if it was cut."""
        neutral = [one for event in self._sse.end() for one in self._decoder.feed(event)]
        return self._pass_on([*neutral, *self._decoder.end()])

    def fail(self, message: str) -> bytes:
        """What the client gets when the upstream's stream broke."""
        return self._pass_on([ir.Failed("api_error", message)])

    @property
    def losses(self) -> tuple[str, ...]:
        """What could not be said so far."""
        return loss_names((*self._encoder.losses, *(self._rewriting.losses if self._rewriting is not None else ())))

    def _pass_on(self, found: list[ir.Event]) -> bytes:
        out: list[bytes] = []
        if self._rewriting is not None:
            found = [new for event in found for new in self._rewriting.feed(event)]
        for event in found:
            if self.over:
                break
            out.append(self._encoder.encode(event))
            self.over = isinstance(event, ir.End | ir.Failed)
        return b"".join(out)


def folded(chunks: bytes, upstream: Codec, context: Context) -> ir.Response:
    """An upstream's whole stream as one answer, for a client that did not ask for a stream. Raises BadReply."""
    sse, decoder, assembler = SseDecoder(), upstream.stream_decoder(context), Assembler()
    found = [one for event in (*sse.feed(chunks), *sse.end()) for one in decoder.feed(event)]
    for one in (*found, *decoder.end()):
        assembler.feed(one)
    if assembler.failed is not None:
        raise BadReply(assembler.failed.message, stage="body")
    if assembler.response is None:
        raise BadReply("the stream ended before the answer was whole", stage="body")
    return assembler.response


def target_of(table: RoutingTable, choice: Choice) -> Target:
    """What an encoder must know of a choice: the vendor's dialect, and the limits of the model."""
    name = choice.model or ""
    said = next((info for info in table.models if info.name == name), None)
    known = lookup(name)
    limit = said.max_output_tokens if said is not None else None
    thinking = said.thinking if said is not None else None
    vision = said.vision if said is not None else None
    if known is not None:
        limit = limit or known.max_output_tokens
        thinking = "thinking" in known.capabilities if thinking is None else thinking
        vision = "image" in known.modalities if vision is None else vision
    return Target(choice.channel.dialect, name, dialect(choice.channel.dialect), limit, thinking, vision)


def upstream_endpoint(protocol: Protocol, *, stream: bool) -> Endpoint:
    """The endpoint of a protocol that is asked for an answer."""
    path = {
        Protocol.MESSAGES: "/messages",
        Protocol.CHAT: "/chat/completions",
        Protocol.RESPONSES: "/responses",
        Protocol.GEMINI: "streamGenerateContent" if stream else "generateContent",
    }[protocol]
    return Endpoint(protocol, Operation.GENERATE, None, stream, None, path)
