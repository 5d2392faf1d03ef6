"""What pipelines say about the change they run for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ccx.cli.pull.event import Event, EventError, FinishedRun, event_of, finished_run

BASE, HEAD, MERGE, NONE = "b" * 40, "a" * 40, "c" * 40, "0" * 40


def github(folder: Path, payload: object, **more: str) -> dict[str, str]:
    path = folder / "event.json"
    path.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_REPOSITORY": "acme/gateway",
        "GITHUB_SERVER_URL": "https://git.example.org",
        "GITHUB_SHA": MERGE,
        "GITHUB_RUN_ID": "9",
        **more,
    }


def pull(**head: Any) -> dict[str, Any]:
    repo = {"full_name": "acme/gateway"}
    sides = {"base": {"sha": BASE, "ref": "main", "repo": repo}}
    return {"pull_request": {"number": 7, **sides, "head": {"sha": HEAD, "ref": "topic", "repo": repo, **head}}}


def test_outside_of_a_pipeline() -> None:
    assert event_of({}) == Event()


def test_a_pull_request(tmp_path: Path) -> None:
    assert event_of(github(tmp_path, pull())) == Event(
        "github",
        number=7,
        base=BASE,
        base_name="main",
        head=HEAD,
        head_name="topic",
        files=f"https://git.example.org/acme/gateway/blob/{MERGE}",
        run="https://git.example.org/acme/gateway/actions/runs/9",
    )


@pytest.mark.parametrize("repo", [{"full_name": "stranger/gateway"}, None])
def test_a_pull_request_of_a_fork_or_of_one_that_is_gone(repo: dict[str, str] | None, tmp_path: Path) -> None:
    assert event_of(github(tmp_path, pull(repo=repo))).fork


def test_a_push(tmp_path: Path) -> None:
    found = event_of(github(tmp_path, {"before": BASE, "after": HEAD, "ref": "refs/heads/main"}))
    assert (found.base, found.exact, found.base_name, found.head) == (BASE, True, "main before", HEAD)
    assert found.number is None
    new = event_of(github(tmp_path, {"before": NONE, "after": HEAD, "ref": "refs/heads/topic"}))
    assert (new.base, new.base_name) == (None, None)


def test_a_merge_queue(tmp_path: Path) -> None:
    group = {"base_sha": BASE, "base_ref": "refs/heads/main", "head_sha": HEAD, "head_ref": "refs/heads/queue/7"}
    found = event_of(github(tmp_path, {"merge_group": group}))
    assert (found.base, found.base_name, found.head, found.exact) == (BASE, "main", HEAD, False)


@pytest.mark.parametrize("payload", ["{", "[]", "[" * 100_000])
def test_a_payload_that_is_none(payload: str, tmp_path: Path) -> None:
    with pytest.raises(EventError, match="the event of this run"):
        event_of(github(tmp_path, payload))


def test_a_payload_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EventError, match="cannot be read"):
        event_of(github(tmp_path, {}, GITHUB_EVENT_PATH=str(tmp_path / "no")))


def test_values_of_the_wrong_kind_are_none(tmp_path: Path) -> None:
    found = event_of(
        github(tmp_path, {"pull_request": {"number": "x", "base": [], "head": {"sha": "main;", "ref": 1}}})
    )
    assert (found.number, found.base, found.head, found.head_name) == (None, None, None, None)


def test_a_run_that_is_followed(tmp_path: Path) -> None:
    run = {"head_sha": HEAD, "html_url": "https://git.example.org/x"}
    assert finished_run(github(tmp_path, {"workflow_run": run})) == FinishedRun(HEAD, "https://git.example.org/x")
    for other in (pull(), {"workflow_run": {"head_sha": "main"}}, {"workflow_run": []}):
        with pytest.raises(EventError, match="no workflow_run"):
            finished_run(github(tmp_path, other))


GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_URL": "https://gitlab.example.org/acme/gateway",
    "CI_COMMIT_SHA": HEAD,
    "CI_JOB_URL": "https://gitlab.example.org/acme/gateway/-/jobs/1",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": BASE,
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "topic",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "42",
    "CI_MERGE_REQUEST_PROJECT_ID": "42",
}


def test_a_merge_request() -> None:
    assert event_of(GITLAB) == Event(
        "gitlab",
        number=7,
        base=BASE,
        base_name="main",
        head=HEAD,
        head_name="topic",
        files=f"https://gitlab.example.org/acme/gateway/-/blob/{HEAD}",
        run="https://gitlab.example.org/acme/gateway/-/jobs/1",
    )


def test_a_pipeline_of_merged_results() -> None:
    found = event_of({**GITLAB, "CI_COMMIT_SHA": MERGE, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD})
    assert (found.head, found.files) == (HEAD, f"https://gitlab.example.org/acme/gateway/-/blob/{MERGE}")
    assert event_of({**GITLAB, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "43"}).fork


def test_a_branch_of_gitlab() -> None:
    said = {name: value for name, value in GITLAB.items() if "MERGE_REQUEST" not in name}
    found = event_of({**said, "CI_COMMIT_BEFORE_SHA": BASE, "CI_COMMIT_REF_NAME": "main"})
    assert (found.number, found.base, found.exact, found.base_name) == (None, BASE, True, "main before")
    assert event_of({**said, "CI_COMMIT_BEFORE_SHA": NONE}).base is None
