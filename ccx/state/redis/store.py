"""All that replicas share through one Redis: limits, long sessions, responses, kept answers, how targets fare, and who
is there.

Law: nothing here is waited for longer than the declared timeout, and nothing at all while Redis is away. Every replica
says once a second that it is alive, so that each knows by how many to divide should Redis go away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ccx.state.failsafe import FailsafeMeters
from ccx.state.health import Health
from ccx.state.link import Changed, Link, Observe, UnreachableError
from ccx.state.marks import FailsafeMarks
from ccx.state.redis.cache import RedisAnswers
from ccx.state.redis.health import SharedHealth
from ccx.state.redis.keys import Keys
from ccx.state.redis.marks import RedisMarks
from ccx.state.redis.meters import LEASE, RedisMeters
from ccx.state.redis.responses import FailsafeResponses, RedisResponses
from ccx.state.redis.wire import BEAT, RedisWire, Reply, Word, call

BEAT_EVERY: Final = 1.0
GONE_AFTER: Final = 5.0
"""Seconds without a word after which a replica no longer counts."""
CONNECT: Final = 1.0
"""Seconds to connect, scripts and all."""
CONTENT: Final = 4
"""So many times longer the content of responses and kept answers may take."""
GOODBYE: Final = 1.0
"""Seconds at the end to bring out what is not sent yet."""


class RedisStore:
    """Shared state in Redis. `url` gives its address, anew at each attempt to connect; `timeout` is seconds. `observe`
    and `changed` are told how it fares (`ccx.state.link`)."""

    def __init__(
        self,
        url: Callable[[], Awaitable[str]],
        *,
        health: Health | None = None,
        prefix: str = "ccx",
        ca: str | None = None,
        timeout: float = 0.25,
        closed: bool = False,
        observe: Observe | None = None,
        changed: Changed | None = None,
    ) -> None:
        self.name = os.urandom(6).hex()
        self._keys = keys = Keys(prefix)
        self._beat = call(BEAT, [keys.replicas, keys.epoch], self.name, GONE_AFTER, os.urandom(6).hex())
        self._wire = RedisWire(url, ca=ca, greeting=self._beat, patience=timeout)
        self._epoch: bytes | None = None
        self.link: Link[tuple[Word, ...], Reply] = Link(self._wire, timeout=timeout, connect=CONNECT, observe=observe)
        self._meters = RedisMeters(self.link, keys, lease=LEASE)
        self.meters = FailsafeMeters(self._meters, closed=closed)
        self.marks = FailsafeMarks(RedisMarks(self.link, keys))
        self._health = SharedHealth(self.link, keys, health, name=self.name) if health is not None else None
        # What is large goes its own way: a conversation of megabytes must not hold up a limit.
        self._content: Link[tuple[Word, ...], Reply] = Link(
            RedisWire(url, ca=ca, greeting=("EXISTS", keys.epoch), patience=CONTENT * timeout),
            timeout=CONTENT * timeout,
            connect=CONNECT,
        )
        self.responses = FailsafeResponses(RedisResponses(self._content, keys), closed=closed)
        self.answers = RedisAnswers(self._content, keys)
        self.link.changed.append(self._changes)
        if changed is not None:
            self.link.changed.append(changed)

    async def run(self) -> None:
        """Stay connected until cancelled; then bring out what is left, and say goodbye."""
        linked = [asyncio.create_task(link.run()) for link in (self.link, self._content)]
        try:
            await asyncio.gather(*linked, self._live())
        finally:
            with contextlib.suppress(UnreachableError, TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await self.link.ask(("ZREM", self._keys.replicas, self.name))
                    await self.link.drained()
            for task in linked:
                task.cancel()
            await asyncio.gather(*linked, return_exceptions=True)

    async def ready(self) -> None:
        """Wait, while the process starts, until Redis is there or is known not to be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT):
                await self.link.tried()

    def describe(self) -> dict[str, Any]:
        """For the status of the gateway."""
        record, now = self.link.record, asyncio.get_running_loop().time()
        return {
            "kind": "redis",
            "up": record.up,
            "seconds": round(now - record.since, 1) if record.since else None,
            "why": record.why or None,
            "mode": self.meters.mode,
            "replicas": self.meters.sharing,
            "round_trip_seconds": round(record.seconds, 6) if record.seconds is not None else None,
            "errors": dict(record.errors),
        }

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(BEAT_EVERY)
            try:
                self._hears(await self.link.ask(self._beat))
                if loop.time() - renewed >= LEASE / 3:
                    renewed = loop.time()
                    self._meters.renew(time.time())
                if self._health is not None:
                    await self._health.round(now=loop.time(), unix=time.time())
            except UnreachableError:
                continue
            except Exception:  # noqa: BLE001 - whatever another version has told of targets, limits go on
                self.link.record.errors["internal"] = self.link.record.errors.get("internal", 0) + 1

    def _changes(self, up: bool, why: str) -> None:
        if up:
            self._hears(self._wire.greeted)
            with contextlib.suppress(UnreachableError):
                self._meters.renew(time.time())

    def _hears(self, reply: Reply) -> None:
        count, epoch, _ = reply
        self.meters.sharing = max(1, count)
        if self._epoch not in (None, epoch):
            self.meters.forgotten = True
            if self._health is not None:
                self._health.retell()
        self._epoch = epoch
