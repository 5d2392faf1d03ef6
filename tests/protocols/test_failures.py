from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.errors import ErrorKind
from ccx.protocols.failures import (
    MAX_MESSAGE,
    UpstreamFailure,
    keepalive,
    read_error,
    render_error,
    render_stream_error,
)
from ccx.protocols.names import Protocol
from ccx.protocols.sse import SseDecoder

KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
STREAMING = [p for p in Protocol if p is not Protocol.EMBEDDINGS]


def test_messages() -> None:
    raw = render_error(Protocol.MESSAGES, status=529, kind="overloaded", message='busy "now" é', request_id="req_1")
    assert json.loads(raw) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": 'busy "now" é'},
        "request_id": "req_1",
    }
    assert "request_id" not in json.loads(
        render_error(Protocol.MESSAGES, status=400, kind="invalid_request", message="", request_id=None)
    )


@pytest.mark.parametrize("protocol", [Protocol.CHAT, Protocol.RESPONSES, Protocol.IMAGES, Protocol.EMBEDDINGS])
def test_openai(protocol: Protocol) -> None:
    raw = render_error(protocol, status=401, kind="authentication", message="no", request_id="x")
    error = {"message": "no", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    assert json.loads(raw) == {"error": error}


def test_gemini() -> None:
    raw = render_error(Protocol.GEMINI, status=429, kind="rate_limit", message="slow", request_id="x")
    assert json.loads(raw) == {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_rendered_can_be_read(protocol: Protocol, kind: ErrorKind) -> None:
    said = read_error(protocol, render_error(protocol, status=418, kind=kind, message="m", request_id="r"))
    assert said.message == "m"
    assert said.type or said.status_text
    if protocol in STREAMING:
        [event] = SseDecoder().feed(render_stream_error(protocol, kind=kind, message="m\nn", request_id="r"))
        assert read_error(protocol, event.data).message == "m\nn"


def test_stream_error_shapes() -> None:
    assert render_stream_error(Protocol.MESSAGES, kind="overloaded", message="m", request_id=None) == (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"m"}}\n\n'
    )
    assert render_stream_error(Protocol.GEMINI, kind="overloaded", message="m") == (
        b'data: {"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}\n\n'
    )
    raw = render_stream_error(Protocol.RESPONSES, kind="timeout", message="m", sequence_number=7, response_id="resp_9")
    [event] = SseDecoder().feed(raw)
    failed = json.loads(event.data)
    assert event.event == failed["type"] == "response.failed"
    assert failed["sequence_number"] == 7
    assert failed["response"]["id"] == "resp_9"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "m"}
    [event] = SseDecoder().feed(render_stream_error(Protocol.RESPONSES, kind="rate_limit", message="m"))
    assert json.loads(event.data)["response"]["error"]["code"] == "rate_limit_exceeded"
    assert render_stream_error(Protocol.EMBEDDINGS, kind="api_error", message="m") == b""


def test_keepalive_is_no_event_of_the_protocol() -> None:
    for protocol in Protocol:
        ping = keepalive(protocol)
        if ping is not None:
            events = SseDecoder().feed(ping)
            assert [event.event for event in events] in ([], ["ping"])
    assert keepalive(Protocol.GEMINI) is None
    assert keepalive(Protocol.EMBEDDINGS) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"m"}}', ("rate_limit_error", None, "m", None)),
        (b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}', ("t", "c", "m", None)),
        (
            b'{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}',
            (None, "429", "m", "RESOURCE_EXHAUSTED"),
        ),
        (b'[{"error":{"code":400,"message":"m","status":"S"}}]', (None, "400", "m", "S")),
        (
            b'{"error":{"code":400,"message":"m","status":"S","details":[{"@type":"x"},3,'
            b'{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}',
            ("API_KEY_INVALID", "400", "m", "S"),
        ),
        (b'{"error":"text"}', (None, None, "text", None)),
        (b'{"error":"text","code":7,"type":"t"}', ("t", "7", "text", None)),
        (b'{"error":{"type":"t"},"message":"outer"}', ("t", None, "outer", None)),
        (b'{"detail":"Not Found"}', (None, None, "Not Found", None)),
        (b'{"detail":[{"loc":["body"],"msg":"field required"}]}', (None, None, "field required", None)),
        (b'{"detail":{"error":"inner"}}', (None, None, "inner", None)),
        (b'{"message":"m","code":"c","type":"t"}', ("t", "c", "m", None)),
        (b'{"Message":"m","__type":"ThrottlingException"}', ("ThrottlingException", None, "m", None)),
        (b'{"errors":[{"message":"m","code":"c"}]}', (None, "c", "m", None)),
        (
            b'{"type":"error","code":"server_error","message":"m","sequence_number":3}',
            (None, "server_error", "m", None),
        ),
        (
            b'{"type":"response.failed","response":{"error":{"code":"insufficient_quota","message":"m"}}}',
            (None, "insufficient_quota", "m", None),
        ),
        (b'event: error\r\ndata: {"error":{"type":"t","message":"m"}}\r\n\r\n', ("t", None, "m", None)),
        (b"data: {broken", (None, None, "{broken", None)),
        (b'"just text"', (None, None, "just text", None)),
        (b"<html><head><title>502 Bad Gateway</title></head>", (None, None, "502 Bad Gateway", None)),
        (b"<html>", (None, None, None, None)),
        (b"upstream connect error\n", (None, None, "upstream connect error", None)),
        (b"\xff\xfe", (None, None, "\ufffd\ufffd", None)),
        (b"", (None, None, None, None)),
        (b"[]", (None, None, None, None)),
        (b"null", (None, None, None, None)),
        (b'""', (None, None, None, None)),
        (b'{"error":null}', (None, None, None, None)),
        (b'{"error":{"type":true,"code":null,"message":5}}', (None, None, None, None)),
        (b"[" * 100_000, (None, None, "[" * MAX_MESSAGE + "\u2026", None)),
    ],
)
def test_reading(raw: bytes, expected: tuple[str | None, ...]) -> None:
    assert read_error(Protocol.CHAT, raw) == UpstreamFailure(*expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "message", "detail", "details", "response", "code"]), inner
        )
    ),
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from(list(Protocol)))
def test_reading_never_raises(raw: bytes, protocol: Protocol) -> None:
    said = read_error(protocol, raw)
    assert said.message is None or said.message


def test_a_telling_code_and_the_field_that_is_meant_are_openais_only() -> None:
    def rendered(protocol: Protocol) -> dict[str, object]:
        body = render_error(
            protocol,
            status=400,
            kind="invalid_request",
            message="m",
            request_id=None,
            code="previous_response_not_found",
            param="previous_response_id",
        )
        found: dict[str, object] = json.loads(body)["error"]
        return found

    assert rendered(Protocol.RESPONSES) == {
        "message": "m",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    assert rendered(Protocol.MESSAGES) == {"type": "invalid_request_error", "message": "m"}
    assert rendered(Protocol.GEMINI) == {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}
