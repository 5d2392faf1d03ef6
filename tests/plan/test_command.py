"""`ccx plan` as a user runs it, in real repositories."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft7Validator

from ccx.cli.main import main
from ccx.errors import Exit
from ccx.plan.saved import read_plan
from ccx.plan.schema import generate
from tests.plan.repository import Repo
from tests.plan.specs import SPEC, edited

THRESHOLD = edited("threshold moved")


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    repo = Repo(tmp_path / "repo")
    repo.commit(ccx_yaml=SPEC)
    monkeypatch.chdir(repo.root)
    return repo


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["plan", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_nothing_has_changed(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--detailed-exitcode")
    assert (code, err) == (Exit.OK, "")
    assert "proved" in out


def test_the_working_tree_against_head(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", THRESHOLD)
    code, out, _ = run(capsys)
    assert code == Exit.OK
    assert "long-context" in out
    assert "> 200k" in out
    assert "> 128k" in out
    assert run(capsys, "--detailed-exitcode")[0] == Exit.CHANGES
    assert run(capsys, "main", "--detailed-exitcode")[0] == Exit.CHANGES
    assert run(capsys, "HEAD..HEAD", "--detailed-exitcode")[0] == Exit.OK


def test_a_pull_request_is_compared_with_where_it_parted(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.git("checkout", "--quiet", "-b", "change")
    repo.commit(ccx_yaml=THRESHOLD)
    repo.git("checkout", "--quiet", "main")
    repo.commit(ccx_yaml=edited("weights"))
    _, out, _ = run(capsys, "main...change", "-o", "json")
    changes = json.loads(out)["changes"]
    assert {one["effect"] for one in changes} == {"retargeted"}
    _, out, _ = run(capsys, "main..change", "-o", "json")
    assert {one["effect"] for one in json.loads(out)["changes"]} == {"retargeted", "weights"}


def test_only_comments(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", edited("comments and spellings"))
    assert run(capsys, "--detailed-exitcode", "--forbid", "any")[0] == Exit.OK


def test_all_outputs_are_written_whatever_the_exit(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", edited("catch-all removed"))
    outputs = ["-o", "plan.json", "-o", "markdown=plan.md", "--output", "html=plan.html", "-o", "text=plan.txt"]
    code, out, err = run(capsys, *outputs, "--forbid", "newly-unrouted", "--detailed-exitcode")
    assert code == Exit.FINDINGS
    assert out == ""
    assert "ccx: forbidden: newly-unrouted: requests are no longer served" in err
    assert "ccx.yaml: 4 routing changes" in err
    text = (repo.root / "plan.json").read_text()
    Draft7Validator(generate()).validate(json.loads(text))
    assert read_plan(text).new.name == "working tree"
    for name in ("plan.md", "plan.html", "plan.txt"):
        assert "rest" in (repo.root / name).read_text(), name


def test_what_is_not_forbidden_passes(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", THRESHOLD)
    assert run(capsys, "--forbid", "newly-unrouted,plaintext-upstream", "--forbid", "incomplete")[0] == Exit.OK
    code, _, err = run(capsys, "--forbid", "any")
    assert code == Exit.FINDINGS
    assert "any: 2 routing changes" in err


def test_an_unfinished_analysis_is_told_and_never_clean(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", THRESHOLD)
    code, out, _ = run(capsys, "--max-states", "1", "--detailed-exitcode", "-o", "json")
    assert code == Exit.INCOMPLETE
    plan = json.loads(out)
    assert (plan["complete"], plan["no_op"]) == (False, False)
    assert run(capsys, "--max-states", "1", "--forbid", "incomplete")[0] == Exit.FINDINGS
    assert run(capsys, "--max-states", "1", "-o", "plan.json")[2].startswith("ccx.yaml: not finished")
    assert run(capsys, "--timeout", "5m")[0] == Exit.OK


@pytest.mark.parametrize(
    ("within", "count"),
    [
        ("client=eval-*", 0),
        ("model=claude-*", 1),
        ("model=gpt-*,!gpt-5", 0),
        ("model=claude-opus-*,gpt-*,stream=true", 1),
        ("input_tokens=> 200k", 0),
        ("input_tokens=128k..140k,protocol=messages,chat", 1),
        ("header.x-a=b,tag.team=core", 1),
        ("tag.team=other", 0),
    ],
)
def test_within(repo: Repo, capsys: pytest.CaptureFixture[str], within: str, count: int) -> None:
    repo.write("ccx.yaml", THRESHOLD)
    code, out, err = run(capsys, "--within", within, "-o", "json")
    assert (code, err) == (Exit.OK, "")
    plan = json.loads(out)
    assert bool(plan["changes"]) is bool(count)
    assert plan["within"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--forbid", "newly-unroutd"], "did you mean newly-unrouted?"),
        (["--forbid", "zzzzzz"], "choose from"),
        (["--output", "xml"], "no output 'xml'"),
        (["--output", "json", "--output", "text"], "only one output"),
        (["--timeout", "30"], "30s"),
        (["--within", "claude-*"], "has no name"),
        (["--within", "modl=x"], "modl"),
        (["--within", "input_tokens=many"], "input_tokens"),
        (["ccx.yaml", "--spec", "ccx.yaml"], "--spec"),
        (["HEAD..HEAD", "HEAD"], "not one revision"),
        (["--no-such"], "no-such"),
        (["a", "b", "c"], "c"),
        (["-o", "text=no/where/plan.txt"], "cannot write"),
    ],
)
def test_a_wrong_command_line_is_a_64(
    repo: Repo, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == Exit.USAGE
    assert said in out + err


def test_what_cannot_be_compared_is_a_1(
    repo: Repo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, said in (
        (["nowhere"], "there is no revision 'nowhere'"),
        (["mian...HEAD"], "did you mean 'main'?"),
        (["-f", "other.yaml"], "there is no 'other.yaml', neither at HEAD"),
        (["one.yaml", "two.yaml"], "cannot read"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (Exit.FINDINGS, ""), arguments
        assert said in err, err
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "ccx.yaml").write_text(SPEC)
    monkeypatch.chdir(outside)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    code, _, err = run(capsys)
    assert code == Exit.FINDINGS
    assert "not in a git repository; to compare two files" in err


BROKEN = SPEC.replace("to: [openai]\n", "to: [opnai]\n")


def test_a_side_that_is_not_valid_is_shown_with_carets(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.commit(ccx_yaml=BROKEN)
    repo.write("ccx.yaml", SPEC)
    code, out, err = run(capsys, "-o", "json")
    assert (code, out) == (Exit.FINDINGS, "")
    assert "^^^^^" in err
    assert "opnai" in err
    assert "ccx: ccx.yaml at HEAD is not valid, so there is no plan" in err
    repo.write("ccx.yaml", BROKEN.replace("opnai", "opneai"))
    code, _, err = run(capsys)
    assert code == Exit.FINDINGS
    assert "ccx.yaml at HEAD is not valid" in err
    assert "ccx.yaml at working tree is not valid" in err
    assert run(capsys, "HEAD~1..HEAD")[0] == Exit.FINDINGS
    # What only the compiler finds is found as well.
    repo.write("bad.yaml", "version: ccx/v1\nchannels: {a: {provider: azure-openai, keys: {env: K}}}\n")
    code, _, err = run(capsys, "HEAD~1", "bad.yaml")
    assert code == Exit.FINDINGS
    assert "ccx: bad.yaml" in err


def test_a_new_spec_and_one_that_is_gone(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("new.yaml", SPEC)
    code, out, _ = run(capsys, "-f", "new.yaml", "-o", "json")
    plan = json.loads(out)
    assert code == Exit.OK
    assert (plan["old"]["absent"], plan["new"]["absent"]) == (True, False)
    os.unlink("ccx.yaml")
    code, out, _ = run(capsys, "-o", "json", "--detailed-exitcode")
    assert code == Exit.CHANGES
    assert json.loads(out)["new"]["absent"]


def test_two_files_and_a_folder_below(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("old.yaml", SPEC)
    repo.write("new.yaml", THRESHOLD)
    code, out, _ = run(capsys, "old.yaml", "new.yaml", "-o", "json")
    assert code == Exit.OK
    plan = json.loads(out)
    assert (plan["old"]["name"], plan["new"]["name"], plan["spec"]) == ("old.yaml", "new.yaml", "new.yaml")
    assert plan["edits"][0]["place"]["file"] == "new.yaml"
    below = repo.root / "below"
    below.mkdir()
    os.chdir(below)
    repo.write("ccx.yaml", THRESHOLD)
    code, out, _ = run(capsys, "-f", "../ccx.yaml", "-o", "json")
    assert code == Exit.OK
    assert json.loads(out)["edits"][0]["place"]["file"] == "../ccx.yaml"


def test_the_same_plan_whichever_way_it_is_asked(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.commit(ccx_yaml=THRESHOLD)
    repo.write("old.yaml", SPEC)
    plans = [
        json.loads(run(capsys, *words, "-o", "json")[1])
        for words in (["HEAD~1"], ["HEAD~1..HEAD"], ["HEAD~1...main"], ["old.yaml", "ccx.yaml"])
    ]
    assert len({plan["digest"] for plan in plans}) == 1
    assert [plan["old"]["revision"] is None for plan in plans] == [False, False, False, True]
