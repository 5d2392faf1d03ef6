"""`ccx ci` without a forge: what is checked, what fails, what is left undone and said to be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ccx.cli.main import main
from ccx.errors import Exit
from tests.kit.runner import BROKEN, GATEWAY, MOVED
from tests.plan.repository import Repo

UNROUTED = GATEWAY.replace(
    "when: {protocol: messages}\n    to: [anthropic]",
    'when: {protocol: messages, model: "claude-*"}\n    to: [anthropic]',
)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    made = Repo(tmp_path)
    made.commit(ccx_yaml=GATEWAY)
    made.git("checkout", "--quiet", "-b", "topic")
    monkeypatch.chdir(tmp_path)
    return made


def gates(text: str, spec: str = "ccx.yaml") -> dict[str, str]:
    """The results at the end of what is shown: the sign of each check."""
    _, _, last = text.rpartition(f"\n{spec}: ")
    return {line[4:]: line[2] for line in last.splitlines()[1:] if line.startswith("  ")}


def test_everything_is_checked(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", MOVED)
    assert main(["ci", "--base", "main"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "\nccx.yaml: passed\n" in shown
    assert gates(shown) == {
        "validate": "✔",
        "lint": "✔",
        "tests 2/2": "✔",
        "invariants 1/1": "✔",
        "plan 1 routing change": "!",
    }
    assert "main@" in shown
    assert "→ working tree" in shown


def test_a_commit_is_called_by_its_id(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    head = repo.commit(ccx_yaml=MOVED)
    assert main(["ci", "--base", "main", "--no-lint"]) == Exit.OK
    assert f"→ HEAD@{head[:7]}" in capsys.readouterr().out


def test_every_check_has_its_switch(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ci", "--no-lint", "--no-test", "--no-plan"]) == Exit.OK
    assert gates(capsys.readouterr().out) == {
        "validate": "✔",
        "lint not asked for": "·",
        "tests not asked for": "·",
    }


def test_a_failing_test_fails_and_the_plan_is_there_all_the_same(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    repo.write("ccx.yaml", MOVED.replace("input_tokens: 1k", "input_tokens: 150k"))
    assert main(["ci", "--base", "main", "--no-lint", "--report", "out"]) == Exit.FINDINGS
    shown = capsys.readouterr().out
    assert gates(shown)["tests 1/2"] == "✗"
    assert "FAIL  a short one stays" in shown
    comment = Path("out/ccx/comment.md").read_text()
    assert "❌ tests 1/2" in comment
    assert "<details><summary>Failing tests (1)</summary>" in comment
    assert "| 🔴 1 |" in comment


def test_a_refuted_invariant_fails(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", GATEWAY.replace('model: "claude-*", input', "input"))
    assert main(["ci", "--base", "main", "--no-lint"]) == Exit.FINDINGS
    assert gates(capsys.readouterr().out)["invariants 0/1"] == "✗"


def test_a_file_of_tests_that_cannot_be_used_fails(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write(
        "more.test.yaml", "spec: ccx.yaml\ntests:\n  - {name: x, request: {modell: a}, expect: {no_route: true}}\n"
    )
    assert main(["ci", "--base", "main", "--no-lint", "--report", "out"]) == Exit.FINDINGS
    shown = capsys.readouterr().out
    assert gates(shown)["tests a file of tests cannot be used"] == "✗"
    assert "more.test.yaml:3:" in shown
    assert "modell" in Path("out/findings.sarif").read_text()


def test_a_floor_of_coverage(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ci", "--base", "main", "--no-lint", "--fail-under", "100"]) == Exit.FINDINGS
    assert any(word.startswith("coverage all metrics together is") for word in gates(capsys.readouterr().out))
    assert main(["ci", "--base", "main", "--no-lint", "--fail-under", "1"]) == Exit.OK


def test_changes_without_a_test(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", MOVED)
    assert main(["ci", "--base", "main", "--no-lint", "--cover-changes", "--report", "out"]) == Exit.OK
    assert gates(capsys.readouterr().out)["tests of changes 0/1"] == "!"
    comment = Path("out/ccx/comment.md").read_text()
    assert "Changed requests without a test (1)" in comment
    assert "tests:\n  - name:" in comment
    assert main(["ci", "--base", "main", "--no-lint", "--forbid", "uncovered"]) == Exit.FINDINGS
    assert "forbidden: uncovered: 1 changed regions without a test" in capsys.readouterr().out


def test_what_is_forbidden_fails(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", UNROUTED)
    assert main(["ci", "--base", "main", "--no-lint", "--forbid", "newly-unrouted,any"]) == Exit.FINDINGS
    shown = capsys.readouterr().out
    assert re.search(r"✗ plan forbidden: newly-unrouted: .*; any: ", shown)


def test_a_broken_spec_has_findings_and_no_plan(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", BROKEN)
    assert main(["ci", "--base", "main", "--report", "out"]) == Exit.FINDINGS
    shown = capsys.readouterr().out
    assert "there is no channel 'gemni'" in shown
    assert gates(shown)["plan the spec is not valid"] == "·"
    assert sorted(path.name for path in Path("out/ccx").iterdir()) == ["comment.md"]


def test_a_repaired_spec_passes_without_a_plan(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.commit(ccx_yaml=BROKEN)
    repo.git("branch", "--force", "main")
    repo.write("ccx.yaml", GATEWAY)
    assert main(["ci", "--base", "main", "--no-lint", "--report", "out"]) == Exit.OK
    shown = capsys.readouterr().out
    assert "What it is compared with is not valid:" in shown
    assert gates(shown)["plan what it is compared with is not valid"] == "·"
    assert "no plan, what it is compared with is not valid" in Path("out/ccx/comment.md").read_text()


def test_a_removed_spec_is_planned(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    (repo.root / "ccx.yaml").unlink()
    assert main(["ci", "--base", "main"]) == Exit.OK
    shown = capsys.readouterr().out
    assert gates(shown)["validate the spec is removed"] == "·"
    assert "newly-unrouted" in shown
    assert main(["ci", "--base", "main", "--forbid", "newly-unrouted"]) == Exit.FINDINGS


def test_a_new_spec_is_planned(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("new.yaml", GATEWAY)
    assert main(["ci", "new.yaml", "--base", "main", "--no-lint"]) == Exit.OK
    assert "newly routed" in capsys.readouterr().out


def test_a_spec_that_never_was_is_a_mistake(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ci", "no.yaml", "--base", "main"]) == Exit.FINDINGS
    assert "there is no 'no.yaml'" in capsys.readouterr().err


def test_an_analysis_without_an_end_is_its_own_verdict(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("ccx.yaml", MOVED)
    assert (
        main(["ci", "--base", "main", "--no-lint", "--no-test", "--max-states", "1", "--report", "out"])
        == Exit.INCOMPLETE
    )
    assert "\nccx.yaml: incomplete\n" in capsys.readouterr().out
    assert json.loads(Path("out/manifest.json").read_text())["verdict"] == "incomplete"
    assert "analysis incomplete" in Path("out/ccx/comment.md").read_text()


def test_several_specs_and_patterns(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    repo.write("gateways/a.yaml", GATEWAY)
    repo.write("gateways/b.yaml", BROKEN)
    repo.write("gateways/b.test.yaml", "spec: b.yaml\n")
    asked = ["ci", "ccx.yaml", "gateways/*.yaml", "./ccx.yaml", "--base", "main", "--no-lint", "--report", "out"]
    assert main(asked) == Exit.FINDINGS
    capsys.readouterr()
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert [(one["spec"], one["verdict"]) for one in manifest["specs"]] == [
        ("ccx.yaml", "passed"),
        ("gateways/a.yaml", "passed"),
        ("gateways/b.yaml", "failed"),
    ]
    assert [one["quiet"] for one in manifest["specs"]] == [True, False, False]


def test_findings_fail_as_asked(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning that the change brings is new; one of the base is known."""
    repo.write(
        "ccx.yaml",
        GATEWAY.replace("anthropic: {provider: demo,", "anthropic: {provider: demo, base_url: http://10.1.1.1,"),
    )
    compared = ["ci", "--base", "main", "--no-test"]
    assert main(compared) == Exit.OK
    assert gates(capsys.readouterr().out)["validate 1 warning (1 new)"] == "!"
    assert main([*compared, "--fail-on", "new-warning"]) == Exit.FINDINGS
    assert gates(capsys.readouterr().out)["validate 1 warning (1 new)"] == "✗"
    repo.commit()
    repo.git("branch", "--force", "main")
    assert main([*compared, "--fail-on", "new-warning"]) == Exit.OK
    assert gates(capsys.readouterr().out)["validate 1 warning (0 new)"] == "!"
    assert main([*compared, "--fail-on", "warning"]) == Exit.FINDINGS


def test_a_replay_is_a_section_of_the_comment(repo: Repo) -> None:
    repo.write("ccx.yaml", MOVED)
    repo.write(
        "log.csv", "model,input_tokens,protocol\nclaude-sonnet-4-5,150000,messages\nclaude-sonnet-4-5,10,messages\n"
    )
    asked = ["ci", "--base", "main", "--no-lint", "--replay", "log.csv", "--report", "out"]
    assert main(asked) == Exit.OK
    assert re.search(r"<summary>Traffic replay: .* 2 requests go elsewhere", Path("out/ccx/comment.md").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "main", "--fail-on", "never"], "--fail-on: there is no 'never'"),
        (["--base", "main", "--forbid", "newly-unroutd"], "there is no mark 'newly-unroutd'"),
        (["--base", "main", "no/*.yaml"], "'no/*.yaml' finds no spec"),
        ([], "nothing says what to compare with"),
        (["--no-plan", "--report", "ccx.yaml/x"], "cannot write to"),
    ],
)
def test_usage_mistakes(arguments: list[str], message: str, repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ci", *arguments]) == Exit.USAGE
    assert message in capsys.readouterr().err
