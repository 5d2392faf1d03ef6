"""A request that has given facts: what a client would send for the gateway to read just these from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never

import msgspec

from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts

WORDS = "A drill of ccx test."
# The smallest PNG there is: one transparent pixel.
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_SCHEMA = {"type": "object", "properties": {}}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request on its way: the path with its prefix, its query and its body. Header names are lower case."""

    path: str
    query: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def written(facts: Facts) -> Sent:
    """The request. The number of tokens is not in it: a counter that is told it stands in."""
    model = facts.model or ""
    query = ""
    match facts.protocol:
        case Protocol.MESSAGES:
            path, body = "/v1/messages", _messages(facts)
        case Protocol.CHAT:
            path, body = "/v1/chat/completions", _chat(facts)
        case Protocol.RESPONSES:
            path, body = "/v1/responses", _responses(facts)
        case Protocol.GEMINI:
            path = f"/v1beta/models/{model}:{'streamGenerateContent' if facts.stream else 'generateContent'}"
            query, body = ("alt=sse" if facts.stream else ""), _gemini(facts)
        case Protocol.IMAGES:
            path, body = "/v1/images/generations", {"model": facts.model, "prompt": WORDS}
            body |= {"stream": True} if facts.stream else {}
        case Protocol.EMBEDDINGS:
            path, body = "/v1/embeddings", {"model": facts.model, "input": WORDS}
        case _:
            assert_never(facts.protocol)
    for dotted, value in facts.body.items():
        _put(body, dotted.split("."), value)
    if body.get("model", "") is None:
        del body["model"]
    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    headers += [(name.encode(), value.encode()) for name, value in facts.headers.items()]
    prefix = f"/{facts.prefix}" if facts.prefix is not None else ""
    return Sent(prefix + path, query, tuple(headers), msgspec.json.encode(body))


def _put(body: Json, path: list[str], value: object) -> None:
    here = body
    for part in path[:-1]:
        below = here.get(part)
        if not isinstance(below, dict):
            below = here[part] = {}
        here = below
    here[path[-1]] = value


def _server(facts: Facts) -> list[Json]:
    return [{"type": name, "name": name} for name in sorted(facts.server_tools)]


def _own(facts: Facts) -> bool:
    """Whether a tool of the client's own is declared, beside those that the provider runs."""
    return facts.tools and not facts.server_tools


def _messages(facts: Facts) -> Json:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
    content = [{"type": "text", "text": WORDS}, *([image] if facts.images else [])]
    body: Json = {"model": facts.model, "max_tokens": 4096, "messages": [{"role": "user", "content": content}]}
    tools = [*_server(facts), *([{"name": "look", "input_schema": _SCHEMA}] if _own(facts) else [])]
    body |= {"tools": tools} if tools else {}
    body |= {"thinking": {"type": "enabled", "budget_tokens": 1024}} if facts.thinking else {}
    return body | ({"stream": True} if facts.stream else {})


def _chat(facts: Facts) -> Json:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}
    content = [{"type": "text", "text": WORDS}, *([image] if facts.images else [])]
    body: Json = {"model": facts.model, "messages": [{"role": "user", "content": content}]}
    function = {"type": "function", "function": {"name": "look", "parameters": _SCHEMA}}
    tools = [*_server(facts), *([function] if _own(facts) else [])]
    body |= {"tools": tools} if tools else {}
    body |= {"reasoning_effort": "high"} if facts.thinking else {}
    return body | ({"stream": True} if facts.stream else {})


def _responses(facts: Facts) -> Json:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}"}
    content = [{"type": "input_text", "text": WORDS}, *([image] if facts.images else [])]
    body: Json = {"model": facts.model, "input": [{"role": "user", "content": content}]}
    function = {"type": "function", "name": "look", "parameters": _SCHEMA}
    tools = [*_server(facts), *([function] if _own(facts) else [])]
    body |= {"tools": tools} if tools else {}
    body |= {"reasoning": {"effort": "high"}} if facts.thinking else {}
    return body | ({"stream": True} if facts.stream else {})


def _gemini(facts: Facts) -> Json:
    image = {"inlineData": {"mimeType": "image/png", "data": _PNG}}
    body: Json = {"contents": [{"role": "user", "parts": [{"text": WORDS}, *([image] if facts.images else [])]}]}
    tools: list[Json] = [{name: {}} for name in sorted(facts.server_tools)]
    tools += [{"functionDeclarations": [{"name": "look", "parameters": _SCHEMA}]}] if _own(facts) else []
    body |= {"tools": tools} if tools else {}
    return body | ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}}} if facts.thinking else {})
