from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from ccx.telemetry.events import EventLog
from ccx.telemetry.log import BATCH, LogFormat, RequestLog
from ccx.telemetry.writer import LineWriter
from tests.telemetry.records import exchange, until


def ids(path: Path) -> list[str]:
    return [json.loads(line)["request_id"] for line in path.read_text().splitlines()]


async def test_lines_are_written_in_order_by_the_background_task(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"), interval=0.001)
    task = asyncio.create_task(log.run())
    total = 2 * BATCH + 7
    for number in range(total):
        log.emit(exchange(request_id=str(number)))
    await until(lambda: log.writer.written_lines == total)
    log.emit(exchange(request_id="late"))
    await until(lambda: log.writer.written_lines == total + 1)
    task.cancel()
    assert log.writer.close()
    assert ids(tmp_path / "log") == [*map(str, range(total)), "late"]


async def test_a_full_batch_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"), interval=3600)
    task = asyncio.create_task(log.run())
    log.emit(exchange())
    await asyncio.sleep(0.01)
    assert log.writer.written_lines == 0
    for _ in range(BATCH - 1):
        log.emit(exchange())
    await until(lambda: log.writer.written_lines == BATCH)
    task.cancel()
    assert log.writer.close()


async def test_cancelled_in_the_middle_nothing_is_lost(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"), interval=0)
    for number in range(BATCH * 2):
        log.emit(exchange(request_id=str(number)))
    task = asyncio.create_task(log.run())
    while log.waiting in (0, BATCH * 2):  # the point is to stop between two slices
        await asyncio.sleep(0)
    task.cancel()
    assert await asyncio.gather(task, return_exceptions=True)
    assert log.waiting > 0
    assert log.flush()
    assert log.writer.close()
    assert ids(tmp_path / "log") == [str(number) for number in range(BATCH * 2)]


def test_a_full_buffer_drops_and_counts(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"), capacity=3)
    for number in range(5):
        log.emit(exchange(request_id=str(number)))
    assert (log.waiting, log.dropped) == (3, 2)
    assert log.flush()
    assert log.writer.close()
    assert ids(tmp_path / "log") == ["0", "1", "2"]


async def test_a_stuck_reader_holds_lines_back_and_then_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    monkeypatch.setattr("ccx.telemetry.writer.MAX_BACKLOG", 100_000)
    log = RequestLog(LineWriter(write), capacity=1000, interval=0.001)
    task = asyncio.create_task(log.run())
    sent = 0
    async with asyncio.timeout(5):
        while not log.dropped:
            for _ in range(100):
                log.emit(exchange())
                sent += 1
            await asyncio.sleep(0.001)
    assert log.lost == 0, "what cannot be written yet waits in the buffer"
    received = 0
    expected = sent - log.dropped
    while received < expected:
        received += (await asyncio.to_thread(os.read, read, 1 << 20)).count(b"\n")
    task.cancel()
    assert log.flush()
    assert log.writer.close()
    assert log.writer.written_lines == expected
    os.close(read)
    os.close(write)


def test_flush_gives_up_on_a_stuck_reader() -> None:
    read, write = os.pipe()
    log = RequestLog(LineWriter(write, complain=lambda _: None))
    for _ in range(500):
        log.emit(exchange())
    assert not log.flush(timeout=0.01)
    os.close(read)  # lets the writer's thread go
    assert log.writer.close()
    assert log.lost == 500
    os.close(write)


def test_a_record_that_cannot_be_rendered_costs_its_line(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"))
    log.emit(exchange(at=float("nan")))
    log.emit(exchange(request_id="good"))
    assert log.flush()
    assert log.writer.close()
    assert ids(tmp_path / "log") == ["good"]
    assert (log.unrenderable, log.dropped) == (1, 0)


def test_format_none_keeps_nothing(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"), format="none")
    log.emit(exchange())
    assert (log.waiting, log.dropped) == (0, 0)
    assert log.flush()
    assert not (tmp_path / "log").exists()


def test_text_is_coloured_only_on_a_terminal(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"), format="text")
    log.emit(exchange())
    assert log.flush()
    assert log.writer.close()
    assert "\x1b" not in (tmp_path / "log").read_text()
    leader, follower = os.openpty()
    on_terminal = RequestLog(LineWriter(follower), format="text")
    on_terminal.emit(exchange())
    assert on_terminal.flush()
    assert b"\x1b[32m200" in os.read(leader, 4096)
    assert on_terminal.writer.close()
    os.close(leader)
    os.close(follower)


def test_reopen_reaches_the_file(tmp_path: Path) -> None:
    log = RequestLog(LineWriter(tmp_path / "log"))
    log.emit(exchange(request_id="a"))
    assert log.flush()
    (tmp_path / "log").rename(tmp_path / "log.1")
    log.reopen()
    log.emit(exchange(request_id="b"))
    assert log.flush()
    assert log.writer.close()
    assert (ids(tmp_path / "log.1"), ids(tmp_path / "log")) == (["a"], ["b"])


def event_lines(path: Path, *, form: LogFormat) -> str:
    events = EventLog(LineWriter(path), format=form, now=lambda: 1_767_225_600.0)
    events.log_event("started", listen="127.0.0.1:3000", workers=2, public=False)
    events.log_event("reload_rejected", errors=["a.yaml:1:2: no\nsuch", "b"], level="x", path=None)
    events.log_event("warning", message="lone \ud800", took=0.5)
    assert events.flush()
    assert events.writer.close()
    return path.read_text()


def test_events_as_json(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in event_lines(tmp_path / "log", form="json").splitlines()]
    ts = "2026-01-01T00:00:00.000Z"
    assert lines == [
        {
            "ts": ts,
            "level": "info",
            "event": "started",
            "listen": "127.0.0.1:3000",
            "workers": 2,
            "public": False,
        },
        {
            "ts": ts,
            "level": "error",
            "event": "reload_rejected",
            "errors": ["a.yaml:1:2: no\nsuch", "b"],
            "level_": "x",
            "path": None,
        },
        {"ts": ts, "level": "warning", "event": "warning", "message": "lone ?", "took": 0.5},
    ]


@pytest.mark.parametrize("form", ["text", "none"])
def test_events_as_text(tmp_path: Path, form: LogFormat) -> None:
    assert event_lines(tmp_path / "log", form=form).splitlines() == [
        "2026-01-01T00:00:00.000Z started listen=127.0.0.1:3000 workers=2 public=false",
        "2026-01-01T00:00:00.000Z error: reload rejected errors=a.yaml:1:2: no\\nsuch; b level_=x path=-",
        '2026-01-01T00:00:00.000Z warning: warning message="lone ?" took=0.5',
    ]
