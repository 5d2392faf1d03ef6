"""What the Messages API refuses, written down a second time: an oracle for requests of any origin."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from ccx.protocols.residue import unseal

ENVELOPE = re.compile(r"ccx1\.[A-Za-z0-9_-]*")
ID = re.compile(r"[a-zA-Z0-9_-]+")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
SERVER = ("server_tool_use", "mcp_tool_use")


def blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check(payload: dict[str, Any], *, system_turns: bool, prefill: bool, adaptive_only: bool) -> None:
    """Assert that the API would take the request, for a model of these abilities."""
    # Somebody's words may begin like an envelope; one that opens is ours.
    assert not any(unseal(one) for one in ENVELOPE.findall(json.dumps(payload))), "sealed residue went to an upstream"
    assert payload["max_tokens"] >= 1
    _thinking(payload, adaptive_only=adaptive_only)
    _tools(payload)
    messages = payload["messages"]
    assert messages
    for block in blocks(payload.get("system", [])):
        assert block["type"] != "text" or block["text"].strip()
    speaking = [message for message in messages if message["role"] != "system"]
    assert speaking, "no turn but the system's"
    for before, after in pairwise(speaking):
        assert before["role"] != after["role"], "two turns of one role in a row"
    for at, message in enumerate(messages):
        _message(message, at, messages, system_turns=system_turns)
    _calls(speaking)
    last = messages[-1]
    if last["role"] == "assistant":
        final = blocks(last["content"])[-1]
        server = final["type"] in SERVER or final["type"].endswith("_tool_result")
        thinks = payload.get("thinking", {}).get("type") in ("enabled", "adaptive")
        assert server or (prefill and not thinks), "the conversation ends with the assistant"
        assert final["type"] != "text" or final["text"] == final["text"].rstrip()


def _message(message: dict[str, Any], at: int, messages: list[dict[str, Any]], *, system_turns: bool) -> None:
    content = blocks(message["content"])
    if message["role"] == "system":
        assert system_turns, "a system message within the conversation"
        if content:
            assert at > 0
            before = messages[at - 1]
            hosted = before["role"] == "user" or blocks(before["content"])[-1]["type"].endswith("_tool_result")
            assert hosted, "a system message without a turn before it"
            assert at + 1 == len(messages) or messages[at + 1]["role"] == "assistant"
        return
    assert content, "an empty turn"
    for block in content:
        assert block["type"] != "text" or block["text"].strip(), "a blank text"
        if block["type"] == "thinking":
            assert message["role"] == "assistant"
            assert block["signature"], "a thought without a signature"
    if message["role"] == "assistant":
        assert content[-1]["type"] not in ("thinking", "redacted_thinking"), "a turn that ends in a thought"


def _calls(turns: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    awaited: list[str] = []
    for turn in turns:
        content = blocks(turn["content"])
        results = [block["tool_use_id"] for block in content if block["type"] == "tool_result"]
        if turn["role"] == "user":
            assert sorted(results) == sorted(awaited), "calls and results do not match"
            kinds = [block["type"] == "tool_result" for block in content]
            assert kinds == sorted(kinds, reverse=True), "a result behind something else"
            awaited = []
        else:
            assert not results
            assert not awaited
            awaited = [block["id"] for block in content if block["type"] == "tool_use"]
            for block in content:
                if block["type"] == "tool_use":
                    assert ID.fullmatch(block["id"])
                    assert NAME.fullmatch(block["name"])
                    assert isinstance(block["input"], dict)
            assert seen.isdisjoint(awaited), "an id used twice"
            assert len(set(awaited)) == len(awaited), "an id used twice"
            seen.update(awaited)
    assert not awaited, "a call without a result"


def _thinking(payload: dict[str, Any], *, adaptive_only: bool) -> None:
    thinking = payload.get("thinking") or {}
    if thinking.get("type") == "enabled":
        assert not adaptive_only
        assert 1024 <= thinking["budget_tokens"] < payload["max_tokens"]
        assert payload.get("tool_choice", {}).get("type") not in ("any", "tool")
        assert payload.get("temperature", 1) == 1
        assert "top_k" not in payload
    assert payload.get("temperature", 1) <= 1
    if adaptive_only:
        assert payload.get("temperature", 1) == 1
        assert "top_p" not in payload
        assert "top_k" not in payload
    assert all(stop.strip() for stop in payload.get("stop_sequences", []))


def _tools(payload: dict[str, Any]) -> None:
    tools = payload.get("tools", [])
    names = [tool["name"] for tool in tools if "input_schema" in tool]
    assert len(names) == len(set(names)), "two tools of one name"
    for tool in tools:
        if "input_schema" in tool:
            assert NAME.fullmatch(tool["name"])
            assert tool["input_schema"]["type"] == "object"
            assert not {"anyOf", "oneOf", "allOf"} & set(tool["input_schema"])
    choice = payload.get("tool_choice")
    if choice is not None:
        assert tools, "a choice without tools"
        if choice["type"] == "tool":
            assert choice["name"] in [tool["name"] for tool in tools]
