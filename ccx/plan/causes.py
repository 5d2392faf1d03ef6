"""Which edit makes requests fare differently.

Law: an edit is a cause if it brings the change about alone; failing that, if it is the only one without which requests
would not fare as they do now. Both are tried, on the change's own witnesses, with the decision engine that serves. Of
several that do it, the edit of the route that decides now comes before that of the route that decided before, and both
before any other. What no edit does has no single cause. Bounded: edits that have nothing to do with a change on the
face of it are tried last, and not all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ccx.analysis.difference import Change
from ccx.analysis.outcome import Judge, Outcome
from ccx.plan.edits import Edits, implicit
from ccx.plan.effects import RANK, effect, first, share
from ccx.plan.model import Edit, Effect, Moved
from ccx.plan.splice import spliced
from ccx.routing.canonical import canonical
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable

WITNESSES = 3
OTHERS = 24


def moved(
    changes: Sequence[Change],
    edits: Edits,
    *,
    old: RoutingTable,
    new: RoutingTable,
) -> tuple[Moved, ...]:
    """The changes with effect, cause and share, in the order of a reader's interest."""
    trial = _Trial(edits, old, new)
    found: list[Moved] = []
    for change in changes:
        kind = effect(change.before, change.after)
        found.append(Moved("", kind, change, trial.cause(change), share(change.before, change.after)))
    found.sort(key=lambda one: (RANK[one.effect], one.cause if one.cause is not None else len(edits.listed), _key(one)))
    names = _ids(found)
    return tuple(
        Moved(name, one.effect, one.change, one.cause, one.share) for name, one in zip(names, found, strict=True)
    )


def _key(one: Moved) -> str:
    """What makes a change this one and no other: who decided, what comes of it, and for which requests."""
    change = one.change
    value = [
        [outcome.route, canonical(outcome)] for outcome in (change.before, change.after)
    ], [canonical(region.when) for region in change.regions]  # fmt: skip
    return json.dumps([one.effect, value], sort_keys=True)


def _ids(found: Sequence[Moved]) -> list[str]:
    """Short names that stay while the change stays: of what it is, and of the requests only where two are alike."""
    short: list[str] = []
    for one in found:
        kind = [one.effect, *([outcome.route, canonical(outcome)] for outcome in (one.change.before, one.change.after))]
        text = json.dumps(kind, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:8]
        if name in short:
            name = hashlib.sha256(_key(one).encode()).hexdigest()[:8]
        short.append(name)
    return short


def _whole(outcome: Outcome) -> object:
    return outcome


def _stages(outcome: Outcome) -> object:
    return outcome.kind, outcome.stages, outcome.deny


def _first(outcome: Outcome) -> object:
    return outcome.kind, frozenset(first(outcome).items())


def _kind(outcome: Outcome) -> object:
    return outcome.kind


_VIEWS: Final[Mapping[Effect, Sequence[Callable[[Outcome], object]]]] = {
    "newly_unrouted": (_whole, _kind),
    "newly_refused": (_whole, _kind),
    "retargeted": (_whole, _stages, _first),
    "newly_routed": (_whole, _stages, _first),
    "failover": (_whole, _stages),
    "weights": (_whole, _stages),
    "treatment": (_whole,),
}
"""What an edit has to bring about to be the cause: all of the outcome, or at least what gives the effect its name,
where another edit changed the rest of it."""


@dataclass(slots=True)
class _Trial:
    """Tries edits, keeping the tables that come of it."""

    edits: Edits
    old: RoutingTable
    new: RoutingTable
    _judges: dict[tuple[int, bool], Judge | None] = field(default_factory=dict)

    def cause(self, change: Change) -> int | None:
        """The index of the edit that causes a change."""
        listed = self.edits.listed
        if len(listed) == 1:
            return 0
        rank = {place: rank for place, edit in enumerate(listed) if (rank := self._near(edit, change)) is not None}
        near = sorted(rank, key=lambda place: (rank[place], place))
        others = [place for place in range(len(listed)) if place not in rank][:OTHERS]
        witnesses = [region.witness for region in change.regions[:WITNESSES]]
        tried = (*near, *others)
        for view in _VIEWS[effect(change.before, change.after)]:
            for place in tried:
                outcomes = self._outcomes(place, witnesses, back=False)
                if {view(one) for one in outcomes} == {view(change.after)}:
                    return place
        without = {place: self._outcomes(place, witnesses, back=True) for place in tried}
        needed = [place for place, outcomes in without.items() if outcomes and change.after not in outcomes]
        return needed[0] if len(needed) == 1 else None

    def _outcomes(self, place: int, witnesses: Sequence[Facts], *, back: bool) -> set[Outcome]:
        """What becomes of the requests with one edit alone, or with all but one; of a table that cannot be, nothing."""
        judge = self._judge(place, back=back)
        return {judge.outcome(facts) for facts in witnesses} if judge is not None else set()

    def _judge(self, place: int, *, back: bool) -> Judge | None:
        key = (place, back)
        if key not in self._judges:
            base, other = (self.new, self.old) if back else (self.old, self.new)
            edit = self.edits.listed[place]
            table = spliced(base, other, edit, back=back, inheriting=self.edits.inheriting)
            self._judges[key] = Judge(table) if table is not None else None
        return self._judges[key]

    def _near(self, edit: Edit, change: Change) -> int | None:
        """How near an edit is to a change: 0 is nearest, None has nothing to do with it on the face of it."""
        before, after = change.before.route, change.after.route
        match edit.kind:
            case "route":
                if edit.name == after:
                    return 0
                return 1 if before in (edit.was or edit.name, edit.name) else None
            case "channel":
                if edit.operation == "reorder":
                    return 2 if "@all" in (before, after) else None
                return 2 if edit.name in self._channels(change) else None
            case "client":
                return 2 if any(region.witness.client == edit.name for region in change.regions) else None
            case "defaults" | "server":
                return 3
            case _:
                return None

    def _channels(self, change: Change) -> set[str]:
        found: set[str] = set()
        for table, outcome in ((self.old, change.before), (self.new, change.after)):
            name = outcome.route
            found.update(outcome.channels)
            if name is not None and implicit(name):
                found.add(name.removeprefix("@"))
            for route in table.routes:
                if route.name == name:
                    found.update(target.channel for tier in route.tiers for target in tier.targets)
        return found
