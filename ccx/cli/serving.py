"""One serving process: everything wired together, run until told to stop.

Signals: SIGTERM and SIGINT stop gracefully (new requests are refused, those under way are finished within
`server.drain`); SIGHUP reconciles at once and opens log files anew.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ccx import __version__
from ccx.admin.api import connections, routes
from ccx.admin.canary import measure_tables
from ccx.admin.channels import measure, measure_waiting
from ccx.catalog.models import models as catalogued
from ccx.cli.alerting import alerting
from ccx.cli.approvals import Approvals
from ccx.cli.coordinating import ORDERS, SOCKET, kept_sums
from ccx.cli.server import Server
from ccx.cli.sharing import looking, share
from ccx.cli.supervisor import say_drain
from ccx.routing.conditions import axis, leaves
from ccx.routing.facts import Axis
from ccx.routing.table import RoutingTable
from ccx.runtime.app import App
from ccx.runtime.caching import kept
from ccx.runtime.canary import Canary
from ccx.runtime.commands import SecretCommands
from ccx.runtime.gateway import Gateway
from ccx.runtime.http import BoundedProtocol
from ccx.runtime.lastgood import Kept, LastGood
from ccx.runtime.ledger import Ledger
from ccx.runtime.live import Live
from ccx.runtime.loading import Loader
from ccx.runtime.models import names
from ccx.runtime.orders import Orders
from ccx.runtime.probing import Noted, Prober
from ccx.runtime.proxy import Proxy
from ccx.runtime.relay import CutError
from ccx.runtime.reload import Candidate, Reconciler, Status
from ccx.runtime.rollout import Result
from ccx.runtime.verdicts import Verdicts
from ccx.telemetry.events import EventLog
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.log import LogFormat, RequestLog
from ccx.telemetry.metrics import Metrics
from ccx.telemetry.metrics_files import MetricsFiles
from ccx.telemetry.writer import LineWriter
from ccx.tokens.counter import TokenCounter

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Worker:
    """What one of several processes on one port knows of the others."""

    number: int
    metrics: Path
    parent: int
    count: int


@dataclass(frozen=True, slots=True)
class Start:
    """What a process starts from: a prepared table, and where it came from."""

    live: Live
    candidate: Candidate
    last_good: bool
    loader: Loader
    kept: LastGood | None
    log_format: LogFormat | None
    worker: Worker | None
    approvals: Approvals | None = None
    commands: SecretCommands | None = None
    ledger: Ledger | None = None
    orders: Path | None = None


def run(start: Start, listener: socket.socket) -> None:
    """Serve on a listening socket until stopped. Blocks."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(start, listener))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - absent on platforms without it
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(start: Start, listener: socket.socket) -> None:
    live = start.live
    gateway = Gateway(live)
    telemetry = _telemetry(start)
    counter = TokenCounter()
    proxy = Proxy(
        gateway,
        counter,
        emit=telemetry.emit,
        trouble=lambda request_id, error: telemetry.log_event(
            "warning",
            what="internal error",
            request_id=request_id,
            error=_where(error),
        ),
    )
    commands = start.commands or SecretCommands(environ=os.environ, folder=start.loader.folder)
    share(
        gateway,
        folder=start.loader.folder,
        environ=os.environ,
        commands=commands,
        telemetry=telemetry,
        socket=start.worker.metrics / SOCKET if start.worker is not None else None,
    )
    telling = alerting(gateway, telemetry, folder=start.loader.folder, environ=os.environ, commands=commands)
    keeping = kept_sums(gateway.meters, start.ledger, warn=lambda why: telemetry.log_event("warning", what=why))
    beside = [*keeping, *telling, *looking(gateway, telemetry.metrics)]
    reconciler = Reconciler(
        gateway,
        folder=start.loader.folder,
        look=lambda: asyncio.to_thread(_look, start.loader),
        warm=lambda table: _warm(counter, table),
        environ=os.environ,
        note=lambda result, reason, now, status: _note(
            telemetry, result, reason, now, status=status, canary=gateway.canary
        ),
        persist=lambda candidate: _persist(start.kept, candidate, telemetry),
        approval=start.approvals,
        commands=start.commands,
        verdicts=Verdicts(
            start.worker.metrics / "canaries.json" if start.worker else None,
            tell_others=lambda: _tell_others(start.worker),
        ),
        written=() if live.table.telemetry.log_file is None else (start.loader.folder / live.table.telemetry.log_file,),
    )
    reconciler.accept(start.candidate, source="last_good" if start.last_good else "file")
    metrics, clock = telemetry.metrics, asyncio.get_running_loop().time
    metrics.registry.on_read(lambda: metrics.in_flight.set(gateway.in_flight))
    metrics.registry.on_read(lambda: metrics.set_connections(connections(gateway.lives)))
    metrics.registry.on_read(lambda: metrics.set_cache(kept(gateway.caching)))
    metrics.registry.on_read(lambda: measure(gateway, metrics, now=clock()))
    metrics.registry.on_read(lambda: measure_waiting(gateway, metrics))
    gateway.guard.workers = start.worker.count if start.worker is not None else 1
    gateway.guard.changed = lambda began: _overloaded(gateway, telemetry, began=began)
    metrics.known_models = _known_models(live)
    metrics.registry.on_read(lambda: measure_tables(gateway, reconciler.rollout, metrics))
    gateway.on_commit = lambda now: setattr(metrics, "known_models", _known_models(*now))
    metrics.reloaded("rejected" if start.candidate.problems else "applied", digest=live.digest, at=time.time())

    def stopped() -> None:
        counter.close()
        telemetry.log_event("stopped")
        telemetry.flush()

    orders = Orders(
        gateway.health,
        file=start.worker.metrics / ORDERS if start.worker else None,
        kept=start.orders if live.table.redis is None else None,
        warn=lambda why: telemetry.log_event("warning", what=why),
    )
    for channel, order in (await orders.restore()).items():
        seconds = round(order.until - clock())
        telemetry.log_event("channel_ordered", channel=channel, order=order.order, seconds=seconds, restored=True)
    app = App(
        gateway,
        proxy,
        admin=routes(
            gateway,
            reconciler,
            telemetry,
            spec=start.loader.path,
            tell_others=lambda: _tell_others(start.worker),
            orders=orders,
        ),
        background=[reconciler.run, telemetry.run, Prober(gateway, note=_probes(telemetry)).run, *beside],
        on_stop=stopped,
    )
    server = Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            loop="none",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=2048,
            timeout_keep_alive=75,
        ),
        drain=lambda: gateway.live.table.server.drain / 1000,
        in_flight=lambda: gateway.in_flight,
        on_started=lambda: _say_started(start, listener, telemetry),
        on_draining=lambda: _drain(gateway, telemetry, start.worker),
        parent=start.worker.parent if start.worker else None,
    )
    _quiet_uvicorn(telemetry)
    loop = asyncio.get_running_loop()

    obeying: set[asyncio.Task[None]] = set()

    def hangup() -> None:
        telemetry.reopen()
        reconciler.wake()
        for work in (orders.read(), reconciler.rollout.obey()):
            task = loop.create_task(work)
            obeying.add(task)
            task.add_done_callback(obeying.discard)

    loop.add_signal_handler(signal.SIGHUP, hangup)
    with server.stopping_at_signals():
        await _warm_first(counter, live.table, telemetry)
        # Tables and imports live as long as the process: leave them out of every collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        # Threads that count tokens or compile a spec give way to the loop after this long instead of 5 ms.
        sys.setswitchinterval(0.0005)
        await server.serve(sockets=[listener])


def _probes(telemetry: Telemetry) -> Noted:
    """Counts probes, and tells of each that came out otherwise than the one before."""
    before: dict[tuple[str, str], str] = {}

    def note(channel: str, protocol: str, outcome: str) -> None:
        telemetry.metrics.probes.labelled(channel, outcome).inc()
        if before.get((channel, protocol)) != outcome:
            before[channel, protocol] = outcome
            telemetry.log_event("probe", channel=channel, protocol=protocol, outcome=outcome)

    return note


def _overloaded(gateway: Gateway, telemetry: Telemetry, *, began: bool) -> None:
    guard = gateway.guard
    if began:
        lag = round(guard.state.standing * 1000)
        telemetry.log_event("overload_began", why=guard.state.reason, lag_ms=lag, memory_bytes=guard.resident)
    else:
        telemetry.log_event("overload_ended", shed=guard.shed["lag"] + guard.shed["memory"])


def _tell_others(worker: Worker | None) -> None:
    """Have the parent pass a hangup on to all workers, this one too: each reconciles."""
    if worker is not None and os.getppid() == worker.parent:
        os.kill(worker.parent, signal.SIGHUP)


def _look(loader: Loader) -> Candidate:
    """Read the spec, and free at once what reading it made: trees of cycles that would pile up between the rare full
    collections. It takes a fraction of a millisecond, since what lives as long as the process is frozen."""
    candidate = loader.look()
    gc.collect()
    return candidate


async def _warm(counter: TokenCounter, table: RoutingTable) -> None:
    """Load the vocabulary before a table that asks for token counts is served, not in its first request."""
    if any(axis(leaf) is Axis.INPUT_TOKENS for route in table.routes for leaf in leaves(route.when)):
        await counter.prepare()


async def _warm_first(counter: TokenCounter, table: RoutingTable, telemetry: Telemetry) -> None:
    """The same for the table that the process starts with, before it accepts a connection: loading holds the
    interpreter for tens of milliseconds, which no request shall feel. A vocabulary that cannot be loaded is no reason
    not to serve."""
    try:
        await _warm(counter, table)
    except Exception as error:  # noqa: BLE001 - each count will fail of it, and say so; nobody else needs to
        telemetry.log_event("warning", what="the vocabulary could not be loaded", error=_where(error))


def _drain(gateway: Gateway, telemetry: Telemetry, worker: Worker | None) -> None:
    gateway.draining = True
    if worker is not None:
        say_drain(worker.metrics, worker.number, gateway.live.table.server.drain / 1000)
    telemetry.log_event("draining", in_flight=gateway.in_flight)


def _telemetry(start: Start) -> Telemetry:
    said = start.live.table.telemetry
    log_format = start.log_format or said.log_format
    destination = STDOUT if said.log_file is None else start.loader.folder / said.log_file
    metrics = Metrics(worker=str(start.worker.number) if start.worker else "0")
    return Telemetry(
        RequestLog(LineWriter(destination), format=log_format, redact=said.redact),
        metrics,
        events=EventLog(LineWriter(STDERR), format="text" if sys.stderr.isatty() else log_format),
        files=MetricsFiles(start.worker.metrics, metrics) if start.worker else None,
    )


def _known_models(*lives: Live) -> frozenset[str]:
    return frozenset(name for live in lives for name in names(live.table)) | {model.id for model in catalogued()}


def _note(
    telemetry: Telemetry, result: Result, reason: str, live: Live, *, status: Status, canary: Canary | None
) -> None:
    telemetry.metrics.reloaded(result, digest=live.digest, at=status.at, good=not status.problems)
    match result:
        case "applied":
            telemetry.log_event(
                "reload_applied",
                digest=live.digest[:12],
                generation=live.number,
                reason=reason,
                restart_needed=list(status.restart_needed),
            )
        case "canary" if canary is not None:
            telemetry.log_event(
                "reload_canary",
                digest=canary.live.digest[:12],
                serving=live.digest[:12],
                share=float(canary.terms.share),
                seconds=canary.terms.lasting,
                reason=reason,
                restart_needed=list(status.restart_needed),
            )
        case "rejected":
            telemetry.log_event(
                "reload_rejected",
                serving=live.digest[:12],
                reason=reason,
                problems=list(status.problems),
            )
        case "unchanged":
            if reason != "timer":
                telemetry.log_event("reload_unchanged", digest=live.digest[:12], reason=reason)


def _persist(kept: LastGood | None, candidate: Candidate, telemetry: Telemetry) -> None:
    if kept is None:
        return
    failed = kept.save(Kept(candidate.digest, time.time(), dict(candidate.files), candidate.entry))
    if failed is not None:
        telemetry.log_event("warning", what="the last good spec could not be kept", error=str(failed))


def _say_started(start: Start, listener: socket.socket, telemetry: Telemetry) -> None:
    host, port = listener.getsockname()[:2]
    table = start.live.table
    telemetry.log_event(
        "started",
        version=__version__,
        listen=f"{host}:{port}",
        spec=str(start.loader.path),
        digest=start.live.digest[:12],
        source="last_good" if start.last_good else "file",
        routes=len(table.routes),
        channels=len(table.channels),
        clients=len(table.clients),
    )


def _where(error: BaseException) -> str:
    """The error and the line of ours that raised it; never its arguments, which may hold what a client sent."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at is not None else "?"
    return f"{type(error).__name__} at {place}"


def _quiet_uvicorn(telemetry: Telemetry) -> None:
    """Let uvicorn's few warnings speak through our event log, without tracebacks of what we have reported ourselves."""

    class Relay(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info is not None and isinstance(record.exc_info[1], CutError):
                return
            text = record.getMessage()
            if "Exception in ASGI application" in text or "without completing response" in text:
                return
            telemetry.log_event("warning", what=text)

    logger = logging.getLogger("uvicorn.error")
    logger.handlers = [Relay(level=logging.WARNING)]
    logger.propagate = False
    logger.setLevel(logging.WARNING)
