"""`ccx plan --cover-changes`: each changed region holds a test of the new spec, or is told with one that would."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ccx.cli.main import main

OLD = """version: ccx/v1
server: {direct: false}
channels: {a: {provider: demo}, b: {provider: demo}}
routes:
  - {name: long, when: {protocol: messages, input_tokens: "> 60k"}, to: [b]}
  - {name: rest, to: [a]}
"""
NEW = OLD.replace("60k", "50k")
COVERING = "tests: [{name: now long, request: {model: x, input_tokens: 55k}, expect: {target: b}}]\n"
BESIDE = "tests: [{name: still long, request: {model: x, input_tokens: 70k}, expect: {target: b}}]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(old: str, new: str, *arguments: str) -> int:
    Path("old.yaml").write_text(old)
    Path("new.yaml").write_text(new)
    return main(["plan", "old.yaml", "new.yaml", *arguments])


def test_a_region_without_a_test_is_told_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(OLD, NEW + BESIDE, "--cover-changes") == 0
    out = capsys.readouterr().out
    listed = out.partition("1 changed region has no test:\n")[2]
    assert listed
    suggested = YAML(typ="safe", pure=True).load("tests:\n" + listed.partition("\n")[2])["tests"]
    assert suggested[0]["request"]["input_tokens"] == 50_001
    assert suggested[0]["expect"] == {"route": "long", "targets": ["b"]}
    again = NEW + "tests:\n" + listed.partition("\n")[2]
    assert plan(OLD, again, "--cover-changes", "--forbid", "uncovered") == 0
    assert "Every changed region has a test." in capsys.readouterr().out
    assert main(["test", "new.yaml"]) == 0


def test_it_fails_only_where_it_is_forbidden(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(OLD, NEW, "--forbid", "uncovered") == 1
    assert "forbidden: uncovered: 1 changed regions without a test" in capsys.readouterr().err
    assert plan(OLD, NEW + COVERING, "--forbid", "uncovered") == 0


def test_no_change_needs_no_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(OLD, OLD + "# a word\n", "--cover-changes", "--forbid", "uncovered") == 0
    assert "test" not in capsys.readouterr().out


def test_a_document_for_programs_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(OLD, NEW, "--cover-changes", "-o", "json") == 0
    said = capsys.readouterr()
    assert said.out.rstrip().endswith("}")
    assert "1 changed region has no test" in said.err


def test_tests_beside_the_new_spec_count() -> None:
    Path("new.test.yaml").write_text("version: ccx/v1\nspec: new.yaml\n" + COVERING)
    assert plan(OLD, NEW, "--forbid", "uncovered") == 0
    Path("new.test.yaml").write_text("version: ccx/v1\nspec: new.yaml\ntest: []\n")
    assert plan(OLD, NEW, "--forbid", "uncovered") == 1


def test_tests_are_those_of_the_new_revision(here: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=here, check=True, capture_output=True, timeout=30)

    git("init", "-b", "main")
    Path("ccx.yaml").write_text(OLD)
    git("add", ".")
    git("commit", "-m", "old")
    Path("ccx.yaml").write_text(NEW)
    Path("a.test.yaml").write_text("version: ccx/v1\nspec: ccx.yaml\n" + COVERING)
    git("add", ".")
    git("commit", "-m", "new")
    Path("a.test.yaml").unlink()
    assert main(["plan", "HEAD~1..HEAD", "--forbid", "uncovered"]) == 0
    assert main(["plan", "HEAD~1", "--forbid", "uncovered"]) == 1  # the working tree has none


def test_a_gateway_brings_no_tests() -> None:
    Path("ccx.yaml").write_text(NEW)
    assert main(["plan", "--against", "http://127.0.0.1:1", "--cover-changes"]) == 64
