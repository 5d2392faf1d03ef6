"""Streams: an upstream's, read event by event, and a client's, written."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import Context, ToolName
from ccx.protocols.names import Protocol
from ccx.protocols.responses import codec
from ccx.protocols.sse import Event
from ccx.protocols.stream import events
from tests.protocols.responses.kit import answer, decoded, folded, native, read, said, sse, streamed

STRICT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SHELL: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 5, "model": "the-model"}
CREATED: dict[str, Any] = {"type": "response.created", "response": {**SHELL, "status": "in_progress", "output": []}}
USAGE: dict[str, Any] = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def completed(*output: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {**SHELL, "status": status, "output": list(output), "usage": USAGE, **fields}
    return {"type": f"response.{status}", "response": response}


def added(at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def done(at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def delta(kind: str, at: int, words: str, **fields: Any) -> dict[str, Any]:
    fields = {"content_index": 0, **fields}
    return {"type": f"response.{kind}.delta", "output_index": at, "item_id": f"i_{at}", "delta": words, **fields}


def message(at: int, *texts: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "output_text", "text": one, "annotations": [], "logprobs": []} for one in texts]
    return {
        "type": "message",
        "id": f"i_{at}",
        "role": "assistant",
        "status": "completed",
        "content": content,
        **fields,
    }


def call(at: int, arguments: str, name: str = "f") -> dict[str, Any]:
    item = {"type": "function_call", "id": f"i_{at}", "call_id": f"c_{at}", "name": name, "status": "completed"}
    return {**item, "arguments": arguments}


def thought(at: int, *, summary: str = "", content: str = "", token: str | None = None) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "reasoning", "id": f"i_{at}", "summary": [], "encrypted_content": token}
    if summary:
        item["summary"] = [{"type": "summary_text", "text": one} for one in summary.split("|")]
    if content:
        item["content"] = [{"type": "reasoning_text", "text": content}]
    return item


def empty(item: dict[str, Any]) -> dict[str, Any]:
    """An item as it is when it is added."""
    return {**item, "status": "in_progress", **{key: [] for key in ("content", "summary") if key in item}}


def told(*between: dict[str, Any], output: list[dict[str, Any]], tools: Any = None) -> list[ir.Event]:
    """The events of a whole stream, which fold to the answer that is not streamed."""
    found = decoded(sse(CREATED, *between, completed(*output)), tools=tools)
    fold = folded(found)
    whole = answer(*output, tools=tools, **SHELL, usage=USAGE)
    assert fold.response == whole
    return found


def test_words() -> None:
    item = message(0, "Hello")
    found = told(
        added(0, empty(item)),
        {"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {"type": "output_text"}},
        delta("output_text", 0, "He"),
        delta("output_text", 0, "llo"),
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hello"},
        done(0, item),
        output=[item],
    )
    assert found[:4] == [
        ir.Begin("resp_1", "the-model", 5),
        ir.PartBegin(0, ir.Text("", native=native({"id": "i_0"}, issuer="openai"))),
        ir.PartDelta(0, "He"),
        ir.PartDelta(0, "llo"),
    ]


def test_several_contents_of_a_message() -> None:
    item = message(0, "ab", "", "cd")
    item["content"].insert(1, {"type": "refusal", "refusal": "no"})
    part = {"type": "response.content_part.added", "output_index": 0}
    told(
        added(0, empty(item)),
        delta("output_text", 0, "ab"),
        delta("refusal", 0, "no", content_index=1),
        {**part, "content_index": 2, "part": {"type": "output_text", "text": ""}},
        delta("output_text", 0, "c", content_index=3),
        done(0, item),
        output=[item],
    )


def test_what_belongs_to_the_whole_message_is_known_at_its_end() -> None:
    item = message(0, "a", phase="commentary", x_unknown=1)
    item["content"][0].update(
        logprobs=[{"token": "a"}], annotations=[{"type": "file_path", "file_id": "f", "index": 0}]
    )
    told(added(0, empty(item)), delta("output_text", 0, "a"), done(0, item), output=[item])


def test_a_stream_of_whole_items_is_enough() -> None:
    """What Codex makes do with, some servers make do with as well."""
    output = [thought(0, summary="a|b", token="gAAA"), message(1, "hi"), call(2, "{}")]
    told(*(done(at, item) for at, item in enumerate(output)), output=output)


def test_items_that_only_the_final_response_holds() -> None:
    output = [message(0, "hi"), call(1, "{}"), {"type": "shell_call", "id": "sh_1", "call_id": "c"}]
    told(output=output)
    told(done(0, output[0]), output=output)


def test_words_that_were_begun_but_not_streamed_to_their_end() -> None:
    item = message(0, "Hello")
    told(added(0, empty(item)), delta("output_text", 0, "Hel"), done(0, item), output=[item])
    told(added(0, empty(item)), delta("output_text", 0, "Hel"), output=[item])


def test_deltas_without_an_item_are_a_message() -> None:
    found = folded(decoded(sse(CREATED, delta("output_text", 0, "hi"), completed())))
    assert found.response is not None
    assert found.response.parts == (ir.Text("hi", native=native({"id": "i_0"}, issuer="openai")),)


def test_thoughts() -> None:
    item = thought(0, summary="a|b", token="gAAA")
    found = told(
        added(0, empty(item)),
        delta("reasoning_summary_text", 0, "a", summary_index=0),
        delta("reasoning_summary_text", 0, "b", summary_index=1),
        done(0, item),
        output=[item],
    )
    assert [event.text for event in found if isinstance(event, ir.PartDelta)] == ["a", "\n\n", "b"]
    raw = thought(0, content="hm")
    told(added(0, empty(raw)), delta("reasoning_text", 0, "hm"), done(0, raw), output=[raw])
    both = thought(0, summary="s", content="hm", token="gAAA")
    told(
        added(0, empty(both)),
        delta("reasoning_summary_text", 0, "s", summary_index=0),
        delta("reasoning_text", 0, "hm"),
        done(0, both),
        output=[both],
    )
    told(added(0, empty(both)), delta("reasoning_summary_text", 0, "s"), done(0, both), output=[both])
    silent = thought(0, token="gAAA")
    told(added(0, empty(silent)), done(0, silent), output=[silent])


def test_calls() -> None:
    item = call(0, '{"a":1}')
    found = told(
        added(0, {**item, "arguments": "", "status": "in_progress"}),
        delta("function_call_arguments", 0, '{"a"'),
        delta("function_call_arguments", 0, ":1}"),
        done(0, item),
        output=[item],
    )
    assert [event.text for event in found if isinstance(event, ir.PartDelta)] == ['{"a"', ":1}"]
    custom: dict[str, Any] = {
        "type": "custom_tool_call",
        "id": "i_0",
        "call_id": "c",
        "name": "x",
        "namespace": "n",
        "input": "ls -l",
    }
    told(
        added(0, {**custom, "input": ""}),
        delta("custom_tool_call_input", 0, "ls "),
        delta("custom_tool_call_input", 0, "-l"),
        done(0, custom),
        output=[custom],
    )


def test_a_function_that_stands_for_a_custom_tool_is_held_until_it_is_whole() -> None:
    tools = {"n__x": ToolName("x", "n", "custom")}
    item = call(0, '{"input":"ls"}', "n__x")
    found = told(
        added(0, {**item, "arguments": ""}),
        delta("function_call_arguments", 0, '{"inp'),
        delta("function_call_arguments", 0, 'ut":"ls"}'),
        done(0, item),
        output=[item],
        tools=tools,
    )
    assert ir.PartDelta(0, "ls") in found


def test_items_that_overlap_come_out_one_after_the_other() -> None:
    first, second, third = call(0, '{"a":1}'), call(1, '{"b":2}'), message(2, "hi")
    found = told(
        added(0, {**first, "arguments": ""}),
        added(1, {**second, "arguments": ""}),
        delta("function_call_arguments", 1, '{"b"'),
        delta("function_call_arguments", 0, '{"a":'),
        done(2, third),
        delta("function_call_arguments", 1, ":2}"),
        done(1, second),
        delta("function_call_arguments", 0, "1}"),
        done(0, first),
        output=[first, second, third],
    )
    assert [event.index for event in found if isinstance(event, ir.PartBegin)] == [0, 1, 2]


def test_items_of_the_provider_come_whole() -> None:
    output: list[dict[str, Any]] = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"},
    ]
    told(
        added(0, {**output[0], "action": None}),
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
        done(0, output[0]),
        added(1, {**output[1], "result": None}),
        {"type": "response.image_generation_call.partial_image", "output_index": 1, "partial_image_b64": "aA=="},
        done(1, output[1]),
        done(2, output[2]),
        output=output,
    )


def test_ends() -> None:
    details = {"reason": "max_output_tokens"}
    found = decoded(sse(CREATED, completed(message(0, "a"), status="incomplete", incomplete_details=details)))
    assert isinstance(found[-1], ir.End)
    assert found[-1].finish == ir.Finish("length", "max_output_tokens")
    assert found[-1].usage == ir.Usage(3, 2, raw=USAGE)
    assert not isinstance(decoded(sse(CREATED, completed(usage=None)))[-1], ir.Failed)


@pytest.mark.parametrize(
    ("event", "failed"),
    [
        (
            {
                "type": "response.failed",
                "response": {**SHELL, "error": {"code": "rate_limit_exceeded", "message": "Wait."}},
            },
            ir.Failed("rate_limit", "Wait.", "rate_limit_exceeded"),
        ),
        (
            {"type": "response.failed", "response": {"error": {"code": "context_length_exceeded", "message": "Long."}}},
            ir.Failed("invalid_request", "Long.", "context_length_exceeded"),
        ),
        ({"type": "error", "code": "server_error", "message": "Oh."}, ir.Failed("api_error", "Oh.", "server_error")),
        ({"type": "error", "error": {"type": "x", "message": "Oh."}}, ir.Failed("api_error", "Oh.", "x")),
        ({"error": {"message": "Oh."}}, ir.Failed("api_error", "Oh.")),
        (
            {"type": "response.cancelled", "response": {**SHELL, "status": "cancelled"}},
            ir.Failed("api_error", "The answer was cancelled."),
        ),
        (
            {"type": "response.completed", "response": {"status": "failed", "error": {"message": "Oh."}}},
            ir.Failed("api_error", "Oh."),
        ),
        (
            {"type": "response.failed", "response": {}},
            ir.Failed("api_error", "The upstream reported an error without a message."),
        ),
        (
            {"type": "error", "code": "image_too_large", "message": "Big."},
            ir.Failed("invalid_request", "Big.", "image_too_large"),
        ),
    ],
)
def test_failures_are_told_in_the_upstreams_words(event: dict[str, Any], failed: ir.Failed) -> None:
    found = decoded(sse(CREATED, delta("output_text", 0, "hi"), {"type": "", **event}, completed()))
    assert found[-1] == failed
    assert folded(found).response is None


@pytest.mark.parametrize("length", range(4))
def test_a_cut_stream_is_never_an_end(length: int) -> None:
    whole = [CREATED, added(0, empty(message(0, "a"))), delta("output_text", 0, "a"), done(0, message(0, "a"))]
    found = decoded(sse(*whole[: length + 1]))
    assert isinstance(found[-1], ir.Failed)


def test_what_means_nothing_is_passed_over() -> None:
    noise: list[dict[str, Any]] = [
        {"type": "keepalive"},
        {"type": "response.never_heard_of", "output_index": 0},
        {"type": "response.output_text.delta", "output_index": 0, "delta": ""},
    ]
    raw = b": comment\n\n" + sse(CREATED, *noise, completed(message(0, "a"))) + b"data: [DONE]\n\n"
    fold = folded(decoded(raw))
    assert fold.response is not None
    assert len(fold.response.parts) == 1


@pytest.mark.parametrize("data", [b"not json", b"[1]", b'{"type":"response.output_item.done","item":3}', b"\xff"])
def test_garbage_is_a_bad_reply(data: bytes) -> None:
    with pytest.raises(BadReply):
        codec.stream_decoder(Context("openai", "m")).feed(Event("message", data))


def test_an_event_without_a_type_goes_by_its_name() -> None:
    decoder = codec.stream_decoder(Context("openai", "m"))
    assert decoder.feed(Event("response.created", b'{"response":{"id":"resp_1"}}')) == [ir.Begin("resp_1", "m")]
    assert isinstance(decoder.feed(Event("response.completed", b'{"response":{}}'))[-1], ir.End)
    assert decoder.feed(Event("response.created", b"{}")) == []
    assert decoder.end() == []


# --- to clients -------------------------------------------------------------------------------------------------------

EVERYTHING = said(
    ir.Reasoning("hm", native=native({"signature": "S"}, protocol=Protocol.MESSAGES, issuer="anthropic")),
    ir.Text("ab", (ir.Citation("https://e.com", "E"),)),
    ir.Text("c"),
    ir.Refusal("no"),
    ir.ToolCall("c", "f", '{"a":1}'),
    ir.ToolCall("d", "x", "ls", "custom", "n", native=native({"thoughtSignature": "T"}, protocol=Protocol.GEMINI)),
    ir.Media("image", ir.Inline("aGk=", "image/png")),
    usage=ir.Usage(1, 2),
    finish=ir.Finish("tool_calls"),
)


def test_a_stream_of_everything_is_one_that_a_strict_client_takes() -> None:
    found, losses = streamed(EVERYTHING)
    for one in found:
        STRICT.validate_python(one)
    assert losses == []
    assert [one["type"].removeprefix("response.") for one in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
        "completed",
    ]


def test_summaries_have_events_of_their_own() -> None:
    found, _ = streamed(said(ir.Reasoning("hm", True), ir.Reasoning("")))
    assert [one["type"].removeprefix("response.") for one in found[2:-1]] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.done",
    ]


def test_each_event_is_written_as_it_comes() -> None:
    encoder_events = list(events(said(ir.Text("a"))))
    found = [len(streamed(encoder_events[: at + 1])[0]) for at in range(len(encoder_events))]
    assert found == [2, 4, 5, 7, 9]


def test_the_usage_of_the_beginning_is_kept() -> None:
    found, _ = streamed(
        [
            ir.Begin("x", "m", 7, ir.Usage(input_tokens=9, cache_read_tokens=4)),
            ir.End(ir.Finish("stop"), ir.Usage(output_tokens=2)),
        ]
    )
    response = found[-1]["response"]
    assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (9, 2)
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == 4
    assert response["created_at"] == 7
    assert len({one["response"]["id"] for one in found if "response" in one}) == 1


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        (ir.Failed("rate_limit", "Wait.", "rate_limit_error"), "rate_limit_exceeded"),
        (ir.Failed("overloaded", "Busy.", "overloaded_error"), "server_error"),
        (ir.Failed("api_error", "Oh."), "server_error"),
        (ir.Failed("invalid_request", "No."), "invalid_prompt"),
        (ir.Failed("rate_limit", "Pay.", "insufficient_quota"), "insufficient_quota"),
        (ir.Failed("invalid_request", "Long.", "context_length_exceeded"), "context_length_exceeded"),
    ],
)
def test_a_failure_ends_the_stream_in_the_clients_way(failed: ir.Failed, code: str) -> None:
    found, _ = streamed([ir.Begin("x", "m"), ir.PartBegin(0, ir.Text("")), ir.PartDelta(0, "a"), failed])
    assert found[-1]["type"] == "response.failed"
    assert found[-1]["response"]["error"] == {"code": code, "message": failed.message}
    assert found[-1]["response"]["id"] == found[0]["response"]["id"]
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    first, _ = streamed([failed])
    assert first[0]["response"]["status"] == "failed"


def test_encrypted_thoughts_come_back_with_the_id_they_are_good_with() -> None:
    """Of an answer that was not streamed, the id comes after the item began under another."""
    token = {"encrypted_content": "gAAA", "id": "rs_theirs"}
    response = answer(
        {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "gAAA"}, message(1, "a")
    )
    found, _ = streamed(response)
    output = found[-1]["response"]["output"]
    assert output[0]["id"] != "rs_theirs"
    (turn,) = read({"input": output}).messages
    assert turn.parts[0] == ir.Reasoning("", native=native(token, issuer="openai"))


def test_residue_that_is_known_late_comes_right_behind() -> None:
    late = native({"thoughtSignature": "T"}, protocol=Protocol.GEMINI)
    found, _ = streamed(
        [
            ir.Begin("x", "m"),
            ir.PartBegin(0, ir.Text("")),
            ir.PartDelta(0, "a"),
            ir.PartEnd(0, late),
            ir.PartBegin(1, ir.Text("")),
            ir.PartDelta(1, "b"),
            ir.PartEnd(1),
            ir.PartBegin(2, ir.ToolCall("c", "f", "")),
            ir.PartEnd(2, late),
            ir.End(ir.Finish("tool_calls")),
        ]
    )
    output = found[-1]["response"]["output"]
    assert [one["type"] for one in output] == ["message", "reasoning", "message", "function_call", "reasoning"]
    (turn,) = read({"input": output}).messages
    kept = [[one for one in getattr(part, "native", ()) if one in late] for part in turn.parts]
    assert kept == [list(late), [], list(late)]


def test_two_texts_with_residue_of_their_own() -> None:
    first, second = (native({"thoughtSignature": one}, protocol=Protocol.GEMINI) for one in "AB")
    found, _ = streamed(said(ir.Text("a", native=first), ir.Text("b", native=second)))
    (turn,) = read({"input": found[-1]["response"]["output"]}).messages
    assert [part.native[-1] for part in turn.parts if isinstance(part, ir.Text)] == [*first, *second]


def test_phases_come_with_their_message() -> None:
    item = message(0, "a", phase="commentary")
    found, _ = streamed(decoded(sse(CREATED, added(0, empty(item)), done(0, item), completed(item))))
    assert [one["item"]["phase"] for one in found if "item" in one] == ["commentary", "commentary"]
    assert [one["item"]["id"] for one in found if "item" in one] == ["i_0", "i_0"]
