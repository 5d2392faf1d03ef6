"""Marks: the highest token count that each session has shown of late, so that a long conversation stays judged as long.

Laws
- A look gives the highest count noted within the last `window` seconds before it, exactly: what is noted later and is
  at least as high takes the place of what it outlives, so that few are kept of a session.
- Of more than `MOST` counts that fall one after the other, the two latest are kept as one, the higher for the longer
  time: such a session stays long for a little more than the window, never less.
- A session is a digest, so that no id of a client's is kept. At most `SESSIONS` are; those unused for longest go first.
- Time is an argument, in seconds of one clock. It may jump back; what was noted stays in order.

The store is in memory; `ccx.state.redis` and `ccx.state.workers` have one that is shared and behaves alike.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from ccx.state.link import UnreachableError

SESSIONS: Final = 50_000
MOST: Final = 32


class Marks(Protocol):
    """A store of marks."""

    async def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        """Note a count, None to only look. The highest noted before it in the last `window` seconds; None if none
        was."""


class MemoryMarks:
    """The marks of one process."""

    def __init__(self, *, sessions: int = SESSIONS) -> None:
        self._sessions = sessions
        self._kept: OrderedDict[bytes, list[tuple[float, int]]] = OrderedDict()

    async def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        """See `Marks`."""
        return self.mark_now(session, count, window=window, now=now)

    def mark_now(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        """The same without waiting: there is nothing to wait for."""
        found = self._kept.get(session, [])
        if found:
            now = max(now, found[-1][0])
            found[:] = [one for one in found if one[0] > now - window]
        highest = found[0][1] if found else None
        if count is not None:
            _note(found, count, now)
            self._kept[session] = found
            self._kept.move_to_end(session)
            self._forget(now - window)
        elif not found:
            self._kept.pop(session, None)
        return highest

    def clear(self) -> None:
        """Forget all: no table asks any more."""
        self._kept.clear()

    def __len__(self) -> int:
        """How many sessions are known."""
        return len(self._kept)

    def _forget(self, before: float) -> None:
        """Forget the oldest sessions that have ended by then, and those that are too many."""
        while len(self._kept) > self._sessions or next(iter(self._kept.values()))[-1][0] <= before:
            self._kept.popitem(last=False)


def _note(found: list[tuple[float, int]], count: int, now: float) -> None:
    """Add a count to those of a session, which rise in time and fall in number."""
    while found and found[-1][1] <= count:
        found.pop()
    if found and (found[-1][0] >= now or len(found) >= MOST):
        _, count = found.pop()
    found.append((now, count))


class FailsafeMarks:
    """Marks that others share, without which a request is judged by its own count. Never raises, never keeps a request
    waiting for a store that is away."""

    def __init__(self, shared: Marks) -> None:
        self._shared = shared

    async def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        """See `Marks`."""
        try:
            return await self._shared.mark(session, count, window=window, now=now)
        except UnreachableError:
            return None
