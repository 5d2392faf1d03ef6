"""The rows of the tables compared, indexed by what they hold.

Law: the index answers exactly which rows match a model, and which hold an atom; what rows may have in common with a box
is answered by a superset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ccx.analysis.boxes import Box, Models, ModelTerm
from ccx.analysis.globs import meets
from ccx.analysis.rows import Side
from ccx.analysis.space import Space
from ccx.routing.globs import glob_matches


@dataclass(frozen=True, slots=True)
class Row:
    """One box of a rule. `rule` is its place among the rules of its side."""

    rule: int
    box: Box


class Board:
    """The rows of several sides, one after the other, as bits: row k is bit k. A section is the bits of one side."""

    def __init__(self, space: Space, sides: Sequence[Side]) -> None:
        self.space = space
        self.sides = tuple(sides)
        rows: list[tuple[int, Row]] = []
        sections: list[int] = []
        for number, side in enumerate(sides):
            lowering = space.lowering(side.judge.facts)
            start = len(rows)
            for place, rule in enumerate(side.rules):
                rows += [(number, Row(place, box)) for box in lowering.boxes(rule.when)]
            sections.append((1 << len(rows)) - (1 << start))
        self.rows = tuple(rows)
        self.sections = tuple(sections)
        self.hits: tuple[tuple[int, ...], ...] = tuple(
            self._hits(place, len(axis.atoms)) for place, axis in enumerate(space.axes)
        )
        self._by_term: dict[ModelTerm, int] = {}
        self._without_model = 0
        for bit, (_, row) in enumerate(rows):
            if row.box.models.none:
                self._without_model |= 1 << bit
            for term in row.box.models.terms:
                self._by_term[term] = self._by_term.get(term, 0) | 1 << bit
        patterns = sorted({p for inside, outside in self._by_term for p in (*inside, *outside)})
        bits = {pattern: 1 << k for k, pattern in enumerate(patterns)}
        self._patterns = tuple((pattern, bits[pattern]) for pattern in patterns)
        self._coded = tuple(
            (sum(bits[p] for p in inside), sum(bits[p] for p in outside), rows)
            for (inside, outside), rows in self._by_term.items()
        )
        self._matching: dict[str, int] = {}
        self._meeting: dict[ModelTerm, int] = {}

    def _hits(self, place: int, count: int) -> tuple[int, ...]:
        found = [0] * count
        for bit, (_, row) in enumerate(self.rows):
            for atom in bits_of(row.box.masks[place]):
                found[atom] |= 1 << bit
        return tuple(found)

    def matching(self, model: str | None) -> int:
        """The rows whose models hold this one."""
        if model is None:
            return self._without_model
        found = self._matching.get(model)
        if found is None:
            matched = 0
            for pattern, bit in self._patterns:
                if glob_matches(pattern, model):
                    matched |= bit
            found = 0
            for inside, outside, rows in self._coded:
                if matched & inside == inside and not matched & outside:
                    found |= rows
            self._matching[model] = found
        return found

    def meeting(self, masks: Sequence[int], among: int) -> int:
        """Of these rows, those that hold requests within these sets of atoms, if the models agree."""
        for place, mask in enumerate(masks):
            if mask == self.space.full[place]:
                continue
            hits = self.hits[place]
            here = 0
            for atom in bits_of(mask):
                here |= hits[atom]
            among &= here
        return among

    def sharing(self, models: Models) -> int:
        """The rows that may have a model in common with these: a superset."""
        found = self._without_model if models.none else 0
        for term in models.terms:
            found |= self._sharing(term)
        return found

    def _sharing(self, term: ModelTerm) -> int:
        found = self._meeting.get(term)
        if found is None:
            found = 0
            for other, rows in self._by_term.items():
                if all(meets(p, q) for p in term[0] for q in other[0]):
                    found |= rows
            self._meeting[term] = found
        return found

    def rule(self, bit: int) -> tuple[int, int]:
        """The side and the rule of a row."""
        side, row = self.rows[bit]
        return side, row.rule


def bits_of(mask: int) -> Iterator[int]:
    """The places of the bits, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
