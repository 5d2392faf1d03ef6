"""Asking a second target beside a slow first one: whoever answers first is taken.

Law: at most two are asked at once. Who loses is cancelled and in the books before this returns, so that the winner can
be relayed as if it were alone. Cancelled itself, it leaves nobody behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from ccx.runtime.attempt import Failure
from ccx.runtime.outbound import Prepared
from ccx.runtime.trial import Trial


class Runner(NamedTuple):
    """A trial that takes part, and what it asks."""

    trial: Trial
    prepared: Prepared


Ask = Callable[[Runner], Coroutine[Any, Any, Failure | None]]


async def raced(
    first: Runner, *, ask: Ask, after: float, second: Callable[[], Awaitable[Runner | None]]
) -> tuple[Runner | None, list[tuple[Runner, Failure]]]:
    """Ask the first by `ask`, and once it has been silent for `after` seconds what `second` gives, if it gives any.

    Returns who answered, None if none did, and who failed, in the order of their failing.
    """
    failed: list[tuple[Runner, Failure]] = []
    won = False
    running = {asyncio.create_task(ask(first)): first}
    try:
        if not (await asyncio.wait(running, timeout=after))[0]:
            other = await second()
            if other is not None:
                running[asyncio.create_task(ask(other))] = other
        while running:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                runner = running.pop(task)
                failure = task.result()
                if failure is None:
                    won = True
                    return runner, failed
                failed.append((runner, failure))
        return None, failed
    finally:
        for task in running:
            task.cancel()
        try:
            await asyncio.gather(*running, return_exceptions=True)
        finally:
            for runner in running.values() if won else ():
                runner.trial.outpaced()
