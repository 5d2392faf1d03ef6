"""The breaker against a list of what happened, and its ways through the states one by one."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ccx.state.breaker import RAMP_FLOOR, Breaker, Settings, Ticket, Verdict

PLAIN = Settings(window=10.0, min_requests=4, error_rate=0.5, consecutive=3, open=5.0, max_open=30.0)


def ask(breaker: Breaker, verdict: Verdict, now: float) -> None:
    breaker.leave(breaker.enter(now), verdict, now)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(PLAIN)
    for _ in range(3):
        ask(breaker, "failed", now)
    return breaker


def test_failures_in_a_row_open() -> None:
    breaker = Breaker(PLAIN)
    for verdict in ("failed", "failed", "passed", "failed"):
        ask(breaker, verdict, 0.0)
    assert breaker.state(0.0) == "open"  # 3 of 4: the rate, not the row
    breaker = Breaker(PLAIN)
    for _ in range(2):
        ask(breaker, "failed", 0.0)
    assert breaker.state(0.0) == "closed"
    ask(breaker, "failed", 0.0)
    assert breaker.state(0.0) == "open"


def test_a_rate_needs_enough_requests_and_the_window() -> None:
    breaker = Breaker(Settings(window=10.0, min_requests=4, error_rate=0.5, consecutive=100))
    for now in (0.0, 0.1, 0.2):
        ask(breaker, "failed", now)
    assert breaker.state(0.2) == "closed"
    ask(breaker, "passed", 11.5)
    assert breaker.state(11.5) == "closed"  # the three failures have left the window


def test_open_probe_and_back() -> None:
    breaker = opened()
    assert not breaker.allows(4.9)
    assert breaker.state(5.0) == "half_open"
    assert breaker.allows(5.0)
    probe = breaker.enter(5.0)
    assert not breaker.allows(5.0)  # one probe at a time
    breaker.leave(probe, "neither", 5.5)
    assert breaker.allows(5.5)  # a probe without a verdict is given back
    ask(breaker, "passed", 6.0)
    assert breaker.state(6.0) == "closed"


def test_each_failed_probe_doubles_the_time_up_to_the_longest() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(5):
        assert breaker.open_until is not None
        waits.append(breaker.open_until - now)
        now = breaker.open_until
        ask(breaker, "failed", now)
    assert waits == [5.0, 10.0, 20.0, 30.0, 30.0]


def test_time_spent_closed_forgives() -> None:
    breaker = opened()
    ask(breaker, "failed", 5.0)  # opens for 10 s
    ask(breaker, "passed", 15.0)
    for _ in range(3):
        ask(breaker, "failed", 16.0)
    assert breaker.open_until == 36.0  # the third time within the forgiving time: 20 s
    ask(breaker, "passed", 36.0)
    for _ in range(3):
        ask(breaker, "failed", 36.0 + 3 * 30.0)
    assert breaker.open_until == 36.0 + 3 * 30.0 + 5.0


def test_what_began_before_it_opened_says_nothing() -> None:
    breaker = Breaker(PLAIN)
    straggler = breaker.enter(0.0)
    for _ in range(3):
        ask(breaker, "failed", 0.0)
    breaker.leave(straggler, "failed", 5.0)
    assert breaker.open_until == 5.0
    breaker.leave(breaker.enter(1.0), "failed", 1.0)  # sent for want of another target
    assert breaker.open_until == 5.0
    straggler = Ticket(0, probe=False)
    breaker.leave(straggler, "passed", 2.0)
    assert breaker.state(2.0) == "open"
    breaker.leave(breaker.enter(2.0), "passed", 2.0)  # likewise sent, and answered
    assert breaker.state(2.0) == "closed"


def test_load_comes_back_slowly() -> None:
    breaker = opened()
    assert breaker.ramp(0.0) == 1.0
    ask(breaker, "passed", 5.0)
    assert breaker.ramp(5.0) == RAMP_FLOOR
    assert breaker.ramp(10.0) == RAMP_FLOOR + (1 - RAMP_FLOOR) / 2
    assert breaker.ramp(15.0) == 1.0


def test_idle_once_there_is_nothing_left_to_remember() -> None:
    breaker = opened()
    ask(breaker, "passed", 5.0)
    assert not breaker.idle(6.0)
    assert not breaker.idle(34.9)
    assert breaker.idle(36.0)


@dataclass
class Naive:
    """What the breaker should be, from the list of all verdicts of the present era, with whole buckets forgotten."""

    settings: Settings
    verdicts: list[tuple[float, bool]] = field(default_factory=list)
    until: float | None = None
    trips: int = 0
    closed_at: float | None = None

    def told(self, passed: bool, now: float) -> None:
        if self.until is not None and passed:
            self.until, self.verdicts, self.closed_at = None, [], now
            return
        if self.until is not None:
            if now >= self.until:
                self.open(now)
            return
        self.verdicts.append((now, passed))
        width = self.settings.window / 10
        inside = [p for at, p in self.verdicts if int(at / width) > int(now / width) - 10]
        failures = inside.count(False)
        row = [p for _, p in self.verdicts][-self.settings.consecutive :]
        if (len(row) == self.settings.consecutive and not any(row)) or (
            len(inside) >= self.settings.min_requests
            and failures >= self.settings.error_rate * len(inside)
            and not passed
        ):
            self.open(now)

    def open(self, now: float) -> None:
        if self.closed_at is not None:
            self.trips = max(0, self.trips - int((now - self.closed_at) / self.settings.max_open))
        self.trips += 1
        self.until = now + min(self.settings.max_open, self.settings.open * 2 ** (self.trips - 1))
        self.verdicts, self.closed_at = [], None


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 1.0, 3.0, 5.0, 40.0]), st.booleans()), max_size=60))
def test_against_the_list(steps: list[tuple[float, bool]]) -> None:
    breaker, naive, now = Breaker(PLAIN), Naive(PLAIN), 0.0
    for wait, passed in steps:
        now += wait
        ask(breaker, "passed" if passed else "failed", now)
        naive.told(passed, now)
        assert breaker.open_until == naive.until
