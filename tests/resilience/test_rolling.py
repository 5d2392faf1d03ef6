"""The load of random failures, in small: what it counts, and that failover and continuation help."""

from __future__ import annotations

import logging

import pytest

from tests.resilience.rolling import report, rolled


async def test_failover_helps_and_so_does_going_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", True)
    alone, both, on = [
        await rolled(150, 0.3, attempts=attempts, midstream=midstream)
        for attempts, midstream in ((1, "error"), (3, "error"), (3, "continue"))
    ]
    assert [tally.requests for tally in (alone, both, on)] == [150, 150, 150]
    assert alone.failures > 20
    assert both.errors < alone.errors
    assert both.continued == 0 < on.continued
    assert on.late < both.late
    assert "| 150 |" in report({"on": on})
