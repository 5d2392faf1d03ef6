"""Representative exchanges, whole, in both directions: what is read, what is written, and what is lost."""

from __future__ import annotations

from typing import Any

import msgspec
from syrupy.assertion import SnapshotAssertion

from ccx.protocols import ir
from ccx.protocols.gemini import codec
from ccx.protocols.names import Protocol
from ccx.protocols.stream import events
from tests.protocols.gemini import legal
from tests.protocols.gemini.kit import ASKED, CONTEXT, chunk, heard, mint, sse, streamed, target

HINT = (ir.Native(Protocol.MESSAGES, None, {"cache_control": {"type": "ephemeral"}}),)
SIGNED = (ir.Native(Protocol.MESSAGES, "anthropic", {"signature": "c2lnbmF0dXJl"}),)

# A coding agent that speaks Messages, in the middle of a turn.
AGENT = ir.Request(
    model="opus",
    messages=(
        ir.Message("system", (ir.Text("You are an agent."), ir.Text("Repository: x", native=HINT))),
        ir.Message("user", (ir.Text("Fix the bug", native=HINT),)),
        ir.Message(
            "assistant",
            (
                ir.Reasoning("I must read the file.", native=SIGNED),
                ir.Text("Reading."),
                ir.ToolCall("toolu_1", "Read", '{"path":"a.py"}'),
                ir.ToolCall("toolu_2", "mcp__db__query rows", '{"sql":"select 1"}'),
            ),
        ),
        ir.Message(
            "user",
            (
                ir.ToolResult("toolu_1", (ir.Text("print(1)\n"), ir.Media("image", ir.Inline("AAAA", "image/png")))),
                ir.ToolResult("toolu_2", (ir.Text("no such table"),), is_error=True),
                ir.Text("<system-reminder>Be brief.</system-reminder>"),
            ),
        ),
        ir.Message("system", (ir.Text("The date has changed."),)),
    ),
    tools=(
        ir.Tool(
            "Read",
            "Reads a file.",
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {
                    "path": {"type": "string", "minLength": 1},
                    "range": {"$ref": "#/$defs/Range"},
                    "mode": {"const": "text"},
                },
                "required": ["path"],
                "additionalProperties": False,
                "$defs": {"Range": {"type": "array", "items": {"type": "integer", "exclusiveMinimum": 0}}},
            },
        ),
        ir.Tool(
            "mcp__db__query rows", None, {"type": "object", "properties": {"sql": {"type": "string"}}}, strict=True
        ),
        ir.ServerTool("web_search", ir.Native(Protocol.MESSAGES, None, {"type": "web_search_20250305"})),
    ),
    tool_choice=ir.ToolChoice("auto"),
    parallel_tool_calls=True,
    max_output_tokens=128_000,
    sampling=ir.Sampling(temperature=1.0, stop=("\n\nHuman:",)),
    thinking=ir.Thinking(True, budget=31_999),
    output=ir.OutputFormat("json_schema", {"type": "object", "properties": {"done": {"type": "boolean"}}}),
    stream=True,
    user="user-1",
    native=(ir.Native(Protocol.MESSAGES, None, {"context_management": {"edits": []}}),),
)


def told(losses: Any) -> list[str]:
    return [f"{loss.path}: {loss.what}{' (approximate)' if loss.approximate else ''}" for loss in losses]


def test_an_agent_on_gemini_3(snapshot: SnapshotAssertion) -> None:
    encoded = codec.encode_request(AGENT, target("gemini-3.5-flash", max_output_tokens=65_536), new_id=mint)
    legal.check(encoded.payload, levels={"MINIMAL", "LOW", "MEDIUM", "HIGH"}, signed=True)
    assert {"payload": encoded.payload, "losses": told(encoded.losses)} == snapshot


def test_an_agent_on_gemini_25(snapshot: SnapshotAssertion) -> None:
    encoded = codec.encode_request(AGENT, target("gemini-2.5-pro", max_output_tokens=65_536), new_id=mint)
    legal.check(encoded.payload)
    assert {"payload": encoded.payload, "losses": told(encoded.losses)} == snapshot


# What Google's own command line sends.
CLI: Any = {
    "contents": [
        {"role": "user", "parts": [{"text": "Set-up"}]},
        {"role": "model", "parts": [{"text": "Got it."}]},
        {"role": "user", "parts": [{"text": "what is in pic.png?"}]},
        {
            "role": "model",
            "parts": [
                {
                    "functionCall": {"name": "read_file", "args": {"path": "pic.png"}, "id": "read_file-1"},
                    "thoughtSignature": "c2ln",
                }
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "read_file-1",
                        "name": "read_file",
                        "response": {"output": "Binary content provided (1 item(s))."},
                    }
                },
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
            ],
        },
    ],
    "systemInstruction": {"role": "user", "parts": [{"text": "You are a CLI."}]},
    "tools": [
        {
            "functionDeclarations": [
                {
                    "name": "read_file",
                    "description": "Reads.",
                    "parametersJsonSchema": {"type": "object", "properties": {"path": {"type": "string"}}},
                }
            ]
        }
    ],
    "generationConfig": {
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"},
    },
}


def test_a_request_of_the_cli(snapshot: SnapshotAssertion) -> None:
    read = codec.decode_request(CLI, model="gemini-3-flash-preview", stream=True)
    assert read == snapshot
    encoded = codec.encode_request(read, target(), new_id=mint)
    expected = {**CLI, "systemInstruction": {"parts": CLI["systemInstruction"]["parts"]}}
    assert encoded.payload == expected
    assert encoded.losses == ()


SEARCHED = [
    chunk({"text": "I should search.", "thought": True}),
    chunk(
        {
            "toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}, "id": "t1"},
            "thoughtSignature": "s1",
        }
    ),
    chunk({"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {}, "id": "t1"}}),
    chunk({"text": "It is "}, usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9}),
    chunk({"text": "sunny."}),
    chunk({"functionCall": {"name": "show", "args": {"icon": "sun"}}, "thoughtSignature": "s2"}),
    chunk(
        {"text": "", "thoughtSignature": "s3"},
        finishReason="STOP",
        safetyRatings=[{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
        usageMetadata={
            "promptTokenCount": 9,
            "toolUsePromptTokenCount": 3,
            "candidatesTokenCount": 12,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 29,
        },
    ),
]


def test_a_stream_of_gemini(snapshot: SnapshotAssertion) -> None:
    assert heard([sse(*SEARCHED)]) == snapshot


# What Claude answers to Google's command line.
CLAUDE = ir.Response(
    "msg_1",
    "claude",
    (
        ir.Reasoning("Look first.", native=SIGNED),
        ir.Text("I look. ", (ir.Citation("https://a.example", "A", None, 0, 6),)),
        ir.ToolCall("toolu_1", "read_file", '{"path": "a"}'),
        ir.ToolCall("toolu_2", "read_file", '{"path": "b"}'),
    ),
    ir.Finish("tool_calls", "tool_use"),
    ir.Usage(100, 30, 80, 10, 12, {"input_tokens": 10}),
    1_700_000_000,
    (ir.Native(Protocol.MESSAGES, "anthropic", {"container": {"id": "c"}}),),
)


def test_an_answer_of_claude_for_the_cli(snapshot: SnapshotAssertion) -> None:
    encoded = codec.encode_response(CLAUDE, ASKED, new_id=mint)
    assert {"payload": encoded.payload, "losses": told(encoded.losses)} == snapshot


def test_a_stream_of_claude_for_the_cli(snapshot: SnapshotAssertion) -> None:
    stream, losses = streamed(CLAUDE)
    assert {"stream": stream.decode().split("\n\n"), "losses": told(losses)} == snapshot


def test_an_answer_of_gemini_for_its_own_clients(snapshot: SnapshotAssertion) -> None:
    read = codec.decode_response(
        chunk(
            {"text": "done", "thoughtSignature": "s"},
            finishReason="MAX_TOKENS",
            avgLogprobs=-0.5,
            usageMetadata={"promptTokenCount": 1, "totalTokenCount": 1},
            createTime="2026-01-02T03:04:05.678Z",
        ),
        CONTEXT,
    )
    assert read == snapshot
    again = b"".join(written(read))
    assert (
        msgspec.json.decode(again.splitlines()[-2].removeprefix(b"data: "))["createTime"] == "2026-01-02T03:04:05.678Z"
    )


def written(answer: ir.Response) -> list[bytes]:
    encoder = codec.stream_encoder(ASKED, new_id=mint)
    return [encoder.encode(event) for event in events(answer)]
