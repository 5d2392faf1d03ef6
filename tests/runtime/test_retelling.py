"""Kept answers told in the other form, in each protocol, with the demo upstream as the provider."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateway import running

SPEC = """
version: ccx/v1
channels: {demo: {provider: demo}}
routes: [{name: all, to: [demo], cache: {ttl: 1h}}]
"""
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
Ask = tuple[str, dict[str, Any]]


def asked(protocol: str, *, stream: bool, tools: bool) -> Ask:
    say = [{"role": "user", "content": "hello there"}]
    match protocol:
        case "chat" | "chat with usage":
            body: dict[str, Any] = {"model": "gpt-5", "temperature": 0, "messages": say, "stream": stream}
            if stream and protocol == "chat with usage":
                body["stream_options"] = {"include_usage": True}
            if tools:
                body["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
            return "/v1/chat/completions", body
        case "messages":
            body = {"model": "claude-sonnet-4-5", "max_tokens": 99, "temperature": 0, "messages": say, "stream": stream}
            if tools:
                body["tools"] = [{"name": "weather", "input_schema": WEATHER}]
            return "/v1/messages", body
        case "responses":
            body = {"model": "gpt-5", "temperature": 0, "store": False, "input": "hello there", "stream": stream}
            if tools:
                body["tools"] = [{"type": "function", "name": "weather", "parameters": WEATHER}]
            return "/v1/responses", body
        case _:
            body = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
            body["generationConfig"] = {"temperature": 0}
            if tools:
                body["tools"] = [{"functionDeclarations": [{"name": "weather"}]}]
            action = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return f"/v1beta/models/gemini-2.5-pro:{action}", body


@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
@pytest.mark.parametrize(
    ("protocol", "to_stream", "to_whole"),
    [
        ("chat", "hit", "miss"),  # the stream did not tell the tokens
        ("chat with usage", "hit", "hit"),
        ("messages", "hit", "hit"),
        ("responses", "miss", "hit"),
        ("gemini", "hit", "hit"),
    ],
)
async def test_where_it_is_exact(tmp_path: Path, protocol: str, to_stream: str, to_whole: str, *, tools: bool) -> None:
    async with running(SPEC, tmp_path) as gw:
        (path, plain), (stream_path, streamed) = (asked(protocol, stream=s, tools=tools) for s in (False, True))
        for order, expected in (((path, plain, stream_path, streamed), to_stream), (None, to_whole)):
            first, first_body, second, second_body = order or (stream_path, streamed, path, plain)
            await gw.client.delete("/admin/cache")
            one = await gw.client.post(first, json=first_body)
            other = await gw.client.post(second, json=second_body)
            assert (one.status_code, other.status_code) == (200, 200)
            assert (one.headers["x-ccx-cache"], other.headers["x-ccx-cache"]) == ("miss", expected)
            if expected == "hit":
                await gw.client.delete("/admin/cache")
                real = await gw.client.post(second, json=second_body, headers={"x-ccx-cache": "bypass"})
                assert real.headers["content-type"] == other.headers["content-type"]
                if second_body is plain and protocol != "gemini":
                    assert _told(real.json()) == _told(other.json())


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, without the ids and the time of its making."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            unsaid = ("id", "call_id", "created", "created_at", "completed_at", "system_fingerprint")
            return {k: plain(v) for k, v in value.items() if k not in unsaid and v not in (None, [], {})}
        return [plain(one) for one in value] if isinstance(value, list) else value

    return plain(answer)  # type: ignore[no-any-return]  # a mapping stays one
