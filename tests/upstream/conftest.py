"""Engine tests run on both loops: uvloop serves in production, asyncio's own is the reference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from ccx.errors import UpstreamError
from ccx.upstream.engine import DirectEngine
from ccx.upstream.reply import Call, Header, Origin, Reply, Timeouts
from tests.certificates import Certificates, issued
from tests.faults import FaultUpstream

QUICK = Timeouts(connect=2.0, first_byte=2.0, idle=2.0, total=10.0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What runs the tests of this folder, and of no other."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def engine() -> AsyncIterator[DirectEngine]:
    """An engine that must have no connection left after it was closed."""
    engine = DirectEngine()
    yield engine
    await engine.aclose()
    await until(lambda: engine.open_connections == 0)


def call_to(
    upstream: FaultUpstream,
    *body: bytes,
    method: bytes = b"POST",
    target: bytes = b"/v1/things",
    headers: tuple[Header, ...] = (),
    timeouts: Timeouts = QUICK,
    idempotent: bool = False,
) -> Call:
    """A call to a fault upstream."""
    origin = Origin(upstream.ssl is not None, "127.0.0.1", upstream.port)
    return Call(method, origin, target, headers, body, timeouts, idempotent)


async def drained(reply: Reply) -> tuple[bytes, UpstreamError | None]:
    """All of a body, and the error that it ended in."""
    got = b""
    try:
        while piece := await reply.next():
            got += piece
    except UpstreamError as error:
        return got, error
    return got, None


async def until(condition: Callable[[], bool], *, within: float = 2.0) -> None:
    """Let the loop run until something is true. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for all tests of a process."""
    return issued(tmp_path_factory.mktemp("tls"))
