"""Several processes on one port. The parent holds the listening socket, starts the workers, keeps them alive and passes
signals on; it serves nothing itself. Each worker compiles and watches the same files and so serves the same table."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RESTART_PAUSE = 1.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def supervise(arguments: Sequence[str], listener: socket.socket, *, workers: int, drain: float) -> int:
    """Run `workers` processes of `ccx serve` with these arguments until told to stop.

    `drain` is seconds that workers get to finish. Returns an exit code: that of a worker that could not even start.
    """
    with tempfile.TemporaryDirectory(prefix="ccx-workers-") as folder:
        pool = _Pool(list(arguments), listener, Path(folder))
        signal.signal(signal.SIGHUP, lambda *_: pool.signal(signal.SIGHUP))
        for sig in STOP_SIGNALS:
            signal.signal(sig, lambda *_: pool.stop())
        for number in range(workers):
            pool.start(number)
        return pool.watch(drain=drain)


class _Pool:
    def __init__(self, arguments: list[str], listener: socket.socket, folder: Path) -> None:
        self._arguments = arguments
        self._listener = listener
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._stopping = False

    def start(self, number: int) -> None:
        fd = self._listener.fileno()
        command = [sys.executable, "-m", "ccx", "serve", *self._arguments, "--worker", f"{number}:{fd}:{self._folder}"]
        self._running[number] = subprocess.Popen(command, pass_fds=[fd])  # noqa: S603 - our own program
        self._started[number] = time.monotonic()

    def signal(self, sig: signal.Signals) -> None:
        for process in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sig)

    def stop(self) -> None:
        self._stopping = True
        self.signal(signal.SIGTERM)

    def watch(self, *, drain: float) -> int:
        while not self._stopping:
            pid, status = _next_exit()
            if pid == 0:
                continue
            for number, process in list(self._running.items()):
                if process.pid != pid:
                    continue
                process.returncode = os.waitstatus_to_exitcode(status)
                del self._running[number]
                if process.returncode > 0 and time.monotonic() - self._started[number] < RESTART_PAUSE:
                    self.stop()
                    self._reap(drain)
                    return process.returncode
                time.sleep(RESTART_PAUSE)
                self.start(number)
        self._reap(drain)
        return 0

    def _reap(self, drain: float) -> None:
        ends = time.monotonic() + drain + 5
        for process in self._running.values():
            try:
                process.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _next_exit() -> tuple[int, int]:
    """Wait up to a second for a child to exit; (0, 0) if none did."""
    ends = time.monotonic() + 1
    while time.monotonic() < ends:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0, 0
        if pid:
            return pid, status
        time.sleep(0.05)
    return 0, 0
