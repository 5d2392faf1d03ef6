"""Streams: chunks read as events, events written as chunks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.gemini.stream_out import GeminiStreamEncoder
from ccx.protocols.names import Protocol
from ccx.protocols.stream import events
from tests.protocols.gemini.kit import ASKED, chunk, fold, heard, mint, native, sse, streamed, whole

STOP: dict[str, Any] = {"finishReason": "STOP"}


def test_texts_and_thoughts_of_consecutive_chunks_are_one_part() -> None:
    found = heard(
        [
            sse(
                chunk({"text": "Let ", "thought": True}),
                chunk({"text": "me see", "thought": True}),
                chunk({"text": "Hel"}),
                chunk({"text": "lo"}, {"text": "!"}),
                chunk({"text": "", "thoughtSignature": "c2ln"}, **STOP, usageMetadata={"promptTokenCount": 3}),
            )
        ]
    )
    assert found == [
        ir.Begin("r1", "gemini-x"),
        ir.PartBegin(0, ir.Reasoning("", True)),
        ir.PartDelta(0, "Let "),
        ir.PartDelta(0, "me see"),
        ir.PartEnd(0, native(thought=True)),
        ir.PartBegin(1, ir.Text("")),
        ir.PartDelta(1, "Hel"),
        ir.PartDelta(1, "lo"),
        ir.PartDelta(1, "!"),
        ir.PartEnd(1, native(thoughtSignature="c2ln")),
        ir.End(ir.Finish("stop", "STOP"), ir.Usage(3, raw={"promptTokenCount": 3})),
    ]


def test_text_goes_out_at_once_and_a_call_when_it_is_whole() -> None:
    stream = sse(chunk({"text": "a"}), chunk({"functionCall": {"name": "f", "args": {}, "id": "c"}}))
    assert [type(event).__name__ for event in heard([stream])[:6]] == [
        "Begin",
        "PartBegin",
        "PartDelta",
        "PartEnd",
        "PartBegin",
        "PartDelta",
    ]


def test_a_signature_ends_a_text() -> None:
    found = whole(
        [sse(chunk({"text": "a", "thoughtSignature": "s1"}), chunk({"text": "b", "thoughtSignature": "s2"}, **STOP))]
    )
    assert found.parts == (
        ir.Text("a", native=native(thoughtSignature="s1")),
        ir.Text("b", native=native(thoughtSignature="s2")),
    )


def test_a_signature_after_something_else_stands_for_itself() -> None:
    found = whole(
        [
            sse(
                chunk({"functionCall": {"name": "f", "args": {}, "id": "c"}}),
                chunk({"text": ""}),
                chunk({"text": "", "thoughtSignature": "s"}, **STOP),
            )
        ]
    )
    assert found.parts == (ir.ToolCall("c", "f", "{}"), ir.Text("", native=native(thoughtSignature="s")))


def test_grounding_of_the_last_chunk_is_cited_by_the_text_before_it() -> None:
    metadata = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 1, "endIndex": 3, "text": "bc"}, "groundingChunkIndices": [0]}
        ],
    }
    found = whole([sse(chunk({"text": "ab"}), chunk({"text": "cd"}), chunk(**STOP, groundingMetadata=metadata))])
    assert found.parts == (ir.Text("abcd", (ir.Citation("https://a.example", "A", None, 1, 3),)),)
    assert found.native == native(groundingMetadata=metadata)


def piece(call: dict[str, Any], **beside: Any) -> dict[str, Any]:
    return chunk({"functionCall": call, **beside})


def arg(path: str, **value: Any) -> dict[str, Any]:
    return {"partialArgs": [{"jsonPath": path, **value}], "willContinue": True}


PIECES = [
    piece({"name": "write", "willContinue": True}, thoughtSignature="s"),
    piece(arg("$.items[0].name", stringValue="ap", willContinue=True)),
    piece(arg("$.items[0].name", stringValue="ple")),
    piece(arg("$.items[0].price", numberValue=0.5)),
    piece(arg("$.items[0]['a.b']", boolValue=True)),
    piece(arg("$.items[1]", nullValue="NULL_VALUE")),
    piece(arg("$.count", numberValue=2.0)),
]
ARGUMENTS = '{"items":[{"name":"apple","price":0.5,"a.b":true},null],"count":2}'


@pytest.mark.parametrize(
    "end",
    [
        [piece({})],  # as documented
        [piece({"partialArgs": []})],
        [],  # as models also do
        [piece({}), piece({})],
        [chunk({"text": ""})],
    ],
)
def test_a_call_in_pieces(end: list[dict[str, Any]]) -> None:
    found = whole([sse(*PIECES, *end, chunk({"text": ""}, **STOP))])
    (call,) = found.parts
    assert isinstance(call, ir.ToolCall)
    assert (call.name, call.arguments, call.native) == ("write", ARGUMENTS, native(thoughtSignature="s"))
    assert found.finish.reason == "tool_calls"


def test_calls_in_pieces_one_after_the_other_and_a_whole_one() -> None:
    found = whole(
        [
            sse(
                piece({"name": "f", "id": "1", "willContinue": True}),
                piece({"partialArgs": [{"jsonPath": "a", "stringValue": "x"}]}),
                piece({"name": "g", "id": "2", "willContinue": True}),
                piece({"name": "h", "id": "3", "args": {"b": 1}}),
                chunk({"text": "done"}, **STOP),
            )
        ]
    )
    assert found.parts == (
        ir.ToolCall("1", "f", '{"a":"x"}'),
        ir.ToolCall("2", "g", "{}"),
        ir.ToolCall("3", "h", '{"b":1}'),
        ir.Text("done"),
    )


@pytest.mark.parametrize(
    "pieces",
    [
        [{"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}],  # of no call
        [{"name": "f", **arg("$.a[5]", numberValue=1)}],
        [{"name": "f", **arg("$..a", numberValue=1)}],
        [{"name": "f", **arg("$", numberValue=1)}],
        [{"name": "f", **arg("$.a", numberValue=1)}, arg("$.a.b", numberValue=1)],
        [{"name": "f", "partialArgs": [{"stringValue": "x"}]}],
    ],
)
def test_pieces_that_do_not_fit(pieces: list[dict[str, Any]]) -> None:
    with pytest.raises(BadReply):
        heard([sse(*(piece(one) for one in pieces))])


def test_usage_of_chunks_is_laid_over_each_other() -> None:
    found = heard(
        [
            sse(
                chunk({"text": "a"}, usageMetadata={"promptTokenCount": 5, "cachedContentTokenCount": 2}),
                chunk({"text": "b"}, **STOP, usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 7}),
            )
        ]
    )
    begin, end = found[0], found[-1]
    assert isinstance(begin, ir.Begin)
    assert begin.usage == ir.Usage(5, None, 2, raw={"promptTokenCount": 5, "cachedContentTokenCount": 2})
    assert isinstance(end, ir.End)
    assert (end.usage.input_tokens, end.usage.output_tokens, end.usage.cache_read_tokens) == (5, 7, 2)


def test_a_finish_reason_in_every_chunk_ends_nothing_before_the_end() -> None:
    found = whole([sse(chunk({"text": "a"}, **STOP), chunk({"text": "b"}, **STOP))])
    assert found.parts == (ir.Text("ab"),)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        sse(chunk({"text": "a"})),
        sse(chunk({"text": "a"}, finishReason="FINISH_REASON_UNSPECIFIED")),
        sse(*PIECES),
    ],
)
def test_a_cut_stream_fails(stream: bytes) -> None:
    failed = fold([stream]).failed
    assert failed is not None
    assert failed.kind == "api_error"


@pytest.mark.parametrize(
    ("error", "failed"),
    [
        (
            {"code": 503, "message": "busy", "status": "UNAVAILABLE"},
            ir.Failed("overloaded", "busy", "UNAVAILABLE"),
        ),
        ({"code": 429, "message": "slow"}, ir.Failed("rate_limit", "slow")),
        ({"status": "INTERNAL", "message": "x"}, ir.Failed("api_error", "x", "INTERNAL")),
        ({}, ir.Failed("api_error", "The upstream failed and did not say why.")),
    ],
)
def test_an_error_in_the_stream(error: dict[str, Any], failed: ir.Failed) -> None:
    stream = sse(chunk({"text": "a"}), {"error": error}, chunk({"text": "b"}, **STOP))
    assert heard([stream])[-1] == failed
    assert heard([b"data: " + msgspec.json.encode([{"error": error}]) + b"\n\n"]) == [failed]


def test_a_blocked_prompt_ends_the_stream() -> None:
    found = whole([sse({"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r"})])
    assert (found.parts, found.finish) == ((), ir.Finish("content_filter", "SAFETY"))


def test_what_carries_nothing_is_passed_over() -> None:
    stream = b": ping\n\ndata:\n\ndata: [DONE]\n\nevent: odd\n" + sse({"candidates": []}, chunk({"text": "a"}, **STOP))
    assert whole([stream]).parts == (ir.Text("a"),)


@pytest.mark.parametrize("data", [b"{", b"5", b'"x"', b"null", b"\xff"])
def test_garbage(data: bytes) -> None:
    with pytest.raises(BadReply):
        heard([b"data: " + data + b"\n\n"])


def test_other_candidates_are_kept() -> None:
    other = {"content": {"parts": [{"text": "x"}]}, "index": 1}
    found = whole([sse({"candidates": [other]}, chunk({"text": "a"}, **STOP))])
    assert found.parts == (ir.Text("a"),)
    assert found.native == native(candidates=[other])


# --- writing ----------------------------------------------------------------------------------------------------------


def chunks(said: list[ir.Event]) -> list[list[Any]]:
    """What each event becomes: a list of chunks without what they all have."""
    encoder = GeminiStreamEncoder(ASKED, new_id=mint)
    found = []
    for event in said:
        written = encoder.encode(event)
        assert b":" not in written.partition(b"data: ")[0], "a comment or a name"
        read = [msgspec.json.decode(one.removeprefix(b"data: ")) for one in written.split(b"\n\n") if one]
        for one in read:
            assert one.pop("modelVersion", "model") == "model"
            assert one.pop("responseId", "r1") == "r1"
        found.append(read)
    return found


def said(*raw: dict[str, Any]) -> list[Any]:
    return [{"candidates": [{"content": {"parts": [one], "role": "model"}, "index": 0}]} for one in raw]


def test_each_event_is_written_at_once() -> None:
    answer = ir.Response(
        "r1",
        "upstream",
        (
            ir.Reasoning("hm", True, native(thought=True, thoughtSignature="s1")),
            ir.Text("Hi", native=native(thoughtSignature="s2")),
            ir.ToolCall("c1", "f", '{"a":1}', native=native(thoughtSignature="s3")),
            ir.Media("image", ir.Inline("AAAA", "image/png")),
        ),
        ir.Finish("tool_calls", "tool_use"),
        ir.Usage(5, 7),
    )
    assert chunks(list(events(answer))) == [
        [],
        [],
        said({"text": "hm", "thought": True}),
        said({"text": "", "thought": True, "thoughtSignature": "s1"}),
        [],
        said({"text": "Hi"}),
        said({"text": "", "thoughtSignature": "s2"}),
        [],
        [],
        said({"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}, "thoughtSignature": "s3"}),
        [],
        said({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
        [
            {
                "candidates": [
                    {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}
                ],
                "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
            }
        ],
    ]


def test_a_call_that_comes_in_deltas_goes_out_whole() -> None:
    found = chunks(
        [
            ir.Begin("r1", "m"),
            ir.PartBegin(0, ir.ToolCall("c1", "f", "")),
            ir.PartDelta(0, '{"a"'),
            ir.PartDelta(0, ":1}"),
            ir.PartEnd(0),
        ]
    )
    assert found == [[], [], [], [], said({"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}})]


def test_thoughts_of_others_travel_with_the_call_after_them() -> None:
    thought = ir.Reasoning("why", True, (ir.Native(Protocol.MESSAGES, "anthropic", {"signature": "sig"}),))
    stream, losses = streamed(ir.Response("r1", "m", (thought, ir.ToolCall("c", "f", "{}")), ir.Finish("tool_calls")))
    assert losses == []
    kept = [
        part
        for line in stream.split(b"\n\n")
        if line
        for part in msgspec.json.decode(line.removeprefix(b"data: "))["candidates"][0]["content"]["parts"]
        if not part.get("thought")
    ]
    assert [list(part) for part in kept] == [["functionCall", "thoughtSignature"], ["text"]]


def test_citations_are_in_the_last_chunk() -> None:
    text = ir.Text("abc", (ir.Citation("https://a.example", "A", None, 1, 2),))
    *_, last = chunks(list(events(ir.Response("r1", "m", (ir.Text("x"), text), ir.Finish("stop")))))
    assert last[0]["candidates"][0]["groundingMetadata"]["groundingSupports"] == [
        {"groundingChunkIndices": [0], "segment": {"startIndex": 1, "endIndex": 2, "partIndex": 1, "text": "b"}}
    ]


FAILED = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}


def test_a_failure_is_an_error_in_the_stream() -> None:
    assert chunks([ir.Failed("overloaded", "busy")]) == [[FAILED]]
    assert chunks([ir.Begin("r1", "m"), ir.Failed("odd", "x")])[1][0]["error"]["status"] == "INTERNAL"


def test_an_array_is_closed_by_its_end_and_by_a_failure() -> None:
    stream, _ = streamed(ir.Response("r1", "m", (ir.Text("a"),), ir.Finish("stop")), array=True)
    assert len(msgspec.json.decode(stream)) == 2
    encoder = GeminiStreamEncoder(ASKED, new_id=mint, array=True)
    cut = b"".join(
        encoder.encode(event)
        for event in (
            ir.Begin("r1", "m"),
            ir.PartBegin(0, ir.Text("")),
            ir.PartDelta(0, "a"),
            ir.Failed("overloaded", "busy"),
        )
    )
    assert msgspec.json.decode(cut)[1] == FAILED
    alone = GeminiStreamEncoder(ASKED, new_id=mint, array=True)
    assert msgspec.json.decode(alone.encode(ir.Failed("overloaded", "busy"))) == [FAILED]


def test_what_is_lost_is_named() -> None:
    parts = (ir.Refusal("no"), ir.Opaque("x", ir.Native(Protocol.CHAT, None, {"type": "x"})))
    stream, losses = streamed(ir.Response("r1", "m", parts, ir.Finish("refusal")))
    assert [loss.what for loss in losses] == ["refusal", "unknown_part:x", "finish_reason"]
    assert b'"text":"no"' in stream
