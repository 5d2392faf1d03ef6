"""Replicas that share one Redis: limits hold over all of them, and no fault of Redis hurts a request."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from ccx.runtime.caching import kept
from ccx.state.health import Override
from ccx.state.meters import Charge, Held, Taken
from tests.gateway import Running, running
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer, redis_server
from tests.replicas.proxy import network
from tests.replicas.replica import BODY, KEY, many, post, replicas, spec, until

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


async def test_a_limit_is_one_for_all(redis: RedisServer, tmp_path: Path) -> None:
    async with replicas(spec(redis.url, limits="{requests: 40/h}"), tmp_path) as them:
        statuses, _ = await many(them, 90)
        assert statuses == {200: 40, 429: 50}
        status = (await them[0].client.get("/status")).json()["state"]
        assert (status["kind"], status["up"], status["mode"], status["replicas"]) == ("redis", True, "shared", 3)
        metrics = (await them[0].client.get("/metrics")).text
        assert 'ccx_state_up{store="redis"} 1' in metrics
        assert 'ccx_state_seconds_count{store="redis"}' in metrics


async def test_places_are_one_for_all_and_all_come_back(redis: RedisServer, tmp_path: Path) -> None:
    async with replicas(spec(redis.url, limits="{concurrency: 2}"), tmp_path) as them:
        for _ in range(5):
            assert (await post(them[0]))[0] == 200
        statuses, _ = await many(them, 40)
        assert statuses.keys() <= {200, 429}
        meter = them[0].gateway.live.metering.clients["a"].held
        assert meter is not None
        assert [use.used for use in await them[1].gateway.meters.standing((meter,), now=time.time())] == [0]


async def test_a_replica_that_dies_takes_no_request_of_others_along(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccx.state.redis.store.LEASE", 0.4)
    monkeypatch.setattr("ccx.state.redis.store.GONE_AFTER", 1.2)
    async with replicas(spec(redis.url, limits="{concurrency: 8, requests: 1000/h}"), tmp_path) as them:
        dead, *alive = them
        place = Held("somebody's/concurrency", 2)
        store = dead.gateway.shared
        for _ in range(2):
            assert isinstance(await dead.gateway.meters.take((Charge(place),), now=time.time()), Taken)
        assert not isinstance(await alive[0].gateway.meters.take((Charge(place),), now=time.time()), Taken)
        load = asyncio.create_task(many(alive, 60, together=4))
        store.link._wire._url = _nowhere  # type: ignore[union-attr]  # it never comes back
        store.link._wire._connection._writer.transport.abort()  # type: ignore[union-attr]  # killed without a goodbye
        statuses, _ = await load
        assert statuses == {200: 60}
        await until(lambda: alive[0].gateway.meters.sharing == 2)  # type: ignore[attr-defined]  # a shared one
        assert isinstance(await alive[0].gateway.meters.take((Charge(place),), now=time.time()), Taken)


async def _nowhere() -> str:
    return "redis://127.0.0.1:1"


async def test_redis_killed_and_started_again_fails_no_request(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(spec(redis.url, limits="{requests: 900000/h}"), tmp_path) as them:
            load = asyncio.create_task(many(them, 900))
            await asyncio.sleep(0.3)
            redis.kill()
            await until(lambda: not any(one.gateway.shared.link.up for one in them))  # type: ignore[union-attr]
            statuses, longest = await load
            assert statuses == {200: 900}
            assert longest < 2
            status = (await them[0].client.get("/status")).json()["state"]
            assert (status["up"], status["mode"], status["replicas"]) == (False, "local", 3)
            assert 'ccx_state_up{store="redis"} 0' in (await them[0].client.get("/metrics")).text
            redis.start()
            await until(lambda: all(one.gateway.shared.link.up for one in them), seconds=8)  # type: ignore[union-attr]
            assert (await many(them, 9))[0] == {200: 9}
            log = (them[0].path.parent / "log").read_text()
            assert [kind for kind in ("state_lost", "state_back") if kind in log] == ["state_lost", "state_back"]


async def test_each_admits_its_part_while_redis_is_away(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(spec(redis.url, limits="{requests: 60/h}"), tmp_path) as them:
            assert (await many(them, 30))[0] == {200: 30}
            redis.kill()
            await until(lambda: not any(one.gateway.shared.link.up for one in them))  # type: ignore[union-attr]
            statuses, _ = await many(them, 60)
            # Each knows what was used when it last heard: the last of them 30, the others a few less.
            assert 30 <= statuses[200] <= 36
            assert set(statuses) == {200, 429}


async def test_closed_refuses_while_redis_is_away_and_comes_back(tmp_path: Path) -> None:
    with redis_server() as redis:
        text = spec(redis.url, limits="{requests: 900/h}", on_failure="closed")
        async with replicas(text, tmp_path, count=1) as (one,):
            assert (await many([one], 5))[0] == {200: 5}
            redis.kill()
            await many([one], 1)
            answer = await one.client.post("/v1/messages", json={}, headers={"x-api-key": "wrong"})
            assert answer.status_code == 401
            statuses, longest = await many([one], 20)
            assert statuses == {503: 20}
            assert longest < 1
            redis.start()
            await until(lambda: one.gateway.shared.link.up, seconds=8)  # type: ignore[union-attr]
            assert (await many([one], 5))[0] == {200: 5}


async def test_a_slow_network_slows_and_a_dead_one_does_not_hang(redis: RedisServer, tmp_path: Path) -> None:
    async with network(redis.port) as between:
        text = spec(f"redis://127.0.0.1:{between.port}", limits="{requests: 900000/h}")
        async with replicas(text, tmp_path, count=1) as (one,):
            between.delay = 0.05
            statuses, longest = await many([one], 20, together=4)
            assert statuses == {200: 20}
            assert one.gateway.meters.mode == "shared"  # type: ignore[attr-defined]  # a shared one
            between.black_hole = True
            statuses, longest = await many([one], 40, together=4)
            assert statuses == {200: 40}
            assert longest < 1.5
            assert one.gateway.meters.mode == "local"  # type: ignore[attr-defined]  # likewise
            between.black_hole, between.delay = False, 0.0
            await until(lambda: one.gateway.shared.link.up, seconds=8)  # type: ignore[union-attr]
            assert (await many([one], 5))[0] == {200: 5}


async def test_a_gateway_starts_without_redis(tmp_path: Path) -> None:
    text = spec("redis://127.0.0.1:1", limits="{requests: 3/h}")
    async with replicas(text, tmp_path, count=1) as (one,):
        assert (await many([one], 5))[0] == {200: 3, 429: 2}


async def test_an_order_to_one_is_an_order_to_all(redis: RedisServer, tmp_path: Path) -> None:
    async with replicas(spec(redis.url, limits="{requests: 900/h}"), tmp_path, count=2) as (one, other):
        ends = asyncio.get_running_loop().time() + 60
        one.gateway.health.order("main", Override("drain", ends))
        await until(lambda: not other.gateway.health.well("main"))
        assert (await post(other))[0] == 503
        one.gateway.health.order("main", None)
        await until(lambda: other.gateway.health.well("main"))
        assert (await post(other))[0] == 200


async def test_a_conversation_goes_on_at_another_replica(redis: RedisServer, tmp_path: Path) -> None:
    plain = spec(redis.url, limits="{requests: 900/h}")
    async with (
        running("{version: ccx/v1, channels: {main: {provider: demo}}}", tmp_path) as demo,
        replicas(
            plain.replace("{provider: demo}", f"{{protocol: chat, base_url: '{demo.url}/v1', keys: none}}"),
            tmp_path,
            count=2,
        ) as (one, other),
    ):
        key = {"authorization": f"Bearer {KEY}"}
        first = (await one.client.post("/v1/responses", json={"model": "m", "input": "Hello"}, headers=key)).json()
        more = {"model": "m", "input": "And?", "previous_response_id": first["id"]}
        second = await other.client.post("/v1/responses", json=more, headers=key)
        assert second.status_code == 200, second.text
        assert (await one.client.get(f"/v1/responses/{second.json()['id']}", headers=key)).status_code == 200
        gone = await other.client.delete(f"/v1/responses/{first['id']}", headers=key)
        assert gone.status_code == 200
        assert (await one.client.get(f"/v1/responses/{first['id']}", headers=key)).status_code == 404


async def test_what_one_was_answered_another_gives(redis: RedisServer, tmp_path: Path) -> None:
    text = (
        spec(redis.url, limits="{requests: 900/h}")
        + "    routes: [{name: r, to: [main], cache: {ttl: 5m, when: any}}]\n"
    )
    async with replicas(text, tmp_path, count=2) as (one, other):
        assert (await post(one))[0] == 200
        for _ in range(100):
            if (await one.client.get("/admin/cache")).json()["entries"]:
                break
            await asyncio.sleep(0.01)
        assert (await post(other))[0] == 200
        assert (await other.exchange()).cache == "hit"
        for gw in (one, other):  # what all have in common, whoever is asked
            assert (await gw.client.get("/metrics")).status_code == 200
            size, evictions = kept(gw.gateway.caching)["r"]
            assert size > 0
            assert evictions == 0
        assert (await other.client.delete("/admin/cache")).json() == {"cleared": 1}
        assert (await post(one))[0] == 200
        assert (await one.exchange(2)).cache == "miss"


async def test_a_session_that_was_long_at_one_is_long_at_all_and_short_while_redis_is_away(tmp_path: Path) -> None:
    with redis_server() as redis:
        text = f"""{spec(redis.url, limits="{requests: 900000/h}").rstrip()}
        tokens: {{sticky: 1h}}
        routes:
          - {{name: long, when: {{input_tokens: "> 1k"}}, to: [main]}}
          - {{name: rest, to: [main]}}
        """
        async with replicas(text, tmp_path, count=2) as (one, other):

            async def took(at: Running, words: int) -> str:
                body = {**BODY, "messages": [{"role": "user", "content": "word " * words}]}
                headers = {"x-api-key": KEY, "x-ccx-session": "s"}
                answer = await at.client.post("/v1/messages", json=body, headers=headers)
                assert answer.status_code == 200
                return str(answer.headers["x-ccx-route"])

            assert await took(one, 2000) == "long"
            assert await took(other, 10) == "long"
            redis.kill()
            await until(lambda: not any(g.gateway.shared.link.up for g in (one, other)))  # type: ignore[union-attr]
            assert await took(other, 10) == "rest"
            assert await took(other, 2000) == "long"
            redis.start()
            await until(lambda: other.gateway.shared.link.up, seconds=8)  # type: ignore[union-attr]
            assert await took(other, 10) == "rest"  # what was noted meanwhile is not made up for


async def test_a_groups_money_is_one_for_all_and_is_told_of_once(redis: RedisServer, tmp_path: Path) -> None:
    """A dollar for each answer; of three replicas one tells."""
    text = spec(redis.url, limits="{}").replace(
        "        channels:",
        "        groups: {all: {budget: {usd: 110, per: total, alerts: [50%, 100%]}}}\n"
        "        models: {m: {price: {input: 0, output: 200000}}}\n"
        "        channels:",
        1,
    )
    async with replicas(text, tmp_path) as them:
        statuses, _ = await many(them, 130, together=2)
        assert statuses.keys() == {200, 429}
        (budget,) = (await them[0].client.get("/status")).json()["budgets"]
        assert budget["budget"] == "group/all"
        assert 100 < budget["used_usd"] <= 110
        await until(lambda: sum(map(_told, them)) == 2)
        await asyncio.sleep(0.02)
        assert sum(map(_told, them)) == 2
        (budget,) = (await them[1].client.get("/status")).json()["budgets"]
        assert budget["alerts"] == {"50%": True, "100%": True}


def _told(gw: Running) -> int:
    return (gw.path.parent / "log").read_text().count('"budget_alert"')
