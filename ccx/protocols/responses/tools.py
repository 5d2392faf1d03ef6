"""Tools, their names, and the choice among them.

Namespaces hold functions and custom tools; the neutral form has them flat, and what is said of the namespace itself is
residue of its first tool. Tools may also stand in items of the conversation (`additional_tools`, and the tools that a
search found): they are tools of the request like any other, and remember where they were declared.

OpenAI and those who follow it closely take namespaces and custom tools. For others a namespace is folded into the name
and a custom tool becomes a function with one text argument. Names must match `[a-zA-Z0-9_-]{1,64}`; what does not is
replaced by a name that is always the same, and mapped back by the context of the answer.

Sources: https://platform.openai.com/docs/api-reference/responses/create#responses-create-tools,
https://platform.openai.com/docs/guides/function-calling#strict-mode (functions are strict unless they say no)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ccx.protocols.custom_tools import stand_in
from ccx.protocols.ir import Json, JsonObject, Loss, Native, ServerTool, Tool, ToolChoice
from ccx.protocols.names import Protocol
from ccx.protocols.responses.items import TOOL_SEARCH
from ccx.protocols.responses.reading import Audience, made
from ccx.protocols.tool_names import OPENAI_NAME, GivenNames
from ccx.protocols.values import boolean, record, records, rest, text

PLACES: Final = ("additional_tools", "tool_search_output")
"""Items that declare tools; residue of such a tool says under this name which item of the input it was."""

_NO_ARGUMENTS: Final[JsonObject] = {"type": "object", "properties": {}}
_HOSTED: Final = {
    "web_search_preview": "web_search",
    "code_interpreter": "code_execution",
    "computer_use_preview": "computer_use",
}


# --- reading ----------------------------------------------------------------------------------------------------------


def read_tools(raw: Json, beside: JsonObject | None = None) -> Iterator[Tool | ServerTool]:
    """The tools of a list. `beside` is put to the residue of each: where they were declared."""
    mark = beside or {}
    for item in records(raw):
        if item.get("type") != "namespace":
            yield _read_tool(item, None, mark)
            continue
        space = text(item.get("name"))
        said = rest(item, ("type", "name", "tools"))
        for tool in records(item.get("tools")):
            yield _read_tool(tool, space, {**mark, **({"namespace": said} if said else {})})
            said = {}


def _read_tool(item: JsonObject, space: str | None, mark: JsonObject) -> Tool | ServerTool:
    kind = text(item.get("type"))
    name = text(item.get("name"))
    description = item.get("description")
    words = description if isinstance(description, str) else None
    schema = item.get("parameters")
    given = schema if isinstance(schema, dict) else None
    if kind == "function" and name:
        extra = rest(item, ("type", "name", "description", "parameters", "strict"))
        return Tool(
            name, words, given, boolean(item.get("strict")), namespace=space, native=made({**mark, **extra}, None)
        )
    if kind == "custom" and name:
        extra = rest(item, ("type", "name", "description", "format"))
        shape = record(item.get("format"))
        grammar = None
        if shape.get("type") == "grammar":
            grammar = (text(shape.get("syntax")), text(shape.get("definition")))
        elif shape and shape != {"type": "text"}:
            extra["format"] = shape
        return Tool(name, words, kind="custom", grammar=grammar, namespace=space, native=made({**mark, **extra}, None))
    if kind == TOOL_SEARCH and item.get("execution") == "client":
        # A search that the client runs is to every other model a function.
        extra = rest(item, ("description", "parameters", "execution"))
        return Tool(TOOL_SEARCH, words, given, namespace=space, native=made({**mark, **extra}, None))
    inside = {"in_namespace": space} if space is not None else {}
    return ServerTool(
        _HOSTED.get(kind, kind) or "unknown", Native(Protocol.RESPONSES, None, {**mark, **inside, **item})
    )


def read_choice(raw: Json, tools: tuple[Tool | ServerTool, ...]) -> ToolChoice | None:
    """The choice; None where there is none, or one that the neutral form cannot say."""
    match raw:
        case "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required":
            return ToolChoice("required")
        case {"type": "allowed_tools", "mode": "required", "tools": list(allowed)}:
            names = [_chosen(record(one), tools) for one in allowed]
            return None if None in names else ToolChoice("named", tuple(name for name in names if name))
        case dict():
            name = _chosen(raw, tools)
            return None if name is None else ToolChoice("named", (name,))
        case _:
            return None


def _chosen(item: JsonObject, tools: tuple[Tool | ServerTool, ...]) -> str | None:
    kind = item.get("type")
    if kind in ("function", "custom"):
        return text(item.get("name")) or None
    if len(item) != 1:
        return None
    return next(
        (tool.name for tool in tools if isinstance(tool, ServerTool) and tool.native.data.get("type") == kind), None
    )


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Toolbox:
    """The tools of a request as they are written: those at its top, and those that stand in items of the input."""

    top: list[JsonObject] = field(default_factory=list)
    placed: dict[int, JsonObject] = field(default_factory=dict)


def write_tools(
    tools: tuple[Tool | ServerTool, ...], *, names: GivenNames, audience: Audience, native: bool, losses: list[Loss]
) -> Toolbox:
    """The tools. `native`: the client speaks this protocol, so what it left out stays left out."""
    box = Toolbox()
    # Names that need no change come first, so that none of them is changed because another one collides.
    for tool in tools:
        if isinstance(tool, Tool) and tool.namespace is None and OPENAI_NAME.fullmatch(tool.name):
            names.of(tool.name, None, tool.kind)
    declared: set[tuple[str | None, str]] = set()
    for at, tool in enumerate(tools):
        path = f"tools[{at}]"
        if isinstance(tool, Tool) and not native:
            if (tool.namespace, tool.name) in declared:
                losses.append(Loss(path, "name", detail="declared twice"))
                continue
            declared.add((tool.namespace, tool.name))
        if isinstance(tool, ServerTool):
            if not audience.understands(tool.native):
                losses.append(Loss(path, "server_tool", detail=tool.name))
                continue
            own = dict(tool.native.data)
            space = text(own.pop("in_namespace", None)) or None
            written = {key: value for key, value in own.items() if key not in (*PLACES, "namespace")}
        else:
            losses.extend(audience.refused(tool.native, path))
            own = audience.own(tool.native)
            space = tool.namespace if names.namespaces else None
            written = _write_tool(tool, own, names=names, path=path, native=native, losses=losses)
        listed = _place(box, own) if names.namespaces else box.top
        if listed is None:
            continue
        if space is None:
            if "namespace" in own:
                losses.append(Loss(f"{path}.native", "unknown_field:namespace", detail="what it says of the namespace"))
            listed.append(written)
            continue
        last = record(listed[-1]) if listed else {}
        if last.get("type") != "namespace" or last.get("name") != space or "namespace" in own:
            last = {"type": "namespace", "name": space, **record(own.get("namespace")), "tools": []}
            listed.append(last)
        inner = last["tools"]
        if isinstance(inner, list):
            inner.append(written)
    return box


def _place(box: Toolbox, own: JsonObject) -> list[Json] | list[JsonObject] | None:
    """The list that a tool belongs to; None where the item that declares it is written by itself."""
    if "tool_search_output" in own:
        return None
    mark = own.get("additional_tools")
    if not isinstance(mark, dict):
        return box.top
    at = mark.get("at")
    item = box.placed.setdefault(
        at if isinstance(at, int) else 0,
        {"type": "additional_tools", "role": "developer", **record(mark.get("item")), "tools": []},
    )
    listed = item["tools"]
    return listed if isinstance(listed, list) else None


def _write_tool(
    tool: Tool, own: JsonObject, *, names: GivenNames, path: str, native: bool, losses: list[Loss]
) -> JsonObject:
    extra = {key: value for key, value in own.items() if key not in (*PLACES, "namespace")}
    if tool.name == TOOL_SEARCH and extra.get("type") == TOOL_SEARCH and names.namespaces:
        return {
            **extra,
            "execution": "client",
            **({} if tool.description is None else {"description": tool.description}),
            **({} if tool.schema is None else {"parameters": tool.schema}),
        }
    if extra.get("type") == TOOL_SEARCH:
        extra = {}
    written: JsonObject = {"type": "function", "name": names.of(tool.name, tool.namespace, tool.kind)}
    if tool.kind == "custom" and names.namespaces:
        written["type"] = "custom"
        if tool.description is not None:
            written["description"] = tool.description
        if tool.grammar is not None:
            syntax, definition = tool.grammar
            written["format"] = {"type": "grammar", "syntax": syntax, "definition": definition}
        return {**written, **extra}
    description, schema, strict = tool.description, tool.schema, tool.strict
    if tool.kind == "custom":
        description, schema = stand_in(tool, path, losses)
        strict = False
    if description is not None:
        written["description"] = description
    written["parameters"] = _NO_ARGUMENTS if schema is None else schema
    if strict is not None:
        written["strict"] = strict
    elif not native:
        # Elsewhere a function that does not say so is not strict; here it would be.
        written["strict"] = False
    return {**written, **extra}


def write_choice(
    choice: ToolChoice,
    tools: tuple[Tool | ServerTool, ...],
    *,
    names: GivenNames,
    audience: Audience,
    losses: list[Loss],
) -> Json:
    """The choice; None where there is nothing to choose from."""
    if not tools:
        if choice.mode in ("required", "named"):
            losses.append(Loss("tool_choice", "tool_choice", detail="there is no tool to choose"))
        return None
    if choice.mode != "named":
        return choice.mode
    found = [one for name in choice.names if (one := _written(name, tools, names, audience)) is not None]
    if not found:
        losses.append(Loss("tool_choice", "tool_choice", detail="it names no tool that is offered"))
        return None
    if len(found) != len(choice.names):
        losses.append(Loss("tool_choice", "tool_choice_subset", approximate=True, detail="some are not offered"))
    if len(found) == 1:
        return found[0]
    return {"type": "allowed_tools", "mode": "required", "tools": list[Json](found)}


def _written(
    name: str, tools: tuple[Tool | ServerTool, ...], names: GivenNames, audience: Audience
) -> JsonObject | None:
    for tool in tools:
        if isinstance(tool, ServerTool):
            if tool.name == name and audience.understands(tool.native):
                return {"type": tool.native.data.get("type")}
        elif name == tool.name or (tool.namespace is not None and name == f"{tool.namespace}__{tool.name}"):
            kind = "custom" if tool.kind == "custom" and names.namespaces else "function"
            return {"type": kind, "name": names.of(tool.name, tool.namespace, tool.kind)}
    return None
