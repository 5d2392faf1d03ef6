"""Areas as regions: a condition of the routing language, and a request that meets it."""

from __future__ import annotations

from itertools import product

from ccx.analysis.difference import Region
from ccx.analysis.regions import Area
from ccx.analysis.search import Search
from ccx.analysis.witness import Namer, request
from ccx.routing.conditions import ALWAYS, All, Condition, ModelMatches, Not
from ccx.routing.globs import Globs


def regions_of_area(search: Search, namer: Namer, area: Area) -> list[Region]:
    """The area as regions: one, but where a set of atoms takes several conditions to say."""
    space = search.board.space
    spelled = [space.terms(place, atoms) for place, atoms in enumerate(area.box)]
    found: list[Region] = []
    named = namer.model_of(area)
    for models, model in _models(area, named):
        for terms in product(*spelled):
            parts = [part for part in (models, *(condition for _, condition in terms)) if part != ALWAYS]
            flat: list[Condition] = []
            for part in parts:
                flat.extend(part.parts if isinstance(part, All) else (part,))
            when = All(tuple(flat)) if len(flat) > 1 else flat[0] if flat else ALWAYS
            found.append(Region(when, request(search, model, [atoms for atoms, _ in terms])))
    return found


def _models(area: Area, named: str | None) -> list[tuple[Condition, str | None]]:
    """Conditions on the model that together say the area's, each with a model for its witness."""
    without: tuple[Condition, str | None] = (Not(ModelMatches(Globs(()))), None)
    if area.piece is None:
        return [without]
    globs = (area.piece, *area.also)
    if "*" not in globs:
        own: tuple[Condition, str | None] = (ModelMatches(Globs(tuple(sorted(globs)), area.except_)), named)
        return [own, without] if area.none else [own]
    if not area.none:
        return [(ModelMatches(Globs((), area.except_)), named)]
    return [(Not(ModelMatches(Globs(area.except_))) if area.except_ else ALWAYS, named)]
