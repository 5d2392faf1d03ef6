"""Custom tools, which take free text, where there are only functions: one text argument stands in for it.

Law: the argument is `input`, its text is the whole of what the tool is given, and a grammar is told in words.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ccx.protocols.ir import JsonObject, Loss, Tool, ToolCall

INPUT: Final = "input"
"""The argument that stands in."""

_loads = msgspec.json.Decoder().decode


def described(tool: Tool) -> str:
    """What a function that stands in is described as, where its argument cannot be."""
    said = [tool.description] if tool.description else []
    if tool.grammar is not None:
        syntax, definition = tool.grammar
        said.append(f"The input must match this {syntax} grammar:\n{definition}")
    return "\n\n".join([*said, f"Put the whole input, as plain text, into `{INPUT}`."])


def stand_in(tool: Tool, path: str, losses: list[Loss]) -> tuple[str | None, JsonObject]:
    """The description and the schema of a function that stands in."""
    description = tool.description or ""
    if tool.grammar is not None:
        syntax, definition = tool.grammar
        losses.append(Loss(path, "custom_tool_grammar", approximate=True, detail="told in the description"))
        description += f"\n\nThe input must follow this {syntax or 'formal'} grammar:\n{definition}"
    argument: JsonObject = {"type": "string", "description": "The input of the tool, as plain text."}
    return description.strip() or None, {"type": "object", "properties": {INPUT: argument}, "required": [INPUT]}


def call_object(part: ToolCall) -> tuple[JsonObject, bool]:
    """The arguments of a call as an object, and whether they were one: it has to be."""
    if part.kind == "custom":
        return {INPUT: part.arguments}, True
    if not part.arguments.strip():
        return {}, True
    try:
        found = _loads(part.arguments)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found, True
    return {"arguments": part.arguments}, False
