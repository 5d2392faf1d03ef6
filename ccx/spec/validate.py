"""From files to a spec: read, merge, check, and say everything that is wrong at once.

Laws. `load` never raises for what files hold. A spec is there exactly when no diagnostic is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ccx.spec.diagnostics import Diagnostic, diagnostic, has_errors, in_order
from ccx.spec.document import Spec
from ccx.spec.locations import Locations
from ccx.spec.merge import merge, version_of
from ccx.spec.source import Closure, Read, read_closure, read_file


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec as loaded. `spec` is None when a diagnostic is an error."""

    spec: Spec | None
    diagnostics: tuple[Diagnostic, ...]
    locations: Locations
    closure: Closure


def load(
    path: Path,
    *,
    environ: Mapping[str, str] | None = None,
    read: Read = read_file,
    previous: Loaded | None = None,
) -> Loaded:
    """Load a spec with all it includes.

    With `environ` also what the spec refers to outside itself is checked: secrets. `previous` is an earlier result for
    the same path; work on unchanged parts is not done again.
    """
    closure = read_closure(path, read=read, previous=previous.closure if previous else None)
    found: list[Diagnostic] = list(closure.diagnostics)
    readable, wrong = version_of(closure)
    found.extend(wrong)
    root, wrong = merge(closure) if readable else (None, ())
    found.extend(wrong)
    locations = Locations(root)
    spec: Spec | None = None
    if root is not None:
        try:
            spec = Spec.model_validate(root.value())
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False, include_context=False):
                place = locations.nearest(tuple(one["loc"]))
                found.append(diagnostic("CCX110", one["msg"], file=place.file, span=place.span, path=tuple(one["loc"])))
    ordered = in_order(found, files=[source.name for source in closure.sources])
    return Loaded(None if has_errors(ordered) else spec, ordered, locations, closure)
