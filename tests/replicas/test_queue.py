"""Waiting over replicas that share one Redis: the limit holds for all of them, and who waits is let in by each."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults import Drip, FaultUpstream
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.replicas.replica import many, replicas, spec
from tests.runtime.test_limits import GOOD

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


async def test_who_waits_is_let_in_and_the_limit_holds(redis: RedisServer, tmp_path: Path) -> None:
    slow = Drip(GOOD.raw(), step=128, pause=0.01)
    async with FaultUpstream([slow]) as upstream:
        declared = f"protocol: messages, base_url: {upstream.url}, keys: none, limits: {{concurrency: 2}}, queue: {{}}"
        text = spec(redis.url, limits="{}").replace("provider: demo", declared)
        async with replicas(text, tmp_path) as them:
            most = waited = 0

            async def watch() -> None:
                nonlocal most, waited
                while True:
                    most = max(most, sum(one.gateway.state.inflight("main") for one in them))
                    waited = max(waited, sum(sum(one.gateway.queueing.waiting().values()) for one in them))
                    await asyncio.sleep(0.001)

            watching = asyncio.create_task(watch())
            statuses, _ = await many(them, 60)
            watching.cancel()
            assert statuses == {200: 60}
            assert 0 < most <= 2
            assert 6 <= waited <= 12
            assert all(not one.gateway.queueing.waiting() for one in them)
            queued = [x.queued_seconds for one in them for x in one.exchanges if x.queued_seconds is not None]
            assert len(queued) >= 30
            metrics = (await them[0].client.get("/status")).json()["channels"]["main"]["queue"]
            assert metrics == {"size": 100, "wait_ms": 10_000, "waiting": 0, "clients": {}}
