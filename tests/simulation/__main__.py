"""`python -m tests.simulation --schedules 5000 --seed 0`: play so many schedules, and say which fail."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from tests.simulation.law import judge
from tests.simulation.schedule import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first; each next has one more")
    parser.add_argument("--stop", action="store_true", help="end at the first that fails, with its trace")
    args = parser.parse_args()
    begun, failed, calls, requests = time.perf_counter(), Counter[str](), 0, 0
    for seed in range(args.seed, args.seed + args.schedules):
        try:
            history = play(seed, judge)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            why = f"{type(error).__name__}: {str(error)[:200]}"
            if not failed[why]:
                print(f"seed {seed}: {why}", flush=True)
            failed[why] += 1
            if args.stop:
                traceback.print_exception(error)
                return 1
            continue
        calls += len(history.made)
        requests += len(history.clients)
    took = time.perf_counter() - begun
    print(
        f"{args.schedules} schedules from seed {args.seed}, {requests:,} requests, {calls:,} calls upstream "
        f"in {took:.0f} s: {sum(failed.values())} failed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
