"""Requests that stand for a region: with a model that people know, and everything else as plain as it gets.

Law: a witness is checked by the judges of the tables themselves; one that they decide otherwise is a defect of this
package, and said to be one, never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from ccx.analysis.boxes import Models
from ccx.analysis.globs import ANY, generic
from ccx.analysis.rows import Board
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

    def model(self, piece: str) -> str:
        """A model of the glob that no pattern tells from its generic text."""
        text = generic(piece)
        if ANY not in text:
            return text
        if self._known is None:
            self._known = {}
            for name in known_models():
                self._known.setdefault(matched_by(self._patterns, name), name)
        known = self._known.get(matched_by(self._patterns, text))
        return known or readable(text, self._patterns, admits=_plain) or text


def _plain(model: str) -> bool:
    return model != "" and model == model.strip() and "*" not in model


def namer_of(board: Board, *bounds: Models) -> Namer:
    """A namer that knows every pattern of a board and of some bounds."""
    found = {p for models in bounds for inside, outside in models.terms for p in (*inside, *outside)}
    for side, row in board.rows:
        found.update(p for inside, outside in row.box.models.terms for p in (*inside, *outside))
        found.update(p for group in board.sides[side].choices(row.rule) for p in group)
    return Namer(found)


def request(search: Search, namer: Namer, piece: str | None, box: Sequence[int]) -> Facts:
    """A request with a model of the glob, within the box."""
    masks = list(box)
    if piece is None:
        # A conversation names its model; of the other protocols some need not.
        protocols = search.board.space.axes[0].where(lambda facts: facts.protocol not in CHAT_PROTOCOLS)
        masks[0] = masks[0] & protocols or masks[0]
        return search.board.space.request(None, masks)
    return search.board.space.request(namer.model(piece), masks)
