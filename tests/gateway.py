"""A whole gateway inside a test: the real application on a real socket, over a spec written in the test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import textwrap
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn

from ccx.admin.api import routes
from ccx.cli.alerting import alerting
from ccx.cli.sharing import share
from ccx.routing.table import RoutingTable
from ccx.runtime.app import App
from ccx.runtime.commands import SecretCommands
from ccx.runtime.gateway import Gateway
from ccx.runtime.http import BoundedProtocol
from ccx.runtime.live import Live, prepare
from ccx.runtime.loading import Loader
from ccx.runtime.proxy import Proxy
from ccx.runtime.reload import Approval, Candidate, Reconciler
from ccx.runtime.rollout import Result
from ccx.telemetry.events import EventLog
from ccx.telemetry.exchange import Exchange
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.log import RequestLog
from ccx.telemetry.metrics import Metrics
from ccx.telemetry.writer import LineWriter
from ccx.tokens.counter import TokenCounter


@dataclass
class Running:
    """A running gateway, and what it did."""

    url: str
    port: int
    path: Path
    gateway: Gateway
    reconciler: Reconciler
    exchanges: list[Exchange]
    troubles: list[BaseException]
    persisted: list[Candidate]
    notes: list[tuple[Result, str]]
    client: httpx.AsyncClient = field(repr=False)

    def rewrite(self, text: str) -> None:
        """Replace the spec as an editor does: a new file, renamed over the old."""
        new = self.path.with_suffix(".tmp")
        new.write_text(textwrap.dedent(text))
        new.replace(self.path)

    async def exchange(self, count: int = 1) -> Exchange:
        """The exchange number `count`, once it has been recorded."""
        for _ in range(400):
            if len(self.exchanges) >= count:
                return self.exchanges[count - 1]
            await asyncio.sleep(0.005)
        raise AssertionError(f"only {len(self.exchanges)} exchanges")


@contextlib.asynccontextmanager
async def running(
    spec: str,
    folder: Path,
    *,
    environ: Mapping[str, str] | None = None,
    watch: bool = False,
    approval: Approval | None = None,
) -> AsyncIterator[Running]:
    """Serve `spec` from a file in `folder` on an ephemeral port. `watch` runs the reconciler in the background."""
    path = folder / "ccx.yaml"
    path.write_text(textwrap.dedent(spec))
    environ = dict(environ or {})
    loader = Loader(path, environ)
    candidate = loader.look()
    assert candidate.table is not None, candidate.problems
    commands = SecretCommands(environ=environ, folder=folder)
    live: Live = prepare(candidate.table, candidate.digest, folder=folder, environ=environ, run=commands.read)
    gateway = Gateway(live)
    counter = TokenCounter()
    exchanges: list[Exchange] = []
    troubles: list[BaseException] = []
    persisted: list[Candidate] = []
    notes: list[tuple[Result, str]] = []
    writer_path = folder / "log"
    writer = LineWriter(writer_path)
    telemetry = Telemetry(RequestLog(writer), Metrics(), events=EventLog(writer))

    share(gateway, folder=folder, environ=environ, commands=commands, telemetry=telemetry)
    telling = alerting(gateway, telemetry, folder=folder, environ=environ, commands=commands)

    async def warm(table: RoutingTable) -> None:
        await asyncio.sleep(0)

    def emit(exchange: Exchange) -> None:
        exchanges.append(exchange)
        telemetry.emit(exchange)

    reconciler = Reconciler(
        gateway,
        folder=folder,
        look=lambda: asyncio.to_thread(loader.look),
        warm=warm,
        environ=environ,
        note=lambda result, reason, _live, _status: notes.append((result, reason)),
        persist=persisted.append,
        written=(writer_path,),
        approval=approval,
        commands=commands,
    )
    reconciler.accept(candidate, source="file")
    proxy = Proxy(gateway, counter, emit=emit, trouble=lambda _id, error: troubles.append(error))
    app = App(
        gateway,
        proxy,
        admin=routes(gateway, reconciler, telemetry, spec=path),
        background=[*([reconciler.run] if watch else []), *telling],
        on_stop=counter.close,
    )
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    port = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="none",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with contextlib.ExitStack() as stack:
        stack.callback(listener.close)
        server.install_signal_handlers = lambda: None  # type: ignore[method-assign,attr-defined]  # the test keeps its own
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # likewise
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.002)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10) as client:
            yield Running(
                f"http://127.0.0.1:{port}",
                port,
                path,
                gateway,
                reconciler,
                exchanges,
                troubles,
                persisted,
                notes,
                client,
            )
        server.should_exit = True
        await task
    telemetry.flush()
    writer.close()
    assert gateway.in_flight == 0
    assert not troubles, troubles
