"""Responses in memory and in a real Redis behave alike; and what only a shared store has."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from ccx.errors import GatewayError
from ccx.state.link import UnreachableError
from ccx.state.redis.keys import Keys
from ccx.state.redis.responses import FailsafeResponses, RedisResponses
from ccx.state.responses import MemoryResponses, ResponseStore, StoredResponse
from tests.redis_server import PROGRAM, WHY_NOT, RedisServer
from tests.state.redis.test_meters import linked

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)


def response(
    number: int, previous: StoredResponse | None = None, *, client: str = "a", pad: int = 0, item: str | None = None
) -> StoredResponse:
    item = item or f"msg_{number}"
    asked = [{"id": f"in_{number}", "role": "user", "content": f"question {number}" + "x" * pad}]
    answer = {"output": [{"id": item, "type": "message", "content": f"answer {number}"}]}
    return StoredResponse(
        f"resp_{number}",
        client,
        "m",
        json.dumps(asked).encode(),
        json.dumps(answer).encode(),
        previous,
        (f"in_{number}", item),
    )


class Suite:
    async def test_a_client_finds_its_own_and_no_other(self, store: ResponseStore) -> None:
        one = response(1)
        assert await store.put(one, now=1.0)
        found = await store.get("a", "resp_1", now=2.0)
        assert found is not None
        assert (found.id, found.model, found.items(), found.size) == ("resp_1", "m", one.items(), one.size)
        assert await store.get("b", "resp_1", now=2.0) is None
        assert await store.get("a", "resp_2", now=2.0) is None
        assert await store.item("b", "msg_1", now=2.0) is None
        assert await store.item("a", "msg_1", now=2.0) == one.item("msg_1")
        assert await store.item("a", "in_1", now=2.0) == one.item("in_1")

    async def test_a_conversation_stays_whole(self, store: ResponseStore) -> None:
        first = response(1)
        await store.put(first, now=1.0)
        second = response(2, await store.get("a", "resp_1", now=1.0))
        await store.put(second, now=2.0)
        third = response(3, await store.get("a", "resp_2", now=2.0))
        await store.put(third, now=3.0)
        assert await store.delete("a", "resp_1", now=3.0)
        assert not await store.delete("a", "resp_1", now=3.0)
        assert await store.get("a", "resp_1", now=3.0) is None
        assert await store.item("a", "msg_1", now=3.0) is None
        found = await store.get("a", "resp_3", now=4.0)
        assert found is not None
        assert found.items() == third.items()
        assert len(found.items()) == 6

    async def test_of_several_items_the_last(self, store: ResponseStore) -> None:
        await store.put(response(1, item="x"), now=1.0)
        await store.put(response(2, item="x"), now=1.0)
        assert (await store.item("a", "x", now=1.0) or {})["content"] == "answer 2"
        await store.delete("a", "resp_2", now=1.0)
        assert (await store.item("a", "x", now=1.0) or {})["content"] == "answer 1"

    async def test_one_in_place_of_another(self, store: ResponseStore) -> None:
        await store.put(response(1), now=1.0)
        again = response(1, item="other")
        await store.put(again, now=2.0)
        assert await store.item("a", "msg_1", now=2.0) is None
        found = await store.get("a", "resp_1", now=2.0)
        assert found is not None
        assert found.items() == again.items()

    async def test_the_least_recently_used_goes_first(self, store: ResponseStore) -> None:
        for number in range(4):
            await store.put(response(number, pad=3000), now=float(number))
        assert await store.get("a", "resp_0", now=4.0) is not None
        for number in range(4, 7):
            await store.put(response(number, pad=3000), now=float(number + 1))
        there = [number for number in range(7) if await store.get("a", f"resp_{number}", now=9.0) is not None]
        assert 0 in there
        assert 6 in there
        assert 1 not in there
        assert not await store.put(response(9, pad=12_000), now=9.0)


class TestMemory(Suite):
    @pytest.fixture
    def store(self) -> MemoryResponses:
        return MemoryResponses(entries=5, size=40_000, share=4)


class TestRedis(Suite):
    @pytest.fixture
    async def store(self, redis: RedisServer) -> AsyncIterator[RedisResponses]:
        async with linked(redis.url) as link:
            yield RedisResponses(link, Keys("ccx"), entries=5, size=40_000, share=4)


async def test_bytes_are_bounded_over_all_replicas(redis: RedisServer) -> None:
    async with linked(redis.url) as link:
        store = RedisResponses(link, Keys("ccx"), entries=100, size=20_000, share=2)
        for number in range(12):
            await store.put(response(number, pad=3000), now=float(number))
        there = [number for number in range(12) if await store.get("a", f"resp_{number}", now=20.0) is not None]
        assert there == list(range(12 - len(there), 12))
        assert 4 <= len(there) <= 6
        assert int(await link.ask(("GET", Keys("ccx").of("responses", "bytes")))) <= 20_000


async def test_what_was_evicted_before_a_child_is_kept_again_with_it(redis: RedisServer) -> None:
    async with linked(redis.url) as link:
        store = RedisResponses(link, Keys("ccx"))
        await store.put(response(1), now=1.0)
        found = await store.get("a", "resp_1", now=1.0)
        redis.flush()
        await store.put(response(2, found), now=2.0)
        whole = await store.get("a", "resp_2", now=3.0)
        assert whole is not None
        assert len(whole.items()) == 4


async def test_nothing_in_a_key_tells_of_a_response(redis: RedisServer) -> None:
    async with linked(redis.url) as link:
        await RedisResponses(link, Keys("ccx")).put(response(1, client="secretive"), now=1.0)
        keys = await link.ask(("KEYS", "*"))
        assert len(keys) == 7
        assert not any(b"secretive" in key or b"resp_1" in key for key in keys)


class Gone:
    """A store that is away."""

    async def _away(self, *_: object, **__: object) -> None:
        raise UnreachableError("away")

    get = item = put = delete = _away


async def test_the_newest_are_there_without_redis() -> None:
    store = FailsafeResponses(Gone())  # type: ignore[arg-type]  # it never answers
    one = response(1)
    assert await store.put(one, now=1.0)
    assert await store.get("a", "resp_1", now=1.0) is one
    assert await store.item("a", "msg_1", now=1.0) == one.item("msg_1")
    with pytest.raises(GatewayError):
        await store.delete("a", "resp_1", now=1.0)


async def test_closed_refuses_without_redis() -> None:
    store = FailsafeResponses(Gone(), closed=True)  # type: ignore[arg-type]  # it never answers
    assert await store.put(response(1), now=1.0)
    for asked in (store.get("a", "resp_1", now=1.0), store.item("a", "msg_1", now=1.0)):
        with pytest.raises(GatewayError) as refused:
            await asked
        assert refused.value.status == 503
