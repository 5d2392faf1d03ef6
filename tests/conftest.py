"""Shared by the whole suite: no socket leaves the machine, hypothesis has named profiles, and there is a real Redis."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.redis_server import PROGRAM, WHY_NOT, RedisServer, redis_server

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=50,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

LOOPBACK = ("127.", "::1", "localhost")


class OutboundRefusedError(RuntimeError):
    """A test tried to leave the machine."""


def _refuse(address: object) -> None:
    if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
        raise OutboundRefusedError(f"tests talk to loopback only, not to {address!r}")


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """Refuse every connection that is not to this machine."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: object) -> None:
        _refuse(address)
        connect(self, address)  # type: ignore[arg-type]  # the address is whatever the caller gave

    def guarded_ex(self: socket.socket, address: object) -> int:
        _refuse(address)
        return connect_ex(self, address)  # type: ignore[arg-type]  # likewise

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded)
    patch.setattr(socket.socket, "connect_ex", guarded_ex)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def _shared_redis() -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip(WHY_NOT)
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(_shared_redis: RedisServer) -> RedisServer:
    """A Redis for all tests of a process; each gets it empty."""
    _shared_redis.flush()
    return _shared_redis
