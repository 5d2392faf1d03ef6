"""Names of tools within what Gemini allows, and ids for calls that come without one.

Law: names are changed by a table made from one request, since its answer is all that needs it; the rule is
deterministic, so that a history of calls keeps its names from turn to turn. Ids are optional in Gemini: a call without
one is given an id that says so, and goes back to Gemini without it.

Source: https://ai.google.dev/api/caching#FunctionDeclaration. The reference has raised the length of a name from 64 to
128; the smaller one is right for every version.
"""

from __future__ import annotations

import re
from hashlib import blake2s
from typing import Final

from ccx.protocols.ir import Request
from ccx.protocols.tool_names import NameRule, ToolNames

MAX_NAME: Final = 64
_RULE: Final = NameRule(
    re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"), re.compile(r"[^A-Za-z0-9_.:-]"), MAX_NAME, letter_first=True
)
_MINTED: Final = "gemcall_"


def tool_names(request: Request) -> ToolNames:
    """The names of a request's tools."""
    return ToolNames(request, _RULE)


# --- calls ------------------------------------------------------------------------------------------------------------


def sent_id(id_: str) -> str | None:
    """The id to send to Gemini: none for a call that came from there without one."""
    return None if id_.startswith(_MINTED) or not id_ else id_


def digest(*told: str) -> str:
    """A tag that tells the calls of one answer from those of another."""
    return blake2s("\n".join(told).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class Calls:
    """Ids of the calls of one conversation or answer, in order, and which result belongs to which call.

    `tag` makes minted ids unique: those of an answer must differ from those of the answers before it.
    """

    def __init__(self, tag: str = "") -> None:
        self.tag = tag
        self._count = 0
        self._waiting: list[tuple[str, str]] = []

    def call(self, id_: str | None, name: str) -> str:
        """The id of the next call."""
        found = id_ or f"{_MINTED}{self.tag}{'_' if self.tag else ''}{self._count}"
        self._count += 1
        self._waiting.append((found, name))
        return found

    def answered(self, id_: str | None, name: str) -> str:
        """The id of the call that a result answers: by its id, else the first of the name that waits."""
        waiting = self._waiting
        at = next((at for at, call in enumerate(waiting) if id_ and call[0] == id_), None)
        if at is None:
            at = next(
                (
                    at
                    for at, (call, called) in enumerate(waiting)
                    if called == name and (not id_ or call.startswith(_MINTED))
                ),
                None,
            )
        if at is not None:
            return waiting.pop(at)[0]
        self._count += 1
        return id_ or f"{_MINTED}{self.tag}r{self._count}"
