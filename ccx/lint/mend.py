"""Put findings right: choose fixes that do not touch each other, write them, and look again.

Laws. What comes out is never worse: a fix after which the spec has an error that it did not have is not taken, and a
safe one must leave every request where it was, which is proven and not assumed. Fixing what is fixed changes nothing.
Nothing is written here: the result is the new bytes of each file, and the caller decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccx.analysis.compare import compare
from ccx.lint.edit import text_lines
from ccx.lint.examine import Examined, Wish, examine
from ccx.spec.diagnostics import Diagnostic, TextEdit
from ccx.spec.render.report import name_pointer
from ccx.spec.source import DISK, Names, Read, read_file

ROUNDS: Final = 20
"""A fix may lay bare the next; more rounds than this no honest spec needs."""
UNREADABLE: Final = frozenset({"CCX100", "CCX102", "CCX107", "CCX112"})
"""What no fix may bring about: text that is no YAML, a name or key that is there twice."""


@dataclass(frozen=True, slots=True)
class Mended:
    """The outcome. `files` are the new bytes by real path, only of files that change; `names` how each is shown.

    `applied` are the findings that were put right, `refused` those whose fix would have made things worse.
    """

    before: Examined
    after: Examined
    files: Mapping[Path, bytes]
    names: Mapping[Path, str]
    applied: tuple[Diagnostic, ...]
    refused: tuple[Diagnostic, ...]


def mend(path: Path, wish: Wish, *, unsafe: bool, read: Read = read_file, names: Names = DISK) -> Mended:
    """Fix a spec and what it includes, in memory."""
    first = examine(path, wish, read=read, names=names)
    here, files = first, dict[Path, bytes]()
    applied: list[Diagnostic] = []
    refused: dict[str, Diagnostic] = {}

    def tried(chosen: Sequence[Diagnostic]) -> tuple[Examined, dict[Path, bytes]] | None:
        changed = {**files, **_written(here, chosen)}
        after = examine(path, wish, read=lambda real: changed[real] if real in changed else read(real), names=names)
        return (after, changed) if _no_worse(here, after, chosen) else None

    for _ in range(ROUNDS):
        chosen = list(_apart(one for one in _fixable(here, unsafe=unsafe) if _key(one, here) not in refused))
        if not chosen:
            break
        taken = tried(chosen)
        if taken is None:
            # Some fix of them is a bad one: one at a time, the first that is good.
            for one in chosen:
                taken = tried([one])
                if taken is not None:
                    chosen = [one]
                    break
                refused[_key(one, here)] = one
        if taken is None:
            continue
        applied.extend(chosen)
        here, files = taken
    sources = {source.real: source for source in here.loaded.closure.sources}
    original = {source.real: source.data for source in first.loaded.closure.sources}
    return Mended(
        first,
        here,
        {real: data for real, data in files.items() if original.get(real) != data},
        {real: source.name for real, source in sources.items()},
        tuple(applied),
        tuple(refused.values()),
    )


def _fixable(here: Examined, *, unsafe: bool) -> Iterator[Diagnostic]:
    for one in here.linted.findings:
        if one.fix is not None and one.fix.edits and (one.fix.safe or unsafe):
            yield one


def _key(found: Diagnostic, here: Examined) -> str:
    where = name_pointer(found.pointer, here.loaded.locations)
    return f"{found.code}\0{found.file}\0{where}\0{found.message}"


def _apart(found: Iterator[Diagnostic]) -> Iterator[Diagnostic]:
    """Those whose edits touch none of those before them."""
    taken: list[TextEdit] = []
    for one in found:
        edits = one.fix.edits if one.fix is not None else ()
        if not any(_touch(edit, other) for edit in edits for other in taken):
            taken.extend(edits)
            yield one


def _touch(first: TextEdit, second: TextEdit) -> bool:
    if first.file != second.file:
        return False
    a, b = first.span, second.span
    return (a.line, a.col) <= (b.end_line, b.end_col) and (b.line, b.col) <= (a.end_line, a.end_col)


def _written(here: Examined, chosen: Sequence[Diagnostic]) -> dict[Path, bytes]:
    """The files with all edits, by real path."""
    by_file: dict[str, list[TextEdit]] = {}
    for one in chosen:
        for edit in one.fix.edits if one.fix is not None else ():
            by_file.setdefault(edit.file, []).append(edit)
    sources = {source.name: source for source in here.loaded.closure.sources}
    return {sources[name].real: edited(sources[name].data, edits) for name, edits in by_file.items()}


def edited(data: bytes, edits: Sequence[TextEdit]) -> bytes:
    """The text with edits that do not overlap. Line ends stay what they are."""
    text = data.decode("utf-8")
    starts = _line_starts(text)
    for edit in sorted(edits, key=lambda edit: edit.span, reverse=True):
        start = starts[edit.span.line - 1] + edit.span.col - 1
        end = starts[edit.span.end_line - 1] + edit.span.end_col - 1
        text = text[:start] + edit.text + text[end:]
    return text.encode("utf-8")


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text_lines(text.encode("utf-8"), keep=True):
        starts.append(starts[-1] + len(line))
    return starts


def _no_worse(before: Examined, after: Examined, chosen: Sequence[Diagnostic]) -> bool:
    if before.compiled is None or not before.compiled.servable:
        # One mistake may hide others; to lay them bare is a step forward. What was to go has to be gone.
        left = {(one.code, one.file, one.span.line, one.span.col) for one in after.loaded.diagnostics}
        had = {one.code for one in before.loaded.diagnostics}
        broken = {one.code for one in after.loaded.diagnostics if one.code in UNREADABLE} - had
        gone = all((one.code, one.file, one.span.line, one.span.col) not in left for one in chosen)
        return gone and not broken
    if after.compiled is None or not after.compiled.servable:
        return False
    safe = all(one.fix is not None and one.fix.safe for one in chosen)
    if after.compiled.digest == before.compiled.digest or not safe:
        return True
    return compare(before.compiled.table, after.compiled.table).none
