"""What becomes of a request, as a value that two tables can be compared by.

Law: an outcome holds everything a client, a bill or an operator could notice of the decision, and nothing else: not the
route's name, not what a channel's address or key is (a plan shows that in its own section). Equal outcomes are served
alike. It is read off the decision engine itself; there is no second opinion here on what matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from ccx.protocols.names import Protocol
from ccx.routing.conditions import Direct
from ccx.routing.decide import Decider, Decision, NeedsTokens, Step
from ccx.routing.facts import Facts
from ccx.routing.table import ALL, Affinity, Balance, Cache, Client, Deny, Failover, OnLoss, RequestPolicy, RoutingTable

Kind = Literal["routed", "denied", "no_route", "unservable", "refused"]
"""`unservable`: a route takes the request and none of its targets can serve it. `refused`: the client may not ask."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A target as it would be asked. `model` None is the model as the client wrote it; with `bare`, without the name of
    the channel that the client put before it.

    `share` is its part of its stage's traffic: by weight where the stage balances by weight, even where it takes turns,
    and 1 in a stage that is asked in order.
    """

    channel: str
    protocol: Protocol
    model: str | None
    share: Fraction
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the failover order."""

    targets: tuple[Asked, ...]
    balance: Balance
    affinity: Affinity
    max_ejection: Fraction = ALL


@dataclass(frozen=True, slots=True)
class Treatment:
    """How a routed request is handled on its way."""

    failover: Failover
    policy: RequestPolicy
    on_loss: OnLoss
    cache: Cache | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`route` is the route's name, for people; it takes no part in comparing. `reason` likewise."""

    kind: Kind
    stages: tuple[Stage, ...] = ()
    treatment: Treatment | None = None
    deny: Deny | None = None
    route: str | None = field(default=None, compare=False)
    reason: str = field(default="", compare=False)

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels in failover order, each once."""
        return tuple(dict.fromkeys(target.channel for stage in self.stages for target in stage.targets))


class Judge:
    """Says what becomes of requests on one table. A client's tags and rights are those the table gives it."""

    def __init__(self, table: RoutingTable) -> None:
        self.decider = Decider(table)
        self.clients: Mapping[str, Client] = {client.name: client for client in table.clients}

    def facts(self, facts: Facts) -> Facts:
        """The same request as this table sees it: with the tags and rights of its client here.

        A client that the table does not declare keeps the tags it came with.
        """
        client = self.clients.get(facts.client) if facts.client is not None else None
        if client is None:
            return facts
        return replace(facts, tags=dict(client.tags), direct=client.direct)

    def outcome(self, facts: Facts) -> Outcome:
        """The outcome for one request. Raises ValueError for facts whose token count is not exact."""
        client = self.clients.get(facts.client) if facts.client is not None else None
        if client is not None and not client.enabled:
            return Outcome("refused", reason=f"the client {client.name!r} is disabled")
        if client is not None and not _may_ask(client, facts.model):
            return Outcome("refused", reason=f"the client {client.name!r} may use {client.models}")
        decision = self.decider.decide(self.facts(facts))
        if isinstance(decision, NeedsTokens):
            raise ValueError(f"the facts have no exact token count, and {decision.waiting.name!r} asks for it")
        return outcome_of(decision, asked=facts.model)


def _may_ask(client: Client, model: str | None) -> bool:
    return client.models is None or (model is not None and client.models.matches(model))


def outcome_of(decision: Decision, *, asked: str | None) -> Outcome:
    """A decision as an outcome. `asked` is the model as the client wrote it."""
    route = decision.route
    if route is None:
        return Outcome("no_route")
    if route.deny is not None:
        return Outcome("denied", deny=route.deny, route=route.name)
    if not decision.steps:
        reasons = "; ".join(f"{skip.channel}: {skip.reason}" for skip in decision.skipped)
        return Outcome("unservable", route=route.name, reason=reasons)
    # Only the implicit route of a channel named by the client asks for `Direct`; its name is "@" and the channel's.
    bare = isinstance(route.when, Direct) and asked is not None
    if bare and asked is not None:
        asked = asked[len(route.name) :].strip()
    return Outcome(
        "routed",
        tuple(_stage(step, asked, bare=bare) for step in decision.steps),
        Treatment(route.failover, route.policy, route.on_loss, route.cache),
        route=route.name,
    )


def _stage(step: Step, asked: str | None, *, bare: bool) -> Stage:
    total = sum(choice.weight for choice in step.choices)
    targets = tuple(
        Asked(
            choice.channel.name,
            choice.surface.protocol,
            choice.model if choice.model != asked else None,
            _share(step.balance, choice.weight, of=len(step.choices), total=total),
            bare and choice.model == asked,
        )
        for choice in step.choices
    )
    # Where the written order decides nothing, it is no part of the outcome.
    ordered = step.balance == "priority" or len(targets) == 1
    kept = targets if ordered else tuple(sorted(targets, key=lambda t: (t.channel, t.protocol, t.model or "")))
    alone = len(targets) == 1
    if alone:
        return Stage(kept, "priority", "none")
    return Stage(kept, step.balance, step.affinity, step.max_ejection)


def _share(balance: Balance, weight: int, *, of: int, total: int) -> Fraction:
    match balance:
        case "priority":
            return Fraction(1)
        case "round_robin":
            return Fraction(1, of)
        case _:
            return Fraction(weight, total)
