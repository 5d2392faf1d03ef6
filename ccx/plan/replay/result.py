"""What a replay found, as a value. Renderers lay it out.

Law: counts are of requests, exact and complete: those that moved, those that did not, and those of which the log tells
too little add up to all that were read. Costs are US dollars at list price, of the requests that could be priced on
both sides, the same tokens on both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ccx.analysis.outcome import Outcome
from ccx.plan.model import Effect, Side

MOVING: Final[frozenset[Effect]] = frozenset({"newly_unrouted", "newly_refused", "retargeted", "newly_routed"})
"""Effects by which a request goes elsewhere. With the others it has the same first targets."""


@dataclass(frozen=True, slots=True)
class Source:
    """A log that was read. `lines` counts all of them."""

    name: str
    format: str
    lines: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """Lines that are no request, of one kind; `first` is where the first stands: `access.jsonl:17`."""

    why: str
    lines: int
    first: str


@dataclass(frozen=True, slots=True)
class Cost:
    """`requests` of them were priced on both sides."""

    requests: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)

    @property
    def change(self) -> Decimal:
        """After less before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests that fare differently in the same way. Tokens are of those whose usage the log has. `share` is the part
    of them that is sent to another first target, where that is neither all nor none: `0.5`."""

    effect: Effect
    before: Outcome
    after: Outcome
    requests: int
    input_tokens: int
    output_tokens: int
    cost: Cost
    share: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one client, route or (client, model). `name` parts are None where there is none, and `OTHERS` where
    there are too many to tell apart."""

    name: tuple[str | None, ...]
    requests: int
    moved: int
    undetermined: int
    cost: Cost


OTHERS: Final = "(others)"


@dataclass(frozen=True, slots=True)
class Replay:
    """`effects` counts requests; `undetermined` are those of which the log tells too little, `doubts` says what: one
    request may lack several facts. `elsewhere` were served by another route than the old table gives. `unpriced` are
    targets without a known price, with the number of requests. `given` were answered from a cache, or by the answer to
    another request: they cost nothing, and have no tokens."""

    old: Side
    new: Side
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    requests: int
    same: int
    undetermined: int
    effects: tuple[tuple[Effect, int], ...]
    doubts: tuple[tuple[str, int], ...]
    flows: tuple[Flow, ...]
    clients: tuple[Group, ...]
    routes: tuple[Group, ...]
    movers: tuple[Group, ...]
    cost: Cost
    unmeasured: int
    unpriced: tuple[tuple[str, int], ...] = ()
    elsewhere: int = 0
    given: int = 0
    seconds: float = field(default=0.0, compare=False)

    @property
    def lines(self) -> int:
        """Lines of all logs."""
        return sum(source.lines for source in self.sources)

    @property
    def changed(self) -> int:
        """Requests that fare differently."""
        return sum(count for _, count in self.effects)

    @property
    def moved(self) -> int:
        """Requests that go elsewhere, wholly or in part."""
        return sum(count for effect, count in self.effects if effect in MOVING)
