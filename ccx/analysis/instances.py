"""Changes that are instances of another: what is told of one model that is true of all.

Where a target renames the model to `m`, a request for `m` itself is not renamed; exactly seen that is another outcome,
and for a reader the same change. Law: nothing is said of a request that is not so. A change of one literal model is
told as part of a more general one only if both say the same of that model, name for name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ccx.analysis.difference import Change, Region
from ccx.analysis.outcome import Outcome
from ccx.routing.conditions import ALWAYS, All, Condition, ModelMatches, Not
from ccx.routing.globs import Globs


def folded(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The changes, with instances told as part of what they are instances of."""
    kept = list(changes)
    for one in changes:
        model = _literal(one)
        if model is None or one.more:
            continue
        before, after = _named(one.before, model), _named(one.after, model)
        for place, other in enumerate(kept):
            if other is one or _literal(other) is not None:
                continue
            if (_named(other.before, model), _named(other.after, model)) == (before, after):
                kept[place] = replace(other, regions=_joined(other.regions, one.regions, model))
                kept.remove(one)
                break
    return tuple(kept)


def _literal(change: Change) -> str | None:
    """The one model that a change is about, if it is about one."""
    found = {_model(region.when) for region in change.regions}
    if len(found) != 1:
        return None
    (model,) = found
    if isinstance(model, ModelMatches) and len(model.globs.include) == 1 and "*" not in model.globs.include[0]:
        return model.globs.include[0]
    return None


def _named(outcome: Outcome, model: str) -> Outcome:
    """The outcome of a request for this model, with its name at every target."""
    stages = tuple(
        replace(
            stage, targets=tuple(replace(t, model=t.model if t.model is not None else model) for t in stage.targets)
        )
        for stage in outcome.stages
    )
    return replace(outcome, stages=stages)


def _joined(general: tuple[Region, ...], special: tuple[Region, ...], model: str) -> tuple[Region, ...]:
    """Both, with the exception for the model taken out of the general regions where a special one makes it none."""
    regions = list(general)
    for one in special:
        for place, other in enumerate(regions):
            wider = _with(other.when, model)
            if wider is not None and _others(other.when) == _others(one.when):
                regions[place] = replace(other, when=wider)
                break
        else:
            regions.append(one)
    return tuple(regions)


def _parts(when: Condition) -> tuple[Condition, ...]:
    return when.parts if isinstance(when, All) else (when,)


def _is_model(part: Condition) -> bool:
    return isinstance(part, ModelMatches) or (isinstance(part, Not) and isinstance(part.part, ModelMatches))


def _model(when: Condition) -> Condition | None:
    return next((part for part in _parts(when) if _is_model(part)), None)


def _others(when: Condition) -> frozenset[Condition]:
    return frozenset(part for part in _parts(when) if not _is_model(part) and part != ALWAYS)


def _with(when: Condition, model: str) -> Condition | None:
    """The condition without its exception for this model; None if it makes none."""
    parts: list[Condition] = []
    found = False
    for part in _parts(when):
        match part:
            case ModelMatches(Globs(include, exclude)) if model in exclude:
                found = True
                parts.append(ModelMatches(Globs(include, tuple(e for e in exclude if e != model))))
            case Not(ModelMatches(Globs(include, ()))) if model in include:
                found = True
                left = tuple(i for i in include if i != model)
                if left:
                    parts.append(Not(ModelMatches(Globs(left))))
            case _:
                parts.append(part)
    if not found:
        return None
    return parts[0] if len(parts) == 1 else All(tuple(parts)) if parts else ALWAYS
