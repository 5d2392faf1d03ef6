"""A table as rows: boxes in the order of decision, the first that holds a request decides it.

Law: what the gateway does before and around its routes is rows too, so that nothing decides outside of them: a client
that may not ask is refused first, then a channel that the caller names itself is taken, then come the routes. A row's
outcome is the decision engine's own answer for its rule; a rule's `choices` are the patterns that this answer hangs on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from ccx.analysis.globs import single_stars
from ccx.analysis.outcome import Judge, Outcome, outcome_of
from ccx.protocols.names import Protocol
from ccx.routing.conditions import ALWAYS, All, ClientIn, Condition, Direct, ModelMatches, Not
from ccx.routing.decide import drawing
from ccx.routing.globs import Globs, glob_matches, most_specific
from ccx.routing.table import Channel, Client, Route, RoutingTable, Target, Tier

Choices = tuple[tuple[str, ...], ...]
"""Groups of patterns of models: of each group at most one decides for a model."""
SIGNS = ("/", ",")


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that may decide: `name` is that of a route. `prefix` is what a client puts before the model."""

    kind: Literal["refuse", "direct", "route"]
    name: str | None
    when: Condition
    route: Route | None = None
    prefix: str = ""


def rules_of(table: RoutingTable) -> tuple[Rule, ...]:
    """All that decides on a table, in order."""
    found = [refusal for client in table.clients if (refusal := _refusal(client)) is not None]
    if table.server.direct:
        found += [rule for channel in table.channels for rule in _direct(table, channel)]
    found += [Rule("route", route.name, route.when, route) for route in table.routes]
    return tuple(found)


def _refusal(client: Client) -> Rule | None:
    who = ClientIn(Globs((client.name,)))
    if not client.enabled:
        return Rule("refuse", None, who)
    if client.models is None:
        return None
    return Rule("refuse", None, All((who, Not(ModelMatches(client.models)))))


def _direct(table: RoutingTable, channel: Channel) -> tuple[Rule, Rule]:
    """The rules of requests that name a channel; the first is of those that name no model after it."""
    name = channel.name
    route = replace(table.direct, name=f"@{name}", when=Direct(), tiers=(Tier((Target(name),)),))
    nothing = Globs(tuple(f"{name}{sign}" for sign in SIGNS))
    named = Globs(tuple(f"{name}{sign}*" for sign in SIGNS))  # white space around a model is none of the request space
    return (
        Rule("direct", route.name, All((Direct(), ModelMatches(nothing))), replace(route, tiers=()), name),
        Rule("direct", route.name, All((Direct(), ModelMatches(named))), route, name),
    )


class Side:
    """One of the tables compared: its rules, and what each would do."""

    def __init__(self, table: RoutingTable, *, rules: Sequence[Rule] | None = None) -> None:
        self.table = table
        self.judge = Judge(table)
        self.rules = tuple(rules_of(table) if rules is None else rules)
        self._channels = {channel.name: channel for channel in table.channels}
        self._choices: dict[int, Choices] = {}
        self._outcomes: dict[tuple[int, int, Protocol], Outcome] = {}
        self._answers: dict[tuple[int, str | None], int] = {}
        self._numbers: dict[tuple[object, ...], int] = {}
        # Rules with the same targets hang on the model in the same way.
        alike: dict[object, int] = {}
        self._alike = [
            alike.setdefault((rule.prefix, rule.route.tiers if rule.route is not None else ()), place)
            for place, rule in enumerate(self.rules)
        ]
        self._essence: dict[int, object] = {}

    def essence(self, rule: int) -> object:
        """Equal for two rules, of whatever table, that do the same with every request they take."""
        found = self._essence.get(rule)
        if found is None:
            one = self.rules[rule]
            route = one.route
            if route is None:
                found = (one.kind,)
            else:
                used = sorted({target.channel for tier in route.tiers for target in tier.targets})
                found = (
                    one.kind,
                    one.prefix,
                    replace(route, name="", when=ALWAYS),
                    tuple(_nature(self._channels[name]) for name in used),
                )
            self._essence[rule] = found
        return found

    def choices(self, rule: int) -> Choices:
        """The groups of patterns that a rule's outcome hangs on."""
        found = self._choices.get(rule)
        if found is None:
            found = self._choices[rule] = tuple(dict.fromkeys(self._groups(self.rules[rule])))
        return found

    def _groups(self, rule: Rule) -> list[tuple[str, ...]]:
        if rule.route is None:
            return []
        groups: list[tuple[str, ...]] = []
        for target in (target for tier in rule.route.tiers for target in tier.targets):
            channel = self._channels[target.channel]
            renamed = [name for _, name in channel.models or () if name is not None]
            if target.model is not None:
                # The model asked for is the same for all requests, and only being the client's own word tells one.
                groups.append(tuple(sorted({target.model, *renamed})))
                continue
            groups.append(tuple(sorted({*(pattern for pattern, _ in channel.models or ()), *renamed})))
            groups.append(channel.not_models)
            spoken = {surface.protocol for surface in channel.surfaces}
            if Protocol.GEMINI in spoken and Protocol.IMAGES not in spoken:
                groups.append(drawing())
        before = tuple(f"{rule.prefix}{sign}" for sign in SIGNS) if rule.prefix else ("",)
        return [tuple(single_stars(start + p) for start in before for p in group) for group in groups if group]

    def outcome(self, rule: int, protocol: Protocol, model: str | None) -> Outcome:
        """What the rule does with such a request, if it takes it."""
        key = (rule, self._answer(rule, model), protocol)
        found = self._outcomes.get(key)
        if found is None:
            found = self._outcomes[key] = self._decide(self.rules[rule], protocol, model)
        return found

    def _answer(self, rule: int, model: str | None) -> int:
        """All that the model decides of a rule's outcome, as a number."""
        key = (self._alike[rule], model)
        found = self._answers.get(key)
        if found is None:
            answer = self._answered(key[0], model)
            found = self._answers[key] = self._numbers.setdefault(answer, len(self._numbers))
        return found

    def _answered(self, rule: int, model: str | None) -> tuple[object, ...]:
        groups = self.choices(rule)
        if not groups or model is None:
            return (rule, model is None)
        route = self.rules[rule].route
        rest = bare(model, self.rules[rule].prefix)
        told: list[object] = [rule, False]
        for target in (target for tier in (route.tiers if route else ()) for target in tier.targets):
            channel = self._channels[target.channel]
            asked = target.model if target.model is not None else rest
            names = dict(channel.models or ())
            entry = most_specific(tuple(names), asked) if names else None
            sent = (names[entry] if entry is not None else None) or asked
            blocked = any(glob_matches(pattern, asked) for pattern in channel.not_models)
            told += [blocked, entry, sent == rest]
        drawn = drawing() in self._plain_groups(rule) and any(glob_matches(pattern, rest) for pattern in drawing())
        return (*told, drawn)

    def _plain_groups(self, rule: int) -> Choices:
        """Whether image models matter to a rule; those of a direct one are spelled with the channel's name."""
        prefix = self.rules[rule].prefix
        if not prefix:
            return self.choices(rule)
        return tuple(
            tuple(p[len(prefix) + 1 :] for p in group if p.startswith(prefix + "/")) for group in self.choices(rule)
        )

    def _decide(self, rule: Rule, protocol: Protocol, model: str | None) -> Outcome:
        match rule.kind:
            case "refuse":
                return Outcome("refused")
            case "direct" | "route":
                route = rule.route
                if route is None:
                    raise ValueError(f"the rule {rule.name!r} has no route")
                asked = bare(model, rule.prefix) if model is not None else None
                decision = self.judge.decider.resolve(route, protocol=protocol, model=asked)
                return outcome_of(decision, asked=model)
            case _:
                assert_never(rule.kind)


def bare(model: str, prefix: str) -> str:
    """The model without the channel's name before it."""
    return model[len(prefix) + 1 :].strip() if prefix else model


def _nature(channel: Channel) -> object:
    """What of a channel decides who serves, and nothing of how it is reached."""
    surfaces = tuple((surface.protocol, surface.auth != "none") for surface in channel.surfaces)
    return (channel.name, channel.enabled, surfaces, bool(channel.keys), channel.models, channel.not_models)
