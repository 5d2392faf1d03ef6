"""Conversations by id in front of an upstream that has none: going on, referring, reading, deleting; whose they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults import FaultUpstream, Reply
from tests.gateway import Running, running
from tests.runtime.chats import asked, call, events, said, streamed

NATIVE = json.dumps(
    {
        "id": "resp_up",
        "object": "response",
        "status": "completed",
        "model": "up",
        "output": [],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    }
).encode()
NATIVELY = Reply(200, headers={"content-type": "application/json"}, body=NATIVE)


def spec(chat: str, *, native: str | None = None, order: str = "[chat]", more: str = "") -> str:
    second = f"native: {{protocol: responses, base_url: {native}, keys: none}}" if native else ""
    return f"""
    version: ccx/v1
    channels:
      chat: {{protocol: chat, base_url: {chat}, keys: none}}
      {second}
    routes:
      - name: all
        to: {order}
    {more}
    """


async def post(gw: Running, body: dict[str, Any], *, path: str = "/v1/responses", key: str = "") -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = await gw.client.post(path, json={"model": "m", **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    if "event-stream" in answer.headers["content-type"]:
        found: dict[str, Any] = events(answer.text)[-1]["response"]
        return found
    result: dict[str, Any] = answer.json()
    return result


async def refused(gw: Running, body: dict[str, Any], *, key: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    answer = await gw.client.post("/v1/responses", json={"model": "m", **body}, headers=headers)
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("stream", [False, True])
async def test_going_on(tmp_path: Path, stream: bool) -> None:
    answers = [streamed("One", "."), streamed("Two."), streamed("Three.")] if stream else [said("One."), said("Two.")]
    async with FaultUpstream(answers) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "a", "instructions": "Be odd.", "stream": stream})
        assert first["id"].startswith("resp_")
        second = await post(
            gw,
            {
                "input": [{"role": "user", "content": "b"}],
                "instructions": "Be even.",
                "previous_response_id": first["id"],
                "stream": stream,
            },
        )
        assert second["previous_response_id"] == first["id"]
        assert second["instructions"] == "Be even."
        await post(gw, {"input": "c", "previous_response_id": second["id"], "stream": stream})
        assert asked(up.requests[0]) == [("system", "Be odd."), ("user", "a")]
        assert asked(up.requests[1]) == [("system", "Be even."), ("user", "a"), ("assistant", "One."), ("user", "b")]
        assert asked(up.requests[2]) == [
            ("user", "a"),
            ("assistant", "One."),
            ("user", "b"),
            ("assistant", "Two."),
            ("user", "c"),
        ]
        assert all("previous_response_id" not in json.loads(request.body) for request in up.requests)
        assert all("previous_response_id" not in exchange.losses for exchange in gw.exchanges)


async def test_two_may_go_on_from_one(tmp_path: Path) -> None:
    async with (
        FaultUpstream([said("One."), said("Left."), said("Right.")]) as up,
        running(spec(up.url), tmp_path) as gw,
    ):
        first = await post(gw, {"input": "a"})
        await post(gw, {"input": "l", "previous_response_id": first["id"]})
        await post(gw, {"input": "r", "previous_response_id": first["id"]})
        assert asked(up.requests[2]) == [("user", "a"), ("assistant", "One."), ("user", "r")]


async def test_a_tool_loop_sends_results_only(tmp_path: Path) -> None:
    answers = [said(None, calls=[call("weather", '{"city":"Bern"}')], finish="tool_calls"), said("Sunny.")]
    tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
    async with FaultUpstream(answers) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "weather?", "tools": tools})
        (item,) = first["output"]
        assert (item["type"], item["call_id"]) == ("function_call", "call_1")
        result = {"type": "function_call_output", "call_id": item["call_id"], "output": "sun"}
        await post(gw, {"input": [result], "tools": tools, "previous_response_id": first["id"]})
        messages = json.loads(up.requests[1].body)["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
        assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city":"Bern"}'
        assert (messages[2]["tool_call_id"], messages[2]["content"]) == ("call_1", "sun")


async def test_what_is_not_known_is_the_apis_error(tmp_path: Path) -> None:
    async with FaultUpstream([said("One.")]) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "a", "store": False})
        status, error = await refused(gw, {"input": "b", "previous_response_id": first["id"]})
        assert status == 400
        assert error == {
            "message": f"Previous response with id '{first['id']}' not found.",
            "type": "invalid_request_error",
            "param": "previous_response_id",
            "code": "previous_response_not_found",
        }
        status, error = await refused(gw, {"input": [{"type": "item_reference", "id": "msg_x"}]})
        assert (status, error["param"]) == (404, "input")
        assert "Item with id 'msg_x' not found." in error["message"]
        status, error = await refused(gw, {"input": "b", "previous_response_id": 7})
        assert (status, error["code"]) == (400, "previous_response_not_found")
        assert len(up.requests) == 1


async def test_references_to_items(tmp_path: Path) -> None:
    async with FaultUpstream([said("One."), said("Two."), said("Three.")]) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": [{"role": "user", "content": "a", "id": "msg_mine"}]})
        item = first["output"][0]["id"]
        await post(
            gw,
            {
                "input": [
                    {"type": "item_reference", "id": "msg_mine"},
                    {"id": item},
                    {"role": "user", "content": "b"},
                ]
            },
        )
        assert asked(up.requests[1]) == [("user", "a"), ("assistant", "One."), ("user", "b")]
        await post(gw, {"input": [{"type": "item_reference", "id": item}, {"role": "user", "content": "c"}]})
        assert asked(up.requests[2]) == [("assistant", "One."), ("user", "c")]


async def test_reading_and_deleting(tmp_path: Path) -> None:
    async with FaultUpstream([said("One."), said("Two.")]) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "a"})
        second = await post(gw, {"input": "b", "previous_response_id": first["id"], "metadata": {"k": "v"}})
        found = await gw.client.get(f"/v1/responses/{second['id']}?include=x")
        assert (found.status_code, found.json()) == (200, second)
        assert found.headers["x-ccx-digest"] == gw.gateway.live.digest[:12]
        deleted = await gw.client.delete(f"/v1/responses/{first['id']}")
        assert (deleted.status_code, deleted.json()) == (
            200,
            {"id": first["id"], "object": "response", "deleted": True},
        )
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            gone = await gw.client.request(method, f"/v1/responses/{first['id']}{path}")
            assert gone.status_code == 404
            assert gone.json()["error"]["type"] == "invalid_request_error"
            assert first["id"] in gone.json()["error"]["message"]
        again = await gw.client.get(f"/v1/responses/{second['id']}?stream=true")
        assert (again.status_code, again.json()["error"]["param"]) == (400, "stream")
        status, _ = await refused(gw, {"input": "c", "previous_response_id": first["id"]})
        assert status == 400
        assert (await gw.client.post(f"/v1/responses/{second['id']}")).status_code == 405


async def test_input_items_come_in_pages(tmp_path: Path) -> None:
    async with FaultUpstream([said("One."), said("Two.")]) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": [{"role": "user", "content": str(number)} for number in range(3)]})
        second = await post(gw, {"input": "b", "previous_response_id": first["id"]})

        async def page(query: str) -> dict[str, Any]:
            answer = await gw.client.get(f"/v1/responses/{second['id']}/input_items?{query}")
            assert answer.status_code == 200
            found: dict[str, Any] = answer.json()
            return found

        def texts(found: dict[str, Any]) -> list[str]:
            return [item["content"][0]["text"] for item in found["data"]]

        whole = await page("")
        assert texts(whole) == ["b", "One.", "2", "1", "0"]
        assert whole["object"] == "list"
        assert whole["has_more"] is False
        assert all(item["id"] and item["type"] == "message" for item in whole["data"])
        assert (whole["first_id"], whole["last_id"]) == (whole["data"][0]["id"], whole["data"][-1]["id"])
        part = await page("order=asc&limit=2")
        assert (texts(part), part["has_more"]) == (["0", "1"], True)
        rest = await page(f"order=asc&limit=3&after={part['last_id']}")
        assert (texts(rest), rest["has_more"]) == (["2", "One.", "b"], False)
        empty = await page(f"after={whole['last_id']}")
        assert (empty["data"], empty["first_id"], empty["last_id"]) == ([], None, None)
        for query in ("limit=0", "limit=101", "limit=x", "limit=99999999999", "order=up", "after=none"):
            answer = await gw.client.get(f"/v1/responses/{second['id']}/input_items?{query}")
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])


async def test_each_client_has_its_own(tmp_path: Path) -> None:
    keys = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("ann", "bob")}
    clients = "".join(f"\n      {name}: {{key: {{sha256: {key}}}}}" for name, key in keys.items())
    async with (
        FaultUpstream([said("One.")]) as up,
        running(spec(up.url, more=f"clients:{clients}"), tmp_path) as gw,
    ):
        first = await post(gw, {"input": "secret"}, key="ann")
        item = first["output"][0]["id"]
        for body in (
            {"input": "b", "previous_response_id": first["id"]},
            {"input": [{"type": "item_reference", "id": item}]},
        ):
            status, _ = await refused(gw, body, key="bob")
            assert status in (400, 404)
        for method in ("GET", "DELETE"):
            path = f"/v1/responses/{first['id']}"
            assert (await gw.client.request(method, path, headers={"x-api-key": "bob"})).status_code == 404
            assert (await gw.client.request(method, path)).status_code == 401
        assert (await gw.client.get(f"/v1/responses/{first['id']}", headers={"x-api-key": "ann"})).status_code == 200
        assert len(up.requests) == 1


async def test_an_upstream_that_keeps_responses_gets_the_bytes(tmp_path: Path) -> None:
    async with FaultUpstream([NATIVELY]) as up, running(spec(up.url, native=up.url, order="[native]"), tmp_path) as gw:
        body = b'{ "model":"m", "previous_response_id" : "resp_theirs", "input":[ {"type":"item_reference","id":"i"} ]}'
        answer = await gw.client.post("/v1/responses", content=body)
        assert answer.content == NATIVE
        assert up.requests[0].body == body
        assert (await gw.client.get("/v1/responses/resp_up")).status_code == 404


async def test_it_is_asked_where_another_cannot_know(tmp_path: Path) -> None:
    async with (
        FaultUpstream([said("never")]) as chat,
        FaultUpstream([NATIVELY]) as native,
        running(spec(chat.url, native=native.url, order="[chat, native]"), tmp_path) as gw,
    ):
        answer = await gw.client.post("/v1/responses", json={"model": "m", "previous_response_id": "resp_theirs"})
        assert answer.content == NATIVE
        assert chat.requests == []


async def test_its_failure_is_told_where_no_other_can_know(tmp_path: Path) -> None:
    busy = Reply(503, headers={"content-type": "application/json"}, body=b'{"error":{"message":"busy"}}')
    async with (
        FaultUpstream([said("never")]) as chat,
        FaultUpstream([busy]) as native,
        running(spec(chat.url, native=native.url, order="[native, chat]"), tmp_path) as gw,
    ):
        status, error = await refused(gw, {"input": "b", "previous_response_id": "resp_theirs"})
        assert (status, error["message"]) == (503, "busy")
        assert chat.requests == []


async def test_a_conversation_kept_here_goes_whole_to_an_upstream_that_keeps_its_own(tmp_path: Path) -> None:
    async with (
        FaultUpstream([said("One.")]) as chat,
        FaultUpstream([NATIVELY]) as native,
        running(spec(chat.url, native=native.url, order="[chat]"), tmp_path) as gw,
    ):
        first = await post(gw, {"input": "a"})
        await post(gw, {"model": "native/m", "input": "b", "previous_response_id": first["id"], "top_p": 1.0})
        sent = json.loads(native.requests[0].body)
        assert "previous_response_id" not in sent
        assert [item["content"][0]["text"] for item in sent["input"]] == ["a", "One.", "b"]
        assert sent["top_p"] == 1.0


async def test_conditions_and_counts_see_the_whole_conversation(tmp_path: Path) -> None:
    async with FaultUpstream([said("One."), said("Two.")]) as up:
        text = f"""
        version: ccx/v1
        channels:
          chat: {{protocol: chat, base_url: {up.url}, keys: none}}
        routes:
          - {{name: long, when: {{input_tokens: "> 100"}}, to: [chat]}}
          - {{name: short, to: [chat]}}
        """
        async with running(text, tmp_path) as gw:
            first = await post(gw, {"input": "word " * 98})
            await post(gw, {"input": "a few more", "previous_response_id": first["id"]})
            assert [exchange.route for exchange in gw.exchanges] == ["short", "long"]
            counted = await post(
                gw, {"input": "a few more", "previous_response_id": first["id"]}, path="/v1/responses/input_tokens"
            )
            assert counted["input_tokens"] > 100


async def test_a_stream_that_broke_is_not_kept(tmp_path: Path) -> None:
    async with FaultUpstream([streamed("half", finish=None)]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.post("/v1/responses", json={"model": "m", "input": "a", "stream": True})
        found = events(answer.text)
        assert found[-1]["type"] == "response.failed"
        assert (await gw.client.get(f"/v1/responses/{found[-1]['response']['id']}")).status_code == 404


async def test_an_answer_that_was_cut_by_its_limit_is_kept(tmp_path: Path) -> None:
    async with FaultUpstream([streamed("half", finish="length")]) as up, running(spec(up.url), tmp_path) as gw:
        first = await post(gw, {"input": "a", "stream": True})
        assert first["status"] == "incomplete"
        assert (await gw.client.get(f"/v1/responses/{first['id']}")).json() == first


async def test_a_websocket_is_sent_to_post(tmp_path: Path) -> None:
    async with FaultUpstream([said("One.")]) as up, running(spec(up.url), tmp_path) as gw:
        answer = await gw.client.get("/v1/responses", headers={"upgrade": "websocket", "connection": "Upgrade"})
        assert answer.status_code == 426
