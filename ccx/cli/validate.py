"""`ccx validate` and `ccx schema`.

Exit 0 when every spec is valid, 1 when one is not (or, with --strict, has a warning). That holds for every output,
SARIF included: a step that only uploads findings must allow the failure itself (`continue-on-error`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from ccx.analysis.space import Budget
from ccx.cli.destination import Wanted
from ccx.cli.reports import destinations, publish
from ccx.errors import Exit
from ccx.lint.examine import Wish, examine
from ccx.spec.render.report import Report
from ccx.spec.rules import RULES
from ccx.spec.schema import FILE_NAME, SUITE_FILE_NAME, embedded_text

app = typer.Typer()

DEFAULT_SPEC: Final = Path("ccx.yaml")

STATES: Final = 200_000
SECONDS: Final = 2.0
"""What the linter's proofs may take here; `ccx lint` takes longer, and says where it did not come to an end."""


def check(path: Path, *, environ: Mapping[str, str]) -> Report:
    """Load one spec and run all checks: of what the linter finds, only errors are shown."""
    ends = time.monotonic() + SECONDS
    budget = Budget(states=STATES, expired=lambda: time.monotonic() > ends)
    one = examine(path, Wish(today=datetime.now(UTC).date(), budget=budget, environ=environ))
    shown = tuple(
        found for found in one.linted.findings if RULES[found.code].finder == "validate" or found.severity == "error"
    )
    return Report(one.loaded.closure.entry, shown, one.loaded.excerpts, one.loaded.locations)


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
            help="text, json, github, gitlab, sarif or junit, to standard output or a file. Repeatable.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
) -> None:
    """Check specs: files, schema, references, secrets. Exit 0 if valid, 1 if not.

    What `ccx lint` finds to be an error fails here too.
    """
    to = destinations(output)
    reports = [check(path, environ=os.environ) for path in paths or [DEFAULT_SPEC]]
    publish(reports, to, strict=strict, command="ccx validate")
    failed = any(one.counts.errors or (strict and one.counts.warnings) for one in reports)
    raise typer.Exit(Exit.FINDINGS if failed else Exit.OK)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: standard output.")
    ] = None,
    tests: Annotated[bool, typer.Option("--tests", help="The schema of files of tests.")] = False,
) -> None:
    """Print the JSON Schema of the spec language, for editors."""
    Wanted("json", output).write(embedded_text(SUITE_FILE_NAME if tests else FILE_NAME))
