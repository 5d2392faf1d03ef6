"""A circuit breaker: when a target that keeps failing is left alone, for how long, and how it comes back.

    closed --(too many failures)--> open --(time passes)--> half open --(a probe succeeds)--> closed
                                      ^                          |
                                      +------(a probe fails)-----+   each time for twice as long, up to `max_open`

Law: time is an argument (seconds, of any one clock that does not run backwards). Only `failed` and `succeeded` count;
a request that ends without a verdict on the target (the client left, the request was wrong) gives its probe back and
changes nothing. A breaker never stays open by itself: after its time it lets probes through, always.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

State = Literal["closed", "open", "half_open"]
Verdict = Literal["passed", "failed", "neither"]

BUCKETS: Final = 10
"""The sliding window is this many counters; a failure is forgotten at most a tenth of the window early or late."""

RAMP_FLOOR: Final = 0.1
"""The share of its load that a target has right after it has come back."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds, counts, and a share of 0 to 1."""

    window: float = 30.0
    min_requests: int = 10
    error_rate: float = 0.5
    consecutive: int = 5
    open: float = 30.0
    max_open: float = 600.0
    probes: int = 1


class Ticket(NamedTuple):
    """What a request holds while it is under way."""

    era: int
    probe: bool


class Breaker:
    """One breaker. Not thread-safe: it belongs to an event loop."""

    __slots__ = (
        "_bucket",
        "_closed_at",
        "_consecutive",
        "_era",
        "_failed",
        "_passed",
        "_probing",
        "_trips",
        "open_until",
        "settings",
    )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.open_until: float | None = None
        self._passed = [0] * BUCKETS
        self._failed = [0] * BUCKETS
        self._bucket = -1
        self._consecutive = 0
        self._probing = 0
        self._trips = 0
        self._era = 0
        self._closed_at: float | None = None

    def adopt(self, settings: Settings) -> None:
        """Go by other settings from now on. What was counted in another window is forgotten: its buckets are numbered
        by it, and would never leave one of other length."""
        if settings.window != self.settings.window:
            self._passed, self._failed = [0] * BUCKETS, [0] * BUCKETS
            self._bucket = -1
        self.settings = settings

    def state(self, now: float) -> State:
        """What it is at this moment."""
        if self.open_until is None:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def allows(self, now: float) -> bool:
        """Whether a request may be sent. Takes nothing: see `enter`."""
        if self.open_until is None:
            return True
        return now >= self.open_until and self._probing < self.settings.probes

    def enter(self, now: float) -> Ticket:
        """A request is sent. A request that an open breaker would not allow may be sent all the same, where no other
        target is left: that is no probe, and yet an answer to it closes the breaker."""
        probe = self.open_until is not None and now >= self.open_until
        self._probing += probe
        return Ticket(self._era, probe)

    def leave(self, ticket: Ticket, verdict: Verdict, now: float) -> None:
        """That request is over."""
        if ticket.era != self._era:
            return
        self._probing -= ticket.probe
        match verdict:
            case "passed":
                self._passes(now)
            case "failed":
                self._fails(now)
            case "neither":
                pass

    def _passes(self, now: float) -> None:
        self._count(now, self._passed)
        self._consecutive = 0
        if self.open_until is not None:
            self._begin(None)
            self._closed_at = now

    def _fails(self, now: float) -> None:
        self._count(now, self._failed)
        self._consecutive += 1
        if self.open_until is not None:
            if now >= self.open_until:
                self._trip(now)
            return
        failures, total = sum(self._failed), sum(self._failed) + sum(self._passed)
        settings = self.settings
        rate_says = total >= settings.min_requests and failures >= settings.error_rate * total
        if rate_says or self._consecutive >= settings.consecutive:
            self._trip(now)

    def half_open(self, now: float) -> None:
        """Let probes through from now on: something else, an active probe for one, has shown that it may be back."""
        if self.open_until is not None and now < self.open_until:
            self.open_until = now

    def heard(self, until: float) -> None:
        """Somebody else has found the target failing: it is left alone here too, for as long."""
        if self.open_until is None:
            self._begin(until)
            self._closed_at = None
        else:
            self.open_until = max(until, self.open_until)

    def ramp(self, now: float) -> float:
        """The share of its usual load that the target should have: below 1 for one window after it came back."""
        if self._closed_at is None:
            return 1.0
        passed = (now - self._closed_at) / self.settings.window
        if passed >= 1.0:
            return 1.0
        return RAMP_FLOOR + (1.0 - RAMP_FLOOR) * max(passed, 0.0)

    @property
    def remembers(self) -> bool:
        """Whether it is open, or has been lately: whether it has anything to say on where requests go."""
        return self.open_until is not None or self._closed_at is not None

    def idle(self, now: float) -> bool:
        """Whether it remembers nothing that matters, and could as well be made anew."""
        if self.open_until is not None or self._probing or self._level(now):
            return False
        self._turn(now)
        return not any(self._failed) and not self._consecutive and self.ramp(now) == 1.0

    def _trip(self, now: float) -> None:
        self._trips = self._level(now) + 1
        settings = self.settings
        self._begin(now + min(settings.max_open, settings.open * 2.0 ** min(self._trips - 1, 30)))
        self._closed_at = None

    def _begin(self, open_until: float | None) -> None:
        """A new era: what was counted and who is under way belong to the old one."""
        self._era += 1
        self._probing = self._consecutive = 0
        self._passed, self._failed = [0] * BUCKETS, [0] * BUCKETS
        self.open_until = open_until

    def _level(self, now: float) -> int:
        """How often it has opened lately: one less for each stretch of `max_open` spent closed."""
        if self._closed_at is None or not self._trips:
            return self._trips
        return max(0, self._trips - int((now - self._closed_at) / max(self.settings.max_open, 1e-9)))

    def _count(self, now: float, counters: list[int]) -> None:
        self._turn(now)
        counters[self._bucket % BUCKETS] += 1

    def _turn(self, now: float) -> None:
        """Forget what has left the window."""
        bucket = int(now / self.settings.window * BUCKETS)
        if bucket <= self._bucket:
            return
        for gone in range(min(bucket - self._bucket, BUCKETS)):
            place = (bucket - gone) % BUCKETS
            self._passed[place] = self._failed[place] = 0
        self._bucket = bucket
