"""A real Redis for tests: on a port of this machine, in a folder of its own, nothing kept on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
WHY_NOT = "neither redis-server nor valkey-server is installed"


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


class RedisServer:
    """One server. It may be killed, stopped in its tracks, and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [
                *(PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
                *("--dir", str(self._folder), "--daemonize", "no", "--loglevel", "warning", *options),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(400):
            with contextlib.suppress(OSError):
                if self.said("PING").startswith((b"+PONG", b"-NOAUTH")):
                    return
            time.sleep(0.01)
        self.kill()
        raise AssertionError("redis-server did not start")

    def said(self, command: str) -> bytes:
        """The raw answer to one inline command."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(65536)

    def flush(self) -> None:
        assert self.said("FLUSHALL") == b"+OK\r\n"

    def freeze(self) -> None:
        """Stop answering, with every connection left open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A server for the time of a with block."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder))
        server.start(*options)
        try:
            yield server
        finally:
            server.kill()
