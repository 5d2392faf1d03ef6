"""What a search finds, as boxes for people: few, as large as they get, and exact.

Law: a region holds only requests of its kind, and, if none was left out, together they hold all of them.

Only these. A region is (P except E1, E2...) x B: a glob, exceptions, and a box of atoms. `_exceptions` follows every
pattern that still tells models of P apart anywhere in B, into the intersection with P, and on; where the search finds
something else for a generic text there, the pattern becomes an exception. A text of P outside of all exceptions thus
answers every pattern that counts in B like some generic text that was looked at.

All of them. Every glob of `pieces` is looked at, and for each region the intersection of its glob with each of its
exceptions. A request of the kind is found for some glob Q of `pieces` with its model x in it. What the search finds
there for the generic text of Q is in some region; if x itself is not, one of the region's exceptions has x, and its
intersection with Q is a smaller glob of the same standing, which is looked at in its turn, for that kind.

Looking has bounds of its own, beyond which a region has more exceptions than it needs, and globs still to be looked at
count as regions left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ccx.analysis.board import bits_of
from ccx.analysis.globs import generic, holds, intersect, meets, widest
from ccx.analysis.pieces import breadth, models_to_ask
from ccx.analysis.search import Search, Tree
from ccx.routing.globs import glob_matches

TRIALS_PER_AREA = 150
TRIALS_IN_ALL = 1_500
"""Globs tried while the exceptions of a region, or of all, are sought; beyond, any pattern that may matter is one."""
SMALLER_PER_KIND = 200
SMALLER_IN_ALL = 1_500
"""Globs looked at because they lie in an exception."""


@dataclass(frozen=True, slots=True)
class Area:
    """Models and atoms. `piece` None: the requests without a model. `also` are further globs with the same exceptions;
    `none` takes in the requests without a model."""

    piece: str | None
    except_: tuple[str, ...]
    box: tuple[int, ...]
    also: tuple[str, ...] = ()
    none: bool = False

    def has_model(self, model: str | None) -> bool:
        """Whether the model is one of the area's."""
        if model is None or self.piece is None:
            return model is self.piece
        inside = glob_matches(self.piece, model) or any(glob_matches(p, model) for p in self.also)
        return inside and not any(glob_matches(p, model) for p in self.except_)


@dataclass(slots=True)
class Found:
    """The areas of one kind, and how many boxes are left out."""

    areas: list[Area] = field(default_factory=list)
    more: int = 0


def cover(search: Search, *, cap: int) -> dict[Hashable, Found]:
    """Everything the search finds, by what it is. Raises Unfinished."""
    return Cover(search, cap=cap).all()


class Cover:
    """What a search finds, as it comes to be known: `found` holds no wrong area at any time."""

    def __init__(self, search: Search, *, cap: int) -> None:
        self._search = search
        self._cap = cap
        self.found: dict[Hashable, Found] = {}
        self._trials = TRIALS_IN_ALL
        self._smaller: dict[Hashable, int] = {}
        self._left = SMALLER_IN_ALL
        self._seen: set[tuple[str, Hashable]] = set()
        self._pending: list[tuple[tuple[int, int, str], int, str, Hashable]] = []

    def all(self) -> dict[Hashable, Found]:
        """Everything. Raises Unfinished."""
        search = self._search
        self._look(None, search.paths(search.tree(None)))
        for piece in models_to_ask(search):
            self._look(piece, search.paths(search.tree(generic(piece))))
        while self._pending:
            _, _, piece, value = heapq.heappop(self._pending)
            looked = self._smaller.get(value, 0)
            if looked >= SMALLER_PER_KIND or self._left <= 0 or self.found[value].more:
                # Where some are left out anyway, there is nothing to complete.
                self.found[value].more += 1
                continue
            self._smaller[value] = looked + 1
            self._left -= 1
            paths = search.paths(search.tree(generic(piece)))
            self._look(piece, ((box, kind) for box, kind in paths if kind == value))
        return self.tidied()

    def tidied(self) -> dict[Hashable, Found]:
        """What was found so far, in as few areas as is plain."""
        for found in self.found.values():
            found.areas = _tidied(found.areas)
        return self.found

    def _later(self, piece: str, value: Hashable) -> None:
        """Has a glob looked at for requests of one kind."""
        if (piece, value) not in self._seen:
            self._seen.add((piece, value))
            heapq.heappush(self._pending, (breadth(piece), len(self._seen), piece, value))

    def _look(self, piece: str | None, paths: Iterable[tuple[tuple[int, ...], Hashable]]) -> None:
        """Sees to it that what is found for the glob is in an area, and that none of it is lost in an exception."""
        search = self._search
        model = generic(piece) if piece is not None else None
        tree = search.tree(model)
        for box, value in paths:
            search.meter.step()
            found = self.found.setdefault(value, Found())
            area = next((a for a in found.areas if _inside(box, a.box) and a.has_model(model)), None)
            if area is None:
                if len(found.areas) >= self._cap:
                    found.more += 1
                    continue
                wide = self._widened(box, tree, value)
                except_ = self._exceptions(piece, wide, value) if piece is not None else ()
                area = Area(piece, except_, wide)
                found.areas.append(area)
            if piece is not None:
                for pattern in area.except_:
                    for smaller in intersect(piece, pattern):
                        self._later(smaller, value)

    def _widened(self, box: tuple[int, ...], tree: Tree, value: Hashable) -> tuple[int, ...]:
        """The box made as large as what is found allows, axis by axis: to all of it, or class by class."""
        search = self._search
        wide = list(box)
        for place in search.places:
            if wide[place] == search.hull[place]:
                continue
            had = wide[place]
            wide[place] = search.hull[place]
            if search.throughout(tree, wide, value):
                continue
            wide[place] = had
            for _, atoms in search.classes(place):
                if atoms & ~had:
                    search.meter.step()
                    before = wide[place]
                    wide[place] |= atoms
                    if not search.throughout(tree, wide, value):
                        wide[place] = before
        return tuple(wide)

    def _exceptions(self, piece: str, box: tuple[int, ...], value: Hashable) -> tuple[str, ...]:
        search = self._search
        chosen: list[str] = []
        seen = {piece}
        pending = [piece]
        allowed = min(TRIALS_PER_AREA, self._trials)
        at = 0
        while at < len(pending):
            here = pending[at]
            at += 1
            for pattern in self._telling(here, box):
                if pattern in chosen:
                    continue
                if allowed <= 0:
                    chosen.append(pattern)
                    continue
                for smaller in intersect(here, pattern):
                    if smaller in seen or any(holds(e, smaller) for e in chosen):
                        continue
                    seen.add(smaller)
                    allowed -= 1
                    self._trials -= 1
                    search.meter.step()
                    if search.throughout(search.tree(generic(smaller)), box, value):
                        pending.append(smaller)
                    else:
                        chosen.append(pattern)
                        break
        return _needed(piece, chosen)

    def _telling(self, piece: str, box: tuple[int, ...]) -> list[str]:
        """The patterns that tell models of the glob apart somewhere in the box."""
        search, board = self._search, self._search.board
        rows = board.meeting(box, search.keep)
        held = board.matching(generic(piece)) & rows
        found: set[str] = {p for term in search.models.terms for p in (*term[0], *term[1])}
        for section in search.sections:
            for bit in bits_of(rows & section):
                side, row = board.rows[bit]
                terms = [t for t in row.box.models.terms if all(meets(p, piece) for p in t[0])]
                if not terms:
                    continue
                found.update(p for term in terms for p in (*term[0], *term[1]))
                found.update(p for group in board.sides[side].choices(row.rule) for p in group)
                if held >> bit & 1 and _inside(box, row.box.masks):
                    sure = any(
                        all(holds(p, piece) for p in inside) and not any(meets(p, piece) for p in outside)
                        for inside, outside in terms
                    )
                    if sure:
                        break
        telling = [p for p in found if meets(p, piece) and not holds(p, piece)]
        return sorted(telling, key=breadth)


def _inside(box: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(not a & ~b for a, b in zip(box, other, strict=True))


def _needed(piece: str, exceptions: list[str]) -> tuple[str, ...]:
    """Without the exceptions that take nothing from the glob that others do not take."""
    kept = sorted(exceptions, key=breadth)
    for pattern in reversed(list(kept)):
        others = [e for e in kept if e != pattern]
        if all(any(holds(e, part) for e in others) for part in intersect(piece, pattern)):
            kept = others
    return tuple(sorted(kept))


def _tidied(areas: list[Area]) -> list[Area]:
    """Without areas within another, and those with the same atoms as one where that is exact."""
    joined: list[Area] = []
    for number, area in enumerate(areas):
        rest = areas[:number] + areas[number + 1 :]
        if any(_within(area, other) and (not _within(other, area) or k < number) for k, other in enumerate(rest)):
            continue
        for place, other in enumerate(joined):
            both = _joined(other, area)
            if both is not None:
                joined[place] = both
                break
        else:
            joined.append(area)
    return joined


def _within(one: Area, other: Area) -> bool:
    if not _inside(one.box, other.box):
        return False
    if one.piece is None or other.piece is None:
        return one.piece is other.piece
    return holds(other.piece, one.piece) and _apart(other, one)


def _joined(one: Area, other: Area) -> Area | None:
    if one.box != other.box:
        return None
    if one.piece is None or other.piece is None:
        if one.piece is None and other.piece is None:
            return one
        named, without = (other, one) if one.piece is None else (one, other)
        return None if without.also else Area(named.piece, named.except_, named.box, named.also, none=True)
    if not (_apart(one, other) and _apart(other, one)):
        return None
    globs = widest(frozenset({one.piece, *one.also, other.piece, *other.also}))
    exceptions = frozenset(e for e in (*one.except_, *other.except_) if any(meets(e, glob) for glob in globs))
    return Area(globs[0], tuple(sorted(exceptions)), one.box, globs[1:], one.none or other.none)


def _apart(one: Area, other: Area) -> bool:
    """Whether the exceptions of one take nothing from the other."""
    return all(
        any(holds(e, part) for e in other.except_)
        for exception in one.except_
        for glob in (other.piece, *other.also)
        if glob is not None
        for part in intersect(glob, exception)
    )
