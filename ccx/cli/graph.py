"""`ccx graph`: the routing as a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, assert_never, cast, get_args

import typer

from ccx.cli.destination import wanted
from ccx.errors import Exit, UsageError

if TYPE_CHECKING:
    from ccx.routing.table import RoutingTable
    from ccx.spec.validate import Loaded

app = typer.Typer()

Format = Literal["svg", "mermaid"]


@app.command()
def graph(
    path: Annotated[Path, typer.Argument(help="The spec.")] = Path("ccx.yaml"),
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT[=FILE]",
            help="svg or mermaid, to standard output or a file; FILE.svg is svg. Repeatable. Default: mermaid.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="REV|FILE", help="Mark what changed since a revision, or compared with another file."),
    ] = None,
) -> None:
    """Draw the routing as a picture.

    Routes stand in the order they are tried; each leads to the channels it asks, in failover order.
    """
    from ccx.plan.picture.mermaid import mermaid  # noqa: PLC0415 - keeps the start of the command line short
    from ccx.plan.picture.svg import svg  # noqa: PLC0415 - likewise

    destinations = [wanted(_spelled(text), legal=get_args(Format)) for text in output or ["mermaid"]]
    if sum(one.file is None for one in destinations) > 1:
        raise UsageError("only one output can go to standard output", hint="write others to files: --output svg=FILE")
    before, table = _tables(path, against)
    for one in destinations:
        format_ = cast(Format, one.format)
        match format_:
            case "svg":
                one.write(svg(table, before=before, title=f"Routing of {os.fspath(path)}"))
            case "mermaid":
                one.write(mermaid(table, before=before))
            case _:
                assert_never(format_)
    for one in destinations:
        if one.file is not None:
            typer.echo(f"wrote {one.file}", err=True)


def _spelled(text: str) -> str:
    return f"svg={text}" if "=" not in text and text.lower().endswith(".svg") else text


def _tables(path: Path, against: str | None) -> tuple[RoutingTable | None, RoutingTable]:
    """The table before, if one is asked for, and the table. Ends the command with the errors of one that has any."""
    from ccx.plan.revisions import Comparison, File, Revision, WorkingTree, versions  # noqa: PLC0415 - likewise
    from ccx.spec.validate import load  # noqa: PLC0415 - likewise

    if against is None:
        return None, _table(load(path), at="")
    file = Path(against).is_file() or against.lower().endswith((".yaml", ".yml"))
    with versions(Comparison(path, File(Path(against)) if file else Revision(against), WorkingTree())) as (old, new):
        if new.loaded is None:
            raise UsageError(f"there is no {os.fspath(path)!r} here", hint=f"it exists at {old.name}")
        if old.loaded is None:
            raise UsageError(f"there is no {os.fspath(path)!r} at {old.name}", hint="leave out --against")
        return _table(old.loaded, at=old.name), _table(new.loaded, at="")


def _table(loaded: Loaded, *, at: str) -> RoutingTable:
    from ccx.routing.compile import compile_spec  # noqa: PLC0415 - likewise
    from ccx.spec.diagnostics import has_errors  # noqa: PLC0415 - likewise
    from ccx.spec.render.text import render_findings  # noqa: PLC0415 - likewise
    from ccx.spec.validate import extended  # noqa: PLC0415 - likewise

    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    if compiled is not None:
        loaded = extended(loaded, compiled.diagnostics)
    if compiled is not None and not has_errors(loaded.diagnostics):
        return compiled.table
    errors = [one for one in loaded.diagnostics if one.severity == "error"]
    typer.echo(render_findings(errors, excerpts=loaded.excerpts, colour=sys.stderr.isatty()).rstrip("\n"), err=True)
    where = f" at {at}" if at not in ("", loaded.closure.entry) else ""
    typer.echo(f"ccx: {loaded.closure.entry}{where} is not valid, so there is no picture", err=True)
    raise typer.Exit(Exit.FINDINGS)
