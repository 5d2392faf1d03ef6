"""The order of attempts, decided purely: given what has failed so far, what is tried next, and after which wait.

Law: never more than the declared attempts; never a start after the deadline; a key or target that failed for good is
not asked again; the same target is asked again only when nothing untried is left, and then after a backoff, and only
if the retry budget has room. Time and randomness come as arguments; nothing here sends anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ccx.routing.decide import Choice, Step
from ccx.routing.table import Failover
from ccx.upstream.outcome import FailureClass, remedy


class Move(NamedTuple):
    """Try this target with this key (an index into its pool, None without keys), after waiting `wait` seconds."""

    choice: Choice
    key: int | None
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class _Failed:
    move: Move
    failure: FailureClass
    retry_after: float | None


class Schedule:
    """One request's attempts. `order` arranges a step's targets and `keys` a target's pool; each is asked once per
    step and target, when its turn comes, so that balancing counts only what is used. `may_retry` says whether a target
    may be asked once more, with another key or after a wait; it is asked once for each time that it would be."""

    def __init__(
        self,
        steps: tuple[Step, ...],
        failover: Failover,
        *,
        order: Callable[[Step], tuple[Choice, ...]],
        keys: Callable[[Choice], tuple[int, ...]],
        random: Callable[[], float],
        started: float,
        may_retry: Callable[[Choice], bool] = lambda _: True,
    ) -> None:
        self._steps = list(steps)
        self._failover = failover
        self._order = order
        self._keys = keys
        self._random = random
        self._may_retry = may_retry
        self._ends = started + failover.deadline / 1000
        self._choices: list[Choice] = []
        self._pool: list[int | None] = []
        self._choice: Choice | None = None
        self._again: list[_Failed] = []
        self._round = 0
        self._stands = False
        self.made = 0

    @property
    def ends(self) -> float:
        """The deadline for the first byte, on the clock of `started`."""
        return self._ends

    def renew(self, now: float) -> None:
        """The deadline counts from now on: the first byte is out, and another is waited for."""
        self._ends = now + self._failover.deadline / 1000

    def first(self) -> Move | None:
        """The first attempt; None if there is no target."""
        return self._fresh()

    def instead(self, *, other_key: bool = False) -> Move | None:
        """The next untried target, in place of one that turned out unable to serve: it was not asked and counts not.
        With `other_key` the next key of the same target comes first."""
        self.made -= 1
        if not other_key:
            self._pool = []
        return self._fresh()

    def beside(self, move: Move) -> Move | None:
        """An attempt to make while this one is under way: the next untried target of another channel."""
        if self.made >= self._failover.attempts:
            return None
        self._pool = []
        passed: list[Choice] = []
        found = self._fresh()
        while found is not None and found.choice.channel.name == move.choice.channel.name:
            self._pool = []
            self.made -= 1
            passed.append(found.choice)
            found = self._fresh()
        self._choices = [*passed, *self._choices]
        return found

    def unmade(self, move: Move) -> None:
        """That attempt is not made after all; its target is the next again."""
        self.made -= 1
        self._pool = []
        self._choices.insert(0, move.choice)

    def failed(self, move: Move, failure: FailureClass, *, retry_after: float | None) -> None:
        """One of two attempts that were made side by side has failed; the other is told to `after`."""
        if remedy(failure).same_target and failure in self._failover.on:
            self._again.append(_Failed(move, failure, retry_after))

    def after(
        self, move: Move, failure: FailureClass, *, retry_after: float | None, now: float, untried: bool = False
    ) -> Move | None:
        """The attempt after this one failed; None when the failure stands. With `untried` there is a target that could
        be waited for: None too where nothing is left but to ask again; then that is asked of `again`."""
        if failure not in self._failover.on or self.made >= self._failover.attempts or now >= self._ends:
            self._stands = True
            return None
        what = remedy(failure)
        if what.same_target:
            self._again.append(_Failed(move, failure, retry_after))
        if not what.other_key or (self._pool and not self._may_retry(move.choice)):
            self._pool = []
        if not what.other_target and not what.other_key:
            self._choices, self._steps, self._stands = [], [], True
        fresh = self._fresh()
        return fresh if fresh is not None or untried else self._retry(now)

    def again(self, now: float) -> Move | None:
        """What is left when nothing untried can serve: to ask a target again that failed in a passing way."""
        return self._retry(now) if self.may_wait(now) else None

    def may_wait(self, now: float) -> bool:
        """Whether, with nothing left to ask at once, a target that was passed over may still be waited for."""
        return not self._stands and self.made < self._failover.attempts and now < self._ends

    def waited(self, choice: Choice, key: int | None, others: tuple[int, ...]) -> Move:
        """A target that was passed over is asked after all, with this key of its pool; `others` are those left."""
        self.made += 1
        self._choice, self._pool = choice, list(others)
        return Move(choice, key)

    def _fresh(self) -> Move | None:
        while not self._pool:
            while not self._choices:
                if not self._steps:
                    return None
                self._choices = list(self._order(self._steps.pop(0)))
            self._choice = self._choices.pop(0)
            self._pool = list(self._keys(self._choice)) or [None]
        assert self._choice is not None  # noqa: S101 - set together with the pool
        self.made += 1
        return Move(self._choice, self._pool.pop(0))

    def _retry(self, now: float) -> Move | None:
        """Ask a target again that failed in a passing way: the one that failed longest ago, after its backoff."""
        policy = self._failover
        while self._again:
            failed = self._again.pop(0)
            wait = min(policy.backoff_max, policy.backoff_initial * 2 ** min(self._round, 20)) / 1000
            if policy.jitter:
                wait *= self._random()
            if failed.retry_after is not None:
                if failed.retry_after > policy.backoff_max / 1000:
                    continue
                wait = max(wait, failed.retry_after)
            if now + wait >= self._ends or not self._may_retry(failed.move.choice):
                continue
            self._round += 1
            self.made += 1
            return Move(failed.move.choice, failed.move.key, wait)
        return None
