"""Names of tools within what Gemini allows, and ids for calls that come without one.

Law: names are changed by a table made from one request, since its answer is all that needs it; the rule is
deterministic, so that a history of calls keeps its names from turn to turn. Ids are optional in Gemini: a call without
one is given an id that says so, and goes back to Gemini without it.

Source: https://ai.google.dev/api/caching#FunctionDeclaration. The reference has raised the length of a name from 64 to
128; the smaller one is right for every version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2s
from typing import Final, Literal

from ccx.protocols.codec import ToolName
from ccx.protocols.ir import Request, Tool, ToolCall

MAX_NAME: Final = 64
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.:-]")
_MINTED: Final = "gemcall_"

Key = tuple[str | None, str]
"""What identifies a tool for the client: its namespace and name."""


def joined(namespace: str | None, name: str) -> str:
    """A tool's name with its namespace in front, for clients and upstreams that know no namespaces."""
    return name if namespace is None else f"{namespace}__{name}"


class ToolNames:
    """The names under which the tools of one request go upstream."""

    def __init__(self, request: Request) -> None:
        self._upstream: dict[Key, str] = {}
        self._kinds: dict[Key, Literal["function", "custom"]] = {}
        self._taken: set[str] = set()
        tools = [tool for tool in request.tools if isinstance(tool, Tool)]
        # Names that are legal as they are come first: none of them is changed because another one collides.
        self._add(((tool.namespace, tool.name), tool.kind) for tool in tools if _plain(tool.namespace, tool.name))
        self._add(((tool.namespace, tool.name), tool.kind) for tool in tools)
        self._add(
            ((part.namespace, part.name), part.kind)
            for message in request.messages
            for part in message.parts
            if isinstance(part, ToolCall) and not part.server
        )

    def upstream(self, namespace: str | None, name: str) -> str:
        """The name upstream of a tool that the request declares or has called."""
        return self._upstream[(namespace, name)]

    def find(self, name: str) -> str | None:
        """The upstream name of a tool, named with or without its namespace; None if there is none."""
        if (None, name) in self._upstream:
            return self._upstream[(None, name)]
        return next(
            (up for (space, own), up in self._upstream.items() if own == name or joined(space, own) == name), None
        )

    def legal(self, name: str) -> str:
        """A legal form of a name that is of no known tool."""
        return self.find(name) or _changed(name, set())

    def back(self) -> Mapping[str, ToolName]:
        """What the client calls each tool whose name or kind is another upstream."""
        return {
            up: ToolName(name, namespace, self._kinds[(namespace, name)])
            for (namespace, name), up in self._upstream.items()
            if up != name or namespace is not None or self._kinds[(namespace, name)] != "function"
        }

    def _add(self, tools: Iterable[tuple[Key, Literal["function", "custom"]]]) -> None:
        for key, kind in tools:
            if key not in self._upstream:
                name = _changed(joined(*key), self._taken)
                self._upstream[key], self._kinds[key] = name, kind
                self._taken.add(name)


def _plain(namespace: str | None, name: str) -> bool:
    return namespace is None and _NAME.fullmatch(name) is not None


def _changed(name: str, taken: set[str]) -> str:
    """A legal name like this one that is not taken; the same if it is legal and free."""
    clean = _ILLEGAL.sub("_", name) or "tool"
    if not (clean[0].isalpha() or clean[0] == "_"):
        clean = f"_{clean}"
    if len(clean) <= MAX_NAME and clean not in taken:
        return clean
    # The digest is of the client's name, so that the same tool has the same name in every turn.
    digest = blake2s(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    base = f"{clean[: MAX_NAME - 12]}_{digest}"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    return found


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
