"""Conditions as boxes: for each axis a set of its values, and all of them must hold.

Law: the boxes of a condition together hold exactly its requests. The axes of atoms are ints (see `axes`); the model
axis, which is never sorted into atoms, is a union of terms, each "in all of these patterns and in none of those".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ccx.analysis.effort import Unfinished
from ccx.analysis.globs import holds, meets, pieces_of, single_stars
from ccx.routing.conditions import All, AnyOf, Condition, Constant, Leaf, ModelMatches, Not

BOXES_AT_MOST = 2_000
ModelTerm = tuple[frozenset[str], frozenset[str]]
"""(inside all, outside all)."""


@dataclass(frozen=True, slots=True)
class Models:
    """A set of models. `none` takes in the requests without one."""

    none: bool
    terms: frozenset[ModelTerm]

    @property
    def empty(self) -> bool:
        """Whether nothing is in it."""
        return not self.none and not self.terms

    @property
    def in_order(self) -> list[ModelTerm]:
        """The terms in an order that no process changes: what is found first must be the same in all of them."""
        return sorted(self.terms, key=_spelling) if len(self.terms) > 1 else list(self.terms)

    def joined(self, other: Models) -> Models:
        """What is in either. A term within another is dropped."""
        return Models(self.none or other.none, _widest(self.terms | other.terms))

    def common(self, other: Models) -> Models:
        """What is in both."""
        if self == ANY_MODEL:
            return other
        if other == ANY_MODEL:
            return self
        terms = (_term(one[0] | two[0], one[1] | two[1]) for one in self.terms for two in other.terms)
        return Models(self.none and other.none, _widest(frozenset(term for term in terms if term is not None)))


ANY_MODEL = Models(True, frozenset({(frozenset(), frozenset())}))


def _spelling(term: ModelTerm) -> tuple[list[str], list[str]]:
    # After a channel's name people write a slash; the comma, which does the same, goes behind everything.
    inside, outside = (sorted(pattern.replace(",", "~") for pattern in patterns) for patterns in term)
    return inside, outside


def _term(inside: frozenset[str], outside: frozenset[str]) -> ModelTerm | None:
    """The smallest equal term; None where it holds nothing."""
    if len(inside) > 1:
        inside = frozenset(p for p in inside if not any(q != p and holds(p, q) for q in inside))
    if "*" in outside or any(holds(n, p) for n in outside for p in inside):
        return None
    many = sorted(inside)
    if any(not meets(p, q) for k, p in enumerate(many) for q in many[k + 1 :]):
        return None
    kept = frozenset(n for n in outside if all(meets(n, p) for p in inside))
    if len(kept) > 1:
        kept = frozenset(n for n in kept if not any(m != n and holds(m, n) for m in kept))
    if len(many) > 1 and all(any(holds(n, piece) for n in kept) for piece in pieces_of(tuple(many))):
        return None
    return inside, kept


def _widest(terms: frozenset[ModelTerm]) -> frozenset[ModelTerm]:
    if len(terms) < 2:
        return terms
    return frozenset(t for t in terms if not any(o != t and o[0] <= t[0] and o[1] <= t[1] for o in terms))


def models_of(leaf: ModelMatches, *, wanted: bool) -> Models:
    """The models that are in the set, or that are not."""
    include = frozenset(single_stars(p) for p in leaf.globs.include) or frozenset({"*"})
    exclude = frozenset(single_stars(p) for p in leaf.globs.exclude)
    if wanted:
        found = (_term(_inside(p), exclude) for p in include)
        return Models(False, _widest(frozenset(term for term in found if term is not None)))
    outside = {(frozenset[str](), include)} if "*" not in include else set()
    return Models(True, _widest(frozenset(outside | {(_inside(p), frozenset[str]()) for p in exclude})))


def _inside(pattern: str) -> frozenset[str]:
    return frozenset() if pattern == "*" else frozenset({pattern})


@dataclass(frozen=True, slots=True)
class Box:
    """`masks` has the atoms of each axis, in the order of the space."""

    masks: tuple[int, ...]
    models: Models

    def common(self, other: Box) -> Box | None:
        """What is in both; None if that is nothing."""
        masks = tuple(a & b for a, b in zip(self.masks, other.masks, strict=True))
        if not all(masks):
            return None
        models = self.models.common(other.models)
        return None if models.empty else Box(masks, models)

    def within(self, other: Box) -> bool:
        """Whether it is plain to see that the other holds all of this one."""
        return all(not a & ~b for a, b in zip(self.masks, other.masks, strict=True)) and (
            other.models in (ANY_MODEL, self.models)
        )


class Lowering:
    """Turns conditions into boxes. `mask` gives the place of a leaf's axis and the atoms where the leaf holds."""

    def __init__(self, full: tuple[int, ...], mask: Callable[[Leaf], tuple[int, int]]) -> None:
        self._full = full
        self._mask = mask
        self._kept: dict[Condition, tuple[Box, ...]] = {}

    def boxes(self, condition: Condition) -> tuple[Box, ...]:
        """The boxes of a condition; none where nothing can meet it. Raises Unfinished where there are too many."""
        found = self._kept.get(condition)
        if found is None:
            found = self._kept[condition] = tuple(self._lower(condition, wanted=True))
        return found

    def _lower(self, condition: Condition, *, wanted: bool) -> list[Box]:
        match condition:
            case Not(part):
                return self._lower(part, wanted=not wanted)
            case All(parts) | AnyOf(parts):
                if isinstance(condition, All) is wanted:
                    return self._every(parts, wanted=wanted)
                return merged([box for part in parts for box in self._lower(part, wanted=wanted)])
            case Constant(value):
                return [Box(self._full, ANY_MODEL)] if value is wanted else []
            case ModelMatches():
                models = models_of(condition, wanted=wanted)
                return [] if models.empty else [Box(self._full, models)]
            case _:
                place, held = self._mask(condition)
                atoms = held if wanted else self._full[place] & ~held
                masks = (*self._full[:place], atoms, *self._full[place + 1 :])
                return [Box(masks, ANY_MODEL)] if atoms else []

    def _every(self, parts: Iterable[Condition], *, wanted: bool) -> list[Box]:
        found = [Box(self._full, ANY_MODEL)]
        for part in parts:
            others = self._lower(part, wanted=wanted)
            found = merged([both for one in found for two in others if (both := one.common(two)) is not None])
        return found


def merged(boxes: list[Box]) -> list[Box]:
    """The same requests in fewer boxes: those within another dropped, and those that differ on one axis joined."""
    if len(boxes) < 2:
        return boxes
    if len(boxes) > BOXES_AT_MOST:
        raise Unfinished(f"a condition with more than {BOXES_AT_MOST:,} alternatives")
    found: list[Box] = []
    for box in boxes:
        have = box
        joined = True
        while joined:
            joined = False
            for other in found:
                union = _union(have, other)
                if union is not None:
                    found.remove(other)
                    have = union
                    joined = True
                    break
        found.append(have)
    return found


def _union(one: Box, other: Box) -> Box | None:
    if one.within(other):
        return other
    if other.within(one):
        return one
    apart = [k for k, (a, b) in enumerate(zip(one.masks, other.masks, strict=True)) if a != b]
    if not apart:
        return replace(one, models=one.models.joined(other.models))
    if len(apart) == 1 and one.models == other.models:
        k = apart[0]
        return replace(one, masks=(*one.masks[:k], one.masks[k] | other.masks[k], *one.masks[k + 1 :]))
    return None
