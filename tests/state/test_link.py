"""The way to a shared store: order, batches, an end to the waiting, and coming back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from ccx.state import link as linking
from ccx.state.link import Link, UnreachableError, WireError


class Wire:
    """A store that answers with what it was asked, or not."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.refuses = False
        self.hangs = False
        self.breaks = False
        self.connects = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def connect(self) -> None:
        self.connects += 1
        if self.refuses:
            raise ConnectionRefusedError("refused")

    async def exchange(self, asked: Sequence[int], /) -> list[int]:
        self.batches.append(list(asked))
        if self.hangs:
            await asyncio.sleep(60)
        if self.breaks:
            raise WireError("lost", "broken")
        await self.gate.wait()
        return [-one for one in asked]

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def linked(wire: Wire, *, patience: float = 1.0) -> AsyncIterator[tuple[Link[int, int], list[tuple[bool, str]]]]:
    changes: list[tuple[bool, str]] = []
    link: Link[int, int] = Link(wire, timeout=patience, changed=lambda up, why: changes.append((up, why)))
    running = asyncio.create_task(link.run())
    await link.tried()
    try:
        yield link, changes
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert not link.up


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "FIRST_PAUSE", 0.005)


async def test_what_is_asked_meanwhile_goes_together_and_in_order() -> None:
    wire = Wire()
    async with linked(wire) as (link, _):
        wire.gate.clear()
        first = link.submit(1)
        await asyncio.sleep(0.01)
        rest = [link.submit(number) for number in range(2, 6)]
        wire.gate.set()
        assert await asyncio.gather(first, *rest) == [-1, -2, -3, -4, -5]
        assert wire.batches == [[1], [2, 3, 4, 5]]
        await link.drained()


async def test_a_batch_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "BATCH", 3)
    wire = Wire()
    async with linked(wire) as (link, _):
        assert await asyncio.gather(*(link.ask(number) for number in range(7))) == [-number for number in range(7)]
        assert [len(batch) for batch in wire.batches] == [3, 3, 1]


async def test_nobody_waits_longer_than_one_answer_may_take() -> None:
    wire = Wire()
    async with linked(wire, patience=0.05) as (link, changes):
        wire.hangs = wire.refuses = True
        first = link.submit(1)
        await asyncio.sleep(0.03)
        begun = time.monotonic()
        for future in (first, link.submit(2)):
            with pytest.raises(UnreachableError):
                await future
        assert time.monotonic() - begun < 0.5
        assert changes == [(True, ""), (False, "no answer in time")]
        with pytest.raises(UnreachableError):
            link.submit(3)
        assert wire.batches == [[1]]
        assert link.record.errors["timeout"] == 1


async def test_it_comes_back_by_itself() -> None:
    wire = Wire()
    async with linked(wire) as (link, changes):
        wire.breaks = True
        with pytest.raises(UnreachableError):
            await link.ask(1)
        wire.breaks = False
        for _ in range(200):
            if link.up:
                break
            await asyncio.sleep(0.005)
        assert await link.ask(2) == -2
        assert [up for up, _ in changes] == [True, False, True]
        assert wire.connects == 2


async def test_who_leaves_does_not_hold_up_the_others() -> None:
    wire = Wire()
    async with linked(wire) as (link, _):
        wire.gate.clear()
        left, stays = link.submit(1), link.submit(2)
        await asyncio.sleep(0.01)
        left.cancel()
        wire.gate.set()
        assert await stays == -2


async def test_one_that_was_never_there_is_said_once() -> None:
    wire = Wire()
    wire.refuses = True
    async with linked(wire) as (link, changes):
        await asyncio.sleep(0.05)
        assert wire.connects > 2
        assert changes == [(False, "refused")]
        assert link.record.errors["lost"] == wire.connects


async def test_too_many_waiting_is_as_good_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "WAITING", 2)
    wire = Wire()
    async with linked(wire) as (link, _):
        futures = [link.submit(1), link.submit(2)]
        with pytest.raises(UnreachableError):
            link.submit(3)
        assert await asyncio.gather(*futures) == [-1, -2]
