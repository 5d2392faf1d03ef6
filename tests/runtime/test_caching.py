"""Routes with a cache, in the whole gateway: what is given again, to whom, in which form, and what is shared."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import FaultUpstream, Peer, Received, Reply, chunk, encode
from tests.gateway import Running, running
from tests.runtime.streams import MESSAGE, STREAM, Pieces

JSON = {"content-type": "application/json"}
ASK = {"model": "m", "max_tokens": 5, "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}
KEYS = {"alice": "key-of-alice", "bob": "key-of-bob"}
GOOD = Reply(200, headers={**JSON, "request-id": "req_upstream", "x-ratelimit-left": "7"}, body=MESSAGE)


def spec(first: str, *, cache: str = "{ttl: 10m}", more: str = "", to: str = "[first]", server: str = "{}") -> str:
    clients = "".join(
        f"\n      {name}: {{key: {{sha256: {hashlib.sha256(key.encode()).hexdigest()}}}}}" for name, key in KEYS.items()
    )
    return f"""
    version: ccx/v1
    server: {server}
    clients:{clients}
    channels:
      first: {{protocol: messages, base_url: {first}, keys: none}}
      {more}
    routes:
      - {{name: all, to: {to}, cache: {cache}}}
    """


async def ask(
    gw: Running, client: str = "alice", *, headers: dict[str, str] | None = None, **fields: object
) -> httpx.Response:
    body = {name: value for name, value in {**ASK, **fields}.items() if value is not ...}
    return await gw.client.post("/v1/messages", json=body, headers={"x-api-key": KEYS[client], **(headers or {})})


def results(responses: list[httpx.Response]) -> list[str]:
    return [response.headers["x-ccx-cache"] for response in responses]


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never came to hold")


@dataclass
class Gated:
    """Some pieces of a stream at once, the rest when the gate opens; or the death of the connection."""

    before: int = 3
    dies: bool = False
    answered: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self, peer: Peer, request: Received) -> bool:
        self.answered += 1
        if self.before:
            await peer.write(encode(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]))
            for piece in STREAM[: self.before]:
                await peer.write(chunk(piece))
        self.begun.set()
        gone, opened = asyncio.create_task(peer.gone()), asyncio.create_task(self.gate.wait())
        await asyncio.wait({gone, opened}, return_when=asyncio.FIRST_COMPLETED)
        for task in (gone, opened):
            task.cancel()
        if not self.gate.is_set():
            self.left.set()
            return False
        if self.dies:
            peer.reset()
            return False
        if not self.before:
            await peer.write(encode(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]))
        for piece in STREAM[self.before :]:
            await peer.write(chunk(piece))
        await peer.write(chunk(b""))
        return False


async def test_a_whole_answer_is_given_again_byte_for_byte(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url), tmp_path) as gw:
        one, two = await ask(gw), await ask(gw)
        assert results([one, two]) == ["miss", "hit"]
        assert one.content == two.content == MESSAGE
        assert len(first.requests) == 1
        assert two.headers["content-type"] == "application/json"
        assert two.headers["age"] == "0"
        assert one.headers["request-id"] == "req_upstream"
        assert not {"request-id", "x-ratelimit-left", "x-ccx-channel"} & set(two.headers)
        assert one.headers["x-ccx-request-id"] != two.headers["x-ccx-request-id"]
        led, hit = await gw.exchange(1), await gw.exchange(2)
        assert (led.cache, hit.cache) == ("miss", "hit")
        assert (hit.attempts, hit.status, hit.bytes_out) == ((), 200, len(MESSAGE))
        assert (hit.input_tokens, hit.output_tokens, hit.cache_read_tokens) == (led.input_tokens, 2, 3)
        assert hit.finish == "end_turn"


async def test_a_stream_is_given_again_as_the_same_events(tmp_path: Path) -> None:
    async with FaultUpstream([Pieces(STREAM)]) as first, running(spec(first.url), tmp_path) as gw:
        one, two = await ask(gw, stream=True), await ask(gw, stream=True)
        assert results([one, two]) == ["miss", "hit"]
        assert one.content == two.content == b"".join(STREAM)
        assert two.headers["content-type"].startswith("text/event-stream")
        assert len(first.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_told_in_the_other_form(tmp_path: Path, *, stream: bool) -> None:
    given_ = GOOD if not stream else Pieces(STREAM)
    async with FaultUpstream([given_]) as first, running(spec(first.url), tmp_path) as gw:
        await ask(gw, stream=stream)
        other, again = await ask(gw, stream=not stream), await ask(gw, stream=not stream)
        assert results([other, again]) == ["hit", "hit"]
        assert other.content == again.content, "told once"
        assert len(first.requests) == 1
        if stream:
            body = other.json()
            assert (body["content"], body["stop_reason"]) == ([{"type": "text", "text": "hi"}], "end_turn")
            assert body["usage"]["output_tokens"] == 5
        else:
            assert other.content.startswith(b"event: message_start")
            assert b'"text":"hi"' in other.content.replace(b" ", b"")
            assert other.content.rstrip().endswith(b'{"type":"message_stop"}')
            assert other.headers["content-type"].startswith("text/event-stream")


async def test_white_space_and_the_order_of_keys_do_not_tell_requests_apart(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url), tmp_path) as gw:
        await ask(gw)
        turned = json.dumps(dict(reversed(ASK.items())), indent=4)
        headers = {"x-api-key": KEYS["alice"], **JSON}
        again = await gw.client.post("/v1/messages", content=turned, headers=headers)
        assert results([again, await ask(gw, metadata={"user_id": "somebody"})]) == ["hit", "hit"]
        assert len(first.requests) == 1


DIFFERENT: list[dict[str, Any]] = [
    {"model": "other"},
    {"max_tokens": 6},
    {"temperature": 0.0, "top_k": 1},
    {"system": ""},
    {"messages": [{"role": "user", "content": "hi "}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    {"stop_sequences": ["x"]},
    {"tools": [{"name": "t", "input_schema": {"type": "object"}}]},
    {"headers": {"anthropic-beta": "context-1m-2025-08-07"}},
    {"headers": {"anthropic-version": "2023-01-01"}},
    {"headers": {"x-unheard-of": "1"}},
]


@pytest.mark.parametrize("other", DIFFERENT, ids=str)
async def test_whatever_may_decide_the_answer_tells_requests_apart(tmp_path: Path, other: dict[str, Any]) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, cache="{ttl: 1h, when: any}"), tmp_path) as gw:
        assert results([await ask(gw), await ask(gw, **other), await ask(gw, **other)]) == ["miss", "miss", "hit"]
        assert len(first.requests) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": ...},
        {"temperature": 0.2},
        {"temperature": False},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"container": "container_1"},
    ],
    ids=str,
)
async def test_what_is_not_meant_to_be_repeated_is_not(tmp_path: Path, other: dict[str, Any]) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url), tmp_path) as gw:
        assert results([await ask(gw, **other), await ask(gw, **other)]) == ["bypass", "bypass"]
        assert len(first.requests) == 2


async def test_a_policy_of_the_route_may_make_requests_repeatable(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first:
        text = spec(first.url).replace("cache:", "request: {set: {temperature: 0}}, cache:")
        async with running(text, tmp_path) as gw:
            assert results([await ask(gw, temperature=1), await ask(gw, temperature=1)]) == ["miss", "hit"]


async def test_a_key_twice_makes_a_body_that_has_no_identity(tmp_path: Path) -> None:
    """One parser takes the first, another the last: nobody shall have one question's answer kept as another's."""
    async with (
        FaultUpstream([GOOD]) as first,
        running(spec(first.url, cache="{ttl: 1h, scope: shared}"), tmp_path) as gw,
    ):
        headers = {"x-api-key": KEYS["alice"], **JSON}
        for raw in (
            '{"model":"m","max_tokens":5,"temperature":0,"messages":[{"role":"user","content":"evil"}],'
            '"messages":[{"role":"user","content":"hi"}]}',
            '{"model":"m","max_tokens":5,"temperature":0,"messages":[{"role":"user","content":"a:b","content":"hi"}]}',
            '{"model":"m","max_tokens":5,"temperature":0,"messages":[{"role":"user","content":"\\ud83d"}]}',
        ):
            response = await gw.client.post("/v1/messages", content=raw, headers=headers)
            assert response.headers["x-ccx-cache"] == "bypass"
        assert results([await ask(gw, "bob")]) == ["miss"]


@pytest.mark.parametrize(("scope", "expected"), [("client", "miss"), ("shared", "hit")])
async def test_another_client_gets_it_only_where_it_is_shared(tmp_path: Path, scope: str, expected: str) -> None:
    cache = f"{{ttl: 1h, scope: {scope}}}"
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, cache=cache), tmp_path) as gw:
        assert results([await ask(gw, "alice"), await ask(gw, "bob")]) == ["miss", expected]


async def test_an_answer_is_good_until_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr("ccx.runtime.caching.time.time", lambda: now[0])
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, cache="{ttl: 60s}"), tmp_path) as gw:
        await ask(gw)
        now[0] += 59.5
        late = await ask(gw)
        assert (results([late]), late.headers["age"]) == (["hit"], "59")
        now[0] += 1
        assert results([await ask(gw), await ask(gw)]) == ["miss", "hit"]


async def test_a_client_may_ask_for_a_fresh_answer_or_for_none_of_it(tmp_path: Path) -> None:
    answers = [Reply(200, headers=JSON, body=MESSAGE.replace(b"msg_1", b"msg_%d" % n)) for n in range(9)]
    async with FaultUpstream(answers) as first, running(spec(first.url), tmp_path) as gw:

        async def asked(name: str, value: str) -> tuple[str, str]:
            response = await ask(gw, headers={name: value})
            return response.headers["x-ccx-cache"], response.json()["id"]

        assert await asked("x-ccx-cache", "use") == ("miss", "msg_0")
        assert await asked("cache-control", "no-store") == ("bypass", "msg_1")
        assert await asked("X-CCX-Cache", "Bypass") == ("bypass", "msg_2")
        assert await asked("cache-control", "max-age=60") == ("hit", "msg_0")
        assert await asked("cache-control", "no-cache") == ("miss", "msg_3")
        assert await asked("cache-control", "private") == ("hit", "msg_3")
        assert await asked("cache-control", "max-age=0") == ("miss", "msg_4")
        assert first.requests[0].header("x-ccx-cache") is None


BAD = MESSAGE.replace(b"end_turn", b"refusal")


@pytest.mark.parametrize(
    "first_answer",
    [
        Reply(500, headers=JSON, body=b'{"type":"error","error":{"type":"api_error","message":"no"}}'),
        Reply(400, headers=JSON, body=b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'),
        Reply(200, headers=JSON, body=BAD),
        Reply(200, headers=JSON, body=MESSAGE.replace(b'"end_turn"', b"null")),
    ],
    ids=["500", "400", "refusal", "unfinished"],
)
async def test_what_is_no_good_answer_is_not_kept(tmp_path: Path, first_answer: Reply) -> None:
    async with FaultUpstream([first_answer, GOOD]) as first:
        single = spec(first.url).replace("to: [first]", "to: [first], failover: {attempts: 1}")
        async with running(single, tmp_path) as gw:
            one, two = await ask(gw), await ask(gw)
            assert (one.status_code, two.status_code) == (first_answer.status, 200)
            assert results([one, two, await ask(gw)]) == ["miss", "miss", "hit"]


async def test_a_stream_that_was_cut_is_not_kept(tmp_path: Path) -> None:
    async with (
        FaultUpstream([Pieces(STREAM[:3], cut=True), Pieces(STREAM)]) as first,
        running(spec(first.url), tmp_path) as gw,
    ):
        cut = await ask(gw, stream=True)
        assert b"event: error" in cut.content
        assert results([await ask(gw, stream=True), await ask(gw, stream=True)]) == ["miss", "hit"]


async def test_what_a_fallback_says_is_not_kept(tmp_path: Path) -> None:
    down = Reply(503, headers=JSON, body=b"{}")
    async with FaultUpstream([down, GOOD]) as first, FaultUpstream([GOOD]) as second:
        more = f"second: {{protocol: messages, base_url: {second.url}, keys: none}}"
        to = "[first, second], failover: {attempts: 2, backoff: {initial: 1ms}}"
        async with running(spec(first.url, more=more, to=to), tmp_path) as gw:
            one, two, three = await ask(gw), await ask(gw), await ask(gw)
            assert [r.headers.get("x-ccx-channel") for r in (one, two, three)] == ["second", "first", None]
            assert results([one, two, three]) == ["miss", "miss", "hit"]


async def test_answers_outlive_a_swap_unless_what_is_done_with_requests_changes(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, FaultUpstream([GOOD]) as second:
        more = f"second: {{protocol: messages, base_url: {second.url}, keys: none}}"
        before = spec(first.url, more=more)
        async with running(before, tmp_path) as gw:

            async def swapped(text: str) -> list[str]:
                gw.rewrite(text)
                assert await gw.reconciler.reconcile("test") == "applied"
                return results([await ask(gw), await ask(gw)])

            assert results([await ask(gw)]) == ["miss"]
            assert await swapped(before.replace("ttl: 10m", "ttl: 20m")) == ["hit", "hit"]
            assert await swapped(before + "\n      - {name: unused, when: {model: never}, to: [first]}") == [
                "hit",
                "hit",
            ]
            assert await swapped(before.replace("to: [first]", "to: [second]")) == ["miss", "hit"]
            set_ = before.replace("to: [first]", "to: [first], request: {set: {top_k: 3}}")
            assert await swapped(set_) == ["miss", "hit"]
            renamed = before.replace("to: [first]", "to: [{channel: first, model: m2}]")
            assert await swapped(renamed) == ["miss", "hit"]
            assert await swapped(before.replace("ttl: 10m", "ttl: 10m, scope: shared")) == ["miss", "hit"]
            gone = before.replace(", cache: {ttl: 10m}", "")
            gw.rewrite(gone)
            await gw.reconciler.reconcile("test")
            assert "x-ccx-cache" not in (await ask(gw)).headers
            assert len(await gw.gateway.caching.answers.holdings()) == 0


async def test_a_hit_is_counted_as_a_request_and_never_as_tokens(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url), tmp_path) as gw:
        for _ in range(3):
            await ask(gw)
        await gw.exchange(3)
        metrics = (await gw.client.get("/metrics")).text
        assert 'ccx_cache_requests_total{route="all",result="hit"} 2' in metrics
        assert 'ccx_cache_requests_total{route="all",result="miss"} 1' in metrics
        assert 'ccx_tokens_total{channel="first",model="other",direction="output"} 2\n' in metrics


async def test_limits_charge_a_hit_as_a_request_without_tokens(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first:
        limited = spec(first.url).replace(
            "}}\n      bob", "}, limits: {requests: 3/h, output_tokens: 1000/h}}\n      bob"
        )
        async with running(limited, tmp_path) as gw:
            answers = [await ask(gw) for _ in range(4)]
            assert [one.status_code for one in answers] == [200, 200, 200, 429]
            meter = next(m for m in gw.gateway.live.metering.clients["alice"].output)
            (use,) = await gw.gateway.meters.standing((meter,), now=10**9)
            assert use.used in (1, 2), "what the one call used, less what time has given back"


async def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    big = Reply(200, headers=JSON, body=MESSAGE.replace(b'"hi"', b'"%s"' % (b"x" * 20_000)))
    cache, server = "{ttl: 1h}", "{cache_size: 100000}"
    async with FaultUpstream([big]) as first, running(spec(first.url, cache=cache, server=server), tmp_path) as gw:
        assert results([await ask(gw), await ask(gw)]) == ["miss", "miss"], "more than an eighth of it"
    small = Reply(200, headers=JSON, body=MESSAGE.replace(b'"hi"', b'"%s"' % (b"x" * 9_000)))
    async with FaultUpstream([small]) as first, running(spec(first.url, cache=cache, server=server), tmp_path) as gw:
        for number in range(20):
            await ask(gw, max_tokens=number + 1)
        shown = (await gw.client.get("/admin/cache")).json()
        assert shown["bytes"] <= shown["max_bytes"] == 100_000
        assert (shown["entries"], shown["routes"]["all"]["evictions"]) == (9, 11)


async def test_the_admin_endpoints_show_and_clear(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url), tmp_path) as gw:
        await ask(gw)
        await ask(gw)
        await ask(gw, temperature=1)
        shown = (await gw.client.get("/admin/cache")).json()
        route = shown["routes"]["all"]
        assert {name: route[name] for name in ("entries", "hits", "misses", "joins", "bypasses", "evictions")} == {
            "entries": 1,
            "hits": 1,
            "misses": 1,
            "joins": 0,
            "bypasses": 1,
            "evictions": 0,
        }
        assert (await gw.client.get("/status")).json()["cache"] == shown
        assert (await gw.client.delete("/admin/cache?route=other")).status_code == 404
        assert (await gw.client.delete("/admin/cache?route=all")).json() == {"cleared": 1}
        assert (await gw.client.delete("/admin/cache")).json() == {"cleared": 0}
        assert results([await ask(gw)]) == ["miss"]


async def test_the_admin_endpoints_are_for_the_admin(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first:
        text = spec(first.url) + "\n    admin: {key: {env: ADMIN}}"
        async with running(text, tmp_path, environ={"ADMIN": "secret-of-admin"}) as gw:
            for method in ("GET", "DELETE"):
                refused = await gw.client.request(method, "/admin/cache", headers={"x-api-key": KEYS["alice"]})
                assert refused.status_code == 401
                headers = {"authorization": "Bearer secret-of-admin"}
                assert (await gw.client.request(method, "/admin/cache", headers=headers)).status_code == 200


async def test_fifty_equal_requests_make_one_call(tmp_path: Path) -> None:
    gated = Gated()
    async with FaultUpstream([gated]) as first, running(spec(first.url), tmp_path) as gw:
        early = [asyncio.create_task(ask(gw, stream=True)) for _ in range(25)]
        await gated.begun.wait()
        late = [asyncio.create_task(ask(gw, stream=True)) for _ in range(25)]
        await until(lambda: gw.gateway.in_flight == 50)
        assert gw.gateway.caching.under_way == 1
        gated.gate.set()
        answers = await asyncio.gather(*early, *late)
        assert {answer.content for answer in answers} == {b"".join(STREAM)}
        assert sorted(results(list(answers))) == ["joined"] * 49 + ["miss"]
        assert len({answer.headers["x-ccx-request-id"] for answer in answers}) == 50
        assert gated.answered == 1
        await gw.exchange(50)
        assert {(x.output_tokens, x.finish, x.error_kind) for x in gw.exchanges} == {(5, "end_turn", None)}
        assert sum(len(x.attempts) for x in gw.exchanges) == 1
        assert gw.gateway.caching.under_way == 0
        assert gw.gateway.caching.tallies["all"].joins == 49


async def test_one_who_leaves_takes_nothing_from_the_others(tmp_path: Path) -> None:
    gated = Gated()
    async with FaultUpstream([gated]) as first, running(spec(first.url), tmp_path) as gw:
        leader = asyncio.create_task(ask(gw, stream=True))
        await gated.begun.wait()
        others = [asyncio.create_task(ask(gw, stream=True)) for _ in range(3)]
        await until(lambda: gw.gateway.in_flight == 4)
        leader.cancel()
        others[0].cancel()
        await asyncio.sleep(0.1)
        assert not gated.left.is_set()
        gated.gate.set()
        answers = await asyncio.gather(*others[1:])
        assert [answer.content for answer in answers] == [b"".join(STREAM)] * 2
        await gw.exchange(4)
        led = next(x for x in gw.exchanges if x.cache == "miss")
        assert (led.status, led.error_kind, led.output_tokens) == (499, "client_gone", 5), "it asked, it pays"
        stayed = [x.error_kind for x in gw.exchanges if x.cache == "joined" and x.status == 200]
        assert stayed == [None, None], "who has stayed has not gone"
        assert results([await ask(gw, stream=True)]) == ["hit"]


async def test_when_all_have_left_the_call_ends(tmp_path: Path) -> None:
    gated = Gated()
    async with FaultUpstream([gated]) as first, running(spec(first.url), tmp_path) as gw:
        tasks = [asyncio.create_task(ask(gw, stream=True)) for _ in range(3)]
        await gated.begun.wait()
        await until(lambda: gw.gateway.in_flight == 3)
        for task in tasks:
            await asyncio.sleep(0.03)
            task.cancel()
        await asyncio.wait_for(gated.left.wait(), 5)
        await until(lambda: gw.gateway.in_flight == 0)
        assert gw.gateway.caching.under_way == 0


async def test_an_upstream_that_dies_ends_it_for_all_in_the_protocols_own_error(tmp_path: Path) -> None:
    gated = Gated(dies=True)
    async with FaultUpstream([gated, Pieces(STREAM)]) as first, running(spec(first.url), tmp_path) as gw:
        tasks = [asyncio.create_task(ask(gw, stream=True)) for _ in range(5)]
        await gated.begun.wait()
        await until(lambda: gw.gateway.in_flight == 5)
        gated.gate.set()
        answers = await asyncio.gather(*tasks)
        for answer in answers:
            assert answer.content.startswith(b"".join(STREAM[:3]))
            assert answer.content.count(b"event: error") == 1
        await gw.exchange(5)
        assert {x.error_kind for x in gw.exchanges} == {"upstream_cut"}
        assert results([await ask(gw, stream=True)]) == ["miss"]


async def test_a_call_that_fails_before_it_begins_fails_for_all_alike(tmp_path: Path) -> None:
    gated = Gated(before=0, dies=True)
    async with FaultUpstream([gated]) as first:
        single = spec(first.url).replace("to: [first]", "to: [first], failover: {attempts: 1}")
        async with running(single, tmp_path) as gw:
            tasks = [asyncio.create_task(ask(gw, stream=True)) for _ in range(4)]
            await gated.begun.wait()
            await until(lambda: gw.gateway.in_flight == 4)
            gated.gate.set()
            answers = await asyncio.gather(*tasks)
            assert {answer.status_code for answer in answers} == {502}
            assert len({answer.json()["error"]["message"] for answer in answers}) == 1
            assert sorted(results(list(answers))) == ["joined"] * 3 + ["miss"]
            assert gated.answered == 1
            assert gw.gateway.caching.under_way == 0


async def test_an_upstreams_refusal_reaches_all_with_its_time_to_wait(tmp_path: Path) -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
    refusal = Reply(429, headers={**JSON, "retry-after": "7", "request-id": "req_1"}, body=body, delay=0.1)
    async with FaultUpstream([refusal]) as first:
        single = spec(first.url).replace("to: [first]", "to: [first], failover: {attempts: 1}")
        async with running(single, tmp_path) as gw:
            answers = await asyncio.gather(*(ask(gw) for _ in range(3)))
            assert {(a.status_code, a.content, a.headers["retry-after"]) for a in answers} == {(429, body, "7")}
            assert sum("request-id" in a.headers for a in answers) == 1


@dataclass
class Long:
    """A stream of many deltas, after the gate opens."""

    deltas: int
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def whole(self) -> bytes:
        return b"".join((*STREAM[:2], *[self.delta] * self.deltas, *STREAM[3:]))

    @property
    def delta(self) -> bytes:
        return STREAM[2].replace(b'"hi"', b'"%s"' % (b"x" * 4000))

    async def play(self, peer: Peer, request: Received) -> bool:
        await peer.write(encode(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]))
        for piece in (*STREAM[:2], self.delta):
            await peer.write(chunk(piece))
        await self.gate.wait()
        for piece in (*[self.delta] * (self.deltas - 1), *STREAM[3:]):
            await peer.write(chunk(piece))
        await peer.write(chunk(b""))
        return True


async def raw_ask(gw: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client with a small window that reads nothing until it is told to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gw.port, limit=4096)
    body = json.dumps({**ASK, "stream": True}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEYS['alice']}\r\nconnection: close\r\n"
    writer.write(head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    return reader, writer


async def test_a_joiner_that_does_not_read_is_cut_and_slows_nobody(tmp_path: Path) -> None:
    long = Long(4000)  # 16 MB: more than sockets hold
    async with FaultUpstream([long]) as first, running(spec(first.url), tmp_path) as gw:
        gw.gateway.caching._bound = 100_000
        leader = asyncio.create_task(ask(gw, stream=True))
        await until(lambda: gw.gateway.caching.under_way == 1)
        reader, writer = await raw_ask(gw)
        await until(lambda: gw.gateway.in_flight == 2)
        long.gate.set()
        answer = await leader
        assert answer.content == long.whole()
        assert gw.gateway.caching.under_way == 0
        slow = await reader.read()
        writer.close()
        assert slow.count(b"event: error") == 1
        assert b"too slowly" in slow
        assert b"message_stop" not in slow
        await gw.exchange(2)
        assert {(x.cache, x.error_kind) for x in gw.exchanges} == {("miss", None), ("joined", "too_slow")}
        await until(lambda: gw.gateway.caching._room.used == 0)
        assert results([await ask(gw, stream=True, headers={"cache-control": "max-age=5"})]) == ["miss"], "not kept"


async def test_a_leader_that_does_not_read_slows_nobody_within_the_bound(tmp_path: Path) -> None:
    long = Long(1500)
    async with FaultUpstream([long]) as first, running(spec(first.url), tmp_path) as gw:
        reader, writer = await raw_ask(gw)
        await until(lambda: gw.gateway.caching.under_way == 1)
        joiner = asyncio.create_task(ask(gw, stream=True))
        await until(lambda: gw.gateway.in_flight == 2)
        long.gate.set()
        assert (await joiner).content == long.whole()
        assert gw.gateway.in_flight == 1
        assert results([await ask(gw, stream=True)]) == ["hit"], "it is whole, whatever its first client does"
        while await reader.read(65536):
            pass
        writer.close()


async def test_who_wants_nothing_to_do_with_it_joins_nobody(tmp_path: Path) -> None:
    gated = Gated()
    async with FaultUpstream([gated, Pieces(STREAM)]) as first, running(spec(first.url), tmp_path) as gw:
        leader = asyncio.create_task(ask(gw, stream=True))
        await gated.begun.wait()
        for name, value in (("x-ccx-cache", "bypass"), ("cache-control", "no-cache")):
            answer = await ask(gw, stream=True, headers={name: value})
            assert answer.content == b"".join(STREAM)
        assert len(first.requests) == 3
        gated.gate.set()
        assert (await leader).content == b"".join(STREAM)
        assert gw.gateway.caching.under_way == 0


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.04), st.booleans()), min_size=2, max_size=12),
    st.booleans(),
    st.floats(0, 0.05),
)
async def test_storms_of_clients_that_leave_leave_nothing_behind(
    tmp_path: Path, clients: list[tuple[int, float, bool]], dies: bool, opens: float
) -> None:
    gated = Gated(dies=dies)
    async with FaultUpstream([gated]) as first, running(spec(first.url), tmp_path) as gw:

        async def one(number: int, wait: float, leaves: bool) -> bytes | None:
            call = asyncio.create_task(ask(gw, stream=True, max_tokens=number + 1))
            if leaves:
                await asyncio.sleep(wait)
                call.cancel()
                await asyncio.wait({call})
                return None
            return (await call).content

        tasks = [asyncio.create_task(one(*client)) for client in clients]
        await asyncio.sleep(opens)
        gated.gate.set()
        contents = await asyncio.gather(*tasks)
        await until(lambda: gw.gateway.in_flight == 0)
        caching = gw.gateway.caching
        assert caching.under_way == 0
        assert caching._room.used == 0
        for content in contents:
            assert content is None or content.startswith(b"".join(STREAM[:3])), "from the first byte on"


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["alice", "bob"]), st.integers(1, 3), st.booleans()), min_size=1, max_size=20),
    st.sampled_from(["client", "shared"]),
)
async def test_no_client_ever_gets_the_answer_of_another_unless_shared(
    tmp_path: Path, asks: list[tuple[str, int, bool]], scope: str
) -> None:
    """Each upstream answer is another one: who got which is told by its id."""
    answers = [Reply(200, headers=JSON, body=MESSAGE.replace(b"msg_1", b"msg_%d" % n)) for n in range(len(asks))]
    cache = f"{{ttl: 1h, scope: {scope}}}"
    async with FaultUpstream(answers) as first, running(spec(first.url, cache=cache), tmp_path) as gw:
        got: dict[str, set[tuple[str, int]]] = {}
        for client, number, together in asks:
            count = 2 if together else 1
            for response in await asyncio.gather(*(ask(gw, client, max_tokens=number) for _ in range(count))):
                got.setdefault(response.json()["id"], set()).add((client, number))
        for owners in got.values():
            assert len({number for _, number in owners}) == 1
            assert scope == "shared" or len(owners) == 1
        distinct = {(client if scope == "client" else "", number) for client, number, _ in asks}
        assert len(first.requests) == len(distinct) == len(got)
