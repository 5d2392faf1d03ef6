"""A kept answer told in the other form: a stream as a whole answer, a whole answer as a stream.

Law: exact or not at all. What was told is read back and must be what was kept, with nothing lost on the way; only ids
and the moment of its making may differ. (Whole answers of Responses say more of their request than a stream made of
them would: those are not told.)
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import msgspec

from ccx.errors import BadReply, ClientError
from ccx.protocols import ir
from ccx.protocols.body import Body
from ccx.protocols.codec import Asked, Codec, Context
from ccx.protocols.conversion import CODECS
from ccx.protocols.names import Protocol
from ccx.protocols.sse import parse_events
from ccx.protocols.stream import events
from ccx.runtime.convert import OFF_LOOP_BYTES, decoded_body, folded, new_id
from ccx.runtime.understand import Request
from ccx.state.cache import Entry

RESPONSE_ENDS: Final = ("response.completed", "response.incomplete")


class _Ending(msgspec.Struct):
    response: msgspec.Raw


_ending = msgspec.json.Decoder(_Ending).decode
_encode = msgspec.json.Encoder().encode


async def retold(request: Request, entry: Entry) -> Entry | None:
    """A kept answer in the form that is asked for; None where it cannot be told exactly."""
    body = request.body
    if not isinstance(body, Body) or any(name == b"content-encoding" for name, _ in entry.headers):
        return None
    if len(entry.body) + len(body.raw) < OFF_LOOP_BYTES:
        return _retold(request, body, entry)
    return await asyncio.to_thread(_retold, request, body, entry)


def _retold(request: Request, body: Body, entry: Entry) -> Entry | None:
    codec, context = CODECS[request.endpoint.protocol], Context(entry.issuer, entry.model)
    stream = request.facts.stream
    try:
        asked = Asked(request.facts.model or "", decoded_body(body), stream, int(entry.at))
        told = _streamed(entry.body, codec, context, asked) if stream else _whole(entry.body, codec, context, asked)
    except (BadReply, ClientError, msgspec.DecodeError, RecursionError):
        return None
    if told is None:
        return None
    kind = b"text/event-stream; charset=utf-8" if stream else b"application/json"
    headers = [header for header in entry.headers if header[0] not in (b"content-type", b"cache-control")]
    headers.append((b"content-type", kind))
    if stream:
        headers.append((b"cache-control", b"no-cache"))
    return replace(entry, headers=tuple(headers), body=told)


def _streamed(kept: bytes, codec: Codec, context: Context, asked: Asked) -> bytes | None:
    decoded = msgspec.json.decode(kept)
    if not isinstance(decoded, dict):
        return None
    response = codec.decode_response(decoded, context)
    # What passed through has the model's name as its provider wrote it.
    encoder = codec.stream_encoder(replace(asked, model=response.model), new_id=new_id)
    told = b"".join(encoder.encode(event) for event in events(response))
    # Only a stream of Chat may end without the tokens, and does unless it was asked for them.
    told_usage = codec.protocol is not Protocol.CHAT or _asks_usage(asked)
    same = _essence(response, usage=told_usage) == _essence(folded(told, codec, context), usage=told_usage)
    return told if same and not encoder.losses else None


def _whole(kept: bytes, codec: Codec, context: Context, asked: Asked) -> bytes | None:
    if codec.protocol is Protocol.RESPONSES:
        # The last event has the whole answer, word for word.
        ends = (event.data for event in parse_events(kept) if event.event in RESPONSE_ENDS)
        return next((bytes(_ending(data).response) for data in ends), None)
    response = folded(kept, codec, context)
    if response.usage.output_tokens is None:
        return None  # a stream need not tell it, a whole answer has to
    encoded = codec.encode_response(response, replace(asked, model=response.model), new_id=new_id)
    told = _encode(encoded.payload)
    again = codec.decode_response(msgspec.json.decode(told), context)
    return told if _essence(response) == _essence(again) and not encoded.losses else None


def _essence(response: ir.Response, *, usage: bool = True) -> ir.Response:
    counts = replace(response.usage, raw=None) if usage else ir.Usage()
    return replace(response, id="", created=None, usage=counts)


def _asks_usage(asked: Asked) -> bool:
    options = asked.body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
