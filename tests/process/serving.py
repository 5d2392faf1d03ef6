"""The real `ccx serve` as a process of its own: started, watched, asked and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import httpx

WITHIN = 15.0
"""Seconds; a wall for what is broken, far above what anything here takes."""

DEMO = """
version: ccx/v1
channels: {demo: {provider: demo}}
routes:
  - {name: one, to: [demo]}
"""
ASK = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
SLOW = {**ASK, "model": "demo-slow", "stream": True, "max_tokens": 500}


def until(condition: Callable[[], bool], what: str, *, within: float = WITHIN) -> float:
    """Wait for something; gives the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within, what
        time.sleep(0.005)
    return time.monotonic() - begun


class Lines:
    """What a process writes to one of its pipes, line by line, read by a thread so that it never waits for us."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.all: list[str] = []
        self._pipe = pipe
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            self.all.append(line.decode())

    @property
    def text(self) -> str:
        return "".join(self.all)

    def objects(self) -> list[dict[str, Any]]:
        """The lines that are JSON objects."""
        return [json.loads(line) for line in list(self.all) if line.startswith("{")]

    def close(self) -> None:
        """Read what is left."""
        self._thread.join(WITHIN)
        assert not self._thread.is_alive(), "somebody still holds the pipe: a process was left behind"
        self._pipe.close()


@dataclass
class Serving:
    """A running `ccx serve`: `out` is its request log, `err` its events and what it says to a person."""

    process: subprocess.Popen[bytes]
    out: Lines
    err: Lines
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=WITHIN))

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.err.objects() if event.get("event") == kind]

    def event(self, kind: str, *, count: int = 1, within: float = WITHIN) -> dict[str, Any]:
        """The event number `count` of this kind, once it has been written."""

        def there() -> bool:
            return len(self.events(kind)) >= count or self.process.poll() is not None

        until(there, f"no event {kind!r} in:\n{self.err.text}", within=within)
        found = self.events(kind)
        assert len(found) >= count, f"ended without the event {kind!r}:\n{self.err.text}"
        return found[count - 1]

    def started(self) -> Serving:
        """Wait until it serves."""
        self.address = str(self.event("started")["listen"])
        self.client.base_url = httpx.URL(f"http://{self.address}")
        return self

    def ask(self, body: object = ASK, **headers: str) -> httpx.Response:
        """One request of the Messages protocol."""
        return self.client.post("/v1/messages", json=body, headers=headers)

    def route(self) -> str:
        return self.ask().headers["x-ccx-route"]

    def status(self, **headers: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("/status", headers=headers).json()
        return found

    def metric(self, name: str) -> float:
        """The value of the only sample whose line begins so."""
        lines = [line for line in self.client.get("/metrics").text.splitlines() if line.startswith(name)]
        assert len(lines) == 1, (name, lines)
        return float(lines[0].rpartition(" ")[2])

    def connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=WITHIN)

    def send(self, sig: signal.Signals) -> None:
        self.process.send_signal(sig)

    def wait(self, within: float = WITHIN) -> int:
        """The exit code."""
        return self.process.wait(within)


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the developer's leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "HOME": str(folder), **(more or {})}


def command(spec: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "ccx", "serve", str(spec), "--listen", "127.0.0.1:0", *options]


@contextmanager
def serving(
    spec: Path,
    *options: str,
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] | None = None,
    ready: bool = True,
) -> Iterator[Serving]:
    """Run it; whatever the test does, it and all its children are gone afterwards."""
    process = subprocess.Popen(
        arguments if arguments is not None else command(spec, *options),
        env=environment(spec.parent, environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    running = Serving(process, Lines(process.stdout), Lines(process.stderr))
    try:
        yield running.started() if ready else running
    finally:
        running.client.close()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        try:
            running.out.close()
            running.err.close()
        finally:
            _end_group(process.pid)


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def refused(spec: Path, *options: str, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Start what must not start; gives its exit code and what it said."""
    done = subprocess.run(
        command(spec, *options),
        env=environment(spec.parent, environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def written(folder: Path, text: str, name: str = "ccx.yaml") -> Path:
    """A spec, written as an editor does: a new file renamed over the old."""
    path = folder / name
    new = path.with_suffix(".new")
    new.write_text(textwrap.dedent(text))
    new.replace(path)
    return path
