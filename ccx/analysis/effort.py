"""How far an analysis may go, and the word for one that went no further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

STATES = 500_000
_BETWEEN_TICKS = 256


@dataclass(frozen=True, slots=True)
class Budget:
    """`states` bounds the steps of one question. `expired` is asked every few hundred steps whether time is up."""

    states: int = STATES
    expired: Callable[[], bool] | None = None


class Unfinished(Exception):
    """The budget ended before the answer was certain. The text says which bound was met."""


@dataclass(slots=True)
class Meter:
    """Counts the steps of one question against its budget."""

    budget: Budget
    states: int = field(default=0)

    def step(self, count: int = 1) -> None:
        """One more state. Raises Unfinished past the budget."""
        before = self.states
        self.states += count
        if self.states > self.budget.states:
            raise Unfinished(f"the comparison needs more than {self.budget.states:,} states")
        expired = self.budget.expired
        if expired is not None and before // _BETWEEN_TICKS != self.states // _BETWEEN_TICKS and expired():
            raise Unfinished(f"the time allowed ended after {self.states:,} states")
