"""Requests that stand for a region: with a model that people know, and everything else as plain as it gets.

Law: a witness is checked by the judges of the tables themselves; one that they decide otherwise is a defect of this
package, and said to be one, never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from ccx.analysis.board import Board
from ccx.analysis.boxes import Models
from ccx.analysis.globs import ANY, generic
from ccx.analysis.regions import Area
from ccx.analysis.search import Search
from ccx.analysis.texts import matched_by, readable
from ccx.catalog.models import models
from ccx.protocols.names import CHAT_PROTOCOLS
from ccx.routing.facts import Facts


@cache
def known_models() -> tuple[str, ...]:
    """Names of models that are called so, chat models first."""
    rows = sorted(models(), key=lambda row: row.kind != "chat")
    return tuple(dict.fromkeys(row.id for row in rows))


class Namer:
    """Gives globs a model that matches what their generic text matches: a known one, else a readable one."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(sorted(set(patterns)))
        self._known: dict[int, str] | None = None
        self._named: dict[str, str] = {}

    def model(self, piece: str) -> str:
        """A model of the glob that no pattern tells from its generic text."""
        found = self._named.get(piece)
        if found is None:
            found = self._named[piece] = self._model(piece)
        return found

    def _model(self, piece: str) -> str:
        text = generic(piece)
        if ANY not in text:
            return text
        if self._known is None:
            self._known = {}
            for name in known_models():
                self._known.setdefault(matched_by(self._patterns, name), name)
        known = self._known.get(matched_by(self._patterns, text))
        return known or readable(text, self._patterns, admits=_plain) or text

    def model_of(self, area: Area) -> str | None:
        """A model of an area: since every model of it will do, a known one wherever it has one."""
        if area.piece is None:
            return None
        own = self.model(area.piece)
        if own in known_models() or "*" not in area.piece:
            return own
        return next((name for name in known_models() if area.has_model(name)), own)


def _plain(model: str) -> bool:
    return model != "" and model == model.strip() and "*" not in model


def namer_of(board: Board, *bounds: Models) -> Namer:
    """A namer that knows every pattern of a board and of some bounds."""
    found = {p for models in bounds for inside, outside in models.terms for p in (*inside, *outside)}
    for side, row in board.rows:
        found.update(p for inside, outside in row.box.models.terms for p in (*inside, *outside))
        found.update(p for group in board.sides[side].choices(row.rule) for p in group)
    return Namer(found)


def request(search: Search, model: str | None, box: Sequence[int]) -> Facts:
    """A request for the model, within the box."""
    masks = list(box)
    if model is None:
        # A conversation names its model; of the other protocols some need not.
        protocols = search.board.space.axes[0].where(lambda facts: facts.protocol not in CHAT_PROTOCOLS)
        masks[0] = masks[0] & protocols or masks[0]
    return search.board.space.request(model, masks)
