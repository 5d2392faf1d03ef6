"""A finding before it has a place in a file: what the checks of the document say, by path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ccx.spec.diagnostics import Diagnostic, Fix, Path, Related, Span, diagnostic
from ccx.spec.locations import Locations, Place
from ccx.spec.rules import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path.

    `at_key` points at the key rather than the value. `also` names further places, by path, with what is to be said
    there. `scalar` may be said better by a model, and `worded` is what a model's own parser says.
    """

    path: Path
    code: str
    message: str
    help: str | None = None
    suggestion: str | None = None
    at_key: bool = False
    severity: Severity | None = None
    also: tuple[tuple[Path, str], ...] = ()
    scalar: bool = False
    worded: bool = False
    fix: Fix | None = None
    witness: str | None = None


def located(finding: Finding, locations: Locations) -> Diagnostic:
    """The finding with its place."""
    file, span = _span(finding, locations)
    related: list[Related] = []
    for path, message in finding.also:
        place = locations.nearest(path)
        related.append(Related(_pointed(place, locations, path), place.file, message))
    found = diagnostic(
        finding.code,
        finding.message,
        file=file,
        span=span,
        path=finding.path,
        help=finding.help,
        suggestion=finding.suggestion,
        related=related,
        severity=finding.severity,
    )
    return replace(found, fix=finding.fix, witness=finding.witness)


def _span(finding: Finding, locations: Locations) -> tuple[str, Span]:
    path = finding.path
    if path in locations:
        place = locations[path]
        if finding.at_key and place.key is not None:
            return place.file, place.key
        return place.file, _pointed(place, locations, path)
    # A missing key is shown at what should hold it.
    while path and path not in locations:
        path = path[:-1]
    place = locations.nearest(path)
    return place.file, _pointed(place, locations, path)


def _pointed(place: Place, locations: Locations, path: Path) -> Span:
    """The value when it stands on one line, else the key, else the first key within."""
    value = place.value
    if value.line == value.end_line and value != Span(value.line, value.col, value.line, value.col):
        return value
    if place.key is not None:
        return place.key
    tree = locations.tree(path)
    if tree is not None and isinstance(tree.keys, Mapping):
        for key, span in tree.keys.items():
            child = tree.child(key)
            if child is not None and child.file == place.file and span >= value:
                return span
    return Span(value.line, value.col, value.line, value.col)
