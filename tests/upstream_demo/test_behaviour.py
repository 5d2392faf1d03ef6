"""Failures on demand, in each protocol's own words."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.upstream.demo.answer import End
from ccx.upstream.demo.behaviour import Manner, behaviour
from tests.upstream_demo.asking import (
    CHAT,
    DIALECTS,
    GEMINI,
    MESSAGES,
    RESPONSES,
    Dialect,
    body,
    events,
    header,
    post,
    raw,
)

every = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 529, 599)


@pytest.mark.parametrize(
    ("model", "text", "manner", "status"),
    [
        ("demo", "hello", Manner.PLAIN, None),
        ("demo-slow", "hello", Manner.SLOW, None),
        ("demo", "please demo-slow now", Manner.SLOW, None),
        ("demo", "please demo-stall-midstream", Manner.STALL_MIDSTREAM, None),
        ("demo", "please demo-stall.", Manner.STALL, None),
        ("demo", "my-demo-stall", Manner.PLAIN, None),
        ("demo-stallion", "", Manner.PLAIN, None),
        ("vendor/demo-cut", "", Manner.CUT, None),
        ("demo", "demo-fail-503", Manner.PLAIN, 503),
        ("demo-fail-200", "", Manner.PLAIN, None),
        ("demo-fail-4290", "", Manner.PLAIN, None),
        ("demo-fail-404", "demo-fail-500", Manner.PLAIN, 404),
    ],
)
def test_the_word_decides(model: str, text: str, manner: Manner, status: int | None) -> None:
    found = behaviour(model, text)
    assert found.manner is manner
    assert (found.failure.status if found.failure else None) == status


@every
@both
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("by", ["model", "text"])
def test_statuses(dialect: Dialect, stream: bool, status: int, by: str) -> None:
    word = f"demo-fail-{status}"
    answer = dialect.ask(f"do {word}", stream=stream) if by == "text" else dialect.ask("hi", model=word, stream=stream)
    assert answer.status == status
    assert header(answer, "content-type") == "application/json"
    assert header(answer, "retry-after") == ("1" if status in (429, 503, 529) else None)
    error = body(answer)["error"]
    assert str(status) in error["message"]
    if dialect is GEMINI:
        assert error["code"] == status
        assert error["status"].isupper()
        assert ("details" in error) == (status == 429)
    elif dialect is MESSAGES:
        assert error["type"].endswith("error") or error["type"] == "request_too_large"
    else:
        assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("word", "dialect", "status", "expected"),
    [
        ("overloaded", MESSAGES, 529, {"type": "overloaded_error"}),
        ("overloaded", CHAT, 503, {"type": "service_unavailable_error", "code": "server_is_overloaded"}),
        ("overloaded", GEMINI, 503, {"status": "UNAVAILABLE", "code": 503}),
        ("quota", MESSAGES, 402, {"type": "billing_error"}),
        ("quota", RESPONSES, 429, {"type": "insufficient_quota", "code": "insufficient_quota"}),
        ("quota", GEMINI, 429, {"status": "RESOURCE_EXHAUSTED", "code": 429}),
        ("context-window", MESSAGES, 400, {"type": "invalid_request_error"}),
        ("context-window", CHAT, 400, {"type": "invalid_request_error", "code": "context_length_exceeded"}),
        ("context-window", GEMINI, 400, {"status": "INVALID_ARGUMENT"}),
        ("content-filter", MESSAGES, 400, {"type": "invalid_request_error"}),
        ("content-filter", CHAT, 400, {"type": "invalid_request_error", "code": "content_policy_violation"}),
    ],
)
@both
def test_causes(word: str, dialect: Dialect, status: int, expected: dict[str, Any], stream: bool) -> None:
    answer = dialect.ask("hi", model=f"demo-{word}", stream=stream)
    error = body(answer)["error"]
    assert answer.status == status
    assert {name: error[name] for name in expected} == expected
    assert header(answer, "retry-after") == ("1" if word == "overloaded" else None)


def test_gemini_tells_a_used_up_quota_from_a_rate() -> None:
    quota = body(GEMINI.ask("hi", model="demo-quota"))["error"]["details"]
    rate = body(GEMINI.ask("hi", model="demo-fail-429"))["error"]["details"]
    assert [detail["@type"].rsplit(".", 1)[1] for detail in quota] == ["QuotaFailure"]
    assert [detail["@type"].rsplit(".", 1)[1] for detail in rate] == ["QuotaFailure", "RetryInfo"]
    assert "PerDay" in quota[0]["violations"][0]["quotaId"]


@both
def test_gemini_blocks_with_a_200(stream: bool) -> None:
    answer = GEMINI.ask("hi", model="demo-content-filter", stream=stream)
    reply = events(answer)[0][1] if stream else body(answer)
    assert answer.status == 200
    assert reply["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in reply


@every
@both
def test_stall(dialect: Dialect, stream: bool) -> None:
    answer = dialect.ask("demo-stall", stream=stream)
    assert (answer.delay, answer.end, answer.pieces) == (None, End.STALL, ())


@every
@both
@pytest.mark.parametrize(("word", "end"), [("cut", End.CUT), ("stall-midstream", End.STALL)])
def test_broken_off(dialect: Dialect, stream: bool, word: str, end: End) -> None:
    answer = dialect.ask("hello", model=f"demo-{word}", stream=stream)
    healthy = dialect.ask("hello", model="demo", stream=stream)
    assert answer.end is end
    assert answer.status == 200
    assert 0 < len(raw(answer)) < int(header(answer, "content-length") or 10**9)
    assert all(piece.data for piece in answer.pieces)
    if stream:
        assert 1 < len(answer.pieces) < len(healthy.pieces)
        assert not answer.pieces[-1].data.endswith(b"\n\n")  # never between two events


@every
@both
def test_slow(dialect: Dialect, stream: bool) -> None:
    answer = dialect.ask("demo-slow", stream=stream)
    assert answer.delay == 2
    assert [piece.delay for piece in answer.pieces] == [0, *[0.02] * (len(answer.pieces) - 1)]
    assert (len(answer.pieces) > 5) is stream


@every
def test_error_in_the_middle(dialect: Dialect) -> None:
    answer = dialect.ask("hello", model="demo-error-midstream", stream=True)
    found = events(answer)
    assert (answer.status, answer.end) == (200, End.COMPLETE)
    assert len(found) > 3
    name, last = found[-1]
    match dialect.name:
        case "messages":
            assert (name, last["type"], last["error"]["type"]) == ("error", "error", "api_error")
        case "responses":
            assert (name, last["type"]) == ("response.failed", "response.failed")
            assert [data["sequence_number"] for _, data in found] == list(range(len(found)))
            assert last["response"]["status"] == "failed"
            assert last["response"]["error"]["code"] == "server_error"
        case _:
            assert last["error"]["message"]
    whole = dialect.ask("hello", model="demo-error-midstream")
    assert whole.status == 500
    assert body(whole)["error"]


@every
@both
def test_garbage_and_nothing(dialect: Dialect, stream: bool) -> None:
    garbage = dialect.ask("demo-garbage", stream=stream)
    assert garbage.status == 200
    with pytest.raises(ValueError, match="Expecting"):
        body(garbage)
    assert raw(garbage).startswith(b"data: {") is stream
    empty = dialect.ask("demo-empty", stream=stream)
    assert (empty.status, empty.pieces, header(empty, "content-length")) == (200, (), "0")
    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    assert header(garbage, "content-type") == header(empty, "content-type") == kind


@every
@both
def test_refusal(dialect: Dialect, stream: bool) -> None:
    answer = dialect.ask("hello", model="demo-refusal", stream=stream)
    assert answer.status == 200
    reason = {
        "messages": b'"refusal"',
        "chat": b'"content_filter"',
        "responses": b'"content_filter"',
        "gemini": b'"SAFETY"',
    }
    assert raw(answer).count(reason[dialect.name]) == 1


def test_only_the_newest_message_decides() -> None:
    history = [
        {"role": "user", "content": "demo-fail-500"},
        {"role": "assistant", "content": "oh"},
        {"role": "user", "content": "again"},
    ]
    assert MESSAGES.ask("", messages=history).status == 200
    assert MESSAGES.ask("", messages=history[:1]).status == 500


def test_other_operations_fail_too() -> None:
    for path in ("/v1/embeddings", "/v1/images/generations", "/v1/responses/compact", "/v1/responses/input_tokens"):
        sent = {"model": "demo-fail-503", "input": "a", "prompt": "a"}
        assert post(path, sent).status == 503
        assert post(path, sent | {"model": "demo", "input": "demo-fail-402", "prompt": "demo-fail-402"}).status == 402
    assert (
        post(
            "/v1/messages/count_tokens", {"model": "demo-fail-503", "messages": [{"role": "user", "content": "a"}]}
        ).status
        == 503
    )
    assert post("/v1beta/models/demo-fail-503:countTokens", {"contents": [{"parts": [{"text": "a"}]}]}).status == 503
    assert post("/v1beta/models/m:embedContent", {"content": {"parts": [{"text": "demo-fail-503"}]}}).status == 503
