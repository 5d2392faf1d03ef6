"""Which two versions of a spec are compared, and reading them: revisions, the working tree, files.

Law: with `git.py` the only impure module of plans. What a word means is decided in one place and as git decides it:
`A..B` is A against B, `A...B` is where they parted against B, a single revision is that against the working tree. A
word that names an existing file means the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from ccx.errors import UsageError
from ccx.plan.git import Repository, RevisionError
from ccx.spec.source import DISK, Names, Read, read_file
from ccx.spec.validate import Loaded, load

WORKING_TREE = "working tree"


@dataclass(frozen=True, slots=True)
class WorkingTree:
    """The spec as it lies on the disk now."""


@dataclass(frozen=True, slots=True)
class File:
    """Another file."""

    path: Path


@dataclass(frozen=True, slots=True)
class Revision:
    """The spec at a revision."""

    name: str


@dataclass(frozen=True, slots=True)
class MergeBase:
    """The spec where two revisions parted."""

    left: str
    right: str


Where = WorkingTree | File | Revision | MergeBase


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared: the spec's path, and the two places."""

    spec: Path
    old: Where
    new: Where


@dataclass(frozen=True, slots=True)
class Version:
    """One side as read. `loaded` is None where there is no such spec; `revision` is the whole id of a commit. More
    files of that side are had from `read` and `names`, while `versions` is open."""

    name: str
    revision: str | None
    loaded: Loaded | None
    read: Read = read_file
    names: Names = DISK


def comparison(first: str | None, second: str | None, *, spec: Path | None, usual: Path) -> Comparison:
    """What the words of a command line ask to compare. `usual` is the spec where none is named. Raises UsageError."""
    words = [word for word in (first, second) if word is not None]
    files = [word for word in words if _is_file(word)]
    if files and spec is not None:
        raise UsageError(f"{files[0]!r} is a file, and --spec names another", hint="leave out one of them")
    path = spec or usual
    match words:
        case []:
            return Comparison(path, Revision("HEAD"), WorkingTree())
        case [one] if files:
            return Comparison(Path(one), Revision("HEAD"), WorkingTree())
        case [one]:
            return Comparison(path, *_range(one))
        case [old, new] if len(files) == 2:
            return Comparison(Path(new), File(Path(old)), File(Path(new)))
        case [old, new] if files:
            # One revision and one file: the same spec, then and as it lies there.
            sides = [WorkingTree() if word in files else _revision(word) for word in words]
            return Comparison(Path(files[0]), sides[0], sides[1])
        case _:
            old, new = words
            return Comparison(path, _revision(old), _revision(new))


def _is_file(word: str) -> bool:
    return Path(word).is_file() or word.lower().endswith((".yaml", ".yml"))


def _range(word: str) -> tuple[Where, Where]:
    if "..." in word:
        left, _, right = word.partition("...")
        return MergeBase(left or "HEAD", right or "HEAD"), _revision(right or "HEAD")
    if ".." in word:
        left, _, right = word.partition("..")
        return _revision(left or "HEAD"), _revision(right or "HEAD")
    return Revision(word), WorkingTree()


def _revision(word: str) -> Revision:
    if ".." in word:
        raise UsageError(f"{word!r} is not one revision", hint="ccx plan A...B, or ccx plan A B")
    return Revision(word)


@contextmanager
def versions(asked: Comparison) -> Iterator[tuple[Version, Version]]:
    """Both sides, read. Raises RevisionError where a revision cannot be read, or neither side has the spec."""
    if all(isinstance(where, File | WorkingTree) for where in (asked.old, asked.new)):
        yield _both(asked, None)
        return
    with Repository(Path(os.path.abspath(asked.spec)).parent).open() as repository:
        yield _both(asked, repository)


def _both(asked: Comparison, repository: Repository | None) -> tuple[Version, Version]:
    old = _read(asked.old, asked.spec, repository)
    # Most of the text is that of the other side: what is the same is not parsed and checked again.
    new = _read(asked.new, asked.spec, repository, previous=old.loaded)
    if old.loaded is None and new.loaded is None:
        shown = os.fspath(asked.spec)
        raise RevisionError(f"there is no {shown!r}, neither at {old.name} nor at {new.name}; name it: --spec PATH")
    return old, new


def _read(where: Where, spec: Path, repository: Repository | None, *, previous: Loaded | None = None) -> Version:
    match where:
        case WorkingTree():
            return Version(WORKING_TREE, None, load(spec, previous=previous) if os.path.lexists(spec) else None)
        case File(path):
            return Version(os.fspath(path), None, load(path, previous=previous))
        case Revision(name):
            assert repository is not None  # noqa: S101 - the caller opens one for revisions
            commit = repository.commit(name)
        case MergeBase(left, right):
            assert repository is not None  # noqa: S101 - likewise
            commit = repository.merge_base(left, right)
        case _:
            assert_never(where)
    tree = repository.tree(commit, entry=spec)
    loaded = load(spec, read=tree.read, names=tree, previous=previous) if tree.there else None
    return Version(commit.name, commit.id, loaded, tree.read, tree)
