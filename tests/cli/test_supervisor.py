"""How long the parent of several workers waits for them to finish."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ccx.cli import supervisor
from ccx.cli.supervisor import longest_drain, say_drain

STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(0.5)"
)


def test_the_longest_time_that_is_said_counts(tmp_path: Path) -> None:
    assert longest_drain(tmp_path) == 0
    say_drain(tmp_path, 0, 3.0)
    say_drain(tmp_path, 1, 7.5)
    say_drain(tmp_path, 1, 6.5)
    (tmp_path / "2.drain").write_text("")  # being written
    (tmp_path / "0.metrics").write_text("99")
    assert longest_drain(tmp_path) == 6.5


def test_nobody_to_tell(tmp_path: Path) -> None:
    say_drain(tmp_path / "gone", 0, 3.0)
    assert longest_drain(tmp_path / "gone") == 0


@pytest.mark.parametrize(("said", "code"), [(30.0, 0), (0.0, -signal.SIGKILL)])
def test_a_worker_gets_the_time_that_its_table_gives_it(
    said: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_GRACE", 0.0)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        pool = supervisor._Pool([], listener, tmp_path, workers=1)
        pool._running[0] = process
        say_drain(tmp_path, 0, said)
        pool._reap(0.0)
        assert process.returncode == code
