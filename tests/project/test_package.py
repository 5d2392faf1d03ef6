"""What is installed is whole, what is generated is fresh, and every command explains itself."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ccx import __version__
from ccx.cli.main import app
from ccx.spec.schema import generate, render

ROOT = Path(__file__).parents[2]
DATA = {
    "ccx/catalog/data/providers.toml",
    "ccx/catalog/data/models/anthropic.toml",
    "ccx/py.typed",
    "ccx/spec/ccx.v1.json",
    "ccx/spec/ccx-test.v1.json",
    "ccx/tokens/o200k_base.NOTICE",
    "ccx/tokens/o200k_base.xz",
}


def commands() -> dict[str, Any]:
    """By name. Their type is typer's own copy of click's, or click's, as the version of typer will."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def ccx(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ccx", *arguments], check=False, capture_output=True, text=True, timeout=60
    )


def tracked() -> list[Path]:
    """The files of the checkout that git knows. Where there is no checkout, as in an sdist, nothing to say."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("path", ["schema/ccx.v1.json", "ccx/spec/ccx.v1.json"])
def test_the_schema_is_that_of_the_models(path: str) -> None:
    assert (ROOT / path).read_text() == render(generate())


def test_ccx_schema_prints_the_schema() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0, result.output
    assert result.stdout == (ROOT / "schema" / "ccx.v1.json").read_text()
    result = CliRunner().invoke(app, ["schema", "--tests"])
    assert result.stdout == (ROOT / "schema" / "ccx-test.v1.json").read_text()


def test_the_commands() -> None:
    assert commands().keys() >= {
        "init", "validate", "compile", "explain", "schema", "serve", "keys", "models", "providers", "demo",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_explains_itself(name: str) -> None:
    command = commands()[name]
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"Usage: ccx {name} ")
    assert command.help, "a docstring or help text"
    assert command.callback is not None
    assert command.callback.__doc__, "a docstring"
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            assert getattr(parameter, "help", None), f"{name} {parameter.name} has no help"


def test_python_m_ccx_is_the_command() -> None:
    done = ccx("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ccx {__version__}\n", "")


def test_the_installed_command_is_the_same() -> None:
    scripts = {script.name: script.value for script in entry_points(group="console_scripts")}
    assert scripts["ccx"] == "ccx.cli.main:main"
    assert version("ccx") == __version__


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["no-such-command"], ["serve", "--workers", "zero"]])
def test_a_wrong_command_line_exits_with_64(arguments: list[str]) -> None:
    done = ccx(*arguments)
    assert done.returncode == 64
    assert "Usage: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_wheel_has_the_code_and_every_data_file_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        assert f"Version: {__version__}" in archive.read(metadata).decode()
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert names >= DATA
    assert {name.split("/")[0] for name in names} == {"ccx"}
    assert not [name for name in names if name.endswith(".pyc")]
    assert names >= {str(path.relative_to(ROOT)) for path in tracked() if path.is_relative_to(ROOT / "ccx")}


def test_no_path_of_anyones_machine_is_in_a_tracked_file() -> None:
    # Written apart, so that this file does not find itself.
    marks = [mark.encode() for mark in ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/", "C:\\" + "Users")]
    found = {
        f"{path.relative_to(ROOT)}: {mark.decode()}"
        for path in tracked()
        for mark in marks
        if mark in path.read_bytes()
    }
    assert found == set()
