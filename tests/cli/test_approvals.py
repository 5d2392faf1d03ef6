"""Tables that nobody reviewed are not served: the approvals by themselves, and in a gateway."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ccx.cli.approvals import MAX_PLAN, Approvals
from ccx.cli.main import main
from ccx.plan.saved import read_plan
from ccx.routing.canonical import digest
from tests.cli.test_live import spec
from tests.gateway import Running, running


def plan(folder: Path, name: str, before: str, after: str, *options: str) -> tuple[str, str]:
    """Save a plan under a name; the digests it leads between."""
    old, new = folder / "before.yaml", folder / "after.yaml"
    old.write_text(before)
    new.write_text(after)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert main(["plan", str(old), str(new), "-o", f"json={path}", *options]) == 0
    saved = read_plan(path.read_text())
    return saved.old.digest, saved.new.digest


def test_a_table_needs_a_plan_that_leads_to_it_from_what_runs(tmp_path: Path) -> None:
    one, two = plan(tmp_path, "plans/a.json", spec(), spec("two"))
    approvals = Approvals(tmp_path / "plans")
    assert approvals.refusal(one, two) is None
    assert approvals.refusal(None, two) is None
    assert approvals.refusal("x" * 64, "x" * 64) is None
    assert approvals.refusal(two, one) == (
        f"table {one[:12]} is not approved by {str(approvals.path)!r}: none of 1 plans leads to it"
    )
    assert approvals.refusal("y" * 64, two) == (
        f"table {two[:12]} is not approved by {str(approvals.path)!r}: "
        f"a.json leads to it from table {one[:12]}, and yyyyyyyyyyyy runs"
    )
    assert Approvals(tmp_path / "plans/a.json").refusal(one, two) is None
    # Any of several will do.
    plan(tmp_path, "plans/b.json", spec("two"), spec())
    assert approvals.refusal(two, one) is None


def test_what_is_no_whole_plan_approves_nothing(tmp_path: Path) -> None:
    one, two = plan(tmp_path, "plans/part.json", spec(), spec("two"), "--within", "model=m1")
    plans = tmp_path / "plans"
    good = tmp_path / "good.json"
    plan(tmp_path, "good.json", spec(), spec("two"))
    data = json.loads(good.read_text())
    (plans / "changed.json").write_text(json.dumps({**data, "complete": False}))
    (plans / "junk.json").write_bytes(b"\xff")
    (plans / "folder.json").mkdir()
    (plans / "aside.txt").write_text(good.read_text())
    said = Approvals(plans).refusal(one, two)
    assert said is not None
    for part in ("part.json: it looked only at requests within", "changed after it was made", "it cannot be read"):
        assert part in said


def test_nothing_there_approves_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "plans", tmp_path / "plan.json"):
        said = Approvals(path).refusal(None, "a" * 64)
        assert said is not None
        assert said.endswith("no plan is there")
        assert Approvals(path).folder == tmp_path


def test_a_plan_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b" " * 1000)
    monkeypatch.setattr("ccx.cli.approvals.MAX_PLAN", 100)
    assert "it cannot be read" in str(Approvals(path).refusal(None, "a" * 64))
    assert MAX_PLAN >= 2**20


def test_the_stamp_changes_with_the_plans(tmp_path: Path) -> None:
    approvals = Approvals(tmp_path)
    stamps = [approvals.stamp()]
    for name, text in (("a.json", "1"), ("a.json", "2"), ("b.json", "2")):
        (tmp_path / name).write_text(text)
        stamps.append(approvals.stamp())
    (tmp_path / "a.json").unlink()
    stamps.append(approvals.stamp())
    assert len(set(stamps)) == 5
    assert approvals.stamp() == stamps[-1]


async def until(gw: Running, number: int) -> None:
    async with asyncio.timeout(5):
        while gw.gateway.live.number < number:
            await asyncio.sleep(0.01)


async def test_a_gateway_keeps_what_runs_until_the_plan_arrives(tmp_path: Path) -> None:
    plans, place = tmp_path / "plans", tmp_path / "gateway"
    plans.mkdir()
    place.mkdir()
    async with running(spec(), place, approval=Approvals(plans)) as gw:
        old = gw.gateway.live.digest
        gw.rewrite(spec("two"))
        answer = await gw.client.post("/admin/reload")
        assert answer.status_code == 409
        [problem] = answer.json()["problems"]
        assert "is not approved by" in problem
        status = (await gw.client.get("/status")).json()["config"]
        assert (status["digest"], status["last_reload"]["result"]) == (old, "rejected")
        assert await gw.reconciler.reconcile("timer") == "unchanged"  # told once
        await asyncio.to_thread(plan, tmp_path, "plans/p.json", spec(), spec("two"))
        assert await gw.reconciler.reconcile("timer") == "applied"
        assert gw.gateway.live.digest != old
        assert (await gw.client.get("/status")).json()["config"]["last_reload"]["problems"] == []
        # The way back is another plan's.
        gw.rewrite(spec())
        assert await gw.reconciler.reconcile("timer") == "rejected"
        # What means the same needs none.
        gw.rewrite("# a comment\n" + spec("two"))
        assert await gw.reconciler.reconcile("timer") == "unchanged"
        assert digest(gw.gateway.live.table) == gw.gateway.live.digest


async def test_a_plan_that_arrives_is_seen_by_the_watcher(tmp_path: Path) -> None:
    plans, place = tmp_path / "plans", tmp_path / "gateway"
    place.mkdir()
    await asyncio.to_thread(plan, tmp_path, "made.json", spec(), spec("two"))
    async with running(spec(), place, approval=Approvals(plans), watch=True) as gw:
        gw.rewrite(spec("two"))
        async with asyncio.timeout(5):
            while not any(result == "rejected" for result, _ in gw.notes):
                await asyncio.sleep(0.01)
        plans.mkdir()
        (tmp_path / "made.json").rename(plans / "made.json")
        await until(gw, 2)
