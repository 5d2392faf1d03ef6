"""Targets that fail at random: failover keeps most of it from clients, and nobody gets half an answer for a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.resilience.rolling import ROLLED, report, rolled


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """uvicorn tells of every connection that was cut on purpose."""
    said = logging.getLogger("uvicorn.error")
    said.disabled = True
    yield
    said.disabled = False


async def test_failover_keeps_failures_from_clients() -> None:
    two = await rolled(240, 0.25, attempts=2)
    one = await rolled(240, 0.25, attempts=1)
    assert two.requests == one.requests == 240
    for tally in (two, one):
        assert tally.failures > 20
        assert tally.errors == tally.late + tally.spent + tally.alone
    # What comes before the answer is tried elsewhere; what comes within it cannot be.
    assert two.spent + two.alone < (one.spent + one.alone) / 2
    assert two.errors < one.errors
    assert f"{two.errors} (" in report({"two": two})


async def test_without_failures_nobody_sees_an_error() -> None:
    tally = await rolled(60, 0.0, attempts=2)
    assert (tally.errors, tally.calls) == (0, 60)


def test_what_is_drawn_are_the_upstreams_own_failures() -> None:
    names = {fault.name for fault in ROLLED}
    assert {"500", "429", "reset in the body", "silent before the head"} <= names
    assert not {"400", "401", "413", "reset behind the end"} & names
