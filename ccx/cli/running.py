"""A running gateway and a spec as the two sides of a plan."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from ccx.cli.remote import Remote, Tried
from ccx.errors import Exit, UsageError
from ccx.plan.edits import Compared
from ccx.plan.revisions import Comparison, Revision, Version, WorkingTree, versions
from ccx.routing.compile import Compiled, compile_spec
from ccx.spec.diagnostics import has_errors
from ccx.spec.render.text import render_findings
from ccx.spec.scalars import parse_duration
from ccx.spec.validate import extended


def live(remote: Remote) -> Compared:
    """What a gateway serves. Raises RemoteError, TableError."""
    table, digest = remote.table()
    return Compared(Compiled(table, digest, (), {}), remote.url)


def tell_deviations(remote: Remote) -> Tried | None:
    """Tell by what it deviates from the table it serves: what operators have ordered there, and a table that is tried
    beside it, which is returned. Raises RemoteError."""
    serving = remote.serving()
    for order in serving.orders:
        typer.echo(f"ccx: note: an operator's order is in force, which is in no spec: {order}", err=True)
    if serving.canary is not None:
        typer.echo(f"ccx: note: {serving.canary}; compared is the table that serves the rest", err=True)
    return serving.canary


def written(spec: Path, revision: str | None) -> Compared:
    """What the spec says, in the working tree or at a revision. Its errors are told, and end the command.

    Raises UsageError where there is no spec, RevisionError where the revision cannot be read.
    """
    where = Revision(revision) if revision is not None else WorkingTree()
    with versions(Comparison(spec, where, where)) as (version, _):
        return _compiled(version, spec)


def _compiled(version: Version, spec: Path) -> Compared:
    loaded = version.loaded
    if loaded is None:
        raise UsageError(f"there is no {os.fspath(spec)!r} at {version.name}", hint="--spec PATH")
    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    if compiled is not None:
        loaded = extended(loaded, compiled.diagnostics)
        if not has_errors(loaded.diagnostics):
            return Compared(compiled, version.name, version.revision, loaded.locations)
    errors = [one for one in loaded.diagnostics if one.severity == "error"]
    shown = render_findings(errors, excerpts=loaded.excerpts, colour=sys.stderr.isatty())
    typer.echo(shown.rstrip("\n"), err=True)
    typer.echo(f"ccx: {os.fspath(spec)} at {version.name} is not valid", err=True)
    raise typer.Exit(Exit.FINDINGS)


def seconds(text: str, option: str) -> float:
    """A duration such as 60s in seconds. Raises UsageError."""
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
