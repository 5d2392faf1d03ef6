"""Who is asked for one request, in which order: balancing over the targets that may be asked now.

Law: what an operator has drained is never asked. What is known to be in trouble is passed over while anything else is
left; when nothing is, the targets in trouble are asked all the same, the one whose trouble ends first before the
others, for a breaker is a guess and the last target's guess must not be the end of a request. What an operator has
promoted goes first. Whether and how often is not decided here: that is the schedule's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from ccx.routing.decide import Choice, Step
from ccx.routing.select import order, pick_key
from ccx.routing.table import Breaker, RoutingTable
from ccx.runtime.live import Live
from ccx.state import breaker
from ccx.state.health import Care, Cause, Health, TargetId
from ccx.state.memory import MemoryState
from ccx.telemetry.exchange import OK
from ccx.upstream.outcome import REMEDIES

_CAUSES: Mapping[str, Cause] = {"rate_limit": "rate_limit", "auth": "auth", "quota": "quota"}


class Selector:
    """The order of targets and keys for one request. `now` is the clock of `health`, in seconds."""

    def __init__(
        self,
        live: Live,
        *,
        state: MemoryState,
        health: Health,
        now: Callable[[], float],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._live = live
        self._state = state
        self._health = health
        self._now = now
        self._rng = rng

    def steps(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The steps to take: without drained targets, promoted ones first, and those in trouble only if all are."""
        health = self._health
        if all(health.well(choice.channel.name) for step in steps for choice in step.choices):
            return steps
        now = self._now()
        orders = {c.channel.name: health.override(c.channel.name, now) for step in steps for c in step.choices}
        drained = {name for name, said in orders.items() if said is not None and said.order == "drain"}
        promoted = {name for name, said in orders.items() if said is not None and said.order == "promote"}
        steps = _without(steps, lambda choice: choice.channel.name in drained)
        if promoted:
            first = _without(steps, lambda choice: choice.channel.name not in promoted)
            steps = (*first, *_without(steps, lambda choice: choice.channel.name in promoted))
        usable = _without(steps, lambda choice: not self._usable(choice, now))
        if usable:
            return usable
        choices = [choice for step in steps for choice in step.choices]
        ordered = sorted(choices, key=lambda choice: self._ends(choice, now))
        return tuple(Step((choice,), "priority", "none", f"{choice.channel.name}#") for choice in ordered)

    def arranged(self, step: Step) -> tuple[Choice, ...]:
        """The targets of a step in the order to ask them. A target that has just come back has its turn less often."""
        choices = order(step, view=self._state, rng=self._rng)
        if len(choices) < 2 or step.balance == "priority" or self._health.well(choices[0].channel.name):
            return choices
        now, first = self._now(), choices[0]
        ramp = max(self._health.ramp(target, now) for target in self._targets(first))
        return (*choices[1:], first) if ramp < 1.0 and self._rng() >= ramp else choices

    def keys(self, choice: Choice) -> tuple[int, ...]:
        """Indices of the keys to try at a target, in order."""
        upstream = self._live.upstreams[choice.channel.name]
        keys = tuple((key.fingerprint, key.weight) for key in upstream.keys)
        if self._health.well(choice.channel.name):
            return pick_key(upstream.channel, keys, view=self._state)
        now, targets = self._now(), self._targets(choice)
        in_trouble = [self._health.trouble(target, now) for target in targets]
        if all(in_trouble):
            ends = {place: found.until for place, found in enumerate(in_trouble) if found is not None}
            return tuple(
                sorted((place for place in ends if keys and keys[place][1] > 0), key=lambda place: ends[place])
            )
        weights = tuple((print_, 0 if in_trouble[place] else weight) for place, (print_, weight) in enumerate(keys))
        return pick_key(upstream.channel, weights, view=self._state)

    def target(self, choice: Choice, key: int | None) -> TargetId:
        """The target of an attempt, as its health is kept."""
        upstream = self._live.upstreams[choice.channel.name]
        fingerprint = upstream.keys[key].fingerprint if key is not None else None
        return TargetId(choice.channel.name, choice.surface.protocol.value, fingerprint)

    def _targets(self, choice: Choice) -> list[TargetId]:
        keys = self._live.upstreams[choice.channel.name].keys
        return [self.target(choice, place) for place in range(len(keys))] or [self.target(choice, None)]

    def _usable(self, choice: Choice, now: float) -> bool:
        if self._health.well(choice.channel.name):
            return True
        weights = [key.weight for key in self._live.upstreams[choice.channel.name].keys] or [1]
        return any(
            weight > 0 and self._health.trouble(target, now) is None
            for target, weight in zip(self._targets(choice), weights, strict=True)
        )

    def _ends(self, choice: Choice, now: float) -> float:
        found = (self._health.trouble(target, now) for target in self._targets(choice))
        return min((trouble.until for trouble in found if trouble is not None), default=now)


def verdict_of(outcome: str) -> tuple[breaker.Verdict, Cause | None]:
    """What an attempt's outcome says of its target, and of its key: only their own faults count."""
    if outcome == OK:
        return "passed", None
    found = REMEDIES.get(outcome)  # type: ignore[call-overload]  # an outcome may be none of the classes: cancelled
    return "failed" if found is not None and found.blame == "upstream" else "neither", _CAUSES.get(outcome)


def cares(table: RoutingTable) -> dict[str, Care]:
    """What a table declares on health, by channel."""
    return {channel.name: Care(_settings(channel.breaker)) for channel in table.channels}


def _settings(declared: Breaker | None) -> breaker.Settings | None:
    if declared is None:
        return None
    return breaker.Settings(
        window=declared.window / 1000,
        min_requests=declared.min_requests,
        error_rate=float(declared.error_rate),
        consecutive=declared.consecutive,
        open=declared.open / 1000,
        max_open=declared.max_open / 1000,
        probes=declared.probes,
    )


def _without(steps: tuple[Step, ...], left_out: Callable[[Choice], bool]) -> tuple[Step, ...]:
    """The steps with some targets left out, and without the steps that are then empty."""
    kept = (replace(step, choices=tuple(c for c in step.choices if not left_out(c))) for step in steps)
    return tuple(step for step in kept if step.choices)
