"""Alerts of budgets over replicas with one real Redis, and over workers with one parent: one of them tells."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccx.runtime.alerts import Alert, Alerts
from ccx.state.failsafe import FailsafeMeters
from ccx.state.meters import Charge, Sum, Taken, Threshold
from ccx.state.redis.store import RedisStore
from ccx.state.workers.meters import WorkersState
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.state.workers.test_workers import parent

SHARES = ("50%", "80%", "100%")
NEEDS_REDIS = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


def budget() -> Sum:
    thresholds = tuple(Threshold(amount, name) for amount, name in zip((50, 80, 100), SHARES, strict=True))
    return Sum("group 'core'/usd/2027-01", 100, time.time() + 3600, thresholds)


@contextlib.asynccontextmanager
async def telling(store: RedisStore | WorkersState, heard: list[Alert]) -> AsyncIterator[FailsafeMeters]:
    alerts = Alerts(store.meters, tell=heard.append, clock=time.time)
    tasks = [asyncio.create_task(store.run()), asyncio.create_task(alerts.run())]
    await store.ready()
    try:
        yield store.meters
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def spend(meters: FailsafeMeters, of: Sum, amounts: list[int]) -> None:
    for amount in amounts:
        now = time.time()
        taken = await meters.take((Charge(of, 0),), now=now)
        assert isinstance(taken, Taken)
        await meters.settle(taken, {of.id: amount}, now=now)


async def told(heard: list[Alert], count: int) -> list[str]:
    for _ in range(400):
        if len(heard) >= count:
            break
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)  # for one too many
    return sorted(alert.share for alert in heard)


async def _three(one: FailsafeMeters, two: FailsafeMeters, three: FailsafeMeters, heard: list[Alert]) -> None:
    sum_ = budget()
    await asyncio.gather(*(spend(meters, sum_, [1] * 15) for meters in (one, two, three)))
    assert await told(heard, 0) == []
    await asyncio.gather(*(spend(meters, sum_, [1] * 25) for meters in (one, two, three)))
    assert await told(heard, 3) == sorted(SHARES)


@NEEDS_REDIS
async def test_one_of_three_replicas_tells(redis: RedisServer) -> None:
    async def where() -> str:
        return redis.url

    heard: list[Alert] = []
    async with (
        telling(RedisStore(where, timeout=2.0), heard) as one,
        telling(RedisStore(where, timeout=2.0), heard) as two,
        telling(RedisStore(where, timeout=2.0), heard) as three,
    ):
        await _three(one, two, three, heard)
    kept = redis.said("KEYS *")
    assert b"/alert/50" in kept


@NEEDS_REDIS
async def test_a_replica_that_comes_later_tells_nothing_again(redis: RedisServer) -> None:
    async def where() -> str:
        return redis.url

    heard: list[Alert] = []
    sum_ = budget()
    async with telling(RedisStore(where, timeout=2.0), heard) as one:
        await spend(one, sum_, [60])
        assert await told(heard, 1) == ["50%"]
    async with telling(RedisStore(where, timeout=2.0), heard) as later:
        await spend(later, sum_, [5, 20])
        assert await told(heard, 2) == ["50%", "80%"]


@NEEDS_REDIS
async def test_what_an_older_version_has_kept_counts_as_spent(redis: RedisServer) -> None:
    async def where() -> str:
        return redis.url

    heard: list[Alert] = []
    sum_ = budget()
    async with telling(RedisStore(where, timeout=2.0), heard) as one:
        await spend(one, sum_, [40])
        assert redis.said(f'HDEL "{{ccx}}:meter:{sum_.id}" spent') == b":1\r\n"
        await spend(one, sum_, [9])
        assert await told(heard, 0) == []
        await spend(one, sum_, [1])
        assert await told(heard, 1) == ["50%"]


async def test_one_of_three_workers_tells(tmp_path: Path) -> None:
    heard: list[Alert] = []
    path = tmp_path / "s"
    async with (
        parent(path, workers=3),
        telling(WorkersState(path), heard) as one,
        telling(WorkersState(path), heard) as two,
        telling(WorkersState(path), heard) as three,
    ):
        await _three(one, two, three, heard)
