"""What a change is compared with: merges, ancestors, branches, and clones that lack history."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccx.cli.pull.event import Event
from ccx.cli.pull.history import Checkout, HistoryError, Origin
from ccx.errors import UsageError
from ccx.plan.git import Repository
from ccx.plan.revisions import MergeBase, Revision
from tests.kit.forges import FakeForge
from tests.kit.runner import GATEWAY, MOVED, Runner
from tests.plan.repository import Repo


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    made = Runner(tmp_path, FakeForge())
    made.pull_request("topic", MOVED)
    return made


def event(runner: Runner, **more: object) -> Event:
    known: dict[str, object] = {"base": runner.main, "base_name": "main", "head": runner.forge.head, **more}
    return Event("github", number=7, **known)  # type: ignore[arg-type]  # the test names fields only


def ages(repo: Repo, count: int, *, name: str = "main") -> None:
    """Commits on the branch that is checked out, unlike those of any other."""
    for number in range(count):
        repo.git("commit", "--quiet", "--allow-empty", "-m", f"{name} {number}")


@pytest.mark.parametrize("depth", [1, 2, None])
def test_of_a_merge_the_base_is_its_first_parent(depth: int | None, runner: Runner) -> None:
    ages(runner.origin, 3)
    ahead = runner.origin.git("rev-parse", "main")
    repo = runner.checkout("topic", depth=depth)
    checkout = Checkout(repo.root)
    origin = checkout.origin(event(runner), base=None, fetch=True)
    assert origin == Origin(Revision(ahead), "main")
    assert Repository(repo.root).commit(ahead).id == ahead


def test_nothing_is_fetched_unasked(runner: Runner) -> None:
    repo = runner.checkout("topic", depth=1)
    Checkout(repo.root).origin(event(runner), base=None, fetch=False)
    assert repo.git("rev-list", "--all", "--count") == "1"


def test_of_a_head_the_base_is_the_common_ancestor(runner: Runner) -> None:
    """A shallow clone is deepened until both meet, and not by all there is."""
    ages(runner.origin, 30)
    runner.origin.git("checkout", "--quiet", "-b", "late", "main")
    start = runner.origin.git("rev-parse", "HEAD")
    ages(runner.origin, 6, name="late")
    runner.forge.head = runner.origin.git("rev-parse", "HEAD")
    runner.origin.git("checkout", "--quiet", "main")
    ages(runner.origin, 2, name="newer")
    base = runner.origin.git("rev-parse", "HEAD")
    repo = runner.checkout("late", depth=1, merged=False)
    origin = Checkout(repo.root).origin(event(runner, base=base), base=None, fetch=True)
    assert origin == Origin(MergeBase(base, "HEAD"), "main")
    assert Repository(repo.root).merge_base(base, "HEAD").id == start
    assert repo.git("rev-parse", "--is-shallow-repository") == "true"


def test_a_push_is_compared_with_what_was_there(runner: Runner) -> None:
    repo = runner.checkout("topic", depth=1, merged=False)
    pushed = event(runner, exact=True, base_name="main before")
    assert Checkout(repo.root).origin(pushed, base=None, fetch=True) == Origin(Revision(runner.main), "main before")
    assert Repository(repo.root).commit(runner.main).id == runner.main


@pytest.mark.parametrize("base", ["main", "origin/main"])
def test_a_branch_that_is_named_is_fetched(base: str, runner: Runner) -> None:
    repo = runner.checkout("topic", depth=1, merged=False)
    assert Checkout(repo.root).origin(Event(), base=base, fetch=True) == Origin(MergeBase(base, "HEAD"), base)
    assert Repository(repo.root).merge_base(base, "HEAD").id == runner.main


def test_what_cannot_be_fetched_says_what_to_do(runner: Runner) -> None:
    repo = runner.checkout("topic", depth=1, merged=False)
    checkout = Checkout(repo.root)
    for asked in (event(runner, base="f" * 40), event(runner, base="f" * 40, exact=True)):
        with pytest.raises(HistoryError, match="check out with `fetch-depth: 0`"):
            checkout.origin(asked, base=None, fetch=True)
    with pytest.raises(HistoryError, match="git cannot fetch"):
        checkout.origin(Event(), base="no-such-branch", fetch=True)


@pytest.mark.parametrize("base", ["", "--upload-pack=touch x", "a..b"])
def test_what_is_no_revision(base: str, runner: Runner) -> None:
    with pytest.raises(UsageError, match="is not one revision"):
        Checkout(runner.origin.root).origin(Event(), base=base, fetch=True)


def test_nothing_to_compare_with(runner: Runner) -> None:
    with pytest.raises(UsageError, match="nothing says what to compare with"):
        Checkout(runner.origin.root).origin(Event(), base=None, fetch=False)


def test_what_is_checked_out(runner: Runner) -> None:
    (runner.origin.root / "sub").mkdir()
    assert Checkout(runner.origin.root).head() == runner.main
    assert Checkout(runner.origin.root / "sub").prefix() == "sub/"
    runner.origin.write("gateway.yaml", GATEWAY + "\n")
    assert Checkout(runner.origin.root).head() is None
    assert Checkout(runner.folder).head() is None
