"""The comparison against brute force: random tables, random edits, and the gateway's own decision for each request.

    python -m tests.analysis.oracle --edits 10000 --seed 1

For each edit: a request that fares differently and is in no region is missed; a request in a region that does not fare
as the region says is false; a witness that the tables decide otherwise, or that lies outside of its region, is bad.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ccx.analysis.compare import compare
from ccx.analysis.difference import Difference
from ccx.analysis.outcome import Judge
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable
from tests.analysis.drawn import edited, requests, table, taste


@dataclass
class Tally:
    """What a run found."""

    cases: int = 0
    different: int = 0
    unfinished: int = 0
    points: int = 0
    moved: int = 0
    capped: int = 0
    regions: int = 0
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found wrong."""
        return not (self.missed or self.false or self.bad)

    def line(self) -> str:
        """The run in one line."""
        return (
            f"cases {self.cases} (different {self.different}, capped {self.capped}, unfinished {self.unfinished}), "
            f"requests {self.points} (moved {self.moved}), regions {self.regions}: "
            f"missed {len(self.missed)}, false {len(self.false)}, bad witnesses {len(self.bad)}"
        )


def check(
    old: RoutingTable, new: RoutingTable, found: Difference, points: Sequence[Facts], tally: Tally, label: str
) -> None:
    """Counts what brute force sees otherwise."""
    judges = (Judge(old), Judge(new))
    listed = [(change, region) for change in found.changes for region in change.regions]
    capped = any(change.more for change in found.changes)
    tally.cases += 1
    tally.different += bool(found.changes)
    tally.capped += capped
    tally.unfinished += not found.complete
    tally.regions += len(listed)
    for change, region in listed:
        pair = tuple(judge.outcome(region.witness) for judge in judges)
        if pair != (change.before, change.after):
            tally.bad.append(f"{label}: {region.witness} is {pair}")
        if region.when.holds(region.witness) is not True:
            tally.bad.append(f"{label}: {region.witness} is outside of {region.when}")
    for facts in points:
        tally.points += 1
        before, after = (judge.outcome(facts) for judge in judges)
        within = [change for change, region in listed if region.when.holds(facts)]
        key = (before, after, before.route, after.route)
        if before != after:
            tally.moved += 1
            if found.complete and not capped and not within:
                tally.missed.append(f"{label}: {facts} {before.route} -> {after.route}")
        for change in within:
            if (change.before, change.after, change.before.route, change.after.route) != key or before == after:
                tally.false.append(f"{label}: {facts} in {change.before.route} -> {change.after.route}")


def one(seed: int, tally: Tally, *, limit: int) -> None:
    """One random case."""
    r = random.Random(seed)
    t = taste(r)
    old = table(r, t)
    new = edited(r, old, t)
    found = compare(old, new)
    check(old, new, found, list(requests(r, (old, new), t, limit=limit)), tally, f"seed {seed}")


def run(first: int, edits: int, *, limit: int) -> Tally:
    """Many cases, from the seed on."""
    tally = Tally()
    for seed in range(first, first + edits):
        try:
            one(seed, tally, limit=limit)
        except AssertionError as error:
            tally.bad.append(f"seed {seed}: {error}")
    return tally


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="of the first case; the others follow")
    parser.add_argument("--requests", type=int, default=4_000, help="most requests looked at for each case")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    tally = run(options.seed, options.edits, limit=options.requests)
    for problem in (*tally.missed[:5], *tally.false[:5], *tally.bad[:5]):
        print(problem)
    print(f"{tally.line()} in {time.monotonic() - start:.0f} s")
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
