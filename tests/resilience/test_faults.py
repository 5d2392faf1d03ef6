"""Each fault of an upstream, in every way to ask, comes out as the table says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults import FaultUpstream, Reply, Stall
from tests.gateway import Running, running
from tests.resilience.acts import half
from tests.resilience.faults import found, markdown
from tests.resilience.measure import PAIRS, Measured, Way, heard, known, measured, ways
from tests.resilience.speech import MESSAGES
from tests.resilience.table import FAULTS, Fault


@pytest.fixture(scope="module")
def results() -> Iterator[dict[Way, Measured]]:
    """All at once: most of the time is spent waiting for time limits."""
    said = logging.getLogger("uvicorn.error")
    said.disabled = True  # it tells of every connection that was cut on purpose
    yield asyncio.run(measured(ways()))
    said.disabled = False


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_the_table_says(results: dict[Way, Measured], fault: Fault) -> None:
    for pair in PAIRS:
        for stream in (True, False):
            wanted = fault.expected(stream=stream, converted=pair.converted)
            assert found(results, fault, pair, stream=stream) == wanted, (pair.name, stream)


def test_a_sound_target_answers_for_the_failing_one_byte_for_byte(results: dict[Way, Measured]) -> None:
    for way, one in results.items():
        served = [way.name] if one.attempts == ("ok",) else [way.name, f"second-{way.pair.upstream.name}"]
        if one.client == "answer":
            assert one.exact, way.name
            assert list(one.channels) == served, way.name


def test_nobody_waits_longer_than_is_declared(results: dict[Way, Measured]) -> None:
    """A fault that is slow costs its limit, and an attempt or the backoff beside it, not more."""
    for way, one in results.items():
        if way.fault.limits.total <= 1000:
            assert one.seconds < way.fault.limits.total / 1000 + 3.0, way.name


def test_the_table_can_be_printed(results: dict[Way, Measured]) -> None:
    table = markdown(results).splitlines()
    assert len(table) >= len(FAULTS) + 2
    assert all(line.count("|") == 5 for line in table)


@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "within the answer"])
async def test_a_client_that_leaves_says_nothing_of_the_target(tmp_path: Path, begun: bool) -> None:
    action = half("stall")(MESSAGES, True) if begun else Stall()
    async with FaultUpstream([action]) as upstream:
        spec = f"version: ccx/v1\nchannels: {{one: {{protocol: messages, base_url: '{upstream.url}', keys: none}}}}\n"
        async with running(spec, tmp_path) as gw:
            asking = asyncio.create_task(_first_bytes(gw, wait=begun))
            await upstream.received(1)
            if begun:
                await asking
            asking.cancel()
            await upstream.all_closed()
            exchange = await gw.exchange()
            assert exchange.attempts[-1].outcome == "cancelled"
            assert known(gw.gateway.health, "one") == "untouched"


async def _first_bytes(gw: Running, *, wait: bool) -> None:
    content = MESSAGES.ask("m", stream=True)
    async with gw.client.stream("POST", MESSAGES.path, content=content) as answer:
        async for _ in answer.aiter_bytes():
            if wait:
                return


async def test_an_error_for_an_array_of_gemini_is_tried_elsewhere(tmp_path: Path) -> None:
    """A stream that was not asked for as events."""
    error = b'[{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}]'
    good = b'[{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},"finishReason":"STOP"}]}]'
    headers = {"content-type": "application/json"}
    async with (
        FaultUpstream([Reply(headers=headers, body=error)]) as bad,
        FaultUpstream([Reply(headers=headers, body=good)]) as up,
    ):
        spec = f"""
        version: ccx/v1
        channels:
          one: {{protocol: gemini, base_url: '{bad.url}', keys: none}}
          two: {{protocol: gemini, base_url: '{up.url}', keys: none}}
        """
        async with running(spec, tmp_path) as gw:
            asked = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
            answer = await gw.client.post("/v1beta/models/m:streamGenerateContent", content=asked)
            assert answer.content == good
            assert [one.outcome for one in (await gw.exchange()).attempts] == ["overloaded", "ok"]


async def test_a_moment_that_is_named_stays_that_moment_however_late_it_is_said(tmp_path: Path) -> None:
    delay = 0.3
    moment = datetime.now(UTC) + timedelta(seconds=90)
    said = {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": moment.isoformat()}
    refusal = Reply(429, headers=said, body=MESSAGES.error("rate_limit"), delay=delay)
    async with FaultUpstream([refusal]) as upstream:
        spec = f"version: ccx/v1\nchannels: {{one: {{protocol: messages, base_url: '{upstream.url}', keys: none}}}}\n"
        async with running(spec, tmp_path) as gw:
            assert (await heard(gw.client, MESSAGES.path, MESSAGES.ask("m", stream=False))).status == 429
            now = asyncio.get_running_loop().time()
            (report,) = gw.gateway.health.reports(now)
            assert report.cooling is not None
            left = (moment - datetime.now(UTC)).total_seconds()
            assert abs(report.cooling.until - now - left) < delay / 2
