"""What a client of Messages writes, as the neutral form has it."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.errors import ClientError
from ccx.protocols import ir
from ccx.protocols.messages import codec
from ccx.protocols.names import Protocol
from ccx.protocols.residue import seal


def native(data: Any) -> tuple[ir.Native, ...]:
    return (ir.Native(Protocol.MESSAGES, None, data),)


def decoded(**body: Any) -> ir.Request:
    given = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}], **body}
    return codec.decode_request(given, model=given["model"], stream=bool(given.get("stream")))


def part(block: Any, role: str = "user") -> ir.Part:
    request = decoded(messages=[{"role": role, "content": [block]}])
    (only,) = request.messages[0].parts
    return only


CACHED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}

BLOCKS: list[tuple[Any, ir.Part]] = [
    ({"type": "text", "text": "a"}, ir.Text("a")),
    ({"type": "text", "text": "a", **CACHED}, ir.Text("a", cache=ir.CacheBreakpoint("1h"))),
    (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "scope": "global"}},
        ir.Text("a", native=native({"cache_control": {"type": "ephemeral", "scope": "global"}})),
    ),
    (
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}, **CACHED},
        ir.ToolCall("t1", "f", "{}", cache=ir.CacheBreakpoint("1h")),
    ),
    (
        {"type": "tool_result", "tool_use_id": "t1", "cache_control": {"type": "ephemeral"}},
        ir.ToolResult("t1", (), cache=ir.CacheBreakpoint()),
    ),
    ({"type": "text", "text": "a", "citations": None}, ir.Text("a")),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}, **CACHED},
        ir.Media("image", ir.Inline("QQ==", "image/png"), cache=ir.CacheBreakpoint("1h")),
    ),
    (
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        ir.Media("image", ir.Remote("https://a/b.png")),
    ),
    (
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        ir.Media("image", ir.FileRef("file_1"), native=native({"source": {"type": "file", "file_id": "file_1"}})),
    ),
    (
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            "title": "T",
            "context": "C",
            "citations": {"enabled": True},
        },
        ir.Media(
            "document",
            ir.Inline("QQ==", "application/pdf"),
            "T",
            native=native({"context": "C", "citations": {"enabled": True}}),
        ),
    ),
    (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
        ir.Media("document", ir.Inline("w6k=", "text/plain")),
    ),
    (
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "A"}]}},
        ir.Media(
            "document",
            ir.Inline("QQ==", "text/plain"),
            native=native({"source": {"type": "content", "content": [{"type": "text", "text": "A"}]}}),
        ),
    ),
    (
        {"type": "image", "source": {"type": "odd"}},
        ir.Opaque("image", native({"type": "image", "source": {"type": "odd"}})[0]),
    ),
    (
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        ir.Reasoning("hm", native=native({"signature": "sig"})),
    ),
    ({"type": "thinking", "thinking": "hm", "signature": ""}, ir.Reasoning("hm")),
    ({"type": "thinking", "thinking": "", "signature": "sig"}, ir.Reasoning("", native=native({"signature": "sig"}))),
    ({"type": "redacted_thinking", "data": "enc"}, ir.Reasoning("", native=native({"data": "enc"}))),
    (
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
        ir.ToolCall("t1", "f", '{"a":1}', native=native({"caller": {"type": "direct"}})),
    ),
    ({"type": "tool_use", "id": "ccxid_Zi54OjA", "name": "f", "input": {}}, ir.ToolCall("f.x:0", "f", "{}")),
    ({"type": "tool_result", "tool_use_id": "t1", "content": "ok"}, ir.ToolResult("t1", (ir.Text("ok"),))),
    ({"type": "tool_result", "tool_use_id": "t1"}, ir.ToolResult("t1", ())),
    (
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "is_error": True,
            "content": [
                {"type": "text", "text": "no"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="}},
                {"type": "tool_reference", "tool_name": "g"},
            ],
        },
        ir.ToolResult(
            "t1",
            (
                ir.Text("no"),
                ir.Media("image", ir.Inline("QQ==", "image/png")),
                ir.Opaque("tool_reference", native({"type": "tool_reference", "tool_name": "g"})[0]),
            ),
            is_error=True,
        ),
    ),
    (
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
        ir.ToolCall("s1", "web_search", '{"query":"q"}', server=True, native=native({"type": "server_tool_use"})),
    ),
    (
        {"type": "mcp_tool_use", "id": "s1", "name": "f", "server_name": "x", "input": {}},
        ir.ToolCall("s1", "f", "{}", server=True, native=native({"type": "mcp_tool_use", "server_name": "x"})),
    ),
    (
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"encrypted_content": "e"}]},
        ir.ToolResult(
            "s1",
            (),
            server=True,
            native=native({"type": "web_search_tool_result", "content": [{"encrypted_content": "e"}]}),
        ),
    ),
    (
        {"type": "search_result", "source": "u", "title": "t", "content": []},
        ir.Opaque("search_result", native({"type": "search_result", "source": "u", "title": "t", "content": []})[0]),
    ),
]


@pytest.mark.parametrize(("block", "expected"), BLOCKS, ids=[str(index) for index in range(len(BLOCKS))])
def test_blocks(block: Any, expected: ir.Part) -> None:
    assert part(block) == expected


def test_citations_keep_their_form() -> None:
    found = {
        "type": "char_location",
        "cited_text": "q",
        "document_index": 0,
        "document_title": "D",
        "start_char_index": 0,
        "end_char_index": 1,
    }
    text = part({"type": "text", "text": "a", "citations": [found]}, "assistant")
    assert text == ir.Text("a", (ir.Citation(title="D", quote="q", native=native(found)),))


def test_system_and_its_positions() -> None:
    request = decoded(
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1"},
            {"type": "text", "text": "Be brief.", **CACHED},
        ],
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": "Be long.", "output_config": {"effort": "low"}},
        ],
    )
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1"}
    assert request.messages == (
        ir.Message(
            "system",
            (
                ir.Opaque("x-anthropic-billing-header", native(billing)[0]),
                ir.Text("Be brief.", cache=ir.CacheBreakpoint("1h")),
            ),
        ),
        ir.Message("user", (ir.Text("Hi"),)),
        ir.Message("system", (ir.Text("Be long."),), native({"output_config": {"effort": "low"}})),
    )


THINKING: list[tuple[dict[str, Any], ir.Thinking, Any]] = [
    ({}, ir.Thinking(), {}),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, ir.Thinking(True, None, 2000), {}),
    ({"thinking": {"type": "adaptive", "display": "summarized"}}, ir.Thinking(True, adaptive=True, summary=True), {}),
    ({"thinking": {"type": "adaptive", "display": "omitted"}}, ir.Thinking(True, adaptive=True, summary=False), {}),
    ({"thinking": {"type": "disabled"}}, ir.Thinking(False), {}),
    ({"thinking": {"type": "between_tools"}}, ir.Thinking(False), {"thinking": {"type": "between_tools"}}),
    (
        {"thinking": {"type": "adaptive", "x": 1}},
        ir.Thinking(True, adaptive=True),
        {"thinking": {"type": "adaptive", "x": 1}},
    ),
    (
        {"output_config": {"effort": "high", "task_budget": {"total": 9}}},
        ir.Thinking(effort="high"),
        {"output_config": {"task_budget": {"total": 9}}},
    ),
]


@pytest.mark.parametrize(("body", "expected", "residue"), THINKING)
def test_thinking(body: dict[str, Any], expected: ir.Thinking, residue: Any) -> None:
    request = decoded(**body)
    assert request.thinking == expected
    assert request.native == (native(residue) if residue else ())


def test_settings() -> None:
    request = decoded(
        temperature=0.5,
        top_p=1,
        top_k=3,
        stop_sequences=["END"],
        service_tier="standard_only",
        metadata={"user_id": '{"session_id":"s"}', "x": 1},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        context_management={"edits": []},
        safeguards={"a": 1},
        stream=True,
    )
    assert request.sampling == ir.Sampling(0.5, 1, 3, stop=("END",))
    assert request.service_tier == "default"
    assert request.user == '{"session_id":"s"}'
    assert request.output == ir.OutputFormat("json_schema", {"type": "object"})
    assert request.stream
    assert request.max_output_tokens == 10
    expected = {
        "output_config": {},
        "metadata": {"x": 1},
        "context_management": {"edits": []},
        "safeguards": {"a": 1},
    }
    assert request.native == native(expected)


def test_the_older_name_of_structured_output() -> None:
    request = decoded(output_format={"type": "json_schema", "schema": {"type": "object"}})
    assert request.output == ir.OutputFormat("json_schema", {"type": "object"})
    assert request.native == ()


def test_tools() -> None:
    request = decoded(
        tools=[
            {
                "type": "custom",
                "name": "f",
                "description": "d",
                "input_schema": {"$schema": "x", "type": "object"},
                "strict": True,
                "defer_loading": True,
            },
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2},
            {"type": "mcp_toolset", "mcp_server_name": "x"},
        ]
    )
    schema = {"$schema": "x", "type": "object"}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    toolset = {"type": "mcp_toolset", "mcp_server_name": "x"}
    assert request.tools == (
        ir.Tool("f", "d", schema, strict=True, native=native({"defer_loading": True})),
        ir.ServerTool("web_search", native(search)[0]),
        ir.ServerTool("mcp_toolset", native(toolset)[0]),
    )


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ir.ToolChoice("auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ir.ToolChoice("required"), False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ir.ToolChoice("named", ("f",)), True),
        ({"type": "none"}, ir.ToolChoice("none"), None),
    ],
)
def test_tool_choice(choice: Any, expected: ir.ToolChoice, parallel: bool | None) -> None:
    request = decoded(tool_choice=choice)
    assert request.tool_choice == expected
    assert request.parallel_tool_calls == parallel


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": None}, "messages: Field required"),
        ({"messages": "Hi"}, "messages: Input should be a valid array"),
        ({"messages": [3]}, "messages.0: Input should be a valid object"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text: Input should be"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages.0.content.0.type: Field required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a"}]}]},
            "messages.0.content.0.name: Field required",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages.0.content.0.tool_use_id: Field required",
        ),
        ({"tools": {}}, "tools: Input should be a valid array"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name: Field required"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type: 'some' is none of"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: Field required"),
        ({"max_tokens": "10"}, "max_tokens: Input should be a valid number"),
        ({"max_tokens": 1.5}, "max_tokens: Input should be a valid integer"),
        ({"temperature": True}, "temperature: Input should be a valid number"),
        ({"stop_sequences": "END"}, "stop_sequences: Input should be a valid array"),
        ({"stop_sequences": [1]}, "stop_sequences: Input should be an array of strings"),
        ({"system": 3}, "system: Input should be a valid string"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_path(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError) as caught:
        decoded(**body)
    assert caught.value.status == 400
    assert caught.value.message.startswith(message)


def test_a_damaged_token_of_ours_is_no_signature() -> None:
    sealed = seal((ir.Native(Protocol.GEMINI, "gemini", {"thoughtSignature": "x"}),))
    assert part({"type": "thinking", "thinking": "hm", "signature": sealed[:-3]}, "assistant") == ir.Reasoning("hm")
    assert part({"type": "redacted_thinking", "data": sealed[:-3]}, "assistant") == ir.Reasoning("")
    opened = part({"type": "thinking", "thinking": "hm", "signature": sealed}, "assistant")
    assert opened == ir.Reasoning("hm", native=(ir.Native(Protocol.GEMINI, "gemini", {"thoughtSignature": "x"}),))


def test_a_tier_that_is_no_word_is_residue() -> None:
    found = decoded(service_tier={"type": "odd"})
    assert found.service_tier is None
    assert found.native == native({"service_tier": {"type": "odd"}})
