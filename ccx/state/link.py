"""The way to a store that is shared: one connection, everything that is asked in a moment sent together, and an end to
the waiting.

Laws
- Nobody waits longer than `timeout` for an answer, and nobody at all while the store is away: `submit` fails at once.
- What is submitted is sent in order. While one batch is under way the next gathers, so that a busy process makes fewer
  round trips instead of queueing for connections.
- A batch is sent once. Whether one that was not answered has had its effect nobody knows: whoever asked must be able to
  live with either.
- It comes back by itself: the connection is tried again for ever, at growing intervals.

It knows nothing of what it carries. It belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

BATCH: Final = 512
"""Calls sent together at most."""
WAITING: Final = 20_000
"""Calls that may wait for a batch under way; beyond that the store is as good as away."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts to connect, doubling from the first to the longest."""

AskedT = TypeVar("AskedT")
ToldT = TypeVar("ToldT")
AskedT_contra = TypeVar("AskedT_contra", contravariant=True)
ToldT_co = TypeVar("ToldT_co", covariant=True)


class UnreachableError(Exception):
    """A store did not answer, or not in time."""


class WireError(Exception):
    """A connection that is of no more use. `kind` is one of a few words, for a metric."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Wire(Protocol[AskedT_contra, ToldT_co]):
    """A connection. Its methods raise WireError or OSError, and may be cancelled; after either only `close` is
    called, or `connect` again."""

    async def connect(self) -> None:
        """Connect, and make everything ready."""

    async def exchange(self, asked: Sequence[AskedT_contra], /) -> Sequence[ToldT_co]:
        """Send all of these, and return the answers in their order."""

    async def close(self) -> None:
        """Let go of the connection, however it is. Never raises."""


@dataclass(slots=True)
class Record:
    """How a link fares, for status and metrics. `since` is when it last went up or down, by the clock of the loop."""

    up: bool = False
    since: float = 0.0
    why: str = "not connected yet"
    errors: dict[str, int] = field(default_factory=dict)
    seconds: float | None = None
    """How long the latest round trip took."""


Observe = Callable[[float], None]
Changed = Callable[[bool, str], None]


class Link(Generic[AskedT, ToldT]):
    """`observe` is told the seconds of each round trip, `changed` when the store comes and goes, and why."""

    def __init__(
        self,
        wire: Wire[AskedT, ToldT],
        *,
        timeout: float = 0.25,
        connect: float = 1.0,
        observe: Observe | None = None,
        changed: Changed | None = None,
    ) -> None:
        self.record = Record()
        self.changed: list[Changed] = [changed] if changed is not None else []
        self._wire = wire
        self._timeout = timeout
        self._connect = connect
        self._observe = observe
        self._waiting: deque[tuple[AskedT, asyncio.Future[ToldT]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._tried = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether the store answers, as far as is known."""
        return self.record.up

    def submit(self, asked: AskedT) -> asyncio.Future[ToldT]:
        """Ask. The future gets the answer or UnreachableError; to cancel it does not take back what was asked.

        Raises UnreachableError where the store is known to be away.
        """
        if not self.record.up or len(self._waiting) >= WAITING:
            raise UnreachableError(self.record.why)
        future: asyncio.Future[ToldT] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        self._idle.clear()
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        return future

    async def ask(self, asked: AskedT) -> ToldT:
        """Ask and wait. Raises UnreachableError."""
        return await self.submit(asked)

    async def tried(self) -> None:
        """Wait until it is known for the first time whether the store is there."""
        await self._tried.wait()

    async def drained(self) -> None:
        """Wait until everything that was asked is answered or given up."""
        await self._idle.wait()

    async def run(self) -> None:
        """Connect, carry, connect again; until cancelled."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        try:
            while True:
                try:
                    async with asyncio.timeout(self._connect):
                        await self._wire.connect()
                    pause = FIRST_PAUSE
                    self._rises(loop.time())
                    await self._carry()
                except (WireError, OSError) as error:
                    self._falls(error, loop.time())
                    await self._wire.close()
                self._tried.set()
                # Of many replicas that lost the store at once, not all come back at once.
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret hangs on it
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self._fail("stopped")
            with contextlib.suppress(Exception):
                await self._wire.close()

    async def _carry(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._waiting:
                self._idle.set()
                self._wake = loop.create_future()
                await self._wake
                self._wake = None
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            begun = loop.time()
            try:
                async with asyncio.timeout(self._timeout):
                    answers = await self._wire.exchange([asked for asked, _ in batch])
            except BaseException:
                _give_up(batch, "no answer")
                raise
            self.record.seconds = seconds = loop.time() - begun
            if self._observe is not None:
                self._observe(seconds)
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    def _rises(self, now: float) -> None:
        self.record.up, self.record.since, self.record.why = True, now, ""
        self._tried.set()
        for changed in self.changed:
            changed(True, "")

    def _falls(self, error: WireError | OSError, now: float) -> None:
        was = self.record.up
        kind = error.kind if isinstance(error, WireError) else "timeout" if isinstance(error, TimeoutError) else "lost"
        self.record.errors[kind] = self.record.errors.get(kind, 0) + 1
        why = str(error) or ("no answer in time" if kind == "timeout" else type(error).__name__)
        first = not was and not self._tried.is_set()
        self._fail(why)
        if was or first:
            self.record.since = now
            for changed in self.changed:
                changed(False, why)

    def _fail(self, why: str) -> None:
        self.record.up, self.record.why = False, why
        waiting, self._waiting = list(self._waiting), deque()
        _give_up(waiting, why)
        self._idle.set()


def _give_up(batch: Sequence[tuple[AskedT, asyncio.Future[ToldT]]], why: str) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(UnreachableError(why))
            future.exception()  # seen: whoever asked may have left
