"""What comes of each fault: one gateway, the real one on a real socket, with a channel of its own for every way to ask.

A way to ask is a fault, a pair of protocols, streamed or not, with a second target or alone. No two share a channel, so
what is known of a channel afterwards comes of one request.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ccx.state.breaker import Verdict
from ccx.state.health import Health, Held
from tests.certificates import issued
from tests.faults import Action, FaultUpstream, Received, Reply, Respond
from tests.gateway import Running, running
from tests.resilience.acts import sound
from tests.resilience.speech import CHAT, MESSAGES, Heard, Speech, judged
from tests.resilience.table import FAULTS, Fault

AT_ONCE = 24
"""Requests under way: few enough that none is slow for want of a processor."""
WITHIN = 20.0
"""Seconds after which a request hangs."""
_SECOND = "second"


@dataclass(frozen=True, slots=True)
class Pair:
    """A client's protocol and its upstreams'."""

    client: Speech
    upstream: Speech

    @property
    def name(self) -> str:
        return self.client.name if not self.converted else f"{self.client.name}-{self.upstream.name}"

    @property
    def converted(self) -> bool:
        return self.client is not self.upstream


PAIRS = (Pair(MESSAGES, MESSAGES), Pair(CHAT, CHAT), Pair(MESSAGES, CHAT))


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask."""

    fault: Fault
    number: int
    pair: Pair
    stream: bool
    alone: bool

    @property
    def name(self) -> str:
        """Of its channel, its route, and the model it asks for."""
        asked = "stream" if self.stream else "whole"
        return f"f{self.number}-{self.pair.name}-{asked}-{'alone' if self.alone else 'two'}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it; as `table.Outcome` says it. `exact`: a sound answer of the client's own protocol reached it byte
    for byte, or it was none such."""

    client: str
    attempts: tuple[str, ...]
    channels: tuple[str, ...]
    state: str
    exact: bool
    seconds: float


def ways(faults: Sequence[Fault] = FAULTS) -> list[Way]:
    """All ways to ask."""
    return [
        Way(fault, number, pair, stream, alone)
        for number, fault in enumerate(faults)
        for pair in PAIRS
        for stream in (True, False)
        for alone in (False, True)
    ]


async def measured(asked: Sequence[Way]) -> dict[Way, Measured]:
    """Ask in all these ways, several at a time."""
    room = asyncio.Semaphore(AT_ONCE)
    async with _gateway(asked) as gw:
        cooldowns = Cooldowns(gw.gateway.health)

        async def one(way: Way) -> tuple[Way, Measured]:
            async with room, asyncio.timeout(WITHIN):
                return way, await _asked(gw, way, cooldowns)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(way)) for way in asked]
        return dict(task.result() for task in tasks)


async def heard(client: httpx.AsyncClient, path: str, content: bytes) -> Heard:
    """Ask, and listen to the end, proper or not."""
    pieces: list[bytes] = []
    async with client.stream("POST", path, content=content) as answer:
        try:
            async for piece in answer.aiter_raw():
                pieces.append(piece)  # noqa: PERF401 - what came before a failure counts, too
            ended = True
        except httpx.HTTPError:
            ended = False
    return Heard(answer.status_code, dict(answer.headers), b"".join(pieces), ended)


async def _asked(gw: Running, way: Way, cooldowns: Cooldowns) -> Measured:
    speech = way.pair.client
    got = await heard(gw.client, speech.path, speech.ask(way.name, stream=way.stream))
    while (exchange := next((x for x in gw.exchanges if x.model_asked == way.name), None)) is None:
        await asyncio.sleep(0.002)
    seen = judged(speech, got, stream=way.stream)
    if seen[:1] in "45" and "retry-after" in got.headers:
        seen += f", retry-after {got.headers['retry-after']}"
    return Measured(
        seen,
        tuple(attempt.outcome for attempt in exchange.attempts),
        tuple(attempt.channel for attempt in exchange.attempts),
        known(gw.gateway.health, way.name, cooldowns),
        way.pair.converted or seen != "answer" or got.body == (b"".join(speech.pieces) if way.stream else speech.whole),
        exchange.total_seconds,
    )


class Cooldowns:
    """For how many seconds keys were to be left alone when they were refused, by channel."""

    def __init__(self, health: Health) -> None:
        self.seconds: dict[str, float] = {}
        leave = health.leave

        def watched(held: Held, verdict: Verdict, *, now: float, **said: Any) -> None:
            leave(held, verdict, now=now, **said)
            report = health.report(held.target, now)
            if report.cooling is not None:
                self.seconds.setdefault(held.target.channel, report.cooling.until - now)

        health.leave = watched  # type: ignore[method-assign]  # to look at the moment when it is said


def known(health: Health, channel: str, cooldowns: Cooldowns | None = None) -> str:
    """What is known against a channel, in words."""
    found: list[str] = []
    for report in health.reports(asyncio.get_running_loop().time()):
        if report.target.channel != channel:
            continue
        breaker = health._breakers.get(report.target)
        if breaker is not None and (failures := sum(breaker._failed)):
            found.append(f"{failures} failure" + "s" * (failures > 1))
        if report.breaker not in ("closed", None):
            found.append(report.breaker)
        if report.cooling is not None:
            # Rounded up: of the time until a moment that the upstream names, some has passed.
            left = math.ceil(cooldowns.seconds[channel] - 0.001) if cooldowns is not None else "some"
            found.append(f"{report.cooling.cause} {left} s")
    return ", ".join(found) or "untouched"


@contextlib.asynccontextmanager
async def _gateway(asked: Sequence[Way]) -> AsyncIterator[Running]:
    by_name = {way.name: way for way in asked}

    def choose(request: Received) -> Action:
        way = by_name.get(request.target.split("/")[1])
        if way is None:
            speech = MESSAGES if request.target.endswith("messages") else CHAT
            return sound(speech, b'"stream":true' in request.body.replace(b" ", b""))
        assert not isinstance(way.fault.fault, str)
        return way.fault.fault(way.pair.upstream, way.stream)

    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = await stack.enter_async_context(FaultUpstream([Respond(choose)]))
        refused = stack.enter_context(socket.socket())
        refused.bind(("127.0.0.1", 0))  # and listens not
        context = issued(folder).server_context()
        untrusted = await stack.enter_async_context(FaultUpstream([Reply()], ssl=context))
        plain = await stack.enter_async_context(_plain_server())
        places = {
            "refused": f"http://127.0.0.1:{refused.getsockname()[1]}",
            "unresolved": "http://no-such-host.invalid",
            "untrusted": untrusted.url,
            "plaintext": f"https://127.0.0.1:{plain}",
        }
        gw = await stack.enter_async_context(
            running(_spec(asked, upstream.url, places), folder, environ={"KEY": "sk-key-of-the-upstream"})
        )
        yield gw
        for channel in gw.gateway.live.table.channels:
            assert gw.gateway.state.inflight(channel.name) == 0


@contextlib.asynccontextmanager
async def _plain_server() -> AsyncIterator[int]:
    """A server that speaks HTTP where TLS is expected, and says so as most do."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def _spec(asked: Sequence[Way], upstream: str, places: dict[str, str]) -> str:
    lines = ["version: ccx/v1", "channels:"]
    lines += [
        f"  {_SECOND}-{name}: {{protocol: {name}, base_url: '{upstream}/sound', keys: none}}"
        for name in (MESSAGES.name, CHAT.name)
    ]
    for way in asked:
        url = places[way.fault.fault] if isinstance(way.fault.fault, str) else f"{upstream}/{way.name}"
        limits = way.fault.limits
        lines.append(
            f"  {way.name}: {{protocol: {way.pair.upstream.name}, base_url: '{url}', keys: {{env: KEY}}, timeouts: "
            f"{{connect: {limits.connect}ms, first_byte: {limits.first_byte}ms, idle: {limits.idle}ms, "
            f"total: {limits.total}ms}}}}"
        )
    lines += ["defaults: {failover: {attempts: 3, deadline: 15s, backoff: {initial: 2ms, max: 20ms}}}", "routes:"]
    for way in asked:
        to = way.name if way.alone else f"{way.name}, {_SECOND}-{way.pair.upstream.name}"
        lines.append(f"  - {{name: {way.name}, when: {{model: {way.name}}}, to: [{to}]}}")
    return "\n".join(lines) + "\n"
