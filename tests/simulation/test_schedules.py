"""Failover, health, hedging, limits and the cache under random schedules: the gateway itself, on a clock that jumps,
before upstreams that fail by chance. A schedule is its seed; `python -m tests.simulation` plays thousands."""

from __future__ import annotations

import pytest

from tests.simulation.law import judge
from tests.simulation.schedule import play

FOUND = (1108, 1444, 1984, 2032)
"""Seeds that have found something, here or in the code, since the schedules were last drawn in another way."""


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_found(seed: int) -> None:
    play(seed, judge)


@pytest.mark.parametrize("block", range(6))
def test_what_must_hold(block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        try:
            play(seed, judge)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_schedule_is_its_seed() -> None:
    """Two runs are the same, so that a seed that fails can be looked at."""
    one, other = play(7, judge).trace, play(7, judge).trace
    assert one == other
    assert len(one) > 10
