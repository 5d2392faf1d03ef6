"""A Redis for all tests of a process; each gets it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.redis_server import PROGRAM, WHY_NOT, RedisServer, redis_server


@pytest.fixture(scope="session")
def _shared_redis() -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip(WHY_NOT)
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(_shared_redis: RedisServer) -> RedisServer:
    _shared_redis.flush()
    return _shared_redis


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas say more often that they are alive, so that tests need not wait a second for it."""
    monkeypatch.setattr("ccx.state.redis.store.BEAT_EVERY", 0.1)
