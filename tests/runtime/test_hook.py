"""Posting alerts: what is tried again, what is given up, and what is never told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from ccx.errors import ConnectError, SecretError, UpstreamTimeout
from ccx.runtime.alerts import Alert
from ccx.runtime.hook import WAITING, Hook, hook_of, payload
from ccx.upstream.engine import DirectEngine
from ccx.upstream.reply import Call, Header, Origin
from tests.faults import FaultUpstream, Reply

ALERT = Alert("group/core", "2026-11", "80%", Decimal("401.2"), Decimal(500), refused=False, at=1_800_000_000.0)
URL = "https://chat.example.com/services/T0/token-of-the-chat"


@dataclass
class Answer:
    status: int
    headers: list[Header] = field(default_factory=list)
    aborted: bool = False

    async def next(self) -> bytes:
        return b""

    async def read(self, limit: int) -> bytes:
        return b"no"

    def abort(self) -> None:
        self.aborted = True


@dataclass
class Scripted:
    """An engine that answers in order; the last answer repeats."""

    script: Sequence[int | Exception]
    calls: list[Call] = field(default_factory=list)
    closed: bool = False

    async def send(self, call: Call) -> Answer:
        self.calls.append(call)
        found = self.script[min(len(self.calls), len(self.script)) - 1]
        if isinstance(found, Exception):
            raise found
        return Answer(found)

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Posting:
    hook: Hook
    results: list[tuple[str, str]]
    pauses: list[float]

    async def result(self, count: int = 1) -> tuple[str, str]:
        for _ in range(1000):
            if len(self.results) >= count:
                return self.results[count - 1]
            await asyncio.sleep(0)
        pytest.fail(f"{self.results}")


@contextlib.asynccontextmanager
async def posting(
    engine: Scripted, address: Callable[[], Awaitable[str | None]] | None = None
) -> AsyncIterator[Posting]:
    results: list[tuple[str, str]] = []
    pauses: list[float] = []

    async def fixed() -> str | None:
        return URL

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    hook = Hook(engine, address or fixed, done=lambda result, why: results.append((result, why)), sleep=sleep)
    task = asyncio.create_task(hook.run())
    try:
        yield Posting(hook, results, pauses)
    finally:
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert engine.closed


async def test_what_passes_is_tried_again() -> None:
    engine = Scripted([ConnectError("refused"), 503, 429, 200])
    async with posting(engine) as to:
        to.hook.submit(ALERT)
        assert await to.result() == ("ok", "")
        assert to.pauses == [1.0, 5.0, 25.0]
        assert len(engine.calls) == 4
        call = engine.calls[0]
        assert (call.method, call.origin, call.target) == (
            b"POST",
            Origin(True, "chat.example.com", 443),
            b"/services/T0/token-of-the-chat",
        )
        assert dict(call.headers)[b"content-type"] == b"application/json"
        assert b"".join(call.body) == payload(ALERT)


async def test_what_lasts_is_given_up_and_the_next_is_tried() -> None:
    engine = Scripted([UpstreamTimeout("slow", stage="head")] * 4 + [200])
    async with posting(engine) as to:
        to.hook.submit(ALERT)
        to.hook.submit(ALERT)
        assert await to.result() == ("failed", "UpstreamTimeout")
        assert await to.result(2) == ("ok", "")


async def test_nothing_that_goes_wrong_ends_it() -> None:
    async with posting(Scripted([RuntimeError("ours"), 200])) as to:
        to.hook.submit(ALERT)
        to.hook.submit(ALERT)
        assert await to.result() == ("failed", "RuntimeError")
        assert await to.result(2) == ("ok", "")


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
async def test_what_will_not_change_is_not_tried_again(status: int) -> None:
    engine = Scripted([status])
    async with posting(engine) as to:
        to.hook.submit(ALERT)
        assert await to.result() == ("failed", f"status {status}")
        assert len(engine.calls) == 1


async def test_an_address_that_is_away_is_asked_for_again() -> None:
    asked = 0

    async def address() -> str | None:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise SecretError("file 'hook' is not readable")
        return URL if asked == 3 else None if asked == 4 else "ftp://example.com"

    async with posting(Scripted([200]), address) as to:
        for _ in range(3):
            to.hook.submit(ALERT)
        assert await to.result() == ("ok", "")
        assert await to.result(2) == ("failed", "the URL of the webhook is not valid")  # and between them none was due


async def test_those_beyond_the_bound_are_dropped() -> None:
    results: list[str] = []

    async def address() -> str | None:
        return URL

    hook = Hook(Scripted([200]), address, done=lambda result, _: results.append(result))
    for _ in range(WAITING + 2):
        hook.submit(ALERT)
    assert results == ["dropped"] * 2


async def test_it_speaks_to_a_server_and_follows_it_nowhere() -> None:
    async with FaultUpstream([Reply(302, headers={"location": "http://127.0.0.1:1/"}), Reply(200, body=b"ok")]) as chat:
        results: list[tuple[str, str]] = []

        async def address() -> str | None:
            return f"{chat.url}/hook?a=b"

        hook = Hook(DirectEngine(), address, done=lambda result, why: results.append((result, why)))
        task = asyncio.create_task(hook.run())
        hook.submit(ALERT)
        hook.submit(ALERT)
        for _ in range(400):
            if len(results) == 2:
                break
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert results == [("failed", "status 302"), ("ok", "")]
        assert chat.requests[0].target == "/hook?a=b"


def test_the_body() -> None:
    assert json.loads(payload(ALERT)) == {
        "event": "budget_alert",
        "budget": "group/core",
        "period": "2026-11",
        "share": "80%",
        "spent_usd": 401.2,
        "limit_usd": 500.0,
        "refused": False,
        "at": "2027-01-15T08:00:00+00:00",
        "text": "Budget of group/core: 401.20 of 500.00 USD for 2026-11 are spent (80%).",
    }


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a/", "https://", "https://user@host/", "https://host:x/", "http://host:99999/", "https://h/ü", "//h/"],
)
def test_what_is_no_address(url: str) -> None:
    assert hook_of(url) is None


def test_an_address_is_not_shown() -> None:
    found = hook_of(URL)
    assert found is not None
    assert "token" not in repr(found)
