"""A stream that breaks off half told, and another upstream that goes on with it: through the real proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ccx.errors import GatewayError
from ccx.routing.decide import Choice
from ccx.runtime.limits import Limiter, cost_of
from ccx.telemetry.lines import Clock, json_line, text_line
from ccx.telemetry.metrics import Metrics
from tests.faults import Action, FaultUpstream, Peer, Received, Reply, Stall
from tests.gateway import Running, running
from tests.runtime.streams import Pieces
from tests.telemetry.test_metrics import read

MODEL = "claude-sonnet-4-5"
NEWER = "claude-opus-5"
USER = {"role": "user", "content": "tell"}
BUSY = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "messages": ("/v1/messages", {"model": MODEL, "max_tokens": 500, "messages": [USER], "stream": True}),
    "chat": (
        "/v1/chat/completions",
        {"model": MODEL, "messages": [USER], "stream": True, "stream_options": {"include_usage": True}},
    ),
    "responses": ("/v1/responses", {"model": MODEL, "input": "tell", "stream": True}),
    "gemini": (f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "tell"}]}]}),
}


def sse(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def messages(*words: str, ident: str = "msg_a", before: Sequence[bytes] = (), whole: bool = True) -> list[bytes]:
    """A stream of Messages that says these words."""
    usage = {"input_tokens": 10, "output_tokens": 1}
    index = len(before) and 1
    start = {"id": ident, "type": "message", "role": "assistant", "model": ident, "content": [], "usage": usage}
    found = [sse("message_start", message=start), *before]
    found.append(sse("content_block_start", index=index, content_block={"type": "text", "text": ""}))
    found += [sse("content_block_delta", index=index, delta={"type": "text_delta", "text": w}) for w in words]
    if whole:
        found.append(sse("content_block_stop", index=index))
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        found.append(sse("message_delta", delta=delta, usage={"output_tokens": 7}))
        found.append(sse("message_stop"))
    return found


def chat(*words: str, ident: str = "chat_a", whole: bool = True) -> list[bytes]:
    """A stream of Chat that says these words."""

    def chunk(choices: list[Any], **more: Any) -> bytes:
        body = {"id": ident, "object": "chat.completion.chunk", "created": 1, "model": ident, "choices": choices}
        return b"data: " + json.dumps(body | more).encode() + b"\n\n"

    said = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
    found = [chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in said]
    if whole:
        found.append(chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
        usage = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
        found += [chunk([], usage=usage), b"data: [DONE]\n\n"]
    return found


def gemini(*words: str, ident: str = "gem_a", whole: bool = True) -> list[bytes]:
    """A stream of Gemini that says these words."""

    def chunk(text: str, **more: Any) -> bytes:
        candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0, **more}
        body = {"responseId": ident, "modelVersion": ident, "candidates": [candidate]}
        if more:
            body["usageMetadata"] = {"promptTokenCount": 20, "candidatesTokenCount": 9, "totalTokenCount": 29}
        return b"data: " + json.dumps(body).encode() + b"\n\n"

    found = [chunk(word) for word in words]
    return [*found, chunk("", finishReason="STOP")] if whole else found


SPEAKS = {"messages": messages, "chat": chat, "gemini": gemini}


@contextlib.asynccontextmanager
async def served(
    first: Sequence[Action],
    second: Sequence[Action],
    folder: Path,
    *,
    one: str = "messages",
    other: str = "messages",
    failover: str = "",
    declared: str = "continue",
    limits: str = "",
    to: str = "[first, second]",
    more: str = "",
    route: str = "",
) -> AsyncIterator[tuple[Running, FaultUpstream, FaultUpstream]]:
    """A gateway before two upstreams that speak `one` and `other`."""
    async with FaultUpstream(first) as here, FaultUpstream(second) as there:
        times = "timeouts: {idle: 150ms, first_byte: 500ms}"
        text = f"""
        version: ccx/v1
        channels:
          first: {{protocol: {one}, base_url: {here.url}, keys: none{limits}, {times}}}
          second: {{protocol: {other}, base_url: {there.url}, keys: none{limits}, {times}}}
        routes:
          - name: all
            to: {to}
            failover: {{midstream: {declared}, attempts: 3, backoff: {{initial: 1ms, max: 2ms}}{failover}}}
            {route}
        {more}
        """
        async with running(text, folder) as gw:
            yield gw, here, there


async def ask(gw: Running, front: str = "messages", **fields: Any) -> httpx.Response:
    path, body = ASKS[front]
    return await gw.client.post(path, json=body | fields)


def data(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream that are JSON."""
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def text_of(answer: httpx.Response, front: str) -> str:
    """The text of a stream, with all that makes one answer of it checked."""
    found = data(answer)
    match front:
        case "messages":
            kinds = [event["type"] for event in found if event["type"] != "ping"]
            assert kinds[0] == "message_start"
            assert kinds[-2:] == ["message_delta", "message_stop"]
            assert kinds.count("message_start") == kinds.count("message_stop") == 1
            assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1
            deltas = [event for event in found if event["type"] == "content_block_delta"]
            assert {event["index"] for event in deltas} == {0}
            return "".join(event["delta"]["text"] for event in deltas)
        case "chat":
            assert answer.text.endswith("data: [DONE]\n\n")
            assert len({(event["id"], event["model"]) for event in found}) == 1
            choices = [choice for event in found for choice in event["choices"]]
            assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
            assert sum("role" in choice["delta"] for choice in choices) == 1
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        case "responses":
            assert [event["sequence_number"] for event in found] == list(range(len(found)))
            assert [event["type"] for event in found].count("response.created") == 1
            said = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
            (item,) = found[-1]["response"]["output"]
            assert item["content"][0]["text"] == said
            return said
        case _:
            assert len({event["responseId"] for event in found}) == 1
            parts = [part for event in found for one in event["candidates"] for part in one["content"]["parts"]]
            assert found[-1]["candidates"][0]["finishReason"] == "STOP"
            return "".join(part["text"] for part in parts)


def outcomes(exchange: Any) -> list[tuple[str, str]]:
    return [(attempt.channel, attempt.outcome) for attempt in exchange.attempts]


# --- every front before every upstream --------------------------------------------------------------------------------


PAIRS = [("messages", "chat"), ("chat", "gemini"), ("gemini", "messages")]
OWN = [(front, front, front) for front in ("messages", "chat", "gemini")]


@pytest.mark.parametrize(
    ("front", "one", "other"), [*((front, *pair) for front in ASKS for pair in PAIRS), *OWN], ids="-".join
)
async def test_the_client_gets_one_answer_of_two(front: str, one: str, other: str, tmp_path: Path) -> None:
    first = Pieces(SPEAKS[one]("The sky ", "is blue", whole=False), cut=True)
    second = Pieces(SPEAKS[other](" and the", " sea is too.", ident="other"))
    async with served([first], [second], tmp_path, one=one, other=other) as (gw, _, there):
        answer = await ask(gw, front)
        assert answer.status_code == 200
        assert text_of(answer, front) == "The sky is blue and the sea is too."
        assert "other" not in answer.text.replace("another", "")
        exchange = await gw.exchange()
        assert outcomes(exchange) == [("first", "server_error"), ("second", "ok")]
        assert (exchange.status, exchange.error_kind, exchange.continued) == (200, None, 1)
        assert exchange.continuations == (("second", "ok"),)
        assert "The sky is blue" in there.requests[0].body.decode()
        assert gw.gateway.state.inflight("first") == gw.gateway.state.inflight("second") == 0
        assert not gw.troubles


async def test_responses_that_were_passed_through_are_not_continued(tmp_path: Path) -> None:
    start = {"id": "resp_x", "object": "response", "status": "in_progress", "output": []}
    events = [
        sse("response.created", sequence_number=0, response=start),
        sse("response.output_text.delta", sequence_number=1, item_id="m", output_index=0, content_index=0, delta="a"),
    ]
    async with served([Pieces(events, cut=True)], [Pieces(chat("b"))], tmp_path, one="responses", other="chat") as (
        gw,
        _,
        there,
    ):
        answer = await ask(gw, "responses")
        assert data(answer)[-1]["type"] == "response.failed"
        assert not there.requests
        assert (await gw.exchange()).continuations == (("first", "given_up"),)


async def test_a_continued_response_can_be_gone_on_from(tmp_path: Path) -> None:
    first = Pieces(chat("One, ", "two", whole=False), cut=True)
    script = [Pieces(chat(", three.")), Pieces(chat("Four."))]
    async with served([first, Pieces(chat("Four."))], script, tmp_path, one="chat", other="chat") as (gw, here, _):
        answer = await ask(gw, "responses")
        kept = data(answer)[-1]["response"]["id"]
        await ask(gw, "responses", input="more", previous_response_id=kept)
        said = [message["content"] for message in json.loads(here.requests[1].body)["messages"]]
        assert said == ["tell", "One, two, three.", "more"]


# --- what is asked ----------------------------------------------------------------------------------------------------


async def test_what_takes_a_prefill_gets_one(tmp_path: Path) -> None:
    first = Pieces(messages("The sky is ", whole=False), cut=True)
    async with served([first], [Pieces(messages(" blue."))], tmp_path) as (gw, _, there):
        answer = await ask(gw)
        assert text_of(answer, "messages") == "The sky is blue."
        sent = json.loads(there.requests[0].body)
        assert sent["messages"] == [USER, {"role": "assistant", "content": "The sky is"}]
        assert sent["max_tokens"] == 500 - len("The sky is ") // 4


@pytest.mark.parametrize(
    "fields", [{"model": NEWER}, {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 1026}]
)
async def test_what_takes_none_is_asked_to_go_on(fields: dict[str, Any], tmp_path: Path) -> None:
    first = Pieces(messages("The sky is ", whole=False), cut=True)
    async with served([first], [Pieces(messages("blue."))], tmp_path) as (gw, _, there):
        assert text_of(await ask(gw, **fields), "messages") == "The sky is blue."
        sent = json.loads(there.requests[0].body)
        assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
        assert "cut off" in sent["messages"][2]["content"]
        assert sent["max_tokens"] > sent.get("thinking", {}).get("budget_tokens", 0)


async def test_the_routes_own_changes_stay_and_come_once(tmp_path: Path) -> None:
    first = Pieces(messages("The sky is ", whole=False), cut=True)
    policy = "request: {cap: {max_output_tokens: 40}, set: {top_k: 5}, system: {prefix: 'Be brief. '}}"
    async with served([first], [Pieces(messages("blue."))], tmp_path, route=policy) as (gw, _, there):
        await ask(gw, system="Rhyme.")
        sent = json.loads(there.requests[0].body)
        assert (sent["system"], sent["top_k"], sent["max_tokens"]) == ("Be brief. \n\nRhyme.", 5, 38)


async def test_what_the_model_says_again_is_trimmed(tmp_path: Path) -> None:
    told = "The quick brown fox jumps over"
    first = Pieces(messages(told, whole=False), cut=True)
    again = Pieces(messages("brown fox ju", "mps over the lazy dog."))
    async with served([first], [again], tmp_path) as (gw, _, _there):
        assert text_of(await ask(gw), "messages") == "The quick brown fox jumps over the lazy dog."


# --- how it breaks ----------------------------------------------------------------------------------------------------


async def test_a_stall(tmp_path: Path) -> None:
    first = Pieces(messages("a b ", whole=False), stall=True)
    async with served([first], [Pieces(messages("c."))], tmp_path, failover=", deadline: 140ms") as (gw, here, _):
        assert text_of(await ask(gw), "messages") == "a b c."
        assert outcomes(await gw.exchange()) == [("first", "timeout"), ("second", "ok")]
        await here.all_closed()


@pytest.mark.parametrize("front", ["messages", "chat"])
async def test_an_error_in_the_stream(front: str, tmp_path: Path) -> None:
    first = Pieces([b"".join([*messages("a b ", whole=False), BUSY])])
    async with served([first], [Pieces(messages("c."))], tmp_path) as (gw, _, _there):
        assert text_of(await ask(gw, front), front) == "a b c."
        assert outcomes(await gw.exchange()) == [("first", "overloaded"), ("second", "ok")]


async def test_an_error_in_the_stream_whose_class_is_not_declared(tmp_path: Path) -> None:
    first = Pieces([*messages("a b ", whole=False), BUSY])
    async with served([first], [Pieces(messages("c."))], tmp_path, failover=", on: [server_error]") as (gw, _, there):
        answer = await ask(gw)
        assert answer.content == b"".join([*messages("a b ", whole=False), BUSY])
        assert not there.requests
        assert (await gw.exchange()).error_kind == "upstream_stream_error"


async def test_the_text_had_ended(tmp_path: Path) -> None:
    first = [*messages("a b.", whole=False), sse("content_block_stop", index=0)]
    async with served([Pieces(first, cut=True)], [Pieces(messages(" c."))], tmp_path) as (gw, _, _there):
        found = data(await ask(gw))
        starts = [event["index"] for event in found if event["type"] == "content_block_start"]
        assert starts == [0, 1]
        assert "".join(e["delta"]["text"] for e in found if e["type"] == "content_block_delta") == "a b. c."


async def test_thoughts_that_were_whole_stay_and_new_ones_are_not_told(tmp_path: Path) -> None:
    thought = [
        sse("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
        sse("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
        sse("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s1"}),
        sse("content_block_stop", index=0),
    ]
    first = Pieces(messages("a b ", before=thought, whole=False), cut=True)
    async with served([first], [Pieces(messages("c.", before=thought))], tmp_path) as (gw, _, _there):
        found = data(await ask(gw, model=NEWER))
        deltas = [event for event in found if event["type"] == "content_block_delta"]
        assert [(e["index"], e["delta"].get("text")) for e in deltas] == [(0, None), (0, None), (1, "a b "), (1, "c.")]
        assert (await gw.exchange()).losses == ("reasoning_of_continuation",)


CALL = [
    sse("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "look", "input": {}}),
    sse("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a"'}),
]
THINKS = [
    sse("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    sse("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
]


@pytest.mark.parametrize("begun", [CALL, THINKS])
async def test_a_call_or_a_thought_under_way_is_not_continued(begun: list[bytes], tmp_path: Path) -> None:
    first = Pieces([messages(whole=False)[0], *begun], cut=True)
    async with served([first], [Pieces(messages("c."))], tmp_path) as (gw, _, there):
        found = data(await ask(gw))
        assert found[-1]["type"] == "error"
        assert not there.requests
        exchange = await gw.exchange()
        assert (exchange.error_kind, exchange.continued) == ("upstream_cut", 0)
        assert outcomes(exchange) == [("first", "server_error")]


@pytest.mark.parametrize(
    ("front", "fields"),
    [
        ("chat", {"n": 2}),
        ("chat", {"response_format": {"type": "json_object"}}),
        ("messages", {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
        ("messages", {"messages": [USER, {"role": "assistant", "content": "Well,"}]}),
    ],
)
async def test_what_is_asked_for_may_forbid_it(front: str, fields: dict[str, Any], tmp_path: Path) -> None:
    first = Pieces(SPEAKS[front]("a b ", whole=False), cut=True)
    async with served([first], [Pieces(SPEAKS[front]("c."))], tmp_path, one=front, other=front) as (gw, _, there):
        answer = await ask(gw, front, **fields)
        assert "error" in data(answer)[-1]
        assert not there.requests


async def test_more_than_is_kept_is_not_continued(tmp_path: Path) -> None:
    first = Pieces(messages(*["x" * 1024] * 260, whole=False), cut=True)
    async with served([first], [Pieces(messages("c."))], tmp_path) as (gw, _, there):
        assert data(await ask(gw))[-1]["type"] == "error"
        assert not there.requests


async def test_without_the_declaration_it_ends_in_its_error(tmp_path: Path) -> None:
    first = Pieces([*messages("a b ", whole=False), BUSY])
    async with served([first], [Pieces(messages("c."))], tmp_path, declared="error") as (gw, _, there):
        assert (await ask(gw)).content.endswith(BUSY)
        assert not there.requests
        assert (await gw.exchange()).continuations == ()


# --- and what follows -------------------------------------------------------------------------------------------------


async def test_the_second_breaks_too_and_a_third_ends_it(tmp_path: Path) -> None:
    first = [Pieces(messages("a ", whole=False), cut=True), Pieces(messages("c."))]
    second = [Pieces(messages("b ", whole=False), cut=True)]
    async with served(first, second, tmp_path) as (gw, here, _):
        assert text_of(await ask(gw), "messages") == "a b c."
        exchange = await gw.exchange()
        assert outcomes(exchange) == [("first", "server_error"), ("second", "server_error"), ("first", "ok")]
        assert exchange.continuations == (("second", "broken"), ("first", "ok"))
        assert json.loads(here.requests[1].body)["messages"][-1]["content"] == "a b"


@pytest.mark.parametrize("front", ["messages", "chat"])
async def test_no_attempt_is_left(front: str, tmp_path: Path) -> None:
    cut = Pieces(SPEAKS[front]("a ", whole=False), cut=True)
    async with served([cut], [cut], tmp_path, one=front, other=front) as (gw, _, _there):
        answer = await ask(gw, front)
        found = data(answer)
        assert "broke off" in found[-1]["error"]["message"]
        assert answer.text.count('"error"') >= 1
        exchange = await gw.exchange()
        assert len(exchange.attempts) == 3
        assert exchange.error_kind == "upstream_cut"
        assert exchange.continuations == (("second", "broken"), ("first", "broken"), ("first", "given_up"))


async def test_nobody_answers_and_the_first_error_is_told(tmp_path: Path) -> None:
    first = Pieces([*messages("a ", whole=False), BUSY])
    bad = Reply(400, headers={"content-type": "application/json"}, body=b'{"error":{"message":"no"}}')
    async with served([first], [bad], tmp_path) as (gw, _, _there):
        answer = await ask(gw)
        assert answer.content == b"".join([*messages("a ", whole=False), BUSY])
        exchange = await gw.exchange()
        assert outcomes(exchange) == [("first", "overloaded"), ("second", "bad_request")]
        assert exchange.continuations == (("second", "failed"), ("first", "given_up"))


async def test_an_upstream_that_does_not_stream_may_go_on(tmp_path: Path) -> None:
    body = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "c."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    whole = Reply(200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())
    first = Pieces(messages("a b ", whole=False), cut=True)
    async with served([first], [whole], tmp_path) as (gw, _, _there):
        assert text_of(await ask(gw), "messages") == "a b c."


async def test_a_client_that_leaves_ends_it(tmp_path: Path) -> None:
    first = Pieces(messages("a b ", whole=False), cut=True)
    async with served([first], [Stall()], tmp_path) as (gw, _, there):
        path, body = ASKS["messages"]
        async with gw.client.stream("POST", path, json=body) as answer:
            assert b"a b " in await anext(answer.aiter_bytes())
            while not there.requests:
                await asyncio.sleep(0.002)
        exchange = await gw.exchange()
        assert exchange.status == 499
        assert outcomes(exchange) == [("first", "server_error"), ("second", "cancelled")]
        assert exchange.continuations == ()
        await there.all_closed()
        assert gw.gateway.state.inflight("second") == 0


# --- the books --------------------------------------------------------------------------------------------------------


async def test_both_calls_are_paid_for(tmp_path: Path) -> None:
    words = "word " * 80
    first = Pieces(messages(words, whole=False), cut=True)
    async with served([first], [Pieces(messages("end."))], tmp_path) as (gw, _, _there):
        found = data(await ask(gw))
        exchange = await gw.exchange()
        assert [(s.channel, s.input_tokens, s.output_tokens) for s in exchange.spent] == [
            ("first", 10, 100),
            ("second", 10, 7),
        ]
        assert (exchange.input_tokens, exchange.output_tokens) == (20, 107)
        assert found[-2]["usage"]["output_tokens"] == 107
        assert found[-2]["usage"]["input_tokens"] == 20


async def test_limits_of_channels_are_charged_apart(tmp_path: Path) -> None:
    first = Pieces(messages("word " * 80, whole=False), cut=True)
    limits = ", limits: {output_tokens: 10000/day}"
    async with served([first], [Pieces(messages("end."))], tmp_path, limits=limits) as (gw, _, _there):
        await ask(gw)
        await gw.exchange()
        channels, used = gw.gateway.live.metering.channels, {}
        for name, metered in channels.items():
            (use,) = await gw.gateway.meters.standing(metered.output, now=time.time())
            used[name] = round(use.used)
        assert used == {"first": pytest.approx(100, abs=2), "second": pytest.approx(7, abs=2)}  # it runs off


async def test_each_call_is_paid_at_its_own_price(tmp_path: Path) -> None:
    first = Pieces(messages("word " * 80, whole=False), cut=True)
    dear = (
        f"models: {{{MODEL}: {{price: {{input: 1000, output: 2000}}}}, cheap: {{price: {{input: 0, output: 1000}}}}}}"
    )
    to = "[first, {channel: second, model: cheap}]"
    async with served([first], [Pieces(messages("end."))], tmp_path, to=to, more=dear) as (gw, _, _there):
        await ask(gw)
        cost = cost_of(await gw.exchange(), gw.gateway.live.prices)
        assert cost == (10 * Decimal(1000) + 100 * Decimal(2000) + 7 * Decimal(1000)) / 1_000_000


async def test_it_is_counted_and_logged(tmp_path: Path) -> None:
    first = Pieces(messages("a b ", whole=False), cut=True)
    async with served([first], [Pieces(messages("c."))], tmp_path) as (gw, _, _there):
        await ask(gw)
        exchange = await gw.exchange()
        metrics = Metrics()
        metrics.observe(exchange)
        assert read(metrics).value("ccx_continuations_total", channel="second", result="ok") == 1
        line = json.loads(json_line(exchange, Clock()))
        assert (line["continued"], line["error"], line["tokens"]["out"]) == (1, None, 8)
        assert b"continued 1" in text_line(exchange, Clock(), colour=False)


async def test_an_answer_of_two_is_not_kept(tmp_path: Path) -> None:
    first = Pieces(messages("a b ", whole=False), cut=True)
    route = "cache: {ttl: 1h, when: any, scope: shared}"
    script = [Pieces(messages("c.")), Pieces(messages("d."))]
    async with served([first], script, tmp_path, route=route) as (gw, _, there):
        assert text_of(await ask(gw), "messages") == "a b c."
        assert text_of(await ask(gw), "messages") == "a b d."
        assert len(there.requests) == 2


async def test_what_goes_wrong_here_while_it_is_continued_is_not_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = Limiter.enter

    async def closed(self: Limiter, choice: Choice, key: int | None) -> Any:
        if choice.channel.name == "second":
            raise GatewayError(503, "overloaded", "the store of limits is gone")
        return await enter(self, choice, key)

    monkeypatch.setattr(Limiter, "enter", closed)
    monkeypatch.setattr(Limiter, "limits_targets", True)
    first = Pieces(messages("a ", whole=False), cut=True)
    async with served([first], [Pieces(messages("b"))], tmp_path) as (gw, _, _there):
        answer = await ask(gw)
        assert answer.status_code == 200
        assert answer.text.count("event: error") == 1
        assert "broke off" in answer.text
        assert (await gw.exchange()).error_kind == "upstream_cut"
        assert not gw.troubles


@dataclass(frozen=True)
class Held:
    """An answer that waits for its sign."""

    sign: asyncio.Event
    answer: Pieces

    async def play(self, peer: Peer, request: Received) -> bool:
        await self.sign.wait()
        return await self.answer.play(peer, request)


async def test_who_was_put_off_at_its_limit_is_asked_for_the_rest(tmp_path: Path) -> None:
    free = asyncio.Event()
    first = Pieces(messages("a b ", whole=False), cut=True)
    second = [Held(free, Pieces(messages("x"))), Pieces(messages("c."))]
    limits = ", limits: {concurrency: 1}, queue: {size: 4, wait: 5s}"
    async with served([first], second, tmp_path, to="[second, first]", limits=limits) as (gw, here, there):
        gw.rewrite(gw.path.read_text().replace("first_byte: 500ms", "first_byte: 5s"))
        await gw.reconciler.reconcile("test")
        other = asyncio.create_task(ask(gw))
        while not there.requests:
            await asyncio.sleep(0.002)
        asking = asyncio.create_task(ask(gw))
        while not (here.requests and here.opened == here.closed):
            await asyncio.sleep(0.002)
        free.set()
        assert text_of(await asking, "messages") == "a b c."
        assert text_of(await other, "messages") == "x"
        assert json.loads(there.requests[1].body)["messages"][1]["content"] == "a b"


async def test_a_winner_of_two_that_breaks_off_is_continued(tmp_path: Path) -> None:
    first = [Stall()]
    second = [Pieces(messages("a ", whole=False), cut=True), Pieces(messages("b."))]
    hedge = ", hedge: {after: 20ms, share: 100%}"
    async with served(first, second, tmp_path, failover=hedge, limits=", limits: {output_tokens: 10000/day}") as (
        gw,
        _,
        _there,
    ):
        assert text_of(await ask(gw), "messages") == "a b."
        exchange = await gw.exchange()
        assert outcomes(exchange) == [("first", "outpaced"), ("second", "server_error"), ("second", "ok")]
        assert exchange.continued == 1
