"""The parent's part in the limits of its workers: it keeps their meters, and what was spent of budgets in a file.

Law: while nobody answers the workers, each admits its part, and it is told; it is tried again for as long as the parent
lives. What was used is not lost by that: the meters are the parent's, not the socket's.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from ccx.runtime.ledger import Ledger
from ccx.runtime.orders import hand_over
from ccx.state.meters import MemoryMeters, Meters
from ccx.state.workers.server import Coordinator

SOCKET: Final = "meters.sock"
"""The name of the socket in the folder that workers know."""
ORDERS: Final = "orders.json"
"""The name of the file of orders there."""
LOOK: Final = 2.0
"""Seconds between two looks whether the socket is still there, and before it is made again: who cleans up a machine's
temporary files may take it."""


@contextlib.contextmanager
def coordinating(folder: Path, *, workers: int, ledger: Ledger, orders: Path) -> Iterator[None]:
    """Keep the meters of workers for the time of a with block, in a thread: the parent itself waits for processes.
    `orders` is where those of operators are kept: what still holds is handed to the workers."""
    try:
        hand_over(orders, folder / ORDERS, now=time.time())
    except OSError as error:
        _warn(f"what operators had ordered is forgotten: {error}")
    meters = MemoryMeters()
    ledger.restore(meters)
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        tasks = [
            asyncio.create_task(answering(Coordinator(meters, workers=workers), folder / SOCKET)),
            asyncio.create_task(ledger.keep(meters, warn=_warn)),
        ]
        await stopping.wait()
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


async def answering(coordinator: Coordinator, path: Path, *, look: float = LOOK) -> None:
    """Answer workers at this path until cancelled, whatever happens to the socket."""
    while True:
        serving = asyncio.create_task(coordinator.serve(path))
        try:
            while not (await asyncio.wait([serving], timeout=look))[0]:
                if not path.exists():  # noqa: ASYNC240 - one look at a local file, on a loop that waits for little else
                    break
        finally:
            serving.cancel()
            (failed,) = await asyncio.gather(serving, return_exceptions=True)
        why = str(failed) if isinstance(failed, Exception) else "its socket has been removed"
        _warn(f"the limits of the workers cannot be reached, and each admits its part until they can: {why}")
        await asyncio.sleep(look)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, exist_ok=True)


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
