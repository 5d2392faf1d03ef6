"""The action on pull requests: its own scripts, a repository, a checkout as GitHub makes it, and GitHub's interface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.kit.forges import BOT, TOKEN, FakeForge, served
from tests.kit.runner import BROKEN, COMMENT_ACTION, GATEWAY, MOVED, REFACTORED, Ran, Runner

SPEC = "gateway.yaml"
ZERO = "\N{ZERO WIDTH SPACE}"


@pytest.fixture
def github() -> Iterator[FakeForge]:
    with served(FakeForge()) as forge:
        yield forge


@pytest.fixture
def runner(tmp_path: Path, github: FakeForge) -> Runner:
    return Runner(tmp_path, github)


def reviewed(runner: Runner, name: str, spec: str, **inputs: str) -> Ran:
    """A pull request from its branch to the end of its run."""
    runner.pull_request(name, spec)
    return runner.run(runner.checkout(name), runner.event(name), spec=SPEC, **inputs)


def timeless(text: str) -> str:
    """Without what differs from run to run."""
    text = re.sub(r" at=\S+", " at=NOW", text)
    return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)


def comment(github: FakeForge) -> str:
    """The only comment."""
    ((author, body),) = github.comments.values()
    assert author == BOT
    return body


def test_a_refactoring_is_green_and_told_in_one_line(
    runner: Runner, github: FakeForge, snapshot: SnapshotAssertion
) -> None:
    ran = reviewed(runner, "refactor", REFACTORED)
    assert ran.code == 0, ran.log
    shown = comment(github)
    head = github.head
    assert shown.startswith(f"<!-- ccx-plan:gateway.yaml head={head} at=20")
    assert shown.splitlines()[1].startswith("### ✅ ccx plan: no request changes (proved)")
    assert shown.count("\n### ") == 1
    assert re.sub(r"<details>.*</details>", "", shown, flags=re.DOTALL).strip().count("\n") == 1
    assert (ran.outputs["verdict"], ran.outputs["no-op"], ran.outputs["changed"]) == ("passed", "true", "false")
    assert github.tokens == {f"Bearer {TOKEN}"}
    assert timeless(shown) == snapshot


def test_a_moved_threshold_is_green_and_shows_its_plan(
    runner: Runner, github: FakeForge, snapshot: SnapshotAssertion
) -> None:
    ran = reviewed(runner, "threshold", MOVED)
    assert ran.code == 0, ran.log
    assert (ran.outputs["verdict"], ran.outputs["no-op"], ran.outputs["changed"]) == ("passed", "false", "true")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", ran.outputs["plan-digest"])
    assert json.loads((ran.report / "gateway" / "plan.json").read_text())["digest"] == ran.outputs["plan-digest"]
    assert Xml.parse(ran.report / "gateway" / "tests.xml").getroot().get("failures") == "0"
    assert json.loads((ran.report / "findings.sarif").read_text())["runs"][0]["results"] == []
    assert json.loads((ran.report / "codequality.json").read_text()) == []
    shown = comment(github)
    assert ran.summary == (ran.report / "summary.md").read_text() == shown.partition("\n")[2]
    assert timeless(shown) == snapshot


def test_what_is_forbidden_is_red_with_its_plan(runner: Runner, github: FakeForge, snapshot: SnapshotAssertion) -> None:
    ran = reviewed(runner, "threshold", MOVED, forbid="any, tag-changed")
    assert (ran.code, ran.outputs["verdict"]) == (1, "failed")
    assert re.findall(r"^::error title=ccx plan::gateway.yaml: forbidden: ([\w-]+): ", ran.log, re.MULTILINE) == [
        "any",
        "tag-changed",
    ]
    assert "| 🔴 1 |" in comment(github)
    assert timeless(comment(github)) == snapshot


def test_a_broken_spec_is_red_and_shows_the_error(
    runner: Runner, github: FakeForge, snapshot: SnapshotAssertion
) -> None:
    ran = reviewed(runner, "broken", BROKEN)
    assert ran.code == 1
    assert re.search(r"^::error .*file=gateway\.yaml,line=10,.*::there is no channel 'gemni'", ran.log, re.MULTILINE)
    assert not (ran.report / "gateway" / "plan.json").exists()
    assert timeless(comment(github)) == snapshot


def test_the_comment_follows_the_pull_request_and_never_goes_back(runner: Runner, github: FakeForge) -> None:
    """One comment, from broken to good; what others wrote stays as it is, and so does another spec's."""
    github.add("a-person", "<!-- ccx-plan:gateway.yaml head=x at=2000-01-01T00:00:00Z -->\nI only look like it")
    github.add(BOT, "<!-- ccx-plan:gateway.yaml.old head=x at=2000-01-01T00:00:00Z -->\nanother spec")
    others = dict(github.comments)
    runner.pull_request("first", BROKEN)
    slow, event = runner.checkout("first"), runner.event("first")
    assert runner.run(slow, event, spec=SPEC).code == 1
    runner.pull_request("second", MOVED, base="first")
    assert runner.run(runner.checkout("second"), runner.event("second"), spec=SPEC).code == 0
    assert len(github.comments) == 3
    assert "### 🔀 ccx plan" in github.comments[3][1]
    assert {id_: github.comments[id_] for id_ in others} == others
    newer = dict(github.comments)
    # The run of the first push is started again, or comes late.
    late = runner.run(slow, event, temp=runner.folder / "late", spec=SPEC)
    assert late.code == 1
    assert "the pull request is at " in late.log
    assert github.comments == newer
    assert [line.split()[0] for line in github.writes] == ["POST", "PATCH"]


def test_a_fork_leaves_an_artifact_and_a_second_workflow_tells_it(runner: Runner, github: FakeForge) -> None:
    github.read_only = True
    head = runner.pull_request("theirs", MOVED)
    checkout = runner.checkout("theirs")
    ran = runner.run(checkout, runner.event("theirs", fork=True), spec=SPEC)
    assert ran.code == 0, ran.log
    assert "actions/upload-artifact" in ran.used
    assert github.seen == []  # the token is not even tried
    github.read_only = False
    follows = {"workflow_run": {"head_sha": head, "html_url": "https://github.com/acme/gateway/actions/runs/99"}}
    told = runner.run(checkout, follows, action=COMMENT_ACTION, temp=ran.temp)
    assert told.code == 0, told.log
    assert "actions/download-artifact" in told.used
    mark, notice, _, rest = comment(github).split("\n", 3)
    shown = (ran.report / "gateway" / "comment.md").read_text()
    assert notice.startswith("> This pull request comes from a fork, and [its own run](<https://github.com/acme/")
    assert f"{mark}\n{rest.replace(ZERO, '')}" == shown
    assert not re.search(f"@[^{ZERO}]", rest)


def test_a_forged_artifact_is_told_nowhere(runner: Runner, github: FakeForge) -> None:
    head = runner.pull_request("theirs", MOVED)
    checkout = runner.checkout("theirs")
    ran = runner.run(checkout, runner.event("theirs", fork=True), spec=SPEC)
    follows = {"workflow_run": {"head_sha": head}}
    # Somebody else's pull request, whose last commit is another.
    github.number, github.head = 8, "f" * 40
    manifest = ran.report / "manifest.json"
    data = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**data, "number": 8}))
    told = runner.run(checkout, follows, action=COMMENT_ACTION, temp=ran.temp)
    assert (told.code, "the pull request is at ffffffffffff by now" in told.log) == (0, True), told.log
    # The same, and its commit claimed: GitHub knows better what the run was of.
    manifest.write_text(json.dumps({**data, "number": 8, "head": github.head}))
    body = ran.report / "gateway" / "comment.md"
    body.write_text(body.read_text().replace(head, github.head))
    told = runner.run(checkout, follows, action=COMMENT_ACTION, temp=ran.temp)
    assert (told.code, "and the run was of" in told.log) == (1, True), told.log
    assert github.writes == []


def test_a_comment_that_cannot_be_made_fails_nothing(runner: Runner, github: FakeForge) -> None:
    github.read_only = True
    ran = reviewed(runner, "threshold", MOVED)
    assert ran.code == 0
    assert "::warning title=ccx comment::" in ran.log
    assert "403 Resource not accessible by integration" in ran.log
    assert TOKEN not in ran.log


def test_a_pull_request_that_changes_nothing_of_the_spec_gets_no_comment(runner: Runner, github: FakeForge) -> None:
    runner.pull_request("docs", GATEWAY, notes_yaml="a: 1")
    ran = runner.run(runner.checkout("docs"), runner.event("docs"), spec=SPEC)
    assert ran.code == 0, ran.log
    assert github.comments == {}
    assert ran.outputs["no-op"] == "true"


def test_words_of_a_spec_are_no_commands_of_the_log(runner: Runner, github: FakeForge) -> None:
    hostile = GATEWAY.replace("name: default", 'name: "::set-output name=x::y"')
    ran = reviewed(runner, "hostile", hostile.replace("to: [anthropic]", "to: [anthropc]"), comment="none")
    assert ran.code == 1
    word = re.search(r"^::stop-commands::([0-9a-f]{32})\n", ran.log, re.MULTILINE)
    assert word is not None
    inside, _, after = ran.log.partition(f"\n::{word[1]}::\n")
    assert "::set-output" in inside
    assert not [line for line in after.splitlines() if line.lstrip().startswith("::set-output")]
    # And without comments nothing is kept either.
    assert ran.used == ["actions/setup-python"]
    assert github.seen == []


def test_a_wrong_input_is_told_and_fails(runner: Runner, github: FakeForge) -> None:
    ran = reviewed(runner, "threshold", MOVED, forbid="newly-unroutd")
    assert ran.code == 64
    assert "did you mean newly-unrouted?" in ran.log
    assert github.seen == []
