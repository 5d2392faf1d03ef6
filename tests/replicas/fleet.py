"""Gateways as processes of their own over one Redis, a scripted upstream, and clients that keep asking."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.faults import FaultUpstream, Reply
from tests.process.serving import Serving, command, serving, written
from tests.redis_server import RedisServer

KEY = "ccx_" + "k" * 40
BODY = {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Hello"}],'
    b'"model":"claude-sonnet-4-5","stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":10,"output_tokens":5}}'
)
COST = 10 * 3 + 5 * 15
"""Millionths of a dollar that an answer costs at the catalogue's price."""
PLACES = 60
RATE = 3_000_000


def spec(redis: str, upstream: str, *, on_failure: str = "local", timeout: str = "250ms") -> str:
    """Everything that is limited, and so generously that nothing is refused."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return f"""
        version: ccx/v1
        clients:
          a:
            key: {{sha256: {digest}}}
            limits: {{requests: {RATE}/h, concurrency: {PLACES}}}
            budget: {{usd: 1000, per: total}}
        channels: {{main: {{provider: anthropic, base_url: "{upstream}", keys: {{env: KEY}}}}}}
        state: {{redis: {{url: {{env: REDIS_URL}}, on_failure: {on_failure}, timeout: {timeout}}}}}
    """


@dataclass
class Figures:
    """What clients saw. `others` counts failures at replicas that nobody killed."""

    statuses: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    waits: set[str] = field(default_factory=set)
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def longest(self) -> float:
        return max(self.seconds, default=0.0)

    def said(self) -> str:
        ordered = sorted(self.seconds)
        half = ordered[len(ordered) // 2] if ordered else 0.0
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(self.statuses.items()))
        notes = "".join(f", {name} {value}" for name, value in self.notes.items())
        failures = f"failures at others {sum(self.others.values())}"
        return f"{counts}; {failures}; p50 {half * 1000:.0f} ms, longest {self.longest * 1000:.0f} ms{notes}"


class Fleet:
    """Replicas, by number; those in `dead` are asked no more."""

    def __init__(self, replicas: list[Serving], redis: RedisServer, upstream: FaultUpstream) -> None:
        self.replicas = replicas
        self.redis = redis
        self.upstream = upstream
        self.dead: set[int] = set()

    def kill(self, number: int) -> None:
        self.dead.add(number)
        self.replicas[number].send(signal.SIGKILL)

    async def state(self, client: httpx.AsyncClient, number: int) -> dict[str, object]:
        found: dict[str, object] = (await client.get(f"http://{self.replicas[number].address}/status")).json()["state"]
        return found

    async def states(self) -> list[dict[str, object]]:
        """How state is shared, as those say that live."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return [await self.state(client, one) for one in range(len(self.replicas)) if one not in self.dead]

    async def all_say(self, *, up: bool, within: float, sharing: int | None = None) -> float:
        """Wait until all that live say so; gives the seconds it took."""
        begun = time.monotonic()
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for number in range(len(self.replicas)):
                while number not in self.dead:
                    said = await self.state(client, number)
                    if said["up"] == up and sharing in (None, said["replicas"]):
                        break
                    assert time.monotonic() - begun < within, said
                    await asyncio.sleep(0.02)
        return time.monotonic() - begun

    async def metric(self, number: int, line: str) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            return line in (await client.get(f"http://{self.replicas[number].address}/metrics")).text

    @contextlib.asynccontextmanager
    async def load(self, *, clients: int = 9, pause: float = 0.02) -> AsyncIterator[Figures]:
        """Clients that ask for the time of a with block; those under way at its end are waited for."""
        figures, over = Figures(), asyncio.Event()

        async def ask(number: int) -> None:
            limits = httpx.Limits(max_connections=1)
            async with httpx.AsyncClient(trust_env=False, timeout=20, limits=limits) as client:
                while not over.is_set():
                    alive = [one for one in range(len(self.replicas)) if one not in self.dead]
                    to = alive[number % len(alive)]
                    url = f"http://{self.replicas[to].address}/v1/messages"
                    begun = time.perf_counter()
                    try:
                        answer = await client.post(url, json=BODY, headers={"x-api-key": KEY})
                    except httpx.HTTPError as error:
                        figures.statuses[type(error).__name__] += 1
                        if to not in self.dead:
                            figures.others[type(error).__name__] += 1
                    else:
                        figures.statuses[str(answer.status_code)] += 1
                        if answer.status_code != 200:
                            figures.others[str(answer.status_code)] += 1
                            figures.waits.add(f"{answer.headers.get('retry-after')} {answer.json()['type']}")
                    figures.seconds.append(time.perf_counter() - begun)
                    await asyncio.sleep(pause)

        asking = [asyncio.create_task(ask(number)) for number in range(clients)]
        try:
            yield figures
        finally:
            over.set()
            await asyncio.gather(*asking)

    async def word(self, *words: str) -> bytes:
        """What Redis answers to one command."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.redis.port)
        parts = [f"*{len(words)}\r\n".encode()]
        parts += [b"$%d\r\n%s\r\n" % (len(raw := word.encode()), raw) for word in words]
        writer.write(b"".join(parts))
        head = await reader.readline()
        if head.startswith(b"$"):
            head = await reader.readline() if not head.startswith(b"$-1") else b""
        writer.close()
        await writer.wait_closed()
        return head.strip().lstrip(b":")

    async def held(self) -> int:
        """Places that are taken, by the server's clock."""
        return int(await self.word("ZCOUNT", "{ccx}:meter:client 'a'/concurrency", f"({time.time()}", "+inf"))

    async def spent(self) -> float:
        """Millionths of a dollar."""
        return float(await self.word("HGET", "{ccx}:meter:client 'a'/usd/total", "used") or 0)


@contextlib.asynccontextmanager
async def fleet(
    redis: RedisServer,
    folder: Path,
    *,
    count: int = 3,
    port: int | None = None,
    on_failure: str = "local",
    patience: str = "250ms",
    delay: float = 0.02,
    brisk: bool = True,
) -> AsyncIterator[Fleet]:
    """So many gateways. `port` is where they find Redis, if not at its own; `delay` is seconds of the upstream.
    `brisk` has them give up a dead replica sooner than they do; `patience` is how long they wait for Redis."""
    answer = Reply(headers={"content-type": "application/json"}, body=ANSWER, delay=delay)
    url = f"redis://127.0.0.1:{port or redis.port}/0"
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FaultUpstream([answer]))
        found = []
        for number in range(count):
            (folder / str(number)).mkdir(exist_ok=True)
            path = written(folder / str(number), spec(url, upstream.url, on_failure=on_failure, timeout=patience))
            arguments = command(path)
            if brisk:
                arguments = [sys.executable, "-m", "tests.replicas.brisk", *arguments[3:]]
            environ = {"REDIS_URL": url, "KEY": "k" * 20}
            found.append(stack.enter_context(serving(path, arguments=arguments, environ=environ, ready=False)))
        for one in found:
            await asyncio.to_thread(one.started)
        them = Fleet(found, redis, upstream)
        await them.all_say(up=True, within=15, sharing=count)
        yield them
