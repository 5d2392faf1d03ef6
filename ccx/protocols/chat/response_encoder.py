"""An answer, written for a client that speaks Chat Completions.

A message here is flat: thoughts, words, calls. An order that it cannot hold is a declared loss. Thoughts and residue go
out as `ccx.protocols.chat.reasoning` says; images as `images`, as OpenRouter does
(https://openrouter.ai/docs/guides/overview/multimodal/image-generation).

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from ccx.protocols.chat import reasoning
from ccx.protocols.chat.finish import write_finish, write_usage
from ccx.protocols.chat.parts import sound_type
from ccx.protocols.chat.reading import Reader, merged
from ccx.protocols.codec import Asked, Encoded, NewId
from ccx.protocols.ir import (
    Citation,
    Inline,
    Json,
    JsonObject,
    Loss,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Response,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.media_words import url_of
from ccx.protocols.values import record, text

CLIENT = Reader(None)


def encode_response(response: Response, asked: Asked, *, new_id: NewId) -> Encoded:
    """The answer as a chat completion."""
    losses: list[Loss] = []
    message = _message(response.parts, asked=asked, new_id=new_id, losses=losses)
    legacy = wants_functions(asked)
    if legacy:
        _as_function(message, losses)
    finish = write_finish(response.finish, refused=bool(message.get("refusal")), losses=losses)
    choice: JsonObject = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "function_call" if legacy and finish == "tool_calls" else finish,
    }
    payload: JsonObject = {
        "id": response.id or new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": asked.created if response.created is None else response.created,
        "model": asked.model,
        "choices": [choice],
    }
    if (usage := write_usage(response.usage)) is not None:
        payload["usage"] = usage
    put_residue(payload, choice, response.native, key="message", losses=losses)
    return Encoded(payload, tuple(losses))


def put_residue(
    payload: JsonObject, choice: JsonObject, natives: tuple[Native, ...], *, key: str, losses: list[Loss]
) -> None:
    """Give residue of a body back to where it was. `key` is what a choice holds: a message or a delta."""
    losses += CLIENT.foreign(natives, "response")
    extra = dict(CLIENT.own(natives))
    choices = extra.pop("choices", None)
    if isinstance(choices, list) and choices:
        residual = dict(record(choices[0]))
        inside = record(residual.pop("message", None))
        choice.update(residual)
        if inside and isinstance(held := choice.get(key), dict):
            merged(held, inside)
        if key == "message" and isinstance(written := payload.get("choices"), list):
            written += choices[1:]
    merged(payload, extra)


def place_of(part: Part) -> int | None:
    """Where a message has this part; None if it has no order there, or the part itself is not told."""
    match part:
        case Reasoning():
            return 0
        case Text():
            return 1
        case Refusal():
            return 2
        case ToolCall(server=False):
            return 3
        case _:
            return None


def wants_functions(asked: Asked) -> bool:
    """Whether the client speaks of functions, in the older way, and would not look for tool calls."""
    return bool(asked.body.get("functions")) and not asked.body.get("tools")


def _message(parts: tuple[Part, ...], *, asked: Asked, new_id: NewId, losses: list[Loss]) -> JsonObject:
    # Ids are given first, for residue is addressed by them.
    parts = tuple(
        replace(part, id=new_id("call_")) if isinstance(part, ToolCall) and not part.id else part for part in parts
    )
    said: list[str] = []
    refused: list[str] = []
    calls: list[Json] = []
    annotations: list[Json] = []
    images: list[Json] = []
    message: JsonObject = {"role": "assistant", "content": None, "refusal": None}
    length = thoughts = reached = 0
    late = False
    for index, part in enumerate(parts):
        path = f"parts[{index}]"
        if (place := place_of(part)) is not None:
            late |= place < reached
            reached = max(place, reached)
        match part:
            case Reasoning():
                thoughts += 1
            case Text():
                said.append(part.text)
                losses += reasoning.lost_logprobs(part, path)
                annotations += write_citations(part.citations, offset=length, path=path, losses=losses)
                length += len(part.text)
            case Refusal():
                refused.append(part.text)
                losses += CLIENT.foreign(part.native, path)
            case ToolCall():
                if part.server:
                    losses.append(Loss(path, "server_tool"))
                else:
                    calls.append(write_call(part, path=path, losses=losses))
            case Media():
                put_media(message, images, part, asked=asked, new_id=new_id, path=path, losses=losses)
            case ToolResult():
                losses.append(Loss(path, "server_tool"))
            case Opaque():
                losses.append(Loss(path, f"unknown_part:{part.kind}"))
            case _:
                assert_never(part)
    if late:
        losses.append(Loss("parts", "part_order", approximate=True))
    if said:
        message["content"] = "".join(said)
    if refused:
        message["refusal"] = "".join(refused)
    if annotations:
        message["annotations"] = annotations
    merged(message, reasoning.write(parts, again=thoughts > 1))
    if calls:
        message["tool_calls"] = calls
    if images:
        message["images"] = images
    return message


def write_call(call: ToolCall, *, path: str, losses: list[Loss]) -> JsonObject:
    """A call for a client."""
    if call.namespace is not None:
        losses.append(Loss(path, "namespace", detail=call.namespace))
    extra = CLIENT.own(call.native)
    if call.kind == "custom":
        return merged({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}, extra)
    return merged(
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}, extra
    )


def write_citations(citations: tuple[Citation, ...], *, offset: int, path: str, losses: list[Loss]) -> list[JsonObject]:
    """Annotations. `offset`: characters of the message that stand before the cited part."""
    written: list[JsonObject] = []
    for index, cited in enumerate(citations):
        where = f"{path}.citations[{index}]"
        own = CLIENT.own(cited.native)
        if isinstance(kept := own.get("annotation"), dict):
            written.append(kept)
            continue
        if cited.url is None:
            losses.append(Loss(where, "citations", detail="only URLs can be cited"))
            continue
        inside: JsonObject = {
            "url": cited.url,
            "title": cited.title or "",
            "start_index": offset + (cited.start or 0),
            "end_index": offset + (cited.end or 0),
        }
        if cited.quote is not None:
            inside["content"] = cited.quote
        if any(not CLIENT.understands(native) for native in cited.native):
            losses.append(Loss(where, "citations", approximate=True, detail="only what is cited is told"))
        written.append({"type": "url_citation", "url_citation": merged(inside, own)})
    return written


def put_media(
    message: JsonObject,
    images: list[Json],
    media: Media,
    *,
    asked: Asked,
    new_id: NewId,
    path: str,
    losses: list[Loss],
) -> None:
    """An image among the images, or sound as the message's sound; of others there is no way to tell."""
    own = CLIENT.own(media.native)
    match media.kind, media.source:
        case "image", Inline() | Remote() as place:
            images.append(merged({"type": "image_url", "image_url": {"url": url_of(place)}}, own))
        case "audio", Inline(data, media_type) if "audio" not in message:
            sound: JsonObject = {
                "id": text(own.get("id")) or new_id("audio_"),
                "data": data,
                "expires_at": asked.created,
                "transcript": "",
            }
            message["audio"] = {**sound, **own}
            if sound_type(data) == "audio/pcm" != media_type:
                # An answer does not name the form of its sound: the bytes do, or what was asked for.
                losses.append(Loss(path, "audio", approximate=True, detail=f"not told to be {media_type}"))
        case _:
            losses.append(Loss(path, media.kind))
            return
    losses += CLIENT.foreign(media.native, path)


def _as_function(message: JsonObject, losses: list[Loss]) -> None:
    """The first call in the older way, which knows one call without an id."""
    calls = message.pop("tool_calls", None)
    if not isinstance(calls, list) or not calls:
        return
    first = record(calls[0])
    function = record(first.get("function")) or record(first.get("custom"))
    message["function_call"] = {
        "name": function.get("name"),
        "arguments": function.get("arguments", function.get("input")),
    }
    losses += [Loss(f"calls[{index}]", "parallel_tool_calls") for index in range(1, len(calls))]
