"""Whole answers, read and written."""

from __future__ import annotations

import pytest

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.chat import codec
from ccx.protocols.codec import ToolName
from ccx.protocols.names import Protocol
from tests.protocols.chat.kit import CREATED, answer, asked, counting, message, names, native

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def whole(*parts: ir.Part, finish: str = "stop", **fields: object) -> ir.Response:
    return ir.Response(
        "msg_1",
        "their-model",
        parts,
        ir.Finish(finish),  # type: ignore[arg-type]  # a literal by name
        **fields,  # type: ignore[arg-type]  # fields by name
    )


def written(response: ir.Response, **body: object) -> tuple[dict[str, object], list[str]]:
    encoded = codec.encode_response(response, asked(**body), new_id=counting())
    return encoded.payload, names(encoded.losses)  # type: ignore[return-value]  # JSON


def said(response: ir.Response, **body: object) -> dict[str, object]:
    payload, _ = written(response, **body)
    return payload["choices"][0]["message"]  # type: ignore[index, no-any-return]  # JSON


class TestReading:
    @pytest.mark.parametrize(
        ("fields", "parts"),
        [
            ({"content": "hi", "refusal": None, "annotations": [], "tool_calls": []}, (ir.Text("hi"),)),
            ({"content": ""}, ()),
            ({"content": None, "refusal": "no"}, (ir.Refusal("no"),)),
            ({"reasoning_content": "hm", "content": "hi"}, (ir.Reasoning("hm"), ir.Text("hi"))),
            ({"reasoning": "hm", "content": "hi"}, (ir.Reasoning("hm"), ir.Text("hi"))),
            ({"reasoning_content": "hm", "reasoning": "hm"}, (ir.Reasoning("hm"),)),
            ({"content": [{"type": "text", "text": "hi"}]}, (ir.Text("hi"),)),
            ({"tool_calls": [CALL]}, (ir.ToolCall("c1", "f", '{"a":1}'),)),
            (
                {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
                (ir.ToolCall("", "f", '{"a":1}'),),
            ),
            ({"tool_calls": [{"id": "c", "function": {"name": "f"}}]}, (ir.ToolCall("c", "f", ""),)),
            (
                {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "p", "input": "x"}}]},
                (ir.ToolCall("c", "p", "x", kind="custom"),),
            ),
            ({"function_call": {"name": "f", "arguments": "{}"}}, (ir.ToolCall("", "f", "{}"),)),
            ({"function_call": {"name": "", "arguments": ""}, "content": "hi"}, (ir.Text("hi"),)),
            (
                {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
                (ir.Media("image", ir.Inline("AA==", "image/png")),),
            ),
            ({"audio": {"id": "", "data": ""}, "content": "hi"}, (ir.Text("hi"),)),
            (
                {"audio": {"id": "a1", "data": "UklGRg==", "transcript": "hi"}},
                (
                    ir.Media(
                        "audio",
                        ir.Inline("UklGRg==", "audio/wav"),
                        native=(native({"id": "a1", "transcript": "hi"}, issuer="openai"),),
                    ),
                ),
            ),
        ],
    )
    def test_parts(self, fields: dict[str, object], parts: tuple[ir.Part, ...]) -> None:
        assert message(**fields).parts == parts

    @pytest.mark.parametrize(
        ("data", "media_type"),
        [("T2dnUw==", "audio/ogg"), ("ZkxhQw==", "audio/flac"), ("SUQz", "audio/mpeg"), ("AAAA", "audio/pcm")],
    )
    def test_sound_is_known_by_its_first_bytes(self, data: str, media_type: str) -> None:
        part = message(audio={"data": data}).parts[0]
        assert isinstance(part, ir.Media)
        assert part.source == ir.Inline(data, media_type)

    def test_citations(self) -> None:
        response = message(
            content="as seen",
            annotations=[
                {
                    "type": "url_citation",
                    "url_citation": {
                        "url": "https://x.io",
                        "title": "X",
                        "content": "q",
                        "start_index": 0,
                        "end_index": 2,
                    },
                },
                {"type": "file", "file": {"hash": "h"}},
            ],
        )
        text = response.parts[0]
        assert isinstance(text, ir.Text)
        assert text.citations == (
            ir.Citation("https://x.io", "X", "q", 0, 2),
            ir.Citation(native=(native({"annotation": {"type": "file", "file": {"hash": "h"}}}, issuer="openai"),)),
        )

    def test_citations_of_nothing(self) -> None:
        response = message(annotations=[{"type": "url_citation", "url_citation": {"url": "https://x.io"}}])
        assert response.parts == (ir.Text("", citations=(ir.Citation("https://x.io"),)),)

    def test_thoughts_between_tags_of_a_local_model(self) -> None:
        assert message("ollama", content="<think>hm</think>hi").parts == (
            ir.Reasoning("hm", native=(native({"reasoning_content": "hm"}, issuer="ollama"),)),
            ir.Text("hi"),
        )
        assert message("generic", content="<think>\n</think>\nhi").parts == (ir.Text("hi"),)
        assert message(content="<think>hm</think>hi").parts == (ir.Text("<think>hm</think>hi"),)

    def test_thoughts_that_are_demanded_back_are_residue(self) -> None:
        (thought,) = message("deepseek", reasoning_content="hm").parts
        assert thought == ir.Reasoning("hm", native=(native({"reasoning_content": "hm"}, issuer="deepseek"),))

    @pytest.mark.parametrize(
        ("raw", "fields", "reason"),
        [
            ("stop", {"content": "a"}, "stop"),
            ("stop", {"tool_calls": [CALL]}, "tool_calls"),
            ("stop", {"refusal": "no"}, "refusal"),
            ("", {"tool_calls": [CALL]}, "tool_calls"),
            ("", {"content": "a"}, "stop"),
            ("tool_calls", {"content": "a"}, "stop"),
            ("length", {"tool_calls": [CALL]}, "length"),
            ("content_filter", {}, "content_filter"),
            ("function_call", {"function_call": {"name": "f"}}, "tool_calls"),
            ("eos", {"content": "a"}, "stop"),
            ("MAX_TOKENS", {"content": "a"}, "length"),
            ("sensitive", {}, "content_filter"),
            ("model_length", {}, "context_window"),
            ("insufficient_system_resource", {}, "error"),
            ("novel", {"content": "a"}, "other"),
        ],
    )
    def test_reasons_to_end(self, raw: str, fields: dict[str, object], reason: str) -> None:
        assert message(finish=raw, **fields).finish == ir.Finish(reason, raw or None)  # type: ignore[arg-type]  # by name

    def test_the_stop_sequence_that_vllm_tells(self) -> None:
        choice = {"message": {"content": "a"}, "finish_reason": "stop", "stop_reason": "END"}
        assert answer({"choices": [choice]}, "vllm").finish == ir.Finish("stop", "stop", "END")

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (
                {
                    "usage": {
                        "prompt_tokens": 10,
                        "completion_tokens": 5,
                        "total_tokens": 15,
                        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                        "completion_tokens_details": {"reasoning_tokens": 2},
                    }
                },
                (10, 5, 4, 1, 2),
            ),
            (
                {
                    "usage": {
                        "prompt_tokens": 10,
                        "completion_tokens": 5,
                        "total_tokens": 18,
                        "completion_tokens_details": {"reasoning_tokens": 3},
                    }
                },
                (10, 8, None, None, 3),
            ),
            (
                {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 7}},
                (10, 5, 7, None, None),
            ),
            ({"x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}}, (1, 2, None, None, None)),
            ({}, (None,) * 5),
        ],
    )
    def test_usage(self, body: dict[str, object], expected: tuple[int | None, ...]) -> None:
        usage = answer({"choices": [{"message": {}}], **body}).usage
        assert (
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        ) == expected

    def test_what_has_no_meaning_elsewhere_is_residue_where_it_was(self) -> None:
        response = answer(
            {
                "id": "1",
                "choices": [
                    {"message": {"content": "a", "mood": "good"}, "logprobs": {"content": []}, "finish_reason": "stop"},
                    {"index": 1, "message": {"content": "b"}},
                ],
                "system_fingerprint": "fp",
                "service_tier": None,
            }
        )
        assert response.native == (
            native(
                {
                    "system_fingerprint": "fp",
                    "choices": [
                        {"logprobs": {"content": []}, "message": {"mood": "good"}},
                        {"index": 1, "message": {"content": "b"}},
                    ],
                },
                issuer="openai",
            ),
        )

    def test_tools_get_their_names_back(self) -> None:
        tools = {
            "box__run": ToolName("run", "box"),
            "p": ToolName("p", None, "custom"),
        }
        calls = [
            {"id": "1", "function": {"name": "box__run", "arguments": "{}"}},
            {"id": "2", "function": {"name": "p", "arguments": '{"input": "say \\"hi\\""}'}},
            {"id": "3", "function": {"name": "p", "arguments": "no json"}},
            {"id": "4", "function": {"name": "p", "arguments": '{"input": 1}'}},
        ]
        response = answer({"choices": [{"message": {"tool_calls": calls}}]}, tools=tools)
        assert response.parts == (
            ir.ToolCall("1", "run", "{}", namespace="box"),
            ir.ToolCall("2", "p", 'say "hi"', kind="custom"),
            ir.ToolCall("3", "p", "no json", kind="custom"),
            ir.ToolCall("4", "p", '{"input": 1}', kind="custom"),
        )

    def test_the_tool_that_stood_in_for_a_form_is_the_answer(self) -> None:
        choice = {"message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}
        response = answer({"choices": [choice]}, json_tool="f")
        assert response.parts == (ir.Text('{"a":1}'),)
        assert response.finish.reason == "stop"

    def test_a_filter_may_leave_no_message(self) -> None:
        response = answer({"choices": [{"finish_reason": "content_filter"}]}, "azure")
        assert response.finish.reason == "content_filter"
        assert response.parts == ()

    @pytest.mark.parametrize(
        "body",
        [{}, {"choices": []}, {"choices": "a"}, {"choices": [1]}, {"choices": [{}]}, {"choices": [{"message": 1}]}],
    )
    def test_garbage(self, body: dict[str, object]) -> None:
        with pytest.raises(BadReply):
            answer(body)


class TestWriting:
    def test_the_frame(self) -> None:
        payload, losses = written(whole(ir.Text("hi"), usage=ir.Usage(3, 2, 1, 0, 1)))
        assert payload == {
            "id": "msg_1",
            "object": "chat.completion",
            "created": CREATED,
            "model": "asked-model",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "hi", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        }
        assert losses == []

    def test_what_is_unknown_is_not_invented(self) -> None:
        payload, _ = written(ir.Response("", "m", (), ir.Finish("stop"), created=5))
        assert "usage" not in payload
        assert payload["id"] == "chatcmpl-1"
        assert payload["created"] == 5

    def test_usage_in_its_own_terms_goes_as_it_came(self) -> None:
        raw: ir.JsonObject = {"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.1}
        payload, _ = written(whole(usage=ir.Usage(3, 2, raw=raw)))
        assert payload["usage"] == raw

    def test_cache_writes(self) -> None:
        payload, _ = written(whole(usage=ir.Usage(3, 2, cache_write_tokens=3)))
        assert payload["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 3}  # type: ignore[index]  # JSON

    def test_calls(self) -> None:
        response = whole(ir.ToolCall("c1", "f", "{}"), ir.ToolCall("", "p", "x", kind="custom"), finish="tool_calls")
        assert said(response) == {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "call_1", "type": "custom", "custom": {"name": "p", "input": "x"}},
            ],
        }

    def test_the_older_way_for_who_asked_in_it(self) -> None:
        response = whole(ir.ToolCall("c1", "f", "{}"), ir.ToolCall("c2", "g", "{}"), finish="tool_calls")
        payload, losses = written(response, functions=[{"name": "f"}])
        (choice,) = payload["choices"]  # type: ignore[misc]  # JSON
        assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}  # type: ignore[index, call-overload]  # JSON
        assert choice["finish_reason"] == "function_call"  # type: ignore[index, call-overload]  # JSON
        assert losses == ["parallel_tool_calls"]

    def test_a_refusal_in_words_and_one_without(self) -> None:
        payload, losses = written(whole(ir.Refusal("no"), finish="refusal"))
        assert payload["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]  # JSON
        assert losses == []
        payload, losses = written(whole(finish="refusal"))
        assert payload["choices"][0]["finish_reason"] == "content_filter"  # type: ignore[index]  # JSON
        assert losses == ["finish_reason~"]

    @pytest.mark.parametrize(
        ("reason", "word", "lost"),
        [
            ("stop", "stop", []),
            ("length", "length", []),
            ("content_filter", "content_filter", []),
            ("pause", "stop", ["finish_reason~"]),
            ("context_window", "length", ["finish_reason~"]),
            ("error", "stop", ["finish_reason~"]),
            ("other", "stop", ["finish_reason~"]),
        ],
    )
    def test_reasons_to_end(self, reason: str, word: str, lost: list[str]) -> None:
        payload, losses = written(whole(finish=reason))
        assert payload["choices"][0]["finish_reason"] == word  # type: ignore[index]  # JSON
        assert losses == lost

    def test_a_stop_sequence_is_not_told(self) -> None:
        response = ir.Response("1", "m", (), ir.Finish("stop", "stop_sequence", "END"))
        assert written(response)[1] == ["stop_sequence"]

    def test_texts_are_one_and_citations_move_with_them(self) -> None:
        response = whole(ir.Text("one "), ir.Text("two", citations=(ir.Citation("https://x.io", start=0, end=3),)))
        assert said(response)["content"] == "one two"
        assert said(response)["annotations"] == [
            {
                "type": "url_citation",
                "url_citation": {"url": "https://x.io", "title": "", "start_index": 4, "end_index": 7},
            }
        ]

    def test_what_cannot_be_cited(self) -> None:
        theirs = native({"encrypted_index": "x"}, issuer="anthropic", protocol=Protocol.MESSAGES)
        cited = (ir.Citation(quote="q"), ir.Citation("https://x.io", native=(theirs,)))
        assert written(whole(ir.Text("a", citations=cited)))[1] == ["citations", "citations~"]

    def test_an_order_that_is_not_the_messages(self) -> None:
        assert written(whole(ir.ToolCall("c", "f", "{}"), ir.Text("a")))[1] == ["part_order~"]
        assert written(whole(ir.Text("a"), ir.Reasoning("hm")))[1] == ["part_order~"]
        assert written(whole(ir.Reasoning("hm"), ir.Text("a"), ir.ToolCall("c", "f", "{}")))[1] == []

    def test_images_and_sound(self) -> None:
        image = ir.Media("image", ir.Inline("AA==", "image/png"))
        sound = ir.Media("audio", ir.Inline("UklGRg==", "audio/wav"))
        response = whole(image, sound)
        assert said(response)["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
        assert said(response)["audio"] == {
            "id": "audio_1",
            "data": "UklGRg==",
            "expires_at": CREATED,
            "transcript": "",
        }
        assert written(response)[1] == []
        bare = ir.Media("audio", ir.Inline("AAAA", "audio/L16;codec=pcm;rate=24000"))
        assert written(whole(bare))[1] == ["audio~"]
        assert written(whole(sound, sound, ir.Media("video", ir.Remote("https://x.io"))))[1] == ["audio", "video"]

    def test_what_cannot_be_said(self) -> None:
        theirs = native({"type": "compaction"}, issuer="anthropic", protocol=Protocol.MESSAGES)
        response = whole(
            ir.ToolCall("s", "web_search", "{}", server=True),
            ir.ToolResult("s", (), server=True),
            ir.Opaque("compaction", theirs),
            ir.ToolCall("c", "run", "{}", namespace="box"),
            ir.Refusal("no", native=(theirs, native({"x": 1}, issuer="anthropic", protocol=Protocol.MESSAGES))),
            native=(native({"container": {"id": "c"}}, issuer="anthropic", protocol=Protocol.MESSAGES),),
        )
        assert written(response)[1] == [
            "server_tool",
            "server_tool",
            "unknown_part:compaction",
            "namespace",
            "unknown_field:x",
            "part_order~",
            "unknown_field:container",
        ]
