"""Meters in Redis: what any replica takes is gone for all.

Law: a take is one script in one round trip, all or nothing, by the server's clock, since those of replicas differ. It
behaves as `MemoryMeters` does (tests/state/conformance.py), but for places that are held: those are leased, and renewed
while their holder lives, so that what a dead replica held comes back after `lease` seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Mapping
from typing import Final, assert_never

from ccx.state.link import Link, UnreachableError
from ccx.state.meters import Charge, Held, Meter, OnSpent, Rate, Short, Sum, Taken, Use, tell
from ccx.state.redis.keys import Keys
from ccx.state.redis.wire import RENEW, SETTLE, STANDING, TAKE, Reply, Word, call

LEASE: Final = 15.0
"""Seconds after which the places of a replica that died are free."""
RENEWED_TOGETHER: Final = 500


class RedisMeters:
    """The meters of all replicas with one prefix. `clock` gives the time in tests; None is the server's."""

    def __init__(
        self,
        link: Link[tuple[Word, ...], Reply],
        keys: Keys,
        *,
        lease: float = LEASE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._link = link
        self._keys = keys
        self._lease = lease
        self._clock = clock
        self._serial = itertools.count()
        self._name = os.urandom(6).hex()
        self._held: dict[str, Taken] = {}
        self.on_spent: OnSpent | None = None

    @property
    def up(self) -> bool:
        """Whether it can be asked at the moment, as far as is known."""
        return self._link.up

    async def take(self, charges: tuple[Charge, ...], *, now: float) -> Taken | Short:
        """See `Meters`. Raises UnreachableError."""
        return (await self.charge(charges, now=now))[0]

    async def charge(self, charges: tuple[Charge, ...], *, now: float) -> tuple[Taken | Short, tuple[int, ...]]:
        """Take, and also say what is used of each meter now. Raises UnreachableError, and then may have taken or not:
        what it holds lapses, the estimates stand."""
        token = f"{self._name}:{next(self._serial)}"
        arguments: list[Word] = [self._time(), token, self._lease]
        for one in charges:
            arguments += [*_described(one.meter), one.amount]
        taken = Taken(charges, now, token)
        future = self._link.submit(call(TAKE, [self._keys.meter(c.meter.id) for c in charges], *arguments))
        try:
            reply = await asyncio.shield(future)
        except asyncio.CancelledError:
            # What is taken for somebody who has left is given back when it is known.
            future.add_done_callback(lambda done: self._give_back(taken, done))
            raise
        if reply[0]:
            if any(isinstance(one.meter, Held) for one in charges):
                self._held[token] = taken
            return taken, tuple(reply[1:])
        _, place, left, wait, *used = reply
        return Short(charges[place - 1].meter, left, float(wait) if wait else None), tuple(used)

    async def settle(self, taken: Taken, used: Mapping[str, int], *, now: float) -> None:
        """See `Meters`. Raises UnreachableError. Once begun it is done, whether or not anybody waits for it."""
        reply = await asyncio.shield(self.settling(taken, used))
        tell(self.on_spent, taken.charges, reply[len(taken.charges) :])

    def settling(
        self, taken: Taken, used: Mapping[str, int], *, least: Mapping[str, int] | None = None
    ) -> asyncio.Future[Reply]:
        """Settle, before everything that is asked later. The future gets what is used of each meter, and then what is
        spent of each. `least` is what is known to have been used of a meter, should the server not know. Raises
        UnreachableError."""
        self._held.pop(taken.token, None)
        arguments: list[Word] = [self._time(), taken.token]
        for one in taken.charges:
            actual = 0 if isinstance(one.meter, Held) else used.get(one.meter.id, one.amount)
            known = least.get(one.meter.id) if least is not None else None
            arguments += [*_described(one.meter), one.amount, actual, "" if known is None else known]
        return self._link.submit(call(SETTLE, [self._keys.meter(c.meter.id) for c in taken.charges], *arguments))

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        """See `Meters`. Raises UnreachableError."""
        if not meters:
            return ()
        kinds = [_described(meter)[0] for meter in meters]
        asked = call(STANDING, [self._keys.meter(meter.id) for meter in meters], self._time(), *kinds)
        reply = await self._link.ask(asked)
        return tuple(Use(meter, used) for meter, used in zip(meters, reply, strict=True))

    def renew(self, now: float) -> None:
        """Keep what this process holds: to be called several times in a lease. Raises UnreachableError."""
        places: dict[str, list[str]] = {}
        for taken in self._held.values():
            for place, one in enumerate(taken.charges, 1):
                meter = one.meter
                if isinstance(meter, Held) and now - taken.at < meter.longest:
                    held = places.setdefault(meter.id, [])
                    held += [f"{taken.token}:{place}:{number}" for number in range(1, one.amount + 1)]
        for id_, held in places.items():
            for first in range(0, len(held), RENEWED_TOGETHER):
                some = held[first : first + RENEWED_TOGETHER]
                self._link.submit(call(RENEW, [self._keys.meter(id_)], self._time(), self._lease, *some))

    @property
    def holding(self) -> int:
        """How many takes of this process hold a place."""
        return len(self._held)

    def _time(self) -> Word:
        return "" if self._clock is None else repr(self._clock())

    def _give_back(self, taken: Taken, done: asyncio.Future[Reply]) -> None:
        if done.cancelled() or done.exception() is not None or not done.result()[0]:
            return
        try:
            self.settling(taken, {one.meter.id: 0 for one in taken.charges})
        except UnreachableError:
            return  # the estimates stand, what is held lapses


def _described(meter: Meter) -> tuple[Word, Word, Word]:
    match meter:
        case Rate(_, capacity, seconds):
            return "R", capacity, repr(seconds)
        case Held(_, capacity, longest):
            return "H", capacity, repr(longest)
        case Sum(_, capacity, ends):
            return "S", capacity, "" if ends is None else repr(ends)
        case _:
            assert_never(meter)
