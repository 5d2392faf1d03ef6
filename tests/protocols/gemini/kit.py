"""What the tests of the Gemini codec share: contexts, targets, and a stream run through its decoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ccx.protocols import ir
from ccx.protocols.codec import Asked, Context, Encoded, Target
from ccx.protocols.dialects import dialect
from ccx.protocols.gemini import codec
from ccx.protocols.gemini.stream_out import GeminiStreamEncoder
from ccx.protocols.names import Protocol
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import Assembler, events

CONTEXT = Context("gemini", "gemini-3-pro-preview")
ASKED = Asked("model", {}, True, 0)


def mint(prefix: str) -> str:
    return f"{prefix}minted"


def target(model: str = "gemini-3-flash-preview", **limits: Any) -> Target:
    return Target("gemini", model, dialect("gemini"), **limits)


def read(body: dict[str, Any], *, model: str = "gemini-3-flash-preview") -> ir.Request:
    return codec.decode_request({"contents": [], **body}, model=model, stream=False)


def parts(*raw: dict[str, Any], role: str = "user") -> tuple[ir.Part, ...]:
    """The neutral parts of one content."""
    return read({"contents": [{"role": role, "parts": list(raw)}]}).messages[0].parts


def write(*messages: ir.Message, model: str = "gemini-3-flash-preview", **fields: Any) -> Encoded:
    request = ir.Request("client-model", messages, **fields)
    return codec.encode_request(request, target(model), new_id=mint)


def user(*said: ir.Part | str) -> ir.Message:
    return ir.Message("user", tuple(ir.Text(one) if isinstance(one, str) else one for one in said))


def model(*said: ir.Part | str) -> ir.Message:
    return ir.Message("assistant", tuple(ir.Text(one) if isinstance(one, str) else one for one in said))


def native(issuer: str | None = "gemini", **data: Any) -> tuple[ir.Native, ...]:
    return (ir.Native(Protocol.GEMINI, issuer, data),)


def whats(encoded: Encoded) -> list[str]:
    return [loss.what for loss in encoded.losses]


def chunk(*raw: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A chunk of a stream with these parts; other fields are the candidate's, but for usage and what tells which answer
    it is."""
    top: dict[str, Any] = {
        key: fields.pop(key) for key in ("usageMetadata", "promptFeedback", "createTime") if key in fields
    }
    candidate = {"content": {"parts": list(raw), "role": "model"}, "index": 0, **fields}
    return {"candidates": [candidate], "responseId": "r1", "modelVersion": "gemini-x", **top}


def sse(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(one) + b"\r\n\r\n" for one in chunks)


def heard(pieces: Iterable[bytes], context: Context = CONTEXT) -> list[ir.Event]:
    """The events of a stream that is closed after these pieces."""
    reader, decoder = SseDecoder(), codec.stream_decoder(context)
    found = [said for piece in pieces for event in reader.feed(piece) for said in decoder.feed(event)]
    found.extend(said for event in reader.end() for said in decoder.feed(event))
    return [*found, *decoder.end()]


def fold(pieces: Iterable[bytes], context: Context = CONTEXT) -> Assembler:
    assembler = Assembler()
    for event in heard(pieces, context):
        assembler.feed(event)
    return assembler


def whole(pieces: Iterable[bytes], context: Context = CONTEXT) -> ir.Response:
    found = fold(pieces, context).response
    assert found is not None
    return found


def streamed(answer: ir.Response, *, array: bool = False) -> tuple[bytes, list[ir.Loss]]:
    encoder = GeminiStreamEncoder(ASKED, new_id=mint, array=array)
    return b"".join(encoder.encode(event) for event in events(answer)), encoder.losses
