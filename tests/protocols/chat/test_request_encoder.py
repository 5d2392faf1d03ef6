"""A request, written for an upstream."""

from __future__ import annotations

import base64

import pytest

from ccx.protocols import ir
from ccx.protocols.names import Protocol
from tests.protocols.chat.kit import names, native, through, write

PNG = ir.Inline("iVBORw0KGgo=", "image/png")


def request(*messages: ir.Message, **fields: object) -> ir.Request:
    return ir.Request("asked-model", messages, **fields)  # type: ignore[arg-type]  # fields by name


def user(*parts: ir.Part) -> ir.Message:
    return ir.Message("user", parts)


def assistant(*parts: ir.Part) -> ir.Message:
    return ir.Message("assistant", parts)


def system(*parts: ir.Part) -> ir.Message:
    return ir.Message("system", parts)


def said(encoded: object) -> list[dict[str, object]]:
    return encoded.payload["messages"]  # type: ignore[attr-defined, no-any-return]  # what Encoded holds


class TestOrder:
    def test_results_become_messages_and_come_before_words(self) -> None:
        encoded = write(
            request(
                assistant(ir.ToolCall("c1", "f", "{}"), ir.ToolCall("c2", "g", "{}")),
                user(ir.Text("so?"), ir.ToolResult("c2", (ir.Text("two"),)), ir.ToolResult("c1", (ir.Text("one"),))),
            )
        )
        assert said(encoded)[1:] == [
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "user", "content": "so?"},
        ]
        assert names(encoded.losses) == ["part_order~"]

    def test_words_after_results_lose_nothing(self) -> None:
        encoded = write(
            request(
                assistant(ir.ToolCall("c1", "f", "{}")),
                user(ir.ToolResult("c1", (ir.Text("one"),)), ir.Text("so?")),
            )
        )
        assert encoded.losses == ()

    def test_what_stands_between_calls_and_results_moves_behind_them(self) -> None:
        encoded = write(
            request(
                assistant(ir.ToolCall("c1", "f", "{}"), ir.ToolCall("c2", "g", "{}")),
                system(ir.Text("hint")),
                user(ir.ToolResult("c1", (ir.Text("one"),))),
                user(ir.Text("hm")),
                user(ir.ToolResult("c2", (ir.Text("two"),))),
            )
        )
        assert [message["role"] for message in said(encoded)] == ["assistant", "tool", "tool", "system", "user"]

    def test_calls_that_never_get_a_result_hold_nothing_up(self) -> None:
        encoded = write(
            request(assistant(ir.ToolCall("c1", "f", "{}")), user(ir.Text("never mind")), assistant(ir.Text("ok")))
        )
        assert [message["role"] for message in said(encoded)] == ["assistant", "user", "assistant"]

    def test_words_after_calls_are_a_loss(self) -> None:
        encoded = write(request(assistant(ir.ToolCall("c1", "f", "{}"), ir.Text("called"))))
        assert names(encoded.losses) == ["part_order~"]
        assert said(encoded)[0]["content"] == "called"

    def test_thoughts_between_words_are_a_loss(self) -> None:
        encoded = write(request(assistant(ir.Text("a"), ir.Reasoning("hm"))), "moonshot")
        assert names(encoded.losses) == ["part_order~"]

    def test_a_vendor_that_hears_no_user_after_a_tool(self) -> None:
        encoded = write(
            request(
                assistant(ir.ToolCall("abcdefgh1", "f", "{}")),
                user(ir.ToolResult("abcdefgh1", (ir.Text("one"),)), ir.Text("so?")),
            ),
            "mistral",
        )
        assert [message["role"] for message in said(encoded)] == ["assistant", "tool", "assistant", "user"]
        assert names(encoded.losses) == ["role~"]


class TestContent:
    def test_one_text_is_a_string(self) -> None:
        assert said(write(request(user(ir.Text("hi")))))[0] == {"role": "user", "content": "hi"}

    def test_nothing_is_an_empty_string(self) -> None:
        assert said(write(request(user(), assistant()))) == [
            {"role": "user", "content": ""},
            {"role": "assistant", "content": ""},
        ]

    def test_calls_alone_have_null_beside_them(self) -> None:
        assert said(write(request(assistant(ir.ToolCall("c", "f", "")))))[0] == {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }

    def test_texts_stay_apart_where_that_is_understood(self) -> None:
        message = user(ir.Text("a"), ir.Text("b"))
        assert said(write(request(message)))[0]["content"] == [
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ]
        assert said(write(request(message), "deepseek"))[0]["content"] == "a\n\nb"

    @pytest.mark.parametrize(
        ("name", "kept", "lost"),
        [
            ("openrouter", {"type": "ephemeral", "ttl": "1h"}, []),
            ("dashscope", {"type": "ephemeral"}, ["cache_control~"]),
            ("openai", None, ["cache_control"]),
            ("deepseek", None, ["cache_control"]),
        ],
    )
    def test_breakpoints_of_the_cache(self, name: str, kept: object, lost: list[str]) -> None:
        encoded = write(request(user(ir.Text("a", cache=ir.CacheBreakpoint("1h")))), name)
        assert names(encoded.losses) == lost
        assert {loss.path for loss in encoded.losses} <= {"messages[0].parts[0].cache"}
        hint = {} if kept is None else {"cache_control": kept}
        assert said(encoded)[0]["content"] == ([{"type": "text", "text": "a", **hint}] if hint else "a")

    def test_a_breakpoint_on_a_result_stands_on_its_last_text(self) -> None:
        mark = ir.CacheBreakpoint()
        result = ir.ToolResult("c", (ir.Text("a"), ir.Text("b")), cache=mark)
        turns = (assistant(ir.ToolCall("c", "f", "{}", cache=mark)), user(result))
        encoded = write(request(*turns, tools=(ir.Tool("f", cache=mark),)), "openrouter")
        assert said(encoded)[1]["content"] == [
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
        ]
        assert [(loss.path, loss.what) for loss in encoded.losses] == [("messages[0].parts[0].cache", "cache_control")]
        bare = write(
            request(assistant(ir.ToolCall("c", "f", "{}")), user(ir.ToolResult("c", (), cache=mark))), "openrouter"
        )
        assert names(bare.losses) == ["cache_control"]
        at_qwen = write(request(*turns, tools=(ir.Tool("f", cache=mark),)), "dashscope")
        assert [loss.path for loss in at_qwen.losses] == ["tools[0].cache", "messages[0].parts[0].cache"]

    def test_hints_go_where_they_are_understood(self) -> None:
        hint = native({"cache_control": {"type": "ephemeral"}})
        message = user(ir.Text("a", native=(hint,)))
        kept = write(request(message), "openrouter")
        assert said(kept)[0]["content"] == [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
        assert kept.losses == ()
        lost = write(request(message), "deepseek")
        assert said(lost)[0]["content"] == "a"
        assert names(lost.losses) == ["cache_control"]

    def test_a_part_of_text_without_text_goes_as_it_is(self) -> None:
        body: dict[str, object] = {"messages": [{"role": "user", "content": [{"type": "text", "odd": 1}]}]}
        assert said(through(body))[0]["content"] == [{"type": "text", "odd": 1}]

    def test_hints_of_other_protocols_are_lost(self) -> None:
        hint = native({"cache_control": {"type": "ephemeral"}}, protocol=Protocol.MESSAGES)
        encoded = write(request(user(ir.Text("a", native=(hint,)))))
        assert names(encoded.losses) == ["cache_control"]
        assert encoded.losses[0].path == "messages[0].parts[0].native"

    @pytest.mark.parametrize(
        ("media", "expected"),
        [
            (
                ir.Media("image", PNG, detail="low"),
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            ),
            (
                ir.Media("image", ir.Remote("https://example.com/a")),
                {"type": "image_url", "image_url": {"url": "https://example.com/a"}},
            ),
            (
                ir.Media("audio", ir.Inline("AA==", "audio/x-wav")),
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ),
            (
                ir.Media("document", ir.Inline("AA==", "application/pdf")),
                {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="}},
            ),
            (
                ir.Media("document", ir.FileRef("f"), native=(native({"file": {"file_id": "f"}}),)),
                {"type": "file", "file": {"file_id": "f"}},
            ),
        ],
    )
    def test_media(self, media: ir.Media, expected: object) -> None:
        encoded = write(request(user(ir.Text("see"), media)))
        assert encoded.losses == ()
        content = said(encoded)[0]["content"]
        assert isinstance(content, list)
        assert content[1] == expected

    @pytest.mark.parametrize(
        ("media", "name", "lost", "words"),
        [
            (ir.Media("image", PNG), "deepseek", "image", "[image: not shown]"),
            (ir.Media("image", PNG, name="a.png"), "deepseek", "image", "[image: a.png]"),
            (ir.Media("image", ir.Remote("https://x.io/a")), "ollama", "remote_url~", "[image: https://x.io/a]"),
            (ir.Media("image", ir.FileRef("f1")), "openai", "file_id", "[image: f1]"),
            (ir.Media("document", ir.FileRef("f1"), name="n"), "openai", "file_id", "[document: n]"),
            (ir.Media("document", ir.Remote("https://x.io/a")), "openai", "remote_url~", "[document: https://x.io/a]"),
            (ir.Media("document", PNG), "vllm", "document", "[document: not shown]"),
            (ir.Media("audio", ir.Inline("AA==", "audio/flac")), "openai", "audio", "[audio: not shown]"),
            (ir.Media("video", ir.Remote("https://x.io/a")), "openai", "video", "[video: https://x.io/a]"),
        ],
    )
    def test_media_that_cannot_be_sent_are_named(self, media: ir.Media, name: str, lost: str, words: str) -> None:
        encoded = write(request(user(media)), name)
        assert said(encoded)[0]["content"] == words
        assert names(encoded.losses) == [lost]

    def test_a_model_without_eyes(self) -> None:
        encoded = write(request(user(ir.Media("image", PNG))), vision=False)
        assert names(encoded.losses) == ["image"]

    def test_a_document_of_text_is_text_where_files_are_unknown(self) -> None:
        data = base64.b64encode("grüße".encode()).decode()
        media = ir.Media("document", ir.Inline(data, "text/plain"))
        encoded = write(request(user(media)), "deepseek")
        assert said(encoded)[0]["content"] == "grüße"
        assert names(encoded.losses) == ["document~"]

    def test_a_document_that_only_claims_to_be_text(self) -> None:
        media = ir.Media("document", ir.Inline(base64.b64encode(b"\xff\xfe").decode(), "text/plain"))
        assert names(write(request(user(media)), "deepseek").losses) == ["document"]

    def test_refusals(self) -> None:
        message = assistant(ir.Refusal("no"))
        assert said(write(request(message)))[0]["content"] == [{"type": "refusal", "refusal": "no"}]
        encoded = write(request(message), "groq")
        assert said(encoded)[0]["content"] == "no"
        assert names(encoded.losses) == ["refusal~"]

    def test_the_unknown(self) -> None:
        own = ir.Opaque("new", native({"type": "new"}))
        theirs = ir.Opaque("document", native({"type": "document"}, protocol=Protocol.MESSAGES))
        encoded = write(request(user(own, theirs)))
        assert said(encoded)[0]["content"] == [{"type": "new"}]
        assert names(encoded.losses) == ["unknown_part:document"]

    def test_server_tools_of_others_are_lost(self) -> None:
        encoded = write(
            request(
                assistant(
                    ir.ToolCall("s", "web_search", "{}", server=True),
                    ir.ToolResult("s", (), server=True),
                    ir.Text("found"),
                )
            )
        )
        assert said(encoded) == [{"role": "assistant", "content": "found"}]
        assert names(encoded.losses) == ["server_tool", "server_tool"]

    def test_citations_are_lost(self) -> None:
        encoded = write(request(assistant(ir.Text("a", citations=(ir.Citation(url="https://x.io"),)))))
        assert names(encoded.losses) == ["citations"]


class TestResults:
    def test_an_error_is_told(self) -> None:
        call = assistant(ir.ToolCall("c", "f", "{}"))
        for content, told in (
            ((ir.Text("boom"),), "Error: boom"),
            ((), "Error:"),
            ((ir.Opaque("odd", native({"type": "odd"})),), [{"type": "text", "text": "Error:"}, {"type": "odd"}]),
        ):
            encoded = write(request(call, user(ir.ToolResult("c", content, is_error=True))))
            assert said(encoded)[1]["content"] == told
            assert names(encoded.losses) == ["is_error~"]

    def test_an_empty_result(self) -> None:
        assert said(write(request(user(ir.ToolResult("c", ())))))[0]["content"] == ""

    def test_media_move_behind_all_results(self) -> None:
        encoded = write(
            request(
                assistant(ir.ToolCall("c1", "f", "{}"), ir.ToolCall("c2", "f", "{}")),
                user(ir.ToolResult("c1", (ir.Text("see"), ir.Media("image", PNG)))),
                user(ir.ToolResult("c2", (ir.Text("two"),))),
            )
        )
        assert [message["role"] for message in said(encoded)] == ["assistant", "tool", "tool", "user"]
        moved = said(encoded)[3]["content"]
        assert isinstance(moved, list)
        assert moved[0] == {"type": "text", "text": "[given by the tool call c1]"}
        assert moved[1]["type"] == "image_url"
        assert names(encoded.losses) == ["media_in_tool_result~"]

    def test_texts_are_joined_where_parts_are_unknown(self) -> None:
        encoded = write(request(user(ir.ToolResult("c", (ir.Text("a"), ir.Text("b"))))), "deepseek")
        assert said(encoded)[0]["content"] == "a\nb"

    def test_ids_that_are_missing_are_given_to_calls_and_results_alike(self) -> None:
        encoded = write(
            request(
                assistant(ir.ToolCall("", "f", "{}"), ir.ToolCall("", "g", "{}")),
                user(ir.ToolResult("", (ir.Text("of g"),), name="g"), ir.ToolResult("", (ir.Text("of f"),))),
            )
        )
        calls = said(encoded)[0]["tool_calls"]
        assert isinstance(calls, list)
        ids = {call["function"]["name"]: call["id"] for call in calls}
        assert {message["content"]: message["tool_call_id"] for message in said(encoded)[1:]} == {
            "of g": ids["g"],
            "of f": ids["f"],
        }

    @pytest.mark.parametrize(
        ("name", "ident", "legal"),
        [
            ("mistral", "toolu_0123456789", r"[0-9a-f]{9}"),
            ("mistral", "abcDEF123", "abcDEF123"),
            ("openai", "x" * 41, r"call_[0-9a-f]{32}"),
            ("openai", "x" * 40, "x{40}"),
            ("vllm", "x" * 99, "x{99}"),
        ],
    )
    def test_ids_that_a_vendor_refuses(self, name: str, ident: str, legal: str) -> None:
        encoded = write(
            request(assistant(ir.ToolCall(ident, "f", "{}")), user(ir.ToolResult(ident, (ir.Text("r"),)))), name
        )
        calls = said(encoded)[0]["tool_calls"]
        assert isinstance(calls, list)
        assert calls[0]["id"] == said(encoded)[1]["tool_call_id"]
        import re

        assert re.fullmatch(legal, calls[0]["id"])


class TestSystem:
    def test_everywhere_where_that_is_understood(self) -> None:
        encoded = write(request(system(ir.Text("a")), user(ir.Text("b")), system(ir.Text("c"))))
        assert [message["role"] for message in said(encoded)] == ["system", "user", "system"]
        assert encoded.losses == ()

    def test_elsewhere_they_are_one_at_the_start(self) -> None:
        encoded = write(
            request(system(ir.Text("a")), system(ir.Text("b")), user(ir.Text("c")), system(ir.Text("d"))), "vllm"
        )
        assert said(encoded) == [
            {"role": "system", "content": "a\n\nb"},
            {"role": "user", "content": "c"},
            {"role": "user", "content": "<system>\nd\n</system>"},
        ]
        assert names(encoded.losses) == ["system_position~"]

    def test_parts_of_two_are_put_together(self) -> None:
        hint = native({"cache_control": {"type": "ephemeral"}})
        encoded = write(request(system(ir.Text("a", native=(hint,))), system(ir.Text("b"))), "dashscope")
        assert said(encoded) == [
            {
                "role": "system",
                "content": [
                    {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "b"},
                ],
            }
        ]

    @pytest.mark.parametrize(("name", "role"), [("openai", "developer"), ("deepseek", "system")])
    @pytest.mark.parametrize("protocol", [Protocol.CHAT, Protocol.RESPONSES])
    def test_a_developer_keeps_the_role_where_it_is_known(self, name: str, role: str, protocol: Protocol) -> None:
        told = ir.Message("system", (ir.Text("a"),), (native({"role": "developer"}, protocol=protocol),))
        encoded = write(request(told), name)
        assert said(encoded)[0]["role"] == role
        assert encoded.losses == ()

    def test_names_go_where_they_are_known(self) -> None:
        named = ir.Message("user", (ir.Text("a"),), (native({"name": "ann"}),))
        assert said(write(request(named)))[0]["name"] == "ann"
        encoded = write(request(named), "groq")
        assert "name" not in said(encoded)[0]
        assert names(encoded.losses) == ["name"]


class TestThoughts:
    DETAILS = ({"type": "reasoning.text", "text": "so", "signature": "s", "index": 0},)

    def thought(self, issuer: str) -> ir.Reasoning:
        return ir.Reasoning("so", native=(native({"reasoning_details": list(self.DETAILS)}, issuer=issuer),))

    @pytest.mark.parametrize(
        ("name", "calls", "expected"),
        [
            ("deepseek", True, {"reasoning_content": "hm"}),
            ("deepseek", False, {}),
            ("moonshot", False, {"reasoning_content": "hm"}),
            ("openrouter", False, {"reasoning": "hm"}),
            ("ollama", True, {"reasoning": "hm"}),
            ("openai", True, {}),
        ],
    )
    def test_go_back_where_they_are_wanted(self, name: str, calls: bool, expected: dict[str, object]) -> None:
        parts: tuple[ir.Part, ...] = (ir.Reasoning("hm"), ir.Text("a"))
        encoded = write(request(assistant(*parts, *((ir.ToolCall("c", "f", "{}"),) if calls else ()))), name)
        fields = {key: value for key, value in said(encoded)[0].items() if "reasoning" in key}
        assert fields == expected
        assert names(encoded.losses) == ([] if expected else ["reasoning"])

    def test_go_back_as_parts(self) -> None:
        encoded = write(request(assistant(ir.Reasoning("hm"), ir.Text("a"))), "mistral")
        assert said(encoded)[0]["content"] == [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "a"},
        ]

    def test_a_thinking_part_goes_back_as_it_came(self) -> None:
        part = {"type": "thinking", "thinking": [{"type": "reference", "ids": [1]}]}
        thought = ir.Reasoning("", native=(native({"thinking": part}, issuer="mistral"),))
        encoded = write(request(assistant(thought, ir.Text("a"))), "mistral")
        content = said(encoded)[0]["content"]
        assert isinstance(content, list)
        assert content[0] == part

    def test_details_go_back_to_who_issued_them_only(self) -> None:
        encoded = write(request(assistant(self.thought("openrouter"), ir.Text("a"))), "openrouter")
        assert said(encoded)[0]["reasoning_details"] == list(self.DETAILS)
        assert encoded.losses == ()
        encoded = write(request(assistant(self.thought("other"), ir.Text("a"))), "openrouter")
        assert said(encoded)[0] == {"role": "assistant", "content": "a", "reasoning": "so"}
        assert names(encoded.losses) == ["signature"]

    def test_signatures_of_other_protocols_are_lost_and_the_words_are_not(self) -> None:
        signed = ir.Reasoning(
            "so", native=(native({"signature": "x"}, issuer="anthropic", protocol=Protocol.MESSAGES),)
        )
        encoded = write(request(assistant(signed, ir.ToolCall("c", "f", "{}"))), "deepseek")
        assert said(encoded)[0]["reasoning_content"] == "so"
        assert names(encoded.losses) == ["signature"]

    def test_thoughts_without_details_beside_some_with(self) -> None:
        encoded = write(request(assistant(self.thought("openrouter"), ir.Reasoning("more"))), "openrouter")
        assert said(encoded)[0]["reasoning_details"] == list(self.DETAILS)
        assert names(encoded.losses) == ["reasoning"]

    def test_residue_tells_thoughts_word_for_word(self) -> None:
        shown = ir.Reasoning("in short", native=(native({"reasoning_content": "at length"}, issuer="deepseek"),))
        encoded = write(request(assistant(shown, ir.ToolCall("c", "f", "{}"))), "deepseek")
        assert said(encoded)[0]["reasoning_content"] == "at length"

    def test_a_call_may_carry_the_thoughts(self) -> None:
        call = ir.ToolCall("c", "f", "{}", native=(native({"reasoning_content": "hm"}, issuer="deepseek"),))
        encoded = write(request(assistant(call)), "deepseek")
        assert said(encoded)[0]["reasoning_content"] == "hm"
        assert encoded.losses == ()

    @pytest.mark.parametrize(("name", "stand_in"), [("deepseek", ""), ("moonshot", " ")])
    def test_what_stands_for_lost_thoughts(self, name: str, stand_in: str) -> None:
        encoded = write(request(assistant(ir.ToolCall("c", "f", "{}"))), name)
        assert said(encoded)[0]["reasoning_content"] == stand_in

    def test_sealed_details_of_a_client_are_for_those_who_know_details(self) -> None:
        body = {"messages": [{"role": "assistant", "content": "a", "reasoning_details": list(self.DETAILS)}]}
        assert through(body, "openrouter").losses == ()
        assert names(through(body, "moonshot").losses) == ["signature"]


class TestTools:
    F = ir.Tool("f", "d", {"type": "object"}, strict=True)
    G = ir.Tool("g")

    def test_functions(self) -> None:
        encoded = write(request(tools=(self.F, self.G), parallel_tool_calls=False))
        assert encoded.payload["tools"] == [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            },
            {"type": "function", "function": {"name": "g"}},
        ]
        assert encoded.payload["parallel_tool_calls"] is False
        assert encoded.context is not None
        assert encoded.context.tools == {}

    def test_strict_where_it_is_unknown(self) -> None:
        encoded = write(request(tools=(self.F,)), "deepseek")
        assert "strict" not in encoded.payload["tools"][0]["function"]  # type: ignore[index, call-overload]  # JSON
        assert names(encoded.losses) == ["strict"]

    def test_custom_tools(self) -> None:
        tool = ir.Tool("p", "patch", kind="custom", grammar=("lark", "start: X"))
        encoded = write(request(tools=(tool,)))
        assert encoded.payload["tools"] == [
            {
                "type": "custom",
                "custom": {
                    "name": "p",
                    "description": "patch",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}},
                },
            }
        ]
        assert encoded.losses == ()

    def test_a_function_stands_in_for_a_custom_tool(self) -> None:
        tool = ir.Tool("p", "patch", kind="custom", grammar=("lark", "start: X"))
        call = assistant(ir.ToolCall("c", "p", 'say "hi"', kind="custom"))
        encoded = write(request(call, tools=(tool,)), "vllm")
        (written,) = encoded.payload["tools"]  # type: ignore[misc]  # JSON
        function = written["function"]  # type: ignore[index, call-overload]  # JSON
        assert function["parameters"]["required"] == ["input"]
        assert "lark grammar:\nstart: X" in function["description"]
        assert said(encoded)[0]["tool_calls"] == [
            {"id": "c", "type": "function", "function": {"name": "p", "arguments": '{"input":"say \\"hi\\""}'}}
        ]
        assert names(encoded.losses) == ["custom_tool_grammar~"]
        assert encoded.context is not None
        assert encoded.context.tools["p"].kind == "custom"

    def test_names_are_folded_and_found_back(self) -> None:
        tools = (
            ir.Tool("run", namespace="box"),
            ir.Tool("mcp:a.b"),
            ir.Tool("x" * 80),
            ir.Tool("box__run"),
        )
        encoded = write(request(tools=tools, tool_choice=ir.ToolChoice("named", ("run",))))
        written = [tool["function"]["name"] for tool in encoded.payload["tools"]]  # type: ignore[index, call-overload, union-attr]  # JSON
        assert written[0] == "box__run"
        assert len(set(written)) == 4
        assert all(len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum() for name in written)
        assert encoded.context is not None
        back = encoded.context.tools
        assert [(back[name].namespace, back[name].name) for name in written] == [
            ("box", "run"),
            (None, "mcp:a.b"),
            (None, "x" * 80),
            (None, "box__run"),
        ]
        assert encoded.payload["tool_choice"] == {"type": "function", "function": {"name": "box__run"}}
        again = write(request(assistant(ir.ToolCall("c", "mcp:a.b", "{}"))))
        calls = said(again)[0]["tool_calls"]
        assert isinstance(calls, list)
        assert calls[0]["function"]["name"] == written[1]

    @pytest.mark.parametrize(
        ("name", "choice", "expected", "offered", "lost"),
        [
            ("openai", ir.ToolChoice("auto"), "auto", 2, []),
            ("openai", ir.ToolChoice("none"), "none", 2, []),
            ("openai", ir.ToolChoice("required"), "required", 2, []),
            ("openai", ir.ToolChoice("named", ("f",)), {"type": "function", "function": {"name": "f"}}, 2, []),
            (
                "openai",
                ir.ToolChoice("named", ("f", "g")),
                {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [
                            {"type": "function", "function": {"name": "f"}},
                            {"type": "function", "function": {"name": "g"}},
                        ],
                    },
                },
                2,
                [],
            ),
            ("openai", ir.ToolChoice("named", ("h",)), None, 2, ["tool_choice"]),
            ("xai", ir.ToolChoice("named", ("f", "g")), "required", 2, []),
            ("zhipu", ir.ToolChoice("none"), None, 0, ["tool_choice~"]),
            ("zhipu", ir.ToolChoice("required"), "auto", 2, ["tool_choice"]),
            ("moonshot", ir.ToolChoice("named", ("g",)), "auto", 1, ["tool_choice", "tool_choice_subset~"]),
            ("ollama", ir.ToolChoice("auto"), None, 2, ["tool_choice"]),
        ],
    )
    def test_choices(self, name: str, choice: ir.ToolChoice, expected: object, offered: int, lost: list[str]) -> None:
        encoded = write(request(tools=(ir.Tool("f"), self.G), tool_choice=choice), name)
        assert encoded.payload.get("tool_choice") == expected
        assert len(encoded.payload.get("tools", [])) == offered  # type: ignore[arg-type]  # JSON
        assert names(encoded.losses) == lost

    def test_a_choice_without_tools_is_none(self) -> None:
        encoded = write(request(tool_choice=ir.ToolChoice("required"), parallel_tool_calls=True))
        assert encoded.payload == {"model": "the-model", "messages": []}
        assert names(encoded.losses) == ["tool_choice"]
        assert write(request(tool_choice=ir.ToolChoice("none"))).losses == ()

    def test_each_tool_that_is_withheld_is_named(self) -> None:
        tools = (ir.Tool("f"), ir.Tool("g"), ir.Tool("h"))
        encoded = write(request(tools=tools, tool_choice=ir.ToolChoice("named", ("f", "h"))), "xai")
        assert [(loss.path, loss.what) for loss in encoded.losses] == [("tools[1]", "tool_choice_subset")]
        (unchosen,) = write(request(tools=tools, tool_choice=ir.ToolChoice("none")), "zhipu").losses
        assert (unchosen.path, unchosen.what) == ("tools", "tool_choice")

    def test_server_tools(self) -> None:
        body = {
            "tools": [{"type": "openrouter:web_search"}],
            "web_search_options": {"search_context_size": "low"},
        }
        encoded = through(body, "openrouter")
        assert encoded.payload["tools"] == body["tools"]
        assert encoded.payload["web_search_options"] == body["web_search_options"]
        other = ir.ServerTool("web_search", native({"type": "web_search_20250305"}, protocol=Protocol.MESSAGES))
        assert names(write(request(tools=(other,))).losses) == ["server_tool"]
        assert names(through({"web_search_options": {}}, "deepseek").losses) == ["server_tool"]

    def test_cache_hints_of_tools(self) -> None:
        tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}
        assert through({"tools": [tool]}, "openrouter").payload["tools"] == [tool]
        encoded = through({"tools": [tool]}, "deepseek")
        assert encoded.payload["tools"] == [{"type": "function", "function": {"name": "f"}}]
        assert names(encoded.losses) == ["cache_control"]


class TestFields:
    def test_a_whole_body_is_given_back(self) -> None:
        body: dict[str, object] = {
            "messages": [{"role": "user", "content": "hi"}],
            "max_completion_tokens": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "presence_penalty": 1,
            "frequency_penalty": -1,
            "stop": ["a"],
            "logprobs": True,
            "top_logprobs": 4,
            "verbosity": "low",
            "service_tier": "flex",
            "user": "ann",
            "metadata": {"a": "b"},
            "store": True,
            "logit_bias": {"1": 2},
            "prediction": {"type": "content", "content": "x"},
            "prompt_cache_key": "k",
            "safety_identifier": "s",
            "modalities": ["text"],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
            },
            "reasoning_effort": "minimal",
            "a_new_field": {"x": 1},
        }
        encoded = through(body)
        assert encoded.payload == {"model": "the-model", **body}
        assert encoded.losses == ()

    @pytest.mark.parametrize(
        ("name", "field"), [("openai", "max_completion_tokens"), ("deepseek", "max_tokens"), ("generic", "max_tokens")]
    )
    def test_the_length(self, name: str, field: str) -> None:
        assert write(request(max_output_tokens=9), name).payload[field] == 9

    def test_the_length_is_cut_to_what_the_model_can(self) -> None:
        encoded = write(request(max_output_tokens=128000), max_output_tokens=8192)
        assert encoded.payload["max_completion_tokens"] == 8192
        assert names(encoded.losses) == ["max_output_tokens~"]

    def test_usage_is_asked_for_where_that_is_understood(self) -> None:
        assert write(request(stream=True)).payload["stream_options"] == {"include_usage": True}
        body = {"messages": [], "stream_options": {"include_obfuscation": False}}
        from tests.protocols.chat.kit import read

        assert write(read(body, stream=True)).payload["stream_options"] == {
            "include_usage": True,
            "include_obfuscation": False,
        }
        assert write(read(body, stream=True), "mistral").payload == {
            "model": "the-model",
            "messages": [],
            "stream": True,
        }

    def test_several_answers_are_not_asked_for(self) -> None:
        encoded = write(request(sampling=ir.Sampling(candidates=3)))
        assert "n" not in encoded.payload
        assert names(encoded.losses) == ["candidates"]

    @pytest.mark.parametrize(
        ("name", "kept", "lost"), [("openai", 4, ["stop~"]), ("zhipu", 1, ["stop~"]), ("vllm", 5, [])]
    )
    def test_stop_sequences(self, name: str, kept: int, lost: list[str]) -> None:
        encoded = write(request(sampling=ir.Sampling(stop=("a", "b", "c", "d", "e"))), name)
        assert len(encoded.payload["stop"]) == kept  # type: ignore[arg-type]  # JSON
        assert names(encoded.losses) == lost

    def test_top_k(self) -> None:
        wanted = request(sampling=ir.Sampling(top_k=5))
        assert write(wanted, "vllm").payload["top_k"] == 5
        assert names(write(wanted).losses) == ["top_k"]

    def test_mistral_has_its_own_seed(self) -> None:
        assert write(request(sampling=ir.Sampling(seed=5)), "mistral").payload["random_seed"] == 5

    def test_a_long_user_goes_as_a_digest(self) -> None:
        long = "u" * 65
        encoded = write(request(user=long))
        assert len(str(encoded.payload["user"])) == 64
        assert encoded.payload["user"] != long[:64]
        assert encoded.payload["user"] == write(request(user=long)).payload["user"]
        assert names(encoded.losses) == ["user~"]
        assert write(request(user="u" * 64)).payload["user"] == "u" * 64
        assert write(request(user="u" * 100), "zhipu").payload["user_id"] == "u" * 100

    def test_metadata_need_storing(self) -> None:
        assert names(write(request(metadata={"a": "b"})).losses) == ["metadata"]
        assert through({"metadata": {"a": "b"}, "store": True}).payload["metadata"] == {"a": "b"}
        assert write(request(metadata={"a": "b"}), "openrouter").payload["metadata"] == {"a": "b"}

    def test_fields_a_vendor_refuses_are_named(self) -> None:
        body = {"logit_bias": {}, "seed": 1, "parallel_tool_calls": True, "prediction": {}, "logprobs": True}
        encoded = through({**body, "tools": [{"type": "function", "function": {"name": "f"}}]}, "zhipu")
        assert set(encoded.payload) == {"model", "messages", "tools"}
        assert sorted(names(encoded.losses)) == [
            "logit_bias",
            "logprobs",
            "parallel_tool_calls",
            "seed",
            "unknown_field:prediction",
        ]

    def test_sampling_of_models_that_think(self) -> None:
        wanted = request(sampling=ir.Sampling(temperature=0.2, top_p=1.0, presence_penalty=1.0))
        assert write(wanted, thinking=None).losses == ()
        encoded = write(wanted, thinking=True)
        assert set(encoded.payload) == {"model", "messages"}
        assert sorted(names(encoded.losses)) == ["penalties", "temperature"]
        off = request(sampling=ir.Sampling(temperature=0.2), thinking=ir.Thinking(enabled=False, effort="none"))
        assert write(off, thinking=True).payload["temperature"] == 0.2

    def test_residue_of_others_is_lost(self) -> None:
        other = native({"context_management": {"edits": []}, "x": 1, "output_config": {}}, protocol=Protocol.MESSAGES)
        assert names(write(request(native=(other,))).losses) == ["context_management", "unknown_field:x"]

    def test_ways_to_think_are_for_their_vendors(self) -> None:
        body = {"thinking": {"type": "enabled", "clear_thinking": False}}
        assert through(body, "zhipu").payload["thinking"] == {"type": "enabled", "clear_thinking": False}
        encoded = through(body)
        assert "thinking" not in encoded.payload
        assert names(encoded.losses) == ["unknown_field:thinking"]


class TestOutput:
    SCHEMA = ir.OutputFormat("json_schema", {"type": "object"}, "n", "d", strict=True)

    def test_any_json(self) -> None:
        assert write(request(output=ir.OutputFormat("json"))).payload["response_format"] == {"type": "json_object"}

    def test_a_schema(self) -> None:
        assert write(request(output=self.SCHEMA)).payload["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}, "description": "d", "strict": True},
        }

    @pytest.mark.parametrize(("name", "at"), [("deepseek", 1), ("dashscope", 0)])
    def test_a_schema_in_words(self, name: str, at: int) -> None:
        encoded = write(request(user(ir.Text("hi")), output=self.SCHEMA), name)
        assert encoded.payload["response_format"] == {"type": "json_object"}
        assert said(encoded)[at]["role"] == "system"
        assert '{"type":"object"}' in str(said(encoded)[at]["content"])
        assert names(encoded.losses) == ["json_schema~"]
