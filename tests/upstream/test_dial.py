"""Happy eyeballs: the first address that answers wins, and no socket is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket

import pytest

from ccx.upstream.dial import Address, interleaved, race, resolve
from ccx.upstream.engine import DirectEngine, TlsSettings
from ccx.upstream.reply import Call, Origin
from tests.faults import FaultUpstream
from tests.upstream.conftest import QUICK, Certificates, until

V4, V6 = socket.AF_INET, socket.AF_INET6


def refused() -> Address:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return V4, ("127.0.0.1", taken.getsockname()[1])


def test_families_alternate_and_the_first_leads() -> None:
    a, b, c, d = (V6, ("::1", 1, 0, 0)), (V6, ("::2", 1, 0, 0)), (V4, ("127.0.0.1", 1)), (V6, ("::3", 1, 0, 0))
    assert interleaved([a, b, c, d]) == [a, c, b, d]
    assert interleaved([c, a, b]) == [c, a, b]
    assert interleaved([]) == []


async def test_a_refused_address_costs_no_head_start() -> None:
    async with FaultUpstream() as upstream:
        async with asyncio.timeout(1):
            sock = await race([refused(), refused(), (V4, ("127.0.0.1", upstream.port))], delay=30)
        assert sock.getpeername()[1] == upstream.port
        await until(lambda: upstream.opened == 1)
        sock.close()
        await upstream.all_closed()


async def test_a_silent_address_costs_its_head_start_only() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        for member in crowd:
            member.setblocking(False)
            member.connect_ex(full.getsockname())  # the backlog is full: the next connect hangs
        async with FaultUpstream() as upstream:
            async with asyncio.timeout(1):
                sock = await race([(V4, full.getsockname()), (V4, ("127.0.0.1", upstream.port))], delay=0.02)
            assert sock.getpeername()[1] == upstream.port
            await until(lambda: upstream.opened == 1)
            sock.close()
            await upstream.all_closed()
            waiting = asyncio.ensure_future(race([(V4, full.getsockname())] * 2, delay=0.01))
            await asyncio.sleep(0.03)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        for member in crowd:
            member.close()
    await asyncio.sleep(0.01)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


async def test_the_first_refusal_is_told_when_nobody_answers() -> None:
    with pytest.raises(ConnectionRefusedError):
        await race([refused(), refused()])
    with pytest.raises(OSError, match="no address"):
        await race([])


async def test_a_name_is_resolved() -> None:
    assert (V4, ("127.0.0.1", 80)) in await resolve("localhost", 80)


async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    assert await resolve("127.0.0.1", 80) == [(V4, ("127.0.0.1", 80))]
    assert await resolve("::1", 443) == [(socket.AF_INET6, ("::1", 443, 0, 0))]
    with pytest.raises(AssertionError, match="looked up"):
        await resolve("fe80::1%lo", 443)


async def test_a_name_over_tls_is_checked_against_the_certificate(certificates: Certificates) -> None:
    engine = DirectEngine(tls=TlsSettings(ca=certificates.ca))
    async with FaultUpstream(ssl=certificates.server_context()) as upstream:
        reply = await engine.send(Call(b"GET", Origin(True, "localhost", upstream.port), b"/", (), (), QUICK))
        assert reply.status == 200
        assert upstream.requests[0].header("host") == f"localhost:{upstream.port}"
        await engine.aclose()
