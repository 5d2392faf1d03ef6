"""Retry budgets: how many requests may be asked again of a channel, as a share of those that it was asked first.

Law: time is an argument (seconds, of any one clock that does not run backwards). What counts is the last ten seconds,
to a second; a few retries are always granted, for a share of little is nothing. A retry that is granted is counted, so
`grant` is asked once for each that is really made. Names are of channels, or of whatever else has a budget of its own;
what `retain` does not name is forgotten, refusals apart: those are a counter for metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from fractions import Fraction
from typing import Final

WINDOW: Final = 10
"""Seconds."""
FLOOR: Final = 3.0
"""Retries a second that are granted in any case."""


class _Window:
    """Requests and retries of the last `WINDOW` seconds, a pair of counters for each."""

    __slots__ = ("_second", "asked", "retried")

    def __init__(self) -> None:
        self._second = -1
        self.asked = [0] * WINDOW
        self.retried = [0] * WINDOW

    def place(self, now: float) -> int:
        """The counters of this moment; what has left the window is forgotten."""
        second = int(now)
        if second > self._second:
            for gone in range(min(second - self._second, WINDOW)):
                self.asked[(second - gone) % WINDOW] = self.retried[(second - gone) % WINDOW] = 0
            self._second = second
        return self._second % WINDOW


class Retries:
    """The budgets of one process."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self.refused: Counter[str] = Counter()

    def asked(self, name: str, now: float) -> None:
        """A request was sent there, not being a retry."""
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = _Window()
        window.asked[window.place(now)] += 1

    def grant(self, name: str, share: Fraction | None, now: float, *, floor: float = FLOOR) -> bool:
        """Whether one more retry may be made there; if so it is counted. `share` None grants all."""
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = _Window()
        place = window.place(now)
        if share is not None and sum(window.retried) + 1 > max(floor * WINDOW, float(share) * sum(window.asked)):
            self.refused[name] += 1
            return False
        window.retried[place] += 1
        return True

    def retain(self, names: Collection[str]) -> None:
        """Forget what no table names any more."""
        self._windows = {name: window for name, window in self._windows.items() if name in names}
        self.refused = Counter({name: count for name, count in self.refused.items() if name in names})

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._windows)
