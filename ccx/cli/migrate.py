"""`ccx migrate`: a spec of an older version, written in the current one, proven to do the same.

Exit 0 when it is migrated, or needs not be; 1 when it cannot be, or when it could not be proven that nothing changes.
Nothing is written then.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from ccx.cli.rewriting import difference, replace
from ccx.errors import Exit, UsageError
from ccx.plan.build import plan
from ccx.plan.edits import Compared
from ccx.routing.compile import Compiled, compile_spec
from ccx.spec.diagnostics import has_errors
from ccx.spec.document import VERSION
from ccx.spec.migrate import CannotMigrate, migrated
from ccx.spec.render.text import render_findings
from ccx.spec.source import Read, read_file
from ccx.spec.validate import Loaded, extended, load
from ccx.spec.versions.current import is_old

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")


@app.command()
def migrate(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[PATH]", help="The spec; what it includes is migrated with it. Default: ccx.yaml."),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the files. Default: show what would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what changes, also with --write.")] = False,
    to: Annotated[Literal["v1"], typer.Option("--to", help="The version to write.")] = "v1",
) -> None:
    """Rewrite a spec of an older version of the language, and prove that nothing changes.

    ccx reads ccx/v1alpha1 as it always did, and warns. This writes ccx/v1, with every comment, laid out as `ccx fmt`
    does. Both are compiled, and the tables compared over every request there could be: only where none is treated
    differently is anything written.
    """
    spec = path or DEFAULT_SPEC
    loaded, old = _compiled(spec, read_file)
    if old is None:
        raise typer.Exit(Exit.FINDINGS)
    files = [source for source in loaded.closure.sources if is_old(source, loaded.closure)]
    if not files:
        typer.echo(f"{os.fspath(spec)}: {VERSION} already", err=True)
        return
    try:
        new = {source.real: migrated(source.data, file=source.name) for source in files}
    except CannotMigrate as error:
        typer.echo(f"ccx: {error}", err=True)
        raise typer.Exit(Exit.FINDINGS) from None
    _prove(spec, old, read=lambda real: new[real] if real in new else read_file(real))
    if diff or not write:
        for source in files:
            typer.echo(difference(source.data, new[source.real], name=source.name), nl=False)
    if write:
        for source in files:
            replace(source.real, new[source.real])
    names = ", ".join(source.name for source in files)
    done = f"migrated to ccx/{to}" if write else f"can be migrated to ccx/{to} (--write)"
    typer.echo(f"{names}: {done}: no request changes (proved)", err=True)


def _compiled(spec: Path, read: Read) -> tuple[Loaded, Compiled | None]:
    """A spec compiled; None, with its errors told, where it is not valid. Raises UsageError where there is none."""
    loaded = load(spec, read=read)
    if not loaded.closure.sources:
        raise UsageError(loaded.diagnostics[0].message)
    compiled = None
    if loaded.spec is not None:
        compiled = compile_spec(loaded.spec, locations=loaded.locations)
        loaded = extended(loaded, compiled.diagnostics)
    if compiled is not None and not has_errors(loaded.diagnostics):
        return loaded, compiled
    errors = [one for one in loaded.diagnostics if one.severity == "error"]
    shown = render_findings(errors, excerpts=loaded.excerpts, colour=sys.stderr.isatty())
    typer.echo(shown.rstrip("\n"), err=True)
    typer.echo(f"ccx: {loaded.closure.entry} is not valid, so nothing could be proven of its migration", err=True)
    return loaded, None


def _prove(spec: Path, old: Compiled, *, read: Read) -> None:
    """End the command unless both are proven to do the same with every request."""
    _, new = _compiled(spec, read)
    if new is None:
        raise typer.Exit(Exit.FINDINGS)
    if old.digest == new.digest:
        return  # one and the same table
    name = os.fspath(spec)
    found = plan(Compared(old, name), Compared(new, name), spec=name)
    if not found.no_op:
        seen = found.unfinished or f"{len(found.moved)} routing changes, {len(found.touched)} others"
        typer.echo(f"ccx: {name}: not proven to do the same ({seen}); nothing is written", err=True)
        raise typer.Exit(Exit.FINDINGS if found.complete else Exit.INCOMPLETE)
