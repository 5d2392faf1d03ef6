"""Where finished exchanges go: every sink gets each one, and none can hurt the request or another sink.

Law: `emit` never raises and never waits. A sink that fails is counted each time and reported once, until it works
again. What a sink does with an exchange beyond noting it happens later, in its `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from ccx.telemetry.events import EventKind, EventLog, EventValue
from ccx.telemetry.exchange import Exchange
from ccx.telemetry.log import RequestLog
from ccx.telemetry.metrics import Metrics
from ccx.telemetry.metrics_files import MetricsFiles


class Sink(Protocol):
    """Something that takes exchanges: a store, an exporter of traces."""

    @property
    def name(self) -> str:
        """What it is called in metrics and complaints; unique."""

    def emit(self, exchange: Exchange) -> None:
        """Note an exchange, in microseconds and without I/O."""

    async def run(self) -> None:
        """Work off what was noted, until cancelled."""

    def flush(self, timeout: float) -> bool:
        """Work off the rest at shutdown, blocking at most `timeout` seconds. False if that was too short."""


class Telemetry:
    """The request log, the metrics and any further sinks behind one `emit`; and the gateway's own events.

    `files` is set when this process is one of several workers: metrics are then shown for all of them.
    """

    def __init__(
        self,
        log: RequestLog,
        metrics: Metrics,
        *,
        events: EventLog,
        sinks: Sequence[Sink] = (),
        files: MetricsFiles | None = None,
    ) -> None:
        self.log = log
        self.metrics = metrics
        self.events = events
        self.files = files
        self._sinks = tuple(sinks)
        self._targets: tuple[tuple[str, Callable[[Exchange], None]], ...] = (
            ("log", log.emit),
            ("metrics", metrics.observe),
            *((sink.name, sink.emit) for sink in sinks),
        )
        self._failing: set[str] = set()
        metrics.registry.on_read(self._read_losses)

    def emit(self, exchange: Exchange) -> None:
        """Give a finished exchange to every sink. The caller must not change it any more."""
        for name, emit in self._targets:
            try:
                emit(exchange)
            except Exception as error:  # noqa: BLE001  # a failing sink never fails a request
                self._failed(name, error)
            else:
                if self._failing:
                    self._failing.discard(name)

    def log_event(self, kind: EventKind, /, **fields: EventValue) -> None:
        """Write one of the gateway's own events. Never raises."""
        self.events.log_event(kind, **fields)

    def tables(self) -> dict[str, tuple[str | None, bool]] | None:
        """What each of several workers serves, see `MetricsFiles.tables`; None where there is one process."""
        return self.files.tables() if self.files is not None else None

    def render_metrics(self) -> bytes:
        """The answer to a scrape, for all workers. Blocks for some milliseconds."""
        return self.metrics.render() if self.files is None else self.files.render()

    async def run(self) -> None:
        """The background work of all sinks, until cancelled. A sink whose work ends with an error is reported and left
        alone: the others go on."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.log.run(), name="request log")
            group.create_task(self.metrics.loop_lag.run(), name="loop lag")
            if self.files is not None:
                group.create_task(self.files.run(), name="metrics files")
            for sink in self._sinks:
                group.create_task(self._run_sink(sink), name=sink.name)

    async def _run_sink(self, sink: Sink) -> None:
        try:
            await sink.run()
        except Exception as error:  # noqa: BLE001  # a failing sink never fails the gateway
            self._failed(sink.name, error)

    def reopen(self) -> None:
        """Open log files anew, as after SIGHUP."""
        self.log.reopen()
        self.events.writer.reopen()

    def flush(self, timeout: float = 2.0) -> bool:
        """At shutdown: work off what every sink still holds, blocking at most `timeout` seconds for each.

        False if something is left.
        """
        done = self.log.flush(timeout)
        for sink in self._sinks:
            try:
                done = sink.flush(timeout) and done
            except Exception as error:  # noqa: BLE001  # likewise
                self._failed(sink.name, error)
                done = False
        return self.events.flush(timeout) and done

    def _failed(self, name: str, error: Exception) -> None:
        self.metrics.sink_failures.labelled(name).inc()
        if name not in self._failing:
            self._failing.add(name)
            self.events.log_event("sink_failed", sink=name, error=type(error).__name__)

    def _read_losses(self) -> None:
        dropped = self.metrics.log_dropped
        dropped.labelled("buffer_full").set(self.log.dropped)
        dropped.labelled("unrenderable").set(self.log.unrenderable)
        dropped.labelled("write_failed").set(sum(w.lost_lines for w in {self.log.writer, self.events.writer}))
