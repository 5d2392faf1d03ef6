"""Reports of `ccx validate` and `ccx lint` to where they are wanted."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never, cast, get_args

import typer

from ccx.cli.destination import Format, Wanted, wanted
from ccx.errors import UsageError
from ccx.spec.render.github import render_github
from ccx.spec.render.gitlab import render_gitlab
from ccx.spec.render.json import render_json
from ccx.spec.render.junit import render_junit
from ccx.spec.render.report import Report, summary
from ccx.spec.render.sarif import render_sarif
from ccx.spec.render.text import render_text


def destinations(output: Sequence[str] | None) -> list[Wanted]:
    """Where the options say that reports go; text to standard output by default. Raises UsageError."""
    found = [wanted(text, legal=get_args(Format)) for text in output or ["text"]]
    if sum(one.file is None for one in found) > 1:
        raise UsageError("only one output can go to standard output", hint="write others to files: --output sarif=FILE")
    return found


def publish(reports: Sequence[Report], to: Sequence[Wanted], *, strict: bool, command: str) -> None:
    """Write all reports to all destinations; the summaries to standard error if nothing goes to standard output."""
    for one in to:
        one.write(_rendered(one, reports, strict=strict, command=command))
    if all(one.file is not None for one in to):
        for report in reports:
            typer.echo(summary(report, strict=strict), err=True)


def _rendered(destination: Wanted, reports: Sequence[Report], *, strict: bool, command: str) -> str:
    terminal = destination.file is None and sys.stdout.isatty()
    format_ = cast(Format, destination.format)
    match format_:
        case "text":
            width = shutil.get_terminal_size().columns if terminal else 100
            colour = terminal and "NO_COLOR" not in os.environ
            return render_text(reports, width=width, colour=colour, strict=strict)
        case "json":
            return render_json(reports)
        case "github":
            return render_github(reports, command=command)
        case "gitlab":
            return render_gitlab(reports)
        case "sarif":
            return render_sarif(reports, base=Path.cwd())
        case "junit":
            return render_junit(reports, strict=strict, command=command)
        case _:
            assert_never(format_)
