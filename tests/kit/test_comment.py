"""`ccx comment` and the forges' interfaces: whose comments, which pages, what trouble, which words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccx.cli.main import main
from ccx.cli.pull.forge import ACTIONS, MAX_PAGES, Api, ForgeError, GitHub, forge_of
from ccx.errors import UsageError
from ccx.plan.render.github import marker
from tests.kit.forges import TOKEN, FakeForge, served
from tests.kit.test_bundle import AT, BODY, HEAD, written

EVENT = {
    "pull_request": {
        "number": 7,
        "base": {"sha": "b" * 40, "ref": "main", "repo": {"full_name": "acme/gateway"}},
        "head": {"sha": HEAD, "ref": "topic", "repo": {"full_name": "acme/gateway"}},
    }
}


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeForge]:
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    with served(FakeForge(head=HEAD)) as forge:
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_API_URL": forge.url,
            "GITHUB_REPOSITORY": "acme/gateway",
            "GITHUB_TOKEN": TOKEN,
        }.items():
            monkeypatch.setenv(name, value)
        yield forge


@pytest.fixture
def gitlab(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeForge]:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with served(FakeForge(head=HEAD, kind="gitlab", me="project_42_bot")) as forge:
        for name, value in {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": forge.url,
            "CI_PROJECT_ID": "42",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": "b" * 40,
            "CI_COMMIT_SHA": HEAD,
            "GITLAB_TOKEN": TOKEN,
        }.items():
            monkeypatch.setenv(name, value)
        yield forge


def api(forge: FakeForge, slept: list[float] | None = None) -> Api:
    return Api(forge.url, {"authorization": "Bearer secret-token"}, sleep=(slept if slept is not None else []).append)


def test_a_comment_is_made_and_then_updated(github: FakeForge, tmp_path: Path) -> None:
    folder = str(written(tmp_path / "report"))
    assert main(["comment", folder]) == 0
    assert main(["comment", folder]) == 0
    assert github.comments == {1: (ACTIONS, BODY)}
    assert github.writes == [
        "POST /repos/acme/gateway/issues/7/comments",
        "PATCH /repos/acme/gateway/issues/comments/1",
    ]
    assert github.tokens == {f"Bearer {TOKEN}"}


def test_a_note_is_made_and_then_updated(gitlab: FakeForge, tmp_path: Path) -> None:
    folder = str(written(tmp_path / "report"))
    gitlab.add("someone", BODY)
    assert main(["comment", folder]) == 0
    assert main(["comment", folder]) == 0
    assert gitlab.comments[2] == ("project_42_bot", BODY)
    assert gitlab.writes == ["POST /projects/42/merge_requests/7/notes", "PUT /projects/42/merge_requests/7/notes/2"]
    assert gitlab.tokens == {TOKEN}


def test_the_token_of_a_person_updates_that_persons_comment(github: FakeForge, tmp_path: Path) -> None:
    github.me = "a-person"
    github.add(ACTIONS, BODY)
    github.add("a-person", f"{marker('a/ccx.yaml', head=HEAD, at=None)}\nold")
    assert main(["comment", str(written(tmp_path / "report"))]) == 0
    assert github.comments[2] == ("a-person", BODY)


def test_an_author_can_be_named(github: FakeForge, tmp_path: Path) -> None:
    github.add("our-app[bot]", f"{marker('a/ccx.yaml', head=HEAD, at=None)}\nold")
    assert main(["comment", str(written(tmp_path / "report")), "--author", "our-app[bot]"]) == 0
    assert github.comments == {1: ("our-app[bot]", BODY)}
    assert "GET /user" not in github.seen


def test_a_comment_is_found_on_a_later_page(github: FakeForge, tmp_path: Path) -> None:
    for _ in range(250):
        github.add("a-person", "words")
    github.add(ACTIONS, f"{marker('a/ccx.yaml', head=HEAD, at=AT)}\nold")
    assert main(["comment", str(written(tmp_path / "report"))]) == 0
    assert github.comments[251] == (ACTIONS, BODY)
    assert len(github.comments) == 251


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"number": 8}, "not of this pull request"), ({"number": None}, "was not about a pull request")],
)
def test_reports_of_something_else(
    changed: dict[str, object], message: str, github: FakeForge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["comment", str(written(tmp_path / "report", **changed))])
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert github.seen == []


def test_without_a_token_or_a_forge(
    github: FakeForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(written(tmp_path / "report"))
    monkeypatch.delenv("GITHUB_TOKEN")
    assert main(["comment", folder]) == 1
    assert "GITHUB_TOKEN" in capsys.readouterr().err
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert main(["comment", folder]) == 64
    assert main(["comment", folder, "--from-run"]) == 64
    assert github.seen == []


def test_from_run_needs_a_run_to_follow(github: FakeForge, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["comment", str(written(tmp_path / "report")), "--from-run"]) == 1
    assert "the event is no workflow_run" in capsys.readouterr().err
    assert github.seen == []


def test_reading_is_tried_again_and_writing_is_not(github: FakeForge) -> None:
    slept: list[float] = []
    forge = GitHub(api(github, slept), "acme/gateway")
    github.troubles = [502, 429]
    assert forge.head(7) == HEAD
    assert slept == [2.0, 4.0]
    github.troubles = [500, 500, 500]
    with pytest.raises(ForgeError, match="500 trouble"):
        forge.head(7)
    github.troubles = [502]
    with pytest.raises(ForgeError, match=r"POST .*: 502 trouble"):
        forge.create(7, "words")
    assert len(github.writes) == 1
    assert github.comments == {}


@pytest.mark.parametrize("status", [301, 302, 401, 404])
def test_no_redirect_is_followed_and_nothing_is_tried_twice(status: int, github: FakeForge) -> None:
    github.troubles = [status]
    with pytest.raises(ForgeError) as caught:
        GitHub(api(github), "acme/gateway").head(7)
    assert caught.value.status == status
    assert "secret-token" not in str(caught.value) + repr(api(github))
    assert github.seen == ["GET /repos/acme/gateway/pulls/7"]


def test_an_answer_of_another_shape(github: FakeForge) -> None:
    github.head = None  # type: ignore[assignment]  # what no forge says
    with pytest.raises(ForgeError, match=r"the answer has no head\.sha"):
        GitHub(api(github), "acme/gateway").head(7)


def test_a_forge_that_is_not_there() -> None:
    with pytest.raises(ForgeError, match="GET /x: "):
        Api("http://127.0.0.1:9", {}, sleep=lambda _: None).get("/x")


@pytest.mark.parametrize("address", ["ftp://x", "file:///etc/passwd", "api.github.com", "https://a:b@x.org"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is not the address"):
        Api(address, {})


def test_a_pipeline_that_does_not_say_its_project() -> None:
    with pytest.raises(UsageError, match="CI_API_V4_URL and CI_PROJECT_ID are not set"):
        forge_of("gitlab", {}, token="t")


def test_there_is_an_end_to_pages(github: FakeForge) -> None:
    class Endless(Api):
        def get(self, path: str) -> list[int]:
            assert int(path.rpartition("=")[2]) <= MAX_PAGES
            return [0] * 100

    assert len(list(Endless(github.url, {}).pages("/x"))) == 100 * MAX_PAGES
