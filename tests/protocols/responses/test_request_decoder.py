"""A client's request, read: what each item, tool and field becomes, and that it comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.errors import ClientError
from ccx.protocols import ir
from tests.protocols.responses.kit import again, native, read

PNG = "data:image/png;base64,aGk="


def item(raw: dict[str, Any]) -> ir.Part:
    """The only part of the only message."""
    (message,) = read({"input": [raw]}).messages
    (part,) = message.parts
    return part


def user(part: dict[str, Any]) -> ir.Part:
    return item({"role": "user", "content": [part]})


def test_an_input_in_words_is_a_word_of_the_user() -> None:
    request = read({"input": "hi", "instructions": "be kind"})
    assert request.messages == (
        ir.Message("system", (ir.Text("be kind"),)),
        ir.Message("user", (ir.Text("hi"),)),
    )


@pytest.mark.parametrize("kind", [{}, {"type": "message"}])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_messages_of_the_input_keep_their_role(kind: dict[str, Any], role: str) -> None:
    raw = {**kind, "role": role, "content": "x"}
    assert read({"input": [raw]}).messages == (ir.Message("system", (ir.Text("x"),), native({"role": role})),)
    assert again({"input": [raw]})["input"] == [{"type": "message", "role": role, "content": "x"}]


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ({"type": "input_text", "text": "a"}, ir.Text("a")),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"x": 1}},
            ir.Text("a", native=native({"prompt_cache_breakpoint": {"x": 1}})),
        ),
        (
            {"type": "input_image", "image_url": PNG, "detail": "high"},
            ir.Media("image", ir.Inline("aGk=", "image/png"), detail="high"),
        ),
        (
            {"type": "input_image", "image_url": "https://e.com/a.png", "detail": "original"},
            ir.Media("image", ir.Remote("https://e.com/a.png"), native=native({"detail": "original"})),
        ),
        (
            {"type": "input_image", "file_id": "file-1"},
            ir.Media("image", ir.FileRef("file-1"), native=native({"file_id": "file-1"})),
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="},
            ir.Media("document", ir.Inline("aGk=", "application/pdf"), name="a.pdf"),
        ),
        (
            {"type": "input_file", "file_url": "https://e.com/a.pdf"},
            ir.Media("document", ir.Remote("https://e.com/a.pdf")),
        ),
        (
            {"type": "input_file", "file_id": "file-1"},
            ir.Media("document", ir.FileRef("file-1"), native=native({"file_id": "file-1"})),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "mp3"}},
            ir.Media("audio", ir.Inline("aGk=", "audio/mpeg"), native=native({"input_audio": {"format": "mp3"}})),
        ),
        (
            {"type": "input_hologram", "depth": 3},
            ir.Opaque("input_hologram", native({"content_part": {"type": "input_hologram", "depth": 3}})[0]),
        ),
    ],
)
def test_parts_of_a_message(raw: dict[str, Any], part: ir.Part) -> None:
    assert user(raw) == part
    (written,) = again({"input": [{"role": "user", "content": [raw, raw]}]})["input"]
    assert written == {"type": "message", "role": "user", "content": [raw, raw]}


def test_base64_without_a_type_is_a_pdf() -> None:
    assert user({"type": "input_file", "file_data": "aGk="}) == ir.Media(
        "document", ir.Inline("aGk=", "application/pdf")
    )


def test_what_stands_between_words_of_the_user_is_one_turn() -> None:
    items = [
        {"role": "user", "content": "go"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look."}],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "exec", "namespace": "functions", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_image", "image_url": PNG}]},
        {"role": "user", "content": "and?"},
    ]
    messages = read({"input": items}).messages
    assert messages == (
        ir.Message("user", (ir.Text("go"),)),
        ir.Message(
            "assistant",
            (
                ir.Reasoning("hm", summary=True, native=native({"id": "rs_1"})),
                ir.Text("I look.", native=native({"id": "msg_1"})),
                ir.ToolCall("c1", "look", "{}", native=native({"id": "fc_1"})),
                ir.ToolCall("c2", "exec", "ls", "custom", "functions"),
            ),
        ),
        ir.Message(
            "user",
            (
                ir.ToolResult("c1", (ir.Text("a.txt"),)),
                ir.ToolResult("c2", (ir.Media("image", ir.Inline("aGk=", "image/png")),), kind="custom"),
            ),
        ),
        ir.Message("user", (ir.Text("and?"),)),
    )


def test_two_messages_of_the_assistant_stay_two() -> None:
    items: list[Any] = [{"type": "message", "role": "assistant", "content": word} for word in ("a", "b")]
    assert again({"input": items})["input"] == items


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "short"}],
            "content": [{"type": "reasoning_text", "text": "long"}],
            "encrypted_content": "gAAA",
        },
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {"type": "output_text", "text": "a", "annotations": [], "logprobs": [{"token": "a", "logprob": -1}]},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c",
            "name": "f",
            "arguments": "{}",
            "caller": {"type": "x"},
        },
        {"type": "function_call", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "", "status": "incomplete"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "x"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": PNG}],
        },
        {"type": "item_reference", "id": "msg_1"},
        {"id": "msg_1"},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"},
        {"type": "compaction_trigger"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"]},
        {"type": "code_interpreter_call", "id": "ci_1", "status": "completed", "code": "1", "container_id": "c"},
        {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "server_label": "s", "output": "o"},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="},
        {"type": "computer_call", "id": "cu_1", "call_id": "c", "action": {"type": "click"}},
        {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "action": {"type": "exec"}},
        {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": []}},
        {"type": "apply_patch_call", "id": "ap_1", "call_id": "c", "operation": {"type": "delete_file"}},
        {"type": "tool_search_call", "id": "ts_1", "execution": "server", "arguments": {}},
        {
            "type": "tool_search_call",
            "id": "ts_1",
            "call_id": "c",
            "execution": "client",
            "status": "completed",
            "arguments": {"query": "x"},
        },
        {
            "type": "tool_search_output",
            "call_id": "c",
            "execution": "client",
            "tools": [{"type": "function", "name": "f"}],
        },
        {"type": "never_heard_of", "x": [1]},
    ],
    ids=lambda raw: str(raw.get("type")),
)
def test_every_item_goes_back_as_it_came(raw: dict[str, Any]) -> None:
    assert again({"input": [raw]})["input"] == [raw]


def test_unknown_fields_of_messages_stay_with_them() -> None:
    raw = {"type": "message", "role": "user", "content": "x", "internal_passthrough": {"turn": 1}}
    assert again({"input": [raw]})["input"] == [raw]
    raw = {**raw, "role": "assistant"}
    assert again({"input": [raw]})["input"] == [raw]


FUNCTION: dict[str, Any] = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
GRAMMAR: dict[str, Any] = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}


@pytest.mark.parametrize(
    ("raw", "tools"),
    [
        ({**FUNCTION, "strict": True}, [ir.Tool("f", "d", {"type": "object"}, True)]),
        (
            {**FUNCTION, "defer_loading": True},
            [ir.Tool("f", "d", {"type": "object"}, native=native({"defer_loading": True}))],
        ),
        (
            {"type": "custom", "name": "patch", "format": GRAMMAR},
            [ir.Tool("patch", kind="custom", grammar=("lark", "start: /x/"))],
        ),
        ({"type": "custom", "name": "exec", "description": "d"}, [ir.Tool("exec", "d", kind="custom")]),
        (
            {
                "type": "namespace",
                "name": "n",
                "description": "of n",
                "tools": [FUNCTION, {"type": "custom", "name": "c"}],
            },
            [
                ir.Tool(
                    "f",
                    "d",
                    {"type": "object"},
                    namespace="n",
                    native=native({"namespace": {"description": "of n"}}),
                ),
                ir.Tool("c", kind="custom", namespace="n"),
            ],
        ),
        (
            {"type": "namespace", "name": "n", "tools": [{"type": "later", "name": "x"}]},
            [ir.ServerTool("later", native({"in_namespace": "n", "type": "later", "name": "x"})[0])],
        ),
        (
            {"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}},
            [ir.Tool("tool_search", "d", {"type": "object"}, native=native({"type": "tool_search"}))],
        ),
        ({"type": "tool_search"}, [ir.ServerTool("tool_search", native({"type": "tool_search"})[0])]),
        (
            {"type": "web_search", "external_web_access": True},
            [ir.ServerTool("web_search", native({"type": "web_search", "external_web_access": True})[0])],
        ),
        (
            {"type": "web_search_preview"},
            [ir.ServerTool("web_search", native({"type": "web_search_preview"})[0])],
        ),
        ({"type": "mcp", "server_label": "s"}, [ir.ServerTool("mcp", native({"type": "mcp", "server_label": "s"})[0])]),
        ({"type": "never_heard_of"}, [ir.ServerTool("never_heard_of", native({"type": "never_heard_of"})[0])]),
    ],
)
def test_tools(raw: dict[str, Any], tools: list[ir.Tool | ir.ServerTool]) -> None:
    assert list(read({"input": [], "tools": [raw]}).tools) == tools
    assert again({"input": "x", "tools": [raw]})["tools"] == [raw]


def test_additional_tools_are_tools_and_stay_where_they_are() -> None:
    """As newer models of Codex have it: no `tools`, but an item that declares them."""
    declared = {
        "type": "additional_tools",
        "id": "at_1",
        "role": "developer",
        "tools": [
            {
                "type": "namespace",
                "name": "functions",
                "tools": [{"type": "custom", "name": "exec", "format": GRAMMAR}],
            },
            {"type": "namespace", "name": "collaboration", "tools": [FUNCTION]},
            {"type": "web_search"},
        ],
    }
    said = {"type": "message", "role": "user", "content": "x"}
    body = {"input": [said, declared, said]}
    request = read(body)
    assert [(getattr(tool, "namespace", None), tool.name) for tool in request.tools] == [
        ("functions", "exec"),
        ("collaboration", "f"),
        (None, "web_search"),
    ]
    assert [message.role for message in request.messages] == ["user", "user"]
    payload = again(body)
    assert payload["input"] == [said, declared, said]
    assert "tools" not in payload


def test_tools_that_a_search_found_are_tools_once() -> None:
    found = {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [FUNCTION]}
    request = read({"input": [found, {**found, "call_id": "d"}], "tools": []})
    assert [tool.name for tool in request.tools] == ["f"]
    result = request.messages[0].parts[0]
    assert isinstance(result, ir.ToolResult)
    assert result.name == "tool_search"


@pytest.mark.parametrize(
    ("raw", "choice"),
    [
        ("auto", ir.ToolChoice("auto")),
        ("none", ir.ToolChoice("none")),
        ("required", ir.ToolChoice("required")),
        ({"type": "function", "name": "f"}, ir.ToolChoice("named", ("f",))),
        ({"type": "custom", "name": "c"}, ir.ToolChoice("named", ("c",))),
        ({"type": "web_search"}, ir.ToolChoice("named", ("web_search",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
            },
            ir.ToolChoice("named", ("f", "c")),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}, None),
        ({"type": "mcp", "server_label": "s", "name": "x"}, None),
    ],
)
def test_choices(raw: Any, choice: ir.ToolChoice | None) -> None:
    body = {
        "input": "x",
        "tools": [FUNCTION, {"type": "custom", "name": "c"}, {"type": "web_search"}],
        "tool_choice": raw,
    }
    assert read(body).tool_choice == choice
    assert again(body)["tool_choice"] == raw


@pytest.mark.parametrize(
    ("raw", "thinking"),
    [
        (None, ir.Thinking()),
        ({}, ir.Thinking()),
        ({"effort": "high", "summary": "auto"}, ir.Thinking(True, "high", summary=True)),
        ({"effort": "none"}, ir.Thinking(False, "none")),
        ({"summary": "detailed"}, ir.Thinking(summary=True)),
        ({"effort": None, "summary": None}, ir.Thinking()),
        ({"effort": "low", "context": "all_turns"}, ir.Thinking(True, "low")),
    ],
)
def test_reasoning(raw: Any, thinking: ir.Thinking) -> None:
    assert read({"input": "x", "reasoning": raw}).thinking == thinking
    said = {key: value for key, value in (raw or {}).items() if value is not None}
    assert again({"input": "x", "reasoning": raw}).get("reasoning", {}) == said


def test_the_older_word_for_summaries_is_read() -> None:
    assert again({"input": "x", "reasoning": {"generate_summary": "concise"}})["reasoning"] == {"summary": "concise"}


@pytest.mark.parametrize(
    ("raw", "output"),
    [
        ({"format": {"type": "text"}}, None),
        ({"format": {"type": "json_object"}}, ir.OutputFormat("json")),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
            ir.OutputFormat("json_schema", {"type": "object"}, "n", strict=True),
        ),
        ({"format": {"type": "grammar", "x": 1}, "verbosity": "low"}, None),
    ],
)
def test_output_formats(raw: dict[str, Any], output: ir.OutputFormat | None) -> None:
    assert read({"input": "x", "text": raw}).output == output
    assert again({"input": "x", "text": raw}).get("text", {"format": {"type": "text"}}) == raw


def test_fields() -> None:
    body: dict[str, Any] = {
        "input": "x",
        "parallel_tool_calls": False,
        "max_output_tokens": 10,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_logprobs": 3,
        "service_tier": "flex",
        "user": "u",
        "metadata": {"a": "b"},
        "text": {"verbosity": "low"},
    }
    request = read(body, stream=True)
    assert request.parallel_tool_calls is False
    assert request.max_output_tokens == 10
    assert request.sampling == ir.Sampling(temperature=0.5, top_p=0.9, logprobs=3)
    assert (request.service_tier, request.user, request.metadata) == ("flex", "u", {"a": "b"})
    assert (request.verbosity, request.stream, request.model) == ("low", True, "asked-model")
    assert request.native == native({})


def test_what_only_this_protocol_knows_goes_back_word_for_word() -> None:
    body: dict[str, Any] = {
        "input": [{"type": "message", "role": "user", "content": "x"}],
        "store": False,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "previous_response_id": "resp_0",
        "conversation": {"id": "conv_1"},
        "prompt": {"id": "pmpt_1"},
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "client_metadata": {"a": 1},
        "truncation": "auto",
        "background": True,
        "max_tool_calls": 2,
        "stream_options": {"include_obfuscation": False},
        "context_management": [{"type": "compaction"}],
        "never_heard_of": [1],
    }
    assert again(body) == {"model": "the-model", **body}
    assert read(body).sampling.logprobs == 0


def test_an_input_that_stands_elsewhere_is_not_made_up() -> None:
    assert "input" not in again({"prompt": {"id": "pmpt_1"}})


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": 3}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"input": [3]}, "input[0]"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
    ],
)
def test_what_leaves_no_meaning_is_the_clients_fault(body: dict[str, Any], path: str) -> None:
    with pytest.raises(ClientError, match=path.replace("[", r"\[")) as caught:
        read(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"type": "message", "role": "critic", "content": "x"}]},
        {"input": ["words"]},
        {"input": [{}]},
        {"input": [{"type": 7}]},
        {"input": [{"type": "function_call", "call_id": 3}]},
        {"input": [{"type": "reasoning", "summary": "x"}]},
        {"input": "x", "tools": [3, {}, {"type": "function"}, {"type": "namespace"}]},
        {"input": "x", "tools": {"type": "function"}, "tool_choice": 3, "reasoning": "high", "text": [], "metadata": 3},
    ],
)
def test_the_odd_is_never_refused(body: dict[str, Any]) -> None:
    again(body)
