"""Answers: an upstream's, read, and a client's, written, whole."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response
from pydantic import TypeAdapter

from ccx.errors import BadReply
from ccx.protocols import ir
from ccx.protocols.codec import Context, ToolName
from ccx.protocols.names import Protocol
from ccx.protocols.residue import MARK, unseal
from ccx.protocols.responses import codec
from tests.protocols.responses.kit import CREATED, answer, items, native, read, said, shown, whats

STRICT = TypeAdapter(Response)
M, G = Protocol.MESSAGES, Protocol.GEMINI


def words(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [*content],
        **fields,
    }


def text(said: str, **fields: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": said, "annotations": [], "logprobs": [], **fields}


FROM: dict[str, Any] = {"issuer": "openai"}
URL = {"type": "url_citation", "url": "https://e.com", "title": "E", "start_index": 0, "end_index": 2}
FILE = {"type": "file_citation", "file_id": "f", "filename": "a.txt", "index": 1}


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        (words(text("a")), [ir.Text("a", native=native({"id": "msg_1"}, **FROM))]),
        (
            words(text("a"), {"type": "refusal", "refusal": "no"}, phase="final_answer"),
            [
                ir.Text("a", native=(*native({"id": "msg_1"}, **FROM), *native({"phase": "final_answer"}, **FROM))),
                ir.Refusal("no", (*native({"id": "msg_1"}, **FROM), *native({"phase": "final_answer"}, **FROM))),
            ],
        ),
        (
            words(text("ab", annotations=[URL, FILE], logprobs=[{"token": "ab"}])),
            [
                ir.Text(
                    "ab",
                    (
                        ir.Citation("https://e.com", "E", start=0, end=2),
                        ir.Citation(title="a.txt", native=native({"annotation": FILE}, **FROM)),
                    ),
                    (*native({"id": "msg_1"}, **FROM), *native({"logprobs": [{"token": "ab"}]}, **FROM)),
                )
            ],
        ),
        (
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            [
                ir.Reasoning(
                    "",
                    native=(
                        *native({"id": "rs_1"}, **FROM),
                        *native({"encrypted_content": "gAAA", "id": "rs_1"}, **FROM),
                    ),
                )
            ],
        ),
        (
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
            },
            [ir.Reasoning("a\n\nb", True, native({"id": "rs_1"}, **FROM))],
        ),
        (
            {
                "type": "function_call",
                "id": "fc_1",
                "status": "completed",
                "call_id": "c",
                "name": "f",
                "arguments": "{}",
            },
            [ir.ToolCall("c", "f", "{}", native=native({"id": "fc_1"}, **FROM))],
        ),
        (
            {
                "type": "custom_tool_call",
                "id": "ctc_1",
                "status": "completed",
                "call_id": "c",
                "name": "x",
                "namespace": "n",
                "input": "ls",
            },
            [ir.ToolCall("c", "x", "ls", "custom", "n", native=native({"id": "ctc_1"}, **FROM))],
        ),
        (
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "q"},
            },
            [
                ir.ToolCall(
                    "ws_1",
                    "web_search",
                    '{"type":"search","query":"q"}',
                    server=True,
                    native=native(
                        {
                            "type": "web_search_call",
                            "id": "ws_1",
                            "status": "completed",
                            "action": {"type": "search", "query": "q"},
                        },
                        **FROM,
                    ),
                )
            ],
        ),
        (
            {
                "type": "image_generation_call",
                "id": "ig_1",
                "status": "completed",
                "result": "aGk=",
                "output_format": "webp",
            },
            [
                ir.Media(
                    "image",
                    ir.Inline("aGk=", "image/webp"),
                    native=native(
                        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "webp"},
                        **FROM,
                    ),
                )
            ],
        ),
        (
            {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": ["ls"]}},
            [
                ir.Opaque(
                    "shell_call",
                    native(
                        {"type": "shell_call", "id": "sh_1", "call_id": "c", "action": {"commands": ["ls"]}}, **FROM
                    )[0],
                )
            ],
        ),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else "",
)
def test_items_become_parts_and_go_back(item: dict[str, Any], parts: list[ir.Part]) -> None:
    response = answer(item)
    assert list(response.parts) == parts
    encoded = shown(response)
    assert encoded.losses == ()
    assert len(items(encoded)) == 1
    again = answer(*items(encoded))
    assert again.parts == response.parts
    assert {**item, **items(encoded)[0]} == items(encoded)[0] or item["type"] == "reasoning"


@pytest.mark.parametrize(
    ("body", "finish"),
    [
        ({"status": "completed"}, ir.Finish("stop", "completed")),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            ir.Finish("length", "max_output_tokens"),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ir.Finish("content_filter", "content_filter"),
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, ir.Finish("other", "steered")),
        ({"status": "queued"}, ir.Finish("other", "queued")),
        ({"status": None}, ir.Finish("stop", None)),
    ],
)
def test_statuses(body: dict[str, Any], finish: ir.Finish) -> None:
    response = answer(words(text("a")), **body)
    assert response.finish == finish
    payload = shown(response).payload
    assert payload["status"] == (body["status"] or "completed")
    assert payload["incomplete_details"] == body.get("incomplete_details")


def test_what_an_answer_holds_says_why_it_ended() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    assert answer(words(text("a")), call).finish.reason == "tool_calls"
    assert answer(words({"type": "refusal", "refusal": "no"})).finish.reason == "refusal"
    assert answer({"type": "web_search_call", "id": "ws_1"}, words(text("a"))).finish.reason == "stop"


@pytest.mark.parametrize(
    ("finish", "status", "reason", "losses"),
    [
        (ir.Finish("stop"), "completed", None, []),
        (ir.Finish("tool_calls"), "completed", None, []),
        (ir.Finish("length"), "incomplete", "max_output_tokens", []),
        (ir.Finish("context_window"), "incomplete", "max_output_tokens", [("finish_reason", True)]),
        (ir.Finish("content_filter"), "incomplete", "content_filter", []),
        (ir.Finish("refusal"), "completed", None, [("finish_reason", True)]),
        (ir.Finish("pause", "pause_turn"), "completed", None, [("finish_reason", True)]),
        (ir.Finish("stop", "stop_sequence", "END"), "completed", None, [("stop_sequence", False)]),
        (ir.Finish("error", "boom"), "failed", None, []),
    ],
)
def test_ends_of_other_protocols(finish: ir.Finish, status: str, reason: str | None, losses: list[Any]) -> None:
    encoded = shown(said(ir.Text("a"), finish=finish))
    assert encoded.payload["status"] == status
    details = encoded.payload["incomplete_details"]
    assert details == (None if reason is None else {"reason": reason})
    assert whats(encoded) == losses
    assert (encoded.payload["error"] is not None) == (status == "failed")


def test_a_refusal_in_words_is_a_proper_end() -> None:
    assert shown(said(ir.Refusal("no"), finish=ir.Finish("refusal"))).losses == ()


@pytest.mark.parametrize(
    ("usage", "written"),
    [
        (ir.Usage(), None),
        (
            ir.Usage(10, 5, 3, 2, 4),
            {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 15,
            },
        ),
        (
            ir.Usage(10, 5, raw={"prompt_tokens": 10}),
            {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 15,
            },
        ),
    ],
)
def test_usage_of_other_protocols(usage: ir.Usage, written: Any) -> None:
    assert shown(said(ir.Text("a"), usage=usage)).payload["usage"] == written


def test_usage_of_this_protocol_is_kept_as_it_is() -> None:
    raw: dict[str, Any] = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 15,
        "cost": 7,
    }
    response = answer(words(text("a")), usage=raw)
    assert response.usage == ir.Usage(10, 5, 3, 1, 4, raw)
    assert shown(response).payload["usage"] == raw


def test_an_answer_repeats_its_request() -> None:
    body: dict[str, Any] = {
        "instructions": "be kind",
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
        "tool_choice": "required",
        "temperature": 0.5,
        "max_output_tokens": 100,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "reasoning": {"effort": "high"},
        "text": {"verbosity": "low"},
        "store": False,
        "user": "u",
        "prompt_cache_key": "k",
    }
    payload = shown(said(ir.Text("a")), **body).payload
    assert {key: payload[key] for key in body} == {**body, "text": {"format": {"type": "text"}, "verbosity": "low"}}
    assert (payload["model"], payload["created_at"], payload["top_p"]) == ("asked-model", CREATED, 1.0)
    assert (payload["object"], payload["truncation"]) == ("response", "disabled")
    assert str(payload["id"]).startswith("resp_")
    assert "include" not in payload
    STRICT.validate_python(payload)


def test_of_an_upstream_of_this_protocol_stands_what_it_chose() -> None:
    chosen: dict[str, Any] = {
        "temperature": 0.7,
        "service_tier": "priority",
        "reasoning": {"effort": "low", "summary": None},
        "billing": {"payer": "x"},
        "created_at": 5.0,
    }
    payload = shown(answer(words(text("a")), **chosen), service_tier="auto", reasoning={"effort": "high"}).payload
    assert {key: payload[key] for key in chosen} == chosen
    assert payload["id"] == "resp_1"


def test_citations_of_others_become_annotations_or_losses() -> None:
    cited = (ir.Citation("https://e.com", "E", "quoted"), ir.Citation(title="a page", quote="q"))
    encoded = shown(said(ir.Text("ab", cited)))
    assert items(encoded)[0]["content"][0]["annotations"] == [URL]
    assert whats(encoded) == [("citations", True), ("citations", False)]
    assert whats(shown(said(ir.Text("ab", (ir.Citation("https://e.com", "E"),))))) == []


def test_what_only_a_provider_knows_of_its_citation_is_one_loss() -> None:
    theirs = native({"encrypted_index": "x", "cited_text": "q"}, protocol=M, issuer="anthropic")
    encoded = shown(said(ir.Text("ab", (ir.Citation("https://e.com", "E", "q", native=theirs),))))
    assert items(encoded)[0]["content"][0]["annotations"] == [URL]
    assert whats(encoded) == [("citations", True)]


def test_words_in_pieces_are_one_message_until_something_else_comes() -> None:
    encoded = shown(said(ir.Text("a"), ir.Text("b"), ir.ToolCall("c", "f", ""), ir.Text("d")))
    assert [(one["type"], len(one.get("content", []))) for one in items(encoded)] == [
        ("message", 2),
        ("function_call", 0),
        ("message", 1),
    ]
    assert items(encoded)[1]["arguments"] == "{}"


def test_calls_come_back_as_the_client_declared_the_tools() -> None:
    """Codex at an upstream of another protocol: its decoder has mapped the flattened names back already."""
    encoded = shown(
        said(ir.ToolCall("a", "exec", "ls", "custom", "functions"), ir.ToolCall("b", "wait", "{}", namespace="n"))
    )
    first, second = items(encoded)
    assert {key: first[key] for key in ("type", "call_id", "name", "namespace", "input")} == {
        "type": "custom_tool_call",
        "call_id": "a",
        "name": "exec",
        "namespace": "functions",
        "input": "ls",
    }
    assert (second["type"], second["namespace"], second["arguments"]) == ("function_call", "n", "{}")


@pytest.mark.parametrize(
    ("arguments", "given"), [('{"query":"x"}', {"query": "x"}), ("", {}), ("not json", {"query": "not json"})]
)
def test_a_search_for_the_clients_tools_has_an_item_of_its_own(arguments: str, given: Any) -> None:
    declared = [{"type": "tool_search", "execution": "client", "parameters": {}}]
    (item,) = items(shown(said(ir.ToolCall("c", "tool_search", arguments)), tools=declared))
    assert item == {
        "type": "tool_search_call",
        "id": "tsc_1",
        "call_id": "c",
        "execution": "client",
        "status": "completed",
        "arguments": given,
    }
    (item,) = items(shown(said(ir.ToolCall("c", "tool_search", arguments))))
    assert item["type"] == "function_call"


def test_an_upstream_without_custom_tools_is_mapped_back() -> None:
    tools = {"functions__exec": ToolName("exec", "functions", "custom"), "f_x": ToolName("f.x")}
    call = {"type": "function_call", "call_id": "c", "name": "functions__exec", "arguments": '{"input":"ls"}'}
    assert answer(call, {**call, "name": "f_x"}, tools=tools).parts == (
        ir.ToolCall("c", "exec", "ls", "custom", "functions"),
        ir.ToolCall("c", "f.x", '{"input":"ls"}'),
    )
    assert answer({**call, "arguments": "ls"}, tools=tools).parts[0] == ir.ToolCall(
        "c", "exec", "ls", "custom", "functions"
    )


def test_thoughts_are_shown_as_clients_ask_for_them() -> None:
    thought = said(ir.Reasoning("hm"))
    (item,) = items(shown(thought))
    assert item["content"] == [{"type": "reasoning_text", "text": "hm"}]
    encoded = shown(thought, reasoning={"summary": "auto"})
    assert items(encoded)[0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert whats(encoded) == [("reasoning", True)]


def test_residue_of_others_is_sealed_beside_its_part() -> None:
    signature = native({"signature": "S"}, protocol=M, issuer="anthropic")
    thought = native({"thoughtSignature": "T"}, protocol=G, issuer="gemini")
    encoded = shown(said(ir.Reasoning("hm", native=signature), ir.ToolCall("c", "f", "{}", native=thought)))
    own, beside, call = items(encoded)
    assert unseal(own["encrypted_content"]) == signature
    assert (beside["type"], beside["summary"], call["type"]) == ("reasoning", [], "function_call")
    assert encoded.losses == ()
    assert read({"input": items(encoded)}).messages[0].parts == (
        ir.Reasoning("hm", native=signature),
        ir.ToolCall("c", "f", "{}", native=(*native({"id": call["id"]}), *thought)),
    )


def test_what_the_protocol_has_no_item_for_is_sealed_whole() -> None:
    parts = (
        ir.ToolCall("s", "web_search", "{}", server=True, native=native({"type": "server_tool_use"}, protocol=M)),
        ir.ToolResult("s", (), server=True, native=native({"type": "web_search_tool_result"}, protocol=M)),
        ir.Opaque("container_upload", ir.Native(M, None, {"type": "container_upload"})),
    )
    encoded = shown(said(*parts, ir.Text("a")))
    assert whats(encoded) == [("server_tool", True), ("server_tool", True), ("unknown_part:container_upload", True)]
    assert all(one["encrypted_content"].startswith(MARK) for one in items(encoded)[:3])
    assert read({"input": items(encoded)}).messages[0].parts[:3] == parts
    STRICT.validate_python(encoded.payload)


def test_a_damaged_envelope_is_no_thought() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": MARK + "??"}
    assert read({"input": [item]}).messages == ()
    shown_ = {**item, "summary": [{"type": "summary_text", "text": "hm"}]}
    assert read({"input": [shown_]}).messages[0].parts == (ir.Reasoning("hm", True),)


def test_an_envelope_whose_part_is_gone_stays_as_a_thought() -> None:
    thought = native({"thoughtSignature": "T"}, protocol=G)
    beside, _ = items(shown(said(ir.ToolCall("c", "f", "{}", native=thought))))
    assert read({"input": [beside]}).messages[0].parts == (ir.Reasoning("", native=thought),)


def test_images_are_shown_and_other_media_lost() -> None:
    encoded = shown(
        said(
            ir.Media("image", ir.Inline("aGk=", "image/jpeg")),
            ir.Media("image", ir.Remote("https://e.com/a.png")),
            ir.Media("audio", ir.Inline("aGk=", "audio/wav")),
        )
    )
    assert items(encoded) == [
        {
            "type": "image_generation_call",
            "id": "ig_1",
            "status": "completed",
            "result": "aGk=",
            "output_format": "jpeg",
        }
    ]
    assert whats(encoded) == [("image", False), ("audio", False)]


def test_an_answer_of_everything_is_one_that_a_strict_client_takes() -> None:
    STRICT.validate_python(
        shown(
            said(
                ir.Reasoning("hm"),
                ir.Text("a", (ir.Citation("https://e.com"),)),
                ir.Refusal("no"),
                ir.ToolCall("c", "f", "{}"),
                ir.ToolCall("d", "x", "ls", "custom", "n"),
                ir.Media("image", ir.Inline("aGk=", "image/png")),
                usage=ir.Usage(1, 2),
            )
        ).payload
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "no list of output items"),
        ({"output": {}}, "no list of output items"),
        ({"output": [3]}, "not an object"),
        ({"status": "failed", "output": [], "error": {"code": "server_error", "message": "It broke."}}, "It broke."),
        ({"error": {"message": "It broke."}}, "It broke."),
    ],
)
def test_what_is_no_answer_is_a_bad_reply(body: dict[str, Any], message: str) -> None:
    with pytest.raises(BadReply, match=message):
        codec.decode_response(body, Context("openai", "m"))
