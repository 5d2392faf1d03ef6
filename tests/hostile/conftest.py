"""A gateway that is attacked; after each attack it must be as it was before."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.faults import Action, FaultUpstream, Received, Reply, Respond
from tests.gateway import Running, running
from tests.runtime.streams import MESSAGE, STREAM, Pieces

KEY = "ccx-client-key-which-must-not-leak"
UPSTREAM_KEY = "sk-upstream-key-which-must-not-leak"
SECRETS = (KEY, UPSTREAM_KEY)
ASK = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
GOOD = b'{"model":"claude-x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
JSON = {"content-type": "application/json"}

SPEC = f"""
version: ccx/v1
server: {{max_body: 1MiB, body_timeout: 400ms}}
clients:
  team: {{key: {{sha256: "{hashlib.sha256(KEY.encode()).hexdigest()}"}}}}
channels:
  demo: {{provider: demo}}
"""


def usual(request: Received) -> Action:
    """What a healthy upstream answers."""
    return Pieces(STREAM) if b'"stream":true' in request.body.replace(b" ", b"") else Reply(headers=JSON, body=MESSAGE)


def upstream_spec(url: str, *, attempts: int = 1) -> str:
    """A gateway before one upstream of every protocol."""
    names = ("messages", "chat", "responses", "gemini")
    channels = "\n".join(
        f"  {name}: {{protocol: {name}, base_url: '{url}', keys: {{env: UPSTREAM_KEY}}, "
        "timeouts: {connect: 1s, first_byte: 1s, idle: 1s, total: 1200ms}}"
        for name in names
    )
    routes = "\n".join(f"  - {{name: {name}, when: {{protocol: {name}}}, to: [{name}]}}" for name in names)
    clients = SPEC.partition("clients:")[2].partition("channels:")[0]
    return (
        f"version: ccx/v1\nserver: {{max_body: 1MiB}}\nclients:{clients}\n"
        f"defaults: {{failover: {{attempts: {attempts}}}}}\n"
        f"channels:\n{channels}\nroutes:\n{routes}\n"
    )


@dataclass
class Attacked:
    """A running gateway and ways to hurt it."""

    gw: Running
    upstream: FaultUpstream | None
    heard: list[bytes]

    async def raw(self, *pieces: bytes, half_close: bool = False, wait: float = 5.0) -> bytes:
        """Send bytes on a new connection, a piece at a time, and read until the other side closes or falls silent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gw.port)
        answer = b""
        try:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.002)
                if half_close:
                    writer.write_eof()
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(wait):
                    while data := await reader.read(65536):
                        answer += data
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self.heard.append(answer)
        return answer

    async def post(self, path: str = "/v1/messages", content: bytes = GOOD, **headers: str) -> httpx.Response:
        """A request of a client that is let in."""
        answer = await self.gw.client.post(path, content=content, headers={"x-api-key": KEY, **headers})
        self.heard.append(str(answer.headers).encode() + answer.content)
        return answer

    async def stream(self, path: str = "/v1/messages", content: bytes = GOOD) -> tuple[int, bytes, bool]:
        """Status, what came of the body, and whether it ended as it should."""
        pieces: list[bytes] = []
        async with self.gw.client.stream("POST", path, content=content, headers={"x-api-key": KEY}) as answer:
            try:
                async for piece in answer.aiter_raw():
                    pieces.append(piece)  # noqa: PERF401 - what came before a failure counts, too
                whole = True
            except httpx.HTTPError:
                whole = False
        body = b"".join(pieces)
        self.heard.append(str(answer.headers).encode() + body)
        return answer.status_code, body, whole

    def head(self, line: str = "POST /v1/messages HTTP/1.1", *headers: str, length: int | None = len(GOOD)) -> bytes:
        """A request's head, let in unless a header says otherwise."""
        lines = [line, "host: localhost", f"x-api-key: {KEY}", *headers]
        if length is not None:
            lines.append(f"content-length: {length}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    async def unharmed(self) -> None:
        """All is as before: nothing under way, nothing left open, the next request is served."""
        gw = self.gw
        if self.upstream is not None:
            self.upstream.script = [Respond(usual)]
        for name in ("/v1/messages", "/health"):
            async with httpx.AsyncClient(base_url=gw.url, trust_env=False) as fresh:
                answer = await fresh.request(
                    "POST" if name != "/health" else "GET", name, content=GOOD, headers={"x-api-key": KEY}
                )
            assert answer.status_code == 200, answer.text
        await eventually(lambda: gw.gateway.in_flight == 0, "a request is left")
        engines = [upstream.engine for upstream in gw.gateway.live.upstreams.values()]
        await eventually(
            lambda: all(
                getattr(engine, "open_connections", 0) == getattr(engine, "idle_connections", 0) for engine in engines
            ),
            "an upstream connection is left",
        )
        for channel in gw.gateway.live.table.channels:
            assert gw.gateway.state.inflight(channel.name) == 0
        assert not gw.troubles, gw.troubles


async def eventually(condition: Callable[[], bool], what: str, *, within: float = 3.0) -> None:
    """Wait until it holds."""
    try:
        async with asyncio.timeout(within):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(what) from None


@contextlib.asynccontextmanager
async def attacked(spec: str, folder: Path, upstream: FaultUpstream | None = None) -> AsyncIterator[Attacked]:
    """A gateway to attack. Afterwards it is unharmed, no task is left, and no secret is in what was heard or logged."""
    before = asyncio.all_tasks()
    async with running(spec, folder, environ={"UPSTREAM_KEY": UPSTREAM_KEY}) as gw:
        made = Attacked(gw, upstream, [])
        serving = asyncio.all_tasks() - before
        yield made
        await made.unharmed()

        def extra() -> set[str]:
            tasks = asyncio.all_tasks() - before - serving
            return {task.get_coro().__qualname__ for task in tasks if "ccx" in str(task.get_coro())}

        await eventually(lambda: not extra(), f"tasks are left: {extra()}")
    logged = (folder / "log").read_bytes()
    for secret in SECRETS:
        for said in (*made.heard, logged, repr(gw.exchanges).encode()):
            assert secret.encode() not in said, f"{secret} leaked"


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Attacked]:
    """A gateway before the demo."""
    async with attacked(SPEC, tmp_path) as made:
        yield made


Attack = Callable[[Sequence[Action]], Awaitable[Attacked]]


@pytest.fixture
async def facing(tmp_path: Path) -> AsyncIterator[Attack]:
    """A gateway before an upstream that plays a script: `await facing([...])`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(script: Sequence[Action]) -> Attacked:
            upstream = await stack.enter_async_context(FaultUpstream(script))
            return await stack.enter_async_context(attacked(upstream_spec(upstream.url), tmp_path, upstream))

        yield start
