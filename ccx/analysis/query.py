"""Questions about one table: is there a request with such an outcome, and which are all of them."""

from __future__ import annotations

from collections.abc import Callable

from ccx.analysis.difference import Region
from ccx.analysis.outcome import Outcome
from ccx.analysis.space import Budget, Unfinished
from ccx.routing.conditions import ALWAYS, Condition
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable


def find(
    table: RoutingTable,
    *,
    accept: Callable[[Outcome], bool],
    within: Condition = ALWAYS,
    budget: Budget = Budget(),  # noqa: B008 - frozen
) -> Facts | None:
    """Some request in `within` whose outcome is accepted; None is a proof that there is none. Raises Unfinished."""
    del table, accept, within, budget
    raise Unfinished("the query is being built")


def regions_of(
    table: RoutingTable,
    *,
    accept: Callable[[Outcome], bool],
    within: Condition = ALWAYS,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    cap: int = 50,
) -> tuple[tuple[Region, ...], int]:
    """Maximal boxes that hold exactly the requests in `within` whose outcome is accepted, and how many are left out.
    Raises Unfinished."""
    del table, accept, within, budget, cap
    raise Unfinished("the query is being built")
