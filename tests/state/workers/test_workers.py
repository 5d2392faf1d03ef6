"""The meters that a parent keeps for its workers: the suite of all stores, the machine against memory, and who dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ccx.state.link import Link
from ccx.state.meters import Charge, Held, MemoryMeters, Rate, Short, Sum, Taken
from ccx.state.workers.meters import SocketWire, WorkersMeters, WorkersState
from ccx.state.workers.server import Coordinator
from tests.state.conformance import START, Alike, Suite

PLACE = Held("h", 2)


@contextlib.asynccontextmanager
async def parent(path: Path, *, workers: int = 2) -> AsyncIterator[MemoryMeters]:
    meters = MemoryMeters()
    serving = asyncio.create_task(Coordinator(meters, workers=workers).serve(path))
    while not path.exists():
        await asyncio.sleep(0.001)
    try:
        yield meters
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def worker(path: Path, clock: Callable[[], float] = lambda: 0.0) -> AsyncIterator[WorkersMeters]:
    link = Link(SocketWire(path), timeout=2.0)
    running = asyncio.create_task(link.run())
    await link.tried()
    meters = WorkersMeters(link)
    meters._now = clock
    try:
        yield meters
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class TestWorkersMeters(Suite):
    @pytest.fixture
    async def meters(self, tmp_path: Path) -> AsyncIterator[WorkersMeters]:
        async with parent(tmp_path / "s"), worker(tmp_path / "s", lambda: self.now) as meters:
            yield meters


def test_workers_and_memory_answer_alike(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:

        class Both(Alike):
            run = staticmethod(runner.run)
            now = START

            def __init__(self) -> None:
                super().__init__()
                type(self).now = START
                self._stack = contextlib.AsyncExitStack()
                self.one = MemoryMeters()
                self.other = runner.run(self._open())

            async def _open(self) -> WorkersMeters:
                await self._stack.enter_async_context(parent(tmp_path / "s"))
                return await self._stack.enter_async_context(worker(tmp_path / "s", lambda: type(self).now))

            def teardown(self) -> None:
                runner.run(self._stack.aclose())

        run_state_machine_as_test(Both, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))


async def test_workers_share_and_what_a_dead_one_held_is_free(tmp_path: Path) -> None:
    rate = Rate("r", 3, 3600.0)
    async with parent(tmp_path / "s"), worker(tmp_path / "s") as one:
        async with worker(tmp_path / "s") as other:
            assert isinstance(await one.take((Charge(PLACE), Charge(rate)), now=0.0), Taken)
            assert isinstance(await other.take((Charge(PLACE), Charge(rate)), now=0.0), Taken)
            assert await one.take((Charge(PLACE),), now=0.0) == Short(PLACE, 0, None)
        for _ in range(100):
            answer = await one.take((Charge(PLACE), Charge(rate)), now=0.0)
            if isinstance(answer, Taken):
                break
            await asyncio.sleep(0.01)
        assert isinstance(answer, Taken)
        assert isinstance(await one.take((Charge(rate),), now=0.0), Short)


async def test_a_take_that_nobody_waits_for_is_given_back(tmp_path: Path) -> None:
    budget = Sum("s", 10)
    async with parent(tmp_path / "s"), worker(tmp_path / "s") as meters:
        asking = asyncio.create_task(meters.take((Charge(PLACE), Charge(budget, 7)), now=0.0))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        for _ in range(50):
            if [use.used for use in await meters.standing((PLACE, budget), now=0.0)] == [0, 0]:
                break
            await asyncio.sleep(0.01)
        assert [use.used for use in await meters.standing((PLACE, budget), now=0.0)] == [0, 0]


async def test_without_the_parent_each_worker_admits_its_part(tmp_path: Path) -> None:
    rate = Rate("r", 8, 3600.0)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(parent(tmp_path / "s", workers=4))
        state = WorkersState(tmp_path / "s")
        running = asyncio.create_task(state.run())
        await state.ready()
        assert isinstance(await state.meters.take((Charge(rate, 0),), now=0.0), Taken)
        assert (state.describe()["mode"], state.describe()["replicas"]) == ("shared", 4)
        await stack.aclose()
        found = [await state.meters.take((Charge(rate),), now=0.0) for _ in range(9)]
        assert sum(isinstance(one, Taken) for one in found) == 2
        assert state.describe()["mode"] == "local"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_stranger_at_the_socket_is_shown_out(tmp_path: Path) -> None:
    async with parent(tmp_path / "s"), worker(tmp_path / "s") as meters:
        for said in (b"\x7f\xff\xff\xffx", b"\0\0\0\1\xc1", b"\0\0"):
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.write(said)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        assert isinstance(await meters.take((Charge(PLACE),), now=0.0), Taken)
