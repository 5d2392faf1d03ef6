"""What the tests of this codec share: ids that count, targets, and streams as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import msgspec

from ccx.protocols import ir
from ccx.protocols.codec import Asked, Context, Encoded, Target
from ccx.protocols.dialects import dialect
from ccx.protocols.names import Protocol
from ccx.protocols.responses import codec
from ccx.protocols.sse import SseDecoder, encode
from ccx.protocols.stream import Assembler, events

CREATED = 1_700_000_000


def counting() -> Callable[[str], str]:
    numbers = count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def native(
    data: dict[str, Any], *, protocol: Protocol = Protocol.RESPONSES, issuer: str | None = None
) -> tuple[ir.Native, ...]:
    return (ir.Native(protocol, issuer, data),)


def read(body: dict[str, Any], *, stream: bool = False) -> ir.Request:
    return codec.decode_request(body, model="asked-model", stream=stream)


def write(request: ir.Request, name: str = "openai", **known: Any) -> Encoded:
    return codec.encode_request(request, Target(name, "the-model", dialect(name), **known), new_id=counting())


def again(body: dict[str, Any]) -> dict[str, Any]:
    """A client's body as it goes to an upstream of the same protocol, without a loss."""
    encoded = write(read(body))
    assert encoded.losses == ()
    return encoded.payload


def foreign(*messages: ir.Message, **fields: Any) -> ir.Request:
    """A request whose client speaks another protocol."""
    return ir.Request("asked-model", messages, **fields)


def said(*parts: ir.Part, **fields: Any) -> ir.Response:
    """An answer of another protocol."""
    return ir.Response("msg_1", "their-model", parts, fields.pop("finish", ir.Finish("stop")), **fields)


def answer(*items: dict[str, Any], issuer: str = "openai", tools: Any = None, **fields: Any) -> ir.Response:
    body = {"id": "resp_1", "model": "the-model", "status": "completed", "output": list(items), **fields}
    return codec.decode_response(body, Context(issuer, "the-model", tools or {}))


def asked(**body: Any) -> Asked:
    return Asked("asked-model", body, stream=False, created=CREATED)


def shown(response: ir.Response, **body: Any) -> Encoded:
    return codec.encode_response(response, asked(**body), new_id=counting())


def listed(encoded: Encoded, key: str) -> list[Any]:
    """A field of a payload that is a list."""
    found = encoded.payload[key]
    assert isinstance(found, list)
    return found


def items(encoded: Encoded) -> list[Any]:
    return listed(encoded, "output")


def whats(encoded: Encoded) -> list[tuple[str, bool]]:
    return [(loss.what, loss.approximate) for loss in encoded.losses]


def sse(*told: dict[str, Any]) -> bytes:
    """Events of an upstream, numbered."""
    return b"".join(
        encode(str(one["type"]), msgspec.json.encode({"sequence_number": at, **one})) for at, one in enumerate(told)
    )


def decoded(raw: bytes, issuer: str = "openai", tools: Any = None, size: int | None = None) -> list[ir.Event]:
    """The events of a stream, in chunks of a size."""
    decoder = codec.stream_decoder(Context(issuer, "the-model", tools or {}))
    found: list[ir.Event] = []
    reader = SseDecoder()
    step = size or max(1, len(raw))
    for at in range(0, len(raw), step):
        for event in reader.feed(raw[at : at + step]):
            found += decoder.feed(event)
    for event in reader.end():
        found += decoder.feed(event)
    return found + decoder.end()


def folded(found: Iterable[ir.Event]) -> Assembler:
    assembler = Assembler()
    for event in found:
        assembler.feed(event)
    return assembler


def streamed(told: ir.Response | Iterable[ir.Event], **body: Any) -> tuple[list[dict[str, Any]], list[ir.Loss]]:
    """What a client of a stream is told, event by event, and the losses."""
    encoder = codec.stream_encoder(asked(**body), new_id=counting())
    found: list[dict[str, Any]] = []
    reader = SseDecoder()
    for event in events(told) if isinstance(told, ir.Response) else told:
        for one in reader.feed(encoder.encode(event)):
            data = msgspec.json.decode(one.data)
            assert data["type"] == one.event
            found.append(data)
    return found, encoder.losses


def raw_stream(told: ir.Response | Iterable[ir.Event], **body: Any) -> bytes:
    encoder = codec.stream_encoder(asked(**body), new_id=counting())
    return b"".join(encoder.encode(event) for event in (events(told) if isinstance(told, ir.Response) else told))
