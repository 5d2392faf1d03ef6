"""A gateway with declared clients, before the demo upstream twice over: inside it, and on a port of its own.

The two must not differ for a client: the first goes through the engine without a network, the second through the direct
HTTP engine, its connections, and a real server.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvicorn

from ccx.upstream.demo.app import DemoApp
from tests.gateway import Running, running

KEY = "ccx-key-of-the-team"
UPSTREAM_KEY = "sk-upstream-key"


@contextlib.asynccontextmanager
async def demo_on_a_port() -> AsyncIterator[str]:
    """`DemoApp` served by uvicorn in this loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        DemoApp(), ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # the test keeps its own
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.002)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task
    listener.close()


def spec(upstreams: str) -> str:
    return f"""
version: ccx/v1
clients:
  team: {{key: {{sha256: "{hashlib.sha256(KEY.encode()).hexdigest()}"}}}}
models: {{demo: {{}}, claude-demo: {{}}, gpt-demo: {{}}, gemini-demo: {{}}}}
defaults: {{failover: {{attempts: 1}}}}
channels:
{upstreams}
"""


INSIDE = "  demo: {provider: demo}"


NAMES = ("messages", "chat", "responses", "gemini", "images", "embeddings")


def over_http(url: str) -> str:
    """One channel for each protocol, as real providers are, and nothing to convert."""
    channel = "  {name}: {{protocol: {name}, base_url: '{url}', keys: {{env: UPSTREAM_KEY}}}}"
    route = "  - {{name: {name}, when: {{protocol: {name}}}, to: [{name}]}}"
    lines = [channel.format(name=name, url=url) for name in NAMES]
    return "\n".join([*lines, "routes:", *(route.format(name=name) for name in NAMES)])


@pytest_asyncio.fixture(params=["inside", "http"], scope="session", loop_scope="session")
async def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The running gateway, for all tests of a kind: starting and stopping takes longer than asking."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = INSIDE
        if request.param == "http":
            upstreams = over_http(await stack.enter_async_context(demo_on_a_port()))
        environ = {"UPSTREAM_KEY": UPSTREAM_KEY}
        folder = tmp_path_factory.mktemp("gateway")
        yield await stack.enter_async_context(running(spec(upstreams), folder, environ=environ))


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(served: Running) -> AsyncIterator[Running]:
    """The gateway, with only this test's exchanges."""
    served.exchanges.clear()
    yield served
    for exchange in served.exchanges:
        assert exchange.client == "team" or exchange.status == 401
    assert served.gateway.in_flight == 0
