"""The counter: one number on every path, cached per block, bounded, joined, cancellable, off the loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from ccx.errors import GatewayError
from ccx.protocols.names import Protocol
from ccx.tokens import blocks, counter, encoding
from ccx.tokens.counter import TokenCounter

M = Protocol.MESSAGES


def body(*texts: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text} for text in texts]}).encode()


@pytest.fixture
def tokens() -> Iterator[TokenCounter]:
    made = TokenCounter()
    yield made
    made.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The blocks that were decoded."""
    seen: list[bytes] = []
    leaves = blocks.leaves

    def spy(block: bytes) -> Iterator[blocks.Leaf]:
        seen.append(block)
        return leaves(block)

    monkeypatch.setattr(blocks, "leaves", spy)
    return seen


class Gate:
    """Holds every count at its first segment until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.open, self.calls = threading.Event(), threading.Event(), 0
        self._count = encoding.count_text
        monkeypatch.setattr(encoding, "count_text", self)

    def __call__(self, text: str) -> int:
        self.calls += 1
        self.entered.set()
        assert self.open.wait(5)
        return self._count(text)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 5)


@pytest.mark.parametrize("repeats", [1, 3000, 80_000])
async def test_every_path_gives_the_sum_of_the_definition(tokens: TokenCounter, repeats: int) -> None:
    raw = body("hello world. " * repeats, "again")
    found = blocks.blocks(M, raw)
    expected = sum(map(encoding.count_text, found.texts)) + found.media_tokens
    assert tokens.try_count(M, raw) is None
    assert await tokens.count(M, raw) == expected
    assert await tokens.count(M, raw) == expected
    assert TokenCounter().count_now(M, raw) == expected
    assert tokens.try_count(M, raw) == (expected if len(raw) <= counter.ON_LOOP else None)
    assert tokens.upper_bound(raw) >= expected


async def test_only_the_new_block_of_a_conversation_is_read(tokens: TokenCounter, read: list[bytes]) -> None:
    await tokens.count(M, body("one", "two"))
    assert tokens.try_count(M, body("one", "two", "three")) is None
    await tokens.count(M, body("one", "two", "three"))
    assert [json.loads(block)["content"] for block in read] == ["one", "two", "three"]
    assert tokens.try_count(M, body("three", "one")) == 2


def test_the_cache_is_bounded_and_forgets_the_least_recently_used(read: list[bytes]) -> None:
    tokens = TokenCounter(cache_bytes=2 * counter.ENTRY)
    tokens.count_now(M, body("one", "two"))
    assert tokens.try_count(M, body("one")) == 1
    tokens.count_now(M, body("three"))
    assert tokens.try_count(M, body("one", "three")) == 2
    assert tokens.try_count(M, body("two")) is None
    for n in range(50):
        tokens.count_now(M, body(f"filler {n}"))
    assert len(tokens._cache) == 2


def test_fingerprints_tell_blocks_apart() -> None:
    small = {counter.fingerprint(b"%d" % n) for n in range(1000)}
    giant = {counter.fingerprint(b"%d" % n + b" " * 300_000) for n in range(3)}
    assert len(small | giant) == 1003


async def test_identical_counts_are_joined(
    tokens: TokenCounter, read: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = asyncio.create_task(tokens.count(M, body("a b c")))
    await gate.reached()
    second = asyncio.create_task(tokens.count(M, body("a b c")))
    await asyncio.sleep(0)
    gate.open.set()
    assert await first == await second == 3
    assert len(read) == 1
    assert not tokens._jobs


async def test_a_joined_count_survives_the_leaving_of_one(
    tokens: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = asyncio.create_task(tokens.count(M, body("a b c")))
    await gate.reached()
    second = asyncio.create_task(tokens.count(M, body("a b c")))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.open.set()
    assert await second == 3


async def test_a_count_that_nobody_waits_for_stops(tokens: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    running = asyncio.create_task(tokens.count(M, body("hello world. " * 5000)))
    await gate.reached()
    queued = asyncio.create_task(tokens.count(M, body("queued")))
    await asyncio.sleep(0)
    for task in (running, queued):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not tokens._jobs
    gate.open.set()
    assert await tokens.count(M, body("next")) == 1  # the lane is free again
    assert gate.calls == 2  # one segment of the stopped count, none of the queued one, one of the next
    assert tokens.try_count(M, body("hello world. " * 5000)) is None


async def test_a_full_queue_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, gate = TokenCounter(queue=1), Gate(monkeypatch)
    waiting = asyncio.create_task(tokens.count(M, body("one")))
    await gate.reached()
    with pytest.raises(GatewayError, match="already wait") as refused:
        await tokens.count(M, body("two"))
    assert refused.value.status == 503
    gate.open.set()
    assert await waiting == 1
    assert await tokens.count(M, body("two")) == 1
    tokens.close()


async def test_closing_ends_what_runs_and_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, gate = TokenCounter(), Gate(monkeypatch)
    running = asyncio.create_task(tokens.count(M, body("hello world. " * 5000)))
    await gate.reached()
    queued = asyncio.create_task(tokens.count(M, body("queued")))
    await asyncio.sleep(0)
    tokens.close()
    gate.open.set()
    for task in (running, queued):
        with pytest.raises(GatewayError, match="shutting down"):
            await task
    with pytest.raises(GatewayError, match="shutting down"):
        await tokens.count(M, body("late"))


async def test_a_giant_does_not_delay_the_ordinary(tokens: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = body("small")
    gate = Gate(monkeypatch)
    giant = asyncio.create_task(tokens.count(M, body("hello world. " * 100_000)))
    await gate.reached()
    small = asyncio.create_task(tokens.count(M, ordinary))
    await asyncio.sleep(0)
    gate.open.set()
    done, _ = await asyncio.wait({giant, small}, return_when=asyncio.FIRST_COMPLETED)
    assert small in done
    assert await giant > 300_000


async def test_prepare_loads_the_vocabulary(tokens: TokenCounter) -> None:
    await tokens.prepare()
    assert encoding.loaded()


def test_many_threads_share_one_counter() -> None:
    tokens = TokenCounter(cache_bytes=4 * counter.ENTRY)
    raws = [body(*(f"text {n} {m}" for m in range(20))) for n in range(8)]
    expected = [TokenCounter().count_now(M, raw) for raw in raws]
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append([tokens.count_now(M, raw) for raw in raws])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


async def test_a_count_waits_for_the_vocabulary_that_is_being_loaded(
    tokens: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, finish = threading.Event(), threading.Event()
    loaded: list[bool] = []

    def load() -> None:
        entered.set()
        loaded.append(finish.wait(5))

    monkeypatch.setattr(encoding, "load", load)
    loading = asyncio.create_task(tokens.prepare())
    assert await asyncio.to_thread(entered.wait, 5)
    counting = asyncio.create_task(tokens.count(M, body("hello world")))
    await asyncio.sleep(0.02)
    assert not counting.done()
    finish.set()
    assert await counting == 2
    await loading
    assert loaded == [True]
