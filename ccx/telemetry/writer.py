"""A stream of lines to a file descriptor or a file, written by a thread of its own.

Law: whoever submits never waits and never sees an exception. A reader that stands still (a full pipe, a stopped
terminal), a closed pipe or a full disk costs lines, which are counted, and one complaint to stderr per streak of
failures. The thread is a daemon, so a write that never returns cannot keep the process alive; `drain` is how the last
lines get out. Lines are whole: what several processes write to one pipe or file does not mix within a line, as long as
a line is shorter than PIPE_BUF.
"""

from __future__ import annotations

import os
import select
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Final

MAX_BACKLOG: Final = 4 * 1024 * 1024
_PIPE_BUF: Final = select.PIPE_BUF
_WRITABLE_WITHIN: Final = 5_000  # milliseconds that a descriptor somebody made non-blocking may stay full

Destination = int | Path


def _to_stderr(message: str) -> None:
    try:
        os.write(2, f"ccx: {message}\n".encode())
    except OSError:  # nowhere left to complain
        return


class LineWriter:
    """Writes batches of complete lines to `destination`: an open file descriptor, or the path of a file to append to.

    A file is opened at the first write, with mode 0640, and opened again when its path no longer leads to it, so
    rotation by renaming needs no signal. `complain` receives the one message per streak of failures. The counters
    `written_lines` and `lost_lines` may be read from any thread.
    """

    def __init__(self, destination: Destination, *, complain: Callable[[str], None] = _to_stderr) -> None:
        self.destination = destination
        self.written_lines = 0
        self.lost_lines = 0
        self._complain = complain
        self._queue: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._backlog = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        # The rest belongs to the thread alone.
        self._fd: int | None = destination if isinstance(destination, int) else None
        self._failing = False
        self._torn = False
        self._reopen = False

    @property
    def busy(self) -> bool:
        """True while so much waits to be written that more should be held back."""
        return self._backlog >= MAX_BACKLOG

    def is_terminal(self) -> bool:
        """True when a person is likely to be reading."""
        try:
            return isinstance(self.destination, int) and os.isatty(self.destination)
        except OSError:
            return False

    def submit(self, data: bytes, lines: int) -> None:
        """Hand over `data`, which is `lines` complete lines. Beyond `MAX_BACKLOG` they are lost, and counted."""
        with self._lock:
            if self._closed or self._backlog >= MAX_BACKLOG:
                self.lost_lines += lines
                return
            self._backlog += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ccx-log-writer", daemon=True)
                self._thread.start()
        self._queue.put((data, lines))

    def reopen(self) -> None:
        """Open the file anew before the next write, as after SIGHUP. Harmless for a descriptor."""
        self._reopen = True

    def drain(self, timeout: float) -> bool:
        """Wait until everything submitted is written or lost, at most `timeout` seconds. False if it is not."""
        with self._idle:
            return self._idle.wait_for(lambda: self._backlog == 0, timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Drain, then end the thread and close the file; a descriptor that was passed in stays open.

        Lines submitted later are lost, and counted. False if the destination did not take everything in time.
        """
        with self._lock:
            self._closed = True
        done = self.drain(timeout)
        self._queue.put(None)
        if done and self._thread is not None:
            self._thread.join(timeout)
        return done

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            data, lines = batch
            try:
                self._write(data)
            except OSError as error:
                with self._lock:
                    self.lost_lines += lines
                self._report(error)
            else:
                self._failing = False
                with self._lock:
                    self.written_lines += lines
            with self._idle:
                self._backlog -= len(data)
                if not self._backlog:
                    self._idle.notify_all()
        if self._fd is not None and not isinstance(self.destination, int):
            os.close(self._fd)
            self._fd = None

    def _report(self, error: OSError) -> None:
        if self._failing:
            return
        self._failing = True
        where = f"descriptor {self.destination}" if isinstance(self.destination, int) else repr(str(self.destination))
        self._complain(f"cannot write the log to {where}: {error.strerror or type(error).__name__}; lines are lost")

    def _write(self, data: bytes) -> None:
        fd = self._open()
        if self._torn:  # the end of a line was lost with an earlier failure
            data = b"\n" + data
        for piece in _atomic_pieces(data) if stat.S_ISFIFO(os.fstat(fd).st_mode) else (data,):
            view = memoryview(piece)
            while view:
                try:
                    written = os.write(fd, view)
                except BlockingIOError:
                    _wait_writable(fd)
                    continue
                self._torn = written < len(view)
                view = view[written:]

    def _open(self) -> int:
        """The descriptor to write to, which for a file is the one its path leads to now. Raises OSError."""
        if isinstance(self.destination, int):
            return self.destination
        if self._fd is not None and (self._reopen or not _same_file(self._fd, self.destination)):
            os.close(self._fd)
            self._fd = None
        self._reopen = False
        if self._fd is None:
            self._fd = os.open(self.destination, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            self._torn = False
        return self._fd


def _same_file(fd: int, path: Path) -> bool:
    try:
        here, there = os.fstat(fd), path.stat()
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _wait_writable(fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(_WRITABLE_WITHIN):
        raise TimeoutError(None, "nobody reads it")
    time.sleep(0.001)  # writable may mean room for less than the piece: do not spin


def _atomic_pieces(data: bytes) -> Iterator[bytes]:
    """Cut at line ends into pieces that a pipe takes whole: at most PIPE_BUF bytes, but for a longer line."""
    start, size = 0, len(data)
    while start < size:
        end = size
        if size - start > _PIPE_BUF:
            cut = data.rfind(b"\n", start, start + _PIPE_BUF)
            if cut < 0:
                cut = data.find(b"\n", start)
            end = cut + 1 if cut >= 0 else size
        yield data[start:end]
        start = end
