"""`ccx serve --require-plan` as a process: from its first start over a restart, alone and with workers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.cli.test_approvals import plan
from tests.cli.test_live import spec
from tests.process.serving import command, environment, serving, until

pytestmark = pytest.mark.slow


def test_from_the_first_start_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text(spec())
    plans = tmp_path / "plans"
    options = ("--require-plan", str(plans), "--state-dir", str(tmp_path / "state"))
    ask = command(path, *options)
    run = subprocess.run(ask, env=environment(tmp_path), capture_output=True, timeout=20, check=False)
    assert run.returncode == 1
    assert b"is not approved by" in run.stderr
    # A plan from anywhere will do for the first start.
    plan(tmp_path, "plans/first.json", spec("two"), spec())
    with serving(path, *options) as ccx:
        assert ccx.status()["config"]["source"] == "file"
    # What ran goes on without a plan; what nobody reviewed does not come.
    (plans / "first.json").unlink()
    with serving(path, *options) as ccx:
        first = ccx.status()["config"]["digest"]
    path.write_text(spec("two"))
    with serving(path, *options) as ccx:
        config = ccx.status()["config"]
        assert (config["digest"], config["source"]) == (first, "last_good")
        assert "is not approved by" in config["last_reload"]["problems"][0]
        assert ccx.metric("ccx_config_last_reload_successful ") == 0
        _, new = plan(tmp_path, "plans/second.json", spec(), spec("two"))
        until(lambda: ccx.status()["config"]["digest"] == new, "the plan is seen")
        assert ccx.status()["config"]["source"] == "file"


def test_a_reload_reaches_all_workers_and_each_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text(spec())
    plans = tmp_path / "plans"
    first, _ = plan(tmp_path, "plans/p.json", spec(), spec("two"))
    plan(tmp_path, "plans/q.json", spec("two"), spec())
    options = ("--workers", "2", "--require-plan", str(plans), "--state-dir", str(tmp_path / "state"))

    def served(address: str) -> list[tuple[str, str]]:
        with httpx.Client(trust_env=False, timeout=10) as client:
            workers = client.get(f"http://{address}/status").json()["workers"]
        return [(worker["worker"], worker["digest"]) for worker in workers]

    with serving(path, *options) as ccx:
        ccx.event("started", count=2)
        until(lambda: served(ccx.address) == [("0", first), ("1", first)], "both workers tell")
        path.write_text(spec("two"))
        second = ccx.client.post("/admin/reload").json()["digest"]
        assert second != first
        until(lambda: served(ccx.address) == [("0", second), ("1", second)], "both workers follow")
