"""What OpenAI demands of a request that other clients' conversations became: its rules, as far as they are known.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

import re
from typing import Any

FIELDS = {
    "model",
    "input",
    "instructions",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "reasoning",
    "text",
    "service_tier",
    "user",
    "metadata",
    "store",
    "include",
    "stream",
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CALLS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
SHOWN = {"input_text", "input_image", "input_file"}


def check(payload: dict[str, Any]) -> None:
    """Raises AssertionError for what the API would refuse."""
    assert payload.keys() <= FIELDS, payload.keys() - FIELDS
    assert payload["store"] is False
    assert payload.get("max_output_tokens", 16) >= 16
    assert len(payload.get("user", "")) <= 64
    reasoning = payload.get("reasoning", {})
    assert reasoning.get("effort", "low") in {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
    names = _tools(payload.get("tools", []))
    choice = payload.get("tool_choice")
    if choice is not None:
        assert payload.get("tools"), "a choice among no tools"
    if isinstance(choice, dict):
        for one in choice["tools"] if choice["type"] == "allowed_tools" else [choice]:
            assert (one["type"], one.get("name")) in names
    assert payload["input"]
    _input(payload["input"])


def _tools(tools: list[dict[str, Any]]) -> set[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    inside: list[tuple[str, str | None]] = []
    spaces: set[tuple[str, str]] = set()
    for tool in tools:
        if tool["type"] == "namespace":
            assert tool["tools"]
            for one in tool["tools"]:
                _own(one)
                key = (tool["name"], one["name"])
                assert key not in spaces
                spaces.add(key)
                inside.append((one["type"], one["name"]))
            continue
        if tool["type"] in ("function", "custom"):
            _own(tool)
            assert (tool["type"], tool["name"]) not in found
        own = tool["type"] in ("function", "custom")
        found.append((tool["type"], tool["name"] if own else None))
    return {*found, *inside}


def _own(tool: dict[str, Any]) -> None:
    assert NAME.fullmatch(tool["name"])
    if tool["type"] == "function":
        assert isinstance(tool["parameters"], dict)
        assert isinstance(tool["strict"], bool)


def _input(items: list[dict[str, Any]]) -> None:
    called: dict[str, str] = {}
    answered: set[str] = set()
    for at, item in enumerate(items):
        match item["type"]:
            case "message":
                _message(item)
            case "reasoning":
                assert isinstance(item["summary"], list)
                after = next((one for one in items[at:] if one["type"] != "reasoning"), None)
                assert after is not None
                assert after.get("role") == "assistant" or after["type"].endswith("_call")
            case "function_call" | "custom_tool_call" as kind:
                ident = item["call_id"]
                assert 0 < len(ident) <= 64
                assert ident not in called
                called[ident] = kind
                assert NAME.fullmatch(item["name"])
                assert isinstance(item["arguments" if kind == "function_call" else "input"], str)
            case "function_call_output" | "custom_tool_call_output" as kind:
                ident = item["call_id"]
                assert CALLS[called[ident]] == kind
                assert ident not in answered
                answered.add(ident)
                if not isinstance(item["output"], str):
                    assert item["output"]
                    assert {one["type"] for one in item["output"]} <= SHOWN
            case other:
                # Items that the provider made are its own to judge.
                assert other in ("compaction", "computer_call", "container_upload")
    assert answered == called.keys()


def _message(item: dict[str, Any]) -> None:
    assert item["role"] in ("user", "assistant", "developer", "system")
    content = item["content"]
    if isinstance(content, str):
        return
    assert content
    allowed = {"output_text", "refusal"} if item["role"] == "assistant" else SHOWN | {"refusal"}
    assert {one["type"] for one in content} <= allowed
    for one in content:
        if one["type"] == "input_image":
            assert ("image_url" in one) != ("file_id" in one)
        if one["type"] == "input_file":
            assert len({"file_data", "file_url", "file_id"} & one.keys()) == 1
            assert "file_data" not in one or one["filename"]
