"""Alerts of budgets: each once in a period, whoever of all processes sees it first."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.runtime.alerts import Alert, Alerts
from ccx.runtime.budgets import Budgets, describe
from ccx.runtime.metering import Purse
from ccx.state.meters import Charge, MemoryMeters, Meters, Short, Sum, Taken, Threshold
from tests.faults import FaultUpstream, Reply
from tests.gateway import running
from tests.runtime.test_groups import spec
from tests.runtime.test_limits import PRICED, answer, ask, statuses

NOW = 1_800_000_000.0
THRESHOLDS = (Threshold(50, "50%"), Threshold(80, "80%"), Threshold(100, "100%"))
JAN = Sum("group 'core'/usd/2027-01", 100, NOW + 3600, THRESHOLDS)


@dataclass
class Told:
    """One process, and what it tells."""

    alerts: Alerts
    heard: list[Alert] = field(default_factory=list)

    @property
    def shares(self) -> list[str]:
        return [alert.share for alert in self.heard]


@contextlib.asynccontextmanager
async def process(meters: Meters, now: float = NOW) -> AsyncIterator[Told]:
    heard: list[Alert] = []
    alerts = Alerts(meters, tell=heard.append, clock=lambda: now)
    task = asyncio.create_task(alerts.run())
    try:
        yield Told(alerts, heard)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def spend(meters: Meters, amount: int, *, of: Sum = JAN, estimate: int = 0) -> None:
    taken = await meters.take((Charge(of, estimate),), now=NOW)
    assert isinstance(taken, Taken)
    await meters.settle(taken, {of.id: amount}, now=NOW)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_each_share_is_told_once() -> None:
    meters = MemoryMeters()
    async with process(meters) as told:
        for amount in (49, 1, 10, 25, 5, 30):
            await spend(meters, amount)
        assert told.shares == ["50%", "80%", "100%"]
        assert told.heard[0] == Alert(
            "group/core", "2027-01", "50%", Decimal("0.00005"), Decimal("0.0001"), refused=False, at=NOW
        )


async def test_several_shares_at_once_are_all_told() -> None:
    meters = MemoryMeters()
    async with process(meters) as told:
        await spend(meters, 120)
        assert told.shares == ["50%", "80%", "100%"]


async def test_estimates_of_requests_under_way_tell_nothing() -> None:
    meters = MemoryMeters()
    async with process(meters) as told:
        waiting = await meters.take((Charge(JAN, 45),), now=NOW)
        assert isinstance(waiting, Taken)
        await spend(meters, 10, estimate=45)
        assert told.shares == []
        await meters.settle(waiting, {JAN.id: 40}, now=NOW)
        await spend(meters, 0)
        assert told.shares == ["50%"]


async def test_another_period_begins_anew_and_one_that_is_over_is_silent() -> None:
    meters = MemoryMeters()
    february = Sum("group 'core'/usd/2027-02", 100, NOW + 7200, THRESHOLDS)
    async with process(meters) as told:
        await spend(meters, 60)
        await spend(meters, 60, of=february)
        assert [(one.period, one.share) for one in told.heard] == [("2027-01", "50%"), ("2027-02", "50%")]
    async with process(meters, now=NOW + 3600) as later:
        await spend(meters, 40)
        assert later.shares == []


async def test_a_budget_that_was_raised_tells_of_its_new_amounts() -> None:
    meters = MemoryMeters()
    raised = Sum(JAN.id, 200, JAN.ends, (Threshold(100, "50%"), Threshold(160, "80%")))
    async with process(meters) as told:
        await spend(meters, 85)
        await spend(meters, 10, of=raised)
        assert told.shares == ["50%", "80%"]
        await spend(meters, 10, of=raised)
        assert told.shares == ["50%", "80%", "50%"]


async def test_a_refusal_tells_that_it_is_used_up() -> None:
    meters = MemoryMeters()
    async with process(meters) as told:
        await spend(meters, 97)
        assert told.shares == ["50%", "80%"]
        short = await meters.take((Charge(JAN, 5),), now=NOW)
        assert isinstance(short, Short)
        told.alerts.refused(short)
        told.alerts.refused(short)
        await spend(meters, 3)  # and then it really is
        assert [(one.share, one.refused) for one in told.heard[2:]] == [("100%", True)]
        assert told.heard[2].spent_usd == Decimal("0.000097")


async def test_a_restart_tells_nothing_again() -> None:
    before, after = MemoryMeters(), MemoryMeters()
    async with process(before) as told:
        await spend(before, 60)
        assert told.shares == ["50%"]
    after.restore(before.sums(), now=NOW)
    async with process(after) as told:
        await spend(after, 5)
        assert told.shares == []
        await spend(after, 20)
        assert told.shares == ["80%"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.booleans()), max_size=25))
def test_of_several_processes_exactly_one_tells(steps: list[tuple[int, int, bool]]) -> None:
    """Three of them on one store, as replicas have: each amount that was reached is told of once, no other at all."""

    async def run() -> None:
        shared, spent = MemoryMeters(), 0
        views = [_View(shared) for _ in range(3)]
        async with process(views[0]) as a, process(views[1]) as b, process(views[2]) as c:
            for which, amount, at_once in steps:
                spent += amount
                taken = Taken((Charge(JAN, 0),), NOW)
                await views[which].settle(taken, {JAN.id: amount}, now=NOW)
                if not at_once:
                    await asyncio.sleep(0)
            for _ in range(30):
                await asyncio.sleep(0)
            told = sorted(a.shares + b.shares + c.shares)
            assert told == sorted(threshold.name for threshold in THRESHOLDS if spent >= threshold.amount)

    asyncio.run(run())


class _View(MemoryMeters):
    """A process's view of a store that others have too: it is told only of its own settlements."""

    def __init__(self, shared: MemoryMeters) -> None:
        super().__init__()
        self._shared = shared

    async def settle(self, taken: Taken, used: dict[str, int], *, now: float) -> None:  # type: ignore[override]  # a dict will do here
        await asyncio.sleep(0)
        self._shared.settle_now(taken, used, now=now)
        for one in taken.charges:
            assert isinstance(one.meter, Sum)
            spent = self._shared.spent(one.meter)
            assert self.on_spent is not None
            self.on_spent(one.meter, spent)


async def test_how_budgets_stand() -> None:
    meters = MemoryMeters()
    purse = Purse("group 'core'", "total", 100_000_000, (Threshold(50_000_000, "50%"), Threshold(80_000_000, "80%")))
    sum_ = Sum("group 'core'/usd/total", 100_000_000, None, purse.thresholds)
    budgets = Budgets(meters, lambda: (purse,), clock=lambda: NOW)
    async with process(meters):
        await spend(meters, 62_500_000, of=sum_)
        assert describe(await budgets.look()) == [
            {
                "budget": "group/core",
                "per": "total",
                "period": "total",
                "used_usd": 62.5,
                "limit_usd": 100.0,
                "alerts": {"50%": True, "80%": False},
            }
        ]


async def test_a_period_that_is_over_is_no_longer_shown() -> None:
    now = NOW
    budgets = Budgets(MemoryMeters(), lambda: (Purse("client 'a'", "day", 5),), clock=lambda: now)
    await budgets.look()
    assert [one.per for one in budgets.current()] == ["day"]
    now += 86_400
    assert budgets.current() == ()


async def eventually(what: list[bytes] | list[object], count: int) -> None:
    for _ in range(400):
        if len(what) >= count:
            return
        await asyncio.sleep(0.005)
    pytest.fail(f"{len(what)} instead of {count}")


async def test_a_gateway_logs_counts_shows_and_posts_its_alerts(tmp_path: Path) -> None:
    groups = "{core: {when: {tag: {team: core}}, budget: {usd: 3.5, per: total, alerts: [50%, 100%]}}}"
    async with FaultUpstream([Reply(204)]) as chat, FaultUpstream([answer(400, 300)]) as first:
        more = PRICED + "\n    telemetry: {alerts: {url: {env: HOOK}}}"
        text = spec(first.url, groups, more=more)
        environ = {"HOOK": f"{chat.url}/services/T0/very-secret?x=1"}
        async with running(text, tmp_path, environ=environ) as gw:
            assert await statuses(gw, 2, "alice") == [200, 200]
            await eventually(chat.requests, 1)
            assert await statuses(gw, 2, "bob") == [200, 429]
            status = (await gw.client.get("/status")).json()
            assert status["budgets"][0]["used_usd"] == 3.0
            metrics = (await gw.client.get("/metrics")).text
            assert 'ccx_budget_spent_usd{budget="group/core",per="total"} 3' in metrics
            assert 'ccx_budget_limit_usd{budget="group/core",per="total"} 3.5' in metrics
            assert 'ccx_budget_alerts_total{budget="group/core",share="50%"} 1' in metrics
            assert 'ccx_budget_alerts_total{budget="group/core",share="100%"} 1' in metrics
            assert (await gw.client.get("/status")).json()["budgets"][0]["alerts"] == {"50%": True, "100%": True}
            await eventually(chat.requests, 2)
            posted = chat.requests[0]
            assert posted.target == "/services/T0/very-secret?x=1"
            body = json.loads(posted.body)
            assert body["text"] == "Budget of group/core: 2.00 of 3.50 USD for total are spent (50%)."
            assert (body["event"], body["budget"], body["share"]) == ("budget_alert", "group/core", "50%")
            refused = await ask(gw, "alice")
            assert refused.status_code == 429
    log = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in log.splitlines() if '"budget_alert"' in line]
    assert [(line["level"], line["share"], line["refused"]) for line in lines] == [
        ("warning", "50%", False),
        ("warning", "100%", True),
    ]
    assert "very-secret" not in log
