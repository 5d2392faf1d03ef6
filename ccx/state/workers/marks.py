"""Marks that a worker's parent keeps for all workers of a port (`ccx.state.workers.server`)."""

from __future__ import annotations

from ccx.state.link import Link
from ccx.state.workers.frames import Asked, Mark, Told


class WorkersMarks:
    """The marks of all workers."""

    def __init__(self, link: Link[Asked, Told]) -> None:
        self._link = link

    async def mark(self, session: bytes, count: int | None, *, window: float, now: float) -> int | None:
        """See `Marks`. Raises UnreachableError."""
        answer = await self._link.ask(Mark(session, count, window, now))
        return answer.used[0] if answer.used else None
