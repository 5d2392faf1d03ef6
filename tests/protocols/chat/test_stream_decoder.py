"""Streams of upstreams, read."""

from __future__ import annotations

import pytest

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import ToolName
from tests.protocols.chat.kit import CREATED, chunk, decoded, folded, native, sse


def call(
    index: int | None = None, ident: str | None = None, name: str | None = None, piece: str | None = None
) -> object:
    function = {key: value for key, value in (("name", name), ("arguments", piece)) if value is not None}
    item: dict[str, object] = {"function": function}
    if index is not None:
        item["index"] = index
    if ident is not None:
        item["id"] = ident
    return item


def calls(*items: object) -> dict[str, object]:
    return chunk({"tool_calls": list(items)})


def parts(*chunks: object, issuer: str = "openai", **known: object) -> tuple[ir.Part, ...]:
    """The parts of a stream that ends well."""
    response = folded(decoded(sse([*chunks, chunk({}, finish="stop")]), issuer, **known)).response
    assert response is not None
    return response.parts


class TestWords:
    def test_live(self) -> None:
        events = decoded(
            sse(
                [
                    chunk({"role": "assistant", "content": "", "refusal": None}),
                    chunk({"content": "Hel"}),
                    chunk({"content": "lo"}),
                    chunk({}, finish="stop"),
                    chunk(usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
                ]
            )
        )
        assert events == [
            ir.Begin("chatcmpl-1", "asked-model", CREATED),
            ir.PartBegin(0, ir.Text("")),
            ir.PartDelta(0, "Hel"),
            ir.PartDelta(0, "lo"),
            ir.PartEnd(0),
            ir.End(
                ir.Finish("stop", "stop"),
                ir.Usage(3, 2, raw={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}),
            ),
        ]

    def test_thoughts_words_and_a_refusal_follow_each_other(self) -> None:
        assert parts(
            chunk({"reasoning_content": "h"}),
            chunk({"reasoning_content": "m"}),
            chunk({"content": "a"}),
            chunk({"reasoning": "again"}),
            chunk({"refusal": "n"}),
            chunk({"refusal": "o"}),
        ) == (ir.Reasoning("hm"), ir.Text("a"), ir.Reasoning("again"), ir.Refusal("no"))

    def test_a_field_that_says_the_same_twice(self) -> None:
        assert parts(chunk({"reasoning": "hm", "reasoning_content": "hm"})) == (ir.Reasoning("hm"),)

    def test_tags(self) -> None:
        pieces = [chunk({"content": piece}) for piece in ("<th", "ink>h", "m</think", ">\n\nhi")]
        assert parts(*pieces, issuer="generic") == (ir.Reasoning("hm"), ir.Text("hi"))
        assert parts(chunk({"content": "<th"}), issuer="generic") == (ir.Text("<th"),)
        assert parts(chunk({"content": "<think>hm"}), issuer="openai") == (ir.Text("<think>hm"),)
        held = [chunk({"content": " <"}), calls(call(0, "c", "f", "{}"))]
        assert parts(*held, issuer="generic") == (ir.Text(" <"), ir.ToolCall("c", "f", "{}"))
        assert parts(chunk({"content": " "}), chunk({"refusal": "no"}), issuer="vllm") == (
            ir.Text(" "),
            ir.Refusal("no"),
        )
        # A server that takes thoughts out leaves tags that are the answer's own.
        assert parts(chunk({"reasoning": "hm"}), chunk({"content": "<think>"}), issuer="groq") == (
            ir.Reasoning("hm"),
            ir.Text("<think>"),
        )

    def test_thinking_parts(self) -> None:
        thinking = [
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]})
            for piece in ("h", "m")
        ]
        assert parts(*thinking, chunk({"content": "hi"}), issuer="mistral") == (
            ir.Reasoning("hm", native=(native({"reasoning_content": "hm"}, issuer="mistral"),)),
            ir.Text("hi"),
        )

    def test_thinking_parts_with_references_are_kept(self) -> None:
        pieces: list[dict[str, object]] = [
            {"type": "thinking", "thinking": [{"type": "text", "text": "h"}]},
            {"type": "thinking", "thinking": [{"type": "text", "text": "m"}, {"type": "reference", "ids": [1]}]},
            {"type": "thinking", "thinking": [{"type": "text", "text": "!"}], "closed": True},
        ]
        whole = {
            "type": "thinking",
            "thinking": [
                {"type": "text", "text": "hm"},
                {"type": "reference", "ids": [1]},
                {"type": "text", "text": "!"},
            ],
            "closed": True,
        }
        assert parts(*(chunk({"content": [piece]}) for piece in pieces), issuer="mistral") == (
            ir.Reasoning("hm!", native=(native({"thinking": whole}, issuer="mistral"),)),
        )

    def test_other_parts_come_whole(self) -> None:
        image = {"type": "image_url", "image_url": {"url": "https://x.io/a"}}
        hinted = {"type": "text", "text": "hi", "x": 1}
        assert parts(
            chunk({"content": [hinted, {"type": "text", "text": "plain"}]}),
            chunk({"images": [image]}),
            chunk({"content": [{"type": "odd"}]}),
        ) == (
            ir.Text("hi", native=(native({"x": 1}, issuer="openai"),)),
            ir.Text("plain"),
            ir.Media("image", ir.Remote("https://x.io/a")),
            ir.Opaque("odd", native({"type": "odd"}, issuer="openai")),
        )

    def test_citations_belong_to_the_words(self) -> None:
        cited = {"type": "url_citation", "url_citation": {"url": "https://x.io"}}
        assert parts(chunk({"content": "a"}), chunk({"annotations": [cited]}), chunk({"content": "b"})) == (
            ir.Text("ab", citations=(ir.Citation("https://x.io"),)),
        )
        assert parts(chunk({"annotations": [cited]}), chunk({"content": "a"})) == (
            ir.Text("a", citations=(ir.Citation("https://x.io"),)),
        )
        assert parts(calls(call(0, "c", "f", "{}")), chunk({"annotations": [cited]})) == (
            ir.ToolCall("c", "f", "{}"),
            ir.Text("", citations=(ir.Citation("https://x.io"),)),
        )

    def test_sound_comes_in_pieces_that_are_padded_each(self) -> None:
        assert parts(
            chunk({"audio": {"id": "a", "transcript": "h"}}),
            chunk({"audio": {"data": "AA==", "transcript": "i"}}),
            chunk({"audio": {"data": "AQI="}}),
        ) == (
            ir.Media(
                "audio",
                ir.Inline("AAEC", "audio/pcm"),
                native=(native({"id": "a", "transcript": "hi"}, issuer="openai"),),
            ),
        )
        (odd,) = parts(chunk({"audio": {"data": "A"}}), chunk({"audio": {"data": "B"}}))
        assert isinstance(odd, ir.Media)
        assert odd.source == ir.Inline("AB", "audio/pcm")


class TestDetails:
    def detail(self, kind: str = "text", index: int = 0, **says: object) -> dict[str, object]:
        return {"type": f"reasoning.{kind}", **says, "index": index}

    def test_pieces_of_an_item_are_one(self) -> None:
        got = parts(
            chunk({"reasoning": "h", "reasoning_details": [self.detail(text="h", format="f")]}),
            chunk({"reasoning": "m", "reasoning_details": [self.detail(text="m", signature=None)]}),
            chunk({"reasoning_details": [self.detail(signature="s")]}),
            chunk({"content": "hi"}),
            issuer="openrouter",
        )
        item = {"type": "reasoning.text", "text": "hm", "format": "f", "index": 0, "signature": "s"}
        assert got == (
            ir.Reasoning("hm", native=(native({"reasoning_details": [item]}, issuer="openrouter"),)),
            ir.Text("hi"),
        )

    def test_a_summary_and_what_is_encrypted(self) -> None:
        got = parts(
            chunk({"reasoning_details": [self.detail("summary", summary="so")]}),
            chunk({"reasoning_details": [self.detail("encrypted", data="x", id="rs_1")]}),
            chunk({"reasoning_details": [self.detail("encrypted", data="y", id="rs_2")]}),
            issuer="openrouter",
        )
        items = [
            self.detail("summary", summary="so"),
            self.detail("encrypted", data="x", id="rs_1"),
            self.detail("encrypted", data="y", id="rs_2"),
        ]
        assert got == (
            ir.Reasoning("so", summary=True, native=(native({"reasoning_details": items}, issuer="openrouter"),)),
        )

    def test_text_beside_details_without_words(self) -> None:
        got = parts(
            chunk({"reasoning": "h", "reasoning_details": [self.detail("encrypted", data="x")]}),
            chunk({"reasoning": "m", "reasoning_details": [self.detail("encrypted", data="y")]}),
            issuer="openrouter",
        )
        (thought,) = got
        assert isinstance(thought, ir.Reasoning)
        assert thought.text == "hm"

    def test_details_after_the_text_do_not_say_it_again(self) -> None:
        got = parts(
            chunk({"reasoning_content": "h"}),
            chunk({"reasoning_content": "m"}),
            chunk({"reasoning_details": [self.detail(text="hm", signature="s"), self.detail("encrypted", data="x")]}),
            issuer="openrouter",
        )
        items = [self.detail(text="hm", signature="s"), self.detail("encrypted", data="x")]
        assert got == (ir.Reasoning("hm", native=(native({"reasoning_details": items}, issuer="openrouter"),)),)

    def test_late_details_wait_for_a_call_to_be_whole(self) -> None:
        got = parts(
            calls(call(0, "c", "f", '{"a"')),
            chunk({"reasoning_details": [self.detail("encrypted", data="x", id="c")]}),
            calls(call(0, None, None, ":1}")),
            issuer="openrouter",
        )
        item = self.detail("encrypted", data="x", id="c")
        assert got == (
            ir.ToolCall("c", "f", '{"a":1}'),
            ir.Reasoning("", native=(native({"reasoning_details": [item]}, issuer="openrouter"),)),
        )


class TestCalls:
    A = ir.ToolCall("c1", "f", '{"a":1}')
    B = ir.ToolCall("c2", "g", '{"b":2}')

    @pytest.mark.parametrize(
        "chunks",
        [
            pytest.param(
                [
                    calls(call(0, "c1", "f", "")),
                    calls(call(0, None, None, '{"a"')),
                    calls(call(0, None, None, ":1}")),
                    calls(call(1, "c2", "g", "")),
                    calls(call(1, None, None, '{"b":2}')),
                ],
                id="one after the other",
            ),
            pytest.param(
                [
                    calls(call(0, "c1", "f"), call(1, "c2", "g")),
                    calls(call(1, None, None, '{"b"')),
                    calls(call(0, None, None, '{"a"')),
                    calls(call(1, None, None, ":2}"), call(0, None, None, ":1}")),
                ],
                id="interleaved",
            ),
            pytest.param([calls(call(0, "c1", "f", '{"a":1}'), call(1, "c2", "g", '{"b":2}'))], id="whole, in a chunk"),
            pytest.param(
                [calls(call(0, "c1", "f", '{"a":1}')), calls(call(0, "c2", "g", '{"b":2}'))], id="one index for all"
            ),
            pytest.param(
                [
                    calls(call(None, "c1", "f", '{"a"')),
                    calls(call(None, None, None, ":1}")),
                    calls(call(None, "c2", "g", '{"b"')),
                    calls(call(None, "c2", None, ":2}")),
                ],
                id="no index",
            ),
            pytest.param(
                [
                    calls(call(0, "c1", "f", "")),
                    calls(call(0, "", "f", '{"a":1}')),
                    calls(call(1, "c2", "g", "")),
                    calls(call(1, "c2", "g", '{"b":2}')),
                    calls(call(1, "", None, "")),
                ],
                id="names repeated, ids repeated or empty",
            ),
            pytest.param(
                [
                    calls(call(0, None, "f", "")),
                    calls(call(0, "c1", None, '{"a":1}')),
                    calls(call(1, "c2", None, '{"b"')),
                    calls(call(1, None, "g", ":2}")),
                ],
                id="name and id come apart",
            ),
        ],
    )
    def test_as_vendors_send_them(self, chunks: list[object]) -> None:
        got = parts(*chunks)
        assert [(part.name, part.arguments) for part in got if isinstance(part, ir.ToolCall)] == [
            ("f", '{"a":1}'),
            ("g", '{"b":2}'),
        ]
        assert {part.id for part in got if isinstance(part, ir.ToolCall)} <= {"c1", "c2", ""}

    def test_calls_without_ids(self) -> None:
        assert parts(calls(call(0, None, "f", '{"a":1}')), calls(call(0, None, "f", '{"a":2}'))) == (
            ir.ToolCall("", "f", '{"a":1}'),
            ir.ToolCall("", "f", '{"a":2}'),
        )
        assert parts(calls(call(None, None, "f", "{}"), call(None, None, "g", "{}"))) == (
            ir.ToolCall("", "f", "{}"),
            ir.ToolCall("", "g", "{}"),
        )

    def test_a_whole_call_makes_room_for_the_next_at_once(self) -> None:
        events = decoded(
            sse([calls(call(0, "c1", "f", '{"a":1}')), calls(call(1, "c2", "g", "{")), calls(call(1, None, None, "}"))])
        )
        assert events[4:7] == [
            ir.PartBegin(1, ir.ToolCall("c2", "g", "")),
            ir.PartDelta(1, "{"),
            ir.PartDelta(1, "}"),
        ]

    def test_words_wait_for_a_call_to_be_whole(self) -> None:
        assert parts(
            calls(call(0, "c1", "f", '{"a"')), chunk({"content": "so"}), calls(call(0, None, None, ":1}"))
        ) == (self.A, ir.Text("so"))

    def test_arguments_that_are_no_json_last_to_the_end(self) -> None:
        assert parts(calls(call(0, "c1", "f", "oops")), calls(call(1, "c2", "g", '{"b":2}'))) == (
            ir.ToolCall("c1", "f", "oops"),
            self.B,
        )

    def test_arguments_that_go_on_after_their_end_are_no_answer(self) -> None:
        chunks = [calls(call(0, "c1", "f", "{}")), chunk({"content": "a"}), calls(call(0, None, None, "{}"))]
        with pytest.raises(BadReply):
            decoded(sse(chunks))

    def test_a_call_that_never_gets_a_name(self) -> None:
        assert parts(calls(call(0, "c1", None, "{}"))) == (ir.ToolCall("c1", "", "{}"),)

    def test_custom_calls(self) -> None:
        first = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "p", "input": ""}}
        more = {"index": 0, "custom": {"input": "{}"}}
        last = {"index": 0, "custom": {"input": " and more"}}
        assert parts(calls(first), calls(more), chunk({"content": "a"}), calls(last)) == (
            ir.ToolCall("c", "p", "{} and more", kind="custom"),
            ir.Text("a"),
        )

    def test_a_function_that_stood_in_for_a_custom_tool(self) -> None:
        tools = {"p": ToolName("p", None, "custom")}
        events = decoded(
            sse([calls(call(0, "c", "p", '{"input": "a')), calls(call(0, None, None, '\\nb"}'))]), tools=tools
        )
        assert events[1:4] == [
            ir.PartBegin(0, ir.ToolCall("c", "p", "", kind="custom")),
            ir.PartDelta(0, "a\nb"),
            ir.PartEnd(0),
        ]

    def test_the_tool_that_stood_in_for_a_form_is_the_answer(self) -> None:
        chunks = [calls(call(0, "c", "out", '{"a"')), calls(call(0, None, None, ":1}")), chunk({}, finish="tool_calls")]
        response = folded(decoded(sse(chunks), json_tool="out")).response
        assert response is not None
        assert response.parts == (ir.Text('{"a":1}'),)
        assert response.finish.reason == "stop"

    def test_the_older_way(self) -> None:
        assert parts(
            chunk({"function_call": {"name": "f", "arguments": ""}}), chunk({"function_call": {"arguments": "{}"}})
        ) == (ir.ToolCall("", "f", "{}"),)

    def test_residue_of_a_call(self) -> None:
        first = {**call(0, "c", "f", "{"), "extra_content": {"a": 1}}  # type: ignore[dict-item]  # JSON
        second = {"index": 0, "function": {"arguments": "}", "x": 2}}
        early, late = (
            native({"extra_content": {"a": 1}}, issuer="openai"),
            native({"function": {"x": 2}}, issuer="openai"),
        )
        events = decoded(sse([calls(first), calls(second), chunk({}, finish="tool_calls")]))
        assert events[1] == ir.PartBegin(0, ir.ToolCall("c", "f", "", native=(early,)))
        assert events[4] == ir.PartEnd(0, (late,))


class TestEnd:
    HI = chunk({"content": "hi"})

    def test_a_reason_is_enough(self) -> None:
        response = folded(decoded(sse([self.HI, chunk({}, finish="length")], done=False))).response
        assert response is not None
        assert response.finish == ir.Finish("length", "length")

    def test_done_is_enough(self) -> None:
        response = folded(decoded(sse([self.HI]))).response
        assert response is not None
        assert response.finish == ir.Finish("stop", None)

    def test_neither_is_a_cut(self) -> None:
        assembler = folded(decoded(sse([self.HI], done=False)))
        assert assembler.response is None
        assert assembler.failed == ir.Failed("api_error", "the upstream's stream ended before the answer was whole")

    @pytest.mark.parametrize("raw", [sse([]), b"", sse([chunk()])])
    def test_nothing_is_no_answer(self, raw: bytes) -> None:
        assembler = folded(decoded(raw))
        assert assembler.response is None
        assert assembler.failed is not None

    @pytest.mark.parametrize(
        ("payload", "failed"),
        [
            (
                {"error": {"message": "Slow down", "type": "rate_limit_error", "code": None}},
                ir.Failed("rate_limit", "Slow down"),
            ),
            ({"error": {"message": "Busy", "code": 503}}, ir.Failed("overloaded", "Busy", "503")),
            ({"error": {"message": "Odd", "type": "server_error"}}, ir.Failed("api_error", "Odd")),
            ({"error": "in words"}, ir.Failed("api_error", "in words")),
            (
                {"error": {"code": "x"}},
                ir.Failed("api_error", "the upstream broke the answer off and gave no reason", "x"),
            ),
        ],
    )
    def test_errors_in_the_stream(self, payload: object, failed: ir.Failed) -> None:
        events = decoded(sse([self.HI, payload, self.HI]))
        assert events[-1] == failed
        assert folded(events).response is None

    def test_an_event_that_is_named_error(self) -> None:
        events = decoded(b'event: error\ndata: {"message": "Busy", "type": "overloaded_error"}\n\n')
        assert events == [ir.Failed("overloaded", "Busy")]

    def test_what_follows_done_is_nothing(self) -> None:
        events = decoded(sse([self.HI]) + sse([self.HI]))
        assert sum(isinstance(event, ir.End) for event in events) == 1

    def test_usage_anywhere(self) -> None:
        usage = {"prompt_tokens": 1, "completion_tokens": 2}
        for chunks in (
            [{**self.HI, "usage": usage}],
            [self.HI, chunk({}, finish="stop", x_groq={"usage": usage})],
            [self.HI, {"usage": usage}],
            [chunk(usage=usage), self.HI],
        ):
            response = folded(decoded(sse(chunks))).response
            assert response is not None
            assert (response.usage.input_tokens, response.usage.output_tokens) == (1, 2)

    def test_what_is_unknown_is_residue_as_of_a_whole_answer(self) -> None:
        def scored(token: str) -> dict[str, object]:
            one = chunk({"content": token, "mood": token})
            one["choices"][0]["logprobs"] = {"content": [{"token": token}], "refusal": None}  # type: ignore[index]  # JSON
            return {**one, "system_fingerprint": "fp", "obfuscation": "xxx", "citations": ["u"]}

        response = folded(decoded(sse([scored("a"), scored("b"), chunk({}, finish="stop")]))).response
        assert response is not None
        assert response.native == (
            native(
                {
                    "system_fingerprint": "fp",
                    "citations": ["u"],
                    "choices": [
                        {
                            "logprobs": {"content": [{"token": "a"}, {"token": "b"}], "refusal": None},
                            "message": {"mood": "ab"},
                        }
                    ],
                },
                issuer="openai",
            ),
        )

    def test_a_filter_before_the_answer(self) -> None:
        filtered = {"choices": [], "id": "", "model": "", "prompt_filter_results": [{"prompt_index": 0}]}
        events = decoded(sse([filtered, self.HI, chunk({}, finish="stop")]), "azure")
        assert events[0] == ir.Begin("chatcmpl-1", "asked-model", CREATED)
        response = folded(events).response
        assert response is not None
        assert response.native[0].data["prompt_filter_results"] == [{"prompt_index": 0}]

    def test_further_choices_are_not_the_answers(self) -> None:
        other = {**self.HI, "choices": [{"index": 1, "delta": {"content": "other"}}]}
        assert parts(self.HI, other) == (ir.Text("hi"),)

    def test_a_whole_message_in_place_of_deltas(self) -> None:
        whole = {**chunk(), "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}
        assert parts(whole) == (ir.Text("hi"),)
        assert parts(self.HI, whole) == (ir.Text("hi"),)

    def test_pings_and_unknown_events(self) -> None:
        raw = b": ping\n\n" + sse([{"type": "ping"}], done=False) + b"data:\n\n" + sse([self.HI])
        response = folded(decoded(raw)).response
        assert response is not None
        assert response.parts == (ir.Text("hi"),)

    @pytest.mark.parametrize("raw", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"choices": [1]}\n\n', b"data: no\n\n"])
    def test_garbage(self, raw: bytes) -> None:
        with pytest.raises(BadReply):
            decoded(raw)
