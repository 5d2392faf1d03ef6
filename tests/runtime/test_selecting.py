"""Requests and the health of targets: what is passed over, and that nobody is ever left with nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from ccx.routing.affinity import rendezvous
from ccx.state.health import Override
from tests.faults import Action, Drip, Drop, FaultUpstream, Reply, Sse, Stall
from tests.gateway import Running, running
from tests.runtime.streams import MESSAGE

JSON = {"content-type": "application/json"}
GOOD = Reply(200, headers=JSON, body=MESSAGE)
BAD = Reply(500, headers=JSON, body=b'{"type":"error","error":{"type":"api_error","message":"oops"}}')
REFUSED = Reply(401, headers=JSON, body=b'{"type":"error","error":{"type":"authentication_error","message":"no"}}')
WRONG = Reply(400, headers=JSON, body=b'{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}')
ASK = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
QUICK = "breaker: {consecutive: 2, open: 150ms, max_open: 1s}"


def limited(wait: str | None = None) -> Reply:
    headers = {**JSON, **({"retry-after": wait} if wait else {})}
    return Reply(429, headers=headers, body=b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}')


def spec(first: str, second: str | None = None, *, breaker: str = QUICK, keys: str = "none", to: str = "") -> str:
    other = f"second: {{protocol: messages, base_url: {second}, keys: none}}" if second else ""
    return f"""
    version: ccx/v1
    channels:
      first:
        protocol: [messages, chat]
        base_url: {first}
        keys: {keys}
        timeouts: {{connect: 300ms, first_byte: 200ms, idle: 200ms, total: 2s}}
        {breaker}
      {other}
    routes:
      - name: all
        to: {to or ("[first, second]" if second else "[first]")}
        failover: {{attempts: 2, deadline: 10s, backoff: {{initial: 5ms, max: 20ms}}}}
    """


async def ask(gw: Running, path: str = "/v1/messages") -> httpx.Response:
    return await gw.client.post(path, json=ASK)


@contextlib.asynccontextmanager
async def pair(script: Sequence[Action], folder: Path, **options: str) -> AsyncIterator[tuple[Running, FaultUpstream]]:
    """A gateway before a first target that follows the script and a second that always answers."""
    async with (
        FaultUpstream(script) as first,
        FaultUpstream([GOOD]) as second,
        running(spec(first.url, second.url, **options), folder) as gw,
    ):
        yield gw, first


def channels(response: httpx.Response) -> str:
    return response.headers["x-ccx-attempts"]


async def test_a_failing_target_is_passed_over_and_comes_back(tmp_path: Path) -> None:
    async with pair([BAD, BAD, GOOD], tmp_path) as (gw, _):
        assert channels(await ask(gw)) == "first:500, second:200"
        assert channels(await ask(gw)) == "first:500, second:200"
        assert channels(await ask(gw)) == "second:200"
        await asyncio.sleep(0.2)
        assert channels(await ask(gw)) == "first:200"  # the probe
        assert channels(await ask(gw)) == "first:200"


async def test_one_probe_at_a_time(tmp_path: Path) -> None:
    async with pair([BAD, BAD, Drip(GOOD.raw(), step=64, pause=0.02)], tmp_path) as (gw, _):
        await ask(gw)
        await ask(gw)
        await asyncio.sleep(0.2)
        answers = await asyncio.gather(*(ask(gw) for _ in range(5)))
        assert sorted(channels(a) for a in answers) == ["first:200"] + ["second:200"] * 4


async def test_the_last_target_is_asked_whatever_is_known_against_it(tmp_path: Path) -> None:
    async with FaultUpstream([BAD]) as first, running(spec(first.url), tmp_path) as gw:
        for count in range(1, 5):
            assert (await ask(gw)).status_code == 500
            assert len(first.requests) >= count


@pytest.mark.parametrize("answer", [WRONG, REFUSED, limited()], ids=["client error", "key refused", "rate limit"])
async def test_what_is_not_the_targets_fault_opens_nothing(tmp_path: Path, answer: Reply) -> None:
    async with FaultUpstream([answer]) as first, running(spec(first.url), tmp_path) as gw:
        for _ in range(4):
            await ask(gw)
        assert all(report.breaker == "closed" for report in gw.gateway.health.reports(0.0))


async def test_a_client_that_leaves_opens_nothing(tmp_path: Path) -> None:
    async with FaultUpstream([Stall()]) as first, running(spec(first.url), tmp_path) as gw:
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                await gw.client.post("/v1/messages", json=ASK, timeout=0.05)
        await gw.exchange(3)
        assert all(report.breaker == "closed" for report in gw.gateway.health.reports(0.0))


async def test_streams_that_break_off_count(tmp_path: Path) -> None:
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{}}}\n\n'
    delta = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"hi"}}\n\n'
    )
    async with pair([Sse([start, delta], cut=True)], tmp_path) as (gw, _):
        for _ in range(2):
            await gw.client.post("/v1/messages", json={**ASK, "stream": True})
        assert channels(await ask(gw)) == "second:200"


async def test_protocols_have_breakers_of_their_own(tmp_path: Path) -> None:
    async with pair([BAD, BAD, GOOD], tmp_path) as (gw, first):
        await ask(gw)
        await ask(gw)
        await gw.client.post("/v1/chat/completions", json={"model": "m", "messages": ASK["messages"]})
        assert first.requests[-1].target.endswith("/chat/completions")


async def test_a_refused_key_rests_while_its_neighbour_works(tmp_path: Path) -> None:
    keys = "[{env: KEY_A}, {env: KEY_B}]"
    async with FaultUpstream([limited("30"), GOOD]) as first:
        text = spec(first.url, keys=keys)
        async with running(text, tmp_path, environ={"KEY_A": "secret-a", "KEY_B": "secret-b"}) as gw:
            for _ in range(4):
                assert (await ask(gw)).status_code == 200
            used = [request.header("x-api-key") or request.header("authorization") for request in first.requests]
            assert used[0] not in used[1:]
            assert len(set(used)) == 2


async def test_drained_is_never_asked_and_promoted_goes_first(tmp_path: Path) -> None:
    async with pair([GOOD], tmp_path) as (gw, _):
        health, now = gw.gateway.health, asyncio.get_running_loop().time()
        health.order("second", Override("promote", now + 60))
        assert channels(await ask(gw)) == "second:200"
        health.order("second", Override("drain", now + 60))
        assert channels(await ask(gw)) == "first:200"
        health.order("first", Override("drain", now + 60))
        refused = await ask(gw)
        assert refused.status_code == 503
        assert "drained" in json.loads(refused.content)["error"]["message"]
        health.order("first", None)
        assert channels(await ask(gw)) == "first:200"


async def test_a_swap_keeps_what_is_known(tmp_path: Path) -> None:
    async with FaultUpstream([BAD]) as first, FaultUpstream([GOOD]) as second:
        text = spec(first.url, second.url, breaker="breaker: {consecutive: 2, open: 1m}")
        async with running(text, tmp_path) as gw:
            await ask(gw)
            await ask(gw)
            gw.rewrite(text.replace("attempts: 2", "attempts: 3"))
            assert await gw.reconciler.reconcile("test") == "applied"
            assert channels(await ask(gw)) == "second:200"


async def test_off_asks_each_time(tmp_path: Path) -> None:
    async with pair([BAD], tmp_path, breaker="breaker: off") as (gw, _):
        for _ in range(8):
            assert channels(await ask(gw)) == "first:500, second:200"


async def test_a_balanced_group_shares_over_those_that_are_well(tmp_path: Path) -> None:
    to = "[{balance: round_robin, targets: [first, second]}]"
    async with pair([Drop(after=0)], tmp_path, to=to, breaker="breaker: {consecutive: 2, open: 1m}") as (gw, first):
        answers = [await ask(gw) for _ in range(12)]
        assert all(answer.status_code == 200 for answer in answers)
        assert len(first.requests) == 2


AFFINE = "[{balance: round_robin, affinity: AFFINITY, targets: [first, second]}]"


async def where(gw: Running, headers: dict[str, str], *, text: str = "hi") -> str:
    asked = {**ASK, "messages": [{"role": "user", "content": text}]}
    response = await gw.client.post("/v1/messages", json=asked, headers=headers)
    return channels(response).partition(":")[0]


async def test_a_session_stays_where_it_is(tmp_path: Path) -> None:
    async with pair([GOOD], tmp_path, to=AFFINE.replace("AFFINITY", "session")) as (gw, _):
        found = {n: {await where(gw, {"x-ccx-session": f"s{n}"}) for _ in range(3)} for n in range(12)}
        assert all(len(channels) == 1 for channels in found.values())
        assert {channel for channels in found.values() for channel in channels} == {"first", "second"}
        # Without an id, what the prompt begins with stands for it.
        assert len({await where(gw, {}, text="the same words") for _ in range(4)}) == 1


async def test_a_session_leaves_a_target_in_trouble_and_returns(tmp_path: Path) -> None:
    async with pair([BAD, BAD, GOOD], tmp_path, to=AFFINE.replace("AFFINITY", "session")) as (gw, first):
        mine = next(n for n in range(50) if belongs_to_first(n))
        assert [await where(gw, {"x-ccx-session": f"s{mine}"}) for _ in range(2)] == ["first", "first"]
        assert await where(gw, {"x-ccx-session": f"s{mine}"}) == "second"
        asked = len(first.requests)
        await asyncio.sleep(0.2)
        assert await where(gw, {"x-ccx-session": f"s{mine}"}) == "first"
        assert len(first.requests) == asked + 1


def belongs_to_first(number: int) -> bool:
    """Whether this session belongs to the first target, by the hash itself."""
    key = hashlib.blake2b(f"\0s{number}".encode(), digest_size=16).digest()
    return rendezvous(key, [("first", "first/m", 1), ("second", "second/m", 1)])[0] == "first"


async def test_by_prefix_conversations_that_begin_alike_meet(tmp_path: Path) -> None:
    async with pair([GOOD], tmp_path, to=AFFINE.replace("AFFINITY", "prefix")) as (gw, _):
        assert len({await where(gw, {"x-ccx-session": f"s{n}"}, text="one prompt") for n in range(6)}) == 1
        assert len({await where(gw, {}, text=f"prompt {n}") for n in range(16)}) == 2


async def test_the_quicker_target_gets_the_requests(tmp_path: Path) -> None:
    slow = Drip(GOOD.raw(), step=200, pause=0.05)
    async with pair([slow], tmp_path, to="[{balance: least_latency, targets: [first, second]}]") as (gw, first):
        for _ in range(20):
            assert (await ask(gw)).status_code == 200
        assert len(first.requests) <= 2


GROUP = "[{balance: round_robin, max_ejection: EJECTION, targets: [first, second]}]"


@pytest.mark.parametrize(("share", "asked"), [("100%", 2), ("50%", 2), ("49%", 8)])
async def test_no_more_of_a_group_is_left_alone_than_declared(tmp_path: Path, share: str, asked: int) -> None:
    """Of two members 49 % is none: the failing one stays in turn. With 50 % it may be left alone."""
    breaker = "breaker: {consecutive: 2, open: 1m}"
    async with pair([BAD], tmp_path, to=GROUP.replace("EJECTION", share), breaker=breaker) as (gw, first):
        for _ in range(16):
            assert (await ask(gw)).status_code == 200
        assert len(first.requests) == asked


async def test_what_a_provider_refused_is_no_ejection(tmp_path: Path) -> None:
    async with pair([limited("60")], tmp_path, to=GROUP.replace("EJECTION", "0%")) as (gw, first):
        for _ in range(8):
            assert (await ask(gw)).status_code == 200
        assert len(first.requests) == 1


async def test_the_declared_cooldown_counts_where_the_provider_says_nothing(tmp_path: Path) -> None:
    cooling = "cooldown: {rate_limit: 100ms, auth: 1h}"
    async with pair([limited(), GOOD], tmp_path, breaker=cooling) as (gw, _):
        assert channels(await ask(gw)) == "first:429, second:200"
        assert channels(await ask(gw)) == "second:200"
        await asyncio.sleep(0.15)
        assert channels(await ask(gw)) == "first:200"


async def test_the_longest_cooldown_bounds_what_a_provider_asks_for(tmp_path: Path) -> None:
    async with pair([limited("3600"), GOOD], tmp_path, breaker="cooldown: {longest: 100ms}") as (gw, _):
        await ask(gw)
        await asyncio.sleep(0.15)
        assert channels(await ask(gw)) == "first:200"


async def test_a_retry_budget_that_is_used_up_lets_the_failure_stand(tmp_path: Path) -> None:
    async with FaultUpstream([BAD]) as first:
        text = spec(first.url, breaker="breaker: off").replace("failover: {", "failover: {retry_budget: 10%, ")
        async with running(text, tmp_path) as gw:
            for _ in range(40):
                assert (await ask(gw)).status_code == 500
            assert len(first.requests) == 40 + 30
            assert gw.gateway.retries.refused["first"] == 10


async def test_another_channel_needs_no_budget(tmp_path: Path) -> None:
    async with FaultUpstream([BAD]) as first, FaultUpstream([GOOD]) as second:
        text = spec(first.url, second.url, breaker="breaker: off")
        async with running(text.replace("failover: {", "failover: {retry_budget: 0%, "), tmp_path) as gw:
            for _ in range(40):
                assert channels(await ask(gw)) == "first:500, second:200"
