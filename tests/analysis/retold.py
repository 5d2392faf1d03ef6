"""Prints what the analysis says of random edits: the same text in every process, whatever the seed of its hashes.

python -m tests.analysis.retold --edits 60 --seed 1
"""

from __future__ import annotations

import argparse
import random
import sys

from ccx.analysis.asking import command
from ccx.analysis.compare import compare
from ccx.analysis.outcome import Outcome
from ccx.analysis.query import find
from ccx.analysis.wording import say
from tests.analysis.drawn import edited, table, taste


def _denied(outcome: Outcome) -> bool:
    return outcome.deny is not None


def told(seed: int) -> list[str]:
    """All that is said of one random edit, and of the table after it."""
    r = random.Random(seed)
    t = taste(r)
    old = table(r, t)
    new = edited(r, old, t)
    lines = [f"case {seed}"]
    for change in compare(old, new).changes:
        lines.append(f"{change.before.route} -> {change.after.route}, {change.more} more")
        lines += [f"  {say(region.when)}: {command(region.witness)}" for region in change.regions]
    found = find(new, accept=_denied)
    lines.append(f"denied: {command(found) if found is not None else 'none'}")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(sys.argv[1:])
    for case in range(options.seed, options.seed + options.edits):
        print("\n".join(told(case)))
