"""What a codec is: the translation between one protocol and the neutral form, in both directions.

Law: a codec knows its protocol and the neutral form, nothing else: no other codec, no channel, no clock. Decoders never
lose anything (what they do not know becomes `Native` or `Opaque`); encoders name each `Loss`. Ids that a protocol needs
and the neutral form lacks come from `new_id`. What the way back must know of the way out travels in typed contexts.

    client's request --decode_request--> Request --encode_request--> upstream's request (and a `Context`)
    client's answer <--encode_response-- Response <--decode_response-- upstream's answer
    client's stream <--StreamEncoder---- Event*  <--StreamDecoder----- upstream's stream
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol as Interface

from ccx.protocols import ir
from ccx.protocols.dialects import Dialect
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event as SseEvent

NewId = Callable[[str], str]
"""Mints an id from a prefix such as `call_`; injected, so that tests are deterministic."""


@dataclass(frozen=True, slots=True)
class Target:
    """The upstream a request is encoded for. `issuer` names who issues its residue: the channel's dialect. Limits are
    tokens, None where unknown; `thinking` and `vision` None likewise."""

    issuer: str
    model: str
    dialect: Dialect
    max_output_tokens: int | None = None
    thinking: bool | None = None
    vision: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolName:
    """What the client calls a tool that goes upstream under another name: Codex's namespaces are flattened, names that
    a protocol does not allow are changed, custom tools become functions with one text argument."""

    name: str
    namespace: str | None = None
    kind: str = "function"


@dataclass(frozen=True, slots=True)
class Context:
    """What a decoder of an upstream's answer must know of the request that went out. `issuer` marks the residue it
    reads; `tools` maps upstream names back, where they differ."""

    issuer: str
    model: str
    tools: Mapping[str, ToolName] = field(default_factory=dict)
    json_tool: str | None = None  # a tool that stands in for structured output: its arguments are the text


@dataclass(frozen=True, slots=True)
class Asked:
    """What an encoder of an answer must know of the client's request. `model` is the name the client used; `body` its
    request as decoded JSON (Responses echoes parts of it); `created` is unix seconds now."""

    model: str
    body: ir.JsonObject
    stream: bool
    created: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """A payload as JSON data, what could not be said in it, and what the way back must know."""

    payload: ir.JsonObject
    losses: tuple[ir.Loss, ...] = ()
    context: Context | None = None


class StreamDecoder(Interface):
    """Turns an upstream's events into neutral ones, obeying `stream.Grammar` however the upstream interleaves."""

    def feed(self, event: SseEvent) -> list[ir.Event]:
        """The neutral events that this one completes. Raises BadReply for what its protocol does not allow."""

    def end(self) -> list[ir.Event]:
        """The upstream closed the stream: what is left to say. Never an invented end: a stream that was not whole gives
        `Failed`."""


class StreamEncoder(Interface):
    """Turns neutral events into the bytes a client reads."""

    losses: list[ir.Loss]

    def encode(self, event: ir.Event) -> bytes:
        """The bytes for this event, possibly none."""


class Codec(Interface):
    """One protocol, both directions."""

    protocol: Protocol

    def decode_request(self, body: ir.JsonObject, *, model: str, stream: bool) -> ir.Request:
        """A client's request. `model` and `stream` are given because Gemini has them in the path. Raises ClientError
        400, with the JSON path, where the protocol's own rules are broken in a way that leaves no meaning."""

    def encode_request(self, request: ir.Request, target: Target, *, new_id: NewId) -> Encoded:
        """The request for an upstream of this protocol."""

    def decode_response(self, body: ir.JsonObject, context: Context) -> ir.Response:
        """An upstream's whole answer. Raises BadReply."""

    def encode_response(self, response: ir.Response, asked: Asked, *, new_id: NewId) -> Encoded:
        """The whole answer for a client of this protocol."""

    def stream_decoder(self, context: Context) -> StreamDecoder:
        """A decoder for one stream of an upstream."""

    def stream_encoder(self, asked: Asked, *, new_id: NewId) -> StreamEncoder:
        """An encoder for one stream to a client."""
