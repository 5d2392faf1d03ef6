"""Streams: an upstream's events however it tells them, and those that strict clients read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import Asked, Context, ToolName
from ccx.protocols.messages import codec
from ccx.protocols.names import Protocol
from ccx.protocols.sse import Event, SseDecoder
from ccx.protocols.stream import Assembler, events

CONTEXT = Context("anthropic", "claude-x", {"patch": ToolName("apply", "fs", "custom")}, "json_output")
ASKED = Asked("claude-y", {}, True, 0)

START = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 1}},
}
END = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    },
    {"type": "message_stop"},
]


def opened(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **said: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": said}


def text(index: int, said: str) -> dict[str, Any]:
    return delta(index, type="text_delta", text=said)


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def fed(*data: Any, named: bool = False) -> list[ir.Event]:
    decoder = codec.stream_decoder(CONTEXT)
    assembler = Assembler()
    found: list[ir.Event] = []
    for one in data:
        raw = one if isinstance(one, bytes) else json.dumps(one).encode()
        found.extend(decoder.feed(Event(one["type"] if named else "message", raw)))
    found.extend(decoder.end())
    for event in found:
        assembler.feed(event)
    return found


def parts(*data: Any) -> tuple[ir.Part, ...]:
    assembler = Assembler()
    for event in fed(START, *data, *END):
        assembler.feed(event)
    assert assembler.response is not None
    return assembler.response.parts


def own(data: Any) -> tuple[ir.Native, ...]:
    return (ir.Native(Protocol.MESSAGES, "anthropic", data),)


def test_events_come_out_as_they_come_in() -> None:
    found = fed(START, opened(0, type="text", text=""), text(0, "a"), {"type": "ping"}, text(0, "b"), stop(0), *END)
    usage = {"input_tokens": 5, "output_tokens": 9}
    assert found == [
        ir.Begin("msg_1", "claude-x", usage=ir.Usage(5, 1, raw={"input_tokens": 5, "output_tokens": 1})),
        ir.PartBegin(0, ir.Text("")),
        ir.PartDelta(0, "a"),
        ir.PartDelta(0, "b"),
        ir.PartEnd(0),
        ir.End(ir.Finish("stop", "end_turn"), ir.Usage(5, 9, raw=usage)),
    ]


def test_event_names_are_as_good_as_types() -> None:
    decoder = codec.stream_decoder(CONTEXT)
    bare = {key: value for key, value in START.items() if key != "type"}
    assert isinstance(decoder.feed(Event("message_start", json.dumps(bare).encode()))[0], ir.Begin)


PARTS: list[tuple[str, list[dict[str, Any]], tuple[ir.Part, ...]]] = [
    (
        "thought",
        [
            opened(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="hm"),
            delta(0, type="signature_delta", signature="sig"),
            stop(0),
        ],
        (ir.Reasoning("hm", native=own({"signature": "sig"})),),
    ),
    (
        "redacted",
        [opened(0, type="redacted_thinking", data="enc"), stop(0)],
        (ir.Reasoning("", native=own({"data": "enc"})),),
    ),
    (
        "call",
        [
            opened(0, type="tool_use", id="t", name="f", input={}, caller={"type": "direct"}),
            delta(0, type="input_json_delta", partial_json='{"a"'),
            delta(0, type="input_json_delta", partial_json=": 1}"),
            stop(0),
        ],
        (ir.ToolCall("t", "f", '{"a": 1}', native=own({"caller": {"type": "direct"}})),),
    ),
    (
        "call without arguments",
        [
            opened(0, type="tool_use", id="t", name="f", input={}),
            delta(0, type="input_json_delta", partial_json=""),
            stop(0),
        ],
        (ir.ToolCall("t", "f", "{}"),),
    ),
    (
        "call whose arguments come at once",
        [opened(0, type="tool_use", id="t", name="f", input={"a": 1}), stop(0)],
        (ir.ToolCall("t", "f", '{"a":1}'),),
    ),
    (
        "custom call",
        [
            opened(0, type="tool_use", id="t", name="patch", input={}),
            delta(0, type="input_json_delta", partial_json='{"input": "*** '),
            delta(0, type="input_json_delta", partial_json='\\n"}'),
            stop(0),
        ],
        (ir.ToolCall("t", "apply", "*** \n", "custom", "fs"),),
    ),
    (
        "structured output",
        [
            opened(0, type="tool_use", id="t", name="json_output", input={}),
            delta(0, type="input_json_delta", partial_json='{"n": 2}'),
            stop(0),
        ],
        (ir.Text('{"n": 2}'),),
    ),
    (
        "a server's tool",
        [
            opened(0, type="server_tool_use", id="s", name="web_search", input={}),
            delta(0, type="input_json_delta", partial_json='{"q":1}'),
            stop(0),
            opened(1, type="web_search_tool_result", tool_use_id="s", content=[{"url": "u"}]),
            stop(1),
        ],
        (
            ir.ToolCall("s", "web_search", '{"q":1}', server=True, native=own({"type": "server_tool_use"})),
            ir.ToolResult(
                "s", (), server=True, native=own({"type": "web_search_tool_result", "content": [{"url": "u"}]})
            ),
        ),
    ),
    (
        "citations",
        [
            opened(0, type="text", text="", citations=[]),
            text(0, "a"),
            delta(0, type="citations_delta", citation={"type": "char_location", "cited_text": "q"}),
            stop(0),
        ],
        (ir.Text("a", (ir.Citation(quote="q", native=own({"type": "char_location", "cited_text": "q"})),)),),
    ),
    (
        "a block that is not known",
        [
            opened(0, type="compaction", content=None),
            delta(0, type="compaction_delta", content="su", encrypted_content="e"),
            delta(0, type="compaction_delta", content="m"),
            stop(0),
        ],
        (ir.Opaque("compaction", own({"type": "compaction", "content": "sum", "encrypted_content": "e"})[0]),),
    ),
    (
        "interleaved",
        [
            opened(0, type="text", text=""),
            opened(1, type="tool_use", id="t", name="f", input={}),
            delta(1, type="input_json_delta", partial_json="{}"),
            text(0, "a"),
            stop(1),
            text(0, "b"),
            stop(0),
        ],
        (ir.Text("ab"), ir.ToolCall("t", "f", "{}")),
    ),
    ("a block that is not announced", [text(0, "a"), stop(0)], (ir.Text("a"),)),
    ("a block that does not stop", [opened(0, type="text", text="a")], (ir.Text("a"),)),
]


@pytest.mark.parametrize(("data", "expected"), [row[1:] for row in PARTS], ids=[row[0] for row in PARTS])
def test_parts(data: list[dict[str, Any]], expected: tuple[ir.Part, ...]) -> None:
    assert parts(*data) == expected


def test_an_unknown_end_and_what_was_said_beside_it() -> None:
    ending = {
        "type": "message_delta",
        "delta": {"stop_reason": "refusal", "stop_details": {"category": "bio"}, "container": None},
        "context_management": {"applied_edits": []},
    }
    found = fed(START, ending, {"type": "message_stop"})[-1]
    assert isinstance(found, ir.End)
    assert found.finish == ir.Finish("refusal", "refusal")
    assert found.native == own({"stop_details": {"category": "bio"}, "context_management": {"applied_edits": []}})


def test_errors_are_word_for_word() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded: é"}}
    found = fed(START, opened(0, type="text", text=""), text(0, "a"), error, text(0, "b"))
    assert found[-1] == ir.Failed("overloaded", "Overloaded: é", "overloaded_error")
    assert fed({"error": {"message": "quota"}}) == [ir.Failed("api_error", "quota")]
    assert fed({"type": "error", "error": "plain"}) == [ir.Failed("api_error", "plain")]


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4])
def test_a_cut_stream_is_a_failure(kept: int) -> None:
    whole = [START, opened(0, type="text", text=""), text(0, "a"), stop(0)]
    found = fed(*whole[:kept])
    assert isinstance(found[-1], ir.Failed)
    assert not any(isinstance(event, ir.End) for event in found)


def test_an_end_that_was_said_counts_without_its_last_event() -> None:
    assert isinstance(fed(START, END[0])[-1], ir.End)
    assert isinstance(fed(START, opened(0, type="text", text=""), END[0])[-1], ir.Failed)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"\xff",
        {"type": "message_start"},
        {"type": "content_block_start", "index": 0},
        {"type": "content_block_start", "index": "0", "content_block": {"type": "text"}},
        delta(7, type="input_json_delta", partial_json="{}"),
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        delta(0, type="text_delta", text=3),
    ],
)
def test_garbage(data: Any) -> None:
    with pytest.raises(BadReply):
        fed(data)


def test_what_says_nothing_is_passed_over() -> None:
    assert fed(b"[DONE]", b" ", {"type": "ping"}, {"type": "vertex_event"}, START, *END)[-1] == ir.End(
        ir.Finish("stop", "end_turn"), ir.Usage(5, 9, raw={"input_tokens": 5, "output_tokens": 9})
    )


# --- writing ----------------------------------------------------------------------------------------------------------


def written(*said: ir.Event) -> tuple[list[tuple[str, dict[str, Any]]], list[ir.Loss]]:
    encoder = codec.stream_encoder(ASKED, new_id=lambda prefix: f"{prefix}new")
    stream = b"".join(encoder.encode(event) for event in said)
    found = [(event.event, msgspec.json.decode(event.data)) for event in SseDecoder().feed(stream)]
    assert all(name == data["type"] for name, data in found)
    return found, encoder.losses


def gemini(signature: str) -> tuple[ir.Native, ...]:
    return (ir.Native(Protocol.GEMINI, "gemini", {"thoughtSignature": signature}),)


ANSWER = ir.Response(
    "resp_1",
    "gpt",
    (
        ir.Reasoning("hm", native=gemini("a")),
        ir.Text("Hello", (ir.Citation("https://a", "A", "q"),)),
        ir.Text(""),
        ir.ToolCall("t1", "f", '{"a":1}', native=gemini("b")),
        ir.ToolCall("t2", "g", ""),
        ir.Opaque("compaction", ir.Native(Protocol.RESPONSES, "openai", {"type": "compaction"})),
    ),
    ir.Finish("stop"),
    ir.Usage(10, 20, 4),
)


def test_a_strict_sdk_takes_every_event() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    found, losses = written(*events(ANSWER))
    for _, data in found:
        parsed = adapter.validate_python(data)
        assert parsed.type == data["type"]
        if data["type"] == "content_block_start":
            assert parsed.content_block.type == data["content_block"]["type"]
        if data["type"] == "content_block_delta":
            assert parsed.delta.type == data["delta"]["type"]
    assert [loss.what for loss in losses] == ["citations", "unknown_part:compaction"]


def test_the_sequence_of_events() -> None:
    found, _ = written(*events(ANSWER))
    told = [
        (name, data.get("index"), (data.get("content_block") or data.get("delta") or {}).get("type"))
        for name, data in found
    ]
    assert told == [
        ("message_start", None, None),
        ("content_block_start", 0, "thinking"),
        ("content_block_delta", 0, "thinking_delta"),
        ("content_block_delta", 0, "signature_delta"),
        ("content_block_stop", 0, None),
        ("content_block_start", 1, "text"),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_delta", 1, "citations_delta"),
        ("content_block_stop", 1, None),
        ("content_block_start", 2, "redacted_thinking"),
        ("content_block_stop", 2, None),
        ("content_block_start", 3, "tool_use"),
        ("content_block_delta", 3, "input_json_delta"),
        ("content_block_stop", 3, None),
        ("content_block_start", 4, "tool_use"),
        ("content_block_stop", 4, None),
        ("content_block_start", 5, "redacted_thinking"),
        ("content_block_stop", 5, None),
        ("message_delta", None, None),
        ("message_stop", None, None),
    ]
    assert found[0][1]["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert found[-2][1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert found[-2][1]["usage"] == {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 20}


def test_usage_of_the_prompt_is_told_at_once_if_it_is_known() -> None:
    found, _ = written(ir.Begin("x", "y", usage=ir.Usage(10, None, 4)))
    assert found[0][1]["message"]["usage"] == {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 0}


def test_residue_that_comes_late_goes_behind_its_part() -> None:
    begin, end = ir.Begin("msg_1", "m"), ir.End(ir.Finish("stop"))
    late = [
        ir.PartBegin(0, ir.Text("")),
        ir.PartDelta(0, "a"),
        ir.PartEnd(0, gemini("a")),
        ir.PartBegin(1, ir.ToolCall("t", "f", "")),
        ir.PartDelta(1, "{}"),
        ir.PartEnd(1, gemini("b")),
    ]
    found, losses = written(begin, *late, end)
    assert losses == []
    content = [data["content_block"] for name, data in found if name == "content_block_start"]
    assert [block["type"] for block in content] == ["text", "redacted_thinking", "tool_use", "redacted_thinking"]
    body: ir.JsonObject = {"messages": [{"role": "assistant", "content": content}]}
    first, call = codec.decode_request(body, model="m", stream=False).messages[0].parts
    assert first.native == gemini("a")  # type: ignore[union-attr]  # a text
    assert call == ir.ToolCall("t", "f", "{}", native=gemini("b"))


def test_nothing_follows_a_last_text() -> None:
    begin, end = ir.Begin("msg_1", "m"), ir.End(ir.Finish("stop"))
    found, losses = written(begin, ir.PartBegin(0, ir.Text("")), ir.PartDelta(0, "a"), ir.PartEnd(0, gemini("a")), end)
    assert sum(name == "content_block_start" for name, _ in found) == 1
    assert [loss.what for loss in losses] == ["signature"]


def test_a_failure_is_the_protocols_error() -> None:
    found, _ = written(ir.Begin("msg_1", "m"), ir.PartBegin(0, ir.Text("")), ir.Failed("rate_limit", "Slow é", "x"))
    assert found[-1] == (
        "error",
        {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow é"}},
    )
    assert written(ir.Failed("odd", "m"))[0] == [
        ("error", {"type": "error", "error": {"type": "api_error", "message": "m"}})
    ]


def test_a_thought_that_is_not_shown() -> None:
    begin, end = ir.Begin("msg_1", "m"), ir.End(ir.Finish("stop"))
    found, _ = written(begin, ir.PartBegin(0, ir.Reasoning("")), ir.PartEnd(0, own({"signature": "s"})), end)
    assert [data for name, data in found if name.startswith("content_block")] == [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
    ]
