"""A client's request, read."""

from __future__ import annotations

import pytest

from ccx.errors import ClientError
from ccx.protocols import ir
from tests.protocols.chat.kit import native, read

PNG = "iVBORw0KGgo="


def only(content: object, role: str = "user") -> ir.Message:
    request = read({"messages": [{"role": role, "content": content}]})
    return request.messages[0]


class TestMessages:
    def test_roles_stay_where_they_are(self) -> None:
        request = read(
            {
                "messages": [
                    {"role": "system", "content": "a"},
                    {"role": "user", "content": "b"},
                    {"role": "developer", "content": "c"},
                    {"role": "assistant", "content": "d"},
                    {"role": "system", "content": "e"},
                ]
            }
        )
        assert [message.role for message in request.messages] == ["system", "user", "system", "assistant", "system"]
        assert request.messages[2].native == (native({"role": "developer"}),)
        assert request.messages[0].native == ()

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            ({"type": "text", "text": "hi"}, ir.Text("hi")),
            (
                {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
                ir.Text("hi", cache=ir.CacheBreakpoint()),
            ),
            (
                {"type": "text", "text": "hi", "cache_control": {"type": "other"}},
                ir.Text("hi", native=(native({"cache_control": {"type": "other"}}),)),
            ),
            (
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                ir.Media("image", ir.Inline(PNG, "image/png"), detail="low"),
            ),
            (
                {"type": "image_url", "image_url": "https://example.com/a.png"},
                ir.Media("image", ir.Remote("https://example.com/a.png")),
            ),
            (
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "original"}},
                ir.Media(
                    "image",
                    ir.Remote("https://example.com/a.png"),
                    native=(native({"image_url": {"detail": "original"}}),),
                ),
            ),
            (
                {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
                ir.Media("video", ir.Remote("https://example.com/a.mp4")),
            ),
            (
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                ir.Media("audio", ir.Inline("AAAA", "audio/mpeg")),
            ),
            (
                {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,AAAA", "format": "wav"}},
                ir.Media("audio", ir.Inline("AAAA", "audio/wav")),
            ),
            (
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
                ir.Media("document", ir.Inline("AAAA", "application/pdf"), name="a.pdf"),
            ),
            (
                {"type": "file", "file": {"file_data": "AAAA"}},
                ir.Media("document", ir.Inline("AAAA", "application/pdf")),
            ),
            (
                {"type": "file", "file": {"file_id": "file-1"}},
                ir.Media("document", ir.FileRef("file-1"), native=(native({"file": {"file_id": "file-1"}}),)),
            ),
            ({"type": "refusal", "refusal": "no"}, ir.Refusal("no")),
            ({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, ir.Reasoning("hm")),
            ({"type": "new", "x": 1}, ir.Opaque("new", native({"type": "new", "x": 1}))),
            ({"type": "text"}, ir.Opaque("text", native({"type": "text"}))),
            (
                {"type": "image_url", "image_url": {}},
                ir.Opaque("image_url", native({"type": "image_url", "image_url": {}})),
            ),
            ({"type": "file", "file": {}}, ir.Opaque("file", native({"type": "file", "file": {}}))),
            ("bare words", ir.Text("bare words")),
            (7, ir.Opaque("unknown", native({}))),
        ],
    )
    def test_parts(self, part: object, expected: ir.Part) -> None:
        assert only([part]).parts == (expected,)

    def test_a_data_url_that_is_not_base64_stays_a_url(self) -> None:
        part = {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg/%3E"}}
        assert only([part]).parts == (ir.Media("image", ir.Remote("data:image/svg+xml,%3Csvg/%3E")),)

    def test_a_name_is_residue(self) -> None:
        request = read({"messages": [{"role": "user", "name": "ann", "content": "hi"}]})
        assert request.messages[0].native == (native({"name": "ann"}),)

    def test_an_assistant_thinks_speaks_and_calls_in_this_order(self) -> None:
        request = read(
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                            {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "raw"}},
                        ],
                        "refusal": "no",
                        "content": "words",
                        "reasoning_content": "thoughts",
                        "prefix": True,
                    }
                ]
            }
        )
        assert request.messages[0] == ir.Message(
            "assistant",
            (
                ir.Reasoning("thoughts"),
                ir.Text("words"),
                ir.Refusal("no"),
                ir.ToolCall("c1", "f", "{}"),
                ir.ToolCall("c2", "g", "raw", kind="custom"),
            ),
            (native({"prefix": True}),),
        )

    def test_unknown_fields_of_a_call_are_residue(self) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"a": 1}}
        request = read({"messages": [{"role": "assistant", "tool_calls": [call]}]})
        part = request.messages[0].parts[0]
        assert isinstance(part, ir.ToolCall)
        assert part.native == (native({"extra_content": {"a": 1}}),)

    def test_results_are_users_messages_each(self) -> None:
        request = read(
            {
                "messages": [
                    {"role": "tool", "tool_call_id": "c1", "content": "one"},
                    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}], "name": "g"},
                ]
            }
        )
        assert request.messages == (
            ir.Message("user", (ir.ToolResult("c1", (ir.Text("one"),)),)),
            ir.Message("user", (ir.ToolResult("c2", (ir.Text("two"),), name="g", native=(native({"name": "g"}),)),)),
        )

    def test_the_older_functions_get_an_id(self) -> None:
        request = read(
            {
                "messages": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                    {"role": "function", "name": "f", "content": "42"},
                ],
                "functions": [{"name": "f", "parameters": {"type": "object"}}],
                "function_call": {"name": "f"},
            }
        )
        call, result = request.messages[1].parts[0], request.messages[2].parts[0]
        assert isinstance(call, ir.ToolCall)
        assert isinstance(result, ir.ToolResult)
        assert call.id == result.call_id != ""
        assert request.tools == (ir.Tool("f", schema={"type": "object"}),)
        assert request.tool_choice == ir.ToolChoice("named", ("f",))

    @pytest.mark.parametrize(
        ("messages", "where"),
        [
            (None, "messages must be a list"),
            ({}, "messages must be a list"),
            (["hi"], r"messages\[0\] must be an object"),
            ([{"role": "user", "content": 1}], r"messages\[0\]\.content must be a string or a list"),
            ([{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}], r"messages\[1\]\.role .*'robot'"),
            ([{"content": "a"}], r"messages\[0\]\.role must be one of system, .* not None"),
        ],
    )
    def test_what_has_no_meaning_is_refused_with_its_place(self, messages: object, where: str) -> None:
        with pytest.raises(ClientError, match=where) as caught:
            read({"messages": messages})
        assert caught.value.status == 400


class TestThoughts:
    def test_details_of_one_index_are_one_thought(self) -> None:
        details = [
            {"type": "reasoning.summary", "summary": "in short", "index": 0},
            {"type": "reasoning.encrypted", "data": "xyz", "index": 0},
            {"type": "reasoning.text", "text": "second", "signature": "sig", "index": 1},
        ]
        odd: dict[str, object] = {"role": "assistant", "reasoning_details": [{"type": ["no", "word"]}]}
        assert len(read({"messages": [odd]}).messages) == 1
        request = read({"messages": [{"role": "assistant", "content": "a", "reasoning_details": details}]})
        assert request.messages[0].parts[:2] == (
            ir.Reasoning("in short", summary=True, native=(native({"reasoning_details": details[:2]}),)),
            ir.Reasoning("second", native=(native({"reasoning_details": details[2:]}),)),
        )

    def test_text_beside_details_without_words_is_their_text(self) -> None:
        details = [{"type": "reasoning.encrypted", "data": "xyz", "index": 0}]
        request = read({"messages": [{"role": "assistant", "reasoning_content": "so", "reasoning_details": details}]})
        assert request.messages[0].parts == (ir.Reasoning("so", native=(native({"reasoning_details": details}),)),)

    def test_a_thinking_part_with_references_is_kept_whole(self) -> None:
        part = {"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"type": "reference", "ids": [1]}]}
        assert only([part], "assistant").parts == (ir.Reasoning("a", native=(native({"thinking": part}),)),)


class TestFields:
    def test_all_of_them(self) -> None:
        request = read(
            {
                "model": "ignored, for it is given",
                "messages": [],
                "max_tokens": 5,
                "max_completion_tokens": 7,
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 40,
                "seed": 3,
                "presence_penalty": 1,
                "frequency_penalty": -1,
                "stop": ["a", "b"],
                "n": 2,
                "logprobs": True,
                "top_logprobs": 4,
                "parallel_tool_calls": False,
                "verbosity": "low",
                "service_tier": "flex",
                "user": "ann",
                "metadata": {"a": "b", "odd": 1},
                "stream_options": {"include_usage": True, "include_obfuscation": False},
                "prompt_cache_key": "k",
                "logit_bias": {"1": 2},
                "store": True,
                "audio": None,
            },
            stream=True,
        )
        assert request == ir.Request(
            model="asked-model",
            messages=(),
            parallel_tool_calls=False,
            max_output_tokens=7,
            sampling=ir.Sampling(0.5, 0.9, 40, 3, 1, -1, ("a", "b"), 2, 4),
            verbosity="low",
            stream=True,
            service_tier="flex",
            user="ann",
            metadata={"a": "b"},
            native=(
                native(
                    {
                        "prompt_cache_key": "k",
                        "logit_bias": {"1": 2},
                        "store": True,
                        "stream_options": {"include_obfuscation": False},
                        "metadata": {"odd": 1},
                    }
                ),
            ),
        )

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"stop": "a"}, ir.Sampling(stop=("a",))),
            ({"random_seed": 3}, ir.Sampling(seed=3)),
            ({"logprobs": True}, ir.Sampling(logprobs=0)),
            ({"logprobs": False, "top_logprobs": 3}, ir.Sampling()),
            ({"n": 1}, ir.Sampling()),
            ({"temperature": "hot", "seed": 1.5, "top_p": True}, ir.Sampling()),
            ({"seed": 2.0}, ir.Sampling(seed=2)),
        ],
    )
    def test_sampling(self, body: dict[str, object], expected: ir.Sampling) -> None:
        assert read({"messages": [], **body}).sampling == expected

    def test_the_older_limit(self) -> None:
        assert read({"messages": [], "max_tokens": 5}).max_output_tokens == 5

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"reasoning_effort": "high"}, ir.Thinking(enabled=True, effort="high")),
            ({"reasoning_effort": "none"}, ir.Thinking(enabled=False, effort="none")),
            ({"reasoning": {"effort": "low"}}, ir.Thinking(enabled=True, effort="low")),
            ({"reasoning": {"max_tokens": 99, "exclude": True}}, ir.Thinking(True, budget=99, summary=False)),
            ({"reasoning": {"enabled": False}}, ir.Thinking(enabled=False)),
            ({"thinking": {"type": "enabled", "budget_tokens": 9}}, ir.Thinking(enabled=True, budget=9)),
            ({"thinking": {"type": "disabled"}}, ir.Thinking(enabled=False)),
            ({"thinking": {"type": "adaptive"}}, ir.Thinking(enabled=True, adaptive=True)),
            ({"enable_thinking": True, "thinking_budget": 50}, ir.Thinking(enabled=True, budget=50)),
            ({"thinking_budget": 0}, ir.Thinking()),
            ({"thinking_budget": 8}, ir.Thinking(enabled=True, budget=8)),
            ({}, ir.Thinking()),
        ],
    )
    def test_ways_to_ask_for_thinking(self, body: dict[str, object], expected: ir.Thinking) -> None:
        assert read({"messages": [], **body}).thinking == expected

    def test_what_is_left_of_a_way_is_residue(self) -> None:
        request = read({"messages": [], "thinking": {"type": "enabled", "clear_thinking": False}})
        assert request.native == (native({"thinking": {"clear_thinking": False}}),)

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"type": "text"}, None),
            ({"type": "json_object"}, ir.OutputFormat("json")),
            (
                {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}},
                ir.OutputFormat("json_schema", {"a": 1}, "n", strict=True),
            ),
            (
                {"type": "json_schema", "json_schema": {"name": "n", "description": "d"}},
                ir.OutputFormat("json_schema", None, "n", "d"),
            ),
        ],
    )
    def test_response_format(self, wanted: object, expected: ir.OutputFormat | None) -> None:
        assert read({"messages": [], "response_format": wanted}).output == expected


class TestTools:
    def test_kinds(self) -> None:
        request = read(
            {
                "messages": [],
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
                        "cache_control": {"type": "ephemeral"},
                    },
                    {"type": "function", "function": {"name": "bare", "response": 1}},
                    {"type": "custom", "custom": {"name": "g", "format": {"type": "text"}}},
                    {
                        "type": "custom",
                        "custom": {
                            "name": "h",
                            "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}},
                        },
                    },
                    {"type": "custom", "custom": {"name": "i", "format": {"type": "grammar", "syntax": "regex"}}},
                    {"type": "openrouter:web_search", "x": 1},
                    {"type": "builtin_function", "function": {"name": "$web_search"}},
                ],
                "web_search_options": {"search_context_size": "low"},
            }
        )
        search = {"type": "builtin_function", "function": {"name": "$web_search"}}
        assert request.tools == (
            ir.Tool(
                "f",
                "d",
                {"type": "object"},
                strict=True,
                cache=ir.CacheBreakpoint(),
            ),
            ir.Tool("bare", native=(native({"function": {"response": 1}}),)),
            ir.Tool("g", kind="custom"),
            ir.Tool("h", kind="custom", grammar=("lark", "start: X")),
            ir.Tool("i", kind="custom", grammar=("regex", "")),
            ir.ServerTool("web_search", native({"type": "openrouter:web_search", "x": 1})),
            ir.ServerTool("web_search", native(search)),
            ir.ServerTool("web_search", native({"web_search_options": {"search_context_size": "low"}})),
        )

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ("auto", ir.ToolChoice("auto")),
            ("none", ir.ToolChoice("none")),
            ("required", ir.ToolChoice("required")),
            ("any", ir.ToolChoice("required")),
            ({"type": "function", "function": {"name": "f"}}, ir.ToolChoice("named", ("f",))),
            ({"type": "custom", "custom": {"name": "f"}}, ir.ToolChoice("named", ("f",))),
            (
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [
                            {"type": "function", "function": {"name": "f"}},
                            {"type": "custom", "custom": {"name": "g"}},
                        ],
                    },
                },
                ir.ToolChoice("named", ("f", "g")),
            ),
        ],
    )
    def test_choices(self, wanted: object, expected: ir.ToolChoice) -> None:
        assert read({"messages": [], "tool_choice": wanted}).tool_choice == expected

    def test_a_preference_among_some_is_residue(self) -> None:
        wanted = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
        request = read({"messages": [], "tool_choice": wanted})
        assert request.tool_choice is None
        assert request.native == (native({"tool_choice": wanted}),)
