"""Answers that are not streamed: read from an upstream, written for a client."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import Context, ToolName
from ccx.protocols.gemini import codec
from ccx.protocols.names import Protocol
from tests.protocols.gemini.kit import ASKED, CONTEXT, chunk, mint, native, parts


def answer(*raw: dict[str, Any], context: Context = CONTEXT, **fields: Any) -> ir.Response:
    return codec.decode_response(chunk(*raw, **{"finishReason": "STOP", **fields}), context)


def written(*said: ir.Part, finish: ir.Finish | None = None, **fields: Any) -> Any:
    response = ir.Response("r1", "upstream", said, finish or ir.Finish("stop"), **fields)
    return codec.encode_response(response, ASKED, new_id=mint)


def candidate(encoded: Any) -> Any:
    return encoded.payload["candidates"][0]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_whole_answer() -> None:
    found = answer(
        {"text": "thinking", "thought": True},
        {"text": "Hel"},
        {"text": "lo", "thoughtSignature": "c2ln"},
        usageMetadata={
            "promptTokenCount": 5,
            "candidatesTokenCount": 2,
            "thoughtsTokenCount": 3,
            "totalTokenCount": 10,
        },
        createTime="2026-01-02T03:04:05Z",
        avgLogprobs=-0.1,
    )
    assert found == ir.Response(
        "r1",
        "gemini-x",
        (
            ir.Reasoning("thinking", True, native(thought=True)),
            ir.Text("Hello", native=native(thoughtSignature="c2ln")),
        ),
        ir.Finish("stop", "STOP"),
        ir.Usage(
            5,
            5,
            reasoning_tokens=3,
            raw={"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 10},
        ),
        1767323045,
        native(avgLogprobs=-0.1),
    )


@pytest.mark.parametrize(
    ("reason", "unified", "raw"),
    [
        ("STOP", "stop", "STOP"),
        (1, "stop", "STOP"),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        (2, "length", "MAX_TOKENS"),
        ("SAFETY", "content_filter", "SAFETY"),
        (3, "content_filter", "SAFETY"),
        ("RECITATION", "content_filter", "RECITATION"),
        ("BLOCKLIST", "content_filter", "BLOCKLIST"),
        ("PROHIBITED_CONTENT", "content_filter", "PROHIBITED_CONTENT"),
        ("SPII", "content_filter", "SPII"),
        ("IMAGE_SAFETY", "content_filter", "IMAGE_SAFETY"),
        ("MODEL_ARMOR", "content_filter", "MODEL_ARMOR"),
        ("MALFORMED_FUNCTION_CALL", "error", "MALFORMED_FUNCTION_CALL"),
        (10, "error", "MALFORMED_FUNCTION_CALL"),
        ("UNEXPECTED_TOOL_CALL", "error", "UNEXPECTED_TOOL_CALL"),
        ("TOO_MANY_TOOL_CALLS", "error", "TOO_MANY_TOOL_CALLS"),
        ("LANGUAGE", "other", "LANGUAGE"),
        (6, "other", "LANGUAGE"),
        ("OTHER", "other", "OTHER"),
        ("FROM_THE_FUTURE", "other", "FROM_THE_FUTURE"),
        (99, "other", "99"),
        (None, "other", None),
    ],
)
def test_finish_reasons(reason: str | int | None, unified: str, raw: str | None) -> None:
    assert answer({"text": "a"}, finishReason=reason).finish == ir.Finish(unified, raw)  # type: ignore[arg-type]  # a literal


def test_an_answer_with_calls_awaits_their_results() -> None:
    found = answer(
        {"functionCall": {"name": "f", "args": {"a": 1}}}, {"functionCall": {"name": "f", "args": {}, "id": "x"}}
    )
    first, second = found.parts
    assert isinstance(first, ir.ToolCall)
    assert isinstance(second, ir.ToolCall)
    assert (first.name, first.arguments, second.id) == ("f", '{"a":1}', "x")
    assert found.finish == ir.Finish("tool_calls", "STOP")
    server = answer({"executableCode": {"code": "1"}})
    assert server.finish == ir.Finish("stop", "STOP")


def test_ids_that_are_made_differ_from_answer_to_answer() -> None:
    raw = {"functionCall": {"name": "f", "args": {}}}
    ids = set()
    for fields in (
        {"responseId": "a"},
        {"responseId": "b"},
        {"usageMetadata": {"promptTokenCount": 1}},
        {"usageMetadata": {"promptTokenCount": 2}},
    ):
        body: Any = {"candidates": [{"content": {"parts": [raw, raw]}, "finishReason": "STOP"}], **fields}
        found = codec.decode_response(body, CONTEXT)
        ids |= {part.id for part in found.parts if isinstance(part, ir.ToolCall)}
    assert len(ids) == 8


def test_tools_have_the_clients_names_again() -> None:
    back = {
        "codex__run": ToolName("run", "codex"),
        "patch": ToolName("patch", None, "custom"),
    }
    context = Context("gemini", "m", back)
    found = answer(
        {"functionCall": {"name": "codex__run", "args": {}, "id": "1"}},
        {"functionCall": {"name": "patch", "args": {"input": "*** x"}, "id": "2"}},
        {"functionCall": {"name": "patch", "args": {"odd": 1}, "id": "3"}},
        context=context,
    )
    assert found.parts == (
        ir.ToolCall("1", "run", "{}", namespace="codex"),
        ir.ToolCall("2", "patch", "*** x", "custom"),
        ir.ToolCall("3", "patch", '{"odd":1}', "custom"),
    )


@pytest.mark.parametrize("reason", ["PROHIBITED_CONTENT", 4])
def test_a_blocked_prompt(reason: str | int) -> None:
    body: Any = {"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 3}, "responseId": "r"}
    found = codec.decode_response(body, CONTEXT)
    assert found.parts == ()
    assert found.finish == ir.Finish("content_filter", "PROHIBITED_CONTENT")
    again = codec.encode_response(found, ASKED, new_id=mint)
    assert again.payload == {**body, "modelVersion": "model"}


def test_a_blocked_prompt_with_words_is_a_refusal_that_geminis_clients_find_in_the_feedback() -> None:
    body: Any = {"promptFeedback": {"blockReason": "MODEL_ARMOR", "blockReasonMessage": "Not this."}, "responseId": "r"}
    found = codec.decode_response(body, CONTEXT)
    (part,) = found.parts
    assert isinstance(part, ir.Refusal)
    assert part.text == "Not this."
    again = codec.encode_response(found, ASKED, new_id=mint)
    assert again.payload == {**body, "modelVersion": "model"}
    assert again.losses == ()


GROUNDING = {
    "webSearchQueries": ["q"],
    "groundingChunks": [
        {"web": {"uri": "https://a.example", "title": "A"}},
        {"retrievedContext": {"title": "B", "text": "said there"}},
        {"web": {}},
    ],
    "groundingSupports": [
        {"segment": {"endIndex": 5, "text": "Grüß"[:3] + "ß"}, "groundingChunkIndices": [0]},
        {"segment": {"startIndex": 0, "endIndex": 6, "text": "Grüß"}, "groundingChunkIndices": [0, 1, 2, 9]},
        {"segment": {"startIndex": 100, "endIndex": 104, "text": "Gott"}, "groundingChunkIndices": [1]},
        {"segment": {"text": "of another part"}, "groundingChunkIndices": [0]},
        {"groundingChunkIndices": [0]},
    ],
}


def test_grounding_is_cited_in_characters() -> None:
    found = answer({"text": "Grüß Gott"}, groundingMetadata=GROUNDING)
    (part,) = found.parts
    assert isinstance(part, ir.Text)
    assert part.citations == (
        ir.Citation("https://a.example", "A", None, 0, 4),
        ir.Citation("https://a.example", "A", None, 0, 4),
        ir.Citation(None, "B", "said there", 0, 4),
        ir.Citation(None, "B", "said there", 5, 9),
        ir.Citation("https://a.example", "A"),
    )
    assert found.native == native(groundingMetadata=GROUNDING)
    encoded = codec.encode_response(found, ASKED, new_id=mint)
    assert candidate(encoded)["groundingMetadata"] == GROUNDING
    assert encoded.losses == ()


def test_recitations_are_cited() -> None:
    cited = {"citationSources": [{"startIndex": 0, "endIndex": 2, "uri": "https://a.example", "license": "MIT"}]}
    (part,) = answer({"text": "abcd"}, citationMetadata=cited).parts
    assert isinstance(part, ir.Text)
    assert part.citations == (ir.Citation("https://a.example", None, None, 0, 2),)


def test_other_candidates_and_unknown_fields_are_kept() -> None:
    body: Any = {
        "candidates": [
            {"content": {"parts": [{"text": "a"}], "role": "model"}, "finishReason": "STOP", "index": 0, "novel": 1},
            {"content": {"parts": [{"text": "b"}], "role": "model"}, "finishReason": "STOP", "index": 1},
        ],
        "modelStatus": {"modelStage": "STABLE"},
        "fresh": True,
        "responseId": "r",
        "modelVersion": "v",
    }
    found = codec.decode_response(body, CONTEXT)
    assert found.parts == (ir.Text("a"),)
    encoded = codec.encode_response(found, ASKED, new_id=mint)
    assert encoded.payload == {**body, "modelVersion": "model"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"candidates": 5},
        {"candidates": [5]},
        {"candidates": [{"content": 5}]},
        {"candidates": [{"content": {"parts": 5}}]},
        {"candidates": [{"content": {"parts": [5]}}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"args": {}}}]}}]},
        {"error": {"code": 500, "message": "down"}},
    ],
)
def test_what_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        codec.decode_response(body, CONTEXT)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_an_answer_of_another_provider() -> None:
    encoded = written(
        ir.Reasoning("hm"),
        ir.Text("Hi"),
        ir.ToolCall("toolu_1", "f", '{"a":1}'),
        ir.ToolCall("call_2", "run", "", namespace="codex"),
        ir.ToolCall("call_3", "patch", "*** x", "custom"),
        finish=ir.Finish("tool_calls", "tool_use"),
        usage=ir.Usage(10, 7, 4, 2, 3, {"input_tokens": 10}),
        created=0,
    )
    calls = [part["functionCall"] for part in candidate(encoded)["content"]["parts"][2:]]
    assert candidate(encoded)["content"]["parts"][:2] == [{"text": "hm", "thought": True}, {"text": "Hi"}]
    assert calls == [
        {"name": "f", "args": {"a": 1}, "id": "toolu_1"},
        {"name": "codex__run", "args": {}, "id": "call_2"},
        {"name": "patch", "args": {"input": "*** x"}, "id": "call_3"},
    ]
    assert candidate(encoded)["finishReason"] == "STOP"
    assert encoded.payload["usageMetadata"] == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3,
        "cachedContentTokenCount": 4,
        "totalTokenCount": 17,
    }
    assert (encoded.payload["modelVersion"], encoded.payload["responseId"]) == ("model", "r1")
    assert encoded.payload["createTime"] == "1970-01-01T00:00:00Z"
    assert [(loss.path, loss.what, loss.approximate) for loss in encoded.losses] == [("parts[3]", "namespace", True)]


@pytest.mark.parametrize(
    ("finish", "word", "losses"),
    [
        (ir.Finish("stop", "end_turn"), "STOP", []),
        (ir.Finish("length"), "MAX_TOKENS", []),
        (ir.Finish("content_filter"), "SAFETY", []),
        (ir.Finish("content_filter", "SPII"), "SPII", []),
        (ir.Finish("refusal", "refusal"), "SAFETY", ["finish_reason"]),
        (ir.Finish("context_window"), "MAX_TOKENS", ["finish_reason"]),
        (ir.Finish("pause"), "OTHER", ["finish_reason"]),
        (ir.Finish("error", "MALFORMED_FUNCTION_CALL"), "MALFORMED_FUNCTION_CALL", []),
        (ir.Finish("other", "compaction"), "OTHER", ["finish_reason"]),
        (ir.Finish("stop", "stop_sequence", "END"), "STOP", ["stop_sequence"]),
    ],
)
def test_finish_reasons_for_a_client(finish: ir.Finish, word: str, losses: list[str]) -> None:
    encoded = written(ir.Text("a"), finish=finish)
    assert candidate(encoded)["finishReason"] == word
    assert [loss.what for loss in encoded.losses] == losses


def test_citations_of_others_are_grounding() -> None:
    theirs = (ir.Native(Protocol.MESSAGES, "anthropic", {"encrypted_index": "x"}),)
    encoded = written(
        ir.Text(
            "Grüß Gott",
            (
                ir.Citation("https://a.example", "A", None, 0, 4),
                ir.Citation("https://a.example", "A", "quoted", 5, 9, theirs),
                ir.Citation("https://a.example", "A"),
                ir.Citation(start=0, end=1),
            ),
        )
    )
    assert candidate(encoded)["groundingMetadata"] == {
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "A"}},
            {"retrievedContext": {"uri": "https://a.example", "title": "A", "text": "quoted"}},
        ],
        "groundingSupports": [
            {"groundingChunkIndices": [0], "segment": {"startIndex": 0, "endIndex": 6, "text": "Grüß"}},
            {"groundingChunkIndices": [1], "segment": {"startIndex": 7, "endIndex": 11, "text": "Gott"}},
            {"groundingChunkIndices": [0]},
        ],
    }
    assert [(loss.what, loss.approximate) for loss in encoded.losses] == [("citations", True), ("citations", False)]


def test_media_refusals_and_what_a_client_cannot_show() -> None:
    theirs = ir.Native(Protocol.MESSAGES, "anthropic", {"type": "container_upload", "file_id": "f"})
    encoded = written(
        ir.Media("image", ir.Inline("AAAA", "image/png"), name="n"),
        ir.Media("image", ir.Remote("https://a.example/x.png")),
        ir.Refusal("no"),
        ir.ToolCall("s1", "web_search", "{}", server=True, native=(theirs,)),
        ir.ToolResult("s1", (), server=True, native=(theirs,)),
        ir.Opaque("container_upload", theirs),
        ir.ToolResult("c1", (ir.Text("ok"), ir.Media("image", ir.FileRef("x"))), name="f"),
    )
    said = candidate(encoded)["content"]["parts"]
    assert said[:3] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA", "displayName": "n"}},
        {"fileData": {"fileUri": "https://a.example/x.png", "mimeType": "image/png"}},
        {"text": "no"},
    ]
    assert all(part["text"] == "" and part["thought"] for part in said[3:6])
    assert said[6] == {"functionResponse": {"name": "f", "id": "c1", "response": {"output": "ok"}}}
    assert [loss.what for loss in encoded.losses] == [
        "refusal",
        "server_tool",
        "server_tool",
        "unknown_part:container_upload",
        "media_in_tool_result",
    ]
    # They come back whole with the next request.
    assert parts(*said[3:6], role="model") == (
        ir.ToolCall("s1", "web_search", "{}", server=True, native=(theirs,)),
        ir.ToolResult("s1", (), server=True, native=(theirs,)),
        ir.Opaque("container_upload", theirs),
    )


def test_residue_of_an_answer_that_a_client_cannot_return_is_named() -> None:
    encoded = written(ir.Text("a"), native=(ir.Native(Protocol.CHAT, "openai", {"search_results": ["x"], "id": "y"}),))
    assert [loss.what for loss in encoded.losses] == ["unknown_field:search_results"]


# --- sealed residue ---------------------------------------------------------------------------------------------------

THOUGHT = ir.Reasoning("why", True, (ir.Native(Protocol.MESSAGES, "anthropic", {"signature": "sig"}),))


def test_signatures_are_base64_whatever_they_carry() -> None:
    import base64

    encoded = written(THOUGHT, ir.ToolCall("c1", "f", "{}"))
    for part in candidate(encoded)["content"]["parts"]:
        assert base64.b64decode(part["thoughtSignature"], validate=True).startswith(b"ccx1.")


def test_sdks_may_change_the_alphabet_on_the_way() -> None:
    encoded = written(ir.Text("aé" * 40, native=(ir.Native(Protocol.CHAT, "x", {"reasoning_content": "ÿ>?~" * 9}),)))
    (part,) = candidate(encoded)["content"]["parts"]
    url = part["thoughtSignature"].replace("+", "-").replace("/", "_").rstrip("=")
    (found,) = parts({**part, "thoughtSignature": url}, role="model")
    assert isinstance(found, ir.Text)
    assert found.native == (ir.Native(Protocol.CHAT, "x", {"reasoning_content": "ÿ>?~" * 9}),)


def test_thoughts_come_back_with_the_call_after_them() -> None:
    unsigned = ir.Reasoning("deepseek thinks")
    encoded = written(THOUGHT, ir.Text("so"), unsigned, ir.ToolCall("c1", "f", "{}"), ir.ToolCall("c2", "f", "{}"))
    said = candidate(encoded)["content"]["parts"]
    kept = [part for part in said if not part.get("thought")]
    assert parts(*kept, role="model") == (
        ir.Text("so"),
        THOUGHT,
        unsigned,
        ir.ToolCall("c1", "f", "{}"),
        ir.ToolCall("c2", "f", "{}"),
    )
    # A client that keeps thoughts does not get them twice.
    assert [type(part) for part in parts(*said, role="model")] == [
        ir.Reasoning,
        ir.Text,
        ir.Reasoning,
        ir.ToolCall,
        ir.ToolCall,
    ]


def test_own_and_foreign_residue_on_one_call() -> None:
    call = ir.ToolCall(
        "c1",
        "f",
        "{}",
        native=(*native(thoughtSignature="own"), ir.Native(Protocol.CHAT, "x", {"reasoning_content": "r"})),
    )
    (part,) = candidate(written(call))["content"]["parts"]
    assert parts(part, role="model") == (call,)


def test_a_damaged_envelope_is_left_out() -> None:
    encoded = written(ir.ToolCall("c1", "f", "{}", native=THOUGHT.native))
    (part,) = candidate(encoded)["content"]["parts"]
    damaged = {**part, "thoughtSignature": part["thoughtSignature"][:20]}
    assert parts(damaged, role="model") == (ir.ToolCall("c1", "f", "{}"),)
