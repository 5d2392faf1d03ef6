"""What the Gemini API accepts of a request, checked apart from the codec's own idea of it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from ccx.protocols.residue import unseal

DATA = {
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
}
BESIDE = {"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"}
TOP = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent"}
TOP |= {"labels", "serviceTier", "store"}
SCHEMA = {"$ref", "$defs", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems"}
SCHEMA |= {"maxItems", "minimum", "maximum", "anyOf", "properties", "additionalProperties", "required", "default"}
SCHEMA |= {"propertyOrdering"}
LEVELS = {"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"}
ENVELOPE = re.compile(r"ccx1\.[A-Za-z0-9_-]*")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


def check(payload: dict[str, Any], *, levels: set[str] = frozenset(), signed: bool = False, known: bool = True) -> None:  # type: ignore[assignment]  # an empty default
    """Raises AssertionError for what the API would refuse. `levels`: those of the model; none: it takes budgets.
    `signed`: the model wants signatures of calls. `known`: no part is one that a newer client may have sent."""
    assert set(payload) <= TOP, set(payload) - TOP
    # Somebody's words may begin like an envelope; one that opens is ours.
    sealed = ENVELOPE.findall(msgspec.json.encode(payload).decode())
    assert not any(unseal(one) for one in sealed), "an envelope was sent to an upstream"
    contents = payload["contents"]
    for content in contents:
        assert content["role"] in ("user", "model")
        assert content["parts"], "a content without parts"
        for part in content["parts"]:
            _part(part, content["role"], known=known)
    for before, after in pairwise(contents):
        assert before["role"] != after["role"], "contents do not alternate"
        _answers(before, after)
    if contents:
        assert not _of(contents[0], "functionResponse"), "a result of no call"
        assert contents[0]["role"] == "user" or not _of(contents[0], "functionCall"), "a call at the start"
    if signed:
        _signed(contents)
    for part in payload.get("systemInstruction", {"parts": ["x"]})["parts"]:
        assert part
    names = _tools(payload.get("tools", []))
    calling = payload.get("toolConfig", {}).get("functionCallingConfig", {})
    assert set(calling.get("allowedFunctionNames", [])) <= names
    assert calling.get("mode") in (None, "AUTO", "ANY", "NONE", "VALIDATED")
    assert calling.get("mode") != "ANY" or names, "a choice of no tool"
    _config(payload.get("generationConfig", {}), levels)


def _part(part: dict[str, Any], role: str, *, known: bool) -> None:
    data = DATA & part.keys()
    if known:
        assert len(data) == 1, part
        assert part.keys() <= data | BESIDE, part
    if part.get("text") == "":
        assert "thoughtSignature" in part or part.get("thought"), "an empty text"
    if "functionCall" in part:
        assert role == "model"
        assert NAME.fullmatch(part["functionCall"]["name"])
        assert isinstance(part["functionCall"]["args"], dict)
    if "functionResponse" in part:
        assert role == "user"
        assert NAME.fullmatch(part["functionResponse"]["name"])
        assert isinstance(part["functionResponse"]["response"], dict)
    if "fileData" in part:
        assert part["fileData"]["fileUri"]


def _of(content: dict[str, Any], key: str) -> list[Any]:
    return [part[key] for part in content["parts"] if key in part]


def _answers(before: dict[str, Any], after: dict[str, Any]) -> None:
    calls, results = _of(before, "functionCall"), _of(after, "functionResponse")
    assert len(calls) == len(results), "as many results as calls"
    assert sorted(str(one.get("id")) for one in calls) == sorted(str(one.get("id")) for one in results)
    assert sorted(one["name"] for one in calls) == sorted(one["name"] for one in results)


def _signed(contents: list[dict[str, Any]]) -> None:
    turn: list[dict[str, Any]] = []
    for content in contents:
        if content["role"] == "user" and not _of(content, "functionResponse"):
            turn = []
        turn.append(content)
    for content in turn:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        assert first is None or first.get("thoughtSignature"), "a step of the turn has no signature"


def _tools(tools: list[dict[str, Any]]) -> set[str]:
    names: list[str] = []
    for tool in tools:
        assert len(tool) == 1
        for one in tool.get("functionDeclarations", []):
            assert NAME.fullmatch(one["name"])
            names.append(one["name"])
            schema = one.get("parametersJsonSchema")
            if schema is not None:
                assert schema["type"] == "object"
                check_schema(schema)
    assert len(names) == len(set(names)), "two tools of one name"
    return set(names)


def check_schema(schema: dict[str, Any], root: dict[str, Any] | None = None) -> None:
    """A schema within the documented subset, whose references lead somewhere."""
    root = schema if root is None else root
    assert schema.keys() <= SCHEMA, schema.keys() - SCHEMA
    if "$ref" in schema and schema is not root:
        assert schema.keys() == {"$ref"}
        assert schema["$ref"].removeprefix("#/$defs/") in root["$defs"]
    assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
    assert schema.get("required") != []
    for one in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        check_schema(one, root)
    for key in ("anyOf", "prefixItems"):
        for one in schema.get(key, []):
            check_schema(one, root)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            check_schema(schema[key], root)


def _config(config: dict[str, Any], levels: set[str]) -> None:
    thinking = config.get("thinkingConfig", {})
    assert not {"thinkingBudget", "thinkingLevel"} <= thinking.keys()
    if levels:
        assert "thinkingBudget" not in thinking
        assert thinking.get("thinkingLevel", next(iter(levels))) in levels
    assert len(config.get("stopSequences", [])) <= 5
    schema = config.get("responseJsonSchema")
    assert schema is None or config["responseMimeType"] == "application/json"
    if schema is not None:
        check_schema(schema)
