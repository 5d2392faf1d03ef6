"""Why a request is decided as it is: every rule in order, every question it asks, and the answer.

Law: a trace explains the decision engine, it does not repeat it. The decision is `Decider.decide`'s own; each rule and
each question is answered by the very `holds` that decides. Rules after the first match are looked at too, to show what
they are hidden by. Pure; it lays nothing out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, assert_never

from ccx.routing.conditions import (
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Direct,
    Flag,
    HeaderMatches,
    Leaf,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.decide import Decider, Decision, NeedsTokens
from ccx.routing.facts import Facts
from ccx.routing.table import Route

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Check:
    """A question, and whether it holds; None where that hangs on a token count. A question of several has parts."""

    words: str
    holds: bool | None
    parts: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTrace(Generic[P]):
    """A rule that was considered. `checks` must all hold; `place` is where it is written, if that is known."""

    route: Route
    holds: bool | None
    checks: tuple[Check, ...]
    place: P | None


@dataclass(frozen=True, slots=True)
class Trace(Generic[P]):
    """`rules` are all of the table, in order. `deciding` is the place of the one that decides, or that waits for the
    token count; None if nothing matches. `hidden` are those behind it that hold as well."""

    facts: Facts
    rules: tuple[RuleTrace[P], ...]
    decision: Decision | NeedsTokens
    deciding: int | None
    hidden: tuple[Route, ...]

    @property
    def route(self) -> Route | None:
        """The deciding rule's route."""
        return self.rules[self.deciding].route if self.deciding is not None else None


def explain(decider: Decider, facts: Facts, *, sources: Mapping[str, P] | None = None) -> Trace[P]:
    """The trace of one decision. `sources` has places by `routes/NAME`, as `Compiled.sources` does."""
    decision = decider.decide(facts)
    places = sources or {}
    rules = tuple(
        RuleTrace(route, route.when.holds(facts), _checks(route.when, facts), places.get(f"routes/{route.name}"))
        for route, _ in decider.candidates(facts.model)
    )
    route = decision.waiting if isinstance(decision, NeedsTokens) else decision.route
    deciding = [rule.route for rule in rules].index(route) if route is not None else None
    behind = rules[deciding + 1 :] if deciding is not None else ()
    return Trace(facts, rules, decision, deciding, tuple(rule.route for rule in behind if rule.holds))


def _checks(when: Condition, facts: Facts) -> tuple[Check, ...]:
    return tuple(check(part, facts) for part in (when.parts if isinstance(when, All) else (when,)))


def check(condition: Condition, facts: Facts) -> Check:
    """A condition with its answer, down to the single facts."""
    held = condition.holds(facts)
    match condition:
        case All(parts):
            return Check("all of", held, tuple(check(part, facts) for part in parts))
        case AnyOf(parts):
            return Check("any of", held, tuple(check(part, facts) for part in parts))
        case Not(part):
            return Check("not", held, (check(part, facts),))
        case _:
            return Check(_words(condition, facts), held)


def _words(leaf: Leaf, facts: Facts) -> str:
    """The question with the request's own fact in it: `model "gpt-5" ~ claude-*`."""
    match leaf:
        case Constant() | Direct():
            return str(leaf)
        case ProtocolIn(protocols):
            return f"protocol {facts.protocol} in {', '.join(sorted(protocols))}"
        case ModelMatches(globs):
            return f"model {_shown(facts.model)} ~ {globs}"
        case TokensIn(low, high):
            return _range(low, high, _count(facts))
        case Flag(name, value):
            actual = {"stream": facts.stream, "tools": facts.tools, "thinking": facts.thinking, "images": facts.images}
            return f"{name} {_yes(actual[name])} = {_yes(value)}"
        case ServerTool(globs):
            return f"server tools {', '.join(sorted(facts.server_tools)) or '(none)'} ~ {globs}"
        case ClientIn(globs):
            return f"client {_shown(facts.client)} ~ {globs}"
        case TagMatches(name, globs):
            return f"tag {name} {_shown(facts.tags.get(name))} ~ {globs}"
        case HeaderMatches(name, globs):
            return f"header {name} {_shown(facts.headers.get(name))} ~ {globs}"
        case PrefixIn(globs):
            return f"prefix {_shown(facts.prefix)} ~ {globs}"
        case BodyField(path):
            legal = str(leaf).partition(" ~ ")[2]
            return f"body {path} {_shown(facts.body.get(path))} ~ {legal}"
        case _:
            assert_never(leaf)


def _count(facts: Facts) -> str:
    if facts.input_tokens is not None:
        return f"{facts.input_tokens:,}"
    return "(none)" if facts.tokens_at_most is None else f"(not counted, at most {facts.tokens_at_most:,})"


def _range(low: int, high: int | None, count: str) -> str:
    if high is None:
        return f"input_tokens {count} >= {low:,}"
    return f"input_tokens {count} < {high:,}" if low == 0 else f"{low:,} <= input_tokens {count} < {high:,}"


def _shown(value: object) -> str:
    match value:
        case None:
            return "(none)"
        case bool():
            return _yes(value)
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def _yes(value: bool) -> str:
    return "true" if value else "false"
