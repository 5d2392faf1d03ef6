"""Reading specs out of real git repositories."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from ccx.errors import UsageError
from ccx.plan.git import Repository, RevisionError, Snapshot
from ccx.plan.revisions import comparison, versions
from ccx.spec.source import DISK, read_closure, read_file
from tests.plan.repository import Repo

MAIN = "version: ccx/v1\ninclude: [{include}]\nchannels: {{a: {{provider: demo}}}}\n"
PART = "channels: {{{name}: {{provider: demo}}}}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


def names(tree: Snapshot, spec: Path) -> list[str]:
    closure = read_closure(spec, read=tree.read, names=tree)
    assert not closure.diagnostics, closure.diagnostics
    return [source.name for source in closure.sources]


def test_a_revision_is_read_with_all_it_includes_and_the_disk_is_not(repo: Repo) -> None:
    spec = repo.root / "conf" / "ccx.yaml"
    first = repo.commit(
        conf__ccx_yaml=MAIN.format(include="parts/*.yaml, ../shared.yaml"),
        conf__parts__b_yaml=PART.format(name="b"),
        conf__parts__c_yaml=PART.format(name="c"),
        shared_yaml=PART.format(name="s"),
    )
    for path in repo.root.rglob("*.yaml"):
        path.unlink()
    with Repository(spec.parent).open() as repository:
        tree = repository.tree(repository.commit(first), entry=spec)
        assert tree.there
        conf = spec.parent
        assert names(tree, spec) == [
            f"{conf}/parts/b.yaml",
            f"{conf}/parts/c.yaml",
            f"{repo.root}/shared.yaml",
            f"{spec}",
        ]


def test_a_folder_that_is_gone_is_still_there_in_a_revision(repo: Repo) -> None:
    first = repo.commit(deep__er__ccx_yaml=PART.format(name="a"))
    repo.git("rm", "-r", "--quiet", "deep")
    with Repository(repo.root / "deep" / "er").open() as repository:
        assert repository.tree(repository.commit(first), entry=repo.root / "deep" / "er" / "ccx.yaml").there


def test_names_of_any_characters(repo: Repo) -> None:
    odd = ["a b.yaml", "q\"uo'te.yaml", "new\nline.yaml", "ünï.yaml", "-dash.yaml", "$(touch x).yaml", "ta\tb.yaml"]
    for name in odd:
        repo.write(f"p/{name}", PART.format(name="x"))
    repo.commit(ccx_yaml=MAIN.format(include='"p/*.yaml"'))
    with Repository(repo.root).open() as repository:
        tree = repository.tree(repository.commit("HEAD"), entry=Path("ccx.yaml"))
        found = tree.find("p/*.yaml", tree.real(Path("ccx.yaml")).parent)
        assert [path.name for path in found] == sorted(odd)
        assert {tree.read(path) for path in found} == {PART.format(name="x").encode()}
    assert not (repo.root / "x").exists()


PATTERNS = [
    "*", "*.yaml", "**", "**/*.yaml", "d/**", "d/**/*.yaml", "d/*/x.yaml", "**/x.yaml", ".*", ".h/*", "d/../*.yaml",
    "[ab].yaml", "?.yaml", "linked/*.yaml", "*/x.yaml", "./a.yaml*", "d/./*.yaml", "nothing*", "a.yaml/*", "d/e/**/*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_find_what_they_find_on_a_disk(repo: Repo, pattern: str) -> None:
    for name in (
        "a.yaml",
        "b.yaml",
        "cc.yaml",
        "d/x.yaml",
        "d/e/x.yaml",
        "d/e/f/y.yaml",
        ".h/x.yaml",
        "d/.i/z.yaml",
        ".k.yaml",
    ):
        repo.write(name, name)
    (repo.root / "linked").symlink_to("d/e")
    (repo.root / "l.yaml").symlink_to("d/x.yaml")
    repo.commit()
    expected = [
        os.path.relpath(path, os.path.realpath(repo.root))
        for path in DISK.find(pattern, repo.root)
        if ".git" not in path.parts
    ]
    with Repository(repo.root).open() as repository:
        tree = repository.tree(repository.commit("HEAD"), entry=Path("ccx.yaml"))
        folder = tree.at.parent
        found = tree.find(pattern, Path(folder))
    assert [os.path.relpath(path, folder) for path in found] == expected
    assert expected or not [n for n in glob.glob(pattern, root_dir=repo.root) if Path(repo.root / n).is_file()]


def test_a_pattern_finds_a_link_to_nowhere_and_reading_it_fails(repo: Repo) -> None:
    spec = repo.write("ccx.yaml", MAIN.format(include='"p*.yaml"'))
    (repo.root / "part.yaml").symlink_to("nowhere.yaml")
    repo.commit()
    with Repository(repo.root).open() as repository:
        tree = repository.tree(repository.commit("HEAD"), entry=spec)
        assert [found.code for found in read_closure(spec, read=tree.read, names=tree).diagnostics] == ["CCX113"]
    assert [found.code for found in read_closure(spec).diagnostics] == ["CCX113"]


def test_links_stay_in_the_repository(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "out.yaml").write_text("secret")
    repo.write("real/a.yaml", PART.format(name="a"))
    for link, to in (
        ("ccx.yaml", "real/a.yaml"),
        ("up.yaml", "../out.yaml"),
        ("absolute.yaml", str(tmp_path / "out.yaml")),
        ("loop.yaml", "loop.yaml"),
        ("folder.yaml", "real"),
    ):
        (repo.root / link).symlink_to(to)
    repo.commit()
    with Repository(repo.root).open() as repository:
        tree = repository.tree(repository.commit("HEAD"), entry=Path("ccx.yaml"))
        real = tree.real(Path("ccx.yaml"))
        assert real.name == "a.yaml"
        assert tree.read(real) == PART.format(name="a").encode()
        for bad, said in (
            ("up.yaml", "outside"),
            ("absolute.yaml", "out of the repository"),
            ("loop.yaml", "symbolic links"),
            ("none.yaml", "No such file"),
            ("folder.yaml", "regular"),
            ("ccx.yaml/x", "directory"),
        ):
            with pytest.raises(OSError, match=said):
                tree.read(Path(tree.at.parent / bad))
        with pytest.raises(OSError, match="outside"):
            tree.read(Path("/etc/hostname"))
    closure = read_closure(repo.root / "ccx.yaml", read=read_file)
    assert closure.complete


def test_a_submodule_is_said_to_be_one(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    other.commit(x_yaml="x: 1")
    repo.git("submodule", "--quiet", "add", str(other.root), "sub")
    repo.commit()
    with Repository(repo.root).open() as repository:
        tree = repository.tree(repository.commit("HEAD"), entry=Path("ccx.yaml"))
        with pytest.raises(OSError, match="submodule"):
            tree.read(Path(tree.at.parent / "sub" / "x.yaml"))
        with pytest.raises(OSError, match="submodule"):
            tree.read(Path(tree.at.parent / "sub"))


def test_revisions_that_are_not_there(repo: Repo) -> None:
    with Repository(repo.root).open() as repository:
        assert repository.commit("HEAD").id is None
        with pytest.raises(RevisionError, match="no commit yet"):
            repository.commit("main~1")
    repo.commit(ccx_yaml="x")
    repo.git("branch", "feature/threshold")
    repo.git("update-ref", "refs/remotes/origin/release", "HEAD")
    with Repository(repo.root).open() as repository:
        for word, said in (
            ("feature/treshold", "did you mean 'feature/threshold'"),
            ("release", "did you mean 'origin/release'"),
            ("qqqqqq", "git fetch"),
            ("--output=x", "not a revision"),
            ("", "not a revision"),
            ("HEAD~5", "no revision"),
        ):
            with pytest.raises(RevisionError, match=said):
                repository.commit(word)
    assert not (repo.root / "x").exists()


def test_outside_of_any_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(RevisionError, match="not in a git repository"):
        Repository(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RevisionError, match="not installed"):
        Repository(tmp_path)


def test_merge_bases(repo: Repo, tmp_path: Path) -> None:
    base = repo.commit(ccx_yaml="base")
    repo.git("checkout", "--quiet", "-b", "change")
    repo.commit(ccx_yaml="change")
    repo.git("checkout", "--quiet", "main")
    repo.commit(ccx_yaml="main")
    with Repository(repo.root).open() as repository:
        assert repository.merge_base("main", "change").id == base
    repo.git("checkout", "--quiet", "--orphan", "alone")
    repo.commit(ccx_yaml="alone")
    with Repository(repo.root).open() as repository, pytest.raises(RevisionError, match="no common commit"):
        repository.merge_base("main", "alone")
    shallow = Repo(tmp_path / "shallow", clone=f"file://{repo.root}", depth=1)
    with Repository(shallow.root).open() as repository:
        with pytest.raises(RevisionError, match="fetch-depth: 0"):
            repository.merge_base("origin/main", "origin/change")
        with pytest.raises(RevisionError, match="shallow"):
            repository.commit("zzzzzzzz")


def test_an_object_that_is_not_here(repo: Repo) -> None:
    repo.commit(ccx_yaml="x")
    with Repository(repo.root).open() as repository, pytest.raises(RevisionError, match="partial clone"):
        repository.object("0" * 40)


def test_hooks_do_not_run_and_nothing_is_written(repo: Repo) -> None:
    repo.commit(ccx_yaml=PART.format(name="a"))
    for hook in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction"):
        path = repo.root / ".git" / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {repo.root}/ran\n")
        path.chmod(0o755)
    before = sorted(str(path) for path in repo.root.rglob("*"))
    with versions(comparison("HEAD", None, spec=repo.root / "ccx.yaml", usual=Path("ccx.yaml"))):
        pass
    assert sorted(str(path) for path in repo.root.rglob("*")) == before


def test_what_words_ask_for(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    one = repo.commit(ccx_yaml=MAIN.format(include=""), other_yaml=MAIN.format(include=""))
    two = repo.commit(ccx_yaml=MAIN.format(include="") + "# two\n")
    repo.write("ccx.yaml", MAIN.format(include="") + "# three\n")
    monkeypatch.chdir(repo.root)

    def sides(*words: str) -> list[tuple[str, str | None]]:
        asked = comparison(*([*words, None, None][:2]), spec=None, usual=Path("ccx.yaml"))
        with versions(asked) as both:
            assert all(side.loaded is not None for side in both)
            return [(side.name, side.revision) for side in both]

    tree = ("working tree", None)
    assert sides() == [("HEAD", two), tree]
    assert sides("HEAD~1") == [("HEAD~1", one), tree]
    assert sides("HEAD~1..HEAD") == [("HEAD~1", one), ("HEAD", two)]
    assert sides("HEAD~1..") == [("HEAD~1", one), ("HEAD", two)]
    assert sides("HEAD~1...main") == [("HEAD~1", one), ("main", two)]
    assert sides("HEAD~1", "main") == [("HEAD~1", one), ("main", two)]
    assert sides("other.yaml") == [("HEAD", two), tree]
    assert sides("other.yaml", "ccx.yaml") == [("other.yaml", None), ("ccx.yaml", None)]
    assert sides("HEAD~1", "ccx.yaml") == [("HEAD~1", one), tree]
    assert sides("ccx.yaml", "HEAD~1") == [tree, ("HEAD~1", one)]
    with pytest.raises(UsageError, match="not one revision"):
        comparison("a..b", "c", spec=None, usual=Path("ccx.yaml"))
    with pytest.raises(UsageError, match="--spec"):
        comparison("ccx.yaml", None, spec=Path("other.yaml"), usual=Path("ccx.yaml"))


def test_a_spec_that_is_new_or_gone_or_never_was(repo: Repo) -> None:
    repo.commit(readme="x")
    spec = repo.root / "ccx.yaml"
    asked = comparison(None, None, spec=spec, usual=spec)
    with pytest.raises(RevisionError, match="neither at HEAD nor at working tree"), versions(asked):
        pass
    repo.commit(ccx_yaml=MAIN.format(include=""))
    with versions(comparison("HEAD~1", "HEAD", spec=spec, usual=spec)) as (old, new):
        assert old.loaded is None
        assert new.loaded is not None
    spec.unlink()
    with versions(asked) as (old, new):
        assert old.loaded is not None
        assert new.loaded is None


def test_before_the_first_commit_everything_is_new(repo: Repo) -> None:
    spec = repo.write("ccx.yaml", MAIN.format(include=""))
    with versions(comparison(None, None, spec=spec, usual=spec)) as (old, new):
        assert (old.revision, old.loaded) == (None, None)
        assert new.loaded is not None


def test_two_files_need_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for name in ("old.yaml", "new.yaml"):
        (tmp_path / name).write_text(MAIN.format(include=""))
    asked = comparison(str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml"), spec=None, usual=Path("ccx.yaml"))
    with versions(asked) as (old, new):
        assert old.loaded is not None
        assert new.loaded is not None
