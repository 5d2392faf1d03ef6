"""Compaction in front of upstreams that have none: the trigger, the endpoint, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ccx.protocols.compaction import INSTRUCTION, OPENED, sealed
from ccx.protocols.ir import JsonObject
from tests.faults import FaultUpstream, Reply
from tests.gateway import running
from tests.runtime.chats import asked, events, said, streamed
from tests.runtime.test_responses_state import post, refused, spec

TRIGGER = {"type": "compaction_trigger"}
HISTORY: list[dict[str, Any]] = [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
    {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "done"},
]
TOOLS = [{"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}]
NATIVE = json.dumps({"id": "resp_up", "object": "response.compaction", "output": [], "usage": None}).encode()
NATIVELY = Reply(200, headers={"content-type": "application/json"}, body=NATIVE)


def summary(text: str) -> JsonObject:
    return sealed(text, lambda prefix: f"{prefix}1")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_trigger_gives_one_compaction_item(tmp_path: Path, stream: bool) -> None:
    answers = [streamed("All ", "is fixed."), streamed("Go on.")] if stream else [said("All is fixed."), said("Go on.")]
    async with FaultUpstream(answers) as up, running(spec(up.url), tmp_path) as gw:
        body = {"tools": TOOLS, "tool_choice": "auto", "store": False, "stream": stream}
        found = await post(gw, {**body, "input": [*HISTORY, TRIGGER], "text": {"verbosity": "low"}})
        assert found["status"] == "completed"
        (item,) = found["output"]
        assert item.keys() == {"id", "type", "encrypted_content"}
        assert item["type"] == "compaction"
        assert item["id"].startswith("cmp_")
        assert found["usage"]["output_tokens"] == 5
        sent = json.loads(up.requests[0].body)
        assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool", "user"]
        assert sent["messages"][-1]["content"] == INSTRUCTION
        assert sent["tool_choice"] == "none"
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["shell"]
        assert bool(sent.get("stream")) is stream
        await post(gw, {**body, "input": [HISTORY[0], item, {"role": "user", "content": "And now?"}]})
        assert asked(up.requests[1]) == [
            ("system", "You are Codex."),
            ("user", OPENED + "All is fixed."),
            ("user", "And now?"),
        ]
        assert all(exchange.error_kind is None for exchange in gw.exchanges)


async def test_a_streamed_compaction_is_told_event_by_event(tmp_path: Path) -> None:
    async with FaultUpstream([streamed("All ", "is fixed.")]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post(
            "/v1/responses", json={"model": "m", "stream": True, "input": [*HISTORY, TRIGGER]}
        )
        found = events(answer.text)
        assert [event["type"] for event in found] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event["sequence_number"] for event in found] == list(range(5))
        assert found[3]["item"] == found[4]["response"]["output"][0]


async def test_a_client_that_streams_gets_a_whole_answer_as_a_stream(tmp_path: Path) -> None:
    async with FaultUpstream([said("All is fixed.")]) as up, running(spec(up.url), tmp_path) as gw:
        found = await post(gw, {"stream": True, "input": [*HISTORY, TRIGGER]})
        assert [item["type"] for item in found["output"]] == ["compaction"]


async def test_the_endpoint_keeps_the_users_messages(tmp_path: Path) -> None:
    async with FaultUpstream([said("All is fixed."), said("Go on.")]) as up, running(spec(up.url), tmp_path) as gw:
        found = await post(
            gw, {"input": HISTORY, "instructions": "Be odd.", "stream": True}, path="/v1/responses/compact"
        )
        assert found.keys() == {"id", "object", "created_at", "output", "usage"}
        assert found["object"] == "response.compaction"
        assert found["id"].startswith("resp_")
        assert [item["type"] for item in found["output"]] == ["message", "compaction"]
        assert (found["output"][0]["role"], found["output"][0]["content"]) == ("user", HISTORY[1]["content"])
        assert found["usage"]["total_tokens"] == 16
        sent = json.loads(up.requests[0].body)
        assert sent["messages"][0] == {"role": "system", "content": "Be odd.\n\nYou are Codex."}
        assert sent["messages"][-1]["content"] == INSTRUCTION
        assert not sent.get("stream")
        exchange = await gw.exchange()
        assert (exchange.operation, exchange.output_tokens, exchange.status) == ("compact", 5, 200)
        await post(gw, {"input": [*found["output"], {"role": "user", "content": "And now?"}]})
        assert asked(up.requests[1]) == [("user", "Fix it."), ("user", OPENED + "All is fixed."), ("user", "And now?")]
        assert (await gw.client.get(f"/v1/responses/{found['id']}")).status_code == 404


async def test_the_endpoint_goes_on_from_a_kept_response(tmp_path: Path) -> None:
    async with FaultUpstream([said("One."), said("It was one.")]) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "a"})
        found = await post(gw, {"previous_response_id": first["id"]}, path="/v1/responses/compact")
        assert asked(up.requests[1]) == [("user", "a"), ("assistant", "One."), ("user", INSTRUCTION)]
        assert [item["type"] for item in found["output"]] == ["message", "compaction"]


async def test_going_on_from_a_compaction_begins_with_it(tmp_path: Path) -> None:
    answers = [said("One."), said("It was one."), said("Two."), said("Three.")]
    async with FaultUpstream(answers) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "a"})
        short = await post(gw, {"previous_response_id": first["id"], "input": [TRIGGER]})
        second = await post(gw, {"previous_response_id": short["id"], "input": "b"})
        begun = [("user", OPENED + "It was one."), ("user", "b")]
        assert asked(up.requests[2]) == begun
        await post(gw, {"previous_response_id": second["id"], "input": "c"})
        assert asked(up.requests[3]) == [*begun, ("assistant", "Two."), ("user", "c")]


async def test_an_upstream_that_compacts_itself_gets_the_bytes(tmp_path: Path) -> None:
    async with (
        FaultUpstream([said("never")]) as chat,
        FaultUpstream([NATIVELY]) as native,
        running(spec(chat.url, native=native.url, order="[native, chat]"), tmp_path) as gw,
    ):
        body = b'{"model":"m",  "input":[{"type":"compaction_trigger"} ]}'
        assert (await gw.client.post("/v1/responses", content=body)).content == NATIVE
        assert (await gw.client.post("/v1/responses/compact", content=body)).content == NATIVE
        assert [request.body for request in native.requests] == [body, body]
        assert [request.target for request in native.requests] == ["/v1/responses", "/v1/responses/compact"]
        assert chat.requests == []


async def test_a_summary_is_opened_for_it_too(tmp_path: Path) -> None:
    async with (
        FaultUpstream([NATIVELY]) as native,
        running(spec(native.url, native=native.url, order="[native]"), tmp_path) as gw,
    ):
        theirs = {"type": "compaction", "encrypted_content": "gAAAA"}
        word = {"role": "user", "content": "b"}
        body = {"model": "m", "input": [theirs, summary("All is fixed."), word], "x": 1}
        await gw.client.post("/v1/responses", json=body)
        opened = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": OPENED + "All is fixed."}],
        }
        assert json.loads(native.requests[0].body) == {**body, "input": [theirs, opened, word]}


async def test_another_compacts_where_it_cannot(tmp_path: Path) -> None:
    busy = Reply(503, headers={"content-type": "application/json"}, body=b'{"error":{"message":"busy"}}')
    async with (
        FaultUpstream([said("All is fixed.")]) as chat,
        FaultUpstream([busy]) as native,
        running(spec(chat.url, native=native.url, order="[native, chat]"), tmp_path) as gw,
    ):
        found = await post(gw, {"input": HISTORY}, path="/v1/responses/compact")
        assert found["output"][-1]["type"] == "compaction"


async def test_no_summary_is_a_failure_that_another_may_mend(tmp_path: Path) -> None:
    text = """
    version: ccx/v1
    channels:
      a: {{protocol: chat, base_url: {}, keys: none}}
      b: {{protocol: chat, base_url: {}, keys: none}}
    """
    async with (
        FaultUpstream([said("")]) as silent,
        FaultUpstream([said("All is fixed.")]) as up,
        running(text.format(silent.url, up.url), tmp_path) as gw,
    ):
        found = await post(gw, {"input": [*HISTORY, TRIGGER]})
        assert found["output"][0]["type"] == "compaction"
        assert [attempt.channel for attempt in gw.exchanges[0].attempts] == ["a", "b"]


async def test_a_stream_without_a_summary_fails(tmp_path: Path) -> None:
    async with FaultUpstream([streamed(" ")]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post(
            "/v1/responses", json={"model": "m", "stream": True, "input": [*HISTORY, TRIGGER]}
        )
        last = events(answer.text)[-1]
        assert last["type"] == "response.failed"
        assert "no summary" in last["response"]["error"]["message"]
        assert last["response"]["output"] == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_summary_is_a_loss_that_is_named(tmp_path: Path, stream: bool) -> None:
    answer = streamed("half", finish="length") if stream else said("half", finish="length")
    async with FaultUpstream([answer]) as up, running(spec(up.url), tmp_path) as gw:
        found = await post(gw, {"input": [*HISTORY, TRIGGER], "stream": stream})
        assert found["output"][0]["type"] == "compaction"
        assert "summary_cut" in (await gw.exchange()).losses


async def test_a_trigger_must_be_last(tmp_path: Path) -> None:
    async with FaultUpstream([said("never")]) as up, running(spec(up.url), tmp_path) as gw:
        status, error = await refused(gw, {"input": [TRIGGER, *HISTORY]})
        assert (status, error["param"]) == (400, "input[0]")
        assert up.requests == []


async def test_every_protocol_of_the_demo_can_summarise(tmp_path: Path) -> None:
    channels = "\n".join(
        f"      {name}: {{provider: demo, protocol: {name}}}" for name in ("messages", "chat", "gemini")
    )
    async with running(f"\n    version: ccx/v1\n    channels:\n{channels}\n    ", tmp_path) as gw:
        for name in ("messages", "chat", "gemini"):
            for stream in (False, True):
                body: dict[str, Any] = {"model": f"{name}/demo", "tools": TOOLS, "stream": stream}
                found = await post(gw, {**body, "input": [*HISTORY, TRIGGER]})
                assert [item["type"] for item in found["output"]] == ["compaction"], name
                after = await post(gw, {**body, "input": [*found["output"], {"role": "user", "content": "Hello?"}]})
                assert "Hello?" in json.dumps(after["output"]), name
