"""Tools and the choice among them.

Law: a client's tool becomes one that Messages allows (a name by `naming`, a schema that is an object), whatever it was;
a tool that the provider runs goes only to the provider whose client declared it. A custom tool, which takes free text,
becomes a function with one text argument, and its grammar advice.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ccx.protocols.cache_control import parted, written
from ccx.protocols.custom_tools import described
from ccx.protocols.ir import Json, JsonObject, Loss, Native, Request, ServerTool, Tool, ToolChoice
from ccx.protocols.messages.models import Traits
from ccx.protocols.messages.natives import accepted, made, refused
from ccx.protocols.messages.parts import Malformed
from ccx.protocols.names import Protocol
from ccx.protocols.tool_names import ToolNames

_DATED = re.compile(r"(.+)_\d{8}")
_COMBINATORS: Final = ("anyOf", "oneOf", "allOf")


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_tools(raw: Json) -> tuple[Tool | ServerTool, ...]:
    """The tools of a request. Raises Malformed."""
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise Malformed("tools", "Input should be a valid array")
    return tuple(_tool(tool, f"tools.{at}") for at, tool in enumerate(raw))


def _tool(raw: Json, path: str) -> Tool | ServerTool:
    if not isinstance(raw, dict):
        raise Malformed(path, "Input should be a valid object")
    kind = raw.get("type")
    if isinstance(kind, str) and kind != "custom":
        dated = _DATED.fullmatch(kind)
        return ServerTool(dated[1] if dated else kind, Native(Protocol.MESSAGES, None, raw))
    name = raw.get("name")
    if not isinstance(name, str) or not name:
        raise Malformed(f"{path}.name", "Field required")
    schema, description, strict = raw.get("input_schema"), raw.get("description"), raw.get("strict")
    known = {"type", "name"}
    known |= {"input_schema"} if schema is None or isinstance(schema, dict) else set()
    known |= {"description"} if description is None or isinstance(description, str) else set()
    known |= {"strict"} if strict is None or isinstance(strict, bool) else set()
    rest, cache = parted({key: value for key, value in raw.items() if key not in known})
    return Tool(
        name,
        description if isinstance(description, str) else None,
        schema if isinstance(schema, dict) else None,
        strict if isinstance(strict, bool) else None,
        native=made(rest, None),
        cache=cache,
    )


def decode_choice(raw: Json) -> tuple[ToolChoice | None, bool | None]:
    """The choice of tools, and whether calls may be parallel. Raises Malformed."""
    if raw is None:
        return None, None
    if not isinstance(raw, dict):
        raise Malformed("tool_choice", "Input should be a valid object")
    disabled = raw.get("disable_parallel_tool_use")
    parallel = not disabled if isinstance(disabled, bool) else None
    match raw.get("type"):
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            name = raw.get("name")
            if not isinstance(name, str):
                raise Malformed("tool_choice.name", "Field required")
            return ToolChoice("named", (name,)), parallel
        case other:
            raise Malformed("tool_choice.type", f"{other!r} is none of 'auto', 'any', 'tool', 'none'")


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_tools(
    request: Request, names: ToolNames, *, issuer: str, traits: Traits, losses: list[Loss]
) -> list[JsonObject]:
    """The tools that an upstream of this issuer is offered."""
    found: list[JsonObject] = []
    declared: set[str] = set()
    for at, tool in enumerate(request.tools):
        path = f"tools[{at}]"
        if isinstance(tool, ServerTool):
            if fields := accepted((tool.native,), issuer):
                found.append(fields)
            else:
                losses.append(Loss(path, "server_tool", detail=tool.name))
            continue
        name = names.upstream(tool.namespace, tool.name)
        if name in declared:
            losses.append(Loss(path, "tool", detail="declared twice"))
            continue
        declared.add(name)
        found.append(_client_tool(tool, name, path, issuer=issuer, traits=traits, losses=losses))
    return found


def _client_tool(tool: Tool, name: str, path: str, *, issuer: str, traits: Traits, losses: list[Loss]) -> JsonObject:
    block: JsonObject = {"name": name}
    if tool.kind == "custom":
        block["description"] = described(tool)
        block["input_schema"] = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        if tool.grammar is not None:
            losses.append(Loss(path, "custom_tool_grammar", approximate=True, detail="told in the description"))
    else:
        if tool.description is not None:
            block["description"] = tool.description
        block["input_schema"] = _object_schema(tool.schema, path, losses)
    if tool.strict is not None:
        if traits.json_schema or not traits.known:
            block["strict"] = tool.strict
        elif tool.strict:
            losses.append(Loss(path, "strict"))
    block.update(written(tool.cache))
    block.update(accepted(tool.native, issuer))
    losses.extend(refused(tool.native, issuer, f"{path}.native"))
    return block


def _object_schema(schema: JsonObject | None, path: str, losses: list[Loss]) -> JsonObject:
    if schema is None:
        return {"type": "object", "properties": {}}
    if schema.get("type") == "object" and not any(key in schema for key in _COMBINATORS):
        return schema
    # The root of an input schema must say `type: object` and must not be a combination of others.
    cut = [key for key in _COMBINATORS if key in schema]
    if cut or schema.get("type") not in (None, "object"):
        losses.append(Loss(f"{path}.schema", "json_schema", approximate=True, detail="made an object at its root"))
    return {**{key: value for key, value in schema.items() if key not in cut}, "type": "object"}


def encode_choice(
    request: Request, names: ToolNames, tools: list[JsonObject], *, traits: Traits, losses: list[Loss]
) -> tuple[JsonObject | None, list[JsonObject]]:
    """The choice to send, if any, and the tools left to choose from."""
    choice, offered = request.tool_choice, tools
    if not tools:
        if choice is not None and choice.mode in ("required", "named"):
            losses.append(Loss("tool_choice", "tool_choice", detail="no tool is left to choose"))
        return None, tools
    found: JsonObject | None = None
    match choice:
        case None:
            pass
        case ToolChoice("auto"):
            found = {"type": "auto"}
        case ToolChoice("none"):
            return {"type": "none"}, tools
        case ToolChoice("required"):
            found = {"type": "any"}
        case ToolChoice("named", wanted):
            found, tools = _named(wanted, names, tools, losses)
    if found is not None and found["type"] in ("any", "tool") and not traits.forced_tools:
        losses.append(Loss("tool_choice", "tool_choice", approximate=True, detail="this model takes no forced tool"))
        if found["type"] == "tool":
            tools = [tool for tool in tools if tool.get("name") == found["name"]]
        found = {"type": "auto"}
    if len(tools) != len(offered):
        losses.extend(_withheld(request, names, tools))
    if request.parallel_tool_calls is not None:
        found = {**(found or {"type": "auto"}), "disable_parallel_tool_use": not request.parallel_tool_calls}
    return found, tools


def _named(
    wanted: tuple[str, ...], names: ToolNames, tools: list[JsonObject], losses: list[Loss]
) -> tuple[JsonObject | None, list[JsonObject]]:
    offered = {tool.get("name") for tool in tools}
    known = [name for name in (names.find(one) or one for one in wanted) if name in offered]
    match known:
        case []:
            losses.append(Loss("tool_choice", "tool_choice", detail="it names no tool that is offered"))
            return None, tools
        case [only] if len(wanted) == 1:
            return {"type": "tool", "name": only}, tools
        case _:
            if len(known) != len(wanted):
                losses.append(Loss("tool_choice", "tool_choice", approximate=True, detail="it names others too"))
            return {"type": "any"}, [tool for tool in tools if tool.get("name") in known]


def _withheld(request: Request, names: ToolNames, offered: list[JsonObject]) -> Iterator[Loss]:
    """A loss for each tool that is not offered because it may not be chosen."""
    left = {tool.get("name") for tool in offered}
    for at, tool in enumerate(request.tools):
        if isinstance(tool, Tool) and names.upstream(tool.namespace, tool.name) not in left:
            yield Loss(f"tools[{at}]", "tool_choice_subset", approximate=True, detail="it is not to be chosen")
