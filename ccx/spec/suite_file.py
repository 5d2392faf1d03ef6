"""Files of tests, `*.test.yaml`: found, read with the strictness of a spec, and checked against the spec they name.

Law: `load_suite` never raises for what files hold; a suite is there exactly when no diagnostic is an error. Names are
looked up in the spec's own document, so that a test file and a test in the spec are told the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccx.spec.diagnostics import START, Diagnostic, Span, diagnostic, has_errors, in_order
from ccx.spec.excerpts import Excerpts
from ccx.spec.finding import located
from ccx.spec.inline import find_secrets
from ccx.spec.locations import Locations, Tree
from ccx.spec.merge import version_of
from ccx.spec.shape import check_suite_shape
from ccx.spec.source import DISK, Closure, Names, Read, read_closure, read_file
from ccx.spec.suite import Suite
from ccx.spec.suite_references import check_suite
from ccx.spec.validate import Loaded
from ccx.spec.view import items, text, under

ENDING: Final = ".test.yaml"
_OF_TESTS: Final = ("tests", "invariants")


@dataclass(frozen=True, slots=True)
class LoadedSuite:
    """A file of tests as loaded. `suite` is None when a diagnostic is an error."""

    suite: Suite | None
    diagnostics: tuple[Diagnostic, ...]
    locations: Locations
    closure: Closure
    excerpts: Excerpts


def beside(spec: Path, *, read: Read = read_file, names: Names = DISK) -> tuple[Path, ...]:
    """The test files in the spec's folder that name this spec, in the order of their names."""
    real = names.real(spec)
    found: list[Path] = []
    for path in names.find(f"*{ENDING}", real.parent):
        named = spec_of(path, read=read, names=names)
        if named is not None and names.real(named) == real:
            shown = spec.parent / path.name
            found.append(shown if names.real(shown) == path else path)
    return tuple(found)


def spec_of(path: Path, *, read: Read = read_file, names: Names = DISK) -> Path | None:
    """The spec that a test file names; None where it cannot be told."""
    closure = read_closure(path, read=read, names=names)
    named = text(under(closure.sources[-1].tree, "spec")) if closure.sources else None
    return path.parent / named if named and "\0" not in named else None


def load_suite(
    path: Path, spec: Loaded, *, known: Collection[str] = (), read: Read = read_file, names: Names = DISK
) -> LoadedSuite:
    """Load a file of tests about a loaded spec. `known` are names of tests in further files, which are not to be used
    again."""
    closure = read_closure(path, read=read, names=names)
    name = closure.entry
    source = closure.sources[-1] if closure.sources else None
    root = source.tree if source is not None else None
    found: list[Diagnostic] = list(closure.diagnostics)
    places: tuple[tuple[str, Span], ...] = ()
    suite: Suite | None = None
    locations = Locations(root)
    if source is not None and root is None and not source.diagnostics:
        found.append(diagnostic("CCX109", "the file is empty", file=name, span=START))
    elif root is not None and not isinstance(root.content, Mapping):
        message = "a file of tests is a mapping with keys such as `spec` and `tests`"
        found.append(diagnostic("CCX109", message, file=name, span=Span(root.span.line, root.span.col, *_start(root))))
    elif root is not None:
        readable, wrong = version_of(closure)
        found.extend(wrong)
        if readable:
            secrets = find_secrets(root)
            places = secrets.places
            found.extend(secrets.diagnostics)
            shape = check_suite_shape(root)
            found.extend(located(one, locations) for one in shape.findings if one.path not in secrets.paths)
            suite = shape.spec
            found.extend(_references(root, spec, known=known, wrong={one.path for one in shape.findings}))
    ordered = in_order(found, files=[name])
    return LoadedSuite(
        suite=suite if not has_errors(ordered) else None,
        diagnostics=ordered,
        locations=locations,
        closure=closure,
        excerpts=Excerpts(closure.files, places),
    )


def _start(tree: Tree) -> tuple[int, int]:
    return tree.span.line, tree.span.col


def _references(root: Tree, spec: Loaded, *, known: Collection[str], wrong: Collection[object]) -> list[Diagnostic]:
    """What does not fit the spec: its document with these tests in the place of its own."""
    about = spec.locations.root
    if about is None or not isinstance(about.content, Mapping) or not isinstance(root.content, Mapping):
        return []
    content = {key: value for key, value in about.content.items() if key not in _OF_TESTS}
    content |= {key: value for key, value in root.content.items() if key in _OF_TESTS}
    both = Tree(content, root.file, root.span, {**(about.keys or {}), **(root.keys or {})})
    tests = {name: test for test in items(under(about, "tests")) if (name := text(under(test, "name"))) is not None}
    others = {name: Tree({}, root.file, root.span) for name in known}
    findings = check_suite(both, complete=spec.closure.complete, known={**others, **tests})
    locations = Locations(both)
    return [located(finding, locations) for finding in findings if finding.path not in wrong]


def names_of(root: Tree | None) -> tuple[str, ...]:
    """The names of a document's tests."""
    return tuple(name for test in items(under(root, "tests")) if (name := text(under(test, "name"))) is not None)
