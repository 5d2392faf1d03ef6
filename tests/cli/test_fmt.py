"""`ccx fmt`: which files, what is written, and what never is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ccx.cli import fmt as command
from ccx.cli.main import app

WILD = "channels: {main: {keys: none, 'provider': demo}} # all\nversion:   ccx/v1\n"
TAME = "version: ccx/v1\nchannels: {main: {provider: demo, keys: none}} # all\n"


def ccx(*arguments: str | Path, input: str | None = None) -> Result:  # noqa: A002  # the runner's own name
    return CliRunner().invoke(app, ["fmt", *map(str, arguments)], input=input)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ccx.yaml"
    path.write_text(WILD)
    return path


def test_it_writes_and_says_so_and_is_then_content(spec: Path) -> None:
    spec.chmod(0o640)
    result = ccx()
    assert (result.exit_code, result.stderr) == (0, "ccx.yaml: formatted\n")
    assert spec.read_text() == TAME
    assert spec.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in spec.parent.iterdir()] == ["ccx.yaml"]
    again = ccx("ccx.yaml")
    assert (again.exit_code, again.output) == (0, "")


def test_check_lists_and_writes_nothing(spec: Path) -> None:
    result = ccx("--check")
    assert (result.exit_code, result.stdout) == (1, "ccx.yaml\n")
    assert spec.read_text() == WILD
    spec.write_text(TAME)
    assert ccx("--check").exit_code == 0


def test_the_difference_can_be_applied(spec: Path) -> None:
    result = ccx("--diff")
    assert result.exit_code == 0
    assert spec.read_text() == WILD
    subprocess.run(["git", "apply", "-"], input=result.stdout, text=True, cwd=spec.parent, check=True, timeout=20)
    assert spec.read_text() == TAME
    spec.write_text(WILD)
    assert ccx("--diff", "--check").exit_code == 1


def test_included_files_and_tests_beside_it_are_formatted_too(spec: Path) -> None:
    spec.write_text("version: ccx/v1\ninclude: [more.yaml]\n")
    (spec.parent / "more.yaml").write_text("channels:  {main: {provider: demo}}\n")
    (spec.parent / "a.test.yaml").write_text("tests: []\nspec: ccx.yaml\nversion: ccx/v1\n")
    (spec.parent / "b.test.yaml").write_text("tests:  []\nspec: other.yaml\nversion: ccx/v1\n")
    assert ccx("--check").stdout.splitlines() == ["more.yaml", "a.test.yaml"]


def test_of_a_folder_every_file_that_says_that_it_is_ours(spec: Path) -> None:
    for name, text in {
        "sub/ccx.yaml": WILD,
        "sub/values.yaml": "a:   1\n",
        ".hidden/ccx.yaml": WILD,
        "sub/notes.txt": WILD,
        "sub/part.yml": "version:  ccx/v1\n",
    }.items():
        (spec.parent / name).parent.mkdir(exist_ok=True)
        (spec.parent / name).write_text(text)
    assert ccx("--check", ".").stdout.splitlines() == ["ccx.yaml", "sub/ccx.yaml", "sub/part.yml"]


def test_standard_input() -> None:
    assert ccx("-", input=WILD).stdout == TAME
    assert ccx("-", input=TAME).stdout == TAME
    assert (ccx("-", "--check", input=WILD).exit_code, ccx("-", "--check", input=TAME).exit_code) == (1, 0)
    assert ccx("-", "--diff", input=WILD).stdout.startswith("--- a/-\n+++ b/-\n")
    assert ccx("-", input="a: [1").exit_code == 1
    assert ccx("-", "ccx.yaml", input=WILD).exit_code != 0


def test_what_is_no_yaml_is_shown_and_the_others_are_formatted(spec: Path) -> None:
    bad = spec.parent / "bad.yaml"
    bad.write_text("version: ccx/v1\nchannels: {a: [}\n")
    result = ccx("bad.yaml", "ccx.yaml")
    assert result.exit_code == 1
    assert "CCX100" in result.stderr
    assert "bad.yaml:2" in result.stderr
    assert bad.read_text() == "version: ccx/v1\nchannels: {a: [}\n"
    assert spec.read_text() == TAME


def test_a_spec_that_is_not_valid_can_be_formatted(spec: Path) -> None:
    spec.write_text("routes: [{to: [nowhere], name: a}]\nversion: ccx/v1\n")
    assert ccx().exit_code == 0
    assert spec.read_text() == "version: ccx/v1\nroutes: [{name: a, to: [nowhere]}]\n"


def test_another_table_is_never_written(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the formatter ever be wrong, the compiler has the last word."""
    other = TAME.replace("demo", "openai").encode()
    monkeypatch.setattr(command, "formatted", lambda data, file: other)
    result = ccx()
    assert result.exit_code == 1
    assert "would change its table" in result.stderr
    assert spec.read_text() == WILD


@pytest.mark.parametrize("name", ["nothing.yaml", "ccx.json"])
def test_what_cannot_be_had(name: str, spec: Path) -> None:
    (spec.parent / "ccx.json").write_text("{}")
    result = ccx(name)
    assert result.exit_code != 0
    assert name in str(result.exception)
