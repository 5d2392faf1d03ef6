"""CI runs what the README tells, and the image is what its comments promise."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CI_RUN = ROOT / ".ci" / "run"
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def test_the_readme_gives_the_line_that_ci_runs() -> None:
    line = re.search(r'^TESTS="(.*)"$', CI_RUN.read_text(), re.MULTILINE)
    assert line is not None
    assert line[1] in (ROOT / "README.md").read_text().splitlines()


def test_ci_run_is_an_executable_script_without_a_syntax_error() -> None:
    assert os.access(CI_RUN, os.X_OK)
    subprocess.run(["bash", "-n", str(CI_RUN)], check=True, timeout=20)
    assert "\nset -euo pipefail\n" in CI_RUN.read_text()


@pytest.mark.parametrize("broken", ["", ".venv/bin/mypy"])
def test_ci_run_fails_if_any_step_does_and_ends_with_the_summary(broken: str, tmp_path: Path) -> None:
    """The script itself, in a checkout whose tools are stand-ins that succeed, but for the broken one."""
    summary = "===== 3 passed in 0.01s ====="
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    script.write_text(CI_RUN.read_text())
    (tmp_path / "examples" / "configs" / "split").mkdir(parents=True)
    schemas = ("schema/ccx.v1.json", "schema/ccx-test.v1.json")
    for name in ("examples/configs/a.yaml", "examples/configs/split/ccx.yaml", *schemas):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    tools = [f".venv/bin/{name}" for name in ("pip", "python", "pytest", "ruff", "mypy", "lint-imports", "ccx")]
    for tool in ("bin/python3", *tools):
        says = {".venv/bin/pytest": f"echo '{summary}'", ".venv/bin/ccx": "[ $1 != schema ] || printf '{}'"}
        path = tmp_path / tool
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {tool} $* >>{shlex.quote(str(tmp_path / 'calls'))}\n")
        with path.open("a") as file:
            file.write("exit 3\n" if tool == broken else says.get(tool, "true") + "\n")
        path.chmod(0o755)
    done = subprocess.run(
        ["bash", str(script)],
        check=False,
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == (1 if broken else 0), done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == summary
    assert ("FAILED (3)" in done.stdout) is bool(broken)
    calls = (tmp_path / "calls").read_text()
    for call in (
        "pip install -e .[test]",
        "ruff check .",
        "ruff format --check .",
        "lint-imports",
        "ccx validate examples/configs/a.yaml",
        "ccx validate examples/configs/split/ccx.yaml",
        "ccx test examples/configs/a.yaml",
        "ccx fmt --check examples",
    ):
        assert f".venv/bin/{call}" in calls


def test_the_workflow_runs_everything_that_ci_run_does() -> None:
    workflow = YAML(typ="safe").load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    for command in (
        "pytest",
        "ruff check",
        "ruff format --check",
        "mypy",
        "lint-imports",
        "ccx schema",
        "ccx validate",
        "ccx fmt --check",
        "python -m ccx.spec.compat tests/project/published schema",
        "ccx test",
    ):
        assert command in commands
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"\./|(actions|docker)/[\w-]+@v\d+", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert all(job["timeout-minutes"] <= 15 for job in workflow["jobs"].values())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest) for line in text.splitlines() if line.strip() for word, _, rest in [line.partition(" ")]]


def test_the_image_runs_as_a_user_without_rights() -> None:
    lines = instructions()
    users = [rest for word, rest in lines if word == "USER"]
    assert users == ["10001:10001"]
    entry = [word for word, _ in lines].index("ENTRYPOINT")
    assert [word for word, _ in lines].index("USER") < entry


def test_the_image_is_built_in_stages_and_keeps_no_build_tools() -> None:
    lines = instructions()
    stages = [rest for word, rest in lines if word == "FROM"]
    assert stages == ["python:3.13-slim AS build", "python:3.13-slim"]
    last = lines[max(at for at, (word, _) in enumerate(lines) if word == "FROM") :]
    assert not any("apt-get" in rest or "pip install" in rest for _, rest in last)
    assert ("COPY", "--from=build /opt/ccx /opt/ccx") in last


def test_the_image_checks_its_health_without_curl_and_serves_by_default() -> None:
    said = dict(instructions())
    options, _, command = said["HEALTHCHECK"].partition("CMD ")
    assert {"--interval", "--timeout", "--retries"} <= {option.split("=")[0] for option in options.split()}
    program, flag, source = json.loads(command)
    assert (program, flag) == ("python", "-c")
    compile(source, "HEALTHCHECK", "exec")
    assert "http://127.0.0.1:3000/health" in source
    assert said["EXPOSE"] == "3000"
    assert json.loads(said["ENTRYPOINT"]) == ["ccx"]
    assert json.loads(said["CMD"]) == ["serve", "/etc/ccx/ccx.yaml"]


def test_what_the_image_copies_is_let_through_to_the_builder() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    }
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_changelog_has_an_entry_for_this_version() -> None:
    from ccx import __version__

    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert "\n## [Unreleased]\n" in text
    assert re.search(rf"^## \[?{re.escape(__version__)}\b", text, re.MULTILINE)
