"""What a pipeline says about the change that it runs for: GitHub Actions', GitLab's, or nothing.

Variables and payloads: https://docs.github.com/actions/reference/workflows-and-actions/variables,
https://docs.github.com/webhooks/webhook-events-and-payloads and
https://docs.gitlab.com/ci/variables/predefined_variables/. Nothing here asks git.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeGuard

from ccx.errors import CcxError

MAX_EVENT: Final = 32 * 1024 * 1024
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_NONE: Final = re.compile(r"0+")  # what a push says was there before a new branch


class EventError(CcxError):
    """The pipeline's description of its event cannot be used."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change as its pipeline knows it; all is None outside of one.

    `base` is the commit to compare with if `exact`, else one to find the common ancestor with; `base_name` and
    `head_name` are the branches as people call them. `head` is the last commit of the pull request itself, where what
    is checked out may be a merge of it. `files` is the web address that a path and a line can be put behind. `run` is
    where this run is to be seen. `fork` tells that the pull request comes from another repository.
    """

    forge: Literal["github", "gitlab"] | None = None
    number: int | None = None
    base: str | None = None
    base_name: str | None = None
    exact: bool = False
    head: str | None = None
    head_name: str | None = None
    files: str | None = None
    run: str | None = None
    fork: bool = False


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The run that a `workflow_run` event is about: its commit, for which GitHub vouches, and its page."""

    head: str
    page: str


def is_commit(text: object) -> TypeGuard[str]:
    """Whether it is a whole commit id: hexadecimal, SHA-1 or SHA-256."""
    return isinstance(text, str) and _COMMIT.fullmatch(text) is not None


def event_of(environ: Mapping[str, str]) -> Event:
    """The event of the pipeline around. Raises EventError for a payload that cannot be read."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return _github(environ)
    if environ.get("GITLAB_CI") == "true":
        return _gitlab(environ)
    return Event()


def finished_run(environ: Mapping[str, str]) -> FinishedRun:
    """The run that this workflow follows. Raises EventError where it follows none."""
    run = _payload(environ).get("workflow_run")
    if not isinstance(run, dict) or not is_commit(run.get("head_sha")):
        raise EventError("this run does not follow another: the event is no workflow_run")
    return FinishedRun(run["head_sha"], _text(run.get("html_url")) or "")


def _payload(environ: Mapping[str, str]) -> dict[str, Any]:
    path = environ.get("GITHUB_EVENT_PATH", "")
    try:
        with Path(path).open("rb") as file:
            data = json.loads(file.read(MAX_EVENT))
    except (OSError, ValueError, RecursionError) as error:
        raise EventError(f"the event of this run cannot be read from {path!r}: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise EventError(f"the event of this run, {path!r}, is no object")
    return data


def _github(environ: Mapping[str, str]) -> Event:
    data = _payload(environ)
    page = f"{environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{environ.get('GITHUB_REPOSITORY', '')}"
    run = f"{page}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
    # The commit that is checked out, and not the head: lines are those of the files that were read.
    files = f"{page}/blob/{environ.get('GITHUB_SHA', 'HEAD')}"
    pull, group = data.get("pull_request"), data.get("merge_group")
    if isinstance(pull, dict):
        base, head = _dict(pull.get("base")), _dict(pull.get("head"))
        ours, theirs = (_text(_dict(side.get("repo")).get("full_name")) for side in (base, head))
        return Event(
            "github",
            number=_number(pull.get("number")),
            base=_commit(base.get("sha")),
            base_name=_text(base.get("ref")),
            head=_commit(head.get("sha")),
            head_name=_text(head.get("ref")),
            files=files,
            run=run,
            fork=ours != theirs,
        )
    if isinstance(group, dict):
        return Event(
            "github",
            base=_commit(group.get("base_sha")),
            base_name=_branch(group.get("base_ref")),
            head=_commit(group.get("head_sha")),
            head_name=_branch(group.get("head_ref")),
            files=files,
            run=run,
        )
    before = _commit(data.get("before"))
    name = _branch(data.get("ref"))
    return Event(
        "github",
        base=before,
        base_name=f"{name} before" if name is not None and before is not None else None,
        exact=True,
        head=_commit(data.get("after")),
        head_name=name,
        files=files,
        run=run,
    )


def _gitlab(environ: Mapping[str, str]) -> Event:
    def said(name: str) -> str | None:
        return environ.get(name) or None

    number = _number(said("CI_MERGE_REQUEST_IID"))
    page = environ.get("CI_PROJECT_URL", "")
    files = f"{page}/-/blob/{environ.get('CI_COMMIT_SHA', 'HEAD')}"
    if number is None:
        before = _commit(said("CI_COMMIT_BEFORE_SHA"))
        name = said("CI_COMMIT_REF_NAME")
        return Event(
            "gitlab",
            base=before,
            base_name=f"{name} before" if name is not None and before is not None else None,
            exact=True,
            head=_commit(said("CI_COMMIT_SHA")),
            head_name=name,
            files=files,
            run=said("CI_JOB_URL"),
        )
    return Event(
        "gitlab",
        number=number,
        base=_commit(said("CI_MERGE_REQUEST_DIFF_BASE_SHA")),
        base_name=said("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        # In a pipeline of merged results, CI_COMMIT_SHA is the merge; only there the other variable is set.
        head=_commit(said("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")) or _commit(said("CI_COMMIT_SHA")),
        head_name=said("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"),
        files=files,
        run=said("CI_JOB_URL"),
        fork=said("CI_MERGE_REQUEST_SOURCE_PROJECT_ID") != said("CI_MERGE_REQUEST_PROJECT_ID"),
    )


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _commit(value: object) -> str | None:
    return value if isinstance(value, str) and is_commit(value) and not _NONE.fullmatch(value) else None


def _branch(value: object) -> str | None:
    name = _text(value)
    return name.removeprefix("refs/heads/") if name is not None else None
