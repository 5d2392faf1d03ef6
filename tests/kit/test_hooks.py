"""The hooks for pre-commit, the examples for GitHub and GitLab, and the actions: what their formats ask for."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ccx.cli.commands import COMMANDS
from ccx.cli.main import main
from tests.kit.runner import ACTION, COMMENT_ACTION, ROOT, yaml

HOOKS = {hook["id"]: hook for hook in yaml(ROOT / ".pre-commit-hooks.yaml")}
WORKFLOWS = sorted((ROOT / "examples" / "github").glob("*.yml"))
GITLAB = ROOT / "examples" / "gitlab" / ".gitlab-ci.yml"


def test_the_hooks() -> None:
    assert set(HOOKS) == {"ccx-validate", "ccx-lint", "ccx-fmt", "ccx-test"}
    for hook in HOOKS.values():
        assert {"id", "name", "entry", "language", "files"} <= hook.keys()
        assert hook["language"] == "python"
        command, name = hook["entry"].split()
        assert command == "ccx"
        assert name in COMMANDS


@pytest.mark.parametrize(
    ("path", "specs", "test"),
    [
        ("ccx.yaml", True, True),
        ("a/b/ccx.yml", True, True),
        ("gateways/eu.ccx.yaml", True, True),
        ("ccx.test.yaml", False, True),
        ("myccx.yaml", False, True),
        ("ccx.yaml.bak", False, False),
        ("ccx.json", False, False),
        ("routes/eu.yaml", False, True),
    ],
)
def test_which_files_a_hook_is_for(path: str, specs: bool, test: bool) -> None:
    for name in ("ccx-validate", "ccx-lint", "ccx-fmt"):
        assert bool(re.search(HOOKS[name]["files"], path)) is specs, name
        assert HOOKS[name].get("pass_filenames", True) is True
    assert bool(re.search(HOOKS["ccx-test"]["files"], path)) is test
    assert HOOKS["ccx-test"]["pass_filenames"] is False


@pytest.mark.parametrize("path", [ACTION, COMMENT_ACTION])
def test_the_actions(path: Path) -> None:
    action = yaml(path)
    assert action["runs"]["using"] == "composite"
    assert all(one["description"] for one in action["inputs"].values())
    text = path.read_text()
    used = set(re.findall(r"inputs\.([\w-]+)", text))
    assert used == set(action["inputs"])
    for step in action["runs"]["steps"]:
        if "run" in step:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "values go through the environment, never into a script"
            subprocess.run(["bash", "-n", "-c", step["run"]], check=True, timeout=20)
        else:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
    # Only the step that comments, and runs nothing of the pull request, is given the token.
    holders = [step for step in action["runs"]["steps"] if "inputs.token" in str(step)]
    assert {step.get("name", step.get("uses", "").partition("@")[0]) for step in holders} <= {
        "comment",
        "actions/download-artifact",
    }


def test_every_output_is_one_of_the_check() -> None:
    for name, output in yaml(ACTION)["outputs"].items():
        assert output["value"] == f"${{{{ steps.check.outputs.{name} }}}}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflows(path: Path) -> None:
    workflow: dict[Any, Any] = yaml(path)
    triggers = workflow["on"]
    assert "pull_request_target" not in triggers
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"]
        steps = job["steps"]
        for step in steps:
            inputs = yaml(COMMENT_ACTION if "actions/comment@" in step["uses"] else ACTION)["inputs"]
            if step["uses"].startswith("OWNER/"):
                assert set(step.get("with", {})) <= set(inputs)
        checked_out = [step for step in steps if step["uses"].startswith("actions/checkout@")]
        assert bool(checked_out) is ("workflow_run" not in triggers), "with a token that writes, nothing is checked out"
        assert all(step["with"]["persist-credentials"] is False for step in checked_out)


def test_the_second_workflow_follows_the_first_and_reads_its_artifact() -> None:
    first, second = (yaml(ROOT / "examples" / "github" / name) for name in ("ccx.yml", "ccx-comment.yml"))
    assert second["on"]["workflow_run"]["workflows"] == [first["name"]]
    names = [yaml(path)["inputs"]["artifact-name"]["default"] for path in (ACTION, COMMENT_ACTION)]
    assert names[0] == names[1]


def test_the_gitlab_job_says_only_what_the_commands_know(capsys: pytest.CaptureFixture[str]) -> None:
    job = yaml(GITLAB)["ccx"]
    (check,) = (line for line in job["script"] if " ccx ci " in line.replace("/bin/ccx ", " ccx "))
    words = shlex.split(check.partition("||")[0])
    assert words[:3] == ["env", "-u", "GITLAB_TOKEN"]
    main(["ci", "--help"])
    known = capsys.readouterr().out
    options = [word for word in words if word.startswith("--")]
    assert options
    assert all(option in known for option in options)
    folder = words[words.index("--report") + 1]
    listed = [job["artifacts"]["reports"]["codequality"], *job["artifacts"]["reports"]["junit"]]
    assert all(path.startswith(f"{folder}/") for path in listed)
    assert job["artifacts"]["when"] == "always"
    for line in (*job["before_script"], *job["script"]):
        subprocess.run(["bash", "-n", "-c", line], check=True, timeout=20)
