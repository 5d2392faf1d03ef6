from __future__ import annotations

import asyncio
import json
from pathlib import Path

from ccx.telemetry.events import EventLog
from ccx.telemetry.exchange import Exchange
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.log import RequestLog
from ccx.telemetry.metrics import Metrics
from ccx.telemetry.metrics_files import MetricsFiles
from ccx.telemetry.writer import LineWriter
from tests.telemetry.prometheus import Parsed, parse
from tests.telemetry.records import exchange, until


class Recorder:
    """A sink that keeps what it gets, or fails."""

    name = "recorder"

    def __init__(self) -> None:
        self.seen: list[Exchange] = []
        self.broken = False
        self.runs = 0

    def emit(self, exchange: Exchange) -> None:
        if self.broken:
            raise RuntimeError("sk-secret-in-a-message")
        self.seen.append(exchange)

    async def run(self) -> None:
        self.runs += 1
        if self.broken:
            raise OSError("no disk")
        await asyncio.Event().wait()

    def flush(self, timeout: float) -> bool:
        if self.broken:
            raise RuntimeError("no")
        return True


class Bench:
    """A hub writing into a folder, with one extra sink."""

    def __init__(self, folder: Path, *, files: bool = False) -> None:
        self.folder = folder
        self.sink = Recorder()
        metrics = Metrics()
        self.hub = Telemetry(
            RequestLog(LineWriter(folder / "log"), interval=0.001),
            metrics,
            events=EventLog(LineWriter(folder / "events", complain=lambda _: None)),
            sinks=[self.sink],
            files=MetricsFiles(folder, metrics) if files else None,
        )

    def events(self) -> list[dict[str, object]]:
        assert self.hub.events.flush()
        path = self.folder / "events"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def metrics(self) -> Parsed:
        return parse(self.hub.render_metrics())

    def close(self) -> None:
        assert self.hub.log.writer.close()
        assert self.hub.events.writer.close()


def test_every_sink_gets_every_exchange(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    record = exchange()
    bench.hub.emit(record)
    assert bench.hub.flush()
    assert bench.sink.seen == [record]
    assert json.loads((tmp_path / "log").read_text())["request_id"] == "req_1"
    assert bench.metrics().value("ccx_first_byte_seconds_count", route="default") == 1
    assert bench.events() == []
    bench.close()


def test_a_failing_sink_hurts_nobody_and_is_reported_once_per_streak(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for broken in (True, True, False, True):
        bench.sink.broken = broken
        bench.hub.emit(exchange())
    events = bench.events()
    assert [(event["event"], event["sink"], event["error"]) for event in events] == [
        ("sink_failed", "recorder", "RuntimeError")
    ] * 2
    assert "sk-secret" not in (tmp_path / "events").read_text()
    assert bench.metrics().value("ccx_telemetry_failures_total", sink="recorder") == 3
    assert bench.hub.log.waiting == 4
    assert len(bench.sink.seen) == 1
    assert not bench.hub.flush(), "the broken sink kept something"
    bench.close()


def test_metrics_that_fail_leave_the_log_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.hub.emit(exchange(total_seconds="soon"))
    assert bench.hub.log.waiting == 1
    assert len(bench.sink.seen) == 1
    assert bench.metrics().value("ccx_telemetry_failures_total", sink="metrics") == 1
    bench.close()


async def test_run_drives_every_part_and_outlives_a_broken_sink(tmp_path: Path) -> None:
    bench = Bench(tmp_path, files=True)
    bench.sink.broken = True
    task = asyncio.create_task(bench.hub.run())
    bench.hub.emit(exchange())
    await until(
        lambda: bench.hub.log.writer.written_lines and bench.sink.runs and (tmp_path / "0.metrics").exists(),
    )
    assert not task.done()
    assert bench.metrics().value("ccx_telemetry_failures_total", sink="recorder") == 2
    assert {"worker": "0"} in bench.metrics().series("process_open_fds")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    bench.close()


def test_losses_show_in_the_metrics_by_reason(tmp_path: Path) -> None:
    (tmp_path / "events").mkdir()
    bench = Bench(tmp_path)
    bench.hub.log._capacity = 2
    for at in (1.0, float("nan"), 3.0):
        bench.hub.emit(exchange(at=at))
    bench.hub.log_event("started")
    assert bench.hub.flush()
    metrics = bench.metrics()
    assert {reason: metrics.value("ccx_log_dropped_total", reason=reason) for reason in REASONS} == {
        "buffer_full": 1,
        "unrenderable": 1,
        "write_failed": 1,
    }
    bench.close()


REASONS = ("buffer_full", "unrenderable", "write_failed")


def test_reopen_reaches_log_and_events(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for generation in ("1", "2"):
        bench.hub.emit(exchange())
        bench.hub.log_event("warning", message=generation)
        assert bench.hub.flush()
        (tmp_path / "log").rename(tmp_path / f"log.{generation}")
        (tmp_path / "events").rename(tmp_path / f"events.{generation}")
        bench.hub.reopen()
    assert len((tmp_path / "log.1").read_text().splitlines()) == 1
    assert len((tmp_path / "log.2").read_text().splitlines()) == 1
    assert '"message":"2"' in (tmp_path / "events.2").read_text()
    bench.close()


def test_no_secret_reaches_any_output(tmp_path: Path) -> None:
    """Whatever a careless caller passes as the key, only a fingerprint is ever written."""
    bench = Bench(tmp_path)
    secret = "sk-live-0123456789abcdef"
    record = exchange()
    bench.hub.emit(
        exchange(
            attempts=tuple(type(a)(a.channel, a.protocol, a.model, secret, "ok", 200, 0.1) for a in record.attempts)
        )
    )
    assert bench.hub.flush()
    assert secret not in (tmp_path / "log").read_text()
    assert secret.encode() not in bench.hub.render_metrics()
    bench.close()
