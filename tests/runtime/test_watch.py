"""A table that does worse than the one before it, told from one that does not; and the way back."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

from ccx.runtime.watch import SwapWatch, Tolerance
from ccx.telemetry.exchange import Exchange
from tests.faults import FaultUpstream, Reply
from tests.gateway import Running, running
from tests.runtime.streams import MESSAGE

TOLERANCE = Tolerance(window=60.0, error_rate=0.05, first_byte=0.5)
JSON = {"content-type": "application/json"}
GOOD = Reply(200, headers=JSON, body=MESSAGE)
BAD = Reply(500, headers=JSON, body=b'{"type":"error","error":{"type":"api_error","message":"oops"}}')
ASK = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def exchange(digest: str, status: int = 200, *, first: float | None = 0.1, route: str | None = "r") -> Exchange:
    return Exchange(
        at=0.0,
        request_id="r",
        protocol="chat",
        operation="generate",
        digest=digest,
        status=status,
        route=route,
        first_byte_seconds=first,
        error_kind=None if status < 400 else "x",
    )


def watched(statuses: list[int], *, first: float = 0.1) -> SwapWatch:
    watch = SwapWatch("old", window=60.0)
    for status in statuses:
        watch.seen(exchange("old", status, first=first), now=1.0)
    watch.begin("new", TOLERANCE, now=2.0)
    return watch


def told(watch: SwapWatch, statuses: list[int], *, first: float = 0.1, now: float = 3.0) -> str | None:
    return next((said for s in statuses if (said := watch.seen(exchange("new", s, first=first), now=now))), None)


def test_many_more_errors_are_a_breach() -> None:
    assert told(watched([200] * 100), [200, 500] * 12) == "50.0% of its 20 requests failed, 0.0% before"


def test_as_many_errors_as_before_are_none() -> None:
    assert told(watched([200, 500] * 50), [200, 500] * 100) is None


def test_a_few_requests_say_nothing() -> None:
    assert told(watched([200] * 100), [500] * 19) is None


def test_what_clients_do_is_no_error() -> None:
    assert told(watched([200] * 100), [400, 401, 429, 499, 404] * 20) is None


def test_what_was_shed_is_no_error_of_the_table() -> None:
    watch = watched([200] * 100)
    shed = [replace(exchange("new", 503), shed="lag") for _ in range(50)]
    assert not any(watch.seen(one, now=3.0) for one in shed)


def test_requests_that_no_route_takes_are() -> None:
    watch = watched([200] * 100)
    assert any(watch.seen(exchange("new", 404, route=None), now=3.0) for _ in range(25))


def test_a_slower_first_byte_is_a_breach_where_that_is_declared() -> None:
    assert told(watched([200] * 50), [200] * 30, first=0.2) == "the first byte took 200 ms (median), 100 ms before"
    assert told(watched([200] * 50), [200] * 30, first=0.14) is None
    watch = SwapWatch("old")
    watch.begin("new", Tolerance(60.0, 0.05), now=0.0)
    assert told(watch, [200] * 100, first=9.0) is None


def test_after_the_window_it_stays() -> None:
    watch = watched([200] * 100)
    assert told(watch, [500] * 100, now=63.0) is None
    assert not watch.watching


def test_stragglers_of_the_old_table_do_not_count() -> None:
    watch = watched([200] * 100)
    assert all(watch.seen(exchange("old", 500), now=3.0) is None for _ in range(100))


def test_chance_alone_hardly_ever_breaches() -> None:
    """Both sides fail alike, at 3 %: the same table would be given up for nothing in few of a hundred swaps."""
    rng = random.Random(7)
    wrong = 0
    for _ in range(300):
        draw = [500 if rng.random() < 0.03 else 200 for _ in range(400)]
        wrong += told(watched(draw[:200]), draw[200:]) is not None
    assert wrong <= 6


def spec(url: str, *, route: str = "all") -> str:
    return f"""
    version: ccx/v1
    server: {{rollback: {{window: 1m, error_rate: +10%}}}}
    channels: {{up: {{protocol: messages, base_url: {url}, keys: none, breaker: off}}}}
    routes: [{{name: {route}, to: [up], failover: {{attempts: 1}}}}]
    """


async def load(gw: Running, count: int) -> list[int]:
    return [(await gw.client.post("/v1/messages", json=ASK)).status_code for _ in range(count)]


async def test_a_worse_table_is_given_up_and_stays_so_until_it_changes(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as good, FaultUpstream([BAD]) as bad, running(spec(good.url), tmp_path) as gw:
        before = gw.gateway.live.digest
        assert set(await load(gw, 30)) == {200}
        gw.rewrite(spec(bad.url))
        assert await gw.reconciler.reconcile("test") == "applied"
        worse = gw.gateway.live.digest
        assert await load(gw, 20) == [500] * 20
        for _ in range(200):
            if gw.gateway.live.digest == before:
                break
            await asyncio.sleep(0.01)
        assert gw.gateway.live.digest == before
        assert await load(gw, 3) == [200] * 3
        problem = gw.reconciler.status.problems[0]
        assert problem.startswith(f"table {worse[:12]} was given up: 100.0% of its 20 requests failed, 0.0% before")
        gw.rewrite(spec(bad.url) + "# touched\n")
        assert await gw.reconciler.reconcile("test") == "rejected"
        assert gw.gateway.live.digest == before
        gw.rewrite(spec(good.url, route="better"))
        assert await gw.reconciler.reconcile("test") == "applied"
        assert gw.reconciler.status.problems == ()


async def test_without_rollback_nothing_is_watched(tmp_path: Path) -> None:
    async with FaultUpstream([GOOD]) as good, FaultUpstream([BAD]) as bad:
        plain = spec(good.url).replace("server: {rollback: {window: 1m, error_rate: +10%}}", "server: {}")
        async with running(plain, tmp_path) as gw:
            await load(gw, 25)
            gw.rewrite(plain.replace(good.url, bad.url))
            await gw.reconciler.reconcile("test")
            assert await load(gw, 40) == [500] * 40
