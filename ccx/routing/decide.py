"""The decision engine: facts in, decision out. `serve`, `explain`, `test` and `plan` all come through here.

Law: a decision depends on the table and the facts, on nothing else; it never chooses among equals (that is `select`)
and never does I/O. What a request's protocol and model already decide is worked out once and kept, per (protocol,
model), as a cell: the few rules that can still match, what each would mean, and which kinds of facts they ask for. The
caller reads just those facts. Where the first rule that may match waits for the token count, the decision says so
instead of guessing; the caller counts and asks again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from ccx.catalog.models import models
from ccx.catalog.providers import provider
from ccx.protocols.names import RESERVED_SEGMENTS, Protocol
from ccx.protocols.preference import answering
from ccx.routing.conditions import (
    BodyField,
    Condition,
    Constant,
    Direct,
    HeaderMatches,
    PrefixIn,
    TokensIn,
    axis,
    leaves,
    settle,
)
from ccx.routing.facts import Axis, Facts
from ccx.routing.globs import glob_matches, most_specific
from ccx.routing.table import ALL, Affinity, Balance, Channel, Route, RoutingTable, Surface, Target, Tier

CELLS_KEPT = 4096
MODEL_LENGTH_KEPT = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """A target that can serve: where, with which model name, and its weight within its tier."""

    channel: Channel
    surface: Surface
    model: str | None
    weight: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the failover order, with the targets that can serve.

    `id` names what shares a turn: the route, the step's place in it, and who can serve. It outlives a swap.
    """

    choices: tuple[Choice, ...]
    balance: Balance
    affinity: Affinity
    id: str = ""
    max_ejection: Fraction = ALL


@dataclass(frozen=True, slots=True)
class Skip:
    """A target that cannot serve this request, and why."""

    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request. `route` None: nothing matches."""

    route: Route | None
    steps: tuple[Step, ...] = ()
    skipped: tuple[Skip, ...] = ()


@dataclass(frozen=True, slots=True)
class NeedsTokens:
    """The decision waits for the exact token count. `waiting` is the rule that asks."""

    waiting: Route


@dataclass(frozen=True, slots=True)
class Rule:
    """A route that may still match in a cell: what is left to ask, and what it would mean."""

    when: Condition
    decision: Decision


@dataclass(frozen=True, slots=True)
class Cell:
    """The rules left for one (protocol, model), and the facts they ask for. `tokens` are the numbers that token counts
    are compared with, ascending: a bound at or above the last decides nothing."""

    rules: tuple[Rule, ...]
    axes: frozenset[Axis]
    headers: frozenset[str]
    fields: frozenset[str]
    tokens: tuple[int, ...] = ()


NO_ROUTE = Decision(None)


class PrefixSet:
    """The path prefixes a table serves: of channels, and of routes that ask for one. Membership only.

    A pattern such as `*` does not take in the gateway's own paths: `/v1/models` stays what it is.
    """

    __slots__ = ("_patterns",)

    def __init__(self, table: RoutingTable) -> None:
        asked = (leaf for route in table.routes for leaf in leaves(route.when))
        found = {leaf.globs for leaf in asked if isinstance(leaf, PrefixIn)}
        self._patterns = tuple(sorted({p for globs in found for p in (globs.include or ("*",))}))

    def __contains__(self, prefix: object) -> bool:
        if not isinstance(prefix, str) or prefix in RESERVED_SEGMENTS:
            return False
        return any(glob_matches(p, prefix) for p in self._patterns)


class Decider:
    """Decides for one table. Keeps cells between calls; they never change a decision."""

    def __init__(self, table: RoutingTable) -> None:
        self.table = table
        self.prefixes = PrefixSet(table)
        self._channels = {channel.name: channel for channel in table.channels}
        self._cells: OrderedDict[tuple[Protocol, str | None], Cell] = OrderedDict()

    def cell(self, protocol: Protocol, model: str | None) -> Cell:
        """What is left to decide for this protocol and model."""
        key = (protocol, model)
        cell = self._cells.get(key)
        if cell is not None:
            return cell
        cell = self._build(Facts(protocol, model))
        if model is None or len(model) <= MODEL_LENGTH_KEPT:
            self._cells[key] = cell
            if len(self._cells) > CELLS_KEPT:
                self._cells.popitem(last=False)
        return cell

    def decide(self, facts: Facts) -> Decision | NeedsTokens:
        """The first rule that holds. `NeedsTokens` where that hangs on a count that has not been made."""
        for rule in self.cell(facts.protocol, facts.model).rules:
            held = rule.when.holds(facts)
            if held:
                return rule.decision
            if held is None:
                assert rule.decision.route is not None  # noqa: S101 - rules are built from routes
                return NeedsTokens(rule.decision.route)
        return NO_ROUTE

    def _build(self, known: Facts) -> Cell:
        rules: list[Rule] = []
        for route, model in self.candidates(known.model):
            when = settle(route.when, known)
            if isinstance(when, Constant) and not when.value:
                continue
            rules.append(Rule(when, self.resolve(route, protocol=known.protocol, model=model)))
            if isinstance(when, Constant):
                break
        left = [leaf for rule in rules for leaf in leaves(rule.when)]
        return Cell(
            tuple(rules),
            frozenset(found for leaf in left if (found := axis(leaf)) is not None),
            frozenset(leaf.name for leaf in left if isinstance(leaf, HeaderMatches)),
            frozenset(leaf.path for leaf in left if isinstance(leaf, BodyField)),
            tuple(sorted({n for leaf in left if isinstance(leaf, TokensIn) for n in (leaf.low, leaf.high or 0)})),
        )

    def candidates(self, model: str | None) -> list[tuple[Route, str | None]]:
        """Routes with the model each is asked for; first the implicit one of a model such as `lab/qwen3`."""
        routes: list[tuple[Route, str | None]] = [(route, model) for route in self.table.routes]
        if self.table.server.direct and model is not None:
            at = min((i for sign in "/," if (i := model.find(sign)) > 0), default=0)
            name, rest = model[:at], model[at + 1 :].strip()
            if at and name in self._channels:
                tiers = (Tier((Target(name),)),) if rest else ()
                routes.insert(0, (replace(self.table.direct, name=f"@{name}", when=Direct(), tiers=tiers), rest))
        return routes

    def resolve(self, route: Route, *, protocol: Protocol, model: str | None) -> Decision:
        """What a route means for this protocol and model: the targets that can serve, and those that cannot."""
        steps: list[Step] = []
        skipped: list[Skip] = []
        for place, tier in enumerate(route.tiers):
            choices: list[Choice] = []
            for target in tier.targets:
                found = self._choice(target, protocol=protocol, model=model)
                if isinstance(found, Skip):
                    skipped.append(found)
                else:
                    choices.append(found)
            if choices:
                members = ",".join(choice.channel.name for choice in choices)
                id_ = f"{route.name}#{place}:{members}"
                steps.append(Step(tuple(choices), tier.balance, tier.affinity, id_, tier.max_ejection))
        return Decision(route, tuple(steps), tuple(skipped))

    def _choice(self, target: Target, *, protocol: Protocol, model: str | None) -> Choice | Skip:
        channel = self._channels[target.channel]
        if not channel.enabled:
            return Skip(channel.name, "the channel is disabled")
        spoken = {surface.protocol for surface in channel.surfaces}
        found = answering(protocol, spoken)
        surface = channel.surface(found) if found is not None else None
        if surface is None:
            return Skip(channel.name, f"the channel speaks {', '.join(sorted(spoken))}, which cannot answer {protocol}")
        if surface.auth != "none" and not channel.keys:
            return Skip(channel.name, "the channel has no key")
        if target.weight == 0:
            return Skip(channel.name, "its weight is 0")
        asked = target.model if target.model is not None else model
        named = target.model is not None  # by the spec itself
        if asked is not None and any(glob_matches(pattern, asked) for pattern in channel.not_models):
            return Skip(channel.name, f"the channel does not allow the model {asked!r}")
        if channel.models is not None and asked is not None:
            names = dict(channel.models)
            entry = most_specific(tuple(names), asked)
            if entry is None:
                return Skip(channel.name, f"the channel does not allow the model {asked!r}")
            named = named or names[entry] is not None or "*" not in entry
            asked = names[entry] or asked
        if protocol is Protocol.IMAGES and surface.protocol is not protocol and not (named or draws(asked)):
            return Skip(channel.name, f"the model {asked!r} is not known to make images; a target may name one that is")
        return Choice(channel, surface, asked, target.weight)


@cache
def drawing() -> tuple[str, ...]:
    """Globs of the image models that the catalogue knows to be spoken to by Gemini's protocol, snapshots and
    vendor prefixes included. Globs, so that what they decide can be compared exactly."""
    found: set[str] = set()
    for row in models():
        preset = provider(row.provider)
        if row.kind != "image" or preset is None or Protocol.GEMINI not in preset.surfaces:
            continue
        prefixes = ("", "models/", *(f"{name}/" for name in (preset.name, *preset.aliases)))
        found |= {f"{prefix}{name}*" for prefix in prefixes for name in (row.id, *row.aliases)}
    return tuple(sorted(p for p in found if not any(q != p and glob_matches(q, p) for q in found)))


def draws(model: str | None) -> bool:
    """Whether the catalogue knows this as an image model that is spoken to by Gemini's protocol. A client's name for a
    model of OpenAI's must not take a request for images to a channel that only speaks Gemini."""
    return model is not None and any(glob_matches(pattern, model) for pattern in drawing())
