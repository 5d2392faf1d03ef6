"""Whole payloads, written out: a change of any of them is meant to be seen in a review."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from ccx.protocols import ir
from ccx.protocols.codec import Asked, Context, Target
from ccx.protocols.dialects import dialect
from ccx.protocols.messages import codec
from ccx.protocols.names import Protocol
from ccx.protocols.stream import events

# Shaped like the first turns of a coding agent.
AGENT: ir.JsonObject = {
    "model": "claude-opus-4-8",
    "max_tokens": 32000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=0.0.0; cc_entrypoint=test"},
        {"type": "text", "text": "You work in a repository.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is in the picture and in a.txt?"}]},
        {"role": "system", "content": "The repository is read-only."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Two files to read.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZW5j"},
                {"type": "text", "text": "I read both."},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.txt"}},
                {"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {"path": "b.png"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such file", "is_error": True},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
                        {"type": "tool_reference", "tool_name": "Search"},
                    ],
                },
                {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ],
    "tools": [
        {
            "name": "Read",
            "description": "Reads a file.",
            "input_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"path": {"type": "string"}},
                "required": ["path"],
            },
            "eager_input_streaming": True,
        },
        {"name": "Search", "input_schema": {"type": "object", "properties": {}}, "defer_loading": True},
        {"type": "web_search_20260209", "name": "web_search", "max_uses": 3},
    ],
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": '{"session_id":"s"}'},
}

# The same kind of conversation as another client has it.
FOREIGN = ir.Request(
    "gpt",
    (
        ir.Message("system", (ir.Text("Be brief."),), (ir.Native(Protocol.CHAT, None, {"role": "developer"}),)),
        ir.Message("user", (ir.Text("Run it."), ir.Media("image", ir.Remote("https://example.com/a.png")))),
        ir.Message(
            "assistant",
            (
                ir.Reasoning("hm", native=(ir.Native(Protocol.RESPONSES, "openai", {"encrypted_content": "e"}),)),
                ir.ToolCall("call:1", "exec", "ls -l", "custom", "shell"),
                ir.ToolCall("call:2", "files.read", '{"path":"a"}'),
            ),
        ),
        ir.Message("user", (ir.ToolResult("call:1", (ir.Text("a b"),), kind="custom"),)),
        ir.Message("system", (ir.Text("Hurry."),)),
        ir.Message("user", (ir.ToolResult("call:2", (ir.Text("x"),), is_error=True), ir.Text("And?"))),
    ),
    tools=(
        ir.Tool("exec", "Runs.", kind="custom", grammar=("lark", "start: /.+/"), namespace="shell"),
        ir.Tool("files.read", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}}, strict=False),
        ir.ServerTool("web_search", ir.Native(Protocol.RESPONSES, None, {"type": "web_search"})),
    ),
    tool_choice=ir.ToolChoice("auto"),
    parallel_tool_calls=True,
    thinking=ir.Thinking(effort="medium", summary=True),
    sampling=ir.Sampling(temperature=0.3, seed=7),
    verbosity="low",
    stream=True,
)

ANSWER = ir.Response(
    "chatcmpl-1",
    "other",
    (
        ir.Reasoning("I look.", native=(ir.Native(Protocol.CHAT, "deepseek", {"reasoning_content": "I look."}),)),
        ir.Text("It says", (ir.Citation("https://example.com", "E", "q"),)),
        ir.ToolCall(
            "functions.read:0",
            "Read",
            '{"path": "a.txt"}',
            native=(ir.Native(Protocol.GEMINI, "gemini", {"thoughtSignature": "c2ln"}),),
        ),
    ),
    ir.Finish("tool_calls", "tool_calls"),
    ir.Usage(120, 30, 100, None, 12),
)


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(JSONSnapshotExtension)


def lost(losses: Any) -> list[str]:
    return [f"{loss.path}: {'~' if loss.approximate else ''}{loss.what}" for loss in losses]


def test_a_request_of_an_agent_goes_through_whole(golden: SnapshotAssertion) -> None:
    request = codec.decode_request(AGENT, model="claude-opus-4-8", stream=True)
    target = Target("anthropic", "claude-opus-4-8", dialect("anthropic"), max_output_tokens=128_000)
    encoded = codec.encode_request(request, target, new_id=str)
    assert encoded.losses == ()
    assert encoded.payload == golden


def test_a_request_of_an_agent_to_an_older_model(golden: SnapshotAssertion) -> None:
    request = codec.decode_request(AGENT, model="claude-haiku-4-5", stream=True)
    encoded = codec.encode_request(
        request, Target("anthropic", "claude-haiku-4-5", dialect("anthropic"), max_output_tokens=64_000), new_id=str
    )
    assert {"payload": encoded.payload, "losses": lost(encoded.losses)} == golden


@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-sonnet-4-5"])
def test_a_request_of_another_client(golden: SnapshotAssertion, model: str) -> None:
    encoded = codec.encode_request(FOREIGN, Target("anthropic", model, dialect("anthropic")), new_id=str)
    assert encoded.context is not None
    names = {name: [tool.name, tool.namespace, tool.kind] for name, tool in encoded.context.tools.items()}
    assert {"payload": encoded.payload, "losses": lost(encoded.losses), "names": names} == golden


def test_an_answer_of_another_upstream(golden: SnapshotAssertion) -> None:
    encoded = codec.encode_response(ANSWER, Asked("claude-y", {}, False, 0), new_id=lambda prefix: f"{prefix}1")
    assert {"payload": encoded.payload, "losses": lost(encoded.losses)} == golden


def test_a_stream_of_another_upstream(golden: SnapshotAssertion) -> None:
    encoder = codec.stream_encoder(Asked("claude-y", {}, True, 0), new_id=lambda prefix: f"{prefix}1")
    stream = b"".join(encoder.encode(event) for event in events(ANSWER))
    assert {"stream": stream.decode().split("\n"), "losses": lost(encoder.losses)} == golden


def test_an_answer_is_read_the_same_streamed_or_not(golden: SnapshotAssertion) -> None:
    body: ir.JsonObject = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-4-8",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "text", "text": "Done.", "citations": None},
        ],
        "stop_reason": "pause_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3},
        "container": {"id": "c", "expires_at": "2026-01-01T00:00:00Z"},
    }
    response = codec.decode_response(body, Context("anthropic", "claude-opus-4-8"))
    assert {"neutral": repr(response).split(", native=")} == golden
