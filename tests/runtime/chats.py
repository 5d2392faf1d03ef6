"""Answers of a Chat upstream that are written in a test, and what such an upstream was asked."""

from __future__ import annotations

import json
from typing import Any

from tests.faults import Received, Reply
from tests.runtime.streams import Pieces

USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def said(text: str | None, *, calls: list[dict[str, Any]] | None = None, finish: str = "stop") -> Reply:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": USAGE,
    }
    return Reply(200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def call(name: str, arguments: str, *, ident: str = "call_1") -> dict[str, Any]:
    """A call of a function."""
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def streamed(*words: str, finish: str | None = "stop") -> Pieces:
    """A streamed answer; cut if `finish` is None."""

    def chunk(delta: dict[str, Any], reason: str | None = None, usage: object = None) -> bytes:
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "up",
            "choices": [] if usage else [{"index": 0, "delta": delta, "finish_reason": reason}],
            "usage": usage,
        }
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    pieces = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]
    if finish is not None:
        pieces += [chunk({}, finish), chunk({}, usage=USAGE), b"data: [DONE]\n\n"]
    return Pieces(pieces)


def asked(request: Received) -> list[tuple[str, Any]]:
    """The messages that an upstream got: role and content."""
    return [(message["role"], message.get("content")) for message in json.loads(request.body)["messages"]]


def events(text: str) -> list[dict[str, Any]]:
    """The events of a Responses stream."""
    lines = [line for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line[len("data: ") :]) for line in lines]
