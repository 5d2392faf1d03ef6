"""Answers of Gemini that are not streamed: an upstream's, read; a client's, written.

Law: a client is given everything it can show and can return, in the order in which it was said. Residue of another
protocol travels in `thoughtSignature` (see `natives`); a part that Gemini cannot show travels there whole.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from ccx.errors import BadReply
from ccx.protocols.codec import Asked, Context, Encoded, NewId
from ccx.protocols.custom_tools import call_object
from ccx.protocols.gemini.blocks import function_response
from ccx.protocols.gemini.ending import blocked, encode_finish, encode_time, encode_usage
from ccx.protocols.gemini.grounding import Grounds
from ccx.protocols.gemini.media import data_of
from ccx.protocols.gemini.naming import sent_id
from ccx.protocols.gemini.natives import SIGNATURE, foreign, own, seal_part, signature, unshown
from ccx.protocols.gemini.parts import SERVER_CALLS, SERVER_RESULTS
from ccx.protocols.gemini.stream_in import TOP, GeminiStreamDecoder
from ccx.protocols.ir import (
    Citation,
    Finish,
    Inline,
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
    Usage,
)
from ccx.protocols.names import Protocol
from ccx.protocols.stream import Assembler
from ccx.protocols.tool_names import joined

_SAYS: Final = frozenset({"candidates", "promptFeedback", "prompt_feedback", "usageMetadata", "usage_metadata"})


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_response(body: JsonObject, context: Context) -> Response:
    """An upstream's whole answer. Raises BadReply."""
    if "error" not in body and not _SAYS & body.keys():
        raise BadReply("the answer is not one of Gemini: it has no candidates", stage="body")
    decoder, assembler = GeminiStreamDecoder(context), Assembler()
    for event in decoder.take(body):
        assembler.feed(event)
    if assembler.failed is not None:
        raise BadReply(f"the answer is an error: {assembler.failed.message}", stage="body")
    for event in decoder.close():
        assembler.feed(event)
    found = assembler.response
    if found is None:
        raise BadReply("the answer is not one of Gemini", stage="body")
    return found


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_response(answer: Response, asked: Asked, *, new_id: NewId) -> Encoded:
    """The whole answer for a client of this protocol."""
    losses: list[Loss] = []
    writer = PartWriter(losses)
    parts: list[JsonObject] = []
    for at, part in enumerate(answer.parts):
        before = len(parts)
        parts.extend(writer.part(part, f"parts[{at}]"))
        if isinstance(part, Text) and part.citations:
            writer.cite(part.citations, part.text, index=before, path=f"parts[{at}]")
    payload: JsonObject = {} if (created := encode_time(answer.created)) is None else {"createTime": created}
    payload = {
        **payload,
        **ending(answer.finish, answer.usage, answer.native, parts=parts, grounds=writer.grounds, losses=losses),
        "modelVersion": asked.model,
        "responseId": answer.id or new_id(""),
    }
    return Encoded(payload, tuple(losses))


class PartWriter:
    """Writes the parts of one answer, for a client. It remembers thoughts of other providers until a call, which
    carries them, and gathers citations."""

    def __init__(self, losses: list[Loss]) -> None:
        self.grounds = Grounds()
        self._losses = losses
        self._thoughts: list[Reasoning] = []

    def part(self, part: Part, path: str) -> Iterator[JsonObject]:
        """The parts of a whole one."""
        match part:
            case Text(text):
                if text or signature(part.native):
                    yield {"text": text, **self.fields(part.native)}
            case Reasoning():
                self.thought(part)
                if part.text or signature(part.native):
                    yield {"text": part.text, "thought": True, **self.fields(part.native)}
            case ToolCall():
                yield self.call(part, path)
            case ToolResult():
                yield self._result(part, path)
            case Media():
                yield {**data_of_media(part), **self.fields(part.native, known=("inlineData", "fileData"))}
            case Refusal(_, native) if any(one.protocol is Protocol.GEMINI for one in native):
                return
            case Refusal(text):
                self._losses.append(Loss(path, "refusal", approximate=True, detail="told as text"))
                if text or signature(part.native):
                    yield {"text": text, **self.fields(part.native)}
            case Opaque(_, native):
                yield native.data if native.protocol is Protocol.GEMINI else self._hidden(part, path)
            case _:
                assert_never(part)

    def thought(self, part: Reasoning) -> None:
        """Remember a thought, if it is another provider's."""
        if not any(native.protocol is Protocol.GEMINI for native in part.native):
            self._thoughts.append(part)

    def call(self, part: ToolCall, path: str) -> JsonObject:
        """A call, with the thoughts that came before it."""
        fields = own(part.native)
        if part.server:
            return fields if any(key in fields for key in SERVER_CALLS) else self._hidden(part, path)
        args, exact = call_object(part)
        if not exact:
            self._losses.append(Loss(f"{path}.arguments", "arguments", approximate=True, detail="not a JSON object"))
        if part.namespace is not None:
            self._losses.append(Loss(path, "namespace", approximate=True, detail="put before the name"))
        found: JsonObject = {"name": joined(part.namespace, part.name), "args": args}
        if (id_ := sent_id(part.id)) is not None:
            found["id"] = id_
        extra = fields.pop("functionCall", None)
        if isinstance(extra, dict):
            found.update(extra)
        token = signature(part.native, self._thoughts)
        self._thoughts = []
        return {"functionCall": found, **fields, **({} if token is None else {SIGNATURE: token})}

    def fields(self, natives: tuple[Native, ...], known: tuple[str, ...] = ()) -> JsonObject:
        """The fields beside the data of a part."""
        if not natives:
            return {}
        found = {key: value for key, value in own(natives).items() if key not in known}
        if (token := signature(natives)) is not None:
            found[SIGNATURE] = token
        return found

    def cite(self, found: tuple[Citation, ...], text: str, *, index: int, path: str) -> None:
        """Take the citations of the text that is the part `index` of the content."""
        self.grounds.add(found, text, index=index, path=path, losses=self._losses)

    def _result(self, part: ToolResult, path: str) -> JsonObject:
        fields = own(part.native)
        if part.server:
            return fields if any(key in fields for key in SERVER_RESULTS) else self._hidden(part, path)
        # A model says no results of a client's tools; a vendor's that does is given back as it is.
        said = [one.text for one in part.content if isinstance(one, Text)]
        found: JsonObject = {
            "name": part.name or "tool",
            "response": function_response("\n".join(said), part.is_error, bool(said)),
        }
        if (id_ := sent_id(part.call_id)) is not None:
            found["id"] = id_
        for at, one in enumerate(part.content):
            if not isinstance(one, Text):
                self._losses.append(Loss(f"{path}.content[{at}]", "media_in_tool_result"))
        return {"functionResponse": found}

    def _hidden(self, part: ToolCall | ToolResult | Opaque, path: str) -> JsonObject:
        """A part that the client cannot show but may return."""
        what = f"unknown_part:{part.kind}" if isinstance(part, Opaque) else "server_tool"
        self._losses.append(Loss(path, what, approximate=True, detail="kept, not shown"))
        return {"text": "", "thought": True, SIGNATURE: seal_part(part)}


def data_of_media(part: Media) -> JsonObject:
    """The data of a medium, with its name and what else its origin said in it."""
    found = data_of(part)
    key = "inlineData" if isinstance(part.source, Inline) else "fileData"
    blob, extra = found[key], own(part.native).get(key)
    if isinstance(blob, dict):
        if part.name is not None:
            blob["displayName"] = part.name
        if isinstance(extra, dict):
            blob.update(extra)
    return found


def ending(
    finish: Finish,
    usage: Usage,
    natives: tuple[Native, ...],
    *,
    parts: list[JsonObject],
    grounds: Grounds,
    losses: list[Loss],
) -> JsonObject:
    """The answer with these parts and all that is known at its end, but for what tells which answer it is."""
    losses.extend(unshown(foreign(natives), "native"))
    fields = own(natives)
    top = fields.pop("top", None)
    payload: JsonObject = {key: fields.pop(key) for key in TOP & fields.keys()}
    others = fields.pop("candidates", None)
    if blocked(payload.get("promptFeedback")) is None or any(part != {"text": ""} for part in parts):
        candidate: JsonObject = {
            "content": {"parts": list(parts), "role": "model"},
            "finishReason": encode_finish(finish, losses),
            "index": 0,
        }
        if "groundingMetadata" not in fields and (metadata := grounds.metadata) is not None:
            candidate["groundingMetadata"] = metadata
        candidate.update(fields)
        payload["candidates"] = [candidate, *(others if isinstance(others, list) else ())]
    if isinstance(top, dict):
        payload.update(top)
    if (counted := encode_usage(usage)) is not None:
        payload["usageMetadata"] = counted
    return payload
