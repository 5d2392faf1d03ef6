"""Answers of the Messages API that are not streamed: an upstream's, read; a client's, written.

Law: a client is given everything it can show and can return, in the order in which it was said. Residue of another
protocol travels in the tokens that clients return untouched (see `natives`), beside the part it belongs to; a part
that Messages cannot show travels there whole.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, assert_never

from ccx.errors import BadReply
from ccx.protocols.codec import Asked, Context, Encoded, NewId
from ccx.protocols.custom_tools import call_object
from ccx.protocols.ir import (
    Json,
    JsonObject,
    Loss,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.messages.blocks import cited
from ccx.protocols.messages.ending import decode_finish, decode_usage, encode_finish, encode_usage
from ccx.protocols.messages.naming import legal_id
from ccx.protocols.messages.natives import foreign, made, own, refused, seal_for, seal_part
from ccx.protocols.messages.parts import Malformed, Reader
from ccx.protocols.residue import seal
from ccx.protocols.tool_names import joined

_READ: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"},
)
_CLIENT: Final = "client"  # no issuer; only residue of other protocols is refused


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_response(body: JsonObject, context: Context) -> Response:
    """An upstream's answer. Raises BadReply."""
    content = body.get("content")
    if not isinstance(content, list):
        raise BadReply("the answer has no list of content blocks", stage="body")
    try:
        parts = Reader.of_answer(context).parts(content, "content")
    except Malformed as error:
        raise BadReply(f"the answer is not one of the Messages API: {error}", stage="body") from None
    id_, model = body.get("id"), body.get("model")
    return Response(
        id=id_ if isinstance(id_, str) else "",
        model=model if isinstance(model, str) else context.model,
        parts=parts,
        finish=decode_finish(
            body.get("stop_reason"), body.get("stop_sequence"), json_tool=called_json(parts, content, context)
        ),
        usage=decode_usage(body.get("usage")),
        native=made(
            {key: value for key, value in body.items() if key not in _READ and value is not None}, context.issuer
        ),
    )


def called_json(parts: tuple[Part, ...], content: list[Json], context: Context) -> bool:
    """Whether the only tool that was called stands in for structured output."""
    if context.json_tool is None or any(isinstance(part, ToolCall) and not part.server for part in parts):
        return False
    return any(isinstance(block, dict) and block.get("name") == context.json_tool for block in content)


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_response(response: Response, asked: Asked, *, new_id: NewId) -> Encoded:
    """The answer for a client of this protocol."""
    losses: list[Loss] = []
    content: list[JsonObject] = []
    for at, part in enumerate(response.parts):
        content.extend(blocks(part, f"parts[{at}]", losses))
    reason, sequence = encode_finish(response.finish, response.parts, losses)
    payload: JsonObject = {
        "id": message_id(response.id, new_id),
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": encode_usage(response.usage),
        **beside(response.native, losses),
    }
    return Encoded(payload, tuple(losses))


def message_id(id_: str, new_id: NewId) -> str:
    """The id of an answer: the upstream's, if it looks like one of this protocol."""
    return id_ if id_.startswith("msg_") else new_id("msg_")


def beside(natives: tuple[Native, ...], losses: list[Loss]) -> JsonObject:
    """The top-level fields of an answer that only this protocol knows."""
    losses.extend(refused(foreign(natives), _CLIENT, "native"))
    return own(natives)


def blocks(part: Part, path: str, losses: list[Loss]) -> Iterator[JsonObject]:
    """The blocks of a part of an answer, for a client."""
    match part:
        case Text():
            yield from carried(part.native)
            if part.text or part.citations:
                yield text_block(part, path, losses)
        case Reasoning():
            if (block := reasoning_block(part)) is not None:
                yield block
        case ToolCall():
            if part.server and not shown(part):
                yield hidden(part, path, losses)
                return
            yield from carried(part.native, call=part.id)
            given, exact = call_object(part)
            if not exact:
                losses.append(Loss(f"{path}.arguments", "arguments", approximate=True, detail="not a JSON object"))
            yield {**call_block(part, path, losses), "input": given}
        case ToolResult():
            yield result_block(part, path, losses)
        case Media():
            yield media_note(part, path, losses)
        case Refusal(text):
            yield from carried(part.native)
            losses.append(Loss(path, "refusal", approximate=True, detail="told as text"))
            if text:
                yield {"type": "text", "text": text}
        case Opaque(_, native):
            yield own((native,)) or hidden(part, path, losses)
        case _:
            assert_never(part)


def text_block(part: Text, path: str, losses: list[Loss]) -> JsonObject:
    """A text with its citations; those of other protocols as citations of a web search, which they resemble most."""
    block: JsonObject = {"type": "text", "text": part.text, **own(part.native)}
    if part.citations:
        block["citations"] = list(citations(part, path, losses))
    return block


def citations(part: Text, path: str, losses: list[Loss]) -> Iterator[JsonObject]:
    """The citations of a text that a client can read."""
    for at, citation in enumerate(part.citations):
        block = own(citation.native)
        if not block:
            made_up = cited(citation)
            losses.append(Loss(f"{path}.citations[{at}]", "citations", approximate=made_up is not None))
            block = made_up or {}
        if block:
            yield block


def reasoning_block(part: Reasoning) -> JsonObject | None:
    """A thought with its signature, or what stands for one that is not shown; None for one that says nothing."""
    fields = own(part.native)
    theirs = foreign(part.native)
    if "data" in fields:
        return {**fields, "type": "redacted_thinking"}
    if theirs and "signature" not in fields:
        if not part.text:
            return {"type": "redacted_thinking", "data": seal(theirs)}
        fields["signature"] = seal(theirs)
    if not part.text and "signature" not in fields:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": "", **fields}


def shown(part: ToolCall | ToolResult) -> bool:
    """Whether what a provider's tool did has a block of this protocol."""
    return "type" in own(part.native)


def call_block(part: ToolCall, path: str, losses: list[Loss]) -> JsonObject:
    """A call, but for its input."""
    fields = own(part.native)
    if part.server:
        return {**fields, "id": part.id, "name": part.name}
    if part.namespace is not None:
        losses.append(Loss(path, "namespace", approximate=True, detail="put before the name"))
    return {"type": "tool_use", "id": legal_id(part.id), "name": joined(part.namespace, part.name), **fields}


def result_block(part: ToolResult, path: str, losses: list[Loss]) -> JsonObject:
    """The result of a provider's tool."""
    if part.server and shown(part):
        return {**own(part.native), "tool_use_id": part.call_id}
    return hidden(part, path, losses)


def media_note(part: Media, path: str, losses: list[Loss]) -> JsonObject:
    """What stands for an image or a sound that the model made: Messages has no block for these."""
    losses.append(Loss(path, part.kind))
    return {"type": "text", "text": f"[{part.kind} left out: it cannot be shown here]"}


def hidden(part: ToolCall | ToolResult | Opaque, path: str, losses: list[Loss]) -> JsonObject:
    """A part that the client cannot show but will return."""
    what = f"unknown_part:{part.kind}" if isinstance(part, Opaque) else "server_tool"
    losses.append(Loss(path, what, approximate=True, detail="kept, not shown"))
    return {"type": "redacted_thinking", "data": seal_part(part)}


def carried(
    natives: tuple[Native, ...], *, place: Literal["next", "previous"] = "next", call: str | None = None
) -> Iterator[JsonObject]:
    """The block that carries another protocol's residue of the part beside it, or of a call."""
    if theirs := foreign(natives):
        yield {"type": "redacted_thinking", "data": seal_for(theirs, place=place, call=call)}
