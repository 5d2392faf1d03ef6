"""Requests as the tests write them, in every protocol, and the reading of what comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ccx.upstream.demo.answer import Answer
from ccx.upstream.demo.respond import respond

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "where": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "note": {"type": "string"}},
            "required": ["lat"],
            "additionalProperties": False,
        },
    },
    "required": ["city", "days", "unit", "where"],
    "additionalProperties": False,
}
ARGUMENTS = {"city": "demo", "days": 1, "unit": "celsius", "where": {"lat": 1}}


def post(target: str, body: object, **headers: str) -> Answer:
    """Ask the core; a header name's underscores become hyphens."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return respond("POST", target, names, raw)


def get(target: str, **headers: str) -> Answer:
    return respond(
        "GET", target, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()], b""
    )


def raw(answer: Answer) -> bytes:
    return b"".join(piece.data for piece in answer.pieces)


def body(answer: Answer) -> Any:
    return json.loads(raw(answer))


def header(answer: Answer, name: str) -> str | None:
    return next((value.decode() for key, value in answer.headers if key == name.encode()), None)


def events(answer: Answer) -> list[tuple[str | None, Any]]:
    """The server-sent events: name and data, "[DONE]" as it is. Every piece must be one event."""
    found = []
    for piece in answer.pieces:
        text = piece.data.decode()
        assert text.endswith("\n\n")
        assert text.count("\n\n") == 1
        fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
        data = fields["data"]
        found.append((fields.get("event"), data if data == "[DONE]" else json.loads(data)))
    return found


@dataclass(frozen=True)
class Dialect:
    """How to ask for the same thing in one protocol."""

    name: str
    path: str
    stream_path: str
    base: dict[str, Any] = field(default_factory=dict)

    def request(
        self, text: str, *, model: str = "demo", stream: bool = False, functions: tuple[str, ...] = ()
    ) -> tuple[str, Any]:
        """The target and the body."""
        made: dict[str, Any] = dict(self.base)
        path = (self.stream_path if stream else self.path).replace("MODEL", model)
        wire: list[dict[str, Any]]
        declared: list[dict[str, Any]] = [
            {"name": name, "description": "A tool", "parameters": SCHEMA} for name in functions
        ]
        match self.name:
            case "messages":
                made |= {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": text}]}
                wire = [{"name": tool, "input_schema": SCHEMA} for tool in functions]
            case "chat":
                made |= {"model": model, "messages": [{"role": "user", "content": text}]}
                wire = [{"type": "function", "function": function} for function in declared]
            case "responses":
                made |= {"model": model, "input": text}
                wire = [{"type": "function", **function} for function in declared]
            case _:
                made |= {"contents": [{"role": "user", "parts": [{"text": text}]}]}
                wire = [{"functionDeclarations": declared}]
        if functions:
            made["tools"] = wire
        if stream and self.name != "gemini":
            made["stream"] = True
        return path, made

    def changed(self, change: dict[str, Any]) -> Answer:
        """A plain request with some members changed."""
        path, made = self.request("hi")
        return post(path, made | change)

    def ask(
        self, text: str, *, model: str = "demo", stream: bool = False, functions: tuple[str, ...] = (), **extra: Any
    ) -> Answer:
        path, made = self.request(text, model=model, stream=stream, functions=functions)
        return post(path, made | extra)


MESSAGES = Dialect("messages", "/v1/messages", "/v1/messages")
CHAT = Dialect("chat", "/v1/chat/completions", "/v1/chat/completions")
RESPONSES = Dialect("responses", "/v1/responses", "/v1/responses")
GEMINI = Dialect("gemini", "/v1beta/models/MODEL:generateContent", "/v1beta/models/MODEL:streamGenerateContent?alt=sse")
DIALECTS = (MESSAGES, CHAT, RESPONSES, GEMINI)
