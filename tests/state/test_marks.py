"""Marks: every store against the plain list of what was noted, and what happens when a shared one is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccx.state.link import Link, UnreachableError
from ccx.state.marks import MOST, FailsafeMarks, Marks, MemoryMarks
from ccx.state.redis.keys import Keys
from ccx.state.redis.marks import RedisMarks
from ccx.state.workers.marks import WorkersMarks
from ccx.state.workers.meters import SocketWire
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.state.redis.test_meters import linked
from tests.state.workers.test_workers import parent

START = 1_000_000.0
WINDOW = 8.0
Step = tuple[bytes, int | None, float]


class Oracle:
    """What was noted, all of it."""

    def __init__(self) -> None:
        self.noted: list[tuple[bytes, float, int]] = []

    def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        found = [n for of, at, n in self.noted if of == session and at > now - window]
        if count is not None:
            self.noted.append((session, now, count))
        return max(found, default=None)


# Counts of 0 to 6 make ties, moments of 0 make notes of one instant, sessions of two keep them apart.
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from([b"a", b"b"]),
        st.none() | st.integers(0, 6) | st.just(2**40),
        st.sampled_from([0.0, 0.25, 1.0, 3.0, WINDOW, 40.0]),
    ),
    max_size=30,
)


async def agrees(marks: Marks, steps: list[Step], *, clock: list[float]) -> None:
    oracle = Oracle()
    for session, count, after in steps:
        clock[0] += after
        wanted = oracle.mark(session, count, window=WINDOW, now=clock[0])
        assert await marks.mark(session, count, window=WINDOW, now=clock[0]) == wanted


@given(STEPS)
def test_memory_says_what_the_whole_list_says(steps: list[Step]) -> None:
    asyncio.run(agrees(MemoryMarks(), steps, clock=[START]))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
def test_redis_says_what_the_whole_list_says(runner: asyncio.Runner, redis: RedisServer) -> None:
    serial = iter(range(10**6))

    async def drawn() -> None:
        async with linked(redis.url) as link:
            while (work := await todo.get()) is not None:
                steps, done = work
                clock = [START]
                marks = RedisMarks(link, Keys(f"t{next(serial)}"), clock=lambda: clock[0])  # noqa: B023 - used at once
                try:
                    await agrees(marks, steps, clock=clock)
                except BaseException as error:  # noqa: BLE001 - told to who waits
                    done.set_exception(error)
                else:
                    done.set_result(None)

    todo: asyncio.Queue[tuple[list[Step], asyncio.Future[None]] | None] = asyncio.Queue()
    serving = runner.get_loop().create_task(drawn())

    @settings(max_examples=60, deadline=None)
    @given(STEPS)
    def check(steps: list[Step]) -> None:
        async def asked() -> None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            todo.put_nowait((steps, done))
            await done

        runner.run(asked())

    check()
    todo.put_nowait(None)
    runner.run(asyncio.wait_for(serving, 5))


@contextlib.asynccontextmanager
async def worker(path: Path) -> AsyncIterator[WorkersMarks]:
    link = Link(SocketWire(path), timeout=2.0)
    running = asyncio.create_task(link.run())
    await link.tried()
    try:
        yield WorkersMarks(link)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_workers_share_them_through_their_parent(tmp_path: Path) -> None:
    async with parent(tmp_path / "s"), worker(tmp_path / "s") as one, worker(tmp_path / "s") as other:
        assert await one.mark(b"a", 90, window=WINDOW, now=START) is None
        assert await other.mark(b"a", None, window=WINDOW, now=START + 1) == 90
        assert await other.mark(b"a", 40, window=WINDOW, now=START + 2) == 90
        assert await one.mark(b"b", None, window=WINDOW, now=START + 3) is None
        assert await one.mark(b"a", None, window=WINDOW, now=START + WINDOW) == 40


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
async def test_replicas_share_them_and_redis_forgets_by_itself(redis: RedisServer) -> None:
    async with linked(redis.url) as link, linked(redis.url) as others:
        one, other = RedisMarks(link, Keys("ccx")), RedisMarks(others, Keys("ccx"))
        assert await one.mark(b"a", 90, window=0.05, now=0.0) is None
        assert await other.mark(b"a", 40, window=60.0, now=0.0) == 90
        assert await one.mark(b"a", None, window=60.0, now=0.0) == 90
        (name,) = [key for key in await link.ask(("KEYS", "*")) if b"mark" in key]
        assert b"{ccx}:mark:" in name
        assert 0 < await link.ask(("PTTL", name)) <= 61_000


async def down_from_the_highest(marks: Marks, *, clock: list[float]) -> None:
    """More falling counts than are kept."""
    for number in range(MOST + 5):
        clock[0] += 0.125
        await marks.mark(b"a", 1000 - number, window=64.0, now=clock[0])
    clock[0] = START + 64.0 + 0.125 * MOST + 0.0625
    # Exact would be the next to fall; what was kept as one holds the higher of them, for longer.
    assert await marks.mark(b"a", None, window=64.0, now=clock[0]) == 1000 - MOST + 1


async def test_more_falling_counts_than_are_kept() -> None:
    marks = MemoryMarks()
    await down_from_the_highest(marks, clock=[START])
    assert len(marks._kept[b"a"]) <= MOST


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
async def test_more_falling_counts_than_are_kept_in_redis(redis: RedisServer) -> None:
    clock = [START]
    async with linked(redis.url) as link:
        await down_from_the_highest(RedisMarks(link, Keys("ccx"), clock=lambda: clock[0]), clock=clock)
        (name,) = [key for key in await link.ask(("KEYS", "*")) if b"mark" in key]
        assert await link.ask(("ZCARD", name)) <= MOST


@pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)
@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_clock_that_jumps_back_forgets_nothing(redis: RedisServer, kind: str) -> None:
    clock = [START]
    async with linked(redis.url) as link:
        marks: Marks = MemoryMarks() if kind == "memory" else RedisMarks(link, Keys("j"), clock=lambda: clock[0])
        await marks.mark(b"a", 90, window=WINDOW, now=clock[0])
        clock[0] = START - 1000
        assert await marks.mark(b"a", 80, window=WINDOW, now=clock[0]) == 90
        assert await marks.mark(b"a", 95, window=WINDOW, now=clock[0]) == 90
        clock[0] = START + 1
        assert await marks.mark(b"a", None, window=WINDOW, now=clock[0]) == 95


def test_memory_is_bounded_and_lets_go_of_what_has_ended() -> None:
    marks = MemoryMarks(sessions=3)
    for number in range(5):
        marks.mark_now(b"%d" % number, 10, window=WINDOW, now=START + number / 4)
    assert len(marks) == 3
    assert marks.mark_now(b"1", None, window=WINDOW, now=START + 2) is None
    assert marks.mark_now(b"2", None, window=WINDOW, now=START + 2) == 10
    marks.mark_now(b"new", 10, window=WINDOW, now=START + 100)
    assert len(marks) == 1
    marks.mark_now(b"new", None, window=WINDOW, now=START + 200)
    assert len(marks) == 0  # looked at, and over
    marks.mark_now(b"new", 1, window=WINDOW, now=START)
    marks.clear()
    assert len(marks) == 0


async def test_a_lost_store_leaves_a_request_its_own_count() -> None:
    class Lost:
        async def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
            raise UnreachableError("gone")

    assert await FailsafeMarks(Lost()).mark(b"a", 90, window=WINDOW, now=START) is None
    memory = MemoryMarks()
    failsafe = FailsafeMarks(memory)
    assert await failsafe.mark(b"a", 90, window=WINDOW, now=START) is None
    assert await failsafe.mark(b"a", None, window=WINDOW, now=START) == 90
