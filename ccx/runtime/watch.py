"""Whether a new table does worse than the one before it: its errors and its first-byte times, for a while after a swap.

Law: pure but for what it remembers; time is an argument, in seconds. What a client did wrong is no error here, nor that
it was refused by a limit or a rule; what the gateway or an upstream failed at is, and so is a request that no route
took. A verdict needs enough requests on both sides, and a difference that chance does not explain.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median
from typing import Final

from ccx.routing.table import Server
from ccx.telemetry.exchange import CLIENT_GONE, Exchange

MIN_REQUESTS: Final = 20
MIN_ERRORS: Final = 5
DEVIATIONS: Final = 3.0
"""More than the two of a single look: this one looks again at every request."""

SAMPLES: Final = 500
BUCKETS: Final = 10


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse a new table may do. `window` in seconds; `error_rate` a share, 0.05 for five points more;
    `first_byte` a factor of the median, 0.5 for half as long again, None for any."""

    window: float
    error_rate: float
    first_byte: float | None = None


@dataclass(slots=True)
class Record:
    """What was seen of one table: requests and errors by tenth of the window, and the latest first-byte times."""

    requests: dict[int, int] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    firsts: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, exchange: Exchange, *, now: float, window: float) -> None:
        """Take a finished request into account."""
        bucket, wrong = int(now / window * BUCKETS), failed(exchange)
        if bucket not in self.requests:
            for gone in [each for each in self.requests if each <= bucket - BUCKETS]:
                del self.requests[gone]
                self.errors.pop(gone, None)
        self.requests[bucket] = self.requests.get(bucket, 0) + 1
        if wrong:
            self.errors[bucket] = self.errors.get(bucket, 0) + 1
        elif exchange.first_byte_seconds is not None:
            self.firsts.append(exchange.first_byte_seconds)

    @property
    def totals(self) -> tuple[int, int]:
        """Requests and errors."""
        return sum(self.requests.values()), sum(self.errors.values())


BUILT_IN: Final = Tolerance(window=120.0, error_rate=0.05)
"""What `server: {rollback: {}}` declares."""


def tolerance_of(server: Server) -> Tolerance | None:
    """What a table declares as `server.rollback`; None if nothing."""
    if server.rollback_window is None:
        return None
    rise = float(Fraction((server.rollback_error_rate or "100%").strip("+%")) / 100)
    longer = server.rollback_first_byte
    return Tolerance(server.rollback_window / 1000, rise, float(longer) if longer is not None else None)


class SwapWatch:
    """Watches one swap at a time. The usual window is remembered of the table in force, to compare the next with."""

    def __init__(self, digest: str, *, window: float = 120.0) -> None:
        self._digest = digest
        self._window = window
        self._record = Record()
        self._before: Record | None = None
        self._tolerance: Tolerance | None = None
        self._until = 0.0

    @property
    def watching(self) -> bool:
        """Whether a swap is being watched."""
        return self._tolerance is not None

    def begin(self, digest: str, tolerance: Tolerance | None, *, now: float) -> None:
        """A new table is in force; with a tolerance it is watched."""
        self._before, self._record, self._digest = self._record, Record(), digest
        self._tolerance = tolerance
        if tolerance is not None:
            self._window = tolerance.window
            self._until = now + tolerance.window

    def seen(self, exchange: Exchange, *, now: float) -> str | None:
        """Take a finished request into account. Says why the new table is to be given up, once; None if it is not."""
        if exchange.digest != self._digest:
            return None
        self._record.add(exchange, now=now, window=self._window)
        tolerance = self._tolerance
        if tolerance is None:
            return None
        if now >= self._until:
            self._tolerance = self._before = None
            return None
        assert self._before is not None  # noqa: S101 - kept while a swap is watched
        found = breach(self._record, self._before, tolerance)
        if found is not None:
            self._tolerance = None
        return found


def breach(record: Record, usual: Record, tolerance: Tolerance, *, than: str = "before") -> str | None:
    """Why a table is to be given up that did so, where another did as usual; None if it is not. `than` says where or
    when the other was."""
    (requests, errors), (before, errors_before) = record.totals, usual.totals
    if requests < MIN_REQUESTS:
        return None
    rate, rate_before = errors / requests, errors_before / before if before else 0.0
    if errors >= MIN_ERRORS and rate - rate_before > tolerance.error_rate:
        together = (errors + errors_before) / (requests + before)
        deviation = math.sqrt(together * (1 - together) * (1 / requests + 1 / max(before, MIN_REQUESTS)))
        if rate - rate_before > DEVIATIONS * deviation:
            return f"{rate:.1%} of its {requests} requests failed, {rate_before:.1%} {than}"
    if tolerance.first_byte is None or min(len(record.firsts), len(usual.firsts)) < MIN_REQUESTS:
        return None
    now, then = median(record.firsts), median(usual.firsts)
    if now > then * (1 + tolerance.first_byte):
        return f"the first byte took {now * 1000:.0f} ms (median), {then * 1000:.0f} ms {than}"
    return None


def failed(exchange: Exchange) -> bool:
    """Whether a request came to nothing by the fault of the table, the gateway or an upstream. That it was shed says
    how many came at once, not which table would have served it."""
    if exchange.status == CLIENT_GONE or exchange.shed is not None:
        return False
    if exchange.status >= 500:
        return True
    if exchange.status == 404 and exchange.route is None:
        return True
    return exchange.status < 400 and exchange.error_kind is not None
