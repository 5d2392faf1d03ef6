"""A gateway in this process, without sockets and on a clock that nobody waits for: for tests of what takes minutes."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ccx.admin.api import routes
from ccx.routing.table import RoutingTable
from ccx.runtime.app import App
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import prepare
from ccx.runtime.loading import Loader
from ccx.runtime.proxy import Proxy
from ccx.runtime.reload import Candidate, Reconciler
from ccx.runtime.verdicts import Verdicts
from ccx.telemetry.events import EventLog
from ccx.telemetry.exchange import Exchange
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.log import RequestLog
from ccx.telemetry.metrics import Metrics
from ccx.telemetry.writer import LineWriter
from ccx.testing.clock import VirtualLoop
from ccx.tokens.counter import TokenCounter

T = TypeVar("T")


class _Inline(VirtualLoop):
    """Does at once what would go to a thread: while one works, this clock would run ahead."""

    def run_in_executor(  # type: ignore[override]  # the future is done already
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as an executor hands them on
            future.set_exception(error)
        return future


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a clock of its own."""
    with asyncio.Runner(loop_factory=_Inline) as runner:
        return runner.run(main)


@dataclass
class Answer:
    """What the client got."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def digest(self) -> str:
        """The table that served it, as the receipt says."""
        return self.headers["x-ccx-digest"]

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Machine:
    """One gateway. `folder` has its spec; `verdicts` are those of its port."""

    def __init__(
        self, spec: str, folder: Path, *, environ: Mapping[str, str] | None = None, verdicts: Verdicts | None = None
    ) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        self.path = folder / "ccx.yaml"
        self.write(spec)
        environ = dict(environ or {})
        loader = Loader(self.path, environ)
        candidate = loader.look()
        assert candidate.table is not None, candidate.problems
        live = prepare(candidate.table, candidate.digest, folder=folder, environ=environ)
        self.gateway = Gateway(live)
        self.exchanges: list[Exchange] = []
        self.kept: list[str] = []
        self.results: list[tuple[str, str]] = []
        self.metrics = Metrics()
        self.log = folder / "log"
        self._writer = LineWriter(self.log)
        self._telemetry = Telemetry(RequestLog(self._writer), self.metrics, events=EventLog(self._writer))
        self._counter = TokenCounter()

        async def look() -> Candidate:
            return loader.look()

        async def warm(table: RoutingTable) -> None:
            """Nothing is counted here."""

        self.reconciler = Reconciler(
            self.gateway,
            folder=folder,
            look=look,
            warm=warm,
            environ=environ,
            note=lambda result, reason, _live, _status: self.results.append((result, reason)),
            persist=lambda candidate: self.kept.append(candidate.digest),
            verdicts=verdicts,
        )
        self.reconciler.accept(candidate, source="file")
        self.troubles: list[BaseException] = []
        proxy = Proxy(
            self.gateway, self._counter, emit=self._emit, trouble=lambda _id, error: self.troubles.append(error)
        )
        self._app = App(
            self.gateway, proxy, admin=routes(self.gateway, self.reconciler, self._telemetry, spec=self.path)
        )

    def _emit(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self._telemetry.emit(exchange)

    def write(self, spec: str) -> None:
        """Replace the spec."""
        self.path.write_text(textwrap.dedent(spec))

    async def change(self, spec: str) -> str:
        """Replace the spec and have it read; returns the result."""
        self.write(spec)
        return await self.reconciler.reconcile("test")

    async def ask(
        self,
        session: str | None = None,
        *,
        key: str | None = None,
        body: dict[str, Any] | None = None,
        path: str = "/v1/messages",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, to its end."""
        if body is None:
            body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        raw = json.dumps(body).encode() if method == "POST" else b""
        sent = {"content-type": "application/json", "host": "localhost", **(headers or {})}
        if session is not None:
            sent["x-ccx-session"] = session
        if key is not None:
            sent["x-api-key"] = key
        answer, given = Answer(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if given.is_set():
                await asyncio.Event().wait()
            given.set()
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
        }
        await self._app(scope, receive, send)
        assert not self.troubles, self.troubles
        return answer

    async def order(self, word: str, **said: str) -> Answer:
        """An operator's order for the canary."""
        return await self.ask(path=f"/admin/canary/{word}", body=said)

    async def status(self) -> Any:
        """The part of `GET /status` that is about the tables."""
        return (await self.ask(path="/status", method="GET")).json()["config"]

    async def close(self) -> None:
        """The end."""
        self._counter.close()
        await self.gateway.aclose()
        self._telemetry.flush()
        self._writer.close()
