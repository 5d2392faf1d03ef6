"""The exact difference of two routing tables.

Law: "no changes" is a proof. Both tables become rows (`rows`); those that stand in both, in the same order, with the
same box and the same outcome, are paired. Where no unpaired row is in play, the first match on either side is one of a
pair, hence the same outcome: so only what unpaired rows hold is searched. There, leaves are pairs of outcomes as the
decision engine itself gives them. Past the budget the difference says that it is unfinished, whatever was found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import replace

from ccx.analysis.areas import regions_of_area
from ccx.analysis.board import Board, bits_of
from ccx.analysis.boxes import Box, Models
from ccx.analysis.difference import Change, Difference, Effort, Region
from ccx.analysis.effort import Budget, Meter, Unfinished
from ccx.analysis.outcome import Outcome
from ccx.analysis.regions import Cover
from ccx.analysis.rows import Side
from ccx.analysis.search import Firsts, Labels, Search
from ccx.analysis.space import Space
from ccx.analysis.witness import namer_of
from ccx.routing.conditions import ALWAYS, Condition
from ccx.routing.table import RoutingTable

REGIONS = 50


def compare(
    old: RoutingTable,
    new: RoutingTable,
    *,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    within: Condition = ALWAYS,
    regions: int = REGIONS,
) -> Difference:
    """Which requests in `within` fare differently on `new`. `regions` is the most listed for each change."""
    meter = Meter(budget)
    effort = Effort(0, budget.states, 0, 0)
    changes: list[Change] = []
    unfinished: str | None = None
    try:
        space = Space((old, new), (within,))
        board = Board(space, (Side(old), Side(new)))
        unpaired = _unpaired(board)
        for box in space.lowering().boxes(within):
            for hull, models, keep in _bounds(board, unpaired, box):
                search = Search(
                    board, _differ, hull=hull, models=models, keep=keep, essential=unpaired & keep, meter=meter
                )
                covering = Cover(search, cap=regions)
                try:
                    covering.all()
                finally:
                    # What was found before the budget ended is true, if not everything.
                    changes += _changes(search, covering)
                effort = replace(
                    effort,
                    model_classes=effort.model_classes + search.models_asked,
                    token_ranges=max(effort.token_ranges, len(space.axes[1].atoms) - 1),
                )
    except Unfinished as ended:
        unfinished = str(ended)
    return Difference(_joined(changes), replace(effort, states=meter.states), unfinished)


def _joined(changes: list[Change]) -> tuple[Change, ...]:
    """One change for each pair of outcomes and of the routes that decide."""
    found: dict[tuple[object, ...], Change] = {}
    for change in changes:
        key = (change.before, change.after, change.before.route, change.after.route)
        had = found.get(key)
        found[key] = (
            change
            if had is None
            else replace(had, regions=(*had.regions, *change.regions), more=had.more + change.more)
        )
    return tuple(found.values())


def _differ(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
    if labels[0] == labels[1]:
        return None
    # With the rules: a change says which routes decided.
    return (*labels, *(search.board.rule(bit) if bit is not None else None for bit in firsts))


def _changes(search: Search, covering: Cover) -> list[Change]:
    namer = namer_of(search.board, search.models)
    changes: list[Change] = []
    for found in covering.tidied().values():
        if not found.areas:
            continue
        regions = tuple(region for area in found.areas for region in regions_of_area(search, namer, area))
        before, after = _judged(search, regions[0])
        for region in regions[1:]:
            if _judged(search, region) != (before, after):
                raise AssertionError(f"{region.witness}, of {region.when}, is decided otherwise than {regions[0]}")
        if before == after:
            raise AssertionError(f"{regions[0].witness}, of {regions[0].when}, is decided alike by both")
        changes.append(Change(before, after, regions, found.more))
    return changes


def _judged(search: Search, region: Region) -> tuple[Outcome, Outcome]:
    """What the judges say of a region's witness."""
    old, new = (side.judge.outcome(region.witness) for side in search.board.sides)
    return old, new


def _unpaired(board: Board) -> int:
    """The rows without a partner, as bits."""
    sequences: list[list[Hashable]] = []
    rows: list[list[list[int]]] = []
    for number, side in enumerate(board.sides):
        of_rule: list[list[int]] = [[] for _ in side.rules]
        for bit in bits_of(board.sections[number]):
            of_rule[board.rows[bit][1].rule].append(bit)
        sequences.append(
            [
                (side.essence(rule), frozenset(board.rows[bit][1].box for bit in bits))
                for rule, bits in enumerate(of_rule)
            ]
        )
        rows.append(of_rule)
    paired = common_order(sequences[0], sequences[1])
    olds, news = {pair[0] for pair in paired}, {pair[1] for pair in paired}
    found = 0
    for of_rule, known in zip(rows, (olds, news), strict=True):
        for rule, bits in enumerate(of_rule):
            if rule not in known:
                found |= sum(1 << bit for bit in bits)
    return found


def common_order(one: Sequence[Hashable], other: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Places of equal things that stand in the same order in both; where all are distinct, as many as can be."""
    places: dict[tuple[Hashable, int], int] = {}
    counts: dict[Hashable, int] = {}
    for place, thing in enumerate(one):
        counts[thing] = counts.get(thing, 0) + 1
        places[thing, counts[thing]] = place
    counts.clear()
    pairs: list[tuple[int, int]] = []
    for place, thing in enumerate(other):
        counts[thing] = counts.get(thing, 0) + 1
        had = places.get((thing, counts[thing]))
        if had is not None:
            pairs.append((had, place))
    return _ascending(pairs)


def _ascending(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run in which the first places ascend too."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int | None] = []
    for place, (had, _) in enumerate(pairs):
        at = bisect_left(ends, had)
        before.append(last[at - 1] if at else None)
        if at == len(ends):
            ends.append(had)
            last.append(place)
        else:
            ends[at] = had
            last[at] = place
    found: list[tuple[int, int]] = []
    here: int | None = last[-1] if last else None
    while here is not None:
        found.append(pairs[here])
        here = before[here]
    return found[::-1]


def _bounds(board: Board, unpaired: int, box: Box) -> list[tuple[tuple[int, ...], Models, int]]:
    """What is to be searched within a box: the atoms that unpaired rows hold, and the rows that meet these."""
    essential = board.meeting(box.masks, unpaired) & board.sharing(box.models)
    if not essential:
        return []
    hull = [0] * len(box.masks)
    keep = 0
    for bit in bits_of(essential):
        held = board.rows[bit][1].box
        masks = [a & b for a, b in zip(held.masks, box.masks, strict=True)]
        hull = [a | b for a, b in zip(hull, masks, strict=True)]
        keep |= board.meeting(masks, sum(board.sections)) & board.sharing(held.models)
    return [(tuple(hull), box.models, keep & board.sharing(box.models))]
