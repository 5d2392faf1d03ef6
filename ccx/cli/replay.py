"""`ccx replay`: logged requests through the routing before and after a change."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccx.cli.destination import Wanted, wanted
from ccx.cli.progress import Progress
from ccx.errors import Exit, UsageError
from ccx.plan.model import Side
from ccx.plan.render.cells import ASCII, UNICODE
from ccx.plan.replay.render_json import render_json
from ccx.plan.replay.render_markdown import render_markdown
from ccx.plan.replay.render_text import render_text
from ccx.plan.replay.result import Replay
from ccx.plan.replay.run import replay as replayed
from ccx.plan.revisions import Version, comparison, versions
from ccx.routing.compile import compile_spec
from ccx.routing.table import RoutingTable
from ccx.spec.diagnostics import has_errors
from ccx.spec.render.text import render_findings
from ccx.spec.validate import extended

app = typer.Typer()
OUTPUTS = ("text", "markdown", "json")


@app.command()
def replay(
    logs: Annotated[list[str], typer.Argument(metavar="LOG...", help="Request logs; - for stdin; .gz and .zst too.")],
    old: Annotated[str | None, typer.Option(help="A revision or file. Default: HEAD.", show_default=False)] = None,
    new: Annotated[
        str | None, typer.Option(help="A revision or file. Default: the working tree.", show_default=False)
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", "-f", help="The spec. Default: ccx.yaml.", show_default=False)
    ] = None,
    log_format: Annotated[
        Literal["ccx", "litellm", "csv"] | None, typer.Option(help="Format of the logs. Default: told by their lines.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option("--output", help=f"{'|'.join(OUTPUTS)}, or FORMAT=FILE; repeatable.")
    ] = None,
    detailed_exitcode: Annotated[bool, typer.Option(help="Exit with 2 if a request fares differently.")] = False,
) -> None:
    """Replay a request log: how many requests go elsewhere, from where to where, and what it costs.

    Each logged request is decided by the old and by the new spec. What the log does not say is not guessed: requests
    that hang on it are counted as undetermined. Reads ccx's JSON log, LiteLLM's log and spend rows (JSON lines or an
    array), and CSV with a header: protocol,model,input_tokens,output_tokens,client,stream,tools,server_tools,thinking,
    images,prefix,cached_tokens,status,count, of which the first two are required.
    """
    outputs = [wanted(text, legal=OUTPUTS) for text in output or ["text"]]
    first = old if old is not None or new is None else "HEAD"
    asked = comparison(first, new, spec=spec, usual=Path("ccx.yaml"))
    with versions(asked) as (before, after):
        sides = (_side(before), _side(after))
    with Progress(sys.stderr) as progress:
        result = replayed(*sides, logs=logs, format=log_format, progress=progress.lines, clock=time.perf_counter)
    for destination in outputs:
        destination.write(rendered(result, destination))
    if detailed_exitcode and result.changed:
        raise typer.Exit(Exit.CHANGES)


def rendered(result: Replay, destination: Wanted) -> str:
    """The replay in the format asked for."""
    match destination.format:
        case "json":
            return render_json(result)
        case "markdown":
            return render_markdown(result)
        case _:
            terminal = destination.file is None and sys.stdout.isatty()
            encoding = (sys.stdout.encoding or "ascii") if destination.file is None else "utf-8"
            plain = not encoding.lower().replace("-", "").startswith("utf")
            width = shutil.get_terminal_size().columns if terminal else 100
            return render_text(result, width=width, colour=terminal, signs=ASCII if plain else UNICODE)


def _side(version: Version) -> tuple[Side, RoutingTable]:
    """The table of one side. Raises UsageError where there is no spec; findings end the command."""
    loaded = version.loaded
    if loaded is None:
        raise UsageError(f"there is no spec at {version.name}, so there is nothing to replay through")
    compiled = compile_spec(loaded.spec, locations=loaded.locations) if loaded.spec is not None else None
    if compiled is not None:
        loaded = extended(loaded, compiled.diagnostics)
    if compiled is None or has_errors(loaded.diagnostics):
        shown = render_findings(loaded.diagnostics, excerpts=loaded.excerpts, colour=sys.stderr.isatty())
        typer.echo(shown.rstrip("\n"), err=True)
        typer.echo(f"ccx: the spec at {version.name} is not valid", err=True)
        raise typer.Exit(Exit.FINDINGS)
    return Side(version.name, compiled.digest, version.revision), compiled.table
