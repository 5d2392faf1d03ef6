"""Proofs about the routes of one table, each with its witness."""

from __future__ import annotations

from dataclasses import dataclass

from ccx.analysis.difference import Region
from ccx.analysis.outcome import Outcome
from ccx.analysis.space import Budget, Unfinished
from ccx.protocols.names import Protocol
from ccx.routing.conditions import Condition
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Unmatchable:
    """A route whose condition no request can meet. `contradicting` are leaves, or negations of leaves, that cannot hold
    together; empty where no single place is to blame."""

    route: str
    contradicting: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A route all of whose requests earlier routes take. `blockers` together take them all, the one that takes most
    first; `different` is one of them with another outcome for such a request, if any has. `example` is a request that
    the route asks for, and `taken_by` who takes it."""

    route: str
    blockers: tuple[str, ...]
    different: str | None
    example: Facts
    taken_by: str


@dataclass(frozen=True, slots=True)
class Redundant:
    """A route without which every request would fare the same. `covered_by` are routes that would take its requests;
    `example` is one of these. All routes reported together may be removed together."""

    route: str
    covered_by: tuple[str, ...]
    example: Facts


@dataclass(frozen=True, slots=True)
class Gap:
    """Requests of a protocol that no route takes. `more` counts regions that are left out."""

    protocol: Protocol
    regions: tuple[Region, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two routes whose order matters: `witness` gets `before` as they stand, and `after` if they changed places."""

    first: str
    second: str
    witness: Facts
    before: Outcome
    after: Outcome


def unmatchable(table: RoutingTable, *, budget: Budget = Budget()) -> tuple[Unmatchable, ...]:  # noqa: B008 - frozen
    """Routes that no request can match."""
    del table, budget
    raise Unfinished("the proofs are being built")


def unreachable(table: RoutingTable, *, budget: Budget = Budget()) -> tuple[Unreachable, ...]:  # noqa: B008 - frozen
    """Routes that could match, if earlier ones did not take all their requests. Raises Unfinished."""
    del table, budget
    raise Unfinished("the proofs are being built")


def redundant(table: RoutingTable, *, budget: Budget = Budget()) -> tuple[Redundant, ...]:  # noqa: B008 - frozen
    """Routes that take requests and change nothing. Raises Unfinished."""
    del table, budget
    raise Unfinished("the proofs are being built")


def gaps(table: RoutingTable, *, budget: Budget = Budget(), cap: int = 20) -> tuple[Gap, ...]:  # noqa: B008 - frozen
    """Requests that no route takes, for each protocol that some route takes requests of. Raises Unfinished."""
    del table, budget, cap
    raise Unfinished("the proofs are being built")


def order_sensitive(table: RoutingTable, *, budget: Budget = Budget()) -> tuple[Overlap, ...]:  # noqa: B008 - frozen
    """Pairs of routes, neither holding the other's requests, whose order decides something. Raises Unfinished."""
    del table, budget
    raise Unfinished("the proofs are being built")
