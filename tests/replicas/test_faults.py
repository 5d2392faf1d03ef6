"""Gateways as processes: no fault of one, of Redis, or of the way to it loses a request of the others.

The longer version, with figures, is `python -m tests.replicas.faults`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.redis_server import PROGRAM, WHY_NOT, redis_server
from tests.replicas.brisk import LEASE
from tests.replicas.faults import redis_frozen, redis_killed, replica_killed, slow
from tests.replicas.fleet import Figures, fleet
from tests.replicas.proxy import network

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)]
TIMEOUT = "800ms"
"""Longer than the default of 250 ms: a busy machine is not the fault here. The command measures with the default."""
PATIENCE = 5.0
"""Seconds in which any answer comes on a busy machine, one wait for Redis before and one after it included."""


def unharmed(figures: Figures) -> None:
    assert figures.statuses.keys() == {"200"}, figures.said()
    assert figures.longest < PATIENCE, figures.said()


async def test_each_goes_on_by_itself(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with (
            network(redis.port) as between,
            fleet(redis, tmp_path, count=2, port=between.port, patience=TIMEOUT) as them,
        ):
            figures = await slow(them, between, round_trip=0.05, seconds=0.5)
            unharmed(figures)

            figures = await slow(them, between, round_trip=1.0, seconds=1.5)
            unharmed(figures)
            assert figures.notes["modes"] == ["local"], figures.said()  # at 50 ms: `test_replicas`

            figures = await redis_frozen(them, seconds=0.6)
            unharmed(figures)

            figures = await redis_killed(them, seconds=0.6)
            unharmed(figures)
            assert figures.notes["metric"] is True


async def test_one_that_is_killed_takes_only_its_own_along(tmp_path: Path) -> None:
    with redis_server() as redis:
        # A busy machine is not the fault here: one that went on alone for a moment would take along what it spent.
        async with fleet(redis, tmp_path, patience="5s") as them:
            figures = await replica_killed(them, seconds=0.8, lease=LEASE)
            assert not figures.others, figures.said()
            assert figures.statuses["200"] > 10
            own = sum(figures.statuses.values()) - figures.statuses["200"]
            assert own <= 3, "its own three clients'"
            # What it took along stays charged, as estimated: it was sent, and will be on the bill.
            assert figures.notes["steady"] is True
            charged = figures.notes["charged for what it took along (USD/1e6)"]
            assert isinstance(charged, int)
            assert 0 <= charged <= 10_000 * own, figures.said()
            assert (charged > 0) == (figures.notes["sent upstream"] > figures.statuses["200"]), figures.said()
            await them.all_say(up=True, within=5, sharing=2)


async def test_closed_refuses_at_once_and_comes_back(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with fleet(redis, tmp_path, count=1, on_failure="closed") as them:
            for fault in (redis_frozen, redis_killed):
                figures = await fault(them, seconds=0.6)
                assert figures.statuses.keys() == {"200", "503"}, figures.said()
                assert figures.waits == {"5 error"}, "when to ask again, in the words of the protocol"
                assert figures.longest < PATIENCE, figures.said()
                assert (await them.all_say(up=True, within=5)) < 1
