"""`python -m tests.soak --minutes 10`: prints the report; exits with 1 if something was wrong or grew."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

from tests.redis_server import redis_server
from tests.soak.run import Plan, soak
from tests.soak.verdict import markdown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=120.0, help="requests a second")
    parser.add_argument("--faults", type=float, default=0.05, help="share of the calls upstream that fail")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", action="store_true", help="state in a Redis of its own")
    parser.add_argument("--folder", type=Path, help="where the records go, and stay")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        url = stack.enter_context(redis_server()).url if args.redis else None
        plan = Plan(args.minutes * 60, rate=args.rate, share=args.faults, seed=args.seed, redis=url)
        result = soak(plan, folder)
    print(markdown(result))
    for one in result["unexpected_first"]:
        print("unexpected:", one)
    for one in result["warnings"]:
        print("warning:", one)
    return 0 if result["growth"]["flat"] and not result["faulty"] else 1


if __name__ == "__main__":
    sys.exit(main())
