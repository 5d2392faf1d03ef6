"""Streams for clients, written."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ccx.protocols import ir
from ccx.protocols.chat import codec
from ccx.protocols.names import Protocol
from ccx.protocols.stream import events
from tests.protocols.chat.kit import CREATED, asked, counting, names, native, payloads, streamed

COUNTED = {"stream_options": {"include_usage": True}}


def whole(*parts: ir.Part, reason: ir.FinishReason = "stop", **fields: object) -> ir.Response:
    return ir.Response("id1", "m", parts, ir.Finish(reason), **fields)  # type: ignore[arg-type]  # fields by name


def deltas(raw: bytes) -> list[dict[str, object]]:
    return [payload["choices"][0]["delta"] for payload in payloads(raw) if payload["choices"]]  # type: ignore[index]  # JSON


def test_the_sequence() -> None:
    raw, losses = streamed(events(whole(ir.Text("hi"), usage=ir.Usage(3, 2))), **COUNTED)
    head = {"id": "id1", "object": "chat.completion.chunk", "created": CREATED, "model": "asked-model"}

    def choice(delta: object, reason: str | None) -> list[object]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    assert payloads(raw) == [
        {**head, "choices": choice({"role": "assistant", "content": None, "refusal": None}, None), "usage": None},
        {**head, "choices": choice({"content": "hi"}, None), "usage": None},
        {**head, "choices": choice({}, "stop"), "usage": None},
        {
            **head,
            "choices": [],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        },
    ]
    assert raw.endswith(b"data: [DONE]\n\n")
    assert losses == []


def test_usage_is_for_who_asked() -> None:
    raw, _ = streamed(events(whole(ir.Text("hi"), usage=ir.Usage(3, 2))))
    assert b"usage" not in raw


def test_unknown_usage_is_not_invented() -> None:
    raw, _ = streamed(events(whole(ir.Text("hi"))), **COUNTED)
    assert all(payload["choices"] for payload in payloads(raw))


def test_early_usage_counts() -> None:
    spoken = [ir.Begin("id1", "m", None, ir.Usage(7)), ir.End(ir.Finish("stop"), ir.Usage(None, 2))]
    raw, _ = streamed(spoken, **COUNTED)
    assert payloads(raw)[-1]["usage"]["total_tokens"] == 9  # type: ignore[index, call-overload]  # JSON


def test_ids_are_minted_where_there_are_none() -> None:
    raw, _ = streamed([ir.Begin("", "m"), ir.PartBegin(0, ir.ToolCall("", "f", "")), ir.PartEnd(0)])
    assert payloads(raw)[0]["id"] == "chatcmpl-1"
    assert deltas(raw)[1] == {
        "tool_calls": [{"index": 0, "id": "call_2", "type": "function", "function": {"name": "f", "arguments": ""}}]
    }


def test_calls_are_numbered() -> None:
    raw, _ = streamed(
        events(whole(ir.ToolCall("a", "f", "{}"), ir.ToolCall("b", "p", "x", kind="custom"), reason="tool_calls"))
    )
    assert deltas(raw)[1:-1] == [
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 1, "id": "b", "type": "custom", "custom": {"name": "p", "input": ""}}]},
        {"tool_calls": [{"index": 1, "custom": {"input": "x"}}]},
    ]
    assert payloads(raw)[-1]["choices"][0]["finish_reason"] == "tool_calls"  # type: ignore[index, call-overload]  # JSON


def test_the_older_way_for_who_asked_in_it() -> None:
    raw, losses = streamed(
        events(whole(ir.ToolCall("a", "f", "{}"), ir.ToolCall("b", "g", "{}"), reason="tool_calls")),
        functions=[{"name": "f"}],
    )
    assert deltas(raw)[1:] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        {},
    ]
    assert payloads(raw)[-1]["choices"][0]["finish_reason"] == "function_call"  # type: ignore[index, call-overload]  # JSON
    assert names(losses) == ["parallel_tool_calls"]


def test_each_event_is_written_as_it_comes() -> None:
    encoder = codec.stream_encoder(asked(), new_id=counting())
    for event in events(whole(ir.Reasoning("hm"), ir.Text("hi"), ir.Refusal("no"))):
        raw = encoder.encode(event)
        assert raw == b"" if isinstance(event, ir.PartBegin | ir.PartEnd) else raw.endswith(b"\n\n")


def test_failures_are_told_and_nothing_is_done() -> None:
    begun = [ir.Begin("1", "m"), ir.PartBegin(0, ir.Text("")), ir.PartDelta(0, "h")]
    raw, _ = streamed([*begun, ir.Failed("overloaded", "Try later", "busy")])
    assert payloads(raw)[-1] == {
        "error": {"message": "Try later", "type": "server_error", "param": None, "code": "busy"}
    }
    assert b"[DONE]" not in raw
    raw, _ = streamed([ir.Failed("not a kind", "Odd")])
    assert payloads(raw) == [{"error": {"message": "Odd", "type": "server_error", "param": None, "code": None}}]


def test_losses_are_those_of_a_whole_answer() -> None:
    theirs = native({"x": 1}, issuer="anthropic", protocol=Protocol.MESSAGES)
    response = whole(
        ir.ToolCall("c", "f", "{}"),
        ir.Text("a", citations=(ir.Citation(quote="q"),)),
        ir.Reasoning("hm"),
        ir.ToolCall("s", "web_search", "{}", server=True),
        ir.ToolResult("s", (), server=True),
        ir.Opaque("odd", theirs),
        ir.Refusal("no", native=(theirs,)),
        ir.Media("video", ir.Remote("https://x.io")),
        reason="pause",
        native=(theirs,),
    )
    _, losses = streamed(events(response))
    encoded = codec.encode_response(response, asked(), new_id=counting())
    assert set(names(losses)) == set(names(encoded.losses))


def test_media_and_residue() -> None:
    image = ir.Media("image", ir.Remote("https://x.io/a"))
    called = ir.ToolCall("c", "f", "{}", native=(native({"extra_content": {"a": 1}}, issuer="gemini"),))
    raw, losses = streamed(events(whole(image, called, native=(native({"system_fingerprint": "fp"}, issuer="x"),))))
    assert {"images": [{"type": "image_url", "image_url": {"url": "https://x.io/a"}}]} in deltas(raw)
    opened = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}, "extra_content": {"a": 1}}
    assert {"tool_calls": [{"index": 0, **opened}]} in deltas(raw)
    assert payloads(raw)[-1]["system_fingerprint"] == "fp"
    assert losses == []


PARTS: dict[str, tuple[ir.Part, ...]] = {
    "words": (ir.Text("hi"),),
    "thoughts": (ir.Reasoning("hm"), ir.Text("hi")),
    "calls": (ir.ToolCall("a", "f", "{}"), ir.ToolCall("b", "f", '{"a": 1}')),
    "refusal": (ir.Refusal("no"),),
    "citations": (ir.Text("hi", citations=(ir.Citation("https://x.io", "X", None, 0, 1),)),),
    "sound": (ir.Media("audio", ir.Inline("UklGRg==", "audio/wav")),),
    "nothing": (),
}


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"])
def test_the_sdk_takes_them_strictly(parts: tuple[ir.Part, ...], reason: ir.FinishReason) -> None:
    response = whole(*parts, reason=reason, usage=ir.Usage(3, 2))
    raw, _ = streamed(events(response), **COUNTED)
    for payload in payloads(raw):
        ChatCompletionChunk.model_validate_json(msgspec.json.encode(payload), strict=True)
    encoded = codec.encode_response(response, asked(), new_id=counting())
    ChatCompletion.model_validate_json(msgspec.json.encode(encoded.payload), strict=True)


def test_a_second_sound_is_a_loss() -> None:
    sound = ir.Media("audio", ir.Inline("UklGRg==", "audio/wav"))
    raw, losses = streamed(events(whole(sound, ir.Media("image", ir.Remote("https://x.io/a")), sound)))
    assert sum("audio" in delta for delta in deltas(raw)) == 1
    assert names(losses) == ["audio"]


def test_residue_that_comes_at_the_end_of_a_call() -> None:
    late = ir.PartEnd(0, native=(native({"extra_content": {"a": 1}}, issuer="gemini"),))
    raw, _ = streamed([ir.Begin("1", "m"), ir.PartBegin(0, ir.ToolCall("c", "f", "")), ir.PartDelta(0, "{}"), late])
    assert deltas(raw)[-1] == {"tool_calls": [{"index": 0, "extra_content": {"a": 1}}]}


def test_text_with_citations_after_other_text() -> None:
    cited = ir.Text("two", citations=(ir.Citation("https://x.io", start=0, end=3),))
    spoken: Iterable[ir.Event] = events(whole(ir.Text("one "), cited))
    raw, _ = streamed(spoken)
    (delta,) = [delta for delta in deltas(raw) if "annotations" in delta]
    assert delta["annotations"][0]["url_citation"]["start_index"] == 4  # type: ignore[index, call-overload]  # JSON
