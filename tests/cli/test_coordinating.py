"""The parent's part in the limits of its workers: nothing that happens to its socket ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ccx.cli.coordinating import answering
from ccx.state.link import Link
from ccx.state.meters import Charge, MemoryMeters, Rate, Short, Taken
from ccx.state.workers.meters import SocketWire, WorkersMeters
from ccx.state.workers.server import Coordinator

RATE = Rate("r", 2, 3600.0)


async def taken(path: Path) -> Taken | Short:
    """What a worker that has just come is answered."""
    link = Link(SocketWire(path), timeout=2.0)
    running = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(5):
            while not link.up:
                await asyncio.sleep(0.005)
        return await WorkersMeters(link).take((Charge(RATE),), now=0.0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_socket_that_is_swept_away_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "workers" / "s"
    path.parent.mkdir()
    serving = asyncio.create_task(answering(Coordinator(MemoryMeters(), workers=2), path, look=0.02))
    assert isinstance(await taken(path), Taken)
    path.unlink()
    path.parent.rmdir()
    assert isinstance(await taken(path), Taken)
    assert "each admits its part until they can: its socket has been removed" in capsys.readouterr().err
    assert isinstance(await taken(path), Short), "what was used is not forgotten"
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_coordinator_that_fails_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve, times = Coordinator.serve, list[int]()

    async def fails_once(self: Coordinator, path: Path) -> None:
        times.append(1)
        if len(times) == 1:
            raise OSError("no room for a socket")
        await serve(self, path)

    monkeypatch.setattr(Coordinator, "serve", fails_once)
    serving = asyncio.create_task(answering(Coordinator(MemoryMeters(), workers=2), tmp_path / "s", look=0.02))
    assert isinstance(await taken(tmp_path / "s"), Taken)
    assert "no room for a socket" in capsys.readouterr().err
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
