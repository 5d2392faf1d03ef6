from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx import __version__
from ccx.telemetry import metrics_files, process
from ccx.telemetry.metrics import Metrics, metric_table
from ccx.telemetry.metrics_files import STALE, MetricsFiles
from tests.telemetry.prometheus import Parsed, check, parse
from tests.telemetry.records import ATTEMPT, FAILED, exchange, until


def read(metrics: Metrics) -> Parsed:
    parsed = parse(metrics.render())
    check(parsed)
    return parsed


def test_an_exchange_is_counted_everywhere() -> None:
    metrics = Metrics(known_models={"model-2025"})
    metrics.observe(exchange())
    metrics.observe(exchange(status=499, first_byte_seconds=None, attempts=(FAILED,), cache_read_tokens=None))
    metrics.observe(exchange(status=404, route=None, client=None, attempts=(), first_byte_seconds=None))
    parsed = read(metrics)
    requests = {"protocol": "messages", "route": "default", "client": "team-a"}
    assert parsed.value("ccx_requests_total", **requests, channel="primary", status="200") == 1
    assert parsed.value("ccx_requests_total", **requests, channel="backup", status="499") == 1
    assert parsed.value("ccx_requests_total", protocol="messages", route="", client="", channel="", status="404") == 1
    assert parsed.value("ccx_request_duration_seconds_count", route="default") == 2
    assert parsed.value("ccx_request_duration_seconds_bucket", route="default", le="1") == 0
    assert parsed.value("ccx_request_duration_seconds_bucket", route="default", le="2.5") == 2
    assert parsed.value("ccx_first_byte_seconds_count", route="default") == 1
    assert parsed.value("ccx_attempts_total", channel="backup", outcome="overloaded") == 2
    assert parsed.value("ccx_attempts_total", channel="primary", outcome="ok") == 1
    tokens = {"input": 100, "output": 20, "cache_read": 7, "cache_write": 3}
    for direction, count in tokens.items():
        labels = {"channel": "primary", "model": "model-2025", "direction": direction}
        assert parsed.value("ccx_tokens_total", **labels) == count
    assert {"channel": "backup", "model": "other", "direction": "cache_read"} not in parsed.series("ccx_tokens_total")
    assert parsed.value("ccx_tokens_total", channel="backup", model="other", direction="input") == 100


@given(st.lists(st.text(max_size=300), max_size=20), st.integers())
def test_strangers_cannot_name_a_series(models: list[str], status: int) -> None:
    metrics = Metrics(known_models={"model-2025"}, max_series=50)
    for model in models:
        metrics.observe(exchange(model_asked=model, attempts=(ATTEMPT._replace(model=model),), status=status))
    parsed = read(metrics)
    assert {labels["model"] for labels in parsed.series("ccx_tokens_total")} <= {"model-2025", "other"}
    assert len(parsed.series("ccx_requests_total")) <= 1


def test_reloads() -> None:
    metrics = Metrics()
    assert read(metrics).value("ccx_config_reloads_total", result="rejected") == 0
    metrics.reloaded("applied", digest="aaa", at=100.5)
    metrics.reloaded("applied", digest="bbb", at=200.5)
    metrics.reloaded("rejected", digest="bbb", at=300.5)
    parsed = read(metrics)
    assert parsed.series("ccx_config_info") == [{"digest": "bbb"}]
    assert parsed.value("ccx_config_info", digest="bbb") == 1
    assert parsed.value("ccx_config_last_reload_successful") == 0
    assert parsed.value("ccx_config_last_reload_success_timestamp_seconds") == 200.5
    assert parsed.value("ccx_config_reloads_total", result="applied") == 2
    assert parsed.value("ccx_config_reloads_total", result="rejected") == 1
    metrics.reloaded("unchanged", digest="bbb", at=400.5)
    parsed = read(metrics)
    assert parsed.value("ccx_config_last_reload_successful") == 1
    assert parsed.value("ccx_config_last_reload_success_timestamp_seconds") == 400.5
    metrics.reloaded("rejected", digest=None, at=500)
    assert read(metrics).series("ccx_config_info") == []


def test_gauges_of_the_gateway() -> None:
    metrics = Metrics()
    metrics.in_flight.set(2)
    metrics.in_flight.set(1)
    metrics.set_connections({"idle": 3, "busy": 1})
    metrics.set_connections({"idle": 2})
    parsed = read(metrics)
    assert parsed.value("ccx_requests_in_flight") == 1
    assert parsed.series("ccx_upstream_connections") == [{"state": "idle"}]
    assert parsed.value("ccx_build_info", version=__version__) == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_the_process() -> None:
    parsed = read(Metrics())
    assert 1e6 < parsed.value("process_resident_memory_bytes") < 1e11
    before = parsed.value("process_open_fds")
    ends = os.pipe()
    assert read(Metrics()).value("process_open_fds") == before + 2
    for fd in ends:
        os.close(fd)
    assert 0 < time.time() - parsed.value("process_start_time_seconds") < 86_400
    assert 0 < parsed.value("process_cpu_seconds_total") <= time.process_time()


def test_a_system_without_proc_has_fewer_gauges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROC", Path("/nowhere"))
    parsed = read(Metrics())
    assert parsed.series("process_open_fds") == []
    assert parsed.series("process_resident_memory_bytes") == []
    assert parsed.series("process_start_time_seconds") == []
    assert "process_open_fds" in parsed.types


async def test_loop_lag_is_the_worst_of_late() -> None:
    lag = process.LoopLag(every=0.001)
    assert lag.seconds == 0
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.005)
    time.sleep(0.03)
    await asyncio.sleep(0.005)
    assert lag.seconds >= 0.02
    task.cancel()


def test_the_table_names_every_metric_once() -> None:
    parsed = read(Metrics())
    rows = metric_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == sorted(parsed.types)
    assert "| `ccx_attempts_total` | counter | `channel`, `outcome` |" in metric_table()
    assert all(row.count(" | ") == 3 for row in rows)


def test_snapshots_of_other_workers_are_merged() -> None:
    one, two = Metrics(worker="1"), Metrics(worker="2")
    one.observe(exchange())
    two.observe(exchange())
    two.observe(exchange())
    one.in_flight.inc()
    two.in_flight.inc()
    parsed = parse(one.merge([two.snapshot()]))
    check(parsed)
    assert parsed.value("ccx_request_duration_seconds_count", route="default") == 3
    assert parsed.value("ccx_requests_in_flight") == 2
    with pytest.raises(msgspec.DecodeError):
        one.merge([b"garbage"])


def durations(data: bytes) -> float:
    parsed = parse(data)
    check(parsed)
    return parsed.value("ccx_request_duration_seconds_count", route="default")


def test_any_worker_shows_all(tmp_path: Path) -> None:
    workers = [Metrics(worker=name) for name in "012"]
    files = [MetricsFiles(tmp_path, metrics) for metrics in workers]
    for count, metrics in enumerate(workers, start=1):
        metrics.in_flight.set(1)
        for _ in range(count):
            metrics.observe(exchange())
    for file in files:
        file.write()
    for file in files:
        parsed = parse(file.render())
        assert durations(file.render()) == 6
        assert parsed.value("ccx_requests_in_flight") == 3
        assert {labels["worker"] for labels in parsed.series("process_open_fds")} == {"0", "1", "2"}
    workers[0].observe(exchange())
    assert durations(files[0].render()) == 7, "the renderer's own numbers are the present ones"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.metrics", "1.metrics", "2.metrics"]


def test_the_dead_keep_their_counters_and_lose_their_gauges(tmp_path: Path) -> None:
    dead, alive = Metrics(worker="0"), Metrics(worker="1")
    dead.observe(exchange())
    dead.in_flight.set(5)
    MetricsFiles(tmp_path, dead).write()
    clock = time.time()
    files = MetricsFiles(tmp_path, alive, now=lambda: clock)
    alive.observe(exchange())
    assert parse(files.render()).value("ccx_requests_in_flight") == 5
    clock += STALE + 1
    parsed = parse(files.render())
    assert parsed.value("ccx_requests_in_flight") == 0
    assert durations(files.render()) == 2


def test_a_successor_adopts_the_counters_again_and_again(tmp_path: Path) -> None:
    for generation in range(1, 5):
        metrics = Metrics(worker="0")
        files = MetricsFiles(tmp_path, metrics)
        metrics.observe(exchange())
        metrics.in_flight.set(1)
        files.write()
        assert durations(files.render()) == generation
        other = MetricsFiles(tmp_path, Metrics(worker="1"))
        assert durations(other.render()) == generation
        parsed = parse(other.render())
        assert parsed.value("ccx_requests_in_flight") == 1
        assert {labels["worker"] for labels in parsed.series("process_open_fds")} == {"0", "1"}
    assert len(list(tmp_path.iterdir())) == 1


async def test_the_last_file_of_a_worker_says_that_it_is_gone(tmp_path: Path) -> None:
    metrics = Metrics(worker="0")
    metrics.in_flight.set(1)
    metrics.observe(exchange())
    other = MetricsFiles(tmp_path, Metrics(worker="1"))
    task = asyncio.create_task(MetricsFiles(tmp_path, metrics).run(every=0.001))
    await until((tmp_path / "0.metrics").exists)
    assert parse(other.render()).value("ccx_requests_in_flight") == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert parse(other.render()).value("ccx_requests_in_flight") == 0
    assert durations(other.render()) == 1


def test_foreign_and_broken_files_cost_nothing(tmp_path: Path) -> None:
    metrics = Metrics(worker="0")
    metrics.observe(exchange())
    files = MetricsFiles(tmp_path, metrics)
    files.write()
    (tmp_path / "1.metrics").write_bytes(b"\xff torn")
    (tmp_path / "2.metrics").write_bytes((tmp_path / "0.metrics").read_bytes()[:-7])
    (tmp_path / "3.metrics").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    assert durations(files.render()) == 1


def test_a_directory_that_is_gone_is_counted_not_raised(tmp_path: Path) -> None:
    metrics = Metrics(worker="0")
    metrics.observe(exchange())
    files = MetricsFiles(tmp_path / "gone", metrics)
    files.write()
    assert files.write_failures == 1
    assert durations(files.render()) == 1


def test_a_file_that_vanishes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Metrics(worker="1")
    other.observe(exchange())
    MetricsFiles(tmp_path, other).write()
    real = metrics_files._load

    def load_and_remove(path: Path) -> object:
        loaded = real(path)
        path.unlink(missing_ok=True)
        return loaded

    files = MetricsFiles(tmp_path, Metrics(worker="0"))
    monkeypatch.setattr(metrics_files, "_load", load_and_remove)
    assert durations(files.render()) == 1


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b"])
def test_a_worker_cannot_name_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        MetricsFiles(tmp_path, Metrics(worker=name))


def test_waiting_and_shedding() -> None:
    metrics = Metrics()
    metrics.set_queues({"a": 3}, refused={("a", "full"): 2})
    metrics.set_overload(12.5, lag=0.3, shed={"lag": 4})
    text = metrics.render().decode()
    assert 'ccx_queue_waiting{channel="a"} 3' in text
    assert 'ccx_queue_refused_total{channel="a",reason="full"} 2' in text
    assert "\nccx_overload_limit 12.5" in text
    assert "\nccx_overload_lag_seconds 0.3" in text
    assert 'ccx_overload_shed_total{reason="lag"} 4' in text
    metrics.set_queues({}, refused={})
    metrics.set_overload(None, lag=0.0, shed={})
    text = metrics.render().decode()
    assert "ccx_queue_waiting{" not in text
    assert "\nccx_overload_limit " not in text
