"""Items of a conversation or of an answer, as neutral parts.

Law
- No item is lost. What has no neutral meaning is residue of its part, or an `Opaque` part whole; an item or tool of a
  type that is not known is never an error.
- The same reading serves a client's history and an upstream's answer, whole or streamed, which differ in who issued the
  residue, in names that are mapped back, and in sealed residue, which only a client returns. So that a stream folds to
  the whole answer, residue comes in two pieces: what is known when an item begins (`opening`), and what is known when
  it is whole.
- A status that only says that the item is complete is dropped.

Source: https://platform.openai.com/docs/api-reference/responses/object#responses-object-output
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from ccx.protocols.codec import Context, ToolName
from ccx.protocols.ir import (
    Inline,
    Json,
    JsonObject,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.names import Protocol
from ccx.protocols.responses.content import Content, read_content
from ccx.protocols.responses.reading import made
from ccx.protocols.responses.sealed import Sealed, is_sealed, unsealed
from ccx.protocols.values import record, records, rest, text

TOOL_SEARCH: Final = "tool_search"
SERVER_CALLS: Final = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
    "mcp_call": "mcp",
}
"""Calls that the provider itself answers, within the same item, and their neutral names."""

_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_OUTPUTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_IMAGE_TYPES: Final = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg", "gif": "image/gif"}

_dumps = msgspec.json.Encoder().encode
_loads = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Reader:
    """How items are read. `issuer` marks residue; `tools` comes from the request that went out; `sealed`: tokens are
    looked into, because a client returns what ccx gave it."""

    issuer: str | None = None
    tools: Mapping[str, ToolName] = field(default_factory=dict)
    sealed: bool = False

    @classmethod
    def of_answer(cls, context: Context) -> Reader:
        """A reader of the answer to the request that `context` tells of."""
        return cls(context.issuer, context.tools)

    def parts(self, item: JsonObject) -> list[Part | Sealed]:
        """The parts of an item of the assistant, or of a result. A message may have several, or none."""
        kind = text(item.get("type"))
        match kind:
            case "message" | "":
                return [*self.message(item)]
            case "reasoning":
                return [*self.reasoning(item)]
            case "function_call" | "custom_tool_call" if text(item.get("name")):
                return [self.call(item)]
            case "function_call_output" | "custom_tool_call_output":
                return [self._result(item)]
            case "tool_search_call" if is_client_search(item):
                return [self._search(item)]
            case "tool_search_output" if is_client_search(item):
                return [self._found(item)]
            case "image_generation_call" if text(item.get("result")):
                return [self._image(item)]
            case "web_search_call" | "file_search_call" | "code_interpreter_call" | "mcp_call":
                return [self._server_call(item, kind)]
            case _:
                return [Opaque(kind or "unknown", Native(Protocol.RESPONSES, self.issuer, item))]

    # --- messages and thoughts ----------------------------------------------------------------------------------------

    def opening(self, item: JsonObject) -> tuple[Native, ...]:
        """The residue of a part that is known when its item begins."""
        found: list[Native] = []
        if ident := text(item.get("id")):
            found += made({"id": ident}, self.issuer)
        if phase := text(item.get("phase")):
            found += made({"phase": phase}, self.issuer)
        return tuple(found)

    def closing(self, item: JsonObject) -> tuple[Native, ...]:
        """The residue of a message's last part that belongs to the message."""
        extra: JsonObject = {}
        if (status := item.get("status")) not in (None, "completed"):
            extra["status"] = status
        if inside := rest(item, ("type", "id", "role", "content", "status", "phase")):
            extra["item"] = inside
        return made(extra, self.issuer)

    def message(self, item: JsonObject) -> list[Content]:
        """The parts of a message of the assistant."""
        found = read_content(item.get("content"), self.issuer)
        if not found or len(item) <= 2:
            return found
        opening, closing = self.opening(item), self.closing(item)
        if not opening and not closing:
            return found
        last = len(found) - 1
        return [
            part
            if isinstance(part, Opaque)
            else replace(part, native=(*opening, *part.native, *(closing if at == last else ())))
            for at, part in enumerate(found)
        ]

    def reasoning(self, item: JsonObject) -> list[Part | Sealed]:
        """A thought: its summary, the thought itself, each if there is one, or an empty one."""
        summary = "\n\n".join(text(one.get("text")) for one in records(item.get("summary")))
        said = "".join(text(one.get("text")) for one in records(item.get("content")))
        token = text(item.get("encrypted_content"))
        if self.sealed and is_sealed(token):
            opened = unsealed(token)
            if opened is not None and (opened.place != "self" or opened.whole is not None) and not (summary or said):
                return [opened]
            natives = () if opened is None else opened.natives
            return (
                [Reasoning(said or summary, not said and bool(summary), natives)] if natives or said + summary else []
            )
        opening, closing = self.opening(item), self.thought(item)
        if said and summary:
            return [Reasoning(summary, True, opening), Reasoning(said, False, (*opening, *closing))]
        return [Reasoning(said or summary, bool(summary), (*opening, *closing))]

    def thought(self, item: JsonObject) -> tuple[Native, ...]:
        """The residue of a thought that is known when it is whole. Encrypted content is good only with its id."""
        extra = rest(item, ("type", "id", "summary", "content", "status"))
        if (status := item.get("status")) not in (None, "completed"):
            extra["status"] = status
        if "encrypted_content" in extra and (ident := text(item.get("id"))):
            extra["id"] = ident
        return made(extra, self.issuer)

    # --- calls and results --------------------------------------------------------------------------------------------

    def call(self, item: JsonObject) -> ToolCall:
        """A call of a client's tool, under the client's name for it."""
        custom = item.get("type") == "custom_tool_call"
        given = item.get("input" if custom else "arguments")
        arguments = given if isinstance(given, str) else "" if given is None else _dumps(given).decode()
        name, namespace = text(item.get("name")), text(item.get("namespace")) or None
        known = self.tools.get(name) if namespace is None else None
        kind: str = "custom" if custom else "function"
        if known is not None:
            name, namespace = known.name, known.namespace
            if known.kind == "custom" and not custom:
                kind, arguments = "custom", unwrapped(arguments)
        return ToolCall(
            text(item.get("call_id")) or text(item.get("id")),
            name,
            arguments,
            "custom" if kind == "custom" else "function",
            namespace,
            native=(*self.opening(item), *self.called(item)),
        )

    def called(self, item: JsonObject) -> tuple[Native, ...]:
        """The residue of a call that is known when it is whole."""
        extra = rest(item, ("type", "id", "call_id", "name", "namespace", "arguments", "input", "status", "phase"))
        if (status := item.get("status")) not in (None, "completed"):
            extra["status"] = status
        return made(extra, self.issuer)

    def _result(self, item: JsonObject) -> ToolResult:
        extra = rest(item, ("type", "call_id", "output", "status"))
        if (status := item.get("status")) not in (None, "completed"):
            extra["status"] = status
        return ToolResult(
            text(item.get("call_id")),
            self._shown(item.get("output")),
            kind="custom" if item.get("type") == "custom_tool_call_output" else "function",
            native=made(extra, self.issuer),
        )

    def _shown(self, output: Json) -> tuple[Text | Media | Opaque, ...]:
        if isinstance(output, str):
            return (Text(output),) if output else ()
        if not isinstance(output, list):
            return () if output is None else (Text(_dumps(output).decode()),)
        # Refusals are not a tool's to make.
        return tuple(
            Text(part.text, native=part.native) if isinstance(part, Refusal) else part
            for part in read_content(output, self.issuer)
        )

    def _search(self, item: JsonObject) -> ToolCall:
        """A search among the client's tools, which the client runs: to every other model a function."""
        given = item.get("arguments")
        arguments = given if isinstance(given, str) else _dumps({} if given is None else given).decode()
        extra = rest(item, ("call_id", "arguments", "execution", "status"))
        return ToolCall(text(item.get("call_id")), TOOL_SEARCH, arguments, native=made(extra, self.issuer))

    def _found(self, item: JsonObject) -> ToolResult:
        """The tools that were found; they are tools of the request from here on."""
        listed = _dumps(item.get("tools") or []).decode()
        return ToolResult(
            text(item.get("call_id")),
            (Text(listed),),
            name=TOOL_SEARCH,
            native=made({"type": "tool_search_output", TOOL_SEARCH + "_output": item}, self.issuer),
        )

    def _image(self, item: JsonObject) -> Media:
        media_type = _IMAGE_TYPES.get(text(item.get("output_format")), "image/png")
        extra = rest(item, ("result",))
        return Media("image", Inline(text(item.get("result")), media_type), native=made(extra, self.issuer))

    def _server_call(self, item: JsonObject, kind: str) -> ToolCall:
        """A call of the provider's own tool. The item stays whole, since it holds the result as well."""
        match kind:
            case "web_search_call":
                given: Json = record(item.get("action"))
            case "file_search_call":
                given = {"queries": item.get("queries")}
            case "code_interpreter_call":
                given = {"code": item.get("code")}
            case _:
                given = item.get("arguments")
        arguments = given if isinstance(given, str) else _dumps(given).decode()
        name = text(item.get("name")) or SERVER_CALLS[kind]
        return ToolCall(
            text(item.get("id")),
            name,
            arguments,
            server=True,
            native=(Native(Protocol.RESPONSES, self.issuer, item),),
        )


def is_client_search(item: JsonObject) -> bool:
    """Whether a search for tools is one that the client runs."""
    return item.get("execution") == "client" and bool(text(item.get("call_id")))


def is_spoken(item: JsonObject) -> bool:
    """Whether an item is the assistant's own, so that it belongs to a turn of it."""
    kind = text(item.get("type"))
    if kind in ("message", ""):
        return item.get("role") == "assistant"
    return kind in ("reasoning", "compaction", "mcp_list_tools", "mcp_approval_request", "program") or (
        kind.endswith("_call") or kind in _CALLS
    )


def is_given(item: JsonObject) -> bool:
    """Whether an item is the result of a call of the client's tool."""
    kind = text(item.get("type"))
    return kind in _OUTPUTS or (kind == "tool_search_output" and is_client_search(item))


def unwrapped(arguments: str) -> str:
    """What a function that stands in for a custom tool was given; the arguments themselves where the model did not
    keep to the form."""
    try:
        found: object = _loads(arguments)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return arguments
    given = found.get("input") if isinstance(found, dict) else None
    return given if isinstance(given, str) else arguments
