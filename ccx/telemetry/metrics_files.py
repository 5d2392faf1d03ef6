"""How the workers of one gateway show their metrics as one: a file per worker in a directory they share.

Law: a file is replaced atomically, so a reader sees an old or a new snapshot, never half of one. A worker that died
keeps its counters, because a sum that falls looks like a restart to Prometheus; its gauges vanish once its file is
older than `STALE`. The worker that takes its place adopts its counters and writes on in the same file, so there are
never more files than workers. The directory is made for one run of the gateway and belongs to whoever starts it.
A file that cannot be read or written costs its numbers, never a scrape.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ccx.telemetry.exposition import WorkerSnapshot, decode, encode, merge, render
from ccx.telemetry.metrics import CONFIG_INFO, RELOAD_OK, Metrics

EVERY: Final = 1.0
STALE: Final = 10.0
_SUFFIX: Final = ".metrics"


class MetricsFiles:
    """The shared directory as seen by one worker. `metrics.worker` names its file and must be unique among the live."""

    def __init__(self, directory: Path, metrics: Metrics, *, now: Callable[[], float] = time.time) -> None:
        if not metrics.worker.isalnum():
            raise ValueError(f"the worker's name {metrics.worker!r} is not made of letters and digits")
        self._directory = directory
        self._metrics = metrics
        self._path = directory / f"{metrics.worker}{_SUFFIX}"
        self._now = now
        self._inherited = self._adopt()
        self._lock = threading.Lock()
        self._gone = False
        self.write_failures = 0

    def _adopt(self) -> list[WorkerSnapshot]:
        """The counters that an earlier worker of this name left behind, if any."""
        left = _load(self._path)
        if left is None:
            return []
        return [msgspec.structs.replace(left, live=False)]

    def write(self) -> None:
        """Write the snapshot now. A failure is counted in `write_failures`."""
        self._store(encode(self._own(live=True)))

    async def run(self, *, every: float = EVERY) -> None:
        """Write a snapshot every `every` seconds until cancelled, the file system's part in a thread; the last one says
        that this worker is gone."""
        self._gone = False
        try:
            while True:
                await asyncio.to_thread(self._store, encode(self._own(live=True)))
                await asyncio.sleep(every)
        finally:
            # The thread of a cancelled wait may still be at it: it must not overwrite the last word.
            with self._lock:
                self._gone = True
            self._replace(encode(self._own(live=False)))

    def render(self) -> bytes:
        """The metrics of all workers as one text, this one's as they are now. Reads small files: blocks briefly."""
        others = [self._others(path) for path in sorted(self._listing()) if path != self._path]
        return render(merge([self._own(live=True), *(other for other in others if other is not None)]))

    def tables(self) -> dict[str, tuple[str | None, bool]]:
        """For each living worker the digest of the table it serves, and whether its last reload was good: as it told
        at most `EVERY` seconds ago, of this one as it is now. Reads small files: blocks briefly."""
        others = [self._others(path) for path in sorted(self._listing()) if path != self._path]
        found = [self._metrics.read(live=True), *(other for other in others if other is not None)]
        return {snapshot.worker: _table(snapshot) for snapshot in found if snapshot.live}

    def _own(self, *, live: bool) -> WorkerSnapshot:
        own = self._metrics.read(live=live)
        if not self._inherited:
            return own
        # Merging would turn per-worker gauges into labelled ones, so only what the dead left is added: its counters.
        families = merge([WorkerSnapshot(own.worker, True, own.families), *self._inherited])
        plain = {family.name: family for family in own.families}
        return WorkerSnapshot(
            own.worker,
            live,
            [plain[family.name] if family.type == "gauge" else family for family in families if family.name in plain],
        )

    def _listing(self) -> list[Path]:
        try:
            return list(self._directory.glob(f"*{_SUFFIX}"))
        except OSError:
            return []

    def _others(self, path: Path) -> WorkerSnapshot | None:
        snapshot = _load(path)
        if snapshot is None:
            return None
        try:
            fresh = self._now() - path.stat().st_mtime <= STALE
        except OSError:
            fresh = False
        return msgspec.structs.replace(snapshot, live=snapshot.live and fresh)

    def _store(self, data: bytes) -> None:
        with self._lock:
            if not self._gone:
                self._replace(data)

    def _replace(self, data: bytes) -> None:
        unfinished = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(self._path)
        except OSError:
            self.write_failures += 1


def _table(snapshot: WorkerSnapshot) -> tuple[str | None, bool]:
    families = {family.name: family.series for family in snapshot.families}
    digests = [series.labels[0] for series in families.get(CONFIG_INFO, []) if series.labels]
    good = [series.numbers[0] for series in families.get(RELOAD_OK, []) if series.numbers]
    return digests[0] if digests else None, good == [1]


def _load(path: Path) -> WorkerSnapshot | None:
    try:
        return decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):  # not there, or not ours
        return None
