"""Marks in Redis: a session that one replica has seen long is long for all.

Law: to note a count and to learn the highest is one script in one round trip, by the server's clock, and is sent with
whatever else is asked in that moment. It behaves as `MemoryMarks` does (tests/state/test_marks.py). What is kept of a
session goes by itself when its last count has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ccx.state.link import Link
from ccx.state.marks import MOST
from ccx.state.redis.keys import Keys
from ccx.state.redis.wire import MARK, Reply, Word, call

_KIND: Final = "mark"


class RedisMarks:
    """The marks of all replicas with one prefix. `clock` gives the time in tests; None is the server's."""

    def __init__(
        self, link: Link[tuple[Word, ...], Reply], keys: Keys, *, clock: Callable[[], float] | None = None
    ) -> None:
        self._link = link
        self._keys = keys
        self._clock = clock

    async def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        """See `Marks`. Raises UnreachableError, and then may have noted the count or not."""
        time: Word = "" if self._clock is None else repr(self._clock())
        noted: Word = "" if count is None else count
        key = self._keys.of(_KIND, session.hex())
        highest: int | None = await self._link.ask(call(MARK, [key], time, repr(window), noted, MOST))
        return highest
