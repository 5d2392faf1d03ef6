"""Tools, their names, choices among them, and calls.

Names must match `[a-zA-Z0-9_-]{1,64}`, so a namespace is folded into the name, other characters are replaced, and what
is too long is cut and made unique by a digest. The same name always becomes the same name, so that calls of earlier
turns match. The context of the answer maps the names back.

Source: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import msgspec

from ccx.protocols.cache_control import parted
from ccx.protocols.cache_control import written as breakpoint_field
from ccx.protocols.chat.reading import Origin, Reader, merged
from ccx.protocols.custom_tools import INPUT, stand_in
from ccx.protocols.dialects import Dialect
from ccx.protocols.ir import Json, JsonObject, Loss, Native, ServerTool, Tool, ToolCall, ToolChoice
from ccx.protocols.names import Protocol
from ccx.protocols.tool_names import GivenNames
from ccx.protocols.values import boolean, record, records, rest, text

_NINE = re.compile(r"[a-zA-Z0-9]{9}")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


# --- reading ----------------------------------------------------------------------------------------------------------


def read_tools(body: JsonObject) -> tuple[Tool | ServerTool, ...]:
    """The tools of a request, those of the older `functions` among them."""
    origin = Origin(None)
    found: list[Tool | ServerTool] = [_read_tool(item, origin) for item in records(body.get("tools"))]
    found += [_read_function(item, {}, origin) for item in records(body.get("functions"))]
    if isinstance(options := body.get("web_search_options"), dict):
        found.append(ServerTool("web_search", Native(Protocol.CHAT, None, {"web_search_options": options})))
    return tuple(found)


def _read_tool(item: JsonObject, origin: Origin) -> Tool | ServerTool:
    kind = text(item.get("type"))
    if kind in ("function", "") and isinstance(function := item.get("function"), dict):
        return _read_function(function, rest(item, ("type", "function")), origin)
    if kind == "custom" and isinstance(custom := item.get("custom"), dict):
        shape = record(custom.get("format"))
        written = record(shape.get("grammar")) or shape
        grammar = None
        if shape.get("type") == "grammar":
            grammar = (text(written.get("syntax")), text(written.get("definition")))
        extra = rest(item, ("type", "custom"))
        if inside := rest(custom, ("name", "description", "format")):
            extra["custom"] = inside
        return Tool(
            text(custom.get("name")),
            description=_words(custom.get("description")),
            kind="custom",
            grammar=grammar,
            native=origin.native(extra),
        )
    # Kimi's own tools are named as functions that begin with a dollar sign, OpenRouter's by a prefix.
    name = text(record(item.get("function")).get("name")).lstrip("$") or kind.rpartition(":")[2] or "unknown"
    return ServerTool(name, Native(Protocol.CHAT, None, item))


def _read_function(function: JsonObject, extra: JsonObject, origin: Origin) -> Tool:
    extra, cache = parted(extra)
    if inside := rest(function, ("name", "description", "parameters", "strict")):
        extra["function"] = inside
    schema = function.get("parameters")
    return Tool(
        text(function.get("name")),
        description=_words(function.get("description")),
        schema=schema if isinstance(schema, dict) else None,
        strict=boolean(function.get("strict")),
        native=origin.native(extra),
        cache=cache,
    )


def read_choice(body: JsonObject) -> ToolChoice | None:
    """The choice; None where there is none, or one that the neutral form cannot say."""
    match body.get("tool_choice"):
        case "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required" | "any":
            return ToolChoice("required")
        case {"type": "function", "function": {"name": str(name)}} | {"type": "custom", "custom": {"name": str(name)}}:
            return ToolChoice("named", (name,))
        case {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": list(allowed)}}:
            return ToolChoice("named", tuple(filter(None, map(_allowed, allowed))))
    match body.get("function_call"):
        case "auto" | "none" as mode:
            return ToolChoice("auto" if mode == "auto" else "none")
        case {"name": str(name)}:
            return ToolChoice("named", (name,))
    return None


def _allowed(item: Json) -> str:
    found = record(item)
    return text(record(found.get("function") or found.get("custom")).get("name"))


def read_call(item: JsonObject, origin: Origin) -> ToolCall:
    """A call in a whole message."""
    kind = text(item.get("type"))
    custom, function = record(item.get("custom")), record(item.get("function"))
    if kind == "custom" or (kind != "function" and custom.get("name")):
        extra = rest(item, ("id", "type", "custom", "function", "index"))
        if inside := rest(custom, ("name", "input")):
            extra["custom"] = inside
        return ToolCall(
            text(item.get("id")),
            text(custom.get("name")),
            text(custom.get("input")),
            kind="custom",
            native=origin.native(extra),
        )
    extra = rest(item, ("id", "type", "custom", "function", "index"))
    if inside := rest(function, ("name", "arguments")):
        extra["function"] = inside
    return ToolCall(
        text(item.get("id")),
        text(function.get("name")),
        arguments_text(function.get("arguments")),
        native=origin.native(extra),
    )


def arguments_text(value: Json) -> str:
    """Arguments as JSON text; some vendors send the object itself."""
    if isinstance(value, str):
        return value
    return "" if value is None else _encode(value).decode()


def unwrapped(arguments: str) -> str:
    """What a function that stands in for a custom tool was given; the arguments themselves where the model did not
    keep to the form."""
    try:
        found: object = _decode(arguments)
    except msgspec.DecodeError:
        return arguments
    given = found.get(INPUT) if isinstance(found, dict) else None
    return given if isinstance(given, str) else arguments


# --- writing ----------------------------------------------------------------------------------------------------------


def call_id(ident: str, dialect: Dialect) -> str:
    """The id of a call in the form that the vendor takes; the same for a call and its result."""
    match dialect.tool_id:
        case "nine" if not _NINE.fullmatch(ident):
            return hashlib.sha256(ident.encode()).hexdigest()[:9]
        case "forty" if len(ident) > 40:
            return f"call_{hashlib.sha256(ident.encode()).hexdigest()[:32]}"
        case _:
            return ident


def write_tool(
    tool: Tool, *, path: str, names: GivenNames, dialect: Dialect, reader: Reader, losses: list[Loss]
) -> JsonObject:
    name = names.of(tool.name, tool.namespace, tool.kind)
    losses += reader.foreign(tool.native, path)
    extra = reader.own(tool.native)
    written: JsonObject = {"name": name}
    if tool.kind == "custom" and dialect.custom_tools:
        if tool.description is not None:
            written["description"] = tool.description
        if tool.grammar is not None:
            syntax, definition = tool.grammar
            written["format"] = {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}
        return merged({"type": "custom", "custom": written}, extra)
    description, schema, strict = tool.description, tool.schema, tool.strict
    if tool.kind == "custom":
        description, schema = stand_in(tool, path, losses)
    if description is not None:
        written["description"] = description
    if schema is not None:
        written["parameters"] = schema
    if strict is not None and dialect.strict:
        written["strict"] = strict
    elif strict:
        losses.append(Loss(path, "strict"))
    marked = (
        breakpoint_field(tool.cache, ttl="ttl" in dialect.cache_control) if "tools" in dialect.cache_control else {}
    )
    return merged({"type": "function", "function": written, **marked}, extra)


def write_call(call: ToolCall, *, names: GivenNames, dialect: Dialect, extra: JsonObject) -> JsonObject:
    """A call of an earlier turn."""
    name = names.of(call.name, call.namespace, call.kind)
    ident = call_id(call.id, dialect)
    if call.kind == "custom" and dialect.custom_tools:
        return merged({"id": ident, "type": "custom", "custom": {"name": name, "input": call.arguments}}, extra)
    arguments = call.arguments
    if call.kind == "custom":
        arguments = _encode({INPUT: arguments}).decode()
    # Templates of inference engines parse the arguments of earlier calls, and an empty string is no JSON.
    function: JsonObject = {"name": name, "arguments": arguments or "{}"}
    return merged({"id": ident, "type": "function", "function": function}, extra)


def write_choice(
    choice: ToolChoice, tools: list[JsonObject], *, names: GivenNames, dialect: Dialect, losses: list[Loss]
) -> tuple[Json, list[JsonObject]]:
    """The choice, None where it need not or cannot be said, and the tools: where a choice among them cannot be said,
    only the chosen ones are offered."""
    if not tools:
        if choice.mode in ("required", "named"):
            losses.append(Loss("tool_choice", "tool_choice", detail="no tool is left to choose"))
        return None, tools
    match choice.mode:
        case "auto":
            return ("auto" if "auto" in dialect.tool_choices else None), tools
        case "none":
            if "none" in dialect.tool_choices:
                return "none", tools
            losses.append(Loss("tools", "tool_choice", approximate=True, detail="they were not offered"))
            return None, []
        case "required":
            return _required(dialect, losses), tools
        case "named":
            pass
    wanted = [found for name in choice.names if (found := names.find(name)) is not None]
    chosen = [tool for tool in tools if _name(tool) in wanted]
    if not chosen:
        losses.append(Loss("tool_choice", "tool_choice", detail="no such tool"))
        return None, tools
    if len(chosen) == 1 and "named" in dialect.tool_choices:
        return _named(chosen[0]), tools
    if len(chosen) > 1 and dialect.allowed_tools:
        listed: list[Json] = [_named(tool) for tool in chosen]
        return {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": listed}}, tools
    if len(wanted) != len(choice.names):
        losses.append(Loss("tool_choice", "tool_choice", approximate=True, detail="it names a tool not offered"))
    return _required(dialect, losses), chosen


def withheld(tools: tuple[Tool | ServerTool, ...], offered: list[JsonObject], *, names: GivenNames) -> Iterator[Loss]:
    """A loss for each tool that is not offered because it may not be chosen."""
    left = {_name(tool) for tool in offered}
    for at, tool in enumerate(tools):
        if isinstance(tool, Tool) and names.of(tool.name, tool.namespace, tool.kind) not in left:
            yield Loss(f"tools[{at}]", "tool_choice_subset", approximate=True, detail="it is not to be chosen")


def _required(dialect: Dialect, losses: list[Loss]) -> Json:
    if "required" in dialect.tool_choices:
        return "required"
    losses.append(Loss("tool_choice", "tool_choice", detail="a call cannot be demanded"))
    return "auto" if "auto" in dialect.tool_choices else None


def _named(tool: JsonObject) -> JsonObject:
    kind = text(tool.get("type"))
    return {"type": kind, kind: {"name": _name(tool)}}


def _name(tool: JsonObject) -> str:
    return text(record(tool.get(text(tool.get("type")))).get("name"))


def _words(value: Json) -> str | None:
    return value if isinstance(value, str) else None
