"""Canonical formatting of a spec or a file of tests: `ccx fmt`.

Laws. Formatting changes no meaning and loses no comment: what comes out is read again and must have the same values,
the same order of everything whose order can mean something, and the same comments, else there is no result. It is
idempotent. Keys that the language knows stand in the order of its schema; names that people chose keep theirs. A number
keeps its spelling, but for leading zeros, which YAML 1.1 took for octal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ccx.spec.compose import compose, decode
from ccx.spec.diagnostics import Diagnostic, has_errors
from ccx.spec.document import VERSION
from ccx.spec.layout import laid_out
from ccx.spec.locations import Tree
from ccx.spec.order import in_order
from ccx.spec.schema import FILE_NAME, SUITE_FILE_NAME, embedded
from ccx.spec.versions import v1alpha1
from ccx.spec.written import Page, Word, comments, walk
from ccx.spec.written_reader import CannotRead, read_page

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.*/+@-]*")
_HASH: Final = re.compile(r"[0-9a-fA-F]{8,}")
"""A hash that happens to begin with a letter keeps its quotes, as its neighbours must."""
_OTHERWISE: Final = frozenset(
    {"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"}  # of YAML 1.1 too, in any case
)
_CANONICAL: Final = {
    **dict.fromkeys(("True", "TRUE"), "true"),
    **dict.fromkeys(("False", "FALSE"), "false"),
    **dict.fromkeys(("Null", "NULL", "~"), "null"),
}
_ZEROS: Final = re.compile(r"([-+]?)0+([0-9]+)")


class CannotFormat(Exception):
    """A file that is left as it is. `diagnostics` say why where it is no YAML; the message says it otherwise."""

    def __init__(self, message: str, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message)
        self.diagnostics = diagnostics


def formatted(data: bytes, *, file: str) -> bytes:
    """The bytes of a file in canonical form. Raises CannotFormat."""
    text, tree = read_text(data, file=file)
    newline = "\r\n" if "\r\n" in text else "\n"
    page = page_of(text)
    before = comments(page)
    arrange(page, tree)
    new = laid_out(page)
    again, wrong = compose(new, file=file)
    if again is None or has_errors(wrong) or not same(tree, again) or comments(page_of(new)) != before:
        raise CannotFormat(f"{file!r} is written in a form that fmt would not keep; it is left as it is")
    return new.replace("\n", newline).encode()


def read_text(data: bytes, *, file: str) -> tuple[str, Tree]:
    """The text of a file and its values. Raises CannotFormat where it is no YAML of the spec language."""
    text, bad = decode(data, file=file)
    if bad is not None:
        raise CannotFormat(bad.message, (bad,))
    tree, found = compose(text, file=file)
    errors = tuple(one for one in found if one.severity == "error")
    if errors:
        raise CannotFormat(errors[0].message, errors)
    if tree is None or not isinstance(tree.content, Mapping):
        raise CannotFormat(f"{file!r} is no spec: it is not a mapping with keys such as `channels` and `routes`")
    return text, tree


def page_of(text: str) -> Page:
    """A text as written. Raises CannotFormat."""
    try:
        return read_page(text.replace("\r\n", "\n").replace("\r", "\n"))
    except CannotRead as error:
        raise CannotFormat(f"fmt does not know this form: {error}") from error


def arrange(page: Page, tree: Tree) -> None:
    """Order and spelling, in place; the root becomes a block."""
    page.root.flow = False
    version = tree.child("version")
    if version is None or version.content == VERSION:
        suite = tree.child("spec") is not None and tree.child("channels") is None
        in_order(page.root, embedded(SUITE_FILE_NAME if suite else FILE_NAME))
    elif version.content == v1alpha1.VERSION:
        in_order(page.root, v1alpha1.schema())
    for entry in walk(page.root):
        if entry.key is not None:
            _spell(entry.key, key=True)
        if isinstance(entry.value, Word):
            _spell(entry.value, key=False)


def same(first: Tree, second: Tree) -> bool:
    """Whether two documents hold the same values. A mapping's order counts not here: `in_order` keeps what matters."""
    return bool(_typed(first.value()) == _typed(second.value()))


def _typed(value: Any) -> Any:
    """A value in which 1, 1.0 and true are three."""
    match value:
        case dict():
            return {key: _typed(one) for key, one in value.items()}
        case list():
            return [_typed(one) for one in value]
        case _:
            return type(value).__name__, repr(value)


def _spell(word: Word, *, key: bool) -> None:
    if word.style == "plain":
        if key:
            return
        zeros = _ZEROS.fullmatch(word.text)
        word.text = zeros[1] + zeros[2] if zeros else _CANONICAL.get(word.text, word.text)
        return
    if word.style not in ("'", '"') or "\n" in word.text:
        return
    value = word.value
    if _WORD.fullmatch(value) and value.lower() not in _OTHERWISE and not _HASH.fullmatch(value):
        word.text, word.style = value, "plain"
    elif word.style == "'" and not set(value) & {'"', "\\"}:
        word.text, word.style = f'"{value}"', '"'
