"""What the tests of this codec share: ids that count, targets, and streams as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

import msgspec

from ccx.protocols import ir
from ccx.protocols.chat import codec
from ccx.protocols.codec import Asked, Context, Encoded, Target
from ccx.protocols.dialects import dialect
from ccx.protocols.names import Protocol
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import Assembler

CREATED = 1_700_000_000


def counting() -> Callable[[str], str]:
    numbers = count(1)
    return lambda prefix: f"{prefix}{next(numbers)}"


def target(name: str = "openai", **known: object) -> Target:
    return Target(name, "the-model", dialect(name), **known)  # type: ignore[arg-type]  # limits by name


def read(body: dict[str, object], *, stream: bool = False) -> ir.Request:
    return codec.decode_request(body, model="asked-model", stream=stream)  # type: ignore[arg-type]  # JSON by hand


def write(request: ir.Request, name: str = "openai", **known: object) -> Encoded:
    return codec.encode_request(request, target(name, **known), new_id=counting())


def through(body: dict[str, object], name: str = "openai", **known: object) -> Encoded:
    """A client's body as it goes upstream."""
    return write(read({"messages": [], **body}), name, **known)


def asked(**body: object) -> Asked:
    return Asked("asked-model", body, stream=False, created=CREATED)  # type: ignore[arg-type]  # JSON by hand


def answer(body: dict[str, object], issuer: str = "openai", **known: object) -> ir.Response:
    context = Context(issuer, "the-model", **known)  # type: ignore[arg-type]  # by name
    return codec.decode_response(body, context)  # type: ignore[arg-type]  # JSON by hand


def message(issuer: str = "openai", finish: str = "stop", **fields: object) -> ir.Response:
    """The answer whose message has these fields."""
    choice = {"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": finish}
    return answer({"id": "chatcmpl-1", "created": CREATED, "model": "asked-model", "choices": [choice]}, issuer)


def chunk(delta: dict[str, object] | None = None, *, finish: str | None = None, **top: object) -> dict[str, object]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED, "model": "asked-model"}
    return {**head, "choices": choices, **top}


def sse(chunks: Iterable[object], *, done: bool = True) -> bytes:
    lines = [b"data: " + msgspec.json.encode(one) + b"\n\n" for one in chunks]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


def decoded(raw: bytes, issuer: str = "openai", **known: object) -> list[ir.Event]:
    """The events of a stream."""
    decoder = codec.stream_decoder(Context(issuer, "the-model", **known))  # type: ignore[arg-type]  # by name
    events: list[ir.Event] = []
    reader = SseDecoder()
    for event in [*reader.feed(raw), *reader.end()]:
        events += decoder.feed(event)
    return events + decoder.end()


def folded(events: Iterable[ir.Event]) -> Assembler:
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
    return assembler


def streamed(events: Iterable[ir.Event], **body: object) -> tuple[bytes, list[ir.Loss]]:
    """The bytes a client gets for events, and what they lost."""
    encoder = codec.stream_encoder(asked(**body), new_id=counting())
    raw = b"".join(encoder.encode(event) for event in events)
    return raw, encoder.losses


def payloads(raw: bytes) -> list[dict[str, object]]:
    """The JSON of each event but `[DONE]`."""
    return [msgspec.json.decode(event.data) for event in SseDecoder().feed(raw) if event.data != b"[DONE]"]


def native(data: dict[str, object], *, issuer: str | None = None, protocol: Protocol = Protocol.CHAT) -> ir.Native:
    return ir.Native(protocol, issuer, data)  # type: ignore[arg-type]  # JSON by hand


def names(losses: Iterable[ir.Loss]) -> list[str]:
    """What was lost, `~` behind what was only said in another way."""
    return [f"{loss.what}~" if loss.approximate else loss.what for loss in losses]
