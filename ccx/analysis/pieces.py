"""Which models need asking so that the answer holds for every model.

Law: `models_to_ask` yields globs whose generic texts, with "no model", meet every case that a search can find: for any
model x and any point of the other axes where something is found, one of the globs holds x, and the same rows decide
for its generic text there, with the same outcomes.

Why. Say rows i and j decide for x (one on each side; on a side where none does, leave it out), each by a term "inside
these patterns, outside those". Intersect: the inside patterns of both terms; for each group of patterns that the
outcome of i or j hangs on, the one that decides for x, if any; and for each row that x escapes only by an outside
pattern of one of its terms, that pattern. x lies in one of the globs of the intersection, Q. The generic text of Q
matches a pattern iff the pattern holds Q (see `globs`), so what it matches x matches too. Hence it is outside of what x
is outside of: i and j hold it, and no row before them that x escapes for lack of an inside pattern holds it; those that
x escapes by an outside pattern it escapes alike, because Q lies in that pattern. Of each group it matches the one that
decides for x and none that would go before it, so the outcomes agree as well.

So inside patterns are intersected by pairs of deciding rows, not by subsets of all rows: many infix patterns side by
side cost their square and no more. Only outside patterns are closed under intersection.
"""

from __future__ import annotations

from collections.abc import Iterator

from ccx.analysis.board import bits_of
from ccx.analysis.globs import holds, intersect, pieces_of
from ccx.analysis.search import Search

Groups = frozenset[tuple[str, ...]]


def models_to_ask(search: Search) -> list[str]:
    """The globs, the widest first. Raises Unfinished where there are too many."""
    found: set[str] = set()
    for inside, groups in _cases(search).items():
        for start in pieces_of(tuple(sorted(inside))):
            found |= _chosen(start, groups, search)
    outside = _outside(search)
    pending = sorted(found)
    while pending:
        piece = pending.pop()
        for pattern in outside:
            if holds(pattern, piece):
                continue
            for smaller in intersect(piece, pattern):
                if smaller not in found:
                    search.meter.step()
                    found.add(smaller)
                    pending.append(smaller)
    return sorted(found, key=breadth)


def in_turn(search: Search) -> Iterator[str]:
    """The same globs, beginning with the likeliest: what each deciding row asks for, by itself."""
    first: set[str] = set()
    for bound, _ in search.models.in_order:
        for inside in _by_inside(search, search.deciding):
            for piece in pieces_of(widest_inside(inside | bound)):
                if piece not in first:
                    first.add(piece)
                    yield piece
    for piece in models_to_ask(search):
        if piece not in first:
            yield piece


def breadth(piece: str) -> tuple[int, int, str]:
    """A sort key by which wider globs tend to come first."""
    return (len(piece) - piece.count("*"), -piece.count("*"), piece)


def _chosen(start: str, groups: Groups, search: Search) -> set[str]:
    """The glob, and within it whatever one pattern of each group may decide for."""
    found = {start}
    for group in sorted(groups):
        for piece in tuple(found):
            for pattern in group:
                for smaller in intersect(piece, pattern):
                    if smaller not in found:
                        search.meter.step()
                        found.add(smaller)
    return found


def _outside(search: Search) -> list[str]:
    """The patterns by which rows are escaped, or the bounds of the question."""
    terms = {term for bit in bits_of(search.keep) for term in search.board.rows[bit][1].box.models.terms}
    found = {pattern for _, outside in (*terms, *search.models.terms) for pattern in outside}
    return sorted(found, key=breadth)


def _cases(search: Search) -> dict[frozenset[str], Groups]:
    """What rows may decide together: their inside patterns, with the groups that their outcomes hang on."""
    bounds = [inside for inside, _ in search.models.in_order]
    found: dict[frozenset[str], Groups] = {}
    if search.essential is None:
        for bound in bounds:
            _add(found, bound, frozenset())
    partners = [_by_inside(search, section) for section in search.sections] if len(search.sections) > 1 else [{}]
    for number, section in enumerate(search.sections):
        others = [rows for other, rows in enumerate(partners) if other != number]
        for inside, groups in _by_inside(search, section & search.deciding).items():
            for bound in bounds:
                _add(found, inside | bound, groups)
                for rows in others:
                    for inside_too, groups_too in rows.items():
                        search.meter.step()
                        _add(found, inside | inside_too | bound, groups | groups_too)
    return found


def _by_inside(search: Search, rows: int) -> dict[frozenset[str], Groups]:
    """The inside patterns of rows, with the groups that their outcomes hang on."""
    board = search.board
    found: dict[frozenset[str], Groups] = {}
    for bit in bits_of(rows):
        side, row = board.rows[bit]
        groups = frozenset(board.sides[side].choices(row.rule)) if search.labelled else frozenset()
        for inside, _ in row.box.models.in_order:
            _add(found, inside, groups)
    return found


def _add(cases: dict[frozenset[str], Groups], inside: frozenset[str], groups: Groups) -> None:
    if len(inside) > 1:
        inside = frozenset(widest_inside(inside))
    had = cases.get(inside)
    cases[inside] = groups if had is None else had | groups


def widest_inside(inside: frozenset[str]) -> tuple[str, ...]:
    """The same intersection by fewer patterns: those that hold another are left out."""
    return tuple(sorted(p for p in inside if not any(q != p and holds(p, q) for q in inside)))
