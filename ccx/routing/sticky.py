"""Sticky long context: a session's highest count of late in place of a request's own.

Laws
- Only requests whose decision hangs on their tokens take part: others are neither counted nor remembered, so that the
  small chores which an agent sends under the same session to a route of their own make no conversation long.
- What the memory holds are counts of requests that were to be served: one that was too long for every route is gone
  once the client has shortened it. And the memory never refuses: where the highest count leads to no target, the
  request's own decides.
- A count below `least_tokens` is on the same side of every number of the table as none, so it need not be made: a bound
  below that number does as well.

Pure; who remembers, and for how long, is not known here (`ccx.state.marks`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ccx.routing.conditions import TokensIn, leaves
from ccx.routing.decide import Decider, Decision, NeedsTokens
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable

_ANY: Final = 2**62


def least_tokens(table: RoutingTable) -> int | None:
    """The lowest number above 0 that the table compares counts with; None if it compares none."""
    asked = (leaf for route in table.routes for leaf in leaves(route.when) if isinstance(leaf, TokensIn))
    return min((n for leaf in asked for n in (leaf.low, leaf.high) if n), default=None)


def takes_part(decider: Decider, facts: Facts) -> bool:
    """Whether the decision hangs on the tokens, whatever they are."""
    if facts.input_tokens is None and facts.tokens_at_most is None:
        return False
    uncounted = replace(facts, input_tokens=None, tokens_at_most=_ANY)
    return isinstance(decider.decide(uncounted), NeedsTokens)


def is_remembered(decision: Decision) -> bool:
    """Whether the count of a request with this decision, by its own count, is noted."""
    return bool(decision.steps)


def by_highest(decider: Decider, own: Facts, highest: int | None) -> Decision | None:
    """The decision by the highest count that was noted, where that is the one that counts; None where the request's own
    is. `own` is counted, or bounded below `least_tokens`."""
    at_most = own.input_tokens if own.input_tokens is not None else own.tokens_at_most
    if highest is None or at_most is None or highest <= at_most:
        return None
    decision = decider.decide(replace(own, input_tokens=highest))
    return decision if isinstance(decision, Decision) and decision.steps else None
