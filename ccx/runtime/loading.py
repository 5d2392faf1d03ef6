"""From the files of a spec to a table, as the running gateway does it: again and again, cheap when nothing changed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ccx.routing.compile import compile_spec
from ccx.runtime.lastgood import Kept
from ccx.runtime.reload import Candidate
from ccx.spec.diagnostics import Diagnostic, has_errors
from ccx.spec.render.report import Report, report
from ccx.spec.source import read_closure
from ccx.spec.validate import Loaded, load


class Loader:
    """Loads one spec. Keeps the last result, so that unchanged files are not worked on again. Not thread-safe: the
    reconciler calls it one at a time."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self.folder = path.parent
        self.report: Report | None = None
        self._environ = environ
        self._loaded: Loaded | None = None
        self._candidate: Candidate | None = None

    def look(self) -> Candidate:
        """What the files say now. Raises nothing for what they hold."""
        if self._loaded is not None and self._candidate is not None:
            closure = read_closure(self.path, previous=self._loaded.closure)
            if closure.digest == self._loaded.closure.digest:
                return self._candidate
        loaded = load(self.path, environ=self._environ, previous=self._loaded)
        candidate, more = candidate_of(loaded)
        self.report = report(loaded, more)
        self._loaded, self._candidate = loaded, candidate
        return candidate


def candidate_of(loaded: Loaded) -> tuple[Candidate, tuple[Diagnostic, ...]]:
    """Compile what was loaded; with what the compiler found."""
    closure = loaded.closure
    found: tuple[Diagnostic, ...] = ()
    table, digest = None, ""
    if loaded.spec is not None:
        compiled = compile_spec(loaded.spec, locations=loaded.locations)
        found = compiled.diagnostics
        if not has_errors(found):
            table, digest = compiled.table, compiled.digest
    folders = {source.real.parent for source in closure.sources} | {closure.directory}
    candidate = Candidate(
        stamp=closure.digest,
        table=table,
        digest=digest,
        problems=tuple(brief(d) for d in (*loaded.diagnostics, *found) if d.severity == "error"),
        folders=tuple(sorted(folders)),
        files={str(source.real): source.data for source in closure.sources},
        entry=next((str(source.real) for source in closure.sources if source.name == closure.entry), ""),
    )
    return candidate, found


def brief(found: Diagnostic) -> str:
    """One line: place, code and message."""
    return f"{found.file}:{found.span.line}:{found.span.col}: {found.code} {found.message}"


def restore(kept: Kept, environ: Mapping[str, str]) -> Candidate:
    """Compile the last good contents again, from a copy that lies as the files lay. Its folders are those of the files,
    not of the copy: there a repair will appear."""
    with tempfile.TemporaryDirectory(prefix="ccx-") as folder:
        root = Path(folder).resolve()
        for name, data in kept.files.items():
            copy = root / name.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
        candidate, _ = candidate_of(load(root / kept.entry.lstrip("/"), environ=environ))
        folders = tuple("/" / path.relative_to(root) for path in candidate.folders)
    return replace(candidate, folders=folders)
