"""A real git repository in a folder, for tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Repo:
    """Git with fixed names and dates and without anybody's configuration."""

    def __init__(self, root: Path, *, clone: str | None = None, depth: int | None = None) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        if clone is None:
            self.git("init", "--quiet", "--initial-branch=main")
        else:
            limit = ["--depth", str(depth)] if depth else []
            self.git("clone", "--quiet", *limit, "--no-single-branch", clone, ".")

    def git(self, *arguments: str) -> str:
        """Run git; its output."""
        done = subprocess.run(
            ["git", "-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always", *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_AUTHOR_NAME": "a",
                "GIT_AUTHOR_EMAIL": "a@example.org",
                "GIT_COMMITTER_NAME": "a",
                "GIT_COMMITTER_EMAIL": "a@example.org",
                "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
                "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
            },
        )
        return os.fsdecode(done.stdout).strip()

    def write(self, name: str, text: str) -> Path:
        """Write a file of the working tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def commit(self, **files: str) -> str:
        """Write files (`a__b` is `a/b`, a final `_yaml` the ending), commit everything; the id."""
        for name, text in files.items():
            self.write(name.replace("__", "/").replace("_yaml", ".yaml"), text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")
