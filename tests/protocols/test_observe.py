from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols import observe
from ccx.protocols.failures import render_stream_error
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.observe import Observation, StreamObserver, observe_body
from ccx.protocols.sse import encode
from ccx.protocols.usage import Usage

M, C, R, G, IM = Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI, Protocol.IMAGES


def typed(kind: str, **fields: object) -> bytes:
    return encode(kind, json.dumps({"type": kind, **fields}).encode())


def plain(**fields: object) -> bytes:
    return encode(None, json.dumps(fields).encode())


def delta(finish: str | None = None, **fields: object) -> bytes:
    return plain(model="gpt-x", choices=[{"index": 0, "delta": fields, "finish_reason": finish}], usage=None)


def said(text: str | None = None, finish: object = None, **fields: object) -> bytes:
    candidate: dict[str, object] = {"content": {"parts": [] if text is None else [{"text": text}]}}
    if finish is not None:
        candidate["finishReason"] = finish
    return plain(candidates=[candidate], modelVersion="gemini-x", **fields)


START = typed(
    "message_start",
    message={"model": "claude-x", "usage": {"input_tokens": 10, "cache_read_input_tokens": 200, "output_tokens": 1}},
)
TEXT = typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
WORD = typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "an error: message_stop"})
STOP = typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": 10, "output_tokens": 42})
CREATED = typed(
    "response.created", sequence_number=0, response={"id": "resp_1", "model": "gpt-x", "status": "in_progress"}
)
OUT = typed("response.output_text.delta", sequence_number=4, delta='"response": "error"')
COMPLETED = typed(
    "response.completed",
    sequence_number=9,
    response={
        "id": "resp_1",
        "model": "gpt-x-2",
        "status": "completed",
        "output": [{"text": "x" * 500}],
        "usage": {
            "input_tokens": 30,
            "output_tokens": 12,
            "total_tokens": 42,
            "input_tokens_details": {"cached_tokens": 20},
            "output_tokens_details": {"reasoning_tokens": 8},
        },
    },
)
COUNTS = {"promptTokenCount": 7, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "cachedContentTokenCount": 4}

STREAMS: dict[Protocol, tuple[list[bytes], Observation]] = {
    M: (
        [START, typed("ping"), TEXT, WORD, WORD, typed("content_block_stop", index=0), STOP, typed("message_stop")],
        Observation(Usage(210, 42, 200, None, None), "end_turn", "claude-x"),
    ),
    C: (
        [
            delta(role="assistant", content=""),
            delta(content='"usage":{'),
            delta(content="error"),
            delta("stop"),
            plain(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}),
            b"data: [DONE]\n\n",
        ],
        Observation(Usage(5, 6), "stop", "gpt-x"),
    ),
    R: ([CREATED, OUT, OUT, COMPLETED], Observation(Usage(30, 12, 20, None, 8), "completed", "gpt-x-2")),
    G: (
        [said("a", usageMetadata={"promptTokenCount": 7}), said("b"), said("", "STOP", usageMetadata=COUNTS)],
        Observation(Usage(7, 5, 4, None, 2), "STOP", "gemini-x"),
    ),
    IM: (
        [
            typed("image_generation.partial_image", b64_json="aGk=" * 50),
            typed("image_generation.completed", b64_json="aGk=" * 50, usage={"input_tokens": 9, "output_tokens": 100}),
        ],
        Observation(Usage(9, 100), None, None),
    ),
}


def outcome(observer: StreamObserver) -> tuple[object, ...]:
    return (
        observer.meaningful,
        observer.terminal,
        observer.error,
        observer.observation,
        observer.response_id,
        observer.next_sequence_number,
    )


def listen(protocol: Protocol, *chunks: bytes) -> StreamObserver:
    observer = StreamObserver(protocol)
    for chunk in chunks:
        observer.feed(chunk)
    return observer


@pytest.mark.parametrize("protocol", STREAMS)
def test_a_whole_stream(protocol: Protocol) -> None:
    events, expected = STREAMS[protocol]
    observer = listen(protocol, *events)
    assert observer.observation == expected
    assert (observer.meaningful, observer.terminal, observer.error) == (True, True, None)
    # Without `event:` lines, the data alone tells.
    bare = [b"".join(line for line in event.splitlines(True) if not line.startswith(b"event:")) for event in events]
    assert outcome(listen(protocol, *bare)) == outcome(observer)


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(edges)]


ERRORS = {
    M: typed("error", error={"type": "overloaded_error", "message": "Overloaded"}),
    C: plain(error={"message": "broken"}),
    R: typed("error", code="server_error", message="broken", sequence_number=7),
    G: plain(error={"code": 503, "message": "busy", "status": "UNAVAILABLE"}),
    IM: typed("error", error={"message": "broken"}),
}
ODD = [
    b"data: not json \xff\n\n",
    b": comment with error\n\n",
    b"event: odd_error\ndata: {}\n\n",
    b'data: {"type":["x"],"choices":[3,{"delta":[]}],"candidates":{},"response":7,"usage":[]}\n\n',
    b"data: [1]\n\n",
    b'data: {"model":"late","modelVersion":"late","usageMetadata":{"promptTokenCount":99}}\n\n',
]


@given(st.data())
def test_the_chunks_do_not_matter(data: st.DataObject) -> None:
    protocol = data.draw(st.sampled_from(list(STREAMS)))
    known = [*STREAMS[protocol][0], ERRORS[protocol], *ODD]
    raw = b"".join(data.draw(st.lists(st.sampled_from(known), max_size=8)))
    if data.draw(st.booleans()):
        raw = raw.replace(b"\n", b"\r\n")
    expected = outcome(listen(protocol, raw))
    assert outcome(listen(protocol, *cut(raw, data.draw(st.lists(st.integers(0, 10_000)))))) == expected
    assert outcome(listen(protocol, *(raw[i : i + 1] for i in range(len(raw))))) == expected


@given(st.binary(), st.sampled_from(list(Protocol)), st.lists(st.integers(0, 1000)))
def test_garbage_is_never_trouble(raw: bytes, protocol: Protocol, places: list[int]) -> None:
    observer = listen(protocol, *cut(raw, places), b'data: {"type":' + raw)
    observer.end()
    assert isinstance(observer.observation, Observation)
    for operation in Operation:
        assert isinstance(observe_body(protocol, operation, raw), Observation)


@pytest.mark.parametrize(
    ("protocol", "event", "meaningful"),
    [
        (M, typed("ping"), False),
        (M, START, False),
        (M, TEXT, False),
        (M, typed("content_block_start", content_block={"type": "text", "text": "x"}), True),
        (M, typed("content_block_start", content_block={"type": "thinking", "thinking": ""}), True),
        (M, typed("content_block_start", content_block={"type": "tool_use", "name": "f"}), True),
        (M, typed("content_block_delta", delta={"type": "text_delta", "text": ""}), False),
        (M, WORD, True),
        (M, typed("content_block_delta", delta={"type": "thinking_delta", "thinking": ""}), True),
        (M, STOP, True),
        (M, typed("message_delta", delta={"stop_reason": None}), False),
        (M, typed("message_stop"), True),
        (M, ERRORS[M], False),
        (C, delta(role="assistant", content=""), False),
        (C, delta(role="assistant", content=None, tool_calls=[], refusal=None), False),
        (C, plain(choices=[], prompt_filter_results=[{}]), False),
        (C, delta(content="x"), True),
        (C, delta(reasoning_content="x"), True),
        (C, delta(tool_calls=[{"index": 0}]), True),
        (C, plain(choices=[{"text": "x"}]), True),
        (C, delta("length"), True),
        (C, b"data: [DONE]\n\n", True),
        (C, b": OPENROUTER PROCESSING\n\n", False),
        (C, ERRORS[C], False),
        (C, plain(error={"message": "x"}, choices=[{"delta": {"content": ""}, "finish_reason": "error"}]), False),
        (R, CREATED, False),
        (R, typed("response.in_progress", response={}), False),
        (R, typed("response.queued", response={}), False),
        (R, typed("keepalive"), False),
        (R, typed("codex.rate_limits"), False),
        (R, typed("response.output_item.added", item={"type": "message", "content": []}), False),
        (R, typed("response.content_part.added", part={"type": "output_text", "text": ""}), False),
        (R, typed("response.content_part.added", part={"type": "output_text", "text": "x"}), True),
        (R, typed("response.output_item.added", item={"type": "function_call"}), True),
        (R, typed("response.output_item.added", item={"type": "reasoning"}), True),
        (R, OUT, True),
        (R, COMPLETED, True),
        (R, typed("response.incomplete", response={"status": "incomplete"}), True),
        (R, typed("response.failed", response={"error": {"code": "x"}}), False),
        (R, ERRORS[R], False),
        (G, said(""), False),
        (G, said(usageMetadata={"promptTokenCount": 1}), False),
        (G, said("x"), True),
        (G, plain(candidates=[{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]), True),
        (G, plain(candidates=[{"content": {"parts": [{"thought": True, "text": ""}]}}]), False),
        (G, plain(candidates=[{"content": {"parts": [{"thought": True, "text": "hm"}]}}]), True),
        (G, said(None, "MAX_TOKENS"), True),
        (G, plain(promptFeedback={"blockReason": "SAFETY"}), True),
        (G, ERRORS[G], False),
        (IM, typed("image_generation.partial_image"), True),
        (IM, typed("image_edit.completed"), True),
        (IM, typed("other"), False),
    ],
)
def test_what_is_meaningful(protocol: Protocol, event: bytes, meaningful: bool) -> None:
    assert listen(protocol, event).meaningful is meaningful


@pytest.mark.parametrize(
    ("protocol", "event"),
    [
        (M, typed("message_stop")),
        (C, b"data: [DONE]\n\n"),
        (C, delta("tool_calls")),
        (R, COMPLETED),
        (R, typed("response.incomplete", response={"incomplete_details": {"reason": "max_output_tokens"}})),
        (R, typed("response.failed", response={"error": {"code": "x"}})),
        (G, said(None, "SAFETY")),
        (G, said(None, 1)),
        (G, plain(promptFeedback={"blockReason": "OTHER"})),
        (IM, typed("image_generation.completed")),
        (IM, typed("image_edit.completed")),
    ],
)
def test_the_proper_end(protocol: Protocol, event: bytes) -> None:
    events = STREAMS[protocol][0]
    assert not listen(protocol, *events[:2]).terminal or protocol is IM
    assert listen(protocol, event).terminal


@pytest.mark.parametrize("protocol", STREAMS)
def test_errors_in_the_stream(protocol: Protocol) -> None:
    payload = ERRORS[protocol].split(b"data: ")[1].strip()
    first = listen(protocol, ERRORS[protocol])
    assert (first.error, first.meaningful, first.terminal) == (payload, False, False)
    later = listen(protocol, STREAMS[protocol][0][0], ERRORS[protocol], *STREAMS[protocol][0])
    assert later.error == payload
    assert not later.terminal
    ours = listen(protocol, STREAMS[protocol][0][0], render_stream_error(protocol, kind="api_error", message="m"))
    assert ours.error is not None
    # An error that is not JSON is one by its name.
    assert listen(protocol, b"event: error\ndata: overloaded\n\n").error == b"overloaded"
    # After content as well, where most events are not parsed.
    talking = listen(protocol, STREAMS[protocol][0][1], b"event: error\ndata: overloaded\n\n")
    assert talking.error == b"overloaded"


def test_nothing_counts_after_an_error() -> None:
    events = [said("b"), ERRORS[G], said("a", usageMetadata={"promptTokenCount": 7})]
    assert outcome(listen(G, *events)) == outcome(listen(G, b"".join(events)))
    assert listen(G, *events).observation.usage == Usage()


def test_a_failed_response() -> None:
    failed = typed("response.failed", response={"id": "r", "status": "failed", "error": {"code": "insufficient_quota"}})
    observer = listen(R, CREATED, failed)
    assert (observer.meaningful, observer.terminal) == (False, True)
    assert observer.error is not None
    assert b"insufficient_quota" in observer.error
    assert listen(R, CREATED, OUT, failed).meaningful


def test_where_a_responses_stream_was() -> None:
    observer = listen(R, CREATED)
    assert (observer.response_id, observer.next_sequence_number) == ("resp_1", 1)
    observer.feed(OUT)
    assert observer.next_sequence_number == 5
    assert listen(R, b"").next_sequence_number == 0


def test_usage_of_a_cut_gemini_stream_is_the_last_seen() -> None:
    chunks = [said(c, usageMetadata={"promptTokenCount": 7, "candidatesTokenCount": n}) for n, c in enumerate("abc")]
    observer = listen(G, *chunks)
    assert observer.observation == Observation(Usage(7, 2), None, "gemini-x")
    assert not observer.terminal
    assert listen(G, b"".join(chunks)).observation == observer.observation


def test_a_gemini_array() -> None:
    elements = [json.loads(event.removeprefix(b"data: ")) for event in STREAMS[G][0]]
    raw = json.dumps(elements, indent=1).encode()
    expected = outcome(listen(G, *STREAMS[G][0]))
    assert outcome(listen(G, raw)) == expected
    assert outcome(listen(G, *(raw[i : i + 1] for i in range(len(raw))))) == expected
    assert observe_body(G, Operation.GENERATE, raw) == STREAMS[G][1]
    assert listen(G, b'[{"error": {"code": 400}}]').error == b'{"error": {"code": 400}}'


def test_lone_surrogates_do_not_deafen() -> None:
    assert listen(C, b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n').meaningful


@pytest.mark.parametrize("protocol", STREAMS)
def test_the_end_may_lack_its_blank_line(protocol: Protocol) -> None:
    events = STREAMS[protocol][0]
    observer = listen(protocol, *events[:-1], events[-1].rstrip(b"\n"))
    observer.end()
    assert outcome(observer) == outcome(listen(protocol, *events))
    observer.end()


def test_an_answer_that_is_no_stream() -> None:
    observer = listen(C, b'{"error": {"message"', b': "no streams here"}}')
    assert outcome(observer)[2] is None
    observer.end()
    assert observer.error == b'{"error": {"message": "no streams here"}}'
    silent = listen(C, b"\n")
    silent.end()
    assert not silent.meaningful


@pytest.mark.parametrize("start", [b"data: ", b'[{"a":"'])
def test_an_endless_event_is_given_up(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "MAX_OBSERVED", 1000)
    observer = listen(G, start, b"x" * 2000, b"x" * 2000, *STREAMS[G][0])
    observer.end()
    assert (observer.meaningful, observer.terminal, observer.error) == (True, True, None)
    assert observer.observation == Observation()


@pytest.mark.parametrize(
    ("protocol", "operation", "body", "expected"),
    [
        (
            M,
            Operation.GENERATE,
            {
                "model": "claude-x",
                "stop_reason": "tool_use",
                "content": [],
                "usage": {
                    "input_tokens": 3,
                    "cache_creation_input_tokens": 5,
                    "cache_read_input_tokens": 7,
                    "output_tokens": 11,
                    "output_tokens_details": {"thinking_tokens": 2},
                },
            },
            Observation(Usage(15, 11, 7, 5, 2), "tool_use", "claude-x"),
        ),
        (
            C,
            Operation.GENERATE,
            {
                "model": "gpt-x",
                "choices": [{"finish_reason": "length"}],
                "usage": {
                    "prompt_tokens": 3,
                    "completion_tokens": 4,
                    "total_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
                    "completion_tokens_details": {"reasoning_tokens": 1},
                },
            },
            Observation(Usage(3, 4, 2, 1, 1), "length", "gpt-x"),
        ),
        # xAI: reasoning is in the total only.
        (
            C,
            Operation.GENERATE,
            {"usage": {"prompt_tokens": 307, "completion_tokens": 26, "total_tokens": 588}},
            Observation(Usage(307, 281)),
        ),
        (
            C,
            Operation.GENERATE,
            {"usage": {"prompt_tokens": 8, "completion_tokens": 2, "prompt_cache_hit_tokens": 6}},
            Observation(Usage(8, 2, 6)),
        ),
        (
            C,
            Operation.GENERATE,
            {"usage": {"prompt_tokens": 8.0, "completion_tokens": True, "cached_tokens": -1}},
            Observation(Usage(8)),
        ),
        (
            R,
            Operation.GENERATE,
            {
                "model": "gpt-x",
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "usage": {"input_tokens": 3, "output_tokens": 4},
            },
            Observation(Usage(3, 4), "max_output_tokens", "gpt-x"),
        ),
        (R, Operation.COUNT_TOKENS, {"object": "response.input_tokens", "input_tokens": 11}, Observation(Usage(11))),
        (M, Operation.COUNT_TOKENS, {"input_tokens": 12}, Observation(Usage(12))),
        (G, Operation.COUNT_TOKENS, {"totalTokens": 13, "cachedContentTokenCount": 5}, Observation(Usage(13, None, 5))),
        (
            G,
            Operation.GENERATE,
            {
                "candidates": [{"finishReason": "STOP"}],
                "modelVersion": "gemini-x",
                "usageMetadata": {**COUNTS, "toolUsePromptTokenCount": 100},
            },
            Observation(Usage(107, 5, 4, None, 2), "STOP", "gemini-x"),
        ),
        (G, Operation.GENERATE, {"promptFeedback": {"blockReason": "SAFETY"}}, Observation(finish="SAFETY")),
        (
            Protocol.EMBEDDINGS,
            Operation.EMBED,
            {"model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}},
            Observation(Usage(8), None, "e"),
        ),
        (
            IM,
            Operation.EDIT,
            {"data": [{"b64_json": "x"}], "usage": {"input_tokens": 8, "output_tokens": 9}},
            Observation(Usage(8, 9)),
        ),
        (M, Operation.GENERATE, [1], Observation()),
        (M, Operation.COUNT_TOKENS, None, Observation()),
    ],
)
def test_whole_answers(protocol: Protocol, operation: Operation, body: object, expected: Observation) -> None:
    assert observe_body(protocol, operation, json.dumps(body).encode()) == expected


def test_zeros_do_not_hide_what_was_known() -> None:
    late = typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": 0, "output_tokens": 5})
    assert listen(M, START, WORD, late).observation.usage == Usage(210, 5, 200)
    early = typed("message_start", message={"usage": {"input_tokens": 0, "output_tokens": 0}})
    assert listen(M, early, WORD, STOP).observation.usage == Usage(10, 42)


@pytest.mark.parametrize(
    ("protocol", "body", "failed"),
    [
        (M, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, True),
        (M, {"type": "message", "content": [], "error": None}, False),
        (C, {"error": {"message": "x", "code": 502}}, True),
        (C, {"choices": [], "error": "x"}, True),
        (C, {"choices": [{"index": 0}], "error": {"message": "of one choice"}}, False),
        (R, {"status": "failed", "error": {"code": "server_error"}, "output": []}, True),
        (R, {"status": "completed", "error": None, "output": []}, False),
        (G, {"error": {"code": 503, "status": "UNAVAILABLE"}}, True),
        (G, {"candidates": [{"index": 0}]}, False),
        (IM, {"error": {"message": "x"}}, True),
        (IM, {"data": []}, False),
    ],
)
def test_an_error_in_place_of_an_answer(protocol: Protocol, body: dict[str, object], failed: bool) -> None:
    assert observe_body(protocol, Operation.GENERATE, json.dumps(body).encode()).failed is failed


def test_a_stream_is_over_at_its_very_last_event_only() -> None:
    observer = StreamObserver(C)
    for event, over in ((delta(content="hi"), False), (delta("stop"), False), (b"data: [DONE]\n\n", True)):
        observer.feed(event)
        assert observer.over is over
    observer = StreamObserver(M)
    observer.feed(typed("message_delta", delta={"stop_reason": "end_turn"}))
    assert not observer.over
    observer.feed(typed("message_stop"))
    assert observer.over


def test_a_stream_that_was_given_up_is_not_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "MAX_OBSERVED", 100)
    observer = StreamObserver(M)
    observer.feed(b"data: " + b"x" * 200)
    assert observer.terminal
    assert not observer.over
