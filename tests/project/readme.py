"""The parts of the README that are made from the code. `python -m tests.project.readme` writes them anew."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ccx.cli.fidelity import markdown
from ccx.cli.lint import rule_table
from ccx.telemetry.metrics import metric_table
from tests.project import pull_request
from tests.resilience.faults import short

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXPLAIN = "ccx explain examples/configs/long-context.yaml --model claude-opus-4-1 --tokens 200000 --protocol messages"
BROKEN = "ccx validate tests/project/broken.yaml"


def captured(command: str) -> str:
    """A command of ours and what it prints, as a terminal shows it."""
    arguments = [sys.executable, "-m", "ccx", *shlex.split(command)[1:]]
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)},
    )
    return f"```console\n$ {command}\n{done.stdout.rstrip()}\n```"


BLOCKS: Mapping[str, Callable[[], str]] = {
    "explain": lambda: captured(EXPLAIN),
    "validate": lambda: captured(BROKEN),
    "plan": lambda: pull_request.shown()[0],
    "comment": lambda: pull_request.shown()[1],
    "fidelity": markdown,
    "faults": short,
    "rules": rule_table,
    "metrics": metric_table,
}


def refreshed(text: str) -> str:
    """The README with every generated part as the code has it now."""
    for name, make in BLOCKS.items():
        begin, end = f"<!-- begin:{name} -->", f"<!-- end:{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"the README has no single part {name!r}")
        block = f"{begin}\n{make().strip()}\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)  # type: ignore[misc]  # bound now, not later
    return text


if __name__ == "__main__":
    README.write_text(refreshed(README.read_text()))
