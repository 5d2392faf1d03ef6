"""Names of tools upstream, and the way back to the client's.

Law: a name that the protocol allows stays as it is; what has a namespace, illegal characters or too many of them, or
collides with another, is changed by a rule that is always the same, so that a history of calls keeps its names from
turn to turn, and the prompt cache its hits. The way back is a table made from one request, since its answer is all that
needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2s, sha256
from typing import Literal

from ccx.protocols.codec import ToolName
from ccx.protocols.ir import Request, Tool, ToolCall

Key = tuple[str | None, str]
"""What identifies a tool for the client: its namespace and name."""


def joined(namespace: str | None, name: str) -> str:
    """A tool's name with its namespace in front, for clients and upstreams that know no namespaces."""
    return name if namespace is None else f"{namespace}__{name}"


# --- known at once ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NameRule:
    """What names may be: `legal` matches a whole one, `illegal` each character that no name has, `most` is how many
    there may be. `letter_first`: they begin with a letter or an underscore."""

    legal: re.Pattern[str]
    illegal: re.Pattern[str]
    most: int
    letter_first: bool = False

    def changed(self, name: str, taken: set[str]) -> str:
        """A legal name like this one that is not taken; the same if it is legal and free."""
        clean = self.illegal.sub("_", name) or "tool"
        if self.letter_first and not (clean[0].isalpha() or clean[0] == "_"):
            clean = f"_{clean}"
        if len(clean) <= self.most and clean not in taken:
            return clean
        # The digest is of the client's name, so that the same tool has the same name in every turn.
        digest = blake2s(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        base = f"{clean[: self.most - 12]}_{digest}"
        found, number = base, 2
        while found in taken:
            found, number = f"{base}_{number}", number + 1
        return found


class ToolNames:
    """The names under which the tools of one request go upstream. `reserved`: names that are not the client's to give,
    but called all the same."""

    def __init__(self, request: Request, rule: NameRule, reserved: Iterable[str] = ()) -> None:
        self._rule = rule
        self._upstream: dict[Key, str] = {}
        self._kinds: dict[Key, Literal["function", "custom"]] = {}
        self._taken: set[str] = set()
        tools = [tool for tool in request.tools if isinstance(tool, Tool)]
        self._add(((None, name), "function") for name in reserved)
        # Names that are legal as they are come first: none of them is changed because another one collides.
        plain = (tool for tool in tools if tool.namespace is None and rule.legal.fullmatch(tool.name))
        self._add(((tool.namespace, tool.name), tool.kind) for tool in plain)
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
        return self.find(name) or self._rule.changed(name, set())

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
                name = self._rule.changed(joined(*key), self._taken)
                self._upstream[key], self._kinds[key] = name, kind
                self._taken.add(name)


# --- known one by one -------------------------------------------------------------------------------------------------

OPENAI_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What a name may be with OpenAI, and with those that follow it."""

_NOT_OPENAI = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(slots=True)
class GivenNames:
    """Names that are given as tools and calls are written, by OpenAI's rule. `custom`: the upstream knows custom tools,
    so that their kind needs no way back; `namespaces`: it knows namespaces."""

    custom: bool
    namespaces: bool = False
    back: dict[str, ToolName] = field(default_factory=dict)
    _given: dict[Key, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def of(self, name: str, namespace: str | None, kind: str) -> str:
        """The name of a tool upstream."""
        key = (namespace, name)
        if (given := self._given.get(key)) is not None:
            return given
        full = name if self.namespaces else joined(namespace, name)
        written = full if OPENAI_NAME.fullmatch(full) else _digested(full)
        inside = namespace is not None and self.namespaces
        if not inside and written in self._taken:
            written = _digested(f"{namespace}/{name}/{written}")
        self._given[key] = written
        if not inside:
            self._taken.add(written)
            if written != name or namespace is not None or (kind == "custom" and not self.custom):
                self.back[written] = ToolName(name, namespace, kind)
        return written

    def find(self, name: str) -> str | None:
        """The upstream name of the tool that a choice means by this name; None if there is none."""
        for (namespace, own), given in self._given.items():
            if name in (own, given, joined(namespace, own)):
                return given
        return None


def _digested(name: str) -> str:
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_NOT_OPENAI.sub('_', name)[:55]}_{digest}"
