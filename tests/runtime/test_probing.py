"""Active probes: what they ask, what an answer changes, and that they are nobody's request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccx.runtime.probing import JITTER, Prober
from ccx.state.health import Override
from tests.faults import FaultUpstream, Reply, Stall
from tests.gateway import Running, running
from tests.runtime.test_selecting import BAD, GOOD, JSON, ask, channels, limited, spec

MODELS = Reply(200, headers=JSON, body=b'{"data":[{"id":"m","type":"model"}],"has_more":false}')
NONE = Reply(404, headers=JSON, body=b'{"type":"error","error":{"type":"not_found_error","message":"no"}}')
SHUT = "breaker: {consecutive: 2, open: 1h, max_open: 1h}"


@contextlib.asynccontextmanager
async def probing(gw: Running) -> AsyncIterator[list[tuple[str, str, str]]]:
    """Probes that are due at once, and what came of them."""
    noted: list[tuple[str, str, str]] = []
    prober = Prober(gw.gateway, note=lambda *said: noted.append(said), rng=lambda: 0.5)
    prober._due["first"] = 0.0
    task = asyncio.create_task(prober.run())
    try:
        yield noted
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_an_older_table_has_told_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request ends after its channel and client have left the table, and tells how it went."""
    monkeypatch.setattr("ccx.runtime.probing.SWEEP", 0.0)
    async with FaultUpstream([GOOD]) as first, running(spec(first.url, first.url), tmp_path) as gw:
        state, retries = gw.gateway.state, gw.gateway.retries
        now = asyncio.get_running_loop().time()
        for name in ("first", "gone"):
            state.began(f"{name}/messages/whole", 0.5, now)
            state.prompted(name, 10, 5)
            retries.asked(name, now)
        state.answered("who left", 7)
        async with probing(gw):
            await asyncio.sleep(0.01)
        assert state.latency("gone/messages/whole", now) == 0.0
        assert state.latency("first/messages/whole", now) > 0.0
        assert (state.cached_share("gone"), state.cached_share("first")) == (0.0, 0.5)
        assert state.answer_length("who left") == state.answer_length("never came")
        assert len(retries) == 1


async def until(noted: list[tuple[str, str, str]], count: int = 1) -> None:
    for _ in range(200):
        if len(noted) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{noted}")


@contextlib.asynccontextmanager
async def shut(
    folder: Path, *answers: Reply | Stall, probe: str = "probe: {}", keys: str = "none"
) -> AsyncIterator[tuple[Running, FaultUpstream]]:
    """A gateway whose first channel's breaker is open, for an hour; then `answers`."""
    async with FaultUpstream([BAD, BAD, *answers]) as first, FaultUpstream([GOOD]) as second:
        text = spec(first.url, second.url, breaker=f"{SHUT}\n        {probe}", keys=keys)
        async with running(text, folder, environ={"KEY_A": "secret-a"}) as gw:
            await ask(gw)
            await ask(gw)
            assert channels(await ask(gw)) == "second:200"
            yield gw, first


async def test_an_answer_lets_requests_through(tmp_path: Path) -> None:
    async with shut(tmp_path, MODELS, GOOD, keys="{env: KEY_A}") as (gw, first):
        async with probing(gw) as noted:
            await until(noted)
        assert noted == [("first", "messages", "ok")]
        sent = first.requests[-1]
        assert (sent.method, sent.target, sent.body) == ("GET", "/v1/models", b"")
        assert sent.header("x-api-key") == "secret-a"
        assert sent.header("anthropic-version")
        assert channels(await ask(gw)) == "first:200"
        assert [a.channel for x in gw.exchanges for a in x.attempts].count("first") == 3  # the probe is none of them
        assert gw.gateway.state.inflight("first") == 0


@pytest.mark.parametrize(
    ("answer", "outcome"), [(BAD, "server_error"), (limited(), "rate_limit"), (Stall(), "timeout")], ids=str
)
async def test_a_failure_keeps_it_shut(tmp_path: Path, answer: Reply | Stall, outcome: str) -> None:
    async with shut(tmp_path, answer, probe="probe: {timeout: 100ms}") as (gw, _):
        async with probing(gw) as noted:
            await until(noted)
        assert noted == [("first", "messages", outcome)]
        assert channels(await ask(gw)) == "second:200"
        assert all(report.cooling is None for report in gw.gateway.health.reports(asyncio.get_running_loop().time()))


async def test_an_upstream_without_a_list_of_models_answers_too(tmp_path: Path) -> None:
    async with shut(tmp_path, NONE, GOOD) as (gw, _):
        async with probing(gw) as noted:
            await until(noted)
        assert channels(await ask(gw)) == "first:200"


async def test_generate_asks_for_a_short_answer(tmp_path: Path) -> None:
    async with shut(tmp_path, GOOD, probe="probe: {ask: generate, model: small}") as (gw, first):
        async with probing(gw) as noted:
            await until(noted)
        body = json.loads(first.requests[-1].body)
        assert (body["model"], body["max_tokens"]) == ("small", 1)
        assert channels(await ask(gw)) == "first:200"


async def test_generate_takes_a_missing_model_for_no_answer(tmp_path: Path) -> None:
    async with shut(tmp_path, NONE, probe="probe: {ask: generate, model: gone}") as (gw, _):
        async with probing(gw) as noted:
            await until(noted)
        assert channels(await ask(gw)) == "second:200"


@pytest.mark.parametrize(("probe", "count"), [("probe: {}", 0), ("probe: {always: true}", 2)])
async def test_what_is_well_is_probed_only_if_declared(tmp_path: Path, probe: str, count: int) -> None:
    async with FaultUpstream([MODELS]) as first, running(spec(first.url, breaker=probe), tmp_path) as gw:
        async with probing(gw) as noted:
            await asyncio.sleep(0.1)
        assert len(noted) == len(first.requests) == count  # one for each protocol


async def test_a_drained_channel_is_left_alone(tmp_path: Path) -> None:
    async with shut(tmp_path, MODELS) as (gw, first):
        gw.gateway.health.order("first", Override("drain", asyncio.get_running_loop().time() + 60))
        async with probing(gw) as noted:
            await asyncio.sleep(0.1)
        assert not noted
        assert len(first.requests) == 2


async def test_the_times_of_probes(tmp_path: Path) -> None:
    async with FaultUpstream([MODELS]) as first:
        text = spec(first.url, breaker="probe: {every: 10s}")
        async with running(text, tmp_path) as gw:
            prober = Prober(gw.gateway, note=lambda *_: None, rng=random.Random(1).random)
            assert not list(prober._now_due(0.0))  # first after a whole interval
            times = [0.0]
            for tick in range(1, 2000):
                times += [tick / 10 for _ in prober._now_due(tick / 10)]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert all(10 * (1 - JITTER) - 0.11 <= gap <= 10 * (1 + JITTER) + 0.11 for gap in gaps)
            assert len({round(gap, 1) for gap in gaps}) > 3
            gw.rewrite(text.replace("every: 10s", "every: 1s"))
            assert await gw.reconciler.reconcile("test") == "applied"
            assert not list(prober._now_due(times[-1]))
            assert prober._due["first"] <= times[-1] + 1.2
            gw.rewrite(text.replace("probe: {every: 10s}", ""))
            assert await gw.reconciler.reconcile("test") == "applied"
            assert not list(prober._now_due(1e6))
            assert not prober._due
