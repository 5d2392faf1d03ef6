"""First matches over all axes at once: for a model, which rows decide which requests.

Law: exact for the model asked about. The rows that match the model are followed through the axes of atoms, atoms that
no row in play tells apart taken as one; on each side everything behind a row that now matches for certain is dropped.
States that are alike are one node, so that the answer for a model is a small graph. A subtree without an essential row,
one whose match is what the question is about, holds nothing.

Why only some models need asking: see `pieces`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from ccx.analysis.board import Board, bits_of
from ccx.analysis.boxes import Models
from ccx.analysis.effort import Meter
from ccx.analysis.outcome import Outcome
from ccx.protocols.names import Protocol
from ccx.routing.globs import glob_matches

Firsts = tuple[int | None, ...]
"""The deciding row of each side; None: none."""
Labels = tuple[int, ...]
"""The outcome on each side, by number: equal outcomes have equal numbers. See `Search.outcome`."""
Judgement = Callable[["Search", Firsts, Labels], Hashable | None]
"""What is found where these rows decide with these outcomes; None: nothing. Equal values make one region."""

NO_ROUTE = Outcome("no_route")
_NONE = 0  # the number of "no route"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A choice on one axis: disjoint sets of atoms, and what is found for each."""

    place: int
    children: tuple[tuple[int, Tree], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """Something is found."""

    value: Hashable


Tree = Node | Leaf | None


class Search:
    """One question: within `hull` (atoms of each axis) and `models`, what `judged` finds.

    `keep` are the rows that may have a part in it, `essential` those without one of which nothing is found; with None
    anything may be. `deciding` are rows whose being first can matter for it. `sections` are the rows that a first match
    is sought among, by default those of each side; `shadows` say which rows are behind a sure match of which, by
    default those of the same section. Without `labelled` the outcomes do not matter, and are all alike.
    """

    def __init__(
        self,
        board: Board,
        judged: Judgement,
        *,
        hull: Sequence[int],
        models: Models,
        keep: int,
        essential: int | None,
        meter: Meter,
        deciding: int = -1,
        sections: Sequence[int] | None = None,
        shadows: Sequence[tuple[int, int]] | None = None,
        labelled: bool = True,
    ) -> None:
        self.board = board
        self.hull = tuple(hull)
        self.models = models
        self.keep = board.meeting(self.hull, keep)
        self.essential = essential
        self.meter = meter
        self.deciding = self.keep & deciding & (-1 if essential is None else essential)
        self.labelled = labelled
        self._judged = judged
        self._classes = [self._grouped(place) for place in range(len(self.hull))]
        # The protocol decides outcomes too, so it is always chosen, and first.
        self.places = [0] + [place for place in range(1, len(self.hull)) if len(self._classes[place]) > 1]
        self._sure = self._surely()
        self.sections = tuple(section & self.keep for section in (board.sections if sections is None else sections))
        self._shadows = tuple((one, one) for one in self.sections) if shadows is None else tuple(shadows)
        self._trees: dict[tuple[int, int], Tree] = {}
        self._answers: dict[tuple[int, tuple[Outcome, ...]], int] = {}
        self._memo: dict[tuple[int, int, tuple[int, ...]], Tree] = {}
        self._nodes: dict[tuple[int, tuple[tuple[int, int], ...]], Node] = {}
        self._leaves: dict[Hashable, Leaf] = {}
        self._ids: dict[Outcome, int] = {}
        self._ids_of_objects: dict[int, int] = {}
        self._kept: list[Outcome] = []  # so that no other object takes their identity
        self._outcomes: list[Outcome] = []
        self._by_model: dict[str | None, Tree] = {}
        self._id(NO_ROUTE)

    def _grouped(self, place: int) -> list[tuple[int, int]]:
        """(rows that hold, atoms): the atoms of the hull, those that no row tells apart together."""
        hits = self.board.hits[place]
        groups: dict[int, int] = {}
        for atom in bits_of(self.hull[place]):
            rows = hits[atom] & self.keep
            groups[rows] = groups.get(rows, 0) | 1 << atom
        if place or not self.labelled:
            return list(groups.items())
        return [(hits[atom] & self.keep, 1 << atom) for atom in bits_of(self.hull[0])]

    def classes(self, place: int) -> list[tuple[int, int]]:
        """(rows that hold, atoms) of an axis: the atoms that no row in play tells apart."""
        return self._classes[place]

    def _surely(self) -> list[int]:
        """For each depth the rows that hold on all axes from there on."""
        sure = [self.keep]
        for place in reversed(self.places):
            rows = sure[0]
            for held, _ in self._classes[place]:
                rows &= held
            sure.insert(0, rows)
        return sure

    def _cut(self, depth: int, rows: int) -> int:
        """Without what is behind a sure match."""
        sure = rows & self._sure[depth]
        if sure:
            for section, behind in self._shadows:
                first = sure & section
                if first:
                    rows &= ~behind | (first & -first) * 2 - 1
        return rows

    def _idle(self, rows: int) -> bool:
        return self.essential is not None and not rows & self.essential

    def _id(self, outcome: Outcome) -> int:
        # Looked up by identity first: a side gives the same object again, and an outcome is long to hash.
        found = self._ids_of_objects.get(id(outcome))
        if found is None:
            found = self._ids.get(outcome)
            if found is None:
                found = self._ids[outcome] = len(self._outcomes)
                self._outcomes.append(outcome)
            self._ids_of_objects[id(outcome)] = found
            self._kept.append(outcome)
        return found

    def outcome(self, label: int) -> Outcome:
        """The outcome of a number. Its route is any that has such an outcome."""
        return self._outcomes[label]

    def admits(self, model: str | None) -> bool:
        """Whether the question is about this model at all."""
        if model is None:
            return self.models.none
        return any(
            all(glob_matches(p, model) for p in inside) and not any(glob_matches(p, model) for p in outside)
            for inside, outside in self.models.terms
        )

    @property
    def models_asked(self) -> int:
        """How many models were asked for so far."""
        return len(self._by_model)

    def tree(self, model: str | None) -> Tree:
        """What is found for this model. Raises Unfinished."""
        if model in self._by_model:
            return self._by_model[model]
        found = self._built(model) if self.admits(model) else None
        self._by_model[model] = found
        return found

    def _built(self, model: str | None) -> Tree:
        rows = self._cut(0, self.board.matching(model) & self.keep)
        if self._idle(rows):
            return None
        grouped: dict[tuple[int, tuple[int, ...]], int] = {}
        for held, atoms in self._classes[0]:
            here = self._cut(1, rows & held)
            if self._idle(here):
                continue
            protocol = self.board.space.axes[0].atoms[atoms.bit_length() - 1].protocol
            key = (here, self._labels(here, protocol, model))
            grouped[key] = grouped.get(key, 0) | atoms
        return self._node(0, [(atoms, self._tree(1, here, labels)) for (here, labels), atoms in grouped.items()])

    def _labels(self, rows: int, protocol: Protocol, model: str | None) -> tuple[int, ...]:
        """The outcomes of rows, by number."""
        if not self.labelled:
            return (0,) * rows.bit_count()
        labels = []
        for bit in bits_of(rows):
            side, rule = self.board.rule(bit)
            labels.append(self._id(self.board.sides[side].outcome(rule, protocol, model)))
        return tuple(labels)

    def _tree(self, depth: int, rows: int, labels: tuple[int, ...]) -> Tree:
        """`labels` are the outcomes of the rows, in their order."""
        key = (depth, rows, labels)
        if key in self._memo:
            return self._memo[key]
        self.meter.step()
        found = self._followed(depth, rows, labels)
        self._memo[key] = found
        return found

    def _followed(self, depth: int, rows: int, labels: tuple[int, ...]) -> Tree:
        if depth == len(self.places):
            return self._leaf(rows, labels)
        place = self.places[depth]
        grouped: dict[int, int] = {}
        for held, atoms in self._classes[place]:
            here = self._cut(depth + 1, rows & held)
            if not self._idle(here):
                grouped[here] = grouped.get(here, 0) | atoms
        if not grouped:
            return None
        bits = list(bits_of(rows))
        children: list[tuple[int, Tree]] = []
        for here, atoms in grouped.items():
            if here == rows:
                kept = labels
            else:
                kept = tuple(label for bit, label in zip(bits, labels, strict=True) if here >> bit & 1)
            children.append((atoms, self._tree(depth + 1, here, kept)))
        return self._node(place, children)

    def _node(self, place: int, children: list[tuple[int, Tree]]) -> Tree:
        joined: dict[int, tuple[int, Tree]] = {}
        for atoms, child in children:
            if child is not None:
                had = joined.get(id(child), (0, child))[0]
                joined[id(child)] = (had | atoms, child)
        if not joined:
            return None
        if len(joined) == 1:
            atoms, child = next(iter(joined.values()))
            if atoms == self.hull[place]:
                return child
        key = (place, tuple(sorted((atoms, id(child)) for atoms, child in joined.values())))
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Node(place, tuple(sorted(joined.values(), key=lambda pair: pair[0])))
        return node

    def _leaf(self, rows: int, labels: tuple[int, ...]) -> Tree:
        by_bit = dict(zip(bits_of(rows), labels, strict=True))
        firsts: list[int | None] = []
        found: list[int] = []
        for section in self.sections:
            here = rows & section
            bit = (here & -here).bit_length() - 1 if here else None
            firsts.append(bit)
            found.append(_NONE if bit is None else by_bit[bit])
        value = self._judged(self, tuple(firsts), tuple(found))
        if value is None:
            return None
        leaf = self._leaves.get(value)
        if leaf is None:
            leaf = self._leaves[value] = Leaf(value)
        return leaf

    def paths(self, tree: Tree) -> Iterator[tuple[tuple[int, ...], Hashable]]:
        """Disjoint boxes of atoms, each with what is found in it."""
        box = list(self.hull)

        def walk(node: Tree) -> Iterator[tuple[tuple[int, ...], Hashable]]:
            match node:
                case None:
                    return
                case Leaf(value):
                    yield tuple(box), value
                case Node(place, children):
                    had = box[place]
                    for atoms, child in children:
                        box[place] = atoms
                        yield from walk(child)
                    box[place] = had

        return walk(tree)

    def throughout(self, tree: Tree, box: Sequence[int], value: Hashable) -> bool:
        """Whether everything in the box is found to be this."""
        if any(mask & ~hull for mask, hull in zip(box, self.hull, strict=True)):
            return False
        seen: dict[int, bool] = {}

        def walk(node: Tree) -> bool:
            match node:
                case None:
                    return False
                case Leaf(here):
                    return here == value
                case Node(place, children):
                    known = seen.get(id(node))
                    if known is None:
                        left = box[place]
                        known = True
                        for atoms, child in children:
                            if atoms & left:
                                left &= ~atoms
                                if not walk(child):
                                    known = False
                                    break
                        known = seen[id(node)] = known and not left
                    return known

        return walk(tree)
