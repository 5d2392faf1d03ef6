"""What a change is compared with, and the git history that this takes.

Law: unless it is asked for, nothing is fetched. A forge builds what it would merge: a commit with the base as its first
parent and the pull request as its second. Where that is checked out, the base is its first parent and no ancestor is
looked for, so that two commits are history enough; else the clone is deepened in growing steps.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccx.cli.pull.event import Event
from ccx.errors import CcxError, UsageError
from ccx.plan.render.cells import visible
from ccx.plan.revisions import MergeBase, Revision

STEPS: Final = (10, 100, 1_000, 10_000)
"""By how many commits a shallow clone is deepened, one step after the other; after that, all is fetched."""
TIMEOUT: Final = 300.0


class HistoryError(CcxError):
    """History that is not here and cannot be had. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The old side of the comparison, and what people call it."""

    where: Revision | MergeBase
    name: str


@dataclass(frozen=True, slots=True)
class Checkout:
    """A git checkout around a folder."""

    folder: Path

    def parents(self) -> tuple[str, ...]:
        """The parents of HEAD as its commit names them, though a shallow clone may not have them."""
        lines = self._git("cat-file", "commit", "HEAD").stdout.partition("\n\n")[0].splitlines()
        return tuple(line.split()[1] for line in lines if line.startswith("parent "))

    def prefix(self) -> str:
        """The folder's path inside the repository: empty, or ending in a slash."""
        return self._git("rev-parse", "--show-prefix").stdout.strip("\n")

    def head(self) -> str | None:
        """The commit that is checked out, if the files are as it has them."""
        status = self._git("status", "--porcelain")
        commit = self._git("rev-parse", "--verify", "--quiet", "HEAD")
        if status.returncode or status.stdout.strip() or commit.returncode:
            return None
        return commit.stdout.strip()

    def origin(self, event: Event, *, base: str | None, fetch: bool) -> Origin:
        """What to compare with. Raises UsageError if nothing says it, HistoryError if it cannot be fetched."""
        parents = self.parents()
        if base is not None:
            if not base or base.startswith("-") or ".." in base:
                raise UsageError(f"{base!r} is not one revision", hint="write a branch, a tag or a commit")
            if fetch:
                self._reach(base, wanted=self._named(base))
            return Origin(MergeBase(base, "HEAD"), base)
        name = event.base_name or "base"
        if len(parents) == 2 and event.head is not None and parents[1] == event.head:
            if fetch:
                self._have(parents[0])
            return Origin(Revision(parents[0]), name)
        if event.base is None:
            raise UsageError("nothing says what to compare with", hint="ccx ci --base main, or --no-plan")
        if event.exact:
            if fetch:
                self._have(event.base)
            return Origin(Revision(event.base), name)
        if fetch:
            self._reach(event.base, wanted=event.base)
        return Origin(MergeBase(event.base, "HEAD"), name)

    def _have(self, commit: str) -> None:
        """Fetch one commit if it is not here."""
        if not self._has(commit):
            self._fetch("--depth=1", wanted=(commit,))

    def _reach(self, base: str, *, wanted: str) -> None:
        """Deepen the clone until the base and HEAD meet."""
        if not self._has(base):
            self._fetch(*(("--depth=1",) if self._shallow() else ()), wanted=(wanted,))
        head = self._git("rev-parse", "HEAD").stdout.strip()
        for step in STEPS:
            if self._meet(base) or not self._shallow():
                return
            self._fetch(f"--deepen={step}", wanted=(head, wanted))
        if not self._meet(base) and self._shallow():
            self._fetch("--unshallow", wanted=(head, wanted))

    def _named(self, base: str) -> str:
        """What to ask the remote for: the commit, or the branch with the place where this clone keeps it."""
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}")
        if found.returncode == 0:
            return found.stdout.strip()
        branch = base.removeprefix("origin/")
        kept = f"refs/remotes/origin/{branch}" if base != branch else f"refs/heads/{branch}"
        return f"+refs/heads/{branch}:{kept}"

    def _has(self, revision: str) -> bool:
        return self._git("cat-file", "-e", f"{revision}^{{commit}}").returncode == 0

    def _meet(self, base: str) -> bool:
        return self._git("merge-base", base, "HEAD").returncode == 0

    def _shallow(self) -> bool:
        return self._git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"

    def _fetch(self, *how: str, wanted: tuple[str, ...]) -> None:
        done = self._git("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *how, "--", "origin", *wanted)
        if done.returncode:
            said = visible(" ".join(done.stderr.split())[-300:])
            raise HistoryError(f"git cannot fetch what to compare with ({said}); check out with `fetch-depth: 0`")

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - no shell, and no revision that reads as an option
                ["git", "-C", os.fspath(self.folder), "--no-pager", *arguments],  # noqa: S607 - the git of the machine
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT,
                env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
            )
        except FileNotFoundError:
            raise HistoryError("git is not installed") from None
        except subprocess.TimeoutExpired:
            raise HistoryError(f"git {arguments[0]} did not end within {TIMEOUT:g} s") from None
