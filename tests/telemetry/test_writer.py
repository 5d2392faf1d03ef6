from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.telemetry.writer import _PIPE_BUF, MAX_BACKLOG, LineWriter, _atomic_pieces


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "log")
    for number in range(50):
        writer.submit(f"{number}\n".encode(), 1)
    assert writer.close()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(50)]
    assert (tmp_path / "log").stat().st_mode & 0o777 & ~0o640 == 0
    assert (writer.written_lines, writer.lost_lines) == (50, 0)


def test_a_renamed_file_is_left_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LineWriter(path)
    writer.submit(b"old\n", 1)
    assert writer.drain(2)
    path.rename(tmp_path / "log.1")
    writer.submit(b"new\n", 1)
    assert writer.close()
    assert (tmp_path / "log.1").read_bytes() == b"old\n"
    assert path.read_bytes() == b"new\n"


def test_reopen_opens_anew_and_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    opened = 0
    real = os.open

    def count(name: Path, flags: int, mode: int) -> int:
        nonlocal opened
        opened += name == path
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", count)
    writer = LineWriter(path)
    for line in (b"a\n", b"b\n"):
        writer.submit(line, 1)
        assert writer.drain(2)
    assert opened == 1
    writer.reopen()
    writer.submit(b"c\n", 1)
    assert writer.close()
    assert opened == 2
    assert path.read_bytes() == b"a\nb\nc\n"


def test_a_closed_pipe_costs_lines_and_one_complaint(pipe: tuple[int, int]) -> None:
    read, write = pipe
    complaints: list[str] = []
    writer = LineWriter(write, complain=complaints.append)
    os.close(read)
    for _ in range(3):
        writer.submit(b"x\ny\n", 2)
    assert writer.close()
    assert writer.lost_lines == 6
    assert len(complaints) == 1
    assert "Broken pipe" in complaints[0]
    assert "lines are lost" in complaints[0]


def test_a_full_disk_is_reported_once_per_streak_and_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[str] = []
    writer = LineWriter(tmp_path / "log", complain=complaints.append)
    full = threading.Event()
    real = os.write

    def write(fd: int, data: bytes | memoryview) -> int:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    for streak in (1, 2):
        full.set()
        writer.submit(b"lost\n", 1)
        writer.submit(b"lost\n", 1)
        assert writer.drain(2)
        assert len(complaints) == streak
        full.clear()
        writer.submit(b"kept\n", 1)
        assert writer.drain(2)
    assert writer.close()
    assert (tmp_path / "log").read_bytes() == b"kept\nkept\n"
    assert (writer.written_lines, writer.lost_lines) == (2, 4)


def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LineWriter(tmp_path / "log", complain=lambda _: None)
    real, calls = os.write, 0

    def write(fd: int, data: bytes | memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            return real(fd, data[:4])
        if calls == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    writer.submit(b"first line\n", 1)
    assert writer.drain(2)
    writer.submit(b"second line\n", 1)
    assert writer.close()
    assert (tmp_path / "log").read_bytes() == b"firs\nsecond line\n"


def test_a_file_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    complaints: list[str] = []
    path = tmp_path / "later" / "log"
    writer = LineWriter(path, complain=complaints.append)
    writer.submit(b"a\n", 1)
    assert writer.drain(2)
    path.parent.mkdir()
    writer.submit(b"b\n", 1)
    assert writer.close()
    assert path.read_bytes() == b"b\n"
    assert len(complaints) == 1
    assert str(path) in complaints[0]


def test_a_reader_that_stands_still_never_blocks_the_submitter(pipe: tuple[int, int]) -> None:
    read, write = pipe
    writer = LineWriter(write, complain=lambda _: None)
    block = (b"x" * 1023 + b"\n") * 1024
    for _ in range(6):
        writer.submit(block, 1024)
    assert writer.busy
    assert writer.lost_lines == 2 * 1024, f"only {MAX_BACKLOG} bytes may wait"
    assert not writer.drain(0.01)
    assert not writer.close(0.01)
    received = 0
    while received < 4 * len(block):
        received += len(os.read(read, 1 << 20))
    assert writer.drain(2)
    assert writer.written_lines == 4 * 1024


def test_a_non_blocking_descriptor_is_waited_for(pipe: tuple[int, int]) -> None:
    read, write = pipe
    fcntl.fcntl(write, fcntl.F_SETFL, fcntl.fcntl(write, fcntl.F_GETFL) | os.O_NONBLOCK)
    writer = LineWriter(write)
    data = b"".join(b"%06d" % number + b"y" * 93 + b"\n" for number in range(2000))
    writer.submit(data, 2000)
    received = b""
    while len(received) < len(data):
        received += os.read(read, 1 << 16)
    assert received == data
    assert writer.close()
    assert writer.lost_lines == 0


def test_nobody_reading_a_non_blocking_descriptor_ends_in_lost_lines(
    pipe: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, write = pipe
    fcntl.fcntl(write, fcntl.F_SETFL, fcntl.fcntl(write, fcntl.F_GETFL) | os.O_NONBLOCK)
    monkeypatch.setattr("ccx.telemetry.writer._WRITABLE_WITHIN", 5)
    complaints: list[str] = []
    writer = LineWriter(write, complain=complaints.append)
    writer.submit((b"z" * 99 + b"\n") * 2000, 2000)
    assert writer.close()
    assert writer.lost_lines == 2000
    assert "nobody reads it" in complaints[0]


@given(st.lists(st.integers(0, 9000), min_size=1, max_size=12))
def test_a_pipe_gets_whole_lines_that_cannot_mix(lengths: list[int]) -> None:
    lines = [b"a" * length + b"\n" for length in lengths]
    pieces = list(_atomic_pieces(b"".join(lines)))
    assert b"".join(pieces) == b"".join(lines)
    for piece in pieces:
        assert piece.endswith(b"\n")
        assert len(piece) <= _PIPE_BUF or piece.count(b"\n") == 1


def test_after_close_lines_are_lost_and_counted(tmp_path: Path) -> None:
    writer = LineWriter(tmp_path / "log")
    assert writer.close()
    writer.submit(b"x\n", 1)
    assert writer.lost_lines == 1
    assert not (tmp_path / "log").exists()


def test_only_a_terminal_is_a_terminal(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    try:
        assert LineWriter(follower).is_terminal()
    finally:
        os.close(leader)
        os.close(follower)
    assert not LineWriter(tmp_path / "log").is_terminal()
    assert not LineWriter(follower).is_terminal()


def test_the_complaint_goes_to_stderr(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    writer = LineWriter(tmp_path)
    writer.submit(b"x\n", 1)
    assert writer.close()
    assert capfd.readouterr().err == f"ccx: cannot write the log to {str(tmp_path)!r}: Is a directory; lines are lost\n"
