"""`ccx lint`: options, outputs and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as Xml

import click
import pytest

from ccx.cli.lint import app, explained, rule_list
from ccx.errors import Exit, UsageError
from ccx.spec.rules import RULES

HEAD = "version: ccx/v1\nchannels: {main: {provider: demo}, lab: {provider: demo}}\n"
CLEAN = HEAD + "routes: [{name: default, to: [main, lab]}]\n"
WARNING = HEAD + "routes: [{name: default, to: [{channel: main, weight: 3}, lab]}] # weights\n"
ERROR = HEAD + "routes: [{name: default, to: [main, lab]}, {name: late, when: {model: m}, to: [lab]}]\n"
INVALID = HEAD + "rotues: []\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("ccx", CLEAN), ("warning", WARNING), ("error", ERROR), ("invalid", INVALID)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def run(*arguments: str) -> int:
    try:
        code = app(args=list(arguments), standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return int(code or 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), Exit.OK),
        (("warning.yaml",), Exit.OK),
        (("warning.yaml", "--strict"), Exit.FINDINGS),
        (("warning.yaml", "--strict", "--ignore", "failover"), Exit.OK),
        (("error.yaml",), Exit.FINDINGS),
        (("error.yaml", "--select", "CCX4,CCX5"), Exit.OK),
        (("invalid.yaml", "--select", "CCX4"), Exit.FINDINGS),
        (("ccx.yaml", "error.yaml"), Exit.FINDINGS),
        (("no-such.yaml",), Exit.FINDINGS),
        *((("error.yaml", "-o", name), Exit.FINDINGS) for name in ("text", "json", "github", "sarif", "junit")),
        *((("ccx.yaml", "-o", name), Exit.OK) for name in ("text", "json", "github", "sarif", "junit")),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == code
    assert capsys.readouterr().err == ""


def test_a_proof_without_end_is_3_unless_something_else_failed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("wide.yaml").write_text(
        HEAD
        + "routes:\n  - {name: a, when: {model: '*a*'}, to: [main]}\n  - {name: b, when: {model: '*b*'}, to: [lab]}\n"
    )
    assert run("wide.yaml", "--max-states", "1") == Exit.INCOMPLETE
    assert "CCX903" in capsys.readouterr().out
    assert run("wide.yaml", "--max-states", "1", "--strict") == Exit.FINDINGS


def test_outputs_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ("-o", "text", "-o", "sarif=out.sarif", "-o", "junit=out.xml", "-o", "json=out.json", "-o", "github=out")
    assert run("warning.yaml", *outputs) == Exit.OK
    shown = capsys.readouterr().out
    assert "CCX314 weight-without-effect" in shown
    assert "= fix: remove the weight (ccx lint --fix)" in shown
    assert shown.endswith("warning.yaml: passed, 1 warning\n")
    result = json.loads((folder / "out.sarif").read_text())["runs"][0]["results"][0]
    assert result["fixes"][0]["description"]["text"] == "remove the weight"
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "warning.yaml"
    assert result["partialFingerprints"]
    assert Xml.parse(folder / "out.xml").getroot().get("name") == "ccx lint"
    found = json.loads((folder / "out.json").read_text())["reports"][0]["diagnostics"][0]
    assert found["fix"]["safe"] is True
    assert (folder / "out").read_text().startswith("::warning title=ccx CCX314")


def test_related_places_and_a_witness_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("hidden.yaml").write_text(
        HEAD
        + "routes:\n  - {name: wide, when: {model: 'c*'}, to: [main]}\n"
        + "  - {name: narrow, when: {model: claude}, to: [lab]}\n  - {name: rest, to: [lab, main]}\n"
    )
    assert run("hidden.yaml", "--select", "CCX201", "-o", "json") == Exit.FINDINGS
    found = json.loads(capsys.readouterr().out)["reports"][0]["diagnostics"][0]
    assert [one["message"] for one in found["related"]] == ["takes its requests"]
    assert found["witness"].startswith("ccx explain hidden.yaml --model=claude")


def test_fix_writes_and_diff_does_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("warning.yaml", "--diff") == Exit.OK
    shown = capsys.readouterr().out
    assert shown.startswith("--- a/warning.yaml\n+++ b/warning.yaml\n")
    assert "+routes: [{name: default, to: [{channel: main}, lab]}] # weights" in shown
    assert (folder / "warning.yaml").read_text() == WARNING
    (folder / "warning.yaml").chmod(0o640)
    assert run("warning.yaml", "--fix", "--strict") == Exit.OK
    assert "1 finding fixed" in capsys.readouterr().err
    assert (folder / "warning.yaml").read_text() == WARNING.replace(", weight: 3", "")
    assert (folder / "warning.yaml").stat().st_mode & 0o777 == 0o640
    assert not list(folder.glob(".*"))
    assert run("warning.yaml", "--fix") == Exit.OK
    assert capsys.readouterr().err == ""


def test_a_link_stays_a_link(folder: Path) -> None:
    (folder / "link.yaml").symlink_to("warning.yaml")
    assert run("link.yaml", "--fix") == Exit.OK
    assert (folder / "link.yaml").is_symlink()
    assert "weight" not in (folder / "warning.yaml").read_text().replace("# weights", "")


def test_what_cannot_be_fixed_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HEAD + "routes:\n  - {name: x, when: {model: x}, to: [main]}\n  - {name: rest, to: [main]}\n"
    (folder / "ccx.yaml").write_text(text + "tests: [{name: t, request: {model: x}, expect: {route: x}}]\n")
    run("--fix")
    assert "not fixed, the spec would be worse for it: CCX203" in capsys.readouterr().err


def test_a_baseline_is_written_and_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("error.yaml", "--write-baseline", "known.json") == Exit.OK
    capsys.readouterr()
    assert run("error.yaml", "--baseline", "known.json") == Exit.OK
    assert "error.yaml: passed, 1 in the baseline" in capsys.readouterr().out
    assert run("warning.yaml", "--baseline", "known.json", "--strict") == Exit.FINDINGS


@pytest.mark.parametrize(
    "arguments",
    [
        ("--baseline", "none.json"),
        ("--baseline", "ccx.yaml"),
        ("--select", "CCX999"),
        ("--ignore", "nothing"),
        ("--explain", "CCX999"),
        ("-o", "text", "-o", "json"),
        ("-o", "html"),
        ("--write-baseline", "no/such/folder"),
        ("--changed-since", "no-such-revision"),
    ],
)
def test_usage(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run(*arguments)


def git(*arguments: str) -> None:
    who = {f"GIT_{role}_{what}": "t@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *arguments],
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], **who, **nowhere},
    )


def test_only_what_is_new_since_a_revision(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git("init", "-q")
    git("add", "warning.yaml")
    git("commit", "-qm", "one")
    assert run("warning.yaml", "--changed-since", "HEAD", "--strict") == Exit.OK
    assert "passed, 1 known at HEAD" in capsys.readouterr().out
    late = "routes:\n  - {name: first, when: {model: m, not: {model: m}}, to: [lab]}\n"
    (folder / "warning.yaml").write_text(WARNING.replace("routes: [", late + "  - ").replace("}] #", "} #"))
    assert run("warning.yaml", "--changed-since", "HEAD") == Exit.FINDINGS
    shown = capsys.readouterr().out
    assert "CCX202" in shown
    assert "CCX314" not in shown
    assert run("ccx.yaml", "--changed-since", "HEAD") == Exit.OK  # it was not there


def test_the_list_and_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == Exit.OK
    assert capsys.readouterr().out == rule_list()
    for code, info in RULES.items():
        assert f"{code}  {info.name}" in rule_list()
    assert run("--explain", "redundant-route") == Exit.OK
    assert capsys.readouterr().out == explained("CCX203")
    assert "**Good**" in explained("CCX203")
    assert explained("suppression").count("**Why.**") == 6
