"""Replicas in tests are brisk."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas say more often that they are alive, so that tests need not wait a second for it."""
    monkeypatch.setattr("ccx.state.redis.store.BEAT_EVERY", 0.1)
