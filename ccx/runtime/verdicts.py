"""What became of tables that were tried: word of it among the workers on one port.

Law: each worker tries a table on its own, by the same hash and its own clock. What ends a trial before its time, an
operator's word or a breach in one of them, holds for all: it is kept in a file that they share, replaced whole under a
lock, and read again by whoever is told to. Without workers there is no file. The file ends with the gateway.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from ccx.runtime.durable import replace_file

KEPT: Final = 100
FRESH: Final = 60.0
"""Seconds for which a promotion is of use: by then each worker has the table. Later the same table is tried anew."""


class Verdict(msgspec.Struct, frozen=True):
    """How a trial ended, at unix time `at`; `why` in words."""

    word: Literal["promoted", "withdrawn"]
    at: float
    why: str


_decode: Final = msgspec.json.Decoder(dict[str, Verdict]).decode


class Verdicts:
    """Verdicts as one process gives and reads them, by digest. `now` is unix time; `tell_others` has the other workers
    read again."""

    def __init__(
        self,
        file: Path | None = None,
        *,
        tell_others: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._tell_others = tell_others
        self._now = now

    async def give(self, digest: str, word: Literal["promoted", "withdrawn"], why: str) -> None:
        """Tell the other workers. Raises OSError where their file cannot be written."""
        if self._file is None:
            return
        await asyncio.to_thread(_replace, self._file, digest, Verdict(word, self._now(), why))
        self._tell_others()

    async def read(self) -> Mapping[str, Verdict]:
        """What the workers' file says now. A file that is not there, or not ours, says nothing."""
        if self._file is None:
            return {}
        found = await asyncio.to_thread(_read, self._file)
        now = self._now()
        return {digest: one for digest, one in found.items() if one.word == "withdrawn" or now - one.at < FRESH}


def _replace(file: Path, digest: str, verdict: Verdict) -> None:
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {name: one for name, one in _read(file).items() if name != digest}
        while len(kept) >= KEPT:
            del kept[next(iter(kept))]
        kept[digest] = verdict
        replace_file(file, msgspec.json.encode(kept))


def _read(file: Path) -> dict[str, Verdict]:
    try:
        return _decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
