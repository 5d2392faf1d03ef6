"""The text of a file of an older version as one of the current version, with its comments.

Law: what comes out says what the loader makes of the old file, value by value, and has every comment that was there;
else there is no result. It is laid out as `ccx fmt` lays out. Whether the whole spec does the same with requests is
not known here: that is for the compiler and the plan engine, of whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ccx.spec.compose import compose
from ccx.spec.format import CannotFormat, arrange, page_of, read_text, same
from ccx.spec.layout import laid_out
from ccx.spec.schema import FILE_NAME
from ccx.spec.versions import v1alpha1
from ccx.spec.versions.forms import CannotConvert, TreeForms, WrittenForms
from ccx.spec.written import Group, Page, comments, walk

TARGETS: Final = ("v1",)


class CannotMigrate(Exception):
    """A file that is left as it is. The message says why, and what to do."""


def migrated(data: bytes, *, file: str) -> bytes:
    """The bytes of a file of `ccx/v1alpha1` as `ccx/v1`. Raises CannotMigrate."""
    try:
        text, old = read_text(data, file=file)
        page = page_of(text)
    except CannotFormat as error:
        raise CannotMigrate(f"{file!r}: {error}") from error
    wanted = v1alpha1.convert(old, TreeForms())
    try:
        root = v1alpha1.convert(page.root, WrittenForms())
    except CannotConvert as error:
        raise CannotMigrate(f"{file!r}: {error}") from error
    if not isinstance(root, Group):
        raise TypeError("a mapping converted is a mapping")
    page.root = root
    _reword(page, lambda comment: comment.replace(v1alpha1.FILE_NAME, FILE_NAME))
    said = comments(page)
    arrange(page, wanted)
    new = laid_out(page)
    again, wrong = compose(new, file=file)
    if again is None or wrong or not same(wanted, again):
        raise CannotMigrate(f"{file!r} is written so that its migration would say something else; migrate it by hand")
    if comments(page_of(new)) != said or len(said) != len(comments(page_of(text))):
        raise CannotMigrate(f"{file!r} has a comment in the place of what changes; move it to a line of its own")
    return new.replace("\n", "\r\n" if "\r\n" in text else "\n").encode()


def _reword(page: Page, change: Callable[[str], str]) -> None:
    """Change comments in place: those at the head of the file, where editors look for the schema."""
    page.before = [change(line) for line in page.before]
    for entry in list(walk(page.root))[:1]:
        entry.above = [change(line) for line in entry.above]
