"""A second target beside a slow first one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.faults import Action, FaultUpstream, Peer, Received, Reply, Sse, Stall
from tests.gateway import Running, running
from tests.runtime.test_selecting import ASK, BAD, GOOD, channels, spec


def event(kind: str, rest: str = "") -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}"{rest}}}\n\n'.encode()


EVENTS = [
    event("message_start", ',"message":{"id":"m","usage":{"input_tokens":3}}'),
    event("content_block_start", ',"index":0,"content_block":{"type":"text","text":""}'),
    event("content_block_delta", ',"index":0,"delta":{"type":"text_delta","text":"hi"}'),
    event("content_block_stop", ',"index":0'),
    event("message_delta", ',"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}'),
    event("message_stop"),
]
QUICK = Sse(EVENTS)


@dataclass(frozen=True)
class Late:
    """The same answer, a while later."""

    async def play(self, peer: Peer, request: Received) -> bool:
        await asyncio.sleep(0.15)
        return await QUICK.play(peer, request)


LATE = Late()


@contextlib.asynccontextmanager
async def hedged(
    first: Sequence[Action], second: Sequence[Action], folder: Path, *, hedge: str = "{after: 50ms, share: 100%}"
) -> AsyncIterator[tuple[Running, FaultUpstream, FaultUpstream]]:
    async with FaultUpstream(first) as one, FaultUpstream(second) as other:
        text = spec(one.url, other.url, breaker="").replace("failover: {", f"failover: {{hedge: {hedge}, ")
        text = text.replace("first_byte: 200ms", "first_byte: 1s")
        async with running(text, folder) as gw:
            yield gw, one, other


async def stream(gw: Running) -> httpx.Response:
    return await gw.client.post("/v1/messages", json={**ASK, "stream": True})


async def test_the_second_wins_and_the_first_is_given_up(tmp_path: Path) -> None:
    async with hedged([Stall()], [QUICK], tmp_path) as (gw, first, _):
        answer = await stream(gw)
        assert answer.status_code == 200
        assert answer.text.count("message_stop") == 2
        assert answer.headers["x-ccx-channel"] == "second"
        exchange = await gw.exchange()
        assert [(a.channel, a.outcome) for a in exchange.attempts] == [("first", "outpaced"), ("second", "ok")]
        assert exchange.hedged == "won"
        assert gw.gateway.state.inflight("first") == 0
        assert all(report.breaker == "closed" for report in gw.gateway.health.reports(0.0))
        await first.all_closed()


async def test_the_first_may_still_win(tmp_path: Path) -> None:
    async with hedged([LATE], [Stall()], tmp_path) as (gw, _, second):
        answer = await stream(gw)
        assert answer.headers["x-ccx-channel"] == "first"
        exchange = await gw.exchange()
        assert [(a.channel, a.outcome) for a in exchange.attempts] == [("second", "outpaced"), ("first", "ok")]
        assert exchange.hedged == "lost"
        await second.all_closed()


async def test_a_quick_first_is_never_hedged(tmp_path: Path) -> None:
    async with hedged([QUICK], [QUICK], tmp_path) as (gw, _, second):
        assert (await stream(gw)).status_code == 200
        assert not second.requests
        assert (await gw.exchange()).hedged is None


async def test_who_fails_leaves_the_other_to_answer(tmp_path: Path) -> None:
    async with hedged([LATE], [BAD], tmp_path) as (gw, _, _second):
        answer = await stream(gw)
        assert answer.status_code == 200
        exchange = await gw.exchange()
        assert [(a.channel, a.outcome) for a in exchange.attempts] == [("second", "server_error"), ("first", "ok")]


async def test_both_fail(tmp_path: Path) -> None:
    slow = Reply(500, headers={"content-type": "application/json"}, body=BAD.body, delay=0.12)
    async with hedged([slow], [BAD], tmp_path) as (gw, first, second):
        assert (await stream(gw)).status_code == 500
        assert (len(first.requests), len(second.requests)) == (1, 1)  # two attempts were declared
        assert (await gw.exchange()).hedged == "lost"


async def test_no_more_than_the_share(tmp_path: Path) -> None:
    async with hedged([LATE], [QUICK], tmp_path, hedge="{after: 20ms, share: 0%}") as (gw, _, second):
        answers = await asyncio.gather(*(stream(gw) for _ in range(6)))
        assert all(answer.status_code == 200 for answer in answers)
        assert len(second.requests) == 1  # one in ten seconds always may


async def test_an_answer_that_is_not_streamed_is_waited_for(tmp_path: Path) -> None:
    slow = Reply(200, headers={"content-type": "application/json"}, body=GOOD.body, delay=0.12)
    async with hedged([slow], [GOOD], tmp_path) as (gw, _, second):
        answer = await gw.client.post("/v1/messages", json=ASK)
        assert channels(answer) == "first:200"
        assert not second.requests


async def test_a_client_that_leaves_ends_both(tmp_path: Path) -> None:
    async with hedged([Stall()], [Stall()], tmp_path) as (gw, first, second):
        with pytest.raises(httpx.ReadTimeout):
            await gw.client.post("/v1/messages", json={**ASK, "stream": True}, timeout=0.15)
        exchange = await gw.exchange()
        assert exchange.status == 499
        assert {attempt.outcome for attempt in exchange.attempts} == {"cancelled"}
        assert len(exchange.attempts) == 2
        await first.all_closed()
        await second.all_closed()
