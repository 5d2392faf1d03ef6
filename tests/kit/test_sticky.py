"""Which comment is created, updated or left alone."""

from __future__ import annotations

import pytest

from ccx.cli.pull.bundle import Told
from ccx.cli.pull.sticky import Comment, Create, Leave, Update, decide, of_stranger, stale
from ccx.plan.render.github import marker

ME = "github-actions[bot]"
AT = "2026-11-20T11:41:03Z"


def told(spec: str = "ccx.yaml", *, quiet: bool = False) -> Told:
    return Told(spec, f"{marker(spec, head='a', at=AT)}\nnew\n", quiet)


def there(id_: int, spec: str = "ccx.yaml", *, author: str = ME, at: str | None = "2026-11-20T11:00:00Z") -> Comment:
    return Comment(id_, author, f"{marker(spec, head='b', at=at)}\nold\n")


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ([], Create()),
        ([there(1)], Update(1)),
        ([Comment(1, ME, "hello"), there(2), there(3)], Update(2)),
        ([there(1, author="a-person")], Create()),
        ([there(1, author="github-actions")], Create()),
        ([there(1, "ccx.yaml.old")], Create()),
        ([there(1, "other/ccx.yaml")], Create()),
        ([Comment(1, ME, f"quoted:\n{there(1).body}")], Create()),
        ([there(1, at=AT)], Update(1)),
        ([there(1, at=None)], Update(1)),
        ([there(1, at="2026-11-20T11:41:04Z")], Leave("the comment is of a newer run, from 2026-11-20T11:41:04Z")),
        ([Comment(1, ME, f"{marker('ccx.yaml', head='b', at=None)}\nat=9999-01-01T00:00:00Z -->")], Update(1)),
    ],
)
def test_of_one_spec(existing: list[Comment], expected: Create | Update | Leave) -> None:
    assert decide(told(), AT, existing, author=ME) == expected


def test_hostile_names_of_specs_are_found_again() -> None:
    spec = "a -->b\n<!-- c.yaml"
    assert decide(told(spec), AT, [there(1, spec)], author=ME) == Update(1)
    assert decide(told("a"), AT, [there(1, spec)], author=ME) == Create()


def test_a_quiet_one_only_corrects() -> None:
    assert isinstance(decide(told(quiet=True), AT, [], author=ME), Leave)
    assert decide(told(quiet=True), AT, [there(4)], author=ME) == Update(4)


def test_only_the_last_commit_of_a_pull_request_is_told_of() -> None:
    assert stale("a" * 40, "a" * 40) is None
    assert stale("a" * 40, "b" * 40) == Leave("the pull request is at bbbbbbbbbbbb by now, and this was aaaaaaaaaaaa")


def test_a_strangers_comment_says_so_and_calls_nobody() -> None:
    body = f"{marker('ccx.yaml', head='a', at=AT)}\n@everyone look at `a@b`\n"
    shown = of_stranger(body, run="https://github.com/a/b/actions/runs/1")
    first, second, *_ = shown.splitlines()
    assert first == body.splitlines()[0]
    assert second.startswith("> This pull request comes from a fork, and [its own run](<https://github.com/a/b/")
    assert "@e" not in shown
    assert "@\N{ZERO WIDTH SPACE}everyone" in shown
    assert "its own run wrote" in of_stranger(body, run="https://x.org/>\n<b>")
