"""Making a plan of two compiled specs.

Law: pure. The comparison is the engine's, the edits are the tables'; here they are only brought together, counted and
bound by a digest. The same two specs give the same plan, whatever they are called and wherever they lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from ccx.analysis.compare import compare
from ccx.analysis.effort import Budget
from ccx.analysis.instances import folded
from ccx.analysis.wording import say
from ccx.plan.causes import moved
from ccx.plan.edits import Compared, edits
from ccx.plan.guards import Case, marks
from ccx.plan.json import digest
from ccx.plan.model import Edit, Effect, Operation, Plan, RouteCount, Side
from ccx.plan.touched import touched
from ccx.routing.canonical import digest as table_digest
from ccx.routing.compile import Compiled
from ccx.routing.conditions import ALWAYS, Condition
from ccx.routing.table import RoutingTable
from ccx.spec.document import VERSION

NOTHING = RoutingTable(VERSION, (), ())
"""What a spec is compared with that is new, or gone."""


def nothing(name: str, revision: str | None = None) -> Compared:
    """The side on which there is no such spec."""
    return Compared(Compiled(NOTHING, table_digest(NOTHING), (), {}), name, revision)


def plan(
    old: Compared,
    new: Compared,
    *,
    spec: str,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    within: Condition = ALWAYS,
) -> Plan:
    """What leads from one to the other, and what it does to requests. `spec` is how the spec is called.

    Past the budget the plan is not complete, and says so. Raises nothing for tables that the compiler accepts.
    """
    before, after = old.compiled.table, new.compiled.table
    found = edits(old, new)
    difference = compare(before, after, budget=budget, within=within)
    requests = moved(folded(difference.changes), found, old=before, new=after)
    effects = Counter(one.effect for one in requests)
    counts: Mapping[Effect, int] = {effect: effects[effect] for effect in get_args(Effect) if effects[effect]}
    made = Plan(
        spec=spec,
        old=side(old),
        new=side(new),
        edits=found.listed,
        moved=requests,
        touched=touched(found, old=before, new=after),
        marks=marks(Case(before, after, found, requests, difference.unfinished)),
        routes=_count(found.listed),
        effort=difference.effort,
        unfinished=difference.unfinished,
        within=say(within) if within != ALWAYS else None,
        effects=counts,
    )
    return replace(made, digest=digest(made))


def side(of: Compared) -> Side:
    """One of the two compared, as a plan names it."""
    return Side(of.name, of.compiled.digest, of.revision, absent=of.compiled.table == NOTHING)


def _count(listed: tuple[Edit, ...]) -> RouteCount:
    of: Counter[Operation] = Counter(edit.operation for edit in listed if edit.kind == "route")
    return RouteCount(of["add"], of["edit"], of["remove"], of["move"], of["rename"])
