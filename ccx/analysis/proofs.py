"""Proofs about the routes of one table, each with its witness.

Law: a finding is a proof and its example a request; nothing is reported for being likely. All questions about a table
share one set of rows. "Never first" and "makes no difference" are searches that stop at the first request to the
contrary; only a search that comes back empty-handed is a finding.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from math import prod

from ccx.analysis.areas import regions_of_area
from ccx.analysis.board import Board, bits_of
from ccx.analysis.boxes import ANY_MODEL, Box, Lowering
from ccx.analysis.effort import Budget, Meter
from ccx.analysis.findings import Gap, Overlap, Redundant, Unmatchable, Unreachable
from ccx.analysis.query import first_found
from ccx.analysis.regions import cover
from ccx.analysis.rows import Side
from ccx.analysis.search import Firsts, Judgement, Labels, Search
from ccx.analysis.space import Space
from ccx.analysis.witness import namer_of
from ccx.routing.conditions import All, Condition, Constant
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable

DEFAULT = Budget()

__all__ = [
    "Gap",
    "Overlap",
    "Proofs",
    "Redundant",
    "Unmatchable",
    "Unreachable",
    "contradiction",
    "gaps",
    "order_sensitive",
    "redundant",
    "unmatchable",
    "unreachable",
]


REFUSED = "@refused"


def unmatchable(table: RoutingTable, *, budget: Budget = DEFAULT) -> tuple[Unmatchable, ...]:
    """Routes that no request can match. Raises Unfinished."""
    return Proofs(table, budget=budget).unmatchable()


def contradiction(when: Condition, *, table: RoutingTable) -> tuple[Condition, ...] | None:
    """Parts of a condition that cannot hold together, none of which can be spared: of the condition as written, before
    a compiler folds it. Empty where a constant says so, and None where some request meets it. Raises Unfinished."""
    return Proofs(table).contradiction(when)


def unreachable(table: RoutingTable, *, budget: Budget = DEFAULT) -> tuple[Unreachable, ...]:
    """Routes that could match, if others before them did not take all their requests. Raises Unfinished."""
    return Proofs(table, budget=budget).unreachable()


def redundant(table: RoutingTable, *, budget: Budget = DEFAULT) -> tuple[Redundant, ...]:
    """Routes that take requests and change nothing. Raises Unfinished."""
    return Proofs(table, budget=budget).redundant()


def gaps(table: RoutingTable, *, budget: Budget = DEFAULT, cap: int = 20) -> tuple[Gap, ...]:
    """Requests that no route takes, for each protocol that some route takes requests of. Raises Unfinished."""
    return Proofs(table, budget=budget).gaps(cap=cap)


def order_sensitive(table: RoutingTable, *, budget: Budget = DEFAULT) -> tuple[Overlap, ...]:
    """Pairs of routes that both take requests, neither holding the other's, whose order decides something. Raises
    Unfinished."""
    return Proofs(table, budget=budget).order_sensitive()


class Proofs:
    """All proofs about one table, which share what they have in common. Each raises Unfinished past the budget."""

    def __init__(self, table: RoutingTable, *, budget: Budget = DEFAULT) -> None:
        self.table = table
        self._meter = Meter(budget)
        self._space = Space((table,))
        self._side = Side(table)
        self._board = Board(self._space, (self._side,))
        self._namer = namer_of(self._board)
        self._all = sum(self._board.sections)
        self._rows: list[int] = [0] * len(self._side.rules)
        for bit in bits_of(self._all):
            self._rows[self._board.rows[bit][1].rule] |= 1 << bit
        self._routes = [place for place, rule in enumerate(self._side.rules) if rule.kind == "route"]
        self._taken: dict[int, Facts | None] = {}

    def _name(self, rule: int) -> str:
        return self._side.rules[rule].name or REFUSED

    def unmatchable(self) -> tuple[Unmatchable, ...]:
        """Routes that no request can match."""
        return tuple(
            Unmatchable(self._name(rule), self.contradiction(self._side.rules[rule].when) or ())
            for rule in self._routes
            if not self._rows[rule]
        )

    def contradiction(self, when: Condition) -> tuple[Condition, ...] | None:
        """Parts of a condition that cannot hold together, none of which can be spared; empty where a constant says so,
        and None where some request meets it."""
        space = Space((self.table,), (when,))
        lowering = space.lowering(self._side.judge.facts)
        if lowering.boxes(when):
            return None
        return _least(when, lowering)

    def unreachable(self) -> tuple[Unreachable, ...]:
        """Routes that could match, if others before them did not take all their requests."""
        return tuple(self._blocked(rule) for rule in self._routes if self._rows[rule] and self._example(rule) is None)

    def _example(self, rule: int) -> Facts | None:
        """A request that the route takes."""
        if rule not in self._taken:
            rows = self._rows[rule]
            self._taken[rule] = self._escaping(rows, among=_before(rows))
        return self._taken[rule]

    def _within(
        self,
        rows: int,
        *,
        among: int,
        judged: Judgement,
        sections: tuple[int, ...] | None = None,
        shadows: tuple[tuple[int, int], ...] | None = None,
        labelled: bool = True,
    ) -> Iterator[Search]:
        """For each of these rows a search in its box, about requests whose outcome they have a part in."""
        for bit in bits_of(rows):
            box = self._board.rows[bit][1].box
            keep = self._board.meeting(box.masks, among) & self._board.sharing(box.models)
            yield Search(
                self._board,
                judged,
                hull=box.masks,
                models=box.models,
                keep=keep,
                essential=rows & keep,
                meter=self._meter,
                sections=sections,
                shadows=shadows,
                labelled=labelled,
            )

    def _blocked(self, rule: int) -> Unreachable:
        """Who takes the requests of a route that takes none: rows are asked for one that escapes those known, and who
        takes it is one more, until nothing escapes."""
        rows = self._rows[rule]
        example = self._escaping(rows, among=0)
        if example is None:
            raise AssertionError(f"{self._name(rule)} has no requests")
        takers: dict[int, Facts] = {}
        while example is not None:
            takers[self._taker(example)] = example
            example = self._escaping(rows, among=sum(self._rows[taker] for taker in takers))
        for taker in tuple(takers):
            others = sum(self._rows[other] for other in takers if other != taker)
            if len(takers) > 1 and self._escaping(rows, among=others) is None:
                del takers[taker]
        ordered = sorted(takers, key=lambda taker: (-self._overlapping(rows, taker), taker))
        found = self._otherwise(rule)
        different = self._taker(found) if found is not None else None
        if different is not None and different not in ordered:
            ordered.append(different)
        shown = different if different is not None else ordered[0]
        return Unreachable(
            self._name(rule),
            tuple(dict.fromkeys(self._name(taker) for taker in ordered)),
            self._name(different) if different is not None else None,
            found if found is not None else takers[shown],
            self._name(shown),
        )

    def _escaping(self, rows: int, *, among: int) -> Facts | None:
        """A request of these rows that none of the others takes before."""

        def judged(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
            del search, labels
            return True if firsts[0] is not None and rows >> firsts[0] & 1 else None

        return self._any(self._within(rows, among=rows | among, judged=judged, labelled=False))

    def _otherwise(self, rule: int) -> Facts | None:
        """A request of a route without any that fares otherwise than the route would have it."""
        rows = self._rows[rule]

        def judged(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
            del search
            return True if firsts[0] is not None and labels[0] != labels[1] else None

        before = _before(rows)
        return self._any(self._within(rows, among=rows | before, judged=judged, sections=(before, rows)))

    def _taker(self, facts: Facts) -> int:
        """The rule that takes a request."""
        seen = self._side.judge.facts(facts)
        return next(place for place, rule in enumerate(self._side.rules) if rule.when.holds(seen))

    def _overlapping(self, rows: int, rule: int) -> int:
        """How much two rules have in common, in atoms."""
        boxes = [self._board.rows[bit][1].box.masks for bit in bits_of(rows)]
        others = [self._board.rows[bit][1].box.masks for bit in bits_of(self._rows[rule])]
        return sum(prod((a & b).bit_count() for a, b in zip(one, two, strict=True)) for one in boxes for two in others)

    def redundant(self) -> tuple[Redundant, ...]:
        """Routes that take requests and change nothing: looked at from the last to the first, each without those that
        were found before."""
        gone = 0
        found: list[Redundant] = []
        for rule in reversed(self._routes):
            rows = self._rows[rule]
            example = self._example(rule) if rows else None
            if example is None:
                continue
            covering = self._covering(rows, self._all & ~gone)
            if covering is not None:
                gone |= rows
                found.append(Redundant(self._name(rule), covering, example))
        return tuple(reversed(found))

    def _covering(self, rows: int, among: int) -> tuple[str, ...] | None:
        """The routes that do the same with all that these rows take; None if some of it would fare otherwise."""
        covers: set[int] = set()
        rest = among & ~rows

        def judged(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
            del search
            first, next_ = firsts
            if first is None or (next_ is not None and next_ < first):
                return None
            if next_ is None or labels[0] != labels[1]:
                return True
            covers.add(self._board.rule(next_)[1])
            return None

        # What the rest surely takes is none of the route's requests; what the route takes hides nothing of the rest.
        shadows = ((rows, rows), (rest, among))
        searches = self._within(rows, among=among, judged=judged, sections=(rows, rest), shadows=shadows)
        if self._any(searches) is not None:
            return None
        return tuple(self._name(cover) for cover in sorted(covers))

    def gaps(self, *, cap: int = 20) -> tuple[Gap, ...]:
        """Requests that no route takes, for each protocol that some route takes requests of."""
        served = 0
        for rule in self._routes:
            for bit in bits_of(self._rows[rule]):
                served |= self._board.rows[bit][1].box.masks[0]
        found: list[Gap] = []
        for atom in bits_of(served):
            search = Search(
                self._board,
                lambda _, firsts, __: True if firsts[0] is None else None,
                hull=(1 << atom, *self._space.full[1:]),
                models=ANY_MODEL,
                keep=self._all,
                essential=None,
                meter=self._meter,
                deciding=0,
                labelled=False,
            )
            protocol = self._space.axes[0].atoms[atom].protocol
            for one in cover(search, cap=cap).values():
                regions = [region for area in one.areas for region in regions_of_area(search, self._namer, area)]
                found.append(Gap(protocol, tuple(regions), one.more))
        return tuple(found)

    def order_sensitive(self) -> tuple[Overlap, ...]:
        """Pairs of routes that take requests, neither within the other, whose order decides the outcome of some."""
        found: list[Overlap] = []
        taking = [rule for rule in self._routes if self._rows[rule] and self._example(rule) is not None]
        for number, second in enumerate(taking):
            for first in taking[:number]:
                overlap = self._overlap(first, second)
                if overlap is not None:
                    found.append(overlap)
        return tuple(found)

    def _overlap(self, first: int, second: int) -> Overlap | None:
        if self._side.essence(first) == self._side.essence(second):
            return None
        board = self._board
        for bit in bits_of(self._rows[second]):
            box = board.rows[bit][1].box
            near = board.meeting(box.masks, self._rows[first]) & board.sharing(box.models)
            for bit_too in bits_of(near):
                both = box.common(board.rows[bit_too][1].box)
                found = self._swapped(first, second, both) if both is not None else None
                if found is not None:
                    apart = self._leaves(first, second) and self._leaves(second, first)
                    return found if apart else None
        return None

    def _swapped(self, first: int, second: int, both: Box) -> Overlap | None:
        """Of the requests that both ask for, one that comes to them, if their order decides its outcome."""
        board, rows = self._board, self._rows[first]
        sections = (rows | _before(rows), self._rows[second])

        def judged(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
            del search
            taker = firsts[0]
            return True if taker is not None and rows >> taker & 1 and labels[0] != labels[1] else None

        among = board.meeting(both.masks, sections[0] | sections[1]) & board.sharing(both.models)
        search = Search(
            board,
            judged,
            hull=both.masks,
            models=both.models,
            keep=among,
            essential=rows & among,
            meter=self._meter,
            sections=sections,
        )
        witness = self._any([search])
        if witness is None:
            return None
        before, after = (
            replace(self._side.outcome(rule, witness.protocol, witness.model), route=self._name(rule))
            for rule in (first, second)
        )
        return Overlap(self._name(first), self._name(second), witness, before, after)

    def _leaves(self, one: int, other: int) -> bool:
        """Whether one route asks for a request that the other does not ask for."""
        rows, others = self._rows[one], self._rows[other]

        def judged(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
            del search, labels
            return True if firsts[1] is None else None

        sections, shadows = (rows, others), ((others, rows | others),)
        searches = self._within(
            rows, among=rows | others, judged=judged, sections=sections, shadows=shadows, labelled=False
        )
        return self._any(searches) is not None

    def _any(self, searches: Iterable[Search]) -> Facts | None:
        for search in searches:
            found = first_found(search, self._namer)
            if found is not None:
                return found[0]
        return None


def _least(when: Condition, lowering: Lowering) -> tuple[Condition, ...]:
    parts = list(when.parts) if isinstance(when, All) else [when]
    for part in tuple(parts):
        rest = [other for other in parts if other is not part]
        if rest and not lowering.boxes(All(tuple(rest))):
            parts = rest
    match parts:
        case [Constant()]:
            return ()
        case [All() as inner]:
            return _least(inner, lowering)
        case _:
            return tuple(parts)


def _before(rows: int) -> int:
    """The rows before the first of these."""
    return (rows & -rows) - 1
