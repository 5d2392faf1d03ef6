"""Questions about one table: is there a request with such an outcome, and which are all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import chain

from ccx.analysis.board import Board
from ccx.analysis.effort import Budget, Meter
from ccx.analysis.globs import generic
from ccx.analysis.outcome import Outcome
from ccx.analysis.pieces import in_turn
from ccx.analysis.rows import Side
from ccx.analysis.search import Firsts, Judgement, Labels, Search
from ccx.analysis.space import Space
from ccx.analysis.witness import Namer, namer_of, request
from ccx.routing.conditions import ALWAYS, Condition
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable

Accept = Callable[[Outcome], bool]


def find(
    table: RoutingTable,
    *,
    accept: Accept,
    within: Condition = ALWAYS,
    budget: Budget = Budget(),  # noqa: B008 - frozen
) -> Facts | None:
    """Some request in `within` whose outcome is accepted; None is a proof that there is none. Raises Unfinished."""
    for search in _searches(table, accept, within, budget=budget):
        found = first_found(search)
        if found is not None:
            return found[0]
    return None


def first_found(search: Search, namer: Namer | None = None) -> tuple[Facts, Hashable] | None:
    """Some request that a search finds, and what it is; None is a proof that there is none. Raises Unfinished."""
    for piece in chain(in_turn(search), (None,)):
        for box, value in search.paths(search.tree(generic(piece) if piece is not None else None)):
            naming = namer or namer_of(search.board, search.models)
            return request(search, naming.model(piece) if piece is not None else None, box), value
    return None


def _searches(table: RoutingTable, accept: Accept, within: Condition, *, budget: Budget) -> Iterator[Search]:
    space = Space((table,), (within,))
    board = Board(space, (Side(table),))
    meter = Meter(budget)
    for box in space.lowering().boxes(within):
        keep = board.meeting(box.masks, sum(board.sections)) & board.sharing(box.models)
        yield Search(
            board, _accepted(accept), hull=box.masks, models=box.models, keep=keep, essential=None, meter=meter
        )


def _accepted(accept: Accept) -> Judgement:
    def judged(search: Search, firsts: Firsts, labels: Labels) -> Hashable | None:
        outcome = search.outcome(labels[0])
        if firsts[0] is not None:
            # Equal outcomes share a number; whoever asks is told whose this one is.
            side, rule = search.board.rule(firsts[0])
            outcome = replace(outcome, route=search.board.sides[side].rules[rule].name)
        return True if accept(outcome) else None

    return judged
