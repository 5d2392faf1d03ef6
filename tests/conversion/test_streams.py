"""Upstreams that stream when they were not asked to, or do not when they were; silence; any cut of the bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccx.protocols.codec import Context
from ccx.protocols.conversion import CODECS
from ccx.protocols.ir import Reasoning
from ccx.protocols.names import Protocol
from ccx.runtime import translate
from ccx.runtime.convert import folded
from ccx.upstream.demo.respond import respond
from tests.conversion.clients import raw
from tests.faults import FaultUpstream, Reply, Sse
from tests.gateway import Running, running
from tests.runtime.streams import Pieces

PROTOCOLS = ("messages", "chat", "responses", "gemini")
PAIRS = [(client, upstream) for client in PROTOCOLS for upstream in PROTOCOLS if client != upstream]
pairs = pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=[f"{c}-to-{u}" for c, u in PAIRS])
TOOLS = {
    "messages": [{"name": "weather", "input_schema": {"type": "object"}}],
    "chat": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    "responses": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
    "gemini": [{"functionDeclarations": [{"name": "weather"}]}],
}


def demo(upstream: str, *, stream: bool, text: str = "hello") -> bytes:
    """What the demo upstream answers in this protocol."""
    target, body = raw(upstream, stream=stream)
    if upstream == "chat" and stream:
        body["stream_options"] = {"include_usage": True}
    body["tools"] = TOOLS[upstream]
    asked = json.dumps(body).replace("hello", text).encode()
    answer = respond("POST", target, [(b"content-type", b"application/json")], asked)
    assert answer.status == 200
    return b"".join(piece.data for piece in answer.pieces)


def spec(upstream: str, url: str, *, more: str = "") -> str:
    return f"""
    version: ccx/v1
    channels:
      up: {{protocol: {upstream}, base_url: '{url}', keys: none}}
    routes: [{{name: all, to: [up]}}]
    {more}
    """


async def ask(gateway: Running, client: str, *, stream: bool) -> Any:
    target, body = raw(client, stream=stream)
    body["tools"] = TOOLS[client]
    return await gateway.client.post(target, json=body)


def read(client: str, content: bytes, *, stream: bool) -> Any:
    """A client's answer, by the decoder of its protocol."""
    codec, context = CODECS[Protocol(client)], Context("reader", "demo")
    found = folded(content, codec, context) if stream else codec.decode_response(json.loads(content), context)
    # What is sealed looks like a thought without words to anybody but ccx.
    return replace(found, parts=tuple(p for p in found.parts if not isinstance(p, Reasoning) or p.text))


@pairs
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("text", ["hello", "call weather"])
async def test_an_upstream_of_the_other_habit(
    tmp_path: Path, client: str, upstream: str, stream: bool, text: str
) -> None:
    """It answers a stream where none was wanted, and the other way round; the client gets what it asked for."""
    body = demo(upstream, stream=not stream, text=text)
    kind = "application/json" if stream else "text/event-stream"
    action = Reply(headers={"content-type": kind}, body=body)
    async with FaultUpstream([action]) as up, running(spec(upstream, up.url), tmp_path) as gateway:
        answer = await ask(gateway, client, stream=stream)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
        found = read(client, answer.content, stream=stream)
        expected = read(upstream, body, stream=not stream)
        assert [type(part) for part in found.parts] == [type(part) for part in expected.parts]
        for part, wanted in zip(found.parts, expected.parts, strict=True):
            assert getattr(part, "text", None) == getattr(wanted, "text", None)
            assert getattr(part, "name", None) == getattr(wanted, "name", None)
        assert found.finish.reason == expected.finish.reason
        exchange = await gateway.exchange()
        assert exchange.input_tokens == expected.usage.input_tokens
        assert exchange.output_tokens == expected.usage.output_tokens


@pairs
async def test_a_stream_cut_into_bytes(tmp_path: Path, client: str, upstream: str) -> None:
    body = demo(upstream, stream=True, text="call weather")
    whole = Pieces([body])
    bytewise = Pieces([body[at : at + 3] for at in range(0, len(body), 3)])
    told = []
    async with FaultUpstream([whole, bytewise]) as up, running(spec(upstream, up.url), tmp_path) as gateway:
        for _ in range(2):
            answer = await ask(gateway, client, stream=True)
            found = read(client, answer.content, stream=True)
            told.append(
                [(type(part), getattr(part, "name", None), getattr(part, "arguments", None)) for part in found.parts]
            )
    assert told[0] == told[1] != []


@pairs
async def test_an_answer_to_nobody_who_streams_is_an_error_if_it_was_cut(
    tmp_path: Path, client: str, upstream: str
) -> None:
    body = demo(upstream, stream=True)
    half = body[: body.rindex(b"\n\n", 0, len(body) // 2) + 2]
    cut = Pieces([half], cut=True)
    short = Pieces([half])
    async with (
        FaultUpstream([cut, short]) as up,
        running(spec(upstream, up.url, more="defaults: {failover: {attempts: 1}}"), tmp_path) as gateway,
    ):
        for _ in range(2):
            answer = await ask(gateway, client, stream=False)
            assert answer.status_code == 502
            assert answer.json()["error"]["message"]


@pairs
async def test_silence_is_filled(tmp_path: Path, client: str, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client gets the sign of life that it understands, between whole events; Gemini's get none."""
    monkeypatch.setattr(translate, "SILENCE", 0.01)
    body = demo(upstream, stream=True)
    events = [event for event in body.split(b"\n\n") if event]
    middle = len(events) // 2
    slow = Sse([b"\n\n".join(events[:middle]), b"\n\n".join(events[middle:])], pause=0.06)
    async with FaultUpstream([slow]) as up, running(spec(upstream, up.url), tmp_path) as gateway:
        answer = await ask(gateway, client, stream=True)
        sign = b"event: ping\n" if client == "messages" else b": keep-alive\n\n"
        assert (answer.content.count(sign) >= 2) is (client != "gemini")
        assert read(client, answer.content, stream=True).parts[-1].text.startswith("This is the ccx demo")
        for line in answer.content.splitlines():
            assert line == b"" or line.startswith((b"data: ", b"event: ", b": keep-alive"))
