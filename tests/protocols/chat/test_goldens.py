"""A conversation of an agent, as each vendor gets it, and an answer as a client gets it."""

from __future__ import annotations

import msgspec
import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.protocols import ir
from ccx.protocols.chat import codec
from ccx.protocols.dialects import _ROWS
from ccx.protocols.names import Protocol
from ccx.protocols.stream import events
from tests.protocols.chat.kit import asked, counting, native, streamed, write

HINT = native({"cache_control": {"type": "ephemeral"}}, protocol=Protocol.MESSAGES)
SIGNATURE = native({"signature": "c2lnbmF0dXJl"}, issuer="anthropic", protocol=Protocol.MESSAGES)
PIXEL = ir.Inline("iVBORw0KGgo=", "image/png")
READ = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}

CONVERSATION = ir.Request(
    model="claude-sonnet",
    messages=(
        ir.Message("system", (ir.Text("You are an agent."), ir.Text("Be brief.", native=(HINT,)))),
        ir.Message("user", (ir.Text("What is in these?"), ir.Media("image", PIXEL, detail="low"))),
        ir.Message(
            "assistant",
            (
                ir.Reasoning("I should read both files.", native=(SIGNATURE,)),
                ir.Text("Let me look."),
                ir.ToolCall("toolu_01AbCdEfGhIjKlMnOpQrStUv", "read", '{"path":"a.txt"}'),
                ir.ToolCall("toolu_02AbCdEfGhIjKlMnOpQrStUv", "patch", "*** Begin", kind="custom"),
            ),
        ),
        ir.Message(
            "user",
            (
                ir.ToolResult("toolu_01AbCdEfGhIjKlMnOpQrStUv", (ir.Text("hello"), ir.Media("image", PIXEL))),
                ir.ToolResult("toolu_02AbCdEfGhIjKlMnOpQrStUv", (ir.Text("no such file"),), is_error=True),
                ir.Text("Go on."),
            ),
        ),
        ir.Message("system", (ir.Text("The user is in a hurry."),)),
        ir.Message("assistant", (ir.Text("The first says hello."),)),
        ir.Message("user", (ir.Text("Thanks. And now?"),)),
    ),
    tools=(
        ir.Tool("read", "Reads a file.", READ, strict=True),
        ir.Tool("patch", "Patches files.", kind="custom", grammar=("lark", "start: /.+/")),
        ir.Tool("search", "Finds.", {"type": "object"}, namespace="docs"),
        ir.ServerTool("web_search", native({"type": "web_search_20250305"}, protocol=Protocol.MESSAGES)),
    ),
    tool_choice=ir.ToolChoice("named", ("read", "search")),
    parallel_tool_calls=True,
    max_output_tokens=64_000,
    sampling=ir.Sampling(temperature=1.0, top_p=0.9, top_k=20, seed=7, stop=("END", "STOP")),
    thinking=ir.Thinking(enabled=True, budget=12_000),
    output=ir.OutputFormat("json_schema", {"type": "object"}, "result"),
    stream=True,
    service_tier="auto",
    user="device_0123456789012345678901234567890123456789012345678901234567890123456789",
    metadata={"team": "a"},
    native=(native({"context_management": {"edits": []}}, protocol=Protocol.MESSAGES),),
)

THOUGHT = native({"thoughtSignature": "dHM="}, issuer="gemini", protocol=Protocol.GEMINI)
ANSWER = ir.Response(
    id="msg_01",
    model="claude-sonnet",
    parts=(
        ir.Reasoning("Two steps.", native=(SIGNATURE,)),
        ir.Text("As the page says.", citations=(ir.Citation("https://example.com", "Example", start=0, end=6),)),
        ir.ToolCall("toolu_03", "read", '{"path":"b.txt"}'),
        ir.ToolCall(
            "toolu_04",
            "read",
            '{"path":"c.txt"}',
            native=(THOUGHT,),
        ),
    ),
    finish=ir.Finish("tool_calls", "tool_use"),
    usage=ir.Usage(120, 30, 100, 8, 12),
)


@pytest.mark.parametrize("name", sorted(_ROWS))
def test_a_conversation_for_each_vendor(name: str, snapshot: SnapshotAssertion) -> None:
    encoded = write(CONVERSATION, name, max_output_tokens=32_000, thinking=True)
    losses = [f"{loss.what}{'~' if loss.approximate else ''} at {loss.path}: {loss.detail}" for loss in encoded.losses]
    context = encoded.context
    assert context is not None
    assert {"payload": encoded.payload, "losses": losses, "tools": dict(context.tools)} == snapshot


def test_an_answer(snapshot: SnapshotAssertion) -> None:
    encoded = codec.encode_response(ANSWER, asked(), new_id=counting())
    assert encoded.losses == ()
    assert msgspec.json.format(msgspec.json.encode(encoded.payload)).decode() == snapshot


def test_a_stream(snapshot: SnapshotAssertion) -> None:
    raw, losses = streamed(events(ANSWER), stream_options={"include_usage": True})
    assert losses == []
    assert raw.decode() == snapshot
