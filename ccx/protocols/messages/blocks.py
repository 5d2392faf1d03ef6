"""Neutral parts, as content blocks for an upstream.

Law: each part becomes the block that means it, in the turn where Messages has it (a result is the user's, whoever's
message held it), or a declared loss. Only residue that this upstream's issuer made, or that a client wrote for any
upstream of the protocol, is sent.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

from ccx.protocols.cache_control import FIELD, written
from ccx.protocols.codec import Target
from ccx.protocols.custom_tools import call_object
from ccx.protocols.ir import (
    Citation,
    Json,
    JsonObject,
    Loss,
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.messages.media import encode_media
from ccx.protocols.messages.naming import legal_id
from ccx.protocols.messages.natives import accepted, refused
from ccx.protocols.tool_names import ToolNames

Role = Literal["system", "user", "assistant"]
Placed = tuple[Role, JsonObject]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the blocks of one request; `losses` grows on the way."""

    target: Target
    names: ToolNames
    losses: list[Loss]

    def message(self, message: Message, path: str) -> Iterator[Placed]:
        """The blocks of a message, each with the role of the turn that it belongs to."""
        # Thoughts without a signature are nothing to Anthropic; other vendors may want them, as their dialect says.
        back = self.target.dialect.reasoning_back
        calls = any(isinstance(part, ToolCall) for part in message.parts)
        unsigned = back == "always" or (back == "tool_turns" and calls)
        for at, part in enumerate(message.parts):
            yield from self._part(part, message.role, f"{path}.parts[{at}]", unsigned=unsigned)

    def _part(self, part: Part, role: Role, path: str, *, unsigned: bool) -> Iterator[Placed]:
        match part:
            case Text():
                if (block := self._text(part, path)) is not None:
                    yield role, block
            case Reasoning():
                yield from self._reasoning(part, role, path, unsigned=unsigned)
            case ToolCall():
                yield from self._call(part, path)
            case ToolResult():
                yield from self._result(part, path)
            case Media():
                yield role, self._media(part, role, path)
            case Refusal(text):
                self._refuse(part, path)
                if text.strip():
                    self.losses.append(Loss(path, "refusal", approximate=True, detail="told as text"))
                    yield role, {"type": "text", "text": text}
            case Opaque(kind, native):
                if fields := accepted((native,), self.target.issuer):
                    yield role, fields
                else:
                    self.losses.append(Loss(path, f"unknown_part:{kind}"))
            case _:
                assert_never(part)

    def _text(self, part: Text, path: str) -> JsonObject | None:
        if not part.text.strip():
            # A blank text is refused by the API and says nothing; what hangs on it is lost with it.
            if part.cache is not None or FIELD in accepted(part.native, self.target.issuer):
                self.losses.append(Loss(path, FIELD, detail="on a blank text"))
            self._refuse(part, path)
            return None
        block: JsonObject = {"type": "text", "text": part.text}
        if part.citations:
            cited: list[Json] = [
                fields for one in part.citations if (fields := accepted(one.native, self.target.issuer))
            ]
            if len(cited) != len(part.citations):
                self.losses.append(Loss(f"{path}.citations", "citations"))
            if cited:
                block["citations"] = cited
        block.update(written(part.cache))
        if part.native:
            block.update(accepted(part.native, self.target.issuer))
            self._refuse(part, path)
        return block

    def _reasoning(self, part: Reasoning, role: Role, path: str, *, unsigned: bool) -> Iterator[Placed]:
        fields = accepted(part.native, self.target.issuer)
        self._refuse(part, path)
        if role == "assistant" and _token(fields, "data"):
            yield role, {**fields, "type": "redacted_thinking"}
        elif role == "assistant" and _token(fields, "signature"):
            yield role, {**fields, "type": "thinking", "thinking": part.text}
        elif role == "assistant" and unsigned and part.text:
            yield role, {**fields, "type": "thinking", "thinking": part.text, "signature": ""}
        elif part.text:
            self.losses.append(Loss(path, "reasoning", detail="without a signature of this issuer"))

    def _call(self, part: ToolCall, path: str) -> Iterator[Placed]:
        fields = accepted(part.native, self.target.issuer)
        if part.server:
            if "type" not in fields:
                self.losses.append(Loss(path, "server_tool", detail=part.name))
                return
            yield "assistant", {**fields, "id": part.id, "name": part.name, "input": self._input(part, path)}
            return
        self._refuse(part, path)
        yield (
            "assistant",
            {
                "type": "tool_use",
                "id": legal_id(part.id),
                "name": self.names.upstream(part.namespace, part.name),
                "input": self._input(part, path),
                **written(part.cache),
                **fields,
            },
        )

    def _input(self, part: ToolCall, path: str) -> JsonObject:
        given, exact = call_object(part)
        if not exact:
            self.losses.append(Loss(f"{path}.arguments", "arguments", approximate=True, detail="not a JSON object"))
        return given

    def _result(self, part: ToolResult, path: str) -> Iterator[Placed]:
        fields = accepted(part.native, self.target.issuer)
        if part.server:
            if "type" not in fields:
                self.losses.append(Loss(path, "server_tool", detail="its result"))
                return
            yield "assistant", {**fields, "tool_use_id": part.call_id}
            return
        self._refuse(part, path)
        block: JsonObject = {"type": "tool_result", "tool_use_id": legal_id(part.call_id)}
        content = [one for at, item in enumerate(part.content) for one in self._shown(item, f"{path}.content[{at}]")]
        if content:
            block["content"] = shortened(content)
        if part.is_error:
            block["is_error"] = True
        yield "user", {**block, **written(part.cache), **fields}

    def _shown(self, item: Text | Media | Opaque, path: str) -> Iterator[JsonObject]:
        match item:
            case Text():
                if (block := self._text(item, path)) is not None:
                    yield block
            case Media():
                yield self._media(item, "user", path)
            case Opaque(kind, native):
                if fields := accepted((native,), self.target.issuer):
                    yield fields
                else:
                    self.losses.append(Loss(path, f"unknown_part:{kind}"))
            case _:
                assert_never(item)

    def _media(self, part: Media, role: Role, path: str) -> JsonObject:
        self._refuse(part, path)
        fields = accepted(part.native, self.target.issuer)
        if role == "user":
            block = encode_media(part, fields, path, self.losses, vision=self.target.vision is not False)
        else:
            # Only users show things; the note keeps the turn from being empty.
            self.losses.append(Loss(path, part.kind, detail=f"in a turn of the {role}"))
            block = {"type": "text", "text": f"[{part.kind} left out]"}
        return {**block, **written(part.cache)}

    def _refuse(self, part: Text | Reasoning | ToolCall | ToolResult | Media | Refusal, path: str) -> None:
        if part.native:
            self.losses.extend(refused(part.native, self.target.issuer, f"{path}.native"))


def _token(fields: JsonObject, key: str) -> bool:
    """Whether there is a token to send: a client may write anything in its place."""
    return isinstance(token := fields.get(key), str) and token != ""


def cited(citation: Citation) -> JsonObject | None:
    """A citation of another protocol in the form of a web search's; None where it has no URL."""
    if citation.url is None:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote or "",
        "encrypted_index": "",
    }


def shortened(blocks: list[JsonObject]) -> Json:
    """Content in its short form, a string, where it is one plain text."""
    if len(blocks) == 1 and blocks[0].get("type") == "text" and len(blocks[0]) == 2:
        return blocks[0]["text"]
    return list(blocks)
