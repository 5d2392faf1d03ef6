"""Names and ids within what Messages allows, and back.

Law: ids are changed by a reversible rule that needs no memory, because the same id comes back in a later request, maybe
at another worker. Names of tools are changed by a table made from one request, since its answer is all that needs it;
the rule is deterministic, so that a history of calls keeps its names from turn to turn, and the prompt cache its hits.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools (names `^[a-zA-Z0-9_-]{1,128}$`); ids
outside `^[a-zA-Z0-9_-]+$` are refused by https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2s
from typing import Final, Literal

from ccx.protocols.codec import ToolName
from ccx.protocols.ir import Request, ServerTool, Tool, ToolCall
from ccx.protocols.names import Protocol

MAX_NAME: Final = 128
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")
_WRAPPED = "ccxid_"

Key = tuple[str | None, str]
"""What identifies a tool for the client: its namespace and name."""


def legal_id(id_: str) -> str:
    """An id that Messages allows; the same where it is allowed already. Reversed by `original_id`."""
    if _ID.fullmatch(id_) and not id_.startswith(_WRAPPED):
        return id_
    return _WRAPPED + base64.urlsafe_b64encode(id_.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def original_id(id_: str) -> str:
    """What `legal_id` was given."""
    if not id_.startswith(_WRAPPED):
        return id_
    body = id_[len(_WRAPPED) :]
    try:
        found = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error):
        return id_
    return found if legal_id(found) == id_ else id_


def joined(namespace: str | None, name: str) -> str:
    """A tool's name with its namespace in front, for clients and upstreams that know no namespaces."""
    return name if namespace is None else f"{namespace}__{name}"


class ToolNames:
    """The names under which the tools of one request go upstream."""

    def __init__(self, request: Request) -> None:
        self._upstream: dict[Key, str] = {}
        self._kinds: dict[Key, Literal["function", "custom"]] = {}
        self._taken: set[str] = set()
        own = [tool for tool in request.tools if isinstance(tool, Tool)]
        # Names that are legal as they are come first: none of them is changed because another one collides. Anthropic
        # has tools that it declares and the client runs (computer, bash), so their names too are called.
        self._add(((None, name), "function") for name in _anthropic_names(request))
        self._add(((tool.namespace, tool.name), tool.kind) for tool in own if _plain(tool.namespace, tool.name))
        self._add(((tool.namespace, tool.name), tool.kind) for tool in own)
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
        """The upstream name of a tool that a choice names, with or without its namespace; None if there is none."""
        if (None, name) in self._upstream:
            return self._upstream[(None, name)]
        return next(
            (up for (space, own), up in self._upstream.items() if own == name or joined(space, own) == name), None
        )

    def back(self) -> Mapping[str, ToolName]:
        """What the client calls each tool whose name or kind is another upstream."""
        return {
            up: ToolName(name, namespace, self._kinds[(namespace, name)])
            for (namespace, name), up in self._upstream.items()
            if up != name or namespace is not None or self._kinds[(namespace, name)] != "function"
        }

    def _add(self, tools: Iterable[tuple[Key, Literal["function", "custom"]]]) -> None:
        for key, kind in tools:
            if key in self._upstream:
                continue
            wanted = joined(*key)
            name = wanted if _plain(None, wanted) and wanted not in self._taken else _changed(wanted, self._taken)
            self._upstream[key] = name
            self._kinds[key] = kind
            self._taken.add(name)


def _anthropic_names(request: Request) -> Iterator[str]:
    for tool in request.tools:
        if isinstance(tool, ServerTool) and tool.native.protocol is Protocol.MESSAGES:
            name = tool.native.data.get("name")
            if isinstance(name, str):
                yield name


def _plain(namespace: str | None, name: str) -> bool:
    return namespace is None and 0 < len(name) <= MAX_NAME and _ID.fullmatch(name) is not None


def _changed(name: str, taken: set[str]) -> str:
    clean = _ILLEGAL.sub("_", name) or "tool"
    if len(clean) <= MAX_NAME and clean not in taken:
        return clean
    # The digest is of the client's name, so that the same tool has the same name in every turn.
    digest = blake2s(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    base = f"{clean[: MAX_NAME - 12]}_{digest}"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    return found
