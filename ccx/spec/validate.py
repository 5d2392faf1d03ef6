"""From files to a spec: read, merge, check, and say everything that is wrong at once.

Laws. `load` never raises for what files hold. A spec is there exactly when no diagnostic is an error. One mistake is
one diagnostic. No diagnostic and no excerpt shows a secret, not even one that should not have been written there.

The order: the version before all else, since another one may give the same words another meaning, and files of an older
one are converted; then secrets, so that nothing after them shows one; then the shape (JSON Schema, models); then
references, exposure, and what has no effect yet. Later steps also look at documents that failed in earlier ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ccx.spec import diagnostics
from ccx.spec.diagnostics import Diagnostic, has_errors, in_order
from ccx.spec.document import Spec
from ccx.spec.excerpts import Excerpts
from ccx.spec.exposure import check_exposure, check_secrets
from ccx.spec.finding import Finding, located
from ccx.spec.inline import InlineSecrets, find_secrets
from ccx.spec.locations import Locations, Tree
from ccx.spec.merge import merge, version_of
from ccx.spec.pending import check_pending
from ccx.spec.references import check_references
from ccx.spec.shape import Shape, check_shape
from ccx.spec.source import DISK, Closure, Names, Read, read_closure, read_file
from ccx.spec.suite_references import check_suite
from ccx.spec.versions.current import modern
from ccx.spec.versions.deprecated import Use


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec as loaded. `spec` is None when a diagnostic is an error.

    `excerpts` gives source lines for renderers, with secrets covered. `good` are the digests of entries that passed
    the schema, for the next load. `closure` has the files as they are; `deprecated` are the fields of an older version
    of the language that they use.
    """

    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
    locations: Locations
    closure: Closure
    excerpts: Excerpts
    good: frozenset[bytes] = frozenset()
    deprecated: tuple[Use, ...] = ()


def load(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    read: Read = read_file,
    names: Names = DISK,
    previous: Loaded | None = None,
) -> Loaded:
    """Load a spec with all it includes.

    With `environ`, what the spec refers to outside itself is checked too: its secrets. `previous` is an earlier result
    for the same path; work on unchanged parts is not done again. `names` and `read` are where files come from.
    """
    closure = read_closure(path, read=read, names=names, previous=previous.closure if previous else None)
    now = modern(closure)
    readable, wrong = version_of(now.closure) if not has_errors(now.diagnostics) else (False, ())
    found: list[Diagnostic] = [*closure.diagnostics, *now.diagnostics, *wrong]
    root, wrong = merge(now.closure)
    locations = Locations(root)
    secrets = find_secrets(root) if root is not None else InlineSecrets((), frozenset(), ())
    shape: Shape[Spec] | None = None
    if readable:
        found.extend(wrong)
        found.extend(secrets.diagnostics)
        if root is not None:
            shape = check_shape(root, good=previous.good if previous else frozenset())
            findings = _findings(
                root, shape, secrets, closure=closure, environ=environ, broken=frozenset(_pointers(found))
            )
            found.extend(located(finding, locations) for finding in findings)
    ordered = in_order(found, files=[source.name for source in closure.sources])
    return Loaded(
        spec=shape.spec if shape is not None and not has_errors(ordered) else None,
        diagnostics=ordered,
        locations=locations,
        closure=closure,
        excerpts=Excerpts(closure.files, secrets.places),
        good=shape.good if shape is not None else frozenset(),
        deprecated=now.uses,
    )


def extended(loaded: Loaded, more: Collection[Diagnostic]) -> Loaded:
    """The same with further diagnostics, those of the compiler for one."""
    ordered = in_order([*loaded.diagnostics, *more], files=[source.name for source in loaded.closure.sources])
    return replace(loaded, spec=None if has_errors(ordered) else loaded.spec, diagnostics=ordered)


def _pointers(found: Collection[Diagnostic]) -> list[str]:
    return [one.pointer for one in found if one.pointer]


def _findings(
    root: Tree,
    shape: Shape[Spec],
    secrets: InlineSecrets,
    *,
    closure: Closure,
    environ: Mapping[str, str] | None,
    broken: Collection[str],
) -> list[Finding]:
    """All findings, without those about a place whose mistake has been named already."""
    shaped = [finding for finding in shape.findings if not _about(finding.path, secrets.paths)]
    excused: set[diagnostics.Path] = set()
    for finding in shaped:
        if finding.suggestion is not None and finding.at_key:
            excused.add((*finding.path[:-1], finding.suggestion))
        excused.add(finding.path)
    for path in secrets.paths:
        excused.update((*path[:depth], "keys") for depth in (2, 3))
    findings = [
        *shaped,
        *check_references(root, complete=closure.complete, excused=excused),
        *check_suite(root, complete=closure.complete),
        *check_exposure(root),
        *check_pending(root),
    ]
    if environ is not None:
        findings.extend(check_secrets(root, environ=environ, directory=closure.directory))
    wrong_shape = {finding.path for finding in shaped}
    kept: list[Finding] = list(shaped)
    for finding in findings[len(shaped) :]:
        if _about(finding.path, secrets.paths) or finding.path in wrong_shape:
            continue
        kept.append(finding)
    return [one for one in kept if diagnostics.pointer(one.path) not in broken]


def _about(path: diagnostics.Path, secrets: Collection[diagnostics.Path]) -> bool:
    """Whether a path is that of a secret, or one the secret lies under."""
    return any(path[: len(secret)] == secret for secret in secrets)
