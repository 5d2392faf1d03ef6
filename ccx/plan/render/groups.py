"""The changes of a plan as every renderer shows them: grouped by the edit that causes them, terms in common said once.

Law: grouping loses nothing and claims nothing. Terms are taken out only where every region is there to be looked at: of
regions left out nobody knows that they share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ccx.analysis.wording import say
from ccx.plan.model import Edit, Moved, Plan
from ccx.plan.render.cells import UNICODE, Signs
from ccx.plan.render.words import name, pair_words
from ccx.routing.conditions import ALWAYS, All, Condition, Constant


@dataclass(frozen=True, slots=True)
class Row:
    """One change: its regions in words, without the terms that its group has in common. `alike` are further changes
    that read the same before and after: they differ in what no words are made of, such as the upstream's protocol."""

    moved: Moved
    regions: tuple[str, ...]
    more: int
    alike: tuple[Moved, ...] = ()

    @property
    def changes(self) -> int:
        """How many changes of the plan it stands for."""
        return 1 + len(self.alike)


@dataclass(frozen=True, slots=True)
class Group:
    """What one edit causes; `cause` None: several at once. `common` is what holds for all of it, perhaps nothing."""

    cause: Edit | None
    rows: tuple[Row, ...]
    common: str


def grouped(plan: Plan, *, signs: Signs = UNICODE) -> tuple[Group, ...]:
    """The groups in order of their gravest change, each with its own common terms."""
    by_cause: dict[int | None, list[Moved]] = {}
    for moved in plan.moved:
        by_cause.setdefault(moved.cause, []).append(moved)
    return tuple(
        _group(plan.edits[cause] if cause is not None else None, members, common_terms(members), signs)
        for cause, members in by_cause.items()
    )


def rows_of(members: Sequence[Moved], common: Sequence[Condition], *, signs: Signs = UNICODE) -> tuple[Row, ...]:
    """Changes as rows, the common terms left out of their regions; those of one cause that read the same as one row."""
    left_out = frozenset(common)
    alike: dict[object, list[Moved]] = {}
    for moved in members:
        words = pair_words(moved.change.before, moved.change.after, signs)
        alike.setdefault((moved.cause, moved.effect, moved.share, words), []).append(moved)
    return tuple(_row(together, left_out, signs) for together in alike.values())


def _row(together: Sequence[Moved], left_out: frozenset[Condition], signs: Signs) -> Row:
    regions = (name(say(_without(region.when, left_out)), signs) for one in together for region in one.change.regions)
    return Row(
        together[0],
        tuple(dict.fromkeys(regions)),
        sum(one.change.more for one in together),
        tuple(together[1:]),
    )


def terms_words(common: Sequence[Condition], *, signs: Signs = UNICODE) -> str:
    """Common terms in words; empty for none."""
    return name(say(common[0] if len(common) == 1 else All(tuple(common))), signs) if common else ""


def common_terms(members: Iterable[Moved]) -> tuple[Condition, ...]:
    """The terms that every region of these changes has. None where there is but one region, or not all are known."""
    changes = [moved.change for moved in members]
    boxes = [_terms(region.when) for change in changes for region in change.regions]
    if len(boxes) < 2 or any(change.more for change in changes):
        return ()
    shared = frozenset(boxes[0]).intersection(*boxes[1:])
    return tuple(term for term in boxes[0] if term in shared)


def quiet_edits(plan: Plan) -> tuple[Edit, ...]:
    """Edits that change no request and touch nothing: proven, where the analysis is complete."""
    causes = {moved.cause for moved in plan.moved}
    shown = [one.edit for one in plan.touched]
    return tuple(edit for index, edit in enumerate(plan.edits) if index not in causes and edit not in shown)


def _group(cause: Edit | None, members: Sequence[Moved], common: Sequence[Condition], signs: Signs) -> Group:
    return Group(cause, rows_of(members, common, signs=signs), terms_words(common, signs=signs))


def _terms(condition: Condition) -> tuple[Condition, ...]:
    match condition:
        case All(parts):
            return parts
        case Constant(True):
            return ()
        case _:
            return (condition,)


def _without(condition: Condition, left_out: frozenset[Condition]) -> Condition:
    kept = tuple(term for term in _terms(condition) if term not in left_out)
    if not kept:
        return ALWAYS
    return kept[0] if len(kept) == 1 else All(kept)
