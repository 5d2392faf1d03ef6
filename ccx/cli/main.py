"""The `ccx` command: the groups put together, and errors turned into messages and exit codes.

Usage mistakes exit with 64, so that they can never be read as the 2 of "there are changes".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ccx import __version__
from ccx.cli.commands import Commands
from ccx.errors import CcxError, Exit, UsageError

app = typer.Typer(
    name="ccx",
    cls=Commands,
    help="A declarative AI gateway: one YAML spec in git, compiled into a routing table and served.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"ccx {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = (
        False
    ),
) -> None:
    """Options of every command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        code = app(args=list(arguments) if arguments is not None else None, standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        typer.echo("ccx: stopped", err=True)
        return 130
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]  # the copy of click inside typer has it; its stubs do not say so
        return Exit.USAGE if error.exit_code == 2 else Exit.FINDINGS
    except UsageError as error:
        typer.echo(f"ccx: {error}" + (f"\n  try: {error.hint}" if error.hint else ""), err=True)
        return Exit.USAGE
    except CcxError as error:
        typer.echo(f"ccx: {error}", err=True)
        return Exit.FINDINGS
    except BrokenPipeError:
        # The reader has gone, as `ccx models | head` does: not a failure, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0
