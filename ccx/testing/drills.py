"""Drills: a request served by the gateway itself, from admission to the last byte, with scripted upstreams and a clock
that nobody waits for.

Law: nothing of serving is repeated here. What runs is `runtime.proxy.Proxy` with all that is behind it; only its
surroundings are replaced: the upstreams (by scripts), the clock (by one that jumps), the token counter (by the test's
own count), the keys of clients and channels (by made-up ones), and chance: waits with jitter take their longest, a draw
falls where `sample` says, and what is left of a group is asked in the order written. Two runs are the same.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ccx.protocols.endpoints import Endpoint, resolve
from ccx.protocols.names import Protocol
from ccx.routing.table import Channel, RoutingTable
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live, prepare
from ccx.runtime.proxy import Proxy
from ccx.runtime.relay import CutError
from ccx.spec.suite import Moment
from ccx.state.memory import MemoryState
from ccx.telemetry.exchange import Exchange
from ccx.testing import clock
from ccx.testing.asking import Sent, written
from ccx.testing.cases import Case
from ccx.testing.decided import Decided
from ccx.testing.model import Drilled
from ccx.testing.upstreams import Asked, ScriptedEngine, Scripts
from ccx.tokens.counter import TokenCounter

_INSTANT = 1e-6
"""Seconds below which no time has passed."""


class DrillError(Exception):
    """A drill that could not be run. The text says why."""


class _Environment(Mapping[str, str]):
    """Every variable is set, each to a value of its own: a drill needs keys, and not the real ones."""

    def __getitem__(self, name: str) -> str:
        return f"drill-{name}"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Counter(TokenCounter):
    """Counts what it was told."""

    def __init__(self, tokens: int) -> None:
        super().__init__(cache_bytes=0)
        self._tokens = tokens

    def upper_bound(self, raw: bytes, *, below: int = 0) -> int:
        return self._tokens

    def try_count(self, protocol: Protocol, raw: bytes) -> int | None:
        return self._tokens


class _Pinned(MemoryState):
    """Turns of balanced groups fall where the sample says; those of key pools are as ever."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._place = place

    def turn(self, id: str, /) -> int:  # noqa: A002  # as in MemoryState
        return self._place if "#" in id else super().turn(id)

    def smooth(self, id: str, weights: tuple[int, ...], /) -> int:  # noqa: A002  # likewise
        return self._place if "#" in id and self._place < len(weights) else super().smooth(id, weights)


@dataclass(slots=True)
class _Client:
    """The asking side: gives the request, and takes the answer with the moment it began."""

    sent: Sent
    started: float = 0.0
    given: bool = False
    status: int | None = None
    answered: float | None = None
    forever: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI's receive."""
        if self.given:
            await self.forever.wait()  # it never leaves
        self.given = True
        return {"type": "http.request", "body": self.sent.body, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered = asyncio.get_running_loop().time() - self.started


class Bench:
    """A table made ready for drills, once for all of them."""

    def __init__(self, table: RoutingTable, digest: str) -> None:
        self._demo = {channel.name for channel in table.channels if _is_demo(channel)}
        longest = replace(table.direct, failover=replace(table.direct.failover, jitter=False))
        own = replace(
            table,
            channels=tuple(map(_without_network, table.channels)),
            routes=tuple(replace(r, failover=replace(r.failover, jitter=False)) for r in table.routes),
            clients=tuple(replace(client, expires=None) for client in table.clients),
            direct=longest,
        )
        self._live = prepare(
            own,
            digest,
            folder=Path(),
            environ=_Environment(),
            read=lambda name: name.encode(),
            run=lambda ref: ref.name.encode(),
        )
        self._clients = {client.name: client for client in own.clients}

    def drill(self, case: Case, decided: Decided) -> Drilled:
        """Serve the case's request as its test scripts. Raises DrillError."""
        if decided.outcome.kind != "routed":
            return Drilled(decided.status, None, decided.outcome.kind, (), (), 0.0, decided.outcome.route)
        return clock.run(self._served(case, decided))

    async def _served(self, case: Case, decided: Decided) -> Drilled:
        sent = written(case.facts)
        live = self._live
        headers = list(sent.headers)
        client = self._clients.get(case.facts.client) if case.facts.client is not None else None
        if client is not None:
            key = f"drill-{client.name}"
            live = replace(live, clients={hashlib.sha256(key.encode()).digest(): client})
            headers.append((b"authorization", f"Bearer {key}".encode()))
        else:
            live = replace(live, clients={})
        endpoint = resolve("POST", sent.path, prefixes=live.decider.prefixes)
        if not isinstance(endpoint, Endpoint):
            raise DrillError(f"{sent.path} is no path of this gateway")
        log: list[Asked] = []
        live = _with_upstreams(live, Scripts(case.test), log, demo=self._demo)
        gateway = Gateway(live)
        gateway.rng = _first
        if decided.pinned is not None:
            gateway.state = _Pinned(decided.pinned)
        exchanges: list[Exchange] = []
        troubles: list[BaseException] = []
        counter = _Counter(case.facts.input_tokens or 0)
        proxy = Proxy(gateway, counter, emit=exchanges.append, trouble=lambda _id, error: troubles.append(error))
        scope = {
            "type": "http",
            "method": "POST",
            "path": sent.path,
            "query_string": sent.query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }
        asking = _Client(sent, started=asyncio.get_running_loop().time())
        try:
            await proxy(live, endpoint, scope, asking.receive, asking.send)
        except CutError:
            pass  # told by the exchange
        finally:
            counter.close()
        if troubles:
            raise DrillError(f"the gateway failed: {troubles[0]!r}") from troubles[0]
        return _told(exchanges[0], log, asking, decided)


def _first() -> float:
    """Chance without chance: of those that are left in a group, the first as written is next."""
    return 0.0


def _is_demo(channel: Channel) -> bool:
    return any(surface.scheme == "demo" for surface in channel.surfaces)


def _without_network(channel: Channel) -> Channel:
    """The channel with nothing that a real connection would need, nor what hangs on the day. Its limits stay: they are
    the route's promise."""
    surfaces = tuple(replace(surface, scheme="demo") for surface in channel.surfaces)
    return replace(channel, surfaces=surfaces, proxy=None, ca=None, http2=False, promote=None)


def _with_upstreams(live: Live, scripts: Scripts, log: list[Asked], *, demo: set[str]) -> Live:
    upstreams = {
        name: replace(upstream, engine=ScriptedEngine(name, scripts, log, demo=name in demo))
        for name, upstream in live.upstreams.items()
    }
    return replace(live, upstreams=upstreams, without_compaction=set())


def _told(exchange: Exchange, log: list[Asked], client: _Client, decided: Decided) -> Drilled:
    last = exchange.attempts[-1] if exchange.attempts else None
    served = last is not None and last.outcome == "ok"
    trouble = None
    if exchange.route != decided.outcome.route:
        trouble = f"read as one for {exchange.route!r}: no request of this protocol has all of these facts"
    return Drilled(
        status=client.status,
        served_by=last.channel if served and last is not None else None,
        error=exchange.error_kind,
        timeline=timeline(log, client.started),
        asked=tuple((one.channel, one.model) for one in log),
        answered=client.answered * 1000 if client.answered is not None else None,
        route=exchange.route,
        trouble=trouble,
        continued=exchange.continued,
    )


def timeline(log: list[Asked], started: float) -> tuple[Moment, ...]:
    """Attempts and the waits between them, in whole milliseconds."""
    moments: list[Moment] = []
    before = started
    for asked in log:
        if asked.started - before > _INSTANT:
            moments.append(Moment(None, "wait", _ms(asked.started - before)))
        took = _ms(asked.ended - asked.started) if asked.ended - asked.started > _INSTANT else None
        what = "stall" if asked.what == "timeout" else asked.what
        moments.append(Moment(asked.channel, what, took, _ms(asked.started - started)))
        before = asked.ended
    return tuple(moments)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
