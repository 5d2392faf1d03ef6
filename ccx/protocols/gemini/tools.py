"""Tools and the choice among them.

Law: a client's tool becomes a function that Gemini allows (a name by `naming`, a schema by `schemas`), whatever it was;
a tool that the provider runs goes only to the provider whose client declared it. A custom tool, which takes free text,
becomes a function with one text argument, and its grammar advice.

Source: https://ai.google.dev/api/caching#Tool, https://ai.google.dev/api/caching#FunctionCallingConfig
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ccx.protocols.custom_tools import described
from ccx.protocols.gemini.natives import accepted, made, refused
from ccx.protocols.gemini.schemas import cleaned_parameters, json_schema
from ccx.protocols.gemini.spelling import CALLING_MODES, Malformed, several, word
from ccx.protocols.ir import Json, JsonObject, Loss, Native, Request, ServerTool, Tool, ToolChoice
from ccx.protocols.names import Protocol
from ccx.protocols.tool_names import ToolNames

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
# One name for what different providers, or different times, call differently.
_SERVER: Final = {
    "google_search": "web_search",
    "google_search_retrieval": "web_search",
    "enterprise_web_search": "web_search",
    "mcp_servers": "mcp",
}


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_tools(raw: Json) -> tuple[Tool | ServerTool, ...]:
    """The tools of a request, in their order. Raises Malformed."""
    tools = several(raw)
    if tools is None:
        raise Malformed("tools", "Invalid value: a list was expected")
    return tuple(found for at, tool in enumerate(tools) for found in _tool(tool, f"tools[{at}]"))


def _tool(raw: Json, path: str) -> Iterator[Tool | ServerTool]:
    if not isinstance(raw, dict):
        raise Malformed(path, "Invalid value: an object was expected")
    for key, value in raw.items():
        if key != "functionDeclarations":
            name = _HUMP.sub("_", key).lower()
            yield ServerTool(_SERVER.get(name, name), Native(Protocol.GEMINI, None, {key: value}))
            continue
        declared = several(value)
        if declared is None:
            raise Malformed(f"{path}.functionDeclarations", "Invalid value: a list was expected")
        for at, one in enumerate(declared):
            yield _function(one, f"{path}.functionDeclarations[{at}]")


def _function(raw: Json, path: str) -> Tool:
    if not isinstance(raw, dict) or not isinstance(name := raw.get("name"), str) or not name:
        raise Malformed(f"{path}.name", "A name is required")
    schema = next(
        (one for key in ("parametersJsonSchema", "parameters") if isinstance(one := raw.get(key), dict)), None
    )
    description = raw.get("description")
    known = {"name", "parameters", "parametersJsonSchema"} | (
        {"description"} if isinstance(description, str) else set()
    )
    return Tool(
        name,
        description if isinstance(description, str) else None,
        None if schema is None else json_schema(schema),
        native=made({key: value for key, value in raw.items() if key not in known and value is not None}, None),
    )


def decode_choice(raw: Json) -> tuple[ToolChoice | None, JsonObject]:
    """The choice of tools out of `toolConfig`, and what of that has no neutral meaning. Raises Malformed."""
    if raw is None:
        return None, {}
    if not isinstance(raw, dict):
        raise Malformed("tool_config", "Invalid value: an object was expected")
    config = raw.get("functionCallingConfig")
    rest: JsonObject = {key: value for key, value in raw.items() if key != "functionCallingConfig"}
    if not isinstance(config, dict):
        return None, rest
    names = config.get("allowedFunctionNames")
    allowed = tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
    exact = not config.keys() - {"mode", "allowedFunctionNames"}
    match word(config.get("mode"), CALLING_MODES):
        case "ANY":
            choice = ToolChoice("named", allowed) if allowed else ToolChoice("required")
        case "NONE":
            choice = ToolChoice("none")
        case "AUTO":
            choice, exact = ToolChoice("auto"), exact and not allowed
        case None | "MODE_UNSPECIFIED":
            return None, {**rest, "functionCallingConfig": config} if config else rest
        case _:
            # VALIDATED holds calls to their schemas and leaves the choice to the model.
            choice, exact = ToolChoice("auto"), False
    return choice, rest if exact else {**rest, "functionCallingConfig": config}


# --- writing ----------------------------------------------------------------------------------------------------------


def encode_tools(request: Request, names: ToolNames, *, issuer: str, losses: list[Loss]) -> list[JsonObject]:
    """The tools that an upstream of this issuer is offered: all functions in one, each server tool for itself."""
    functions: list[Json] = []
    found: list[JsonObject] = []
    declared: set[tuple[str | None, str]] = set()
    for at, tool in enumerate(request.tools):
        path = f"tools[{at}]"
        if isinstance(tool, Tool):
            if (tool.namespace, tool.name) in declared:
                losses.append(Loss(path, "tool", detail="declared twice"))
                continue
            declared.add((tool.namespace, tool.name))
            if not functions:
                found.append({"functionDeclarations": functions})
            functions.append(_declaration(tool, names, path, issuer=issuer, losses=losses))
        elif fields := accepted((tool.native,), issuer):
            found.append(fields)
        else:
            losses.append(Loss(path, "server_tool", detail=tool.name))
    return found


def _declaration(tool: Tool, names: ToolNames, path: str, *, issuer: str, losses: list[Loss]) -> JsonObject:
    found: JsonObject = {"name": names.upstream(tool.namespace, tool.name)}
    if tool.kind == "custom":
        found["description"] = described(tool)
        found["parametersJsonSchema"] = {
            "type": "object",
            "properties": {"input": {"type": "string"}},
            "required": ["input"],
        }
        if tool.grammar is not None:
            losses.append(Loss(path, "custom_tool_grammar", approximate=True, detail="told in the description"))
    else:
        if tool.description is not None:
            found["description"] = tool.description
        if tool.schema is not None:
            found["parametersJsonSchema"], told = cleaned_parameters(tool.schema)
            losses.extend(Loss(f"{path}.schema", f"schema:{keyword}", approximate=True) for keyword in told)
    if tool.strict:
        losses.append(Loss(path, "strict"))
    found.update(accepted(tool.native, issuer))
    losses.extend(refused(tool.native, issuer, f"{path}.native"))
    return found


def encode_choice(
    request: Request, names: ToolNames, tools: list[JsonObject], *, native: Json, losses: list[Loss]
) -> JsonObject | None:
    """`toolConfig`, if there is anything to say. `native`: what the client wrote in it for Gemini."""
    found: JsonObject = dict(native) if isinstance(native, dict) else {}
    if request.parallel_tool_calls is False:
        losses.append(Loss("parallel_tool_calls", "parallel_tool_calls"))
    choice = request.tool_choice
    if choice is not None and "functionCallingConfig" not in found:
        offered = {
            one.get("name")
            for tool in tools
            if isinstance(declared := tool.get("functionDeclarations"), list)
            for one in declared
            if isinstance(one, dict)
        }
        if (config := _calling(choice, names, offered, losses)) is not None:
            found["functionCallingConfig"] = config
    return found or None


def _calling(choice: ToolChoice, names: ToolNames, offered: set[Json], losses: list[Loss]) -> JsonObject | None:
    if choice.mode in ("required", "named") and not offered:
        losses.append(Loss("tool_choice", "tool_choice", detail="no tool is left to choose"))
        return None
    match choice.mode:
        case "auto":
            return {"mode": "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "named":
            wanted = [names.find(name) or name for name in choice.names]
            known: list[Json] = [name for name in wanted if name in offered]
            if len(known) != len(wanted):
                losses.append(
                    Loss("tool_choice", "tool_choice", approximate=bool(known), detail="it names a tool not offered")
                )
            return {"mode": "ANY", "allowedFunctionNames": known} if known else None
