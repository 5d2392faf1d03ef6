"""What the engine decides of one request, as tests speak of it: who is asked first, who after, what the client gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ccx.analysis.outcome import Judge, Outcome
from ccx.routing.decide import Choice, Decision, Step
from ccx.routing.facts import Facts

NOT_ACCEPTED = 401
FORBIDDEN = 403
NOT_FOUND = 404
UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision. `steps` are in the order written; empty unless the request is routed. `pinned` is the place in the
    first step that `sample` draws."""

    facts: Facts
    outcome: Outcome
    decision: Decision
    status: int
    pinned: int | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The failover order."""
        return self.decision.steps if self.outcome.kind == "routed" else ()

    @property
    def firsts(self) -> tuple[Choice, ...]:
        """The targets that may be asked first: one, or the members of a balanced group."""
        if not self.steps:
            return ()
        choices = self.steps[0].choices
        if self.pinned is not None:
            return (choices[self.pinned],)
        return choices if balanced(self.steps[0]) else choices[:1]

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Channels in the order they are asked; those of one stage in any order."""
        found: list[tuple[str, ...]] = []
        for step in self.steps:
            names = [choice.channel.name for choice in step.choices]
            found += [tuple(names)] if balanced(step) else [(name,) for name in names]
        return tuple(found)

    @property
    def rest(self) -> tuple[tuple[str, ...], ...]:
        """The stages after the first choice fails; of a group whoever is first, a stage of the others' names."""
        if not self.steps:
            return ()
        first, *later = self.stages
        if len(first) == 1:
            return tuple(later)
        if self.pinned is None:
            return (first, *later)
        return (tuple(name for place, name in enumerate(first) if place != self.pinned), *later)

    @property
    def shares(self) -> dict[str, Fraction]:
        """Each channel's part of what the first step is asked."""
        return shares(self.steps[0]) if self.steps else {}


def decide(judge: Judge, facts: Facts, *, sample: float | None = None) -> Decided:
    """Ask the engine. `sample` in [0, 1) pins the draw of a balanced first step."""
    outcome = judge.outcome(facts)
    decision = judge.decider.decide(facts)
    if not isinstance(decision, Decision):
        raise TypeError("facts of tests have an exact token count")
    pinned = None
    if sample is not None and outcome.kind == "routed" and balanced(decision.steps[0]):
        pinned = drawn(decision.steps[0], sample)
    return Decided(facts, outcome, decision, _status(judge, facts, outcome), pinned)


def _status(judge: Judge, facts: Facts, outcome: Outcome) -> int:
    match outcome.kind:
        case "denied":
            return outcome.deny.status if outcome.deny is not None else FORBIDDEN
        case "no_route":
            return NOT_FOUND
        case "unservable":
            return UNAVAILABLE
        case "refused":
            client = judge.clients.get(facts.client) if facts.client is not None else None
            return FORBIDDEN if client is not None and client.enabled else NOT_ACCEPTED
        case "routed":
            return 200


def balanced(step: Step) -> bool:
    """Whether the step's targets share its load, so that any may be the first."""
    return step.balance != "priority" and len(step.choices) > 1


def shares(step: Step) -> dict[str, Fraction]:
    """Each channel's part of a step's load."""
    found: dict[str, Fraction] = {}
    for choice, share in zip(step.choices, _parts(step), strict=True):
        found[choice.channel.name] = found.get(choice.channel.name, Fraction(0)) + share
    return {name: share for name, share in found.items() if share}


def _parts(step: Step) -> Sequence[Fraction]:
    weights = [choice.weight for choice in step.choices]
    match step.balance:
        case "priority":
            return [Fraction(1), *(Fraction(0) for _ in weights[1:])]
        case "round_robin":
            return [Fraction(1, len(weights)) for _ in weights]
        case _:
            return [Fraction(weight, sum(weights)) for weight in weights]


def drawn(step: Step, sample: float) -> int:
    """The place of the target whose part of [0, 1) holds the sample, the parts laid in the order written."""
    point, end = Fraction(sample), Fraction(0)
    for place, part in enumerate(_parts(step)):
        end += part
        if point < end:
            return place
    return len(step.choices) - 1
