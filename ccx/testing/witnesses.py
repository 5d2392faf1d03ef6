"""For what no test covers: a request that would, by the analysis of the whole request space, or that there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import assert_never

from ccx.analysis.outcome import Outcome
from ccx.analysis.query import find
from ccx.analysis.space import Budget
from ccx.routing.conditions import ALWAYS, All, AnyOf, Condition, Constant, Not, TokensIn
from ccx.routing.facts import Facts
from ccx.routing.normal import normal
from ccx.routing.table import Route, RoutingTable
from ccx.testing.coverage import WITHIN, Part, clauses


def witness(part: Part, table: RoutingTable, *, budget: Budget | None = None) -> Facts | None:
    """A request that covers a part, or that covers it in a drill; None is a proof that there is none. Raises
    Unfinished."""
    route = next(route for route in table.routes if route.name == part.route)
    earlier = tuple(takewhile(lambda other: other.name != route.name, table.routes))
    within, accept = _asked(part, route, earlier)
    return find(table, within=normal(within), accept=accept, budget=budget or Budget())


def _asked(part: Part, route: Route, earlier: Sequence[Route]) -> tuple[Condition, Callable[[Outcome], bool]]:
    match part.metric:
        case "routes":
            return ALWAYS, lambda outcome: outcome.route == route.name
        case "targets":
            place, member = part.key
            channel = route.tiers[place].targets[member].channel
            return ALWAYS, lambda outcome: _goes(outcome, route) and channel in outcome.channels
        case "failover_edges":
            return ALWAYS, lambda outcome: _goes(outcome, route) and _has_edge(part, route, outcome)
        case "boundaries":
            threshold, tokens = part.key
            below, above = at_tokens(route.when, threshold - 1), at_tokens(route.when, threshold)
            changes = AnyOf((All((below, Not(above))), All((above, Not(below)))))
            return All((TokensIn(tokens, tokens + 1), changes, _reached(earlier))), _by_a_rule
        case "axes":
            rest = clauses(route.when)
            (place,) = part.key
            others = (*rest[:place], *rest[place + 1 :])
            return All((Not(rest[place]), *others, _reached(earlier))), _by_a_rule
        case _:
            assert_never(part.metric)


def _goes(outcome: Outcome, route: Route) -> bool:
    return outcome.kind == "routed" and outcome.route == route.name


def _has_edge(part: Part, route: Route, outcome: Outcome) -> bool:
    first, then = part.key
    names = {target.channel for target in route.tiers[first].targets}
    if then == WITHIN:
        return any(len(stage.targets) > 1 and {t.channel for t in stage.targets} <= names for stage in outcome.stages)
    after = {target.channel for target in route.tiers[then].targets}
    return len(outcome.stages) > 1 and bool(names & set(outcome.channels)) and bool(after & set(outcome.channels))


def _reached(earlier: Sequence[Route]) -> Condition:
    """That no earlier route takes the request."""
    return All(tuple(Not(route.when) for route in earlier))


def _by_a_rule(outcome: Outcome) -> bool:
    """That the routes were asked: the client may ask, and did not name a channel itself."""
    return outcome.kind != "refused" and not (outcome.route or "").startswith("@")


def at_tokens(condition: Condition, tokens: int) -> Condition:
    """What a condition asks of requests of exactly so many tokens."""
    match condition:
        case TokensIn(low, high):
            return Constant(low <= tokens and (high is None or tokens < high))
        case Not(part):
            return Not(at_tokens(part, tokens))
        case All(parts):
            return All(tuple(at_tokens(part, tokens) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(at_tokens(part, tokens) for part in parts))
        case _:
            return condition
