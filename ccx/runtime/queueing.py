"""Waiting for channels at their limits: the queues of one process, and what wakes those who wait in them.

Laws
- Only who has the turn asks the meters; what they say is what counts, so a limit is never exceeded by waiting. Others
  that come meanwhile do not pass by: where somebody waits, a newcomer is not let in before.
- Nobody polls where it can be told: a place that is given back wakes who has the turn, a rate says itself when it will
  do, a new table or an operator's order wakes all. Where the meters are shared with other processes, a place may be
  given back elsewhere: there it is asked again after a while, with jitter, by the one who has the turn.
- Whoever waits leaves: served, refused, at its deadline, or with its client. What it leaves wakes the next.
- Queues are kept by channel and survive a swap; one is dropped when it is empty and no table declares it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from ccx.routing import table
from ccx.runtime.metering import Metered, Metering
from ccx.state.meters import Short, Taken
from ccx.state.queue import FairQueue, Place

RefusedWait = Literal["full", "displaced", "too_long", "deadline", "gone", "other"]
"""Why somebody does not wait, or no longer: the queue is full; it made room for another client; the limit says that it
takes longer than may be waited; that time is over; the channel is drained or no longer in the table; its turn came, and
what is at a limit is another thing than the channel."""

ASK_AGAIN: Final = 0.05
"""Seconds after which shared meters are asked again, at first; twice as long each time, up to `ASK_AT_LEAST`."""
ASK_AT_LEAST: Final = 1.0
SHORTEST: Final = 0.001
JITTER: Final = 0.1
"""What is waited longer at most for shared meters than they said, as a share of it."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A turn that was used: with this key of the pool, at the price of what was taken. `others` are the keys that
    are left to try."""

    key: int | None
    taken: Taken | None
    others: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NotNow:
    """A channel is at its limits: one of them, and in how many seconds it can be worth to ask again, where that is
    known. `told`: nothing but time will help, so that before it there is no use."""

    short: Short
    wait: float | None
    told: bool


class _Waiter:
    """The waking of one place."""

    __slots__ = ("displaced", "woken")

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.displaced = False


class _Line:
    """The queue of a channel. `short` is what was last said to who had the turn."""

    __slots__ = ("queue", "short", "waiters")

    def __init__(self, size: int) -> None:
        self.queue = FairQueue(size)
        self.waiters: dict[Place, _Waiter] = {}
        self.short: Short | None = None

    def wake(self, now: float) -> None:
        """Wake who has the turn."""
        holder = self.queue.turn(now)
        if holder is not None:
            self.waiters[holder].woken.set()


class Queueing:
    """The queues of one process. `shared` says whether other processes take from the same meters; `rng` gives numbers
    in [0, 1)."""

    def __init__(self, *, shared: Callable[[], bool], rng: Callable[[], float]) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        """How often one did not wait to its turn, by channel and reason."""
        self._lines: dict[str, _Line] = {}
        self._shared = shared
        self._rng = rng
        self._served: frozenset[str] = frozenset()
        self._limits: dict[str, Metered] | None = None

    def configure(self, *served: tuple[table.RoutingTable, Metering]) -> None:
        """Other tables are in service, the first above the others: its limits are those that count, also for who waits
        already."""
        queues = {one.name: one.queue for each, _ in reversed(served) for one in each.channels if one.enabled}
        self._served = frozenset(queues)
        self._limits = {
            one.name: one
            for _, limits in reversed(served)
            for one in (*limits.channels.values(), *limits.models.values(), *limits.keys.values())
        }
        self.refused = Counter({(c, why): count for (c, why), count in self.refused.items() if c in queues})
        for name, line in tuple(self._lines.items()):
            declared = queues.get(name)
            if declared is not None:
                line.queue.size = declared.size
            self.stir(name)
            self._drop(name, line)

    def latest(self, metered: Metered) -> Metered | None:
        """The limits of the same channel or key as the table in service has them; None where it has none."""
        return metered if self._limits is None else self._limits.get(metered.name)

    def crowded(self, channel: str) -> bool:
        """Whether somebody waits for a channel already."""
        line = self._lines.get(channel)
        return line is not None and len(line.queue) > 0

    def told(self, channel: str) -> Short | None:
        """What was last said to who has the turn at a channel, which holds for all."""
        line = self._lines.get(channel)
        return line.short if line is not None else None

    def released(self, channel: str) -> None:
        """Something that was taken of a channel's limits has been given back."""
        line = self._lines.get(channel)
        if line is not None:
            line.wake(asyncio.get_running_loop().time())

    def stir(self, channel: str) -> None:
        """Something about a channel has changed: all who wait for it look again."""
        line = self._lines.get(channel)
        if line is not None:
            for waiter in line.waiters.values():
                waiter.woken.set()

    def waiting(self) -> dict[str, int]:
        """How many wait, by channel."""
        return {name: len(line.queue) for name, line in self._lines.items()}

    def clients(self, channel: str) -> dict[str, int]:
        """How many of each client wait for a channel; those of no declared client under an empty name."""
        line = self._lines.get(channel)
        return line.queue.clients() if line is not None else {}

    async def wait(
        self,
        channel: str,
        declared: table.Queue,
        *,
        client: str,
        ends: float,
        ask: Callable[[], Awaitable[Granted | NotNow | RefusedWait]],
        drained: Callable[[], bool],
    ) -> Granted | RefusedWait:
        """Wait for a turn and use it. `ends` is the latest time, of the loop's clock; `ask` asks the meters, and what
        it raises ends the wait."""
        found = await self._waited(channel, declared, client=client, ends=ends, ask=ask, drained=drained)
        if not isinstance(found, Granted):
            self.refused[channel, found] += 1
        return found

    async def _waited(
        self,
        channel: str,
        declared: table.Queue,
        *,
        client: str,
        ends: float,
        ask: Callable[[], Awaitable[Granted | NotNow | RefusedWait]],
        drained: Callable[[], bool],
    ) -> Granted | RefusedWait:
        clock = asyncio.get_running_loop().time
        if self._is_gone(channel) or drained():
            return "gone"
        line = self._lines.get(channel)
        if line is None:
            line = self._lines[channel] = _Line(declared.size)
        joined = line.queue.join(client, now=clock(), until=min(clock() + declared.wait / 1000, ends))
        if joined is None:
            return "full"
        place, waiter, served, asked = joined.place, _Waiter(), False, 0
        line.waiters[place] = waiter
        if joined.displaced is not None:
            left = line.waiters[joined.displaced]
            left.displaced = True
            left.woken.set()
        try:
            while True:
                waiter.woken.clear()
                now = clock()
                if waiter.displaced:
                    return "displaced"
                if self._is_gone(channel) or drained():
                    return "gone"
                if now >= place.until:
                    return "deadline"
                due = place.until
                if line.queue.turn(now) is place:
                    found = await ask()
                    if not isinstance(found, NotNow):
                        served = isinstance(found, Granted)
                        return found
                    line.short, now = found.short, clock()
                    if found.told and found.wait is not None and now + found.wait > place.until:
                        return "too_long"
                    due = min(due, now + self._pause(found, asked))
                    asked += 1
                await _until(waiter.woken, due)
        finally:
            line.queue.leave(place, served=served)
            del line.waiters[place]
            line.wake(clock())
            self._drop(channel, line)

    def _is_gone(self, channel: str) -> bool:
        return self._limits is not None and channel not in self._served

    def _pause(self, found: NotNow, asked: int) -> float:
        """Seconds until it is asked again if nothing wakes who has the turn."""
        if not self._shared():
            return max(SHORTEST, found.wait) if found.wait is not None else float("inf")
        again = min(ASK_AT_LEAST, ASK_AGAIN * 2.0 ** min(asked, 10)) * (1.0 + self._rng()) / 2
        if found.wait is None:
            return again
        told = found.wait * (1.0 + JITTER * self._rng())
        return max(SHORTEST, told if found.told else min(told, again))

    def _drop(self, channel: str, line: _Line) -> None:
        if not line.queue and not line.waiters and self._lines.get(channel) is line:
            del self._lines[channel]


async def _until(woken: asyncio.Event, due: float) -> None:
    """Wait to be woken, until a time of the loop's clock at most."""
    try:
        async with asyncio.timeout_at(due):
            await woken.wait()
    except TimeoutError:
        return
