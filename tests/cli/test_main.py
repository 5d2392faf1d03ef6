"""The list of commands: true to the commands, and quick to show."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ccx.cli.commands import COMMANDS
from ccx.cli.main import app

HEAVY = ("pydantic", "ruamel", "jsonschema", "httpx", "starlette", "uvicorn", "watchfiles", "ccx.spec", "ccx.protocols")


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_begins_the_help(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], terminal_width=200, prog_name="ccx")
    assert result.exit_code == 0, result.output
    shown = " ".join(result.stdout.split())
    assert COMMANDS[name].summary.rstrip(".") in shown


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"], terminal_width=200)
    assert [line.split()[0] for line in result.stdout.partition("Commands:\n")[2].splitlines()] == list(COMMANDS)


def test_help_imports_nothing_of_the_gateway() -> None:
    code = (
        "import sys\nfrom ccx.cli.main import main\nmain(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "Commands:" in done.stdout
    assert done.stderr.strip() == "[]"
