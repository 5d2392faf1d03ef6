"""Limits in the path of a request: who is refused, for how long, and what is given back."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import httpx
import pytest

from tests.faults import Drip, FaultUpstream, Reply
from tests.gateway import Running, running

JSON = {"content-type": "application/json"}
ASK = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
KEYS = {"alice": "key-of-alice", "bob": "key-of-bob"}


def answer(input_tokens: int = 10, output_tokens: int = 5) -> Reply:
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    body = {"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn", "usage": usage}
    return Reply(200, headers=JSON, body=json.dumps(body).encode())


GOOD = answer()


def spec(first: str, second: str | None = None, *, client: str = "{}", channel: str = "{}", keys: str = "none") -> str:
    clients = "".join(
        f"\n      {name}: {{key: {{sha256: {hashlib.sha256(key.encode()).hexdigest()}}}, limits: {client}}}"
        for name, key in KEYS.items()
    )
    other = f"second: {{protocol: messages, base_url: {second}, keys: none}}" if second else ""
    return f"""
    version: ccx/v1
    clients:{clients}
    channels:
      first: {{protocol: messages, base_url: {first}, keys: {keys}, limits: {channel}}}
      {other}
    routes:
      - {{name: all, to: {"[first, second]" if second else "[first]"}}}
    """


async def ask(gw: Running, client: str = "alice", *, text: str = "hi") -> httpx.Response:
    body = {**ASK, "messages": [{"role": "user", "content": text}]}
    return await gw.client.post("/v1/messages", json=body, headers={"x-api-key": KEYS[client]})


async def statuses(gw: Running, count: int, client: str = "alice") -> list[int]:
    return [(await ask(gw, client)).status_code for _ in range(count)]


async def test_a_client_at_its_rate_is_refused_and_others_are_not(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, client="{requests: 2/min}"), tmp_path) as gw:
        assert await statuses(gw, 3) == [200, 200, 429]
        assert await statuses(gw, 2, "bob") == [200, 200]
        refused = await ask(gw)
        assert refused.headers["retry-after"] in ("29", "30")
        error = json.loads(refused.content)["error"]
        assert error["type"] == "rate_limit_error"
        assert error["message"] == "The limit of client 'alice': 2 requests/min is used up."
        exchange = await gw.exchange(6)
        assert (exchange.limited_by, exchange.attempts) == ("client 'alice'/requests/60", ())
        assert len(first.requests) == 4


async def test_tokens_are_charged_as_the_upstream_counts_them(tmp_path: Path) -> None:
    limits = "{input_tokens: 1000/min, output_tokens: 2000/min}"
    async with FaultUpstream([answer(950, 1)]) as first, running(spec(first.url, client=limits), tmp_path) as gw:
        assert await statuses(gw, 1) == [200]
        refused = await ask(gw, text="word " * 100)
        assert refused.status_code == 429
        assert "1,000 input tokens/min" in refused.text
    async with FaultUpstream([answer(5, 1990)]) as first, running(spec(first.url, client=limits), tmp_path) as gw:
        assert await statuses(gw, 2) == [200, 429]


async def test_a_place_is_free_again_when_the_answer_is_over(tmp_path: Path) -> None:
    slow = Drip(GOOD.raw(), step=64, pause=0.02)
    async with FaultUpstream([slow]) as first, running(spec(first.url, client="{concurrency: 1}"), tmp_path) as gw:
        both = await asyncio.gather(ask(gw), ask(gw))
        assert sorted(a.status_code for a in both) == [200, 429]
        assert await statuses(gw, 2) == [200, 200]


async def test_a_client_that_leaves_gives_its_place_back(tmp_path: Path) -> None:
    slow = Drip(GOOD.raw(), step=1, pause=0.05)
    async with (
        FaultUpstream([slow, GOOD]) as first,
        running(spec(first.url, client="{concurrency: 1}"), tmp_path) as gw,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await gw.client.post("/v1/messages", json=ASK, headers={"x-api-key": KEYS["alice"]}, timeout=0.1)
        await gw.exchange(1)
        assert await statuses(gw, 1) == [200]


async def test_a_target_at_its_limit_is_no_end_while_another_may_be_asked_again(tmp_path: Path) -> None:
    busy = Reply(503, headers=JSON, body=b"{}")
    async with FaultUpstream([GOOD]) as limited, FaultUpstream([busy, busy, GOOD]) as other:
        text = spec(limited.url, other.url, channel="{requests: 1/h}").replace("[first, second]", "[second, first]")
        async with running(text, tmp_path) as gw:
            assert await statuses(gw, 2) == [200, 200]
            made = [[(a.channel, a.outcome) for a in (await gw.exchange(n)).attempts] for n in (1, 2)]
            assert made == [
                [("second", "overloaded"), ("first", "ok")],
                [("second", "overloaded"), ("second", "ok")],
            ]


async def test_a_channel_at_its_limit_is_passed_over(tmp_path: Path) -> None:
    async with (
        FaultUpstream([GOOD]) as first,
        FaultUpstream([GOOD]) as second,
        running(spec(first.url, second.url, channel="{requests: 2/min}"), tmp_path) as gw,
    ):
        served = [(await ask(gw)).headers["x-ccx-channel"] for _ in range(4)]
        assert served == ["first", "first", "second", "second"]


async def test_when_every_target_is_at_its_limit_the_client_is_told(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, channel="{requests: 1/min}"), tmp_path) as gw:
        assert await statuses(gw, 1) == [200]
        refused = await ask(gw)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) in (59, 60)
        assert "channel 'first': 1 requests/min" in refused.text


async def test_a_key_at_its_limit_leaves_the_others(tmp_path: Path) -> None:
    keys = "[{env: KEY_A, limits: {requests: 1/min}}, {env: KEY_B}]"
    environ = {"KEY_A": "secret-a", "KEY_B": "secret-b"}
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, keys=keys), tmp_path, environ=environ) as gw:
        assert await statuses(gw, 6) == [200] * 6
        sent = [request.header("x-api-key") or request.header("authorization") or "" for request in first.requests]
        assert sum("secret-a" in value for value in sent) == 1


async def test_a_limit_outlives_a_swap(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first:
        text = spec(first.url, client="{requests: 2/min}")
        async with running(text, tmp_path) as gw:
            assert await statuses(gw, 2) == [200, 200]
            gw.rewrite(text.replace("name: all", "name: everything"))
            assert await gw.reconciler.reconcile("test") == "applied"
            assert await statuses(gw, 1) == [429]


async def test_a_failed_attempt_costs_a_request_and_no_tokens(tmp_path: Path) -> None:
    bad = Reply(400, headers=JSON, body=b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}')
    async with FaultUpstream([bad]) as first:
        text = spec(first.url, client="{requests: 3/min, input_tokens: 100/min}")
        async with running(text, tmp_path) as gw:
            assert [(await ask(gw, text="word " * 60)).status_code for _ in range(4)] == [400, 400, 400, 429]


PRICED = "models: {m: {price: {input: 1000, output: 2000, cache_read: 100}}}"


def with_budget(first: str, budget: str) -> str:
    key = hashlib.sha256(KEYS["alice"].encode()).hexdigest()
    return f"""
    version: ccx/v1
    clients: {{alice: {{key: {{sha256: {key}}}, budget: {budget}}}}}
    channels: {{first: {{protocol: messages, base_url: {first}, keys: none}}}}
    {PRICED}
    """


async def test_a_budget_is_spent_by_what_answers_really_cost(tmp_path: Path) -> None:
    # 400 tokens in at 1,000 USD a million, 300 out at 2,000: a dollar each, of which the estimate knows nothing.
    text = with_budget("URL", "{usd: 3, per: month}")
    async with FaultUpstream([answer(400, 300)]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        assert await statuses(gw, 4) == [200, 200, 200, 429]
        refused = await ask(gw)
        assert refused.headers["x-should-retry"] == "false"
        assert int(refused.headers["retry-after"]) <= 31 * 86_400
        assert "client 'alice': 3.00 USD for 20" in refused.text
        assert (await gw.exchange(5)).limited_by is not None


async def test_cached_tokens_cost_what_they_cost(tmp_path: Path) -> None:
    usage = {"input_tokens": 0, "cache_read_input_tokens": 10_000, "output_tokens": 0}
    body = {"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn", "usage": usage}
    cached = Reply(200, headers=JSON, body=json.dumps(body).encode())  # a dollar, not ten
    text = with_budget("URL", "[{usd: 2.9, per: day}, {usd: 100, per: total}]")
    async with FaultUpstream([cached]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        assert await statuses(gw, 4) == [200, 200, 200, 429]


async def test_a_reservation_holds_while_requests_are_under_way(tmp_path: Path) -> None:
    """Of many at once no more are let through than the budget could pay for, by their estimates."""
    slow = Drip(answer(1, 1).raw(), step=64, pause=0.02)
    text = with_budget("URL", "{usd: 2.2, per: day}")  # an answer of unknown length is expected to cost a dollar
    async with FaultUpstream([slow]) as first, running(text.replace("URL", first.url), tmp_path) as gw:
        answers = await asyncio.gather(*(ask(gw) for _ in range(6)))
        assert sorted(a.status_code for a in answers) == [200, 200, 429, 429, 429, 429]
        assert await statuses(gw, 5) == [200] * 5  # they cost next to nothing, and the rest was given back
