"""Shedding: how many new requests a process takes while it cannot keep up, decided from how late its event loop runs
and from its memory.

Laws
- What is limited is how many requests begin in a second, not how many are under way: a stream that waits for its
  upstream costs nothing and must keep nobody out. What is measured is how long work waits in this process.
- Only what lasts is overload. A collection of garbage or one blocking moment makes one sample late; it takes
  `SUSTAINED` in a row, over `PATIENCE` seconds. Below `FLOOR` requests a second nothing is ever shed for lag, and for
  memory nothing while no more than `FEW` are under way.
- Under overload the limit falls to a share of what was admitted, again and again; without, it rises by steps until
  nobody has been shed for a while, and is gone. So the process finds out by itself that the overload is over: some are
  always let in.
- Time is an argument: seconds of any one clock that does not run backwards.

The limit on admissions that follows the waiting time of work in the server itself is that of DAGOR (Zhou et al.,
"Overload Control for Scaling WeChat Microservices", SoCC 2018, https://arxiv.org/abs/1806.04075); additive increase and
multiplicative decrease are as in Netflix's concurrency-limits (https://github.com/Netflix/concurrency-limits), and that
a queue counts only when it stands, the least of a time being what is looked at, is CoDel's (RFC 8289, section 3.2).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

Reason = Literal["lag", "memory"]

SUSTAINED: Final = 3
"""Samples in a row."""
PATIENCE: Final = 1.0
"""Seconds since the last sample that was in order."""
STEP: Final = 0.5
"""Seconds between two changes of the limit, and between two measurements of what is admitted."""
BACKOFF: Final = 0.7
"""What is left of the limit after a step under overload."""
GROWTH: Final = 0.1
"""What the limit grows by in a step without, as a share of what was admitted when the overload began."""
QUIET: Final = 10
"""Steps without overload, and without anybody shed, until the limit is gone."""
FLOOR: Final = 10.0
"""Requests a second that are let in whatever happens."""
FEW: Final = 16
"""Requests under way that cannot be what fills the memory."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is too much: seconds that the loop may be late, bytes that may be resident. None is not looked at."""

    lag: float
    memory: int | None


class Shedding:
    """See the module. `admitted` may be raised by who lets in a request while `limit` is None, which need not ask."""

    def __init__(self) -> None:
        self.limit: float | None = None
        """Requests that may begin in a second; None is any number."""
        self.reason: Reason | None = None
        """Of the limit."""
        self.admitted = 0
        """Since the last measurement."""
        self._late: deque[float] = deque(maxlen=SUSTAINED)
        self._in_a_row: dict[Reason, int] = {"lag": 0, "memory": 0}
        self._fine: dict[Reason, float] = {}
        self._rate = 0.0
        self._measured: float | None = None
        self._stepped = 0.0
        self._onset = FLOOR
        self._tokens = 0.0
        self._filled = 0.0
        self._shed = 0
        self._quiet = 0

    @property
    def standing(self) -> float:
        """Seconds by which the loop has been late all the time of late."""
        return min(self._late, default=0.0)

    def sample(self, now: float, *, lag: float, resident: int | None, bounds: Bounds) -> None:
        """The loop was late by `lag` seconds, and so many bytes are resident, if that is known."""
        self._late.append(lag)
        self._count("lag", lag > bounds.lag, now)
        full = resident is not None and bounds.memory is not None and resident > bounds.memory
        self._count("memory", full, now)
        self._measure(now)
        overload = self._overload(now)
        if overload is not None:
            self._tighten(overload, now)
        elif self.limit is not None and not any(self._in_a_row.values()):
            self._loosen(self.limit, now)

    def admit(self, now: float, *, under_way: int) -> Reason | None:
        """Whether a request may begin: None, or why not."""
        limit = self.limit
        if limit is not None and not (self.reason == "memory" and under_way <= FEW):
            # What arrives while the loop is late arrives together, and that is all that may be saved up.
            most = max(1.0, limit * (STEP + self.standing))
            self._tokens = min(most, self._tokens + (now - self._filled) * limit)
            self._filled = now
            if self._tokens < 1.0:
                self._shed += 1
                return self.reason
            self._tokens -= 1.0
        self.admitted += 1
        return None

    def _count(self, reason: Reason, too_much: bool, now: float) -> None:
        if too_much:
            self._in_a_row[reason] += 1
            self._fine.setdefault(reason, now)
        else:
            self._in_a_row[reason] = 0
            self._fine[reason] = now

    def _overload(self, now: float) -> Reason | None:
        for reason, count in self._in_a_row.items():
            if count >= SUSTAINED and now - self._fine[reason] >= PATIENCE:
                return reason
        return None

    def _measure(self, now: float) -> None:
        if self._measured is None:
            self._measured, self.admitted = now, 0
        elif now - self._measured >= STEP:
            self._rate = self.admitted / (now - self._measured)
            self._measured, self.admitted = now, 0

    def _tighten(self, reason: Reason, now: float) -> None:
        if self.limit is not None and now - self._stepped < STEP:
            return
        if self.limit is None:
            self._onset = max(FLOOR, self._rate)
            self._tokens, self._filled = 0.0, now
        base = self._rate if self.limit is None else min(self.limit, self._rate)
        self.limit = max(FLOOR, BACKOFF * base)
        self.reason = reason
        self._next(now, quiet=0)

    def _loosen(self, limit: float, now: float) -> None:
        if now - self._stepped < STEP:
            return
        quiet = self._quiet + 1 if not self._shed else 0
        if quiet >= QUIET:
            self.limit = self.reason = None
        else:
            self.limit = limit + GROWTH * self._onset
        self._next(now, quiet=quiet)

    def _next(self, now: float, *, quiet: int) -> None:
        self._stepped, self._shed, self._quiet = now, 0, quiet
