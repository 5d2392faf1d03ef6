"""Child processes that never outlive the run: ended by their own group's id, and by the kernel if this process dies."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class StartError(RuntimeError):
    """A process did not start, or ended at once. Holds the tail of what it said."""


def more_descriptors() -> None:
    """Raise the limit on open files as far as it goes; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _child(core: int | None) -> Callable[[], None]:
    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if core is not None:
            os.sched_setaffinity(0, {core})
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        if nice:
            # The scheduler shares cores among sessions first: a new one has to be told its priority again.
            with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
                group.write(str(nice))

    return prepare


class Child:
    """One running process with its log file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def tail(self, lines: int = 12) -> str:
        """The end of what it said."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, grace: float = 3.0) -> None:
        """End it and its group: first asked, then made to."""
        for sign, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            if self.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(wait)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Fleet:
    """All processes of a run. A context manager: on the way out, whatever the reason, they are stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[Child] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in reversed(self._children):
            child.stop(grace=1.0)
        self._children.clear()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int | None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Child:
        """Start a process pinned to a core, in a group of its own; its output goes to `NAME.log`."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder or self.folder,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
                preexec_fn=_child(core),  # noqa: PLW1509 - this process has one thread
            )
        child = Child(process, log)
        self._children.append(child)
        return child

    def stop(self, child: Child) -> None:
        """Stop one of them now."""
        child.stop()
        if child in self._children:
            self._children.remove(child)

    def run(
        self,
        command: Sequence[str],
        *,
        core: int | None,
        timeout: float,
        environ: Mapping[str, str] | None = None,
        fine: Sequence[int] = (0,),
    ) -> str:
        """Run to the end and give its standard output. Raises StartError when it fails or takes too long.

        Exit codes in `fine` are no failure.
        """
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
            preexec_fn=_child(core),  # noqa: PLW1509 - this process has one thread
        )
        child = Child(process, self.folder / "none")
        self._children.append(child)
        try:
            out, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise StartError(f"{command[0]} did not end within {timeout:.0f} s") from None
        finally:
            child.stop(grace=0.5)
            self._children.remove(child)
        if process.returncode not in fine:
            said = (complaint or out).decode(errors="replace").strip().splitlines()
            raise StartError(f"{' '.join(command[:4])}… ended with {process.returncode}: {' | '.join(said[-6:])}")
        return out.decode(errors="replace")


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_open(port: int, child: Child, *, timeout: float = 20.0) -> None:
    """Wait until a port accepts. Raises StartError, with what the process said, when it does not."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if child.process.poll() is not None:
            raise StartError(f"it ended with {child.process.returncode}: {child.tail()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise StartError(f"nothing listens on port {port} after {timeout:.0f} s: {child.tail()}")
