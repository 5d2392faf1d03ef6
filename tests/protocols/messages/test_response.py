"""Whole answers: an upstream's as the neutral form has it, and any as a client of Messages reads it."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import Asked, Context, Encoded
from ccx.protocols.messages import codec
from ccx.protocols.names import Protocol

CONTEXT = Context("anthropic", "claude-x")


def decoded(**body: Any) -> ir.Response:
    given = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [], **body}
    return codec.decode_response(given, CONTEXT)


def encoded(*parts: ir.Part, finish: ir.Finish | None = None, usage: ir.Usage | None = None) -> Encoded:
    response = ir.Response("resp_1", "gpt", parts, finish or ir.Finish("stop"), usage or ir.Usage())
    return codec.encode_response(response, Asked("claude-y", {}, False, 0), new_id=lambda prefix: f"{prefix}new")


def own(data: Any) -> tuple[ir.Native, ...]:
    return (ir.Native(Protocol.MESSAGES, "anthropic", data),)


def gemini(signature: str) -> tuple[ir.Native, ...]:
    return (ir.Native(Protocol.GEMINI, "gemini", {"thoughtSignature": signature}),)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context_window"),
        ("compaction", "other"),
        (None, "other"),
    ],
)
def test_stop_reasons_both_ways(word: str | None, reason: ir.FinishReason) -> None:
    found = decoded(stop_reason=word, stop_sequence="END" if word == "stop_sequence" else None)
    assert (found.finish.reason, found.finish.raw) == (reason, word)
    back = codec.encode_response(found, Asked("m", {}, False, 0), new_id=str)
    assert back.payload["stop_reason"] == (word or "end_turn")
    assert [loss.what for loss in back.losses] == ([] if word else ["finish_reason"])
    assert back.payload["stop_sequence"] == ("END" if word == "stop_sequence" else None)


def test_a_namespace_is_told_in_the_name() -> None:
    found = encoded(ir.ToolCall("t", "run", "{}", namespace="box"))
    assert found.payload["content"] == [{"type": "tool_use", "id": "t", "name": "box__run", "input": {}}]
    assert [(loss.path, loss.what, loss.approximate) for loss in found.losses] == [("parts[0]", "namespace", True)]


def test_an_upstream_that_calls_and_says_stop() -> None:
    assert encoded(ir.ToolCall("t", "f", "{}")).payload["stop_reason"] == "tool_use"
    assert encoded(ir.Refusal("No.")).payload["stop_reason"] == "refusal"
    assert encoded(ir.Text("a"), finish=ir.Finish("content_filter")).payload["stop_reason"] == "refusal"


def test_usage_is_the_whole_prompt_and_is_split_again() -> None:
    raw = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "server_tool_use": {"web_search_requests": 1},
    }
    usage = decoded(usage=raw).usage
    assert usage == ir.Usage(60, 7, 30, 20, 3, raw)
    assert encoded(usage=usage).payload["usage"] == raw
    other = ir.Usage(60, 7, 30, None, 3, {"input_tokens": 60, "output_tokens": 7, "total_tokens": 67})
    assert encoded(usage=other).payload["usage"] == {
        "input_tokens": 30,
        "cache_read_input_tokens": 30,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
    }
    assert encoded().payload["usage"] == {"input_tokens": 0, "output_tokens": 0}


def test_the_head_of_an_answer() -> None:
    found = encoded(ir.Text("a")).payload
    assert (found["id"], found["model"], found["role"], found["type"]) == (
        "msg_new",
        "claude-y",
        "assistant",
        "message",
    )


def test_what_only_this_protocol_knows_is_kept() -> None:
    found = decoded(container={"id": "c"}, stop_details=None)
    assert found.native == own({"container": {"id": "c"}})
    payload = codec.encode_response(found, Asked("m", {}, False, 0), new_id=str).payload
    assert payload["container"] == {"id": "c"}
    assert payload["id"] == "msg_1"


def test_thoughts_and_their_signatures() -> None:
    assert encoded(ir.Reasoning("hm", native=own({"signature": "s"}))).payload["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"}
    ]
    assert encoded(ir.Reasoning("", native=own({"data": "d"}))).payload["content"] == [
        {"type": "redacted_thinking", "data": "d"}
    ]
    assert encoded(ir.Reasoning("hm")).payload["content"] == [{"type": "thinking", "thinking": "hm", "signature": ""}]
    assert encoded(ir.Reasoning("")).payload["content"] == []


def test_residue_of_others_is_sealed_beside_its_part() -> None:
    found = encoded(
        ir.Reasoning("hm", native=gemini("a")),
        ir.Reasoning("", native=gemini("b")),
        ir.ToolCall("t", "f", "{}", native=gemini("c")),
    )
    content = found.payload["content"]
    assert isinstance(content, list)
    kinds = [block["type"] for block in content if isinstance(block, dict)]
    assert kinds == ["thinking", "redacted_thinking", "redacted_thinking", "tool_use"]
    assert found.losses == ()
    request = codec.decode_request({"messages": [{"role": "assistant", "content": content}]}, model="m", stream=False)
    assert request.messages[0].parts == (
        ir.Reasoning("hm", native=gemini("a")),
        ir.Reasoning("", native=gemini("b")),
        ir.ToolCall("t", "f", "{}", native=gemini("c")),
    )


def test_bookkeeping_is_not_carried() -> None:
    item = (ir.Native(Protocol.RESPONSES, "openai", {"id": "fc_1", "status": "completed"}),)
    found = encoded(ir.ToolCall("t", "f", "{}", native=item))
    assert found.payload["content"] == [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]


def test_parts_that_cannot_be_shown_are_kept() -> None:
    search = ir.ToolCall("w", "web_search", '{"q":1}', server=True, native=gemini("x"))
    item = ir.Opaque("compaction", ir.Native(Protocol.RESPONSES, "openai", {"type": "compaction", "x": 1}))
    found = encoded(search, item)
    assert [(loss.what, loss.approximate) for loss in found.losses] == [
        ("server_tool", True),
        ("unknown_part:compaction", True),
    ]
    body: ir.JsonObject = {"messages": [{"role": "assistant", "content": found.payload["content"]}]}
    assert codec.decode_request(body, model="m", stream=False).messages[0].parts == (search, item)


def test_citations_of_others_become_those_of_a_search() -> None:
    cited = ir.Citation(url="https://a", title="A", quote="q")
    found = encoded(ir.Text("a", (cited, ir.Citation(title="B"))))
    assert found.payload["content"] == [
        {
            "type": "text",
            "text": "a",
            "citations": [
                {
                    "type": "web_search_result_location",
                    "url": "https://a",
                    "title": "A",
                    "cited_text": "q",
                    "encrypted_index": "",
                }
            ],
        }
    ]
    assert [(loss.what, loss.approximate) for loss in found.losses] == [("citations", True), ("citations", False)]


def test_ids_that_clients_may_not_have_are_wrapped() -> None:
    found = encoded(ir.ToolCall("functions.f:0", "f", "{}"))
    content = found.payload["content"]
    body: ir.JsonObject = {"messages": [{"role": "assistant", "content": content}]}
    (part,) = codec.decode_request(body, model="m", stream=False).messages[0].parts
    assert part == ir.ToolCall("functions.f:0", "f", "{}")


def test_an_image_that_the_model_made_is_told_of() -> None:
    found = encoded(ir.Media("image", ir.Inline("QQ==", "image/png")))
    assert found.payload["content"] == [{"type": "text", "text": "[image left out: it cannot be shown here]"}]
    assert [(loss.what, loss.approximate) for loss in found.losses] == [("image", False)]


@pytest.mark.parametrize(
    "body",
    [
        {"content": None},
        {"content": "text"},
        {"content": [3]},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "tool_use", "id": "a"}]},
        {"content": [{"no": "type"}]},
    ],
)
def test_what_is_not_an_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        decoded(**body)
