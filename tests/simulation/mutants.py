"""Whether the simulation would see it: each deliberate mistake is made in a copy of the code, and some schedule has to
fail. `python -m tests.simulation.mutants` lists which seed caught which.

A mutant whose text is no longer in the code is an error: the list has to be kept up with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SKIPPED: Final = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake: in which file what is replaced by what."""

    what: str
    file: str
    old: str
    new: str


MUTANTS: Final = (
    Mutant(
        "a permit is forgotten when a request is cancelled",
        "runtime/trial.py",
        "        if taken is not None:\n            await self._around.limiter.leave(",
        "        if taken is not None and answered:\n            await self._around.limiter.leave(",
    ),
    Mutant(
        "a client's permit is forgotten when its request fails",
        "runtime/proxy.py",
        "            if taken is not None:\n                await limiter.leave(taken, answered=answered(exchange))",
        "            if taken is not None and answered(exchange):\n"
        "                await limiter.leave(taken, answered=True)",
    ),
    Mutant(
        "a disconnect counts against the target",
        "runtime/selecting.py",
        'return "failed" if found is not None and',
        'return "failed" if found is None or',
    ),
    Mutant(
        "a place at a target is left twice over by a cancelled attempt",
        "runtime/trial.py",
        "        around.state.end(held.target.channel, held.target.key)\n",
        '        if self._outcome != "cancelled":\n'
        "            around.state.end(held.target.channel, held.target.key)\n",
    ),
    Mutant(
        "an operator's order is not looked for",
        "state/health.py",
        "            self._overrides[channel] = override\n            self._ill.add(channel)",
        "            self._overrides[channel] = override",
    ),
    Mutant(
        "a target drained while a request waits is asked",
        "runtime/failover.py",
        "if around.selector.drained(choice):",
        "if False:",
    ),
    Mutant(
        "one attempt too many",
        "runtime/schedule.py",
        "or self.made >= self._failover.attempts or now",
        "or self.made > self._failover.attempts or now",
    ),
    Mutant(
        "a second call beside the last attempt allowed",
        "runtime/schedule.py",
        "        if self.made >= self._failover.attempts:\n            return None\n"
        "        self._pool = []\n        passed",
        "        self._pool = []\n        passed",
    ),
    Mutant(
        "attempts begin after the deadline",
        "runtime/schedule.py",
        "or now >= self._ends:\n            self._stands = True\n            return None",
        "or False:\n            self._stands = True\n            return None",
    ),
    Mutant(
        "the deadline does not bind an attempt",
        "runtime/failover.py",
        "first_byte=left if first_byte is None else min(first_byte, left), begin=left",
        "begin=None",
    ),
    Mutant(
        "connecting may go beyond the deadline",
        "runtime/failover.py",
        "min(first_byte, left), begin=left)",
        "min(first_byte, left))",
    ),
    Mutant(
        "no wait before the same target is asked again",
        "runtime/failover.py",
        "            await asyncio.sleep(move.wait)",
        "            await asyncio.sleep(0)",
    ),
    Mutant(
        "waits do not grow",
        "runtime/schedule.py",
        "self._round += 1",
        "self._round += 0",
    ),
    Mutant(
        "what the provider asks to wait is not heard",
        "runtime/schedule.py",
        "wait = max(wait, failed.retry_after)",
        "pass",
    ),
    Mutant(
        "the budget of retries is not asked",
        "runtime/failover.py",
        "may_retry=lambda choice: retries.grant(choice.channel.name, budget, now()),",
        "",
    ),
    Mutant(
        "a budget grants one more than its share",
        "state/retries.py",
        "sum(window.retried) + 1 > max(",
        "sum(window.retried) > max(",
    ),
    Mutant(
        "hedges are made beyond their share",
        "runtime/failover.py",
        "if not self._retries.grant(hedges(self._route.name), hedge.share, now, floor=HEDGES_ALWAYS):",
        "if False:",
    ),
    Mutant(
        "a hedge asks the same channel",
        "runtime/schedule.py",
        "        self._pool = []\n        passed: list[Choice] = []\n        found = self._fresh()\n"
        "        while found is not None and found.choice.channel.name == move.choice.channel.name:",
        "        passed: list[Choice] = []\n        found = self._fresh()\n        while False:",
    ),
    Mutant(
        "who lost the race is not let go of",
        "runtime/hedging.py",
        "                runner.trial.outpaced()",
        "                pass",
    ),
    Mutant(
        "who lost the race goes on",
        "runtime/hedging.py",
        "            task.cancel()\n",
        "            pass\n",
    ),
    Mutant(
        "a target's limit is not charged",
        "runtime/failover.py",
        "taken = await around.limiter.enter(choice, move.key)",
        "taken = None",
    ),
    Mutant(
        "a meter lets one more in",
        "state/meters.py",
        "            case Held(_, capacity):\n                missing, wait = level.used + amount - capacity, None",
        "            case Held(_, capacity):\n                missing, wait = level.used - capacity, None",
    ),
    Mutant(
        "a charge is not settled with what was used",
        "runtime/limits.py",
        "found[one.meter.id] = (one.amount if said is None else said) if answered else 0",
        "found[one.meter.id] = one.amount",
    ),
    Mutant(
        "a swap forgets what is under way",
        "state/memory.py",
        "        self._answers = {client:",
        "        self._inflight = Counter()\n        self._answers = {client:",
    ),
    Mutant(
        "what a channel was is kept when it is gone",
        "state/memory.py",
        "        self._latencies = {id_: known for id_, known in self._latencies.items() if kept(id_)}\n",
        "",
    ),
    Mutant(
        "what requests on old tables tell is never forgotten",
        "runtime/gateway.py",
        "        self.caching.retain(*tables)\n        self._retain(tables)\n",
        "",
    ),
    Mutant(
        "a call that others wait for is not forgotten at its end",
        "runtime/caching.py",
        "            if self._flights.get(key) is flight:\n                del self._flights[key]",
        "            pass",
    ),
    Mutant(
        "late joiners begin in the middle",
        "runtime/flight.py",
        "        reader = Reader()\n",
        "        reader = Reader(at=self._gone + len(self._pieces))\n",
    ),
    Mutant(
        "a call goes on when the last who waited has left",
        "runtime/flight.py",
        "                self.open = False\n                self.task.cancel()",
        "                self.open = False",
    ),
    Mutant(
        "room of answers under way is not given back",
        "runtime/flight.py",
        "        self._room.used -= self._kept\n        self._kept = 0",
        "        self._kept = 0",
    ),
    Mutant(
        "a failure that stands is tried again",
        "runtime/schedule.py",
        "        if failure not in self._failover.on or",
        "        if",
    ),
    Mutant(
        "a refused key is asked again at once",
        "runtime/schedule.py",
        "        if what.same_target:\n            self._again",
        "        if True:\n            self._again",
    ),
    Mutant(
        "a channel that was put off is asked again without leave",
        "runtime/failover.py",
        "        self._put_off.pop(name, None)",
        "        pass",
    ),
    Mutant(
        "who has left a queue keeps the place in it",
        "runtime/queueing.py",
        "            line.queue.leave(place, served=served)\n",
        "",
    ),
    Mutant(
        "with every target in trouble nobody is asked",
        "runtime/selecting.py",
        "        if usable:\n            return usable",
        "        if True:\n            return usable",
    ),
    Mutant(
        "an answer that broke off counts as good",
        "runtime/relay.py",
        'exchange.error_kind = "upstream_cut"',
        "exchange.error_kind = None",
    ),
    Mutant(
        "a breaker never lets a probe through",
        "state/breaker.py",
        'return "open" if now < self.open_until else "half_open"',
        'return "open"',
    ),
    Mutant(
        "affinity is ignored",
        "routing/select.py",
        "    if key is not None:\n        weighed",
        "    if False:\n        weighed",
    ),
)


def caught(mutant: Mutant, *, schedules: int) -> str | None:
    """How a mutant was caught; None if it was not. Raises ValueError where it does not fit the code or does not run."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "ccx", copy / "ccx", ignore=SKIPPED)
        (copy / "tests").symlink_to(ROOT / "tests")
        file = copy / "ccx" / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise ValueError(f"{mutant.file} has {text.count(mutant.old)} times the text of {mutant.what!r}")
        file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        command = [sys.executable, "-m", "tests.simulation", "--schedules", str(schedules), "--stop"]
        environ = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, timeout=1200, check=False)
    said = (done.stdout.splitlines() or done.stderr.splitlines()[-1:] or ["it ended with nothing to say"])[0]
    if done.returncode and not said.startswith("seed "):
        raise ValueError(f"{mutant.what!r} does not run: {said}")
    return said if done.returncode else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--schedules", type=int, default=400, help="how many each may survive")
    parser.add_argument("--only", default="", help="words in the name of a mutant")
    args = parser.parse_args()
    alive = 0
    for mutant in (one for one in MUTANTS if args.only in one.what):
        how = caught(mutant, schedules=args.schedules)
        alive += how is None
        print(
            f"{'ALIVE ' if how is None else 'caught'} {mutant.what}" + (f" -- {how[:110]}" if how else ""), flush=True
        )
    print(f"{alive} alive")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
