"""LiteLLM's logs: one JSON object for each request.

Two shapes with the same field names: the rows of its spend table (`/spend/logs`, or an export of the table) and its
standard logging payload (what its callbacks write): https://docs.litellm.ai/docs/proxy/logging_spec,
https://docs.litellm.ai/docs/proxy/cost_tracking.

What ccx would call the client is the alias of the key, else the user that the request named. The model is the one that
was asked for (`model_group`). Token counts are the providers'.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import DecodeError, Meta, Raw, Struct, ValidationError, json

from ccx.plan.replay.logged import Request, Row, Unreadable
from ccx.protocols.names import Protocol

_Count = Annotated[int, Meta(ge=0)]
_CALLS: Final = {
    "completion": Protocol.CHAT,
    "text_completion": Protocol.CHAT,
    "anthropic_messages": Protocol.MESSAGES,
    "responses": Protocol.RESPONSES,
    "generate_content": Protocol.GEMINI,
    "generate_content_stream": Protocol.GEMINI,
    "image_generation": Protocol.IMAGES,
    "image_edit": Protocol.IMAGES,
    "embedding": Protocol.EMBEDDINGS,
}
_NOTHING: Final = Raw(b"null")


class _Details(Struct, gc=False):
    cached_tokens: _Count | None = None


class _Usage(Struct, gc=False):
    prompt_tokens_details: _Details | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None


class _Metadata(Struct, gc=False):
    user_api_key_alias: str | None = None
    usage_object: _Usage | None = None


class _Parameters(Struct, gc=False):
    tools: list[Raw] | None = None


class _Line(Struct, gc=False):
    call_type: str
    model: str
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    model_group: str | None = None
    user: str | None = None
    end_user: str | None = None
    stream: bool | None = None
    metadata: Raw = _NOTHING
    model_parameters: Raw = _NOTHING


_decode = json.Decoder(_Line, strict=False).decode
_metadata = json.Decoder(_Metadata | None, strict=False).decode
_parameters = json.Decoder(_Parameters | None, strict=False).decode
_text = json.Decoder(str).decode


def read(line: bytes) -> Row:
    """The request of a line. Raises Unreadable."""
    try:
        x = _decode(line)
        metadata = _metadata(_inner(x.metadata)) or _Metadata()
        parameters = _parameters(_inner(x.model_parameters))
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8") from None
    except ValidationError:
        raise Unreadable("not a line of LiteLLM's log") from None
    except (DecodeError, RecursionError):
        raise Unreadable("not JSON") from None
    protocol = _CALLS.get(x.call_type) or _CALLS.get(x.call_type.removeprefix("a"))
    if protocol is None:
        raise Unreadable("a kind of call that ccx does not route")
    model = x.model_group or x.model
    if not model:
        raise Unreadable("no model")
    usage = metadata.usage_object or _Usage()
    cached = usage.cache_read_input_tokens
    if cached is None and usage.prompt_tokens_details is not None:
        cached = usage.prompt_tokens_details.cached_tokens
    cached, written = cached or 0, usage.cache_creation_input_tokens or 0
    # A request that failed has zeros, which say nothing of its size.
    prompt = x.prompt_tokens or None
    if prompt is not None and cached + written > prompt:
        prompt = None
    client = metadata.user_api_key_alias or x.user or x.end_user or None
    return Row(
        Request(
            protocol.value,
            model,
            client,
            client is not None,
            stream=True if protocol is Protocol.GEMINI and x.call_type.endswith("_stream") else x.stream,
            tools=None if parameters is None else bool(parameters.tools),
        ),
        prompt=prompt,
        output=x.completion_tokens,
        cache_read=cached,
        cache_write=written,
    )


def _inner(value: Raw) -> bytes | Raw:
    """An object that the table keeps as JSON, and some exports as a text with JSON in it."""
    return _text(value).encode() or b"null" if bytes(memoryview(value)[:1]) == b'"' else value


def looks_like(line: bytes) -> bool:
    """Whether a JSON object has the fields by which LiteLLM's lines are known."""
    try:
        return {"call_type", "model", "prompt_tokens"} <= msgspec.json.decode(line, type=dict[str, Raw]).keys()
    except (DecodeError, ValidationError, RecursionError, UnicodeDecodeError):
        return False
