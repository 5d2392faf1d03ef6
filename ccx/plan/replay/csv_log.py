"""A table of requests as comma-separated values with a header row: what every other gateway's log can be turned into.

An empty cell, like a column that is not there, is unknown; `-` under client or prefix means that there was none. A row
is one line.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Final

from msgspec import json

from ccx.errors import UsageError
from ccx.plan.replay.logged import Reader, Request, Row, Unreadable
from ccx.protocols.names import Protocol

REQUIRED: Final = ("protocol", "model")
COLUMNS: Final = (
    *REQUIRED,
    "input_tokens",
    "output_tokens",
    "client",
    "stream",
    "tools",
    "server_tools",
    "thinking",
    "images",
    "prefix",
    "cached_tokens",
    "status",
    "count",
)
"""`input_tokens` is the whole prompt, cached tokens included; `server_tools` are names with spaces between them;
`status` is allowed and means nothing; `count` is how many such requests there were."""
MAX_CELL: Final = 4096

_PROTOCOLS: Final = frozenset(protocol.value for protocol in Protocol)
_BOOLEANS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": None}


def reader(header: bytes) -> Reader:
    """The reader of the rows below this header. Raises UsageError for columns that have no meaning here."""
    names = _cells(header.removeprefix(b"\xef\xbb\xbf"))
    names = [name.strip().lower() for name in names or []]
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in REQUIRED if name not in names]
    doubled = len(set(names)) != len(names)
    if unknown or missing or doubled:
        what = (
            f"has no column {missing[0]!r}"
            if missing
            else f"has a column {unknown[0][:40]!r}"
            if unknown
            else "has a column twice"
        )
        raise UsageError(f"the CSV header {what}", hint=f"columns: {', '.join(COLUMNS)}")
    place = {name: index for index, name in enumerate(names)}
    width = len(names)

    def read(line: bytes) -> Row:
        cells = _cells(line)
        if cells is None:
            raise Unreadable("not UTF-8, or quoted in a way that is not CSV")
        if len(cells) != width:
            raise Unreadable("another number of cells than the header")
        if any(len(cell) > MAX_CELL for cell in cells):
            raise Unreadable(f"a cell of more than {MAX_CELL} characters")
        return _row(cells, place)

    return read


def _row(cells: list[str], place: Mapping[str, int]) -> Row:
    def cell(name: str) -> str:
        at = place.get(name)
        return cells[at].strip() if at is not None else ""

    protocol, model = cell("protocol").lower(), cell("model")
    if protocol not in _PROTOCOLS:
        raise Unreadable("a protocol that this ccx does not know")
    client, prefix, tools = cell("client"), cell("prefix"), cell("server_tools")
    tokens, cached = _number(cell("input_tokens")), _number(cell("cached_tokens")) or 0
    if tokens is not None and cached > tokens:
        raise Unreadable("more cached tokens than tokens")
    count = _number(cell("count"))
    return Row(
        Request(
            protocol,
            model or None,
            None if client in ("", "-") else client,
            bool(client),
            prefix=None if prefix in ("", "-") else prefix,
            stream=_boolean(cell("stream")),
            tools=_boolean(cell("tools")),
            thinking=_boolean(cell("thinking")),
            images=_boolean(cell("images")),
            server_tools=json.encode([] if tools == "-" else tools.split()) if tools else None,
        ),
        tokens,
        None,
        tokens,
        _number(cell("output_tokens")),
        cached,
        0,
        1 if count is None else count,
    )


def _cells(line: bytes) -> list[str] | None:
    try:
        text = line.decode("utf-8")
        if '"' not in text:
            return text.rstrip("\r").split(",")
        return next(csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return None


def _number(cell: str) -> int | None:
    if not cell:
        return None
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 15):
        raise Unreadable("a count that is no number")
    return int(cell)


def _boolean(cell: str) -> bool | None:
    try:
        return _BOOLEANS[cell.lower()]
    except KeyError:
        raise Unreadable("a yes-or-no that is neither true nor false") from None
