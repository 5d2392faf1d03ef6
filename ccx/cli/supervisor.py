"""Several processes on one port. The parent holds the listening socket, starts the workers, keeps them alive and passes
signals on; it serves nothing itself. Each worker compiles and watches the same files and so serves the same table.

Law: a worker that cannot be started in the first place stops everything, since nothing is lost by it; one that cannot
be started again is tried again for ever, ever more slowly, while the others serve. No worker is started after a stop,
none is left behind after the parent's end, and none outlives a parent that was killed (see `cli.server`).
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ccx.cli.server import STOP_SIGNALS

START_SECONDS = 1.0
"""A worker that lives as long as this has started."""
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is started again, by how often in a row it died young; then the last."""
_TICK = 0.05
_LOOK = 1.0
_DRAIN = ".drain"
_GRACE = 5.0  # seconds beyond the drain time until a worker that hangs is killed


def supervise(
    arguments: Sequence[str],
    listener: socket.socket,
    *,
    workers: int,
    drain: float,
    beside: Callable[[Path], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> int:
    """Run `workers` processes of `ccx serve` with these arguments until told to stop.

    `drain` is seconds that workers get to finish, unless they say that their table gives them more. `beside` is entered
    with the folder that workers know, for as long as any may run. Returns an exit code: that of a worker that could not
    even start.
    """
    with tempfile.TemporaryDirectory(prefix="ccx-workers-") as folder:
        pool = _Pool(list(arguments), listener, Path(folder), workers=workers)
        signal.signal(signal.SIGHUP, lambda *_: pool.signal(signal.SIGHUP))
        for sig in STOP_SIGNALS:
            signal.signal(sig, lambda *_: pool.stop())
        with beside(Path(folder)):
            return pool.run(drain=drain)


class _Pool:
    def __init__(self, arguments: list[str], listener: socket.socket, folder: Path, *, workers: int) -> None:
        self._arguments = arguments
        self._listener = listener
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._due = dict.fromkeys(range(workers), 0.0)  # workers to be started, and when
        self._young = dict.fromkeys(range(workers), 0)  # how often in a row each died young
        self._proven: set[int] = set()  # those that have once been seen to serve
        self._stopping = False

    def signal(self, sig: signal.Signals) -> None:
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sig)

    def stop(self) -> None:
        self._stopping = True
        self.signal(signal.SIGTERM)

    def run(self, *, drain: float) -> int:
        code = 0
        while not self._stopping:
            self._start_due(time.monotonic())
            code = self._look(time.monotonic())
            if code:
                break
            time.sleep(_TICK)
        self._stopping = True
        # Once the workers have closed theirs, new connections are refused instead of waiting for nobody.
        self._listener.close()
        self._reap(drain)
        return code

    def _start_due(self, now: float) -> None:
        for number in [number for number, at in self._due.items() if at <= now]:
            if self._stopping:
                return
            del self._due[number]
            self._start(number)

    def _start(self, number: int) -> None:
        fd = self._listener.fileno()
        command = [sys.executable, "-m", "ccx", "serve", *self._arguments, "--worker", f"{number}:{fd}:{self._folder}"]
        self._running[number] = subprocess.Popen(command, pass_fds=[fd])  # noqa: S603 - our own program
        self._started[number] = time.monotonic()

    def _look(self, now: float) -> int:
        """See who has ended. Returns the exit code of a worker that could not start in the first place, else 0."""
        for number, process in list(self._running.items()):
            code = process.poll()
            old = now - self._started[number] >= START_SECONDS
            if code is None:
                if old:
                    self._proven.add(number)
                    self._young[number] = 0
                continue
            del self._running[number]
            if self._stopping:
                continue
            if code > 0 and not old and number not in self._proven:
                return code
            pause = PAUSES[min(self._young[number], len(PAUSES) - 1)]
            self._young[number] += 1
            self._due[number] = now + pause
            how = f"exited with {code}" if code >= 0 else f"was ended by signal {-code}"
            print(f"ccx: worker {number} {how}; starting another in {pause:g} s", file=sys.stderr, flush=True)
        return 0

    def _reap(self, drain: float) -> None:
        # Told once more: one of them may have been starting while the signal was passed on.
        self.signal(signal.SIGTERM)
        told = time.monotonic()
        for process in self._running.values():
            while True:
                left = told + max(drain, longest_drain(self._folder)) + _GRACE - time.monotonic()
                try:
                    process.wait(min(max(0.1, left), _LOOK))
                except subprocess.TimeoutExpired:
                    if left > 0:
                        continue
                    process.kill()
                    process.wait()
                break


def say_drain(folder: Path, number: int, seconds: float) -> None:
    """Let the parent know how long a worker may take to finish, which the table that it serves by now decides."""
    with contextlib.suppress(OSError):  # the parent is gone, or will be less patient
        (folder / f"{number}{_DRAIN}").write_text(str(seconds))


def longest_drain(folder: Path) -> float:
    """The longest time that a worker has said; 0 if none has said any."""
    found = [0.0]
    for path in folder.glob(f"*{_DRAIN}"):
        with contextlib.suppress(OSError, ValueError):
            found.append(float(path.read_text()))
    return max(found)
