"""Comments that silence findings, each with its reason.

    # ccx: ignore[CCX203] kept until the new provider is trusted, until=2027-03-01
    # ccx: ignore-file[CCX310, CCX311] this file is generated

At the end of a line the comment is about that line; on a line of its own it is about the next line that is no comment.
A finding is on the line where its place begins. Law: an error of the language cannot be silenced; what is silenced is
counted; a comment that silences nothing, gives no reason or is past its day is a finding itself, so that no comment
stays because nobody knows what it is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from ccx.spec.diagnostics import Diagnostic, Fix, Span, TextEdit, diagnostic
from ccx.spec.locations import Tree
from ccx.spec.rules import RULES
from ccx.spec.source import SourceFile
from ccx.spec.wording import closest

_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#\s*ccx\s*:\s*(?P<rest>.*)$", re.IGNORECASE)
_DIRECTIVE: Final = re.compile(r"(?P<word>ignore-file|ignore)\s*\[(?P<codes>[^\]]*)\](?P<reason>.*)$")
_UNTIL: Final = re.compile(r",?\s*\buntil\s*=\s*(?P<day>\S+)\s*")
_LINE_END: Final = re.compile("\r\n|\n|\r")
_MARK: Final = re.compile(rb"#[ \t]*ccx[ \t]*:", re.IGNORECASE)
_REASON: Final = re.compile(r"\w{2}")


@dataclass(frozen=True, slots=True)
class Named:
    """A code in a comment, and where it stands."""

    code: str
    span: Span


@dataclass(frozen=True, slots=True)
class Ignore:
    """One comment. `line` is the line it is about, None for the whole file. `alone`: it has its line to itself."""

    file: str
    span: Span
    named: tuple[Named, ...]
    line: int | None
    reason: str
    until: date | None
    alone: bool

    def about(self, found: Diagnostic) -> bool:
        """Whether it speaks of this finding."""
        here = found.file == self.file and self.line in (None, found.span.line)
        return here and any(one.code == found.code for one in self.named)


@dataclass(frozen=True, slots=True)
class Ignores:
    """All comments of a spec, and what is wrong with them by themselves."""

    comments: tuple[Ignore, ...]
    diagnostics: tuple[Diagnostic, ...]


def read_ignores(sources: Sequence[SourceFile], *, today: date) -> Ignores:
    """Every comment of the files. One past its day counts no more."""
    comments: list[Ignore] = []
    found: list[Diagnostic] = []
    for source in sources:
        if _MARK.search(source.data) is None:
            continue
        lines = _LINE_END.split(source.data.decode("utf-8", "replace"))
        texts = list(_scalars(source.tree)) if source.tree is not None else []
        for number, line in enumerate(lines, 1):
            match = _COMMENT.search(line)
            if match is None or any(_holds(span, number, match.start() + 1) for span in texts):
                continue
            span = Span(number, match.start() + 1, number, len(line.rstrip()) + 1)
            read = _read(match["rest"], match.start("rest"), lines, file=source.name, span=span)
            if isinstance(read, Diagnostic):
                found.append(read)
                continue
            found.extend(_of_itself(read, today=today))
            if read.until is None or read.until >= today:
                comments.append(read)
    return Ignores(tuple(comments), tuple(found))


def _scalars(tree: Tree) -> Iterator[Span]:
    if isinstance(tree.content, Mapping):
        for child in tree.content.values():
            yield from _scalars(child)
    elif isinstance(tree.content, tuple):
        for child in tree.content:
            yield from _scalars(child)
    else:
        yield tree.span


def _holds(span: Span, line: int, col: int) -> bool:
    return (span.line, span.col) <= (line, col) < (span.end_line, span.end_col)


def _read(rest: str, offset: int, lines: Sequence[str], *, file: str, span: Span) -> Ignore | Diagnostic:
    directive = _DIRECTIVE.match(rest)
    if directive is None:
        word = re.match(r"[\w-]*", rest)
        meant = closest(word[0], ["ignore", "ignore-file"]) if word else None
        advice = "write `# ccx: ignore[CCX203] reason`, or `ignore-file` for the whole file"
        said = "names no rule in brackets" if meant == (word[0] if word else None) else "is not understood"
        return diagnostic("CCX906", f"this comment for ccx {said}", file=file, span=span, help=advice)
    named: list[Named] = []
    start = offset + directive.start("codes")
    for part in re.finditer(r"[^,\s]+", directive["codes"]):
        at = Span(span.line, start + part.start() + 1, span.line, start + part.end() + 1)
        named.append(Named(part[0], at))
    if not named:
        advice = "write `# ccx: ignore[CCX203] reason`"
        return diagnostic("CCX906", "this comment for ccx names no rule", file=file, span=span, help=advice)
    reason, until = directive["reason"], None
    day = _UNTIL.search(reason)
    if day is not None:
        try:
            until = date.fromisoformat(day["day"])
        except ValueError:
            message = f"{day['day']!r} is no day"
            return diagnostic("CCX906", message, file=file, span=span, help="write it like until=2027-03-01")
        reason = reason[: day.start()] + " " + reason[day.end() :]
    alone = not lines[span.line - 1][: span.col - 1].strip()
    line: int | None = span.line
    if directive["word"] == "ignore-file":
        line = None
    elif alone:
        line = next(
            (n for n, text in enumerate(lines[span.line :], span.line + 1) if text.strip() and text.strip()[0] != "#"),
            span.line,
        )
    return Ignore(file, span, tuple(named), line, reason.strip(" \t-:—,"), until, alone)


def _of_itself(comment: Ignore, *, today: date) -> Iterator[Diagnostic]:
    """What a comment lacks, whatever is found elsewhere."""
    for one in comment.named:
        info = RULES.get(one.code)
        if info is None:
            by_name = {info.name: info.code for info in RULES.values()}
            meant = by_name.get(one.code) or closest(one.code.upper(), list(RULES))
            edits = (TextEdit(comment.file, one.span, meant),) if meant is not None else ()
            fix = Fix(f"write {meant}", True, edits) if edits else None
            yield _diagnosed(
                "CCX905",
                f"there is no rule {one.code!r}",
                comment,
                span=one.span,
                help=f"did you mean `{meant}`?" if meant else "`ccx lint --list` shows the rules",
                fix=fix,
            )
        elif info.fixed:
            message = f"{one.code} is an error of the language and cannot be ignored"
            yield _diagnosed("CCX905", message, comment, span=one.span, help="put right what it is about")
    if _REASON.search(comment.reason) is None:
        message = "this comment does not say why the finding may stay"
        yield _diagnosed("CCX902", message, comment, help="write the reason behind the bracket")
    if comment.until is not None and comment.until < today:
        message = f"this comment counted until {comment.until} and counts no more"
        yield _diagnosed("CCX904", message, comment, help="put right what it is about, or give it another day")


def unused(comment: Ignore, codes: Sequence[Named], *, lines: Sequence[str]) -> Diagnostic:
    """That a comment silences nothing of these codes. `lines` are those of its file."""
    listed = ", ".join(one.code for one in codes)
    fix: Fix | None = None
    if len(codes) == len(comment.named):
        fix = Fix("remove the comment", True, (TextEdit(comment.file, _whole(comment, lines), ""),))
    where = "in this file" if comment.line is None else "on this line" if not comment.alone else "on the line below"
    message = f"nothing {where} is found by {listed}"
    return _diagnosed("CCX901", message, comment, span=codes[0].span, help="remove it", fix=fix)


def _whole(comment: Ignore, lines: Sequence[str]) -> Span:
    """The comment with the white space before it; with its line, if it has one to itself."""
    line = comment.span.line
    if comment.alone and line < len(lines):
        return Span(line, 1, line + 1, 1)
    before = lines[line - 1][: comment.span.col - 1].rstrip()
    return Span(line, len(before) + 1, line, len(lines[line - 1]) + 1)


def _diagnosed(
    code: str,
    message: str,
    comment: Ignore,
    *,
    span: Span | None = None,
    help: str | None = None,  # noqa: A002  # the diagnostic's own field name
    fix: Fix | None = None,
) -> Diagnostic:
    info = RULES[code]
    place = span or comment.span
    return Diagnostic(code, info.name, info.severity, message, comment.file, place, help=help, fix=fix)
