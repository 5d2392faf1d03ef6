"""Writing tests into a file that people keep: only inserted text, everything else byte for byte as it was.

Law: what was there stays, comments and layout included. The result is read again, and given out only if it says what it
said before and the new tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccx.spec.compose import compose
from ccx.spec.locations import Tree
from ccx.spec.view import items, under

_PLAIN: Final = re.compile(r"[A-Za-z_@/][A-Za-z0-9_@/.*+-]*(?: [A-Za-z0-9_@/.*+-]+)*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"})
_CLOSING: Final = "]}"


class CannotAppend(Exception):
    """A file whose form leaves no place for more tests. The text says why."""


def scalar(value: object) -> str:
    """A scalar in YAML 1.2, within a flow collection: plain where that cannot be misread."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS and not value.startswith("@")
        return value if plain else '"' + "".join(map(_quoted, value)) + '"'
    return json.dumps(value)


def _quoted(sign: str) -> str:
    """A sign between double quotes (https://yaml.org/spec/1.2.2/#57-escaped-characters)."""
    if sign in '"\\':
        return f"\\{sign}"
    return sign if sign.isprintable() else f"\\U{ord(sign):08X}"


def flow(value: object) -> str:
    """A value on one line."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{scalar(key)}: {flow(one)}" for key, one in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
        case _:
            return scalar(value)


def block(test: Mapping[str, Any]) -> list[str]:
    """A test as lines of a list, each of its parts on a line of its own."""
    lines = [f"{key}: {flow(value)}" for key, value in test.items()]
    return [("- " if index == 0 else "  ") + line for index, line in enumerate(lines)]


def appended(data: bytes, tests: Sequence[Mapping[str, Any]], *, file: str) -> bytes:
    """The file with these tests behind those it has. Raises CannotAppend."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CannotAppend(f"{file!r} is not UTF-8") from error
    tree, _ = compose(text, file=file)
    if tree is None or not isinstance(tree.content, Mapping):
        raise CannotAppend(f"{file!r} is no mapping with a place for tests")
    newline = "\r\n" if "\r\n" in text else "\n"
    new = _inserted(text, tree, tests, newline=newline)
    again, _ = compose(new, file=file)
    wanted = {**tree.value(), "tests": [*(tree.value().get("tests") or []), *map(_plain, tests)]}
    if again is None or again.value() != wanted:
        raise CannotAppend(f"{file!r} is written in a form that more tests cannot be added to; add them by hand")
    return new.encode()


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def _inserted(text: str, tree: Tree, tests: Sequence[Mapping[str, Any]], *, newline: str) -> str:
    lines = text.split("\n")
    section = under(tree, "tests")
    old = items(section)
    if section is None:
        body = "".join(f"  {line}{newline}" for test in tests for line in block(test))
        start = text if not text or text.endswith("\n") else text + newline
        return f"{start}{newline}tests:{newline}{body}"
    if not old:
        raise CannotAppend("`tests` holds no list of tests")
    first = old[0].span
    lead = re.match(r"(\s*)-\s", lines[first.line - 1][: first.col - 1] + " ")
    line, column = _end(old[-1], lines)
    if lead is not None:
        # Behind what may follow on the last test's own line.
        body = "".join(f"{newline}{lead[1]}{one}" for test in tests for one in block(test))
        at = sum(len(one) + 1 for one in lines[:line]) - 1
        at = at - 1 if newline == "\r\n" and text[at - 1 : at] == "\r" else at
        return text[:at] + body + text[at:]
    at = sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
    return text[:at] + "".join(f", {flow(test)}" for test in tests) + text[at:]


def _end(tree: Tree, lines: Sequence[str]) -> tuple[int, int]:
    """Where a value ends: its line, and the column behind it. To the parser a block ends behind what follows it."""
    span = tree.span
    children: Sequence[Tree] = ()
    if isinstance(tree.content, Mapping):
        children = tuple(tree.content.values())
    elif isinstance(tree.content, tuple):
        children = tree.content
    closed = span.end_col > 1 and lines[span.end_line - 1][span.end_col - 2 : span.end_col - 1] in _CLOSING
    if children and not closed:
        return max(_end(child, lines) for child in children)
    if not children and span.end_col == 1 and span.end_line > span.line:
        return span.end_line - 1, len(lines[span.end_line - 2]) + 1  # a block of text ends with its last line
    return span.end_line, span.end_col
