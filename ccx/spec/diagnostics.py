"""What is wrong with a spec, as values: where, what, why, and what to write instead.

Laws. A diagnostic carries its place and every word that is shown, so that a renderer only lays out. It never carries a
secret: whoever makes one from a value that may be a secret says what the value is, not what it says. Codes are stable
and never used twice; the registry in `ccx.spec.rules` documents each. Nothing here reads files or knows YAML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ccx.spec.rules import RULES, RuleInfo, Severity

Path = tuple[str | int, ...]
"""A place in the document by keys and list positions: ("routes", 3, "when", "model")."""

_RANK: Final[Mapping[Severity, int]] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of text: 1-based lines and columns in characters; the end column is the first one not covered."""

    line: int
    col: int
    end_line: int
    end_col: int

    def __post_init__(self) -> None:
        if self.line < 1 or self.col < 1 or (self.end_line, self.end_col) < (self.line, self.col):
            raise ValueError(f"not a span: {self!r}")


START: Final = Span(1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class Related:
    """A second place that explains the first, such as where a name was used before."""

    span: Span
    file: str
    message: str


@dataclass(frozen=True, slots=True)
class TextEdit:
    """Text to put in the place of a span; an empty span is an insertion, empty text a deletion."""

    file: str
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """What would put a finding right. A `safe` one changes no meaning that the author can have wanted; the others want
    a look first. `title` is an imperative: "delete the route"."""

    title: str
    safe: bool
    edits: tuple[TextEdit, ...]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `pointer` is the JSON pointer (RFC 6901) of the value in the merged document. `suggestion` is the text to write at
    `span`, shown under the caret; `help` is a sentence for a person. `witness` is a command that shows the finding on
    one request.
    """

    code: str
    name: str
    severity: Severity
    message: str
    file: str
    span: Span
    pointer: str = ""
    help: str | None = None
    suggestion: str | None = None
    related: tuple[Related, ...] = ()
    fix: Fix | None = None
    witness: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each severity."""

    errors: int
    warnings: int
    infos: int


def diagnostic(
    code: str,
    message: str,
    *,
    file: str,
    span: Span,
    path: Path = (),
    help: str | None = None,  # noqa: A002  # the diagnostic's own field name
    suggestion: str | None = None,
    related: Sequence[Related] = (),
    severity: Severity | None = None,
) -> Diagnostic:
    """A diagnostic of a registered rule. Raises KeyError for a code that is not in the registry."""
    rule: RuleInfo = RULES[code]
    return Diagnostic(
        code=code,
        name=rule.name,
        severity=severity or rule.severity,
        message=message,
        file=file,
        span=span,
        pointer=pointer(path),
        help=help,
        suggestion=suggestion,
        related=tuple(related),
    )


def pointer(path: Path) -> str:
    """The JSON pointer of a path, RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def name_path(path: Path) -> str:
    """A path as one would say it: `routes[3].when.model`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def in_order(diagnostics: Iterable[Diagnostic], *, files: Sequence[str] = ()) -> tuple[Diagnostic, ...]:
    """By file (in the order given, others after them), position and severity, each once."""
    rank = {file: index for index, file in enumerate(files)}
    unique = dict.fromkeys(diagnostics)
    return tuple(
        sorted(
            unique,
            key=lambda d: (rank.get(d.file, len(rank)), d.file, d.span, _RANK[d.severity], d.code, d.message),
        )
    )


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any is an error."""
    return any(d.severity == "error" for d in diagnostics)


def count(diagnostics: Iterable[Diagnostic]) -> Counts:
    """How many of each severity."""
    severities: list[Literal["error", "warning", "info"]] = [d.severity for d in diagnostics]
    return Counts(severities.count("error"), severities.count("warning"), severities.count("info"))
