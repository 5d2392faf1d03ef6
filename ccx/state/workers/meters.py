"""Meters that a worker's parent keeps (`ccx.state.workers.server`), behind a link that keeps no request waiting."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ccx.state.failsafe import FailsafeMeters
from ccx.state.link import Changed, Link, Observe, UnreachableError, WireError
from ccx.state.marks import FailsafeMarks
from ccx.state.meters import Charge, Held, Meter, OnSpent, Short, Taken, Use, tell
from ccx.state.workers.frames import Asked, Hello, Settle, Stand, Take, Told, described, frame, read_frame, told
from ccx.state.workers.marks import WorkersMarks

CONNECT = 1.0
ANSWER = 0.25


class SocketWire:
    """A connection to the parent."""

    def __init__(self, path: Path) -> None:
        self.workers = 1
        self._path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """See `Wire`."""
        await self.close()
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        (answer,) = await self.exchange([Hello()])
        self.workers = max(1, answer.used[0])

    async def exchange(self, asked: Sequence[Asked], /) -> Sequence[Told]:
        """See `Wire`."""
        reader, writer = self._reader, self._writer
        if reader is None or writer is None:
            raise WireError("lost", "not connected")
        try:
            writer.write(frame(list(asked)))
            await writer.drain()
            return told.decode(await read_frame(reader))
        except (asyncio.IncompleteReadError, ValueError, msgspec.MsgspecError) as error:
            raise WireError("lost", "the parent has closed the connection") from error

    async def close(self) -> None:
        """See `Wire`."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class WorkersMeters:
    """Meters that all workers share (`ccx.state.failsafe.SharedMeters`)."""

    def __init__(self, link: Link[Asked, Told]) -> None:
        self._link = link
        self._name = f"{os.getpid()}-{os.urandom(3).hex()}"
        self._serial = itertools.count()
        self.on_spent: OnSpent | None = None

    @property
    def up(self) -> bool:
        """Whether the parent answers."""
        return self._link.up

    async def take(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        """See `Meters`. Raises UnreachableError."""
        return (await self.charge(charges, now=now))[0]

    async def charge(self, charges: tuple[Charge, ...], *, now: float) -> tuple[Taken | Short, tuple[int, ...]]:
        """See `SharedMeters`."""
        token = f"{self._name}:{next(self._serial)}"
        taken = Taken(charges, now, token)
        future = self._link.submit(Take(token, [(described(one.meter), one.amount) for one in charges], now))
        try:
            answer = await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: self._give_back(taken, done))
            raise
        if answer.short is not None:
            return Short(charges[answer.short].meter, answer.left, answer.wait), tuple(answer.used)
        return taken, tuple(answer.used)

    def settling(
        self, taken: Taken, used: Mapping[str, int], *, least: Mapping[str, int] | None = None
    ) -> asyncio.Future[list[int]]:
        """See `SharedMeters`. A parent forgets nothing while it lives, and no worker outlives it: `least` is idle."""
        said = [(described(one.meter), one.amount) for one in taken.charges]
        future = self._link.submit(Settle(taken.token, said, taken.at, dict(used), self._now()))
        result: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: _pass_on(done, result))
        return result

    async def settle(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        """See `Meters`. Raises UnreachableError."""
        found = await asyncio.shield(self.settling(taken, used))
        tell(self.on_spent, taken.charges, found[len(taken.charges) :])

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        """See `Meters`. Raises UnreachableError."""
        answer = await self._link.ask(Stand([described(meter) for meter in meters], now))
        return tuple(Use(meter, used) for meter, used in zip(meters, answer.used, strict=True))

    _now: Callable[[], float] = staticmethod(time.time)

    def _give_back(self, taken: Taken, done: asyncio.Future[Told]) -> None:
        if done.cancelled() or done.exception() is not None or done.result().short is not None:
            return
        with contextlib.suppress(UnreachableError):
            self.settling(taken, {one.meter.id: 0 for one in taken.charges if not isinstance(one.meter, Held)})


class WorkersState:
    """What a worker shares with the others of its port (`ccx.runtime.gateway.Shared`)."""

    def __init__(self, path: Path, *, observe: Observe | None = None, changed: Changed | None = None) -> None:
        self._wire = SocketWire(path)
        self.link: Link[Asked, Told] = Link(self._wire, timeout=ANSWER, connect=CONNECT, observe=observe)
        self.meters = FailsafeMeters(WorkersMeters(self.link))
        self.marks = FailsafeMarks(WorkersMarks(self.link))
        self.link.changed.append(self._changes)
        if changed is not None:
            self.link.changed.append(changed)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        linked = asyncio.create_task(self.link.run())
        try:
            await asyncio.shield(linked)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CONNECT):
                    await self.link.drained()
            linked.cancel()
            await asyncio.gather(linked, return_exceptions=True)

    async def ready(self) -> None:
        """Wait, while the process starts, until the parent has answered or is known not to."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT):
                await self.link.tried()

    def describe(self) -> dict[str, Any]:
        """For the status of the gateway."""
        record = self.link.record
        return {
            "kind": "workers",
            "up": record.up,
            "why": record.why or None,
            "mode": self.meters.mode,
            "replicas": self.meters.sharing,
            "round_trip_seconds": round(record.seconds, 6) if record.seconds is not None else None,
            "errors": dict(record.errors),
        }

    def _changes(self, up: bool, why: str) -> None:
        if up:
            self.meters.sharing = self._wire.workers


def _pass_on(done: asyncio.Future[Told], to: asyncio.Future[list[int]]) -> None:
    if to.done():
        return
    error = done.exception()
    if error is not None:
        to.set_exception(error)
        to.exception()  # seen: nobody may wait for it
    else:
        to.set_result(done.result().used)
