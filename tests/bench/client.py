"""Our own load generator, for what wrk cannot see: single frames of a stream, steady arrivals, response headers.

Runs as a process of its own, pinned beside the upstream: `python -m tests.bench.client` takes a job as JSON on its
command line and prints its result as JSON. Jobs:

    streams   so many connections, each asking for one stream after the other (or one only); first bytes and gaps
    pings     requests at a steady rate over a few connections; latencies are counted from when a request was due, so
              a stall shows in every request that had to wait for it
    once      one request after the other
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import httptools
import uvloop

_FIRST_DELTA: Final = re.compile(rb"content_block_delta|\"content\":\"about")
_TERMINAL: Final = (b"message_stop", b"[DONE]")
_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"]+)"')
_clock = time.perf_counter


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Times are of `perf_counter`."""

    sent: float
    first: float = 0.0
    delta: float = 0.0
    ended: float = 0.0
    status: int = 0
    frames: int = 0
    size: int = 0
    longest_gap: float = 0.0
    terminal: bool = False
    broken: str = ""
    digest: str = ""
    request_id: str = ""
    model: str = ""
    gaps: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.status == 200 and not self.broken


class Connection(asyncio.Protocol):
    """One keep-alive connection, one exchange at a time."""

    def __init__(self, *, keep_gaps: bool = False, full: bool = False) -> None:
        self._keep_gaps = keep_gaps
        self._full = full
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._current: Exchange | None = None
        self._done: asyncio.Future[None] | None = None
        self._last = 0.0
        self._now = 0.0
        self._tail = b""

    @property
    def open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish("the connection was lost")

    async def ask(self, request: bytes, *, due: float | None = None) -> Exchange:
        """Send a request and wait for the whole answer. Never raises for what the server does."""
        exchange = Exchange(due if due is not None else _clock())
        if self._transport is None:
            exchange.broken = "not connected"
            return exchange
        self._parser = httptools.HttpResponseParser(self)
        self._current = exchange
        self._last = 0.0
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            async with asyncio.timeout(60):
                await self._done
        except TimeoutError:
            exchange.broken = "no end within 60 s"
            self._current = None
            self.close()
        return exchange

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def data_received(self, data: bytes) -> None:
        self._now = _clock()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, AttributeError) as error:
            self._finish(f"not HTTP: {error}")
            self.close()

    def on_status(self, status: bytes) -> None:
        """Called by the parser."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        exchange = self._current
        if exchange is None:
            return
        match name.lower():
            case b"x-ccx-digest":
                exchange.digest = value.decode("latin-1")
            case b"x-ccx-request-id":
                exchange.request_id = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        exchange, now = self._current, self._now
        if exchange is None:
            return
        if not self._last:
            exchange.first = now
            match = _MODEL.search(body)
            if match:
                exchange.model = match[1].decode("latin-1")
        elif now > self._last:
            gap = now - self._last
            if gap > exchange.longest_gap:
                exchange.longest_gap = gap
            if self._keep_gaps:
                exchange.gaps.append(gap)
        self._last = now
        if not exchange.delta and _FIRST_DELTA.search(body):
            exchange.delta = now
        exchange.frames += 1
        exchange.size += len(body)
        self._tail = body if len(body) > 64 else (self._tail + body)[-256:]

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._current is not None:
            self._current.status = self._parser.get_status_code()
            self._current.terminal = any(sign in self._tail for sign in _TERMINAL)
            self._finish("")

    def _finish(self, broken: str) -> None:
        exchange, done = self._current, self._done
        self._current = None
        if exchange is not None:
            exchange.ended = self._now or _clock()
            exchange.broken = broken
        if done is not None and not done.done():
            done.set_result(None)


@dataclass(frozen=True, slots=True)
class Job:
    """What to do. `seconds` is the time in which requests are begun; `wanted` ends earlier, `rate` is per second."""

    kind: str
    port: int
    path: str
    body: str
    headers: dict[str, str]
    connections: int = 1
    seconds: float = 2.0
    rate: float = 200.0
    pace: float = 0.0
    wanted: int = 0
    rounds: int = 0
    trace: str = ""
    """File for one line per answer: due, latency, status, digest, model, request id."""


def request_bytes(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A request as it goes out."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def streams(job: Job) -> dict[str, Any]:
    """Concurrent streams: how soon the first byte, how long the longest gap, and whether all came whole."""
    request = request_bytes(job.path, Path(job.body).read_bytes(), job.headers)
    loop = asyncio.get_running_loop()
    done: list[Exchange] = []
    until = _clock() + job.seconds

    async def one(number: int) -> None:
        # Paced streams begin spread over their pace, as real ones do; all at once would be a burst of our making.
        await asyncio.sleep(job.pace * (number % 64) / 64 + 0.02 * (number // 64))
        connection: Connection | None = None
        asked = 0
        while _clock() < until and (not job.rounds or asked < job.rounds):
            if connection is None or not connection.open:
                try:
                    _, connection = await loop.create_connection(Connection, "127.0.0.1", job.port)
                except OSError as error:
                    done.append(Exchange(_clock(), broken=str(error)))
                    await asyncio.sleep(0.05)
                    continue
            asked += 1
            done.append(await connection.ask(request))
        if connection is not None:
            connection.close()

    started = _clock()
    async with asyncio.TaskGroup() as group:
        for number in range(job.connections):
            group.create_task(one(number))
    whole = [each for each in done if each.good and each.terminal]
    stalled = sum(1 for each in whole if job.pace and each.longest_gap > 10 * job.pace)
    return {
        "n": len(done),
        "seconds": round(_clock() - started, 4),
        "whole": len(whole),
        "failed": len(done) - len(whole),
        "complaints": sorted({each.broken or f"status {each.status}" for each in done if not each.good})[:5],
        "stalled": stalled,
        "frames": sum(each.frames for each in whole),
        "first": _summary([each.first - each.sent for each in whole]),
        "delta": _summary([each.delta - each.sent for each in whole if each.delta]),
        "total": _summary([each.ended - each.sent for each in whole]),
        "lasted": _summary([each.ended - each.first for each in whole]),
        "longest_gap": _summary([each.longest_gap for each in whole]),
    }


def _summary(values: list[float]) -> dict[str, float]:
    """Milliseconds."""
    found = {"p50": percentile(values, 0.5), "p90": percentile(values, 0.9), "p99": percentile(values, 0.99)}
    found["max"] = max(values, default=0.0)
    return {name: round(value * 1000, 3) for name, value in found.items()}


async def pings(job: Job) -> dict[str, Any]:
    """Requests at a steady rate. One that is due while all connections are busy waits, and its wait counts."""
    request = request_bytes(job.path, Path(job.body).read_bytes(), job.headers)
    loop = asyncio.get_running_loop()
    done: list[Exchange] = []
    due: asyncio.Queue[float | None] = asyncio.Queue()

    async def work() -> None:
        connection: Connection | None = None
        while (at := await due.get()) is not None:
            if connection is None or not connection.open:
                try:
                    _, connection = await loop.create_connection(Connection, "127.0.0.1", job.port)
                except OSError as error:
                    done.append(Exchange(at, ended=_clock(), broken=str(error)))
                    continue
            done.append(await connection.ask(request, due=at))
        if connection is not None:
            connection.close()

    async def tick() -> None:
        interval = 1 / job.rate
        begun = _clock()
        number = 0
        while (at := begun + number * interval) < begun + job.seconds:
            wait = at - _clock()
            if wait > 0:
                await asyncio.sleep(wait)
                # The loop's timer is coarse: what it adds is ours, not the gateway's.
                at = max(at, _clock())
            due.put_nowait(at)
            number += 1
        for _ in range(job.connections):
            due.put_nowait(None)

    offset = time.time() - _clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(job.connections):
            group.create_task(work())
        group.create_task(tick())
    good = [each for each in done if each.good]
    if job.trace:
        with Path(job.trace).open("w") as file:
            for each in done:
                fields = [each.sent + offset, each.ended - each.sent, each.status, each.digest, each.model]
                file.write(json.dumps([*fields, each.request_id, each.broken]) + "\n")
    return {
        "n": len(done),
        "failed": len(done) - len(good),
        "complaints": sorted({each.broken or f"status {each.status}" for each in done if not each.good})[:5],
        "latency": _summary([each.ended - each.sent for each in good]),
        "worst": [
            [round(each.sent + offset, 4), round((each.ended - each.sent) * 1000, 2)]
            for each in sorted(good, key=lambda each: each.sent - each.ended)[:200]
        ],
    }


async def once(job: Job) -> dict[str, Any]:
    """`rounds` requests, one after the other, on one connection."""
    request = request_bytes(job.path, Path(job.body).read_bytes(), job.headers)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", job.port)
    done = [await connection.ask(request) for _ in range(job.rounds)]
    connection.close()
    return {
        "n": len(done),
        "failed": sum(1 for each in done if not each.good),
        "complaints": sorted({each.broken or f"status {each.status}" for each in done if not each.good})[:5],
        "ms": [round((each.ended - each.sent) * 1000, 3) for each in done],
        "first": asdict(done[0]) if done else None,
    }


def main() -> None:
    """Do the job given as JSON."""
    job = Job(**json.loads(sys.argv[1]))
    gc.freeze()
    gc.disable()
    match job.kind:
        case "streams":
            result = uvloop.run(streams(job))
        case "pings":
            result = uvloop.run(pings(job))
        case "once":
            result = uvloop.run(once(job))
        case _:
            raise SystemExit(f"no such job: {job.kind!r}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
