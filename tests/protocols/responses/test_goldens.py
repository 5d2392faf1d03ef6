"""Whole payloads, written out: a change of any of them is meant to be seen in a review."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from ccx.protocols import ir
from ccx.protocols.names import Protocol
from tests.protocols.responses.kit import again, foreign, native, raw_stream, read, said, shown, write

# Shaped like a turn of a coding agent of this protocol.
AGENT: dict[str, Any] = {
    "model": "gpt-5.6",
    "stream": True,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "session-1",
    "client_metadata": {"turn": "2"},
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto", "context": "all_turns"},
    "text": {"verbosity": "low"},
    "tool_choice": "auto",
    "input": [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [
                {
                    "type": "namespace",
                    "name": "functions",
                    "description": "What runs here.",
                    "tools": [
                        {
                            "type": "custom",
                            "name": "exec",
                            "description": "Runs a command.",
                            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
                        },
                        {"type": "function", "name": "wait", "strict": False, "parameters": {"type": "object"}},
                    ],
                }
            ],
        },
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What is in a.png?"}]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Look at it."}],
            "encrypted_content": "gAAA",
        },
        {
            "type": "custom_tool_call",
            "id": "ctc_1",
            "status": "completed",
            "call_id": "call_1",
            "name": "exec",
            "namespace": "functions",
            "input": "view a.png",
        },
        {
            "type": "custom_tool_call_output",
            "call_id": "call_1",
            "output": [
                {"type": "input_text", "text": "a.png:"},
                {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "high"},
            ],
        },
    ],
}
SIGNED = native({"signature": "S"}, protocol=Protocol.MESSAGES, issuer="anthropic")
THEIRS = foreign(
    ir.Message(
        "system", (ir.Text("Be brief.", native=native({"cache_control": {"x": 1}}, protocol=Protocol.MESSAGES)),)
    ),
    ir.Message("user", (ir.Text("Look."), ir.Media("image", ir.Inline("aGk=", "image/png")))),
    ir.Message(
        "assistant",
        (
            ir.Reasoning("hm", native=SIGNED),
            ir.Text("I look."),
            ir.ToolCall("toolu_1", "Read", '{"path":"a"}'),
            ir.ToolCall("toolu_2", "Read", '{"path":"b"}'),
        ),
    ),
    ir.Message(
        "user",
        (
            ir.ToolResult("toolu_2", (ir.Text("gone"),), is_error=True),
            ir.ToolResult("toolu_1", (ir.Text("here"),)),
            ir.Text("And now?"),
        ),
    ),
    ir.Message("system", (ir.Text("Only read."),)),
    tools=(ir.Tool("Read", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}}),),
    tool_choice=ir.ToolChoice("auto"),
    max_output_tokens=32_000,
    sampling=ir.Sampling(temperature=1, top_k=5, stop=("END",)),
    thinking=ir.Thinking(True, budget=10_000),
    user="u" * 100,
    stream=True,
)
ANSWER = said(
    ir.Reasoning("hm", native=SIGNED),
    ir.Text("Here: ", (ir.Citation("https://e.com", "E", "q"),)),
    ir.ToolCall("toolu_1", "exec", "ls", "custom", "functions"),
    ir.ToolCall("toolu_2", "wait", '{"s":1}', namespace="functions"),
    finish=ir.Finish("tool_calls", "tool_use"),
    usage=ir.Usage(100, 20, 80, 5, 7, {"input_tokens": 15}),
)


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(JSONSnapshotExtension)


def test_the_agents_request_read(snapshot: SnapshotAssertion) -> None:
    assert asdict(read(AGENT, stream=True)) == snapshot


def test_the_agents_request_again(golden: SnapshotAssertion) -> None:
    assert again(AGENT) == golden


@pytest.mark.parametrize("dialect", ["deepseek", "vllm"])
def test_the_agents_request_at_other_vendors(dialect: str, golden: SnapshotAssertion) -> None:
    encoded = write(read(AGENT, stream=True), dialect)
    assert encoded.context is not None
    assert {
        "payload": encoded.payload,
        "losses": [asdict(loss) for loss in encoded.losses],
        "tools": {name: asdict(tool) for name, tool in encoded.context.tools.items()},
    } == golden


@pytest.mark.parametrize("dialect", ["openai", "xai"])
def test_the_request_of_another_client(dialect: str, golden: SnapshotAssertion) -> None:
    encoded = write(THEIRS, dialect, thinking=True, max_output_tokens=16_000)
    assert {"payload": encoded.payload, "losses": [asdict(loss) for loss in encoded.losses]} == golden


def test_an_answer_to_the_agent(golden: SnapshotAssertion) -> None:
    encoded = shown(ANSWER, **AGENT)
    assert {"payload": encoded.payload, "losses": [asdict(loss) for loss in encoded.losses]} == golden


def test_an_answer_to_the_agent_streamed(snapshot: SnapshotAssertion) -> None:
    assert raw_stream(ANSWER, **{key: AGENT[key] for key in ("reasoning", "store")}).decode() == snapshot
