"""Several processes on one port: they look like one, and none is lost or left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.process.serving import ASK, DEMO, SLOW, Serving, refused, serving, until, written
from tests.process.test_reload import renamed
from tests.process.test_start import BROKEN
from tests.process.test_stop import posted, rest

pytestmark = pytest.mark.slow


def fresh(ccx: Serving, path: str) -> httpx.Response:
    """Asked on a new connection, which either worker may take."""
    with httpx.Client(base_url=ccx.client.base_url, trust_env=False, timeout=10) as client:
        return client.get(path)


def pids(ccx: Serving, count: int) -> set[int]:
    """The processes that answer, once there are so many."""
    found: set[int] = set()

    def all_seen() -> bool:
        found.add(fresh(ccx, "/status").json()["pid"])
        return len(found) == count

    until(all_seen, f"{count} processes answer")
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_two_workers_look_like_one(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO), "--workers", "2") as ccx:
        ccx.event("started", count=2)
        workers = pids(ccx, 2)
        assert ccx.process.pid not in workers
        for _ in range(20):
            with httpx.Client(base_url=ccx.client.base_url, trust_env=False) as client:
                assert client.post("/v1/messages", json=SLOW | {"model": "m"}).status_code == 200

        def merged() -> bool:
            text = fresh(ccx, "/metrics").text
            counts = [line for line in text.splitlines() if line.startswith("ccx_requests_total{")]
            return sum(float(line.rpartition(" ")[2]) for line in counts) == 20

        until(merged, "the metrics of both are one")
        ccx.send(signal.SIGHUP)
        ccx.event("reload_unchanged", count=2)
        written(tmp_path, renamed("two"))
        ccx.event("reload_applied", count=2)
        slow = posted(ccx, SLOW)
        ccx.send(signal.SIGTERM)
        ccx.event("draining", count=2)
        assert b"message_stop" in rest(slow)
        assert ccx.wait() == 0
        assert not any(alive(pid) for pid in workers)
    assert len(ccx.events("stopped")) == 2


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO), "--workers", "2") as ccx:
        before = pids(ccx, 2)
        killed = before.pop()
        os.kill(killed, signal.SIGKILL)
        until(lambda: not alive(killed), "it is gone")
        for _ in range(5):
            with httpx.Client(base_url=ccx.client.base_url, trust_env=False) as client:
                assert client.post("/v1/messages", json=SLOW | {"model": "m"}).status_code == 200
        ccx.event("started", count=3)
        after = pids(ccx, 2)
        assert before < after
        assert killed not in after
        assert "was ended by signal 9" in ccx.err.text


def test_a_worker_that_cannot_come_back_takes_nobody_with_it(tmp_path: Path) -> None:
    """Its table is lost with it, but the others still have theirs."""
    with serving(written(tmp_path, DEMO), "--workers", "2", "--require-valid") as ccx:
        killed, other = sorted(pids(ccx, 2))
        time.sleep(1)  # both have lived long enough to count as started
        written(tmp_path, BROKEN)
        ccx.event("reload_rejected", count=2)
        os.kill(killed, signal.SIGKILL)
        until(lambda: "exited with 1; starting another" in ccx.err.text, "it was started again, and could not")
        assert ccx.process.poll() is None
        assert fresh(ccx, "/status").json()["pid"] == other
        written(tmp_path, renamed("mended"))
        ccx.event("started", count=3)
        assert len(pids(ccx, 2)) == 2


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO), "--workers", "2") as ccx:
        workers = pids(ccx, 2)
        ccx.send(signal.SIGKILL)
        assert ccx.wait() == -signal.SIGKILL
        until(lambda: not any(alive(pid) for pid in workers), "no worker is left", within=5)


def test_ctrl_c_and_a_stop_while_a_worker_is_being_replaced(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO), "--workers", "2") as ccx:
        killed, other = pids(ccx, 2)
        os.kill(killed, signal.SIGKILL)
        until(lambda: "starting another" in ccx.err.text, "the parent has seen it")
        told = time.monotonic()
        os.killpg(ccx.process.pid, signal.SIGINT)  # as a terminal does: to all of them
        assert ccx.wait() == 0
        assert time.monotonic() - told < 5
        assert not alive(other)
        assert "Traceback" not in ccx.err.text


def test_what_cannot_start_is_not_tried_for_ever(tmp_path: Path) -> None:
    code, said = refused(written(tmp_path, BROKEN), "--workers", "2")
    assert code == 1
    assert said.count("dmeo") >= 1
    spec = "version: ccx/v1\nchannels: {a: {provider: anthropic, keys: {env: NOT_SET}}}\n"
    code, said = refused(written(tmp_path, spec), "--workers", "2")
    assert code == 1
    assert "NOT_SET" in said


def overrides(ccx: Serving, count: int) -> dict[int, str | None]:
    """The order for the channel that each of so many processes obeys."""
    found: dict[int, str | None] = {}

    def all_seen() -> bool:
        said = fresh(ccx, "/status").json()
        override = said["channels"]["demo"]["override"]
        found[said["pid"]] = override["order"] if override is not None else None
        return len(found) == count

    until(all_seen, f"{count} processes answer")
    return found


def ordered(ccx: Serving, order: str) -> None:
    with httpx.Client(base_url=ccx.client.base_url, trust_env=False) as client:
        said = client.post(f"/admin/channels/demo/{order}", json={"for": "1h", "reason": "a test"})
        assert said.status_code == 200, said.text


def test_an_order_is_obeyed_by_all_workers_and_by_those_that_come_later(tmp_path: Path) -> None:
    with serving(written(tmp_path, DEMO), "--workers", "2") as ccx:
        ccx.event("started", count=2)
        pids(ccx, 2)
        ordered(ccx, "drain")
        until(lambda: set(overrides(ccx, 2).values()) == {"drain"}, "both have drained it")
        assert ccx.client.post("/v1/messages", json=SLOW | {"model": "m"}).status_code == 503
        until(lambda: 'ccx_channel_override{channel="demo",order="drain"} 1' in fresh(ccx, "/metrics").text, "a metric")
        os.kill(next(iter(overrides(ccx, 2))), signal.SIGKILL)
        ccx.event("started", count=3)
        until(lambda: list(overrides(ccx, 2).values()) == ["drain", "drain"], "the new one obeys too")
        ordered(ccx, "resume")
        until(lambda: set(overrides(ccx, 2).values()) == {None}, "both have resumed")
    given = [event for event in ccx.events("channel_ordered") if not event.get("restored")]
    assert [event["order"] for event in given] == ["drain", "resume"]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_order_outlives_a_restart(tmp_path: Path, workers: int) -> None:
    options = ("--workers", str(workers), "--state-dir", str(tmp_path / "state"))
    spec = written(tmp_path, DEMO)
    with serving(spec, *options) as ccx:
        ordered(ccx, "drain")
        ccx.send(signal.SIGKILL)
        ccx.wait()
    with serving(spec, *options) as again:
        again.event("started", count=workers)
        assert set(overrides(again, workers).values()) == {"drain"}
        assert again.event("channel_ordered")["restored"] is True
        ordered(again, "resume")
    with serving(spec, *options) as last:
        assert set(overrides(last, 1).values()) == {None}


def answered(ccx: Serving) -> int:
    """The status of a short request, which any worker may take."""
    with httpx.Client(base_url=ccx.client.base_url, trust_env=False, timeout=10) as client:
        return client.post("/v1/messages", json=ASK).status_code


def test_what_a_killed_worker_held_is_free_and_the_others_serve_on(tmp_path: Path) -> None:
    """And of a parent that is killed the workers finish what is under way, and leave the port to the next."""
    spec = written(tmp_path, "version: ccx/v1\nchannels: {demo: {provider: demo, limits: {concurrency: 1}}}\n")
    with serving(spec, "--workers", "3") as ccx:
        ccx.event("started", count=3)
        pids(ccx, 3)
        held = posted(ccx, SLOW)
        assert answered(ccx) == 429
        busy = set[int]()

        def found() -> bool:
            said = fresh(ccx, "/status").json()
            busy.update({said["pid"]} if said["in_flight"] else ())
            return bool(busy)

        until(found, "one of them holds the place")
        os.kill(busy.pop(), signal.SIGKILL)
        until(lambda: answered(ccx) == 200, "the place of the dead is free", within=5)
        held.close()
        ccx.event("started", count=4)
        slow = posted(ccx, SLOW)
        ccx.send(signal.SIGKILL)
        assert ccx.wait() == -signal.SIGKILL
        assert b"message_stop" in rest(slow)
        with serving(spec, "--listen", ccx.address) as again:
            assert answered(again) == 200
