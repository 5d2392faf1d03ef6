"""Request bodies: made up, the same on every run, shaped like what real clients send.

The large one has the anatomy of a coding agent's turn: system blocks with cache hints, twenty tool definitions with
JSON schemas, and a conversation of tool calls and their results. Its words are drawn by a seeded generator.
"""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any, Literal

Protocol = Literal["messages", "chat"]

_TEXT = (
    "parser buffer stream token index branch module return value header socket retry queue thread worker commit "
    "table route match config cache limit client server budget window schema object number string field column "
    "if else for while def class import from with raise try except lambda yield async await not and or in is "
    "the a of to that reads writes holds keeps drops sends waits checks counts splits joins first last next each "
    "small large empty broken stale fresh local remote inner outer 0 1 2 16 64 255 1024 None True False"
)
_WORDS = _TEXT.split()


class _Writer:
    """Text of a wanted length."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def prose(self, length: int) -> str:
        parts: list[str] = []
        size = 0
        while size < length:
            sentence = " ".join(self._random.choices(_WORDS, k=self._random.randint(6, 14))).capitalize() + ". "
            parts.append(sentence)
            size += len(sentence)
        return "".join(parts)[:length]

    def code(self, length: int) -> str:
        parts: list[str] = []
        size = 0
        number = 0
        while size < length:
            number += 1
            name, *arguments = self._random.choices(_WORDS, k=4)
            depth = "    " * self._random.randint(0, 3)
            line = f"{number:6}\t{depth}{name}_{number} = {arguments[0]}({arguments[1]!r}, {arguments[2]})\n"
            parts.append(line)
            size += len(line)
        return "".join(parts)[:length]

    def word(self) -> str:
        return self._random.choice(_WORDS)

    def hex(self, length: int) -> str:
        return f"{self._random.getrandbits(length * 4):0{length}x}"


def small(model: str, *, stream: bool = False, protocol: Protocol = "messages", size: int = 1024) -> bytes:
    """A short question, filled up to `size` bytes."""
    body: dict[str, Any] = {"model": model, "max_tokens": 1024}
    if stream:
        body["stream"] = True
    text = {"type": "text", "text": ""}
    body["messages"] = [{"role": "user", "content": [text]}]
    if protocol == "messages":
        body["system"] = "Answer briefly."
    else:
        body["messages"].insert(0, {"role": "system", "content": "Answer briefly."})
    text["text"] = _Writer("small").prose(max(16, size - len(_dumps(body))))
    return _dumps(body)


@cache
def agent(model: str, size: int, *, stream: bool = False, seed: str = "agent") -> bytes:
    """A turn of a coding agent in Messages, of `size` bytes or some more: 20 tools, 39 messages; fewer below 100 KB.

    Another `seed` gives other text everywhere, so that nothing cached of one helps with another.
    """
    writer = _Writer(seed)
    tools, length = (20, 39) if size >= 100_000 else (6, 9)
    fixed = max(2_000, size // 6)
    system = [
        {"type": "text", "text": writer.prose(200), "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": writer.prose(fixed), "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": writer.prose(400)},
    ]
    definitions = [_tool(writer, number, size=max(300, size // 6 // tools)) for number in range(tools)]
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": 32000,
        "stream": stream,
        "metadata": {"user_id": json.dumps({"device_id": writer.hex(32), "session_id": writer.hex(32)})},
        "system": system,
        "tools": definitions,
        "messages": [],
    }
    room = size - len(_dumps(body))
    body["messages"] = _conversation(writer, room, length=length)
    short = size - len(_dumps(body))
    if short > 0:
        body["messages"][0]["content"][0]["text"] += " " + writer.prose(short)
    return _dumps(body)


def _tool(writer: _Writer, number: int, *, size: int) -> dict[str, Any]:
    properties: dict[str, Any] = {
        f"{writer.word()}_{index}": {"type": kind, "description": writer.prose(60)}
        for index, kind in enumerate(("string", "integer", "boolean", "string"))
    }
    properties["items"] = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "mode": {"type": "string", "enum": ["read", "write", "append"]}},
            "required": ["path"],
            "additionalProperties": False,
        },
    }
    return {
        "name": f"Tool{number}",
        "description": writer.prose(max(80, size - 700)),
        "input_schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[:2],
            "additionalProperties": False,
        },
    }


def _conversation(writer: _Writer, size: int, *, length: int) -> list[dict[str, Any]]:
    """Messages by turns, the last of the user: a task, then calls of tools and what they gave."""
    share = max(40, size // (length // 2) - 420)
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": writer.prose(share)}]}]
    while len(messages) < length:
        call = f"toolu_{writer.hex(24)}"
        argument = {"path": f"src/{writer.word()}/{writer.word()}.py", "limit": 200}
        said: list[dict[str, Any]] = [
            {"type": "text", "text": writer.prose(120)},
            {"type": "tool_use", "id": call, "name": f"Tool{len(messages) % 20}", "input": argument},
        ]
        result = {"type": "tool_result", "tool_use_id": call, "content": writer.code(share)}
        messages.append({"role": "assistant", "content": said})
        messages.append({"role": "user", "content": [result]})
    return messages


def _dumps(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
