"""What `proofs` proves of routes, as values."""

from __future__ import annotations

from dataclasses import dataclass

from ccx.analysis.difference import Region
from ccx.analysis.outcome import Outcome
from ccx.protocols.names import Protocol
from ccx.routing.conditions import Condition
from ccx.routing.facts import Facts


@dataclass(frozen=True, slots=True)
class Unmatchable:
    """A route whose condition no request can meet. `contradicting` are parts of it that cannot hold together, none of
    which can be spared."""

    route: str
    contradicting: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A route all of whose requests others take before it. `blockers` together take them all, the one that takes most
    first; `different` is one of them with another outcome for such a request, if any has. `example` is a request that
    the route asks for, taken by `different` if there is one; `taken_by` is who takes it. A caller who names a channel,
    and a client who may not ask for the model, never come to the routes; these are called `@CHANNEL` and `@refused`."""

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
