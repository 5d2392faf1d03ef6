"""The difference between two tables, as values: which requests fare differently, proven over all there could be.

A region is a condition of the routing language itself, so that whoever doubts it can ask the runtime's own matcher
whether a request lies in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ccx.analysis.outcome import Outcome
from ccx.routing.conditions import Condition
from ccx.routing.facts import Facts


@dataclass(frozen=True, slots=True)
class Region:
    """A set of requests, and one of them. `when` is `Constant`, one leaf or its negation, or an `All` of such, at most
    one for each axis (and header, tag, field), but for server tools, where several may be needed: a box."""

    when: Condition
    witness: Facts


@dataclass(frozen=True, slots=True)
class Change:
    """Requests whose outcome goes from `before` to `after`, where the routes named decided (None: no route did).

    Together the regions hold exactly the requests of this change; they may overlap. With `more` above 0 about so many
    further regions are left out of the list; they are no less part of the change.
    """

    before: Outcome
    after: Outcome
    regions: tuple[Region, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Effort:
    """What an analysis took. `states` and `budget` count states of the comparison."""

    states: int
    budget: int
    model_classes: int
    token_ranges: int


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes. Without `complete` there may be more than listed, and `unfinished` says why; "no changes" is then
    never claimed."""

    changes: tuple[Change, ...]
    effort: Effort
    unfinished: str | None = None

    @property
    def complete(self) -> bool:
        """Whether the analysis covered every request."""
        return self.unfinished is None

    @property
    def none(self) -> bool:
        """Whether it is proven that no request fares differently."""
        return self.complete and not self.changes
