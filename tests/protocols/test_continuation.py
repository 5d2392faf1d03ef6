"""What is asked of an upstream that is to continue an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.body import Body, open_body
from ccx.protocols.continuation import GO_ON, continuation, is_plain, remaining, shown, takes_prefill
from ccx.protocols.names import Protocol

FRONTS = {
    Protocol.MESSAGES: {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]},
    Protocol.CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    Protocol.RESPONSES: {"model": "m", "input": [{"role": "user", "content": "hi"}]},
    Protocol.GEMINI: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
TURNS = {Protocol.RESPONSES: "input", Protocol.GEMINI: "contents"}


def opened(body: dict[str, Any]) -> Body:
    return open_body(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-3-5-sonnet-20241022", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4-1-20250805", True),
        ("claude-sonnet-4-5", True),
        ("claude-haiku-4-5-20251001", True),
        ("claude-opus-4-5@20251101", True),
        ("anthropic/claude-sonnet-4.5", True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("claude-opus-4-6", False),
        ("claude-sonnet-4-6", False),
        ("anthropic/claude-opus-4.6", False),
        ("claude-opus-4-7-20260401", False),
        ("claude-sonnet-5", False),
        ("claude-opus-5-20260601", False),
        ("kimi-k2", False),
        ("", False),
    ],
)
def test_who_takes_a_prefill(model: str, takes: bool) -> None:
    assert takes_prefill(Protocol.MESSAGES, model, thinks=False) is takes
    assert not takes_prefill(Protocol.MESSAGES, model, thinks=True)
    assert not takes_prefill(Protocol.CHAT, model, thinks=False)


@pytest.mark.parametrize("prefill", [True, False])
@pytest.mark.parametrize("protocol", FRONTS)
@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_turns_are_added_and_nothing_else_is_changed(protocol: Protocol, prefill: bool, text: str) -> None:
    body, field = FRONTS[protocol], TURNS.get(protocol, "messages")
    made = json.loads(continuation(protocol, opened(body), text, prefill=prefill))
    turns = made[field]
    assert turns[:1] == body[field]  # type: ignore[index]  # a list of turns
    assert len(turns) == (2 if prefill else 3)
    key = "parts" if protocol is Protocol.GEMINI else "content"
    said = [turn[key][0]["text"] if protocol is Protocol.GEMINI else turn[key] for turn in turns[1:]]
    assert said == [text, GO_ON][: len(turns) - 1]
    assert [turn["role"] for turn in turns[1:]] == (
        ["model", "user"] if protocol is Protocol.GEMINI else ["assistant", "user"]
    )[: len(turns) - 1]
    assert {**made, field: body[field]} == body


def test_what_is_there_already_stays_byte_for_byte() -> None:
    raw = b'{ "x" : 1.50, "messages" : [ {"role":"user", "content":"\\u0068i"} ] , "seed": 12345678901234567890 }'
    made = continuation(Protocol.CHAT, open_body(raw), "a", prefill=True)
    added = b',{"role":"assistant","content":"a"}]'
    assert made == raw.replace(b'"\\u0068i"} ]', b'"\\u0068i"}' + added)


def test_a_text_for_input_becomes_a_turn() -> None:
    made = json.loads(continuation(Protocol.RESPONSES, opened({"input": "hi"}), "a", prefill=True))
    assert made["input"] == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a"}]


def test_with_nothing_to_show_the_request_is_as_it_was() -> None:
    body = opened(FRONTS[Protocol.CHAT])
    assert continuation(Protocol.CHAT, body, shown(" \n"), prefill=False) == body.raw


@pytest.mark.parametrize("protocol", FRONTS)
def test_plain_requests(protocol: Protocol) -> None:
    assert is_plain(protocol, opened(FRONTS[protocol]))


@pytest.mark.parametrize(
    ("protocol", "fields"),
    [
        (Protocol.MESSAGES, {"output_config": {"format": {"type": "json_schema"}}}),
        (Protocol.MESSAGES, {"output_format": {"type": "json_schema"}}),
        (Protocol.MESSAGES, {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}),
        (Protocol.MESSAGES, {"messages": 7}),
        (Protocol.MESSAGES, {"messages": [7]}),
        (Protocol.CHAT, {"n": 2}),
        (Protocol.CHAT, {"logprobs": True}),
        (Protocol.CHAT, {"modalities": ["text", "audio"]}),
        (Protocol.CHAT, {"response_format": {"type": "json_object"}}),
        (Protocol.CHAT, {"messages": [{"role": "assistant", "content": "b"}]}),
        (Protocol.RESPONSES, {"text": {"format": {"type": "json_schema"}}}),
        (Protocol.RESPONSES, {"background": True}),
        (Protocol.RESPONSES, {"top_logprobs": 2}),
        (Protocol.GEMINI, {"generationConfig": {"responseMimeType": "application/json"}}),
        (Protocol.GEMINI, {"generationConfig": {"responseSchema": {"type": "STRING"}}}),
        (Protocol.GEMINI, {"generationConfig": {"candidateCount": 2}}),
        (Protocol.GEMINI, {"generation_config": {"response_modalities": ["TEXT", "IMAGE"]}}),
        (Protocol.GEMINI, {"contents": [{"role": "model", "parts": []}]}),
        (Protocol.IMAGES, {}),
    ],
)
def test_requests_whose_answer_is_of_one_piece(protocol: Protocol, fields: dict[str, Any]) -> None:
    assert not is_plain(protocol, opened({**FRONTS.get(protocol, {}), **fields}))


@pytest.mark.parametrize(
    ("protocol", "fields"),
    [
        (Protocol.MESSAGES, {"output_config": {"effort": "low"}}),
        (Protocol.CHAT, {"n": 1, "logprobs": False, "modalities": ["text"], "response_format": {"type": "text"}}),
        (Protocol.RESPONSES, {"text": {"format": {"type": "text"}, "verbosity": "low"}}),
        (Protocol.GEMINI, {"generationConfig": {"responseMimeType": "text/plain", "candidateCount": 1}}),
    ],
)
def test_requests_that_say_what_goes_without_saying(protocol: Protocol, fields: dict[str, Any]) -> None:
    assert is_plain(protocol, opened({**FRONTS[protocol], **fields}))


@pytest.mark.parametrize(
    ("protocol", "fields", "limit", "left"),
    [
        (Protocol.MESSAGES, {}, None, 40),
        (Protocol.MESSAGES, {}, 30, 20),
        (Protocol.MESSAGES, {"max_tokens": 3}, None, 1),
        (Protocol.MESSAGES, {"max_tokens": 1100, "thinking": {"type": "enabled", "budget_tokens": 1095}}, None, 1096),
        (Protocol.CHAT, {}, None, None),
        (Protocol.CHAT, {}, 30, 20),
        (Protocol.CHAT, {"max_tokens": 70, "max_completion_tokens": 60}, None, 50),
        (Protocol.CHAT, {"max_tokens": True}, None, None),
        (Protocol.RESPONSES, {"max_output_tokens": 60}, None, 50),
        (Protocol.GEMINI, {"generationConfig": {"maxOutputTokens": 60}}, None, 50),
    ],
)
def test_what_is_left_of_the_length(
    protocol: Protocol, fields: dict[str, Any], limit: int | None, left: int | None
) -> None:
    assert remaining(protocol, opened({**FRONTS[protocol], **fields}), limit=limit, said=10) == left
