"""Content blocks of Messages, as neutral parts.

Law: no field and no block is lost; what has no neutral meaning is residue of its part, or an `Opaque` part whole. The
same reading serves a client's turns and an upstream's answer, which differ in who issued the residue, in names that are
mapped back, and in sealed residue, which only a client returns.

Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from ccx.protocols.cache_control import parted
from ccx.protocols.codec import Context, ToolName
from ccx.protocols.ir import (
    Citation,
    Json,
    JsonObject,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.messages.media import decode_media
from ccx.protocols.messages.naming import original_id
from ccx.protocols.messages.natives import Sealed, is_sealed, made, unsealed
from ccx.protocols.names import Protocol

SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})

_dumps = msgspec.json.Encoder().encode


class Malformed(Exception):
    """A payload that breaks the protocol in a way that leaves no meaning. `path` as Anthropic writes it: `a.0.b`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)


@dataclass(frozen=True, slots=True)
class Reader:
    """How blocks are read. `issuer` marks residue; `tools` and `json_tool` come from the request that went out;
    `sealed`: tokens are looked into, and ids unwrapped, because a client returns what ccx gave it."""

    issuer: str | None = None
    tools: Mapping[str, ToolName] = field(default_factory=dict)
    json_tool: str | None = None
    sealed: bool = False

    @classmethod
    def of_answer(cls, context: Context) -> Reader:
        """A reader of the answer to the request that `context` tells of."""
        return cls(context.issuer, context.tools, context.json_tool)

    def parts(self, content: Json, path: str) -> tuple[Part, ...]:
        """The parts of a `content`: a string or a list of blocks. Raises Malformed."""
        if isinstance(content, str):
            return (Text(content),) if content else ()
        if not isinstance(content, list):
            raise Malformed(path, "Input should be a valid string or a valid array")
        found = [self.part(block, f"{path}.{at}") for at, block in enumerate(content)]
        if self.sealed and any(isinstance(part, Sealed) for part in found):
            return _placed(found)
        return tuple(part for part in found if not isinstance(part, Sealed))

    def part(self, block: Json, path: str) -> Part | Sealed:
        """One block. Raises Malformed."""
        if not isinstance(block, dict):
            raise Malformed(path, "Input should be a valid object")
        kind = block.get("type")
        match kind:
            case "text":
                return self.text(block, path)
            case "thinking" | "redacted_thinking":
                return self._reasoning(block, path)
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                return self._call(block, path)
            case "tool_result":
                return self._result(block, path)
            case "image" | "document":
                given, cache = parted(block)
                media = decode_media(given, self.issuer)
                return self._opaque(block, path) if media is None else replace(media, cache=cache)
            case str() if kind.endswith("_tool_result") and isinstance(block.get("tool_use_id"), str):
                return self._server_result(block, path)
            case _:
                return self._opaque(block, path)

    def text(self, block: JsonObject, path: str) -> Text:
        """A text block. Raises Malformed."""
        text = block.get("text")
        if not isinstance(text, str):
            raise Malformed(f"{path}.text", "Input should be a valid string")
        if len(block) == 2:
            return Text(text)
        raw = block.get("citations")
        citations = tuple(self.citation(one) for one in raw if isinstance(one, dict)) if isinstance(raw, list) else ()
        known = ("type", "text", "citations") if raw is None or isinstance(raw, list) else ("type", "text")
        rest, cache = parted(_rest(block, known))
        return Text(text, citations, made(rest, self.issuer), cache)

    def citation(self, raw: JsonObject) -> Citation:
        """A citation, in any of the protocol's forms."""
        url = raw.get("url", raw.get("source"))
        title = raw.get("title", raw.get("document_title"))
        quote = raw.get("cited_text")
        # One without an index was made by ccx for want of one, and no upstream would take it back.
        lacks = raw.get("type") == "web_search_result_location" and not raw.get("encrypted_index")
        return Citation(
            url=url if isinstance(url, str) else None,
            title=title if isinstance(title, str) else None,
            quote=quote if isinstance(quote, str) and quote else None,
            native=() if lacks else made(dict(raw), self.issuer),
        )

    def called(self, name: str) -> ToolName | None:
        """What the client calls a tool that has another name or kind upstream."""
        return self.tools.get(name)

    def _reasoning(self, block: JsonObject, path: str) -> Part | Sealed:
        thinking = block.get("type") == "thinking"
        token = block.get("signature" if thinking else "data")
        text = block.get("thinking", "") if thinking else ""
        if not isinstance(text, str):
            raise Malformed(f"{path}.thinking", "Input should be a valid string")
        if self.sealed and isinstance(token, str) and is_sealed(token):
            sealed = unsealed(token)
            if sealed is None:
                return Reasoning(text)
            if sealed.place == "self" and sealed.whole is None:
                return Reasoning(text, native=sealed.natives)
            return sealed
        known = ("type", "thinking") if token or not thinking else ("type", "thinking", "signature")
        return Reasoning(text, native=made(_rest(block, known), self.issuer))

    def _call(self, block: JsonObject, path: str) -> Part:
        kind, id_, name = block.get("type"), block.get("id"), block.get("name")
        if not isinstance(id_, str) or not isinstance(name, str):
            raise Malformed(f"{path}.{'name' if isinstance(id_, str) else 'id'}", "Field required")
        given = block.get("input")
        if kind in SERVER_CALLS:
            native = made(_rest(block, ("id", "name", "input")), self.issuer)
            return ToolCall(id_, name, arguments_text(given), server=True, native=native)
        if name == self.json_tool:
            return Text(arguments_text(given))
        rest, cache = parted(_rest(block, ("type", "id", "name", "input")))
        id_ = original_id(id_) if self.sealed else id_
        return replace(self.client_call(id_, name, given, made(rest, self.issuer)), cache=cache)

    def client_call(self, id_: str, name: str, given: Json, native: tuple[Native, ...]) -> ToolCall:
        """A call of a client's tool, under the client's name for it."""
        back = self.tools.get(name)
        if back is None:
            return ToolCall(id_, name, arguments_text(given), native=native)
        if back.kind == "custom":
            return ToolCall(id_, back.name, custom_input(given), "custom", back.namespace, native=native)
        return ToolCall(id_, back.name, arguments_text(given), namespace=back.namespace, native=native)

    def _result(self, block: JsonObject, path: str) -> ToolResult:
        id_ = block.get("tool_use_id")
        if not isinstance(id_, str):
            raise Malformed(f"{path}.tool_use_id", "Field required")
        rest, cache = parted(_rest(block, ("type", "tool_use_id", "content", "is_error")))
        return ToolResult(
            original_id(id_) if self.sealed else id_,
            tuple(self._shown(block.get("content"), f"{path}.content")),
            is_error=block.get("is_error") is True,
            native=made(rest, self.issuer),
            cache=cache,
        )

    def _shown(self, content: Json, path: str) -> Iterator[Text | Media | Opaque]:
        """What a result shows: in it, blocks of other kinds mean nothing to anyone else."""
        if isinstance(content, str):
            if content:
                yield Text(content)
        elif isinstance(content, list):
            for at, block in enumerate(content):
                part = self.part(block, f"{path}.{at}")
                if isinstance(part, Text | Media | Opaque):
                    yield part
                elif isinstance(block, dict):
                    yield self._opaque(block, f"{path}.{at}")
        elif content is not None:
            raise Malformed(path, "Input should be a valid string or a valid array")

    def _server_result(self, block: JsonObject, path: str) -> ToolResult:
        id_ = block["tool_use_id"]
        if not isinstance(id_, str):
            raise Malformed(f"{path}.tool_use_id", "Field required")
        return ToolResult(
            id_,
            (),
            is_error=block.get("is_error") is True,
            server=True,
            native=made(_rest(block, ("tool_use_id",)), self.issuer),
        )

    def _opaque(self, block: JsonObject, path: str) -> Opaque:
        kind = block.get("type")
        if not isinstance(kind, str):
            raise Malformed(f"{path}.type", "Field required")
        return Opaque(kind, Native(Protocol.MESSAGES, self.issuer, block))


def arguments_text(given: Json) -> str:
    """The arguments of a call as JSON text; those that were left out are an empty object."""
    return "{}" if given is None else _dumps(given).decode("utf-8", "surrogatepass")


def custom_input(given: Json) -> str:
    """The free text of a custom tool out of the function that stands in for it."""
    if isinstance(given, dict) and isinstance(text := given.get("input"), str):
        return text
    return given if isinstance(given, str) else arguments_text(given)


def _rest(block: JsonObject, known: tuple[str, ...]) -> JsonObject:
    return {key: value for key, value in block.items() if key not in known}


def _placed(found: list[Part | Sealed]) -> tuple[Part, ...]:
    """The parts with the residue that came back in blocks of its own on the parts it belongs to."""
    parts: list[Part] = []
    waiting: list[Sealed] = []
    calls: dict[str, tuple[Native, ...]] = {}
    ids = {part.id for part in found if isinstance(part, ToolCall)}
    for item in found:
        if not isinstance(item, Sealed):
            for sealed in waiting:
                item = _with(item, sealed.natives)
            waiting = []
            parts.append(item)
        elif item.whole is not None:
            parts.append(item.whole)
        elif item.place == "previous" and parts:
            parts[-1] = _with(parts[-1], item.natives)
        elif item.place == "call" and item.call in ids:
            calls[item.call] = (*calls.get(item.call, ()), *item.natives)
        elif item.place == "next":
            waiting.append(item)
        else:
            parts.append(Reasoning("", native=item.natives))
    # The part was cut off its residue: a client dropped or moved it. The residue stays, as a thought of its own.
    parts.extend(Reasoning("", native=sealed.natives) for sealed in waiting)
    return tuple(
        _with(part, calls[part.id]) if isinstance(part, ToolCall) and part.id in calls else part for part in parts
    )


def _with(part: Part, natives: tuple[Native, ...]) -> Part:
    if isinstance(part, Opaque):
        return part
    return replace(part, native=(*part.native, *natives))
