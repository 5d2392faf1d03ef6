"""The parent's part in the limits of its workers: it keeps their meters, and what was spent of budgets in a file."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ccx.runtime.ledger import Ledger
from ccx.state.meters import MemoryMeters, Meters
from ccx.state.workers.server import Coordinator

SOCKET: Final = "meters.sock"
"""The name of the socket in the folder that workers know."""


@contextlib.contextmanager
def coordinating(folder: Path, *, workers: int, ledger: Ledger) -> Iterator[None]:
    """Keep the meters of workers for the time of a with block, in a thread: the parent itself waits for processes."""
    meters = MemoryMeters()
    ledger.restore(meters)
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        tasks = [
            asyncio.create_task(Coordinator(meters, workers=workers).serve(folder / SOCKET)),
            asyncio.create_task(ledger.keep(meters, warn=_warn)),
        ]
        await asyncio.wait([*tasks, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                _warn(f"limits are divided by the number of workers: {error}")
        await asyncio.wait([asyncio.create_task(stopping.wait())])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="meters", daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def kept_sums(
    meters: Meters, ledger: Ledger | None, *, warn: Callable[[str], None]
) -> Sequence[Callable[[], Coroutine[Any, Any, None]]]:
    """For a process that keeps its meters itself: begin with what is kept of sums, and the work that keeps them."""
    if ledger is None or not isinstance(meters, MemoryMeters):
        return ()
    ledger.restore(meters)
    return (lambda: ledger.keep(meters, warn=warn),)


def _warn(what: str) -> None:
    print(f"ccx: {what}", file=sys.stderr, flush=True)
