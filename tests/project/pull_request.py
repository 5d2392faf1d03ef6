"""The README's pull request: the example of long prompts, its threshold moved from 180,000 to 120,000 tokens."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.plan.repository import Repo

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "configs" / "long-context.yaml"
PLAN = "ccx plan main...HEAD"
MOVES = (("180k", "120k"), ("180001", "120001"), ("180,000", "120,000"))


def moved(text: str) -> str:
    """The example with another threshold, in its route and in its tests."""
    for old, new in MOVES:
        if old not in text:
            raise ValueError(f"the example no longer says {old}")
        text = text.replace(old, new)
    return text


@cache
def shown() -> tuple[str, str]:
    """The plan in a terminal, and the comment on the pull request without its hidden first line."""
    with TemporaryDirectory() as folder:
        repo = Repo(Path(folder, "gateway"))
        text = EXAMPLE.read_text()
        repo.commit(ccx_yaml=text)
        repo.git("checkout", "--quiet", "-b", "topic")
        repo.commit(ccx_yaml=moved(text))
        plan = _run(repo, *PLAN.split()[1:])
        _run(repo, "ci", "--base", "main", "--report", os.fspath(Path(folder, "report")))
        comment = Path(folder, "report", "ccx", "comment.md").read_text()
    return f"```console\n$ {PLAN}\n{plan.rstrip()}\n```", comment.partition("\n")[2].rstrip()


def _run(repo: Repo, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ccx", *arguments],
        cwd=repo.root,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "COLUMNS": "100", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
    )
    return done.stdout
