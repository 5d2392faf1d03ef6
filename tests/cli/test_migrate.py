"""`ccx migrate`: what it shows and writes, and that it refuses what it cannot prove."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ccx.cli import migrate as command
from ccx.cli.main import app
from tests.spec.test_versions import CLIENT, NEW, OLD


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ccx.yaml"
    path.write_text(OLD + CLIENT)
    return path


def ccx(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def test_it_shows_first_and_writes_when_told(spec: Path) -> None:
    result = ccx("migrate")
    assert result.exit_code == 0
    assert "-upstreams:\n" in result.stdout
    assert "+channels:\n" in result.stdout
    assert result.stderr == "ccx.yaml: can be migrated to ccx/v1 (--write): no request changes (proved)\n"
    assert spec.read_text() == OLD + CLIENT
    result = ccx("migrate", "ccx.yaml", "--write")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "ccx.yaml: migrated to ccx/v1: no request changes (proved)\n"
    assert set(NEW.splitlines()) <= set(spec.read_text().splitlines())
    assert ccx("fmt", "--check").exit_code == 0
    result = ccx("migrate")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "ccx.yaml: ccx/v1 already\n")


def test_what_it_includes_goes_with_it_and_what_is_of_the_version_stays(spec: Path) -> None:
    spec.write_text("version: ccx/v1alpha1\ninclude: [a.yaml, b.yaml]\nrules: [{name: r, target: a}]\n")
    (spec.parent / "a.yaml").write_text("upstreams:  {a: {provider: demo}} # a\n")
    (spec.parent / "b.yaml").write_text("version:   ccx/v1\nchannels: {b: {provider: demo}}\n")
    result = ccx("migrate", "--write", "--diff")
    assert result.exit_code == 0, result.output
    assert (spec.parent / "a.yaml").read_text() == "channels: {a: {provider: demo}} # a\n"
    assert (spec.parent / "b.yaml").read_text() == "version:   ccx/v1\nchannels: {b: {provider: demo}}\n"
    assert result.stdout.count("+++ ") == 2


def test_old_and_new_are_the_sides_of_a_plan(spec: Path) -> None:
    (spec.parent / "new.yaml").write_text(NEW + CLIENT)
    result = ccx("plan", "ccx.yaml", "new.yaml", "--detailed-exitcode")
    assert (result.exit_code, "No request changes (proved)" in result.stdout) == (0, True)


def test_a_spec_that_is_not_valid_is_not_migrated(spec: Path) -> None:
    text = OLD.replace("target: lab}", "target: nobody}")
    spec.write_text(text + CLIENT)
    result = ccx("migrate", "--write")
    assert result.exit_code == 1
    assert "CCX103" in result.stderr
    assert spec.read_text() == text + CLIENT


def test_a_form_that_cannot_be_rewritten(spec: Path) -> None:
    text = (
        "version: ccx/v1alpha1\nupstreams: {x: {provider: demo}}\n"
        "rules:\n- {name: a, match: {min_tokens: &n 5}, target: x}\n- {name: b, match: {min_tokens: *n}, target: x}\n"
    )
    spec.write_text(text)
    result = ccx("migrate", "--write")
    assert result.exit_code == 1
    assert "alias" in result.stderr
    assert spec.read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("claude-opus-5", "claude-opus-4", "not proven to do the same"), ("lab # second", "no # second", "CCX103")],
)
def test_a_migration_that_does_something_else_is_not_written(
    spec: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str
) -> None:
    """Should the converter ever be wrong, the plan engine has the last word."""
    assert old in NEW
    monkeypatch.setattr(command, "migrated", lambda data, file: (NEW.replace(old, new) + CLIENT).encode())
    result = ccx("migrate", "--write")
    assert result.exit_code == 1
    assert says in result.stderr
    assert spec.read_text() == OLD + CLIENT


def test_another_table_that_does_the_same_is_proven_by_the_plan(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = (NEW + CLIENT).replace("name: rest", "name: others")
    monkeypatch.setattr(command, "migrated", lambda data, file: other.encode())
    result = ccx("migrate", "--write")
    assert (result.exit_code, spec.read_text()) == (0, other)


def test_no_file_and_no_such_version(spec: Path) -> None:
    assert "nothing.yaml" in str(ccx("migrate", "nothing.yaml").exception)
    assert ccx("migrate", "--to", "v2").exit_code == 2
