"""Several gateways in one process over one Redis."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.gateway import Running, running

KEY = "ccx_" + "k" * 40
BODY = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}


def spec(url: str, *, limits: str, on_failure: str = "local", timeout: str = "250ms", budgets: str = "") -> str:
    import hashlib

    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return f"""
        version: ccx/v1
        clients: {{a: {{key: {{sha256: {digest}}}, limits: {limits}{budgets}}}}}
        channels: {{main: {{provider: demo}}}}
        state: {{redis: {{url: "{url}", on_failure: {on_failure}, timeout: {timeout}}}}}
    """


@contextlib.asynccontextmanager
async def replicas(text: str, folder: Path, *, count: int = 3) -> AsyncIterator[list[Running]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for number in range(count):
            (folder / str(number)).mkdir()
            found.append(await stack.enter_async_context(running(text, folder / str(number))))
        await until(lambda: all(one.gateway.meters.sharing == count for one in found))  # type: ignore[attr-defined]  # shared ones
        yield found


async def until(true: object, *, seconds: float = 4.0) -> None:
    ends = time.monotonic() + seconds
    while not true():  # type: ignore[operator]  # a callable
        assert time.monotonic() < ends, "it did not come about"
        await asyncio.sleep(0.01)


async def post(one: Running) -> tuple[int, float]:
    """Status and seconds of a request."""
    begun = time.perf_counter()
    answer = await one.client.post("/v1/messages", json=BODY, headers={"x-api-key": KEY})
    return answer.status_code, time.perf_counter() - begun


async def many(them: Sequence[Running], count: int, *, together: int = 12) -> tuple[Counter[int], float]:
    """Statuses of so many requests, spread over replicas; and the longest that one took."""
    statuses: Counter[int] = Counter()
    longest = 0.0
    left = iter(range(count))

    async def ask() -> None:
        nonlocal longest
        for number in left:
            status, seconds = await post(them[number % len(them)])
            statuses[status] += 1
            longest = max(longest, seconds)

    await asyncio.gather(*(ask() for _ in range(together)))
    return statuses, longest
