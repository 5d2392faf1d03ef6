"""Who is asked for one request, in which order: balancing over the targets that may be asked now.

Law: what an operator has drained is never asked. What is known to be in trouble is passed over while anything else is
left; when nothing is, the targets in trouble are asked all the same, the one whose trouble ends first before the
others, for a breaker is a guess and the last target's guess must not be the end of a request. What an operator or
the spec has promoted goes first. Whether and how often is not decided here: that is the schedule's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, assert_never

from ccx.catalog.models import charge
from ccx.protocols.body import Body
from ccx.protocols.session import prompt_prefix
from ccx.routing import table
from ccx.routing.decide import Choice, Step
from ccx.routing.promotion import promoted_first
from ccx.routing.select import order, pick_key
from ccx.routing.table import Affinity, Breaker, RoutingTable
from ccx.runtime.sticky import scoped, session_key
from ccx.runtime.understand import Request
from ccx.state import breaker
from ccx.state.health import Care, Cause, Cooldown, Health, Period, TargetId
from ccx.state.memory import MemoryState
from ccx.telemetry.exchange import OK
from ccx.upstream.outcome import REMEDIES

BYTES_A_TOKEN: Final = 4
_CAUSES: Mapping[str, Cause] = {"rate_limit": "rate_limit", "auth": "auth", "quota": "quota"}


class Selector:
    """The order of targets and keys for one request. `now` is the clock of `health`, in seconds."""

    def __init__(
        self,
        request: Request,
        *,
        state: MemoryState,
        health: Health,
        now: Callable[[], float],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._request = request
        self._live = request.live
        self._state = state
        self._health = health
        self._now = now
        self._rng = rng

    def steps(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The steps to take: without drained targets, promoted ones first, and those in trouble only if all are."""
        health = self._health
        if health.all_well or all(health.well(choice.channel.name) for step in steps for choice in step.choices):
            return steps
        now = self._now()
        orders = {c.channel.name: health.override(c.channel.name, now) for step in steps for c in step.choices}
        drained = {name for name, said in orders.items() if said is not None and said.order == "drain"}
        promoted = {name for name, said in orders.items() if said is not None and said.order == "promote"}
        steps = _without(steps, lambda choice: choice.channel.name in drained)
        if promoted:
            steps = promoted_first(steps, promoted)
        usable = tuple(kept for step in steps if (kept := self._kept(step, now)).choices)
        if usable:
            return usable
        choices = [choice for step in steps for choice in step.choices]
        ordered = sorted(choices, key=lambda choice: self._ends(choice, now))
        return tuple(Step((choice,), "priority", "none", f"{choice.channel.name}#") for choice in ordered)

    def arranged(self, step: Step) -> tuple[Choice, ...]:
        """The targets of a step in the order to ask them. A target that has just come back has its turn less often."""
        if len(step.choices) == 1:
            return step.choices
        choices = order(
            step,
            view=self._state,
            rng=self._rng,
            key=affinity_key(self._request, step.affinity) if step.affinity != "none" else None,
            costs=self._cost,
            latencies=self._latency,
        )
        if len(choices) < 2 or step.balance == "priority" or self._health.well(choices[0].channel.name):
            return choices
        now, first = self._now(), choices[0]
        ramp = max(self._health.ramp(target, now) for target in self._targets(first))
        return (*choices[1:], first) if ramp < 1.0 and self._rng() >= ramp else choices

    def keys(self, choice: Choice) -> tuple[int, ...]:
        """Indices of the keys to try at a target, in order."""
        upstream = self._live.upstreams[choice.channel.name]
        keys = upstream.weights
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
        # A protocol is a text; its `value` would be looked up by a property, for each request.
        return TargetId(choice.channel.name, choice.surface.protocol, fingerprint)

    def began(self, choice: Choice, seconds: float) -> None:
        """A target took so long to begin its answer."""
        self._state.began(self._latency_id(choice), seconds, self._now())

    def _latency(self, choice: Choice) -> float:
        return self._state.latency(self._latency_id(choice), self._now())

    def _latency_id(self, choice: Choice) -> str:
        return latency_id(choice.channel.name, choice.surface.protocol, stream=self._request.facts.stream)

    def _cost(self, choice: Choice) -> Decimal | None:
        """What the request would cost there at list price, with an answer of usual length."""
        facts = self._request.facts
        prompt = facts.input_tokens if facts.input_tokens is not None else len(self._request.body.raw) // BYTES_A_TOKEN
        price = self._live.prices.price(choice.channel.name, choice.model, prompt=prompt)
        if price is None:
            return None
        cached = int(prompt * self._state.cached_share(choice.channel.name))
        return charge(
            price,
            input_tokens=prompt,
            output_tokens=self._state.answer_length(self._request.exchange.client or ""),
            cache_read_tokens=cached,
        )

    def _targets(self, choice: Choice) -> list[TargetId]:
        keys = self._live.upstreams[choice.channel.name].keys
        return [self.target(choice, place) for place in range(len(keys))] or [self.target(choice, None)]

    def _kept(self, step: Step, now: float) -> Step:
        """A step without its targets in trouble; but if more of a group fail than may be left alone at once, those that
        would come back first are asked all the same."""
        well = [choice for choice in step.choices if self._usable(choice, now)]
        allowed = int(step.max_ejection * len(step.choices))
        if len(step.choices) - len(well) > allowed:
            failing = [c for c in step.choices if c not in well and self._is_ejected(c, now)]
            failing.sort(key=lambda choice: self._ends(choice, now))
            let = failing[: len(step.choices) - len(well) - allowed]
            return replace(step, choices=tuple(c for c in step.choices if c in well or c in let))
        return replace(step, choices=tuple(well)) if len(well) < len(step.choices) else step

    def drained(self, choice: Choice) -> bool:
        """Whether an operator has drained a target since the order was made."""
        if self._health.well(choice.channel.name):
            return False
        said = self._health.override(choice.channel.name, self._now())
        return said is not None and said.order == "drain"

    def _is_ejected(self, choice: Choice, now: float) -> bool:
        """Whether a guess keeps a target in trouble, a breaker's, and not a provider's word."""
        found = (self._health.trouble(target, now) for target in self._targets(choice))
        return any(trouble is not None and trouble.why != "cooling" for trouble in found)

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


def latency_id(channel: str, protocol: str, *, stream: bool) -> str:
    """The id under which it is kept how long a target takes to begin its answers. One that is not streamed begins when
    it is whole: the two are never compared."""
    return f"{channel}/{protocol}/{'stream' if stream else 'whole'}"


def affinity_key(request: Request, affinity: Affinity) -> bytes | None:
    """What keeps a request with its like: a digest, so that no id of a client's is kept; None if there is nothing."""
    body = request.body if isinstance(request.body, Body) else None
    match affinity:
        case "none":
            return None
        case "client":
            return scoped(request, request.client.name) if request.client is not None else None
        case "session":
            session = session_key(request)
            if session is None and body is not None:
                return prompt_prefix(request.endpoint.protocol, body)
            return session
        case "prefix":
            return prompt_prefix(request.endpoint.protocol, body) if body is not None else None
        case _:
            assert_never(affinity)


def verdict_of(outcome: str) -> tuple[breaker.Verdict, Cause | None]:
    """What an attempt's outcome says of its target, and of its key: only their own faults count."""
    if outcome == OK:
        return "passed", None
    found = REMEDIES.get(outcome)  # type: ignore[call-overload]  # an outcome may be none of the classes: cancelled
    return "failed" if found is not None and found.blame == "upstream" else "neither", _CAUSES.get(outcome)


def cares(live: RoutingTable) -> dict[str, Care]:
    """What a table declares on health, by channel."""
    return {
        channel.name: Care(_settings(channel.breaker), _cooldown(channel.cooldown), _period(channel.promote))
        for channel in live.channels
    }


def budgeted(live: RoutingTable) -> frozenset[str]:
    """The names under which a table has budgets of retries."""
    hedged = {hedges(route.name) for route in live.routes if route.failover.hedge is not None}
    if live.direct.failover.hedge is not None:
        hedged |= {hedges(f"@{channel.name}") for channel in live.channels}
    return frozenset({channel.name for channel in live.channels} | hedged)


def hedges(route: str) -> str:
    """The name of a route's budget of second calls."""
    return f"{route}#hedge"


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


def _period(declared: table.Promotion | None) -> Period | None:
    if declared is None:
        return None
    return Period(declared.until / 1000, declared.start / 1000 if declared.start is not None else None)


def _cooldown(declared: table.Cooldown) -> Cooldown:
    return Cooldown(
        rate_limit=declared.rate_limit / 1000,
        auth=declared.auth / 1000,
        quota=declared.quota / 1000,
        longest=declared.longest / 1000,
    )


def _without(steps: tuple[Step, ...], left_out: Callable[[Choice], bool]) -> tuple[Step, ...]:
    """The steps with some targets left out, and without the steps that are then empty."""
    kept = (replace(step, choices=tuple(c for c in step.choices if not left_out(c))) for step in steps)
    return tuple(step for step in kept if step.choices)
