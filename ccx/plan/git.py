"""Git: a revision as a tree of files that is read like a disk.

Laws. Git is only asked, through its plumbing: no hook runs, nothing is fetched, written or locked, no shell sees a
name. Files are found object by object, so that no name is special; links are followed inside the repository and never
out of it. Of the working tree it reads nothing. Whatever cannot be read is an error that says what to do.
"""

from __future__ import annotations

import difflib
import errno
import fnmatch
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal

from ccx.errors import CcxError

MAX_LINKS: Final = 40
_ROOT: Final = PurePosixPath("/(git)")  # a place on no disk, so that a path that leaves the repository shows
_MAGIC: Final = frozenset("*?[")


class RevisionError(CcxError):
    """A revision that cannot be read. The message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A revision as it was asked for, and the commit it means; None before a repository's first commit."""

    name: str
    id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder of a revision."""

    kind: Literal["file", "folder", "link", "module"]
    id: str


@dataclass(slots=True)
class Repository:
    """A git repository around a folder. Use it as a context: it keeps one git process to read objects from."""

    folder: Path
    prefix: PurePosixPath = field(init=False)
    _reader: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _folders: dict[str, dict[str, Entry]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        # A spec may be gone from the working tree with its folder; git is asked from what is left of the path.
        there = Path(os.path.abspath(self.folder))
        gone: list[str] = []
        while not there.is_dir() and there != there.parent:
            gone.insert(0, there.name)
            there = there.parent
        self.folder = there
        answer = self._git("rev-parse", "--show-prefix")
        if answer.returncode != 0:
            said = _words(answer.stderr)
            if "not a git repository" in said:
                raise RevisionError(
                    f"{str(there)!r} is not in a git repository; to compare two files: ccx plan OLD.yaml NEW.yaml"
                )
            raise RevisionError(f"git cannot read the repository of {str(there)!r}: {said}")
        prefix = os.fsdecode(answer.stdout.removesuffix(b"\n"))
        self.prefix = PurePosixPath(prefix, *gone)

    @contextmanager
    def open(self) -> Iterator[Repository]:
        """Ends the reading process, whatever happens."""
        try:
            yield self
        finally:
            reader, self._reader = self._reader, None
            if reader is not None:
                for pipe in (reader.stdin, reader.stdout):
                    if pipe is not None:
                        pipe.close()
                reader.wait()

    def commit(self, revision: str) -> Commit:
        """The commit that a revision means. Raises RevisionError; before the first commit, `HEAD` means none."""
        if not revision or revision.startswith("-") or "\0" in revision:
            raise RevisionError(f"{revision!r} is not a revision; write a branch, a tag or a commit")
        answer = self._git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if answer.returncode == 0:
            return Commit(revision, answer.stdout.decode("ascii").strip())
        if revision in ("HEAD", "@") and self._git("symbolic-ref", "--quiet", "HEAD").returncode == 0:
            return Commit(revision, None)
        raise RevisionError(f"there is no revision {revision!r}{self._advice(revision)}")

    def merge_base(self, left: str, right: str) -> Commit:
        """The commit where two revisions parted, under the name of the left one. Raises RevisionError."""
        one, other = self.commit(left), self.commit(right)
        if one.id is None or other.id is None:
            return Commit(left, None)
        answer = self._git("merge-base", one.id, other.id)
        if answer.returncode == 0:
            return Commit(left, answer.stdout.decode("ascii").split()[0])
        if self._shallow():
            raise RevisionError(
                f"{left!r} and {right!r} have no common commit in this shallow clone; fetch the history first: "
                "git fetch --unshallow, or `fetch-depth: 0` for actions/checkout"
            )
        raise RevisionError(f"{left!r} and {right!r} have no common commit; compare them as they are: {left}..{right}")

    def tree(self, commit: Commit, *, entry: Path) -> Snapshot:
        """The files of a commit, with `entry` standing for the spec's place in it."""
        at = _normal(_ROOT / self.prefix / entry.name)
        return Snapshot(self, commit, entry=entry, at=at)

    def folder_of(self, tree: str) -> dict[str, Entry]:
        """What a tree object holds, by name."""
        if tree not in self._folders:
            width = len(tree.partition("^")[0]) // 2
            self._folders[tree] = dict(_entries(self.object(tree), width=width))
        return self._folders[tree]

    def object(self, name: str) -> bytes:
        """The content of an object by its id, or of `COMMIT^{tree}`. Raises RevisionError where git has none."""
        reader = self._reader
        if reader is None:
            reader = self._reader = subprocess.Popen(  # noqa: S603 - no shell, and no word of the user's but on stdin
                self._command("cat-file", "--batch"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        assert reader.stdin is not None  # noqa: S101 - both are pipes
        assert reader.stdout is not None  # noqa: S101 - likewise
        try:
            reader.stdin.write(name.encode("ascii") + b"\n")
            reader.stdin.flush()
            head = reader.stdout.readline().split()
            if len(head) != 3:
                raise RevisionError(f"the object {name} is not here; a partial clone needs it fetched first")
            return _exactly(reader.stdout, int(head[2]) + 1)[:-1]
        except OSError as error:
            raise RevisionError(f"git stopped while reading {name}: {error.strerror}") from error

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(  # noqa: S603 - no shell; a revision cannot be taken for an option
                self._command(*arguments), capture_output=True, check=False, env=_environment()
            )
        except FileNotFoundError:
            raise RevisionError("git is not installed; to compare two files: ccx plan OLD.yaml NEW.yaml") from None

    def _command(self, *arguments: str) -> list[str]:
        return ["git", "-C", os.fspath(self.folder), "--no-pager", *arguments]

    def _shallow(self) -> bool:
        return self._git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"

    def _names(self) -> list[str]:
        answer = self._git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
        return _words(answer.stdout).split() if answer.returncode == 0 else []

    def _advice(self, revision: str) -> str:
        names = self._names()
        remote = [name for name in names if name.endswith(f"/{revision}")]
        near = remote or difflib.get_close_matches(revision, names, n=1, cutoff=0.6)
        if near:
            return f"; did you mean {near[0]!r}?"
        if not names:
            return "; the repository has no commit yet"
        if self._shallow():
            return "; this is a shallow clone: git fetch --unshallow, or `fetch-depth: 0` for actions/checkout"
        return "; ccx fetches nothing itself: git fetch origin brings what a remote has"


@dataclass(slots=True)
class Snapshot:
    """The files of one commit as `spec.source` reads files: gives `Names`, and `read` for their bytes."""

    repository: Repository
    commit: Commit
    entry: Path
    at: PurePosixPath

    def real(self, path: Path) -> Path:
        """A path in the revision, links followed; one that leads nowhere stays as it is."""
        here = self.at if path == self.entry else PurePosixPath(path)
        try:
            return Path(self._resolved(here)[0])
        except OSError:
            return Path(_normal(here))

    def find(self, pattern: str, folder: Path) -> list[Path]:
        """Files by a pattern, as the shell's glob finds them on a disk: hidden ones only where they are asked for."""
        start = PurePosixPath(folder)
        if pattern.startswith("/"):
            return []
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        found: list[Path] = []
        for name in sorted({os.fspath(path.relative_to(start)) for path in self._matching(start, parts)}):
            entry = self._entry(start / name)
            if entry is None or entry.kind == "file":  # a link to nowhere is found, and reading it fails
                found.append(self.real(Path(start / name)))
        return found

    def read(self, path: Path) -> bytes:
        """The bytes of a file. Raises OSError."""
        _, entry = self._resolved(PurePosixPath(path))
        match entry.kind:
            case "file":
                return self.repository.object(entry.id)
            case "module":
                raise OSError(errno.ENOENT, "it is in a submodule, and a revision does not hold those")
            case _:
                raise OSError(errno.EINVAL, "it is not a regular file")

    @property
    def there(self) -> bool:
        """Whether the revision has the spec at all."""
        return self.commit.id is not None and self._entry(self.at) is not None

    def _entry(self, path: PurePosixPath) -> Entry | None:
        try:
            return self._resolved(path)[1]
        except OSError:
            return None

    def _resolved(self, path: PurePosixPath) -> tuple[PurePosixPath, Entry]:
        """The path without links, and what is there. Raises OSError."""
        if self.commit.id is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        todo = list(reversed(self._inside(path)))
        top = Entry("folder", f"{self.commit.id}^{{tree}}")
        here, above, links = _ROOT, [top], 0
        while todo:
            part = todo.pop()
            if part == "..":
                if len(above) == 1:
                    raise OSError(errno.ENOENT, "it is outside of the repository")
                above.pop()
                here = here.parent
                continue
            if above[-1].kind != "folder":
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            entry = self.repository.folder_of(above[-1].id).get(part)
            if entry is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            if entry.kind == "module" and todo:
                raise OSError(errno.ENOENT, "it is in a submodule, and a revision does not hold those")
            if entry.kind == "link":
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                to = os.fsdecode(self.repository.object(entry.id))
                if to.startswith("/"):
                    raise OSError(errno.ENOENT, "it is a link out of the repository")
                todo.extend(name for name in reversed(to.split("/")) if name not in ("", "."))
                continue
            here = here / part
            above.append(entry)
        return here, above[-1]

    def _inside(self, path: PurePosixPath) -> tuple[str, ...]:
        if not path.is_relative_to(_ROOT):
            raise OSError(errno.ENOENT, "it is outside of the repository")
        return path.relative_to(_ROOT).parts

    def _matching(self, folder: PurePosixPath, parts: list[str]) -> Iterator[PurePosixPath]:
        if not parts:
            yield folder
            return
        first, rest = parts[0], parts[1:]
        if first == "**":
            for deep in self._deep(folder):
                yield from self._matching(deep, rest or ["*"])
        elif _MAGIC.isdisjoint(first):
            if first == ".." or self._entry(folder / first) is not None:
                yield from self._matching(folder / first, rest)
        else:
            for name in self._listed(folder):
                if fnmatch.fnmatchcase(name, first) and (first.startswith(".") or not name.startswith(".")):
                    yield from self._matching(folder / name, rest)

    def _deep(self, folder: PurePosixPath) -> Iterator[PurePosixPath]:
        """The folder, and all below it that are not hidden."""
        yield folder
        for name in self._listed(folder):
            if not name.startswith(".") and self._folder(folder / name) is not None:
                yield from self._deep(folder / name)

    def _listed(self, folder: PurePosixPath) -> list[str]:
        entry = self._folder(folder)
        return list(self.repository.folder_of(entry.id)) if entry is not None else []

    def _folder(self, path: PurePosixPath) -> Entry | None:
        entry = self._entry(path)
        return entry if entry is not None and entry.kind == "folder" else None


def _entries(data: bytes, *, width: int) -> Iterator[tuple[str, Entry]]:
    """The names of a tree object: for each `MODE NAME\\0` and the id in `width` bytes.

    https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_tree_objects
    """
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        at = end + 1 + width
        kind: Literal["file", "folder", "link", "module"]
        match mode:
            case b"40000":
                kind = "folder"
            case b"120000":
                kind = "link"
            case b"160000":
                kind = "module"
            case _:
                kind = "file"
        yield os.fsdecode(name), Entry(kind, data[end + 1 : at].hex())


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise OSError(errno.EPIPE, "git ended early")
    return data


def _normal(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(path))


def _environment() -> dict[str, str]:
    """Git's own, but that it takes no lock, fetches no missing object, asks nobody and speaks English."""
    return {
        **os.environ,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def _words(output: bytes) -> str:
    return output.decode("utf-8", errors="replace").strip().removeprefix("fatal: ")
