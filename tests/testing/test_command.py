"""`ccx test`: exit codes, outputs, suggestions that are written, kept and pass."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.cli.main import main

SPEC = """# The gateway of a test.
version: ccx/v1
channels: # two
  a: {provider: demo} # the first
  b: {provider: demo}
routes:
  - name: long
    when: {input_tokens: "> 60k"} # long ones
    to: [b, a]
  - name: rest
    to: [a]
tests: # what is promised
  - name: short ones go to a
    request: {model: x}
    expect: {route: rest, target: a}
"""
WRONG = SPEC.replace("target: a}", "target: b}")
DRILL = """
  - name: the second answers
    request: {model: x, input_tokens: 70k}
    attempts: [{status: 429, retry_after: 2s}, 200]
    expect: {served_by: a, timeline: [b 429 at 0s, a 200 at 0s]}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, spec: str = SPEC) -> int:
    if spec:
        Path("ccx.yaml").write_text(spec)
    return main(["test", *arguments])


def test_all_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(spec=SPEC + DRILL) == 0
    assert capsys.readouterr().out == "ccx.yaml: 2 tests, all passed\n"


def test_a_failure(capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion) -> None:
    text = WRONG + DRILL.replace("served_by: a", "served_by: b") + "invariants: [{name: never b, never: {target: b}}]\n"
    assert run(spec=text) == 1
    assert re.sub("table [0-9a-f]{12}", "table …", capsys.readouterr().out) == snapshot


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--output", "json", "--coverage", spec=WRONG + DRILL) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["format_version"] == "1.0"
    assert document["passed"] is False
    first, second = document["tests"]
    assert first["mismatches"] == [{"field": "target", "expected": "b", "got": "a"}]
    assert first["place"] == {"file": "ccx.yaml", "line": 13}
    assert "always" in first["trace"]
    assert second["passed"] is True
    assert second["trace"] is None
    assert second["timeline"] == ["b 429 at 0s", "a 200 at 0s"]
    assert document["coverage"]["metrics"]["boundaries"] == {"percent": 0, "covered": 0, "total": 2, "floor": None}
    assert {one["metric"] for one in document["coverage"]["uncovered"]} == {"boundaries"}
    assert document["coverage"]["uncovered"][0]["test"]["expect"]["route"] == "rest"


def test_junit_and_github(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-o", "junit=out.xml", "-o", "github", spec=WRONG + "coverage: {routes: 100}\n") == 1
    annotation = capsys.readouterr().out
    assert annotation.splitlines()[0] == (
        "::error title=ccx test%3A short ones go to a,file=ccx.yaml,line=13::expected target: b; got a"
    )
    assert annotation.splitlines()[1].startswith("::error title=ccx test::coverage of routes is 50 %25")
    root = Xml.parse("out.xml").getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "2")
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "expected target: b; got a"
    assert "always" in (failure.text or "")


def test_github_shows_ten_and_counts_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    models = ", ".join(f"m{n}" for n in range(12))
    text = SPEC + f"  - {{name: many, request: {{}}, matrix: {{model: [{models}]}}, expect: {{target: b}}}}\n"
    assert run("-o", "github", spec=text) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[-1].startswith("::notice title=ccx test::2 more")


def test_run_chooses_and_fail_fast_stops(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--run", "second", spec=WRONG + DRILL) == 0
    assert "1 test, all passed; 1 not run" in capsys.readouterr().out
    assert run("--fail-fast", spec=WRONG + DRILL) == 1
    assert "1 test, 1 failed; 1 not run" in capsys.readouterr().out


def test_floors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--fail-under", "50") == 1
    assert "coverage of all metrics together is 33 % (3 of 9), below 50 %" in capsys.readouterr().out
    assert run("--fail-under", "33") == 0


def test_suggested_tests_are_written_and_pass(capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion) -> None:
    assert run("--suggest") == 0
    printed = capsys.readouterr().out
    assert printed == snapshot
    assert Path("ccx.yaml").read_text() == SPEC
    assert run("--suggest", "--write") == 0
    written = Path("ccx.yaml").read_text()
    assert written.startswith(SPEC)
    assert run("--fail-under", "100", spec="") == 0
    capsys.readouterr()
    assert run("--suggest", spec="") == 0
    assert "No test to suggest" in capsys.readouterr().err


def test_suggestions_go_to_a_file_of_tests() -> None:
    Path("more.test.yaml").write_text("version: ccx/v1\nspec: ccx.yaml # ours\n")
    assert run("--tests", "more.test.yaml", "--suggest", "--write") == 0
    assert Path("ccx.yaml").read_text() == SPEC
    text = Path("more.test.yaml").read_text()
    assert text.startswith("version: ccx/v1\nspec: ccx.yaml # ours\n")
    assert run("--fail-under", "100", spec="") == 0
    assert run("more.test.yaml", "--fail-under", "100", spec="") == 0


def test_suggestions_leave_a_document_for_programs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--suggest", "-o", "json") == 0
    json.loads(capsys.readouterr().out)


USAGE = [
    ["--write"],
    ["--run", "("],
    ["--run", "x", "--coverage"],
    ["-o", "yaml"],
    ["-o", "text", "-o", "json"],
    ["--fail-under", "101"],
    ["none.test.yaml"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_usage(arguments: list[str]) -> None:
    assert run(*arguments) == 64


def test_a_wrong_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(spec=SPEC.replace("target: a", "target: aa")) == 1
    assert "did you mean `a`?" in capsys.readouterr().err
    assert run("nowhere.yaml") == 1


def test_a_wrong_file_of_tests(capsys: pytest.CaptureFixture[str]) -> None:
    Path("more.test.yaml").write_text("version: ccx/v1\nspec: ccx.yaml\ntest: []\n")
    assert run() == 1
    assert "did you mean `tests`?" in capsys.readouterr().err
