"""Budgets outlive a restart."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from ccx.runtime.ledger import Ledger
from ccx.state.meters import Charge, MemoryMeters, Rate, Short, Sum

EVER, RATE = Sum("client 'a'/usd/total", 100), Rate("r", 5, 60.0)


def test_what_is_spent_is_there_again_and_rates_are_not(tmp_path: Path) -> None:
    now = time.time()
    over, month = Sum("o", 100, now - 1), Sum("m", 100, now + 1000)
    meters = MemoryMeters()
    for meter in (EVER, RATE, over, month):
        meters.take_now((Charge(meter, 5),), now=now - 10)
    ledger = Ledger(tmp_path / "state", tmp_path / "ccx.yaml")
    assert ledger.save(meters.sums()) is None
    again = MemoryMeters()
    Ledger(tmp_path / "state", tmp_path / "ccx.yaml").restore(again)
    assert again.sums() == {EVER.id: (5, None), "m": (5, month.ends)}
    assert isinstance(again.take_now((Charge(EVER, 96),), now=now), Short)
    other = MemoryMeters()
    Ledger(tmp_path / "state", tmp_path / "other.yaml").restore(other)
    assert other.sums() == {}


def test_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    ledger, meters = Ledger(tmp_path, tmp_path / "ccx.yaml"), MemoryMeters()
    ledger.path.write_bytes(b"\xc1torn")
    ledger.restore(meters)
    assert meters.sums() == {}


async def test_it_is_kept_while_it_runs_and_at_the_end(tmp_path: Path) -> None:
    ledger, meters, warnings = Ledger(tmp_path / "state", tmp_path / "ccx.yaml"), MemoryMeters(), list[str]()
    keeping = asyncio.create_task(ledger.keep(meters, warn=warnings.append, every=0.01))
    meters.take_now((Charge(EVER, 7),), now=0.0)
    for _ in range(200):
        if ledger.path.exists():
            break
        await asyncio.sleep(0.01)
    assert ledger.path.exists()
    meters.take_now((Charge(EVER, 1),), now=0.0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    again = MemoryMeters()
    Ledger(tmp_path / "state", tmp_path / "ccx.yaml").restore(again)
    assert again.sums() == {EVER.id: (8, None)}
    assert warnings == []


async def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger, meters, warnings = Ledger(tmp_path / "file", tmp_path / "ccx.yaml"), MemoryMeters(), list[str]()
    meters.take_now((Charge(EVER, 7),), now=0.0)
    keeping = asyncio.create_task(ledger.keep(meters, warn=warnings.append, every=0.002))
    await asyncio.sleep(0.05)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert len(warnings) == 1
