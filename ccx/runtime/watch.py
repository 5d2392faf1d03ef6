"""Whether a new table does worse than the one before it: its errors and its first-byte times, for a while after a swap.

Law: pure but for what it remembers; time is an argument, in seconds. What a client did wrong is no error here, nor that
it was refused by a limit or a rule; what the gateway or an upstream failed at is, and so is a request that no route
took. A verdict needs enough requests on both sides, and a difference that chance does not explain.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

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
class _Record:
    """What was seen of one table: requests and errors by tenth of the window, and the latest first-byte times."""

    requests: dict[int, int] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    firsts: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def add(self, bucket: int, *, failed: bool, first: float | None) -> None:
        if bucket not in self.requests:
            for gone in [each for each in self.requests if each <= bucket - BUCKETS]:
                del self.requests[gone]
                self.errors.pop(gone, None)
        self.requests[bucket] = self.requests.get(bucket, 0) + 1
        if failed:
            self.errors[bucket] = self.errors.get(bucket, 0) + 1
        elif first is not None:
            self.firsts.append(first)

    @property
    def totals(self) -> tuple[int, int]:
        return sum(self.requests.values()), sum(self.errors.values())


class SwapWatch:
    """Watches one swap at a time. The usual window is remembered of the table in force, to compare the next with."""

    def __init__(self, digest: str, *, window: float = 120.0) -> None:
        self._digest = digest
        self._window = window
        self._record = _Record()
        self._before: _Record | None = None
        self._tolerance: Tolerance | None = None
        self._until = 0.0

    @property
    def watching(self) -> bool:
        """Whether a swap is being watched."""
        return self._tolerance is not None

    def begin(self, digest: str, tolerance: Tolerance | None, *, now: float) -> None:
        """A new table is in force; with a tolerance it is watched."""
        self._before, self._record, self._digest = self._record, _Record(), digest
        self._tolerance = tolerance
        if tolerance is not None:
            self._window = tolerance.window
            self._until = now + tolerance.window

    def seen(self, exchange: Exchange, *, now: float) -> str | None:
        """Take a finished request into account. Says why the new table is to be given up, once; None if it is not."""
        if exchange.digest != self._digest:
            return None
        bucket = int(now / self._window * BUCKETS)
        self._record.add(bucket, failed=failed(exchange), first=exchange.first_byte_seconds)
        tolerance = self._tolerance
        if tolerance is None:
            return None
        if now >= self._until:
            self._tolerance = self._before = None
            return None
        breach = self._breach(tolerance)
        if breach is not None:
            self._tolerance = None
        return breach

    def _breach(self, tolerance: Tolerance) -> str | None:
        assert self._before is not None  # noqa: S101 - kept while a swap is watched
        (requests, errors), (before, errors_before) = self._record.totals, self._before.totals
        if requests < MIN_REQUESTS:
            return None
        rate, usual = errors / requests, errors_before / before if before else 0.0
        if errors >= MIN_ERRORS and rate - usual > tolerance.error_rate:
            together = (errors + errors_before) / (requests + before)
            deviation = math.sqrt(together * (1 - together) * (1 / requests + 1 / max(before, MIN_REQUESTS)))
            if rate - usual > DEVIATIONS * deviation:
                return f"{rate:.1%} of its {requests} requests failed, {usual:.1%} before"
        firsts, firsts_before = self._record.firsts, self._before.firsts
        if tolerance.first_byte is None or min(len(firsts), len(firsts_before)) < MIN_REQUESTS:
            return None
        now, then = median(firsts), median(firsts_before)
        if now > then * (1 + tolerance.first_byte):
            return f"the first byte took {now * 1000:.0f} ms (median), {then * 1000:.0f} ms before"
        return None


def failed(exchange: Exchange) -> bool:
    """Whether a request came to nothing by the fault of the table, the gateway or an upstream."""
    if exchange.status == CLIENT_GONE:
        return False
    if exchange.status >= 500:
        return True
    if exchange.status == 404 and exchange.route is None:
        return True
    return exchange.status < 400 and exchange.error_kind is not None
