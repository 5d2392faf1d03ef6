"""The meters and marks of all workers of one port, kept by their parent and asked over a Unix socket.

Law: it decides as one process would, in the order of arrival. What a worker held is free when its connection ends,
however it ended; what it was charged stands.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import assert_never

import msgspec

from ccx.state.marks import MemoryMarks
from ccx.state.meters import Held, MemoryMeters, Short, Taken
from ccx.state.workers.frames import (
    Asked,
    Hello,
    Mark,
    Settle,
    Stand,
    Take,
    Told,
    asked,
    charges,
    frame,
    meter,
    read_frame,
)


class Coordinator:
    """Serves `meters` to `workers` processes, and marks of their sessions."""

    def __init__(self, meters: MemoryMeters, *, workers: int) -> None:
        self._meters = meters
        self._workers = workers
        self._marks = MemoryMarks()
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, path: Path) -> None:
        """Answer on a socket at this path until cancelled."""
        server = await asyncio.start_unix_server(self._accept, path)
        try:
            await server.serve_forever()
        finally:
            for task in list(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._serving.add(task)
        held: dict[str, Taken] = {}
        try:
            while True:
                calls = asked.decode(await read_frame(reader))
                writer.write(frame([await self._answer(call, held) for call in calls]))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, ValueError, msgspec.MsgspecError, asyncio.CancelledError):
            pass  # the worker has gone, or says what nobody of this version would
        finally:
            self._serving.discard(task)
            for taken in held.values():
                self._meters.settle_now(taken, {}, now=taken.at)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, call: Asked, held: dict[str, Taken]) -> Told:
        match call:
            case Take():
                wanted = charges(call.charges)
                answer = self._meters.take_now(wanted, now=call.now)
                used = await self._used([one for one, _ in call.charges], call.now)
                if isinstance(answer, Short):
                    place = next(n for n, one in enumerate(wanted) if one.meter == answer.meter)
                    return Told(used, place, answer.left, answer.wait)
                places = tuple(one for one in wanted if isinstance(one.meter, Held))
                if places:
                    held[call.token] = Taken(places, call.now)
                return Told(used)
            case Settle():
                held.pop(call.token, None)
                settled = charges(call.charges)
                self._meters.settle_now(Taken(settled, call.at), call.used, now=call.now)
                spent = [self._meters.spent(one.meter) for one in settled]
                return Told([*await self._used([one for one, _ in call.charges], call.now), *spent])
            case Stand():
                return Told(await self._used(call.meters, call.now))
            case Mark():
                highest = self._marks.mark_now(call.session, call.count, window=call.window, now=call.now)
                return Told([] if highest is None else [highest])
            case Hello():
                return Told([self._workers])
            case _:
                assert_never(call)

    async def _used(self, meters: list[tuple[str, str, int, float | None]], now: float) -> list[int]:
        return [use.used for use in await self._meters.standing(tuple(meter(one) for one in meters), now=now)]
