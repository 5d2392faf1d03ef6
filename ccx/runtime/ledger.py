"""What has been spent of budgets, kept in a file so that a restart does not give them anew.

Law: replaced whole or not at all; what cannot be read is as if there were nothing. It holds names of clients and
amounts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from ccx.runtime.durable import file_of, replace_file
from ccx.state.meters import MemoryMeters

EVERY: Final = 10.0
"""Seconds between two looks for what has changed: what a crash may forget."""

Sums = dict[str, tuple[int, float | None]]
_decode = msgspec.msgpack.Decoder(Sums).decode


class Ledger:
    """The kept sums of one spec. A folder that cannot be written is no reason not to serve."""

    def __init__(self, folder: Path, spec: Path) -> None:
        self.path = file_of(spec, folder, "spent.msgpack")
        self._kept: Sums = {}

    def restore(self, meters: MemoryMeters) -> None:
        """Have meters begin with what is kept."""
        try:
            self._kept = _decode(self.path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return
        meters.restore(self._kept, now=time.time())

    def save(self, sums: Mapping[str, tuple[int, float | None]]) -> OSError | None:
        """Replace what is kept, if it is other than before. Returns the error if it could not."""
        new = dict(sums)
        if new == self._kept:
            return None
        try:
            replace_file(self.path, msgspec.msgpack.encode(new))
        except OSError as error:
            return error
        self._kept = new
        return None

    async def keep(self, meters: MemoryMeters, *, warn: Callable[[str], None], every: float = EVERY) -> None:
        """Keep what is spent until cancelled, and once more then."""
        warned = False
        try:
            while True:
                await asyncio.sleep(every)
                failed = await asyncio.to_thread(self.save, meters.sums())
                if failed is not None and not warned:
                    warn(f"what is spent of budgets could not be kept: {failed}")
                warned = failed is not None
        finally:
            self.save(meters.sums())
