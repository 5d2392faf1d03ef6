"""The guard of the process: a loop that is really blocked, the memory that is allowed, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccx.routing.table import Overload, Server
from ccx.runtime.overload import Guard, memory_allowed
from ccx.telemetry import process
from tests.faults import Drip, FaultUpstream
from tests.gateway import Running, running
from tests.runtime.test_limits import ASK, GOOD

SPEC = """
version: ccx/v1
server: {overload: {lag: 20ms}, max_concurrency: %d}
channels: {first: {protocol: messages, base_url: %s, keys: none}}
"""


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, ten to a hundred times faster."""
    monkeypatch.setattr("ccx.runtime.overload.EVERY", 0.005)
    monkeypatch.setattr("ccx.state.overload.PATIENCE", 0.05)
    monkeypatch.setattr("ccx.state.overload.STEP", 0.02)


async def ask(gw: Running) -> int:
    return (await gw.client.post("/v1/messages", json=ASK)).status_code


@contextlib.contextmanager
def blocked(seconds: float) -> Iterator[None]:
    """Each round of the loop is held up for so long."""
    loop = asyncio.get_running_loop()
    handle: asyncio.Handle | None = None

    def hold() -> None:
        nonlocal handle
        time.sleep(seconds)
        handle = loop.call_soon(hold)

    handle = loop.call_soon(hold)
    try:
        yield
    finally:
        handle.cancel()


async def test_a_blocked_loop_sheds_and_a_free_one_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccx.state.overload.FLOOR", 0.001)  # a blocked loop cannot be asked for more than ten a second
    slow = Drip(GOOD.raw(), step=16, pause=0.05)
    async with FaultUpstream([slow, GOOD]) as first, running(SPEC % (100, first.url), tmp_path) as gw:
        guard, said = gw.gateway.guard, list[bool]()
        guard.changed = said.append
        stream = asyncio.create_task(ask(gw))
        await asyncio.sleep(0.05)
        with blocked(0.03):
            while guard.state.limit is None:
                await asyncio.sleep(0.01)
            refused = await gw.client.post("/v1/messages", json=ASK)
            health = [(await gw.client.get(path)).status_code for path in ("/health", "/ready", "/status", "/metrics")]
            ready = (await gw.client.get("/ready")).json()
            status = (await gw.client.get("/status")).json()["overload"]
        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "overloaded_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert health == [200, 200, 200, 200]
        assert (ready["status"], ready["shedding"]) == ("ready", "lag")
        assert status["shedding"] == "lag"
        assert status["lag_ms"] >= 20
        assert status["shed"] == {"lag": 1}
        assert await stream == 200  # what was under way went on
        async with asyncio.timeout(5):
            while guard.state.limit is not None:
                await asyncio.sleep(0.01)
        assert said == [True, False]
        assert await ask(gw) == 200
        shed = [exchange for exchange in gw.exchanges if exchange.shed is not None]
        assert [(x.shed, x.status, x.error_kind, x.attempts) for x in shed] == [("lag", 503, "overloaded", ())]
        assert (await gw.client.get("/ready")).json()["shedding"] is None


async def test_many_streams_that_wait_are_no_load(tmp_path: Path) -> None:
    slow = Drip(GOOD.raw(), step=8, pause=0.05)
    text = SPEC.replace("20ms", "250ms")
    async with FaultUpstream([slow]) as first, running(text % (1000, first.url), tmp_path) as gw:
        answers = [asyncio.create_task(ask(gw)) for _ in range(30)]
        async with asyncio.timeout(5):
            while gw.gateway.in_flight < 30:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert gw.gateway.guard.state.limit is None
        assert await asyncio.gather(*answers) == [200] * 30


async def test_the_most_at_once_is_the_guards_too(tmp_path: Path) -> None:
    slow = Drip(GOOD.raw(), step=8, pause=0.02)
    text = SPEC.replace("20ms", "250ms")
    async with FaultUpstream([slow]) as first, running(text % (2, first.url), tmp_path) as gw:
        found = sorted(await asyncio.gather(*(ask(gw) for _ in range(5))))
        assert found == [200, 200, 503, 503, 503]
        assert gw.gateway.guard.shed == {"concurrency": 3}
        assert sorted(x.shed or "" for x in gw.exchanges) == ["", "", *["concurrency"] * 3]


async def test_off_is_off_and_a_swap_changes_it(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as first:
        text = SPEC % (100, first.url)
        async with running(text.replace("{lag: 20ms}", "off"), tmp_path) as gw:
            guard = gw.gateway.guard
            with blocked(0.03):
                await asyncio.sleep(0.4)
            assert guard.state.limit is None
            assert guard.describe()["enabled"] is False
            gw.rewrite(text)
            assert await gw.reconciler.reconcile("test") == "applied"
            with blocked(0.03):
                async with asyncio.timeout(5):
                    while guard.state.limit is None:
                        await asyncio.sleep(0.01)
            gw.rewrite(text.replace("{lag: 20ms}", "off"))
            assert await gw.reconciler.reconcile("test") == "applied"
            assert guard.state.limit is None


async def test_memory_over_its_bound_sheds_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr("ccx.runtime.overload.give_back", lambda: given.append(1))
    resident = 700
    guard = Guard(
        Server(overload=Overload()), rng=lambda: 0.99, clock=lambda: now, resident=lambda: resident, allowed=1000
    )
    guard.workers = 2
    assert guard.memory_bound == 400
    now = 100.0
    for _ in range(30):
        now += 0.1
        guard.look(now, lag=0.0)
    await asyncio.sleep(0.02)
    assert guard.state.reason == "memory"
    assert given == [1]
    found = [guard.refuses(100, most=1000) for _ in range(50)]
    assert found[-1] == "memory"
    assert guard.refusal("memory").headers == ((b"retry-after", b"3"),)
    resident = 300
    for _ in range(2000):
        now += 0.1
        guard.look(now, lag=0.0)
    assert guard.state.limit is None
    assert guard.refuses(100, most=1000) is None


@pytest.mark.parametrize(
    ("files", "cgroup", "allowed"),
    [
        ({"memory.max": "1048576\n"}, "0::/\n", 1_048_576),
        ({"memory.max": "max\n", "a/memory.max": "4096\n", "a/b/memory.max": "8192\n"}, "0::/a/b\n", 4096),
        ({"memory/memory.limit_in_bytes": "5000\n"}, "3:memory:/\n1:name=x:/\n", 5000),
        ({"memory/x/memory.limit_in_bytes": "6000\n"}, "5:cpu,memory:/x\n", 6000),
    ],
)
def test_the_least_of_what_is_allowed(files: dict[str, str], cgroup: str, allowed: int, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    (tmp_path / "mine").write_text(cgroup)
    assert memory_allowed(root=tmp_path / "cgroup", mine=tmp_path / "mine") == allowed


def test_without_cgroups_the_machine_counts(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory_allowed(root=tmp_path, mine=tmp_path / "none") == machine
    assert (process.resident_bytes() or 0) < machine
