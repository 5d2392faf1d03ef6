"""The store of responses, as a state machine against a naive model, and by example."""

from __future__ import annotations

import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ccx.state.responses import MemoryResponses, StoredResponse

T = TypeVar("T")


def now_(call: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waited")


def stored(
    ident: str,
    *,
    client: str = "a",
    previous: StoredResponse | None = None,
    said: str = "hi",
    items: tuple[str, ...] = (),
) -> StoredResponse:
    ids = items or (f"in_{ident}", f"out_{ident}")
    brought = [{"id": ids[0], "type": "message", "role": "user", "content": said}]
    output = [{"id": ids[1], "type": "message", "role": "assistant", "content": []}]
    response = {"id": ident, "output": output}
    return StoredResponse(
        ident, client, "m", json.dumps(brought).encode(), json.dumps(response).encode(), previous, ids
    )


CLIENTS = st.sampled_from(["a", "b"])
IDENTS = st.sampled_from(["r1", "r2", "r3", "r4"])
ITEMS = st.sampled_from(["i1", "i2", "i3"])
ENTRIES, BYTES, SECONDS = 3, 5000, 10.0


class Model:
    """What the store should hold: a list, least recently used first, of (response, made)."""

    def __init__(self) -> None:
        self.kept: list[tuple[StoredResponse, float]] = []

    def find(self, client: str, ident: str) -> tuple[StoredResponse, float] | None:
        return next((one for one in self.kept if (one[0].client, one[0].id) == (client, ident)), None)

    def expire(self, now: float) -> None:
        self.kept = [one for one in self.kept if now - one[1] <= SECONDS]

    def bytes(self) -> int:
        held: dict[int, StoredResponse] = {}
        for response, _ in self.kept:
            one: StoredResponse | None = response
            while one is not None:
                held[id(one)] = one
                one = one.previous
        return sum(one.own_size for one in held.values())


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.store = MemoryResponses(entries=ENTRIES, size=BYTES, seconds=SECONDS, share=2)
        self.model = Model()
        self.order: list[tuple[str, str]] = []  # of putting

    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(client=CLIENTS, ident=IDENTS, before=st.none() | IDENTS, length=st.sampled_from([1, 400, 3000]), item=ITEMS)
    def put(self, client: str, ident: str, before: str | None, length: int, item: str) -> None:
        self.model.expire(self.now)
        previous = now_(self.store.get(client, before, now=self.now)) if before else None
        if previous is not None and before is not None:
            found = self.model.find(client, before)
            assert found is not None
            self.model.kept.remove(found)
            self.model.kept.append(found)
        response = stored(ident, client=client, previous=previous, said="x" * length, items=(item, f"out_{ident}"))
        old = self.model.find(client, ident)
        if old is not None:
            self.model.kept.remove(old)
            self.order.remove((client, ident))
        fits = response.size <= BYTES // 2
        assert now_(self.store.put(response, now=self.now)) is fits
        if fits:
            self.model.kept.append((response, self.now))
            self.order.append((client, ident))
            while len(self.model.kept) > ENTRIES or self.model.bytes() > BYTES:
                self.model.kept.pop(0)

    @rule(client=CLIENTS, ident=IDENTS)
    def get(self, client: str, ident: str) -> None:
        self.model.expire(self.now)
        found = self.model.find(client, ident)
        assert now_(self.store.get(client, ident, now=self.now)) is (found[0] if found else None)
        if found is not None:
            self.model.kept.remove(found)
            self.model.kept.append(found)

    @rule(client=CLIENTS, ident=IDENTS)
    def delete(self, client: str, ident: str) -> None:
        self.model.expire(self.now)
        found = self.model.find(client, ident)
        assert now_(self.store.delete(client, ident, now=self.now)) is (found is not None)
        if found is not None:
            self.model.kept.remove(found)

    @rule(client=CLIENTS, item=ITEMS)
    def item(self, client: str, item: str) -> None:
        self.model.expire(self.now)
        self.order = [key for key in self.order if self.model.find(*key)]
        holding = [key for key in self.order if key[0] == client and item in _found(self.model, key).item_ids]
        result = now_(self.store.item(client, item, now=self.now))
        if not holding:
            assert result is None
            return
        latest = self.model.find(*holding[-1])
        assert latest is not None
        assert result == latest[0].item(item)
        self.model.kept.remove(latest)
        self.model.kept.append(latest)

    @invariant()
    def agrees(self) -> None:
        assert len(self.store) <= ENTRIES
        assert self.store.bytes <= BYTES
        self.model.expire(self.now)
        now_(self.store.get("nobody", "none", now=self.now))
        assert len(self.store) == len(self.model.kept)
        assert self.store.bytes == self.model.bytes()


def _found(model: Model, key: tuple[str, str]) -> StoredResponse:
    found = model.find(*key)
    assert found is not None
    return found[0]


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


async def test_a_conversation_is_whole_however_long() -> None:
    store = MemoryResponses()
    previous: StoredResponse | None = None
    for number in range(3000):
        previous = stored(f"r{number}", previous=previous, said=str(number))
        assert await store.put(previous, now=0)
    assert previous is not None
    items = previous.items()
    assert [item["content"] for item in items[::2]] == [str(number) for number in range(3000)]
    assert [item["id"] for item in items[1::2]] == [f"out_r{number}" for number in range(3000)]
    assert previous.input_items() == items[:-1]
    assert previous.output_items() == items[-1:]


async def test_what_goes_on_from_a_deleted_response_keeps_it() -> None:
    store = MemoryResponses()
    first = stored("r1", said="one")
    second = stored("r2", previous=first, said="two")
    await store.put(first, now=0)
    await store.put(second, now=0)
    before = store.bytes
    assert await store.delete("a", "r1", now=0)
    assert await store.get("a", "r1", now=0) is None
    assert await store.item("a", "in_r1", now=0) is None
    assert store.bytes == before
    found = await store.get("a", "r2", now=0)
    assert found is not None
    assert [item["id"] for item in found.items()] == ["in_r1", "out_r1", "in_r2", "out_r2"]
    assert await store.delete("a", "r2", now=0)
    assert store.bytes == 0


async def test_another_client_finds_nothing() -> None:
    store = MemoryResponses()
    await store.put(stored("r1"), now=0)
    assert await store.get("b", "r1", now=0) is None
    assert await store.item("b", "in_r1", now=0) is None
    assert not await store.delete("b", "r1", now=0)
    assert await store.get("a", "r1", now=0) is not None


async def test_an_item_that_two_responses_hold_outlives_one() -> None:
    store = MemoryResponses()
    await store.put(stored("r1", items=("i", "o1"), said="old"), now=0)
    await store.put(stored("r2", items=("i", "o2"), said="new"), now=0)
    found = await store.item("a", "i", now=0)
    assert found is not None
    assert found["content"] == "new"
    await store.delete("a", "r2", now=0)
    found = await store.item("a", "i", now=0)
    assert found is not None
    assert found["content"] == "old"


async def test_a_conversation_too_large_is_not_kept_and_costs_no_other() -> None:
    store = MemoryResponses(size=8000, share=4)
    await store.put(stored("small"), now=0)
    assert not await store.put(stored("large", said="x" * 3000), now=0)
    assert await store.get("a", "small", now=0) is not None
    assert len(store) == 1


async def test_answers_without_items_are_kept() -> None:
    odd = StoredResponse("r", "a", "m", b"[]", b'{"output":"none"}')
    assert odd.items() == []
    assert odd.item("x") is None
