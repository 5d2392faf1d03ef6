"""A gateway before the demo upstream, which is there four times: once for each protocol it is spoken to in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.conversion.clients import SDKS, Client
from tests.gateway import Running, running
from tests.sdk.conftest import demo_on_a_port

PROVIDERS = {"messages": "anthropic", "chat": "openai", "responses": "openai", "gemini": "google"}


def spec(url: str) -> str:
    channels = "\n".join(
        f"  {protocol}: {{provider: {provider}, protocol: {protocol}, base_url: '{url}', keys: {{env: KEY}}}}"
        for protocol, provider in PROVIDERS.items()
    )
    routes = "\n".join(
        f"  - {{name: to-{protocol}, when: {{header: {{x-to: {protocol}}}}}, to: [{protocol}]}}"
        for protocol in PROVIDERS
    )
    strict = "\n".join(
        f"  - {{name: strict-{protocol}, when: {{header: {{x-to: strict-{protocol}}}}}, on_loss: reject, "
        f"to: [{protocol}, {other}]}}"
        for protocol, other in (("chat", "messages"), ("messages", "chat"), ("gemini", "responses"))
    )
    alone = (
        "  - {name: strict-alone, when: {header: {x-to: strict-alone}}, on_loss: reject, to: [chat, gemini, responses]}"
    )
    models = "models: {demo: {thinking: true, vision: true}}"
    return (
        f"version: ccx/v1\n{models}\ndefaults: {{failover: {{attempts: 1}}}}\n"
        f"channels:\n{channels}\nroutes:\n{routes}\n{strict}\n{alone}\n"
    )


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def served(tmp_path_factory: object) -> AsyncIterator[Running]:
    """The running gateway, for all tests: starting it takes longer than asking it."""
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(demo_on_a_port())
        folder = tmp_path_factory.mktemp("gateway")  # type: ignore[attr-defined]  # pytest's own, whose type is private
        yield await stack.enter_async_context(running(spec(url), folder, environ={"KEY": "sk-upstream"}))


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(served: Running) -> AsyncIterator[Running]:
    """The gateway, with only this test's exchanges."""
    served.exchanges.clear()
    yield served
    assert served.gateway.in_flight == 0


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def sdks(served: Running) -> AsyncIterator[dict[str, Client]]:
    """The clients."""
    made = {name: sdk(served.url) for name, sdk in SDKS.items()}
    yield made
    for one in made.values():
        await one.close()
