"""`ccx validate` and `ccx schema`.

Exit 0 when every spec is valid, 1 when one is not (or, with --strict, has a warning). That holds for every output,
SARIF included: a step that only uploads findings must allow the failure itself (`continue-on-error`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, assert_never, cast, get_args

import typer

from ccx.cli.destination import Format, Wanted, wanted
from ccx.errors import Exit, UsageError
from ccx.routing.compile import compile_spec
from ccx.spec.diagnostics import Diagnostic
from ccx.spec.render.github import render_github
from ccx.spec.render.json import render_json
from ccx.spec.render.junit import render_junit
from ccx.spec.render.report import Report, report, summary
from ccx.spec.render.sarif import render_sarif
from ccx.spec.render.text import render_text
from ccx.spec.schema import embedded_text
from ccx.spec.validate import Loaded, extended, load

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")

Extra = Callable[[Loaded], Sequence[Diagnostic]]
"""A further check of a loaded spec."""


def compiler_findings(loaded: Loaded) -> Sequence[Diagnostic]:
    """What only compiling shows. Nothing for a spec that has not loaded."""
    if loaded.spec is None:
        return ()
    return compile_spec(loaded.spec, locations=loaded.locations).diagnostics


def check(path: Path, *, environ: Mapping[str, str], extra: Extra = compiler_findings) -> Report:
    """Load one spec and run all checks."""
    loaded = load(path, environ=environ)
    return report(extended(loaded, extra(loaded)))


@app.command()
def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Specs to check. Default: ccx.yaml.", metavar="PATH...")
    ] = (None),
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT[=FILE]",
            help="text, json, github, sarif or junit, to standard output or a file. May be given several times.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
) -> None:
    """Check specs: files, schema, references, secrets. Exit 0 if valid, 1 if not."""
    destinations = [wanted(text, legal=get_args(Format)) for text in output or ["text"]]
    if sum(one.file is None for one in destinations) > 1:
        raise UsageError("only one output can go to standard output", hint="write others to files: --output sarif=FILE")
    reports = [check(path, environ=os.environ) for path in paths or [DEFAULT_SPEC]]
    for one in destinations:
        _write(one, reports, strict=strict)
    if all(one.file is not None for one in destinations):
        for one_report in reports:
            typer.echo(summary(one_report, strict=strict), err=True)
    failed = any(one.counts.errors or (strict and one.counts.warnings) for one in reports)
    raise typer.Exit(Exit.FINDINGS if failed else Exit.OK)


def _write(destination: Wanted, reports: Sequence[Report], *, strict: bool) -> None:
    terminal = destination.file is None and sys.stdout.isatty()
    format_ = cast(Format, destination.format)
    match format_:
        case "text":
            width = shutil.get_terminal_size().columns if terminal else 100
            colour = terminal and "NO_COLOR" not in os.environ
            text = render_text(reports, width=width, colour=colour, strict=strict)
        case "json":
            text = render_json(reports)
        case "github":
            text = render_github(reports)
        case "sarif":
            text = render_sarif(reports, base=Path.cwd())
        case "junit":
            text = render_junit(reports, strict=strict)
        case _:
            assert_never(format_)
    destination.write(text)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: standard output.")
    ] = None,
) -> None:
    """Print the JSON Schema of the spec language, for editors."""
    Wanted("json", output).write(embedded_text())
