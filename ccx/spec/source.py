"""The files of a spec, read exactly once.

Laws. Every file of the closure is read once and everything later works on those bytes, so that what is checked is what
is compiled. The entry's real path is resolved once and includes are found beside it: a Kubernetes ConfigMap is a link
to a directory that is replaced whole, and all files come from one generation of it. Nothing here raises for what the
files hold or for their absence: that is a diagnostic at the line that asked for the file. Work is bounded.

The closure's digest covers paths and bytes: equal digests mean that nothing changed and nothing need be done.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ccx.spec.compose import compose, decode
from ccx.spec.diagnostics import START, Diagnostic, Related, Span, diagnostic
from ccx.spec.locations import Tree

MAX_FILE_BYTES: Final = 16 * 2**20
MAX_FILES: Final = 1_000
MAX_INCLUDE_DEPTH: Final = 32

Read = Callable[[Path], bytes]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file as it was read. `name` is how it is shown; `tree` is None where it is empty or not YAML."""

    name: str
    real: Path
    data: bytes
    tree: Tree | None
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Closure:
    """A spec's files: included files stand before the file that includes them, in the order listed.

    `entry` is the name of the file asked for and `directory` the absolute path of its folder as it was given, to which
    paths in the spec are relative. `complete` is false when something could not be read: names may then be missing.
    """

    entry: str
    directory: Path
    sources: tuple[SourceFile, ...]
    diagnostics: tuple[Diagnostic, ...]
    complete: bool
    digest: str

    @property
    def files(self) -> Mapping[str, bytes]:
        """The bytes of each file by its shown name, the entry first."""
        entry = {source.name: source.data for source in self.sources if source.name == self.entry}
        return entry | {source.name: source.data for source in self.sources}


def read_file(path: Path) -> bytes:
    """The bytes of a regular file, at most one more than `MAX_FILE_BYTES`. Raises OSError."""
    with open(path, "rb", opener=_open) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read(MAX_FILE_BYTES + 1)


def _open(path: str, flags: int) -> int:
    # Without O_NONBLOCK opening a named pipe would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


class Names(Protocol):
    """What is called how, where files are read from: the disk, or a revision that answers like one."""

    def real(self, path: Path, /) -> Path:
        """The absolute path of what a path leads to, links followed. Never fails: what is not there is not read."""

    def find(self, pattern: str, folder: Path, /) -> list[Path]:
        """The real paths of the files that match a pattern below a folder, in the order of their names as written."""


class Disk:
    """The names of the file system."""

    def real(self, path: Path) -> Path:
        """The path without links."""
        return Path(os.path.realpath(path))

    def find(self, pattern: str, folder: Path) -> list[Path]:
        """Files by a pattern of the shell's, `**` for folders at any depth."""
        names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
        found = [self.real(folder / name) for name in names]
        return [path for path in found if not path.is_dir()]


DISK: Final = Disk()


def read_closure(
    path: Path, *, read: Read = read_file, names: Names = DISK, previous: Closure | None = None
) -> Closure:
    """Read a spec and all it includes. `names` and `read` together are where from.

    `previous` is an earlier closure of the same spec: what has the same bytes is not parsed again.
    """
    walk = _Walk(path, read, names, previous)
    walk.visit(walk.root, asked=None)
    digest = hashlib.sha256()
    for source in sorted(walk.sources, key=lambda source: source.name):
        relative = os.path.relpath(source.real, walk.root.parent)
        for part in (os.fsencode(relative), source.data):
            digest.update(len(part).to_bytes(8, "big") + part)
    return Closure(
        entry=walk.name(walk.root),
        directory=walk.shown.parent,
        sources=tuple(walk.sources),
        diagnostics=tuple(walk.found),
        complete=walk.complete,
        digest=digest.hexdigest(),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where a file was asked for: the including file and its line."""

    file: str
    span: Span


@dataclass(slots=True)
class _Walk:
    """Reads depth first; a file's includes come before itself."""

    given: Path
    read: Read
    names: Names
    previous: Closure | None
    root: Path = field(init=False)
    shown: Path = field(init=False)
    sources: list[SourceFile] = field(default_factory=list)
    found: list[Diagnostic] = field(default_factory=list)
    seen: dict[Path, _Asked | None] = field(default_factory=dict)
    reading: list[Path] = field(default_factory=list)
    complete: bool = True
    full: bool = False

    def __post_init__(self) -> None:
        self.root = self.names.real(self.given)
        self.shown = Path(os.path.abspath(self.given))  # links are kept: this is what the user named

    def name(self, real: Path) -> str:
        """How a file is shown: beside the entry as the user wrote it."""
        if real == self.root:
            return os.fspath(self.given)
        relative = os.path.relpath(real, self.root.parent)
        return os.path.normpath(os.path.join(self.given.parent, relative))  # must fold `..` in text

    def fail(
        self, code: str, message: str, *, at: _Asked, advice: str | None = None, also: _Asked | None = None
    ) -> None:
        related = (Related(also.span, also.file, "asked for here before"),) if also else ()
        self.complete = False
        self.found.append(diagnostic(code, message, file=at.file, span=at.span, help=advice, related=related))

    def visit(self, real: Path, *, asked: _Asked | None) -> None:
        at = asked or _Asked(self.name(real), START)
        name = self.name(real)
        if self.full or len(self.seen) >= MAX_FILES:
            if not self.full:
                self.fail("CCX115", f"more than {MAX_FILES:,} files", at=at, advice="join some of them")
            self.full = True
            return
        if len(self.reading) > MAX_INCLUDE_DEPTH:
            self.fail("CCX115", f"includes nested deeper than {MAX_INCLUDE_DEPTH} files", at=at)
            return
        self.seen[real] = asked
        try:
            data = self.read(real)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            advice = None if asked is None else "paths are relative to the including file"
            self.fail("CCX113", f"cannot read {name!r}: {reason.lower()}", at=at, advice=advice)
            return
        if len(data) > MAX_FILE_BYTES:
            self.fail("CCX115", f"{name!r} is larger than {MAX_FILE_BYTES // 2**20} MiB", at=at)
            return
        source = self.parse(name, real, data)
        self.reading.append(real)
        if source.tree is not None:
            for pattern in _includes(source.tree):
                self.include(pattern, real)
        self.reading.pop()
        self.sources.append(source)
        self.found.extend(source.diagnostics)
        if source.tree is None and source.diagnostics:
            self.complete = False

    def parse(self, name: str, real: Path, data: bytes) -> SourceFile:
        for old in self.previous.sources if self.previous else ():
            if old.name == name and old.data == data:
                return SourceFile(name, real, data, old.tree, old.diagnostics)
        text, wrong = decode(data, file=name)
        if wrong is not None:
            return SourceFile(name, real, data, None, (wrong,))
        tree, found = compose(text, file=name)
        return SourceFile(name, real, data, tree, found)

    def include(self, pattern: Tree, including: Path) -> None:
        at = _Asked(pattern.file, pattern.span)
        text = str(pattern.content)
        if "\0" in text or not text.strip():
            self.fail("CCX113", "an include without a path", at=at)
            return
        folder = including.parent
        if any(sign in text for sign in "*?["):
            # A pattern that also matches the file it stands in means the others.
            paths = [path for path in self.names.find(text, folder) if path != including]
            if not paths:
                self.fail(
                    "CCX113", f"no file matches {text!r}", at=at, advice="patterns are relative to the including file"
                )
        else:
            paths = [self.names.real(folder / text)]
        for real in paths:
            if real in self.reading:
                chain = [*self.reading[self.reading.index(real) :], real]
                shown = " → ".join(self.name(one) for one in chain)
                self.fail("CCX114", f"a cycle of includes: {shown}", at=at, advice="remove one of the includes")
            elif real in self.seen:
                self.fail(
                    "CCX114",
                    f"{self.name(real)!r} is included twice",
                    at=at,
                    advice="include each file once",
                    also=self.seen[real],
                )
            else:
                self.visit(real, asked=at)


def _includes(tree: Tree) -> list[Tree]:
    """The well-formed entries of `include`; what is not well-formed the schema reports."""
    listed = tree.child("include")
    if listed is None or not isinstance(listed.content, tuple):
        return []
    return [entry for entry in listed.content if isinstance(entry.content, str)]
