"""`python -m tests.bench`: ours beside the references, in one run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.bench import footprints, ladder, machine, stall, swap
from tests.bench.cells import CELLS, QUICK, Bodies, Cell, Result, Sample, measure, summarise
from tests.bench.contenders import EXTRA, REFERENCES, Contender, Extras, Yard, missing
from tests.bench.processes import Fleet, StartError, more_descriptors
from tests.bench.report import Report

SPECIAL = ("ladder", "swap", "stall", "reload", "startup", "idle", "compile", "plan")
OURS = "ccx"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    found.add_argument(
        "--only", metavar="CELL,…", help="these cells and special runs; `cells` and `special` mean all of them"
    )
    found.add_argument("--list", action="store_true", help="name the cells and special runs, and stop")
    found.add_argument(
        "--quick", action="store_true", help="a minute's worth: fewer cells, two rounds of 1 s, short special runs"
    )
    found.add_argument("--rounds", type=int, help="rounds, interleaved by gateway (3; quick 2)")
    found.add_argument("--secs", type=float, help="seconds of each window (2; quick 1)")
    found.add_argument("--gateways", metavar="NAME,…", help="only these: direct, nginx, ccx-full, ccx-plain, …")
    found.add_argument("--swaps", type=int, help="swaps of the swap run (1000; quick 50)")
    found.add_argument("--swap-every", type=float, default=0.1, metavar="S", help="seconds between swaps (0.1)")
    found.add_argument("--rate", type=float, default=500, help="requests per second of the swap and stall runs (500)")
    found.add_argument(
        "--nice", type=int, default=0, metavar="N", help="priority of all processes (0; -10 on a busy machine)"
    )
    found.add_argument("--litellm", type=Path, metavar="VENV", help="virtual environment that holds litellm[proxy]")
    found.add_argument("--portkey", type=Path, metavar="FOLDER", help="npm project that holds @portkey-ai/gateway")
    found.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    found.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here, as Markdown")
    found.add_argument("--keep", type=Path, metavar="FOLDER", help="work in this folder and leave specs and logs there")
    return found


class Run:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, fleet: Fleet, wanted: tuple[list[str], list[str]]) -> None:
        self.options = options
        self.cells, self.special_runs = wanted
        self.rounds: int = options.rounds or (2 if options.quick else 3)
        self.seconds: float = options.secs or (1 if options.quick else 2)
        self.cores = machine.Cores.of_this_machine()
        self.yard = Yard(fleet, self.cores, Extras(options.litellm, options.portkey))
        self.files = Bodies(fleet.folder)
        self.skipped: list[str] = missing()
        self.samples: dict[tuple[str, str], list[Sample]] = {}
        self.special: dict[str, Any] = {}
        self._running: dict[str, Contender] = {}
        self._refused: set[str] = set()
        self._began = time.monotonic()

    def wants(self, name: str) -> bool:
        """Whether a contender takes part."""
        if self.options.gateways:
            return name in self.options.gateways.split(",")
        return name not in EXTRA or getattr(self.options, name) is not None

    def contender(self, name: str) -> Contender | None:
        """A running contender; None, with the reason noted once, where it does not run."""
        if name in self._refused or not self.wants(name):
            return None
        found = self._running.get(name)
        if found is None:
            try:
                found = self._running[name] = self.yard.start(name)
            except (StartError, OSError) as error:
                self._refused.add(name)
                self.skip(name, error)
        return found

    def skip(self, what: str, error: BaseException) -> None:
        """Note what was left out, and why."""
        self.skipped.append(f"{what}: {' | '.join(str(error).splitlines())[:400]}")
        say(f"  {what} left out: {self.skipped[-1][:160]}")

    def run_cells(self) -> None:
        """All cells on all contenders, round by round."""
        lacking = any(line.startswith("wrk") for line in self.skipped)
        cells = [CELLS[name] for name in self.cells if not (lacking and CELLS[name].tool == "wrk")]
        for number in range(self.rounds):
            for cell in cells:
                names = cell.contenders if number % 2 == 0 else cell.contenders[::-1]
                for name in names:
                    contender = self.contender(name)
                    if contender is not None:
                        self._measure(cell, contender, first=number == 0, number=number)

    def _measure(self, cell: Cell, contender: Contender, *, first: bool, number: int) -> None:
        # A slow reference needs a window in which each connection is answered more than once.
        seconds = max(self.seconds, 6.0) if contender.name in EXTRA and cell.size > 100_000 else self.seconds
        if cell.pace:
            seconds = max(seconds, 1.2)
        try:
            if first and contender.name not in REFERENCES:
                # Imports, caches and connections of the first moments are not what is measured.
                measure(self.yard, contender, cell, files=self.files, seconds=0.3 if cell.stream else 1)
            sample = measure(self.yard, contender, cell, files=self.files, seconds=seconds)
        except StartError as error:
            self.skip(f"{cell.name} on {contender.name}", error)
            return
        self.samples.setdefault((cell.name, contender.name), []).append(sample)
        cpu = "" if sample.cpu_ms is None else f"  CPU {sample.cpu_ms:.3f} ms"
        trouble = f"  FAILED {sample.failed} {sample.complaints}" if sample.failed else ""
        figures = f"{sample.per_second:10,.0f}/s  p50 {sample.p50:8.3f}  p99 {sample.p99:8.3f}"
        say(f"  {number + 1}  {cell.name:24}{contender.name:12}{figures}{cpu}{trouble}")

    def stop_contenders(self) -> None:
        """End those that the cells used."""
        for contender in self._running.values():
            self.yard.stop(contender)
        self._running.clear()

    def run_special(self) -> None:
        """The runs that are not a matter of requests per second."""
        runs: dict[str, Callable[[], Any]] = {
            "ladder": self._ladder,
            "swap": self._swap,
            "stall": self._stall,
            "reload": self._reload,
            "startup": lambda: self._each(("ccx-full", *EXTRA), "startup"),
            "idle": lambda: self._each(("ccx-plain", "ccx-full", "ccx-tokens", *EXTRA), "idle"),
            "compile": lambda: footprints.compile_routes(
                self.yard, routes=1000, repeats=1 if self.options.quick else 3
            ),
            "plan": lambda: footprints.plan_routes(self.yard, routes=1000),
        }
        for name in self.special_runs:
            say(f"{name} …")
            if name != "ladder":
                # The others start processes of their own, and nothing else shall run beside them.
                self.stop_contenders()
            try:
                self.special[name] = runs[name]()
            except (StartError, OSError, KeyError, ValueError) as error:
                self.skip(name, error)

    def _each(self, names: Iterable[str], kind: str) -> dict[str, Any]:
        found = {}
        for name in names:
            if not self.wants(name):
                continue
            try:
                if kind == "startup":
                    repeats = 1 if name in EXTRA else 2 if self.options.quick else 5
                    found[name] = footprints.startup(self.yard, name, files=self.files, repeats=repeats)
                else:
                    found[name] = footprints.memory(self.yard, name, files=self.files)
            except (StartError, OSError) as error:
                self.skip(f"{kind} of {name}", error)
        return found

    def _ladder(self) -> dict[str, Any]:
        runs = []
        for pace in (100,) if self.options.quick else (100, 20):
            # The upstream itself shows how far the harness reaches, at the quicker pace.
            for name in (*(("direct",) if pace == 20 else ()), "nginx", "ccx-full", *EXTRA):
                contender = self.contender(name)
                if contender is None:
                    continue
                found = ladder.climb(self.yard, contender, files=self.files, pace_ms=pace)
                say(f"  {name}: {found['held']} streams at {pace} ms")
                runs.append(found)
        return {"runs": runs}

    def _swap(self) -> dict[str, Any]:
        swaps = self.options.swaps or (50 if self.options.quick else 1000)
        quiet = 3.0 if self.options.quick else 10.0
        every, rate = self.options.swap_every, self.options.rate
        return swap.swap(self.yard, files=self.files, swaps=swaps, every=every, rate=rate, quiet=quiet)

    def _stall(self) -> dict[str, Any]:
        found = {}
        for name in ("nginx", "ccx-tokens"):
            contender = self.contender(name)
            if contender is None:
                continue
            found[name] = stall.stall(
                self.yard,
                contender,
                files=self.files,
                size=4_500_000,
                repeats=2 if self.options.quick else 4,
                rate=self.options.rate,
            )
        self.stop_contenders()
        return found

    def _reload(self) -> dict[str, Any]:
        repeats = 3 if self.options.quick else 7
        return {str(count): footprints.reload(self.yard, routes=count, repeats=repeats) for count in (10, 500)}

    def report(self) -> Report:
        """What was found, as far as the run came."""
        results: list[Result] = []
        for cell in CELLS.values():
            for name in cell.contenders:
                samples = self.samples.get((cell.name, name))
                if samples:
                    results.append(summarise(cell.name, name, samples))
        about = {
            "machine": machine.describe(),
            "pinning": str(self.cores),
            "nice": self.options.nice,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "took_s": round(time.monotonic() - self._began, 1),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "skipped": self.skipped,
        }
        return Report(results, self.special, about)


def choose(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Cells and special runs to do. Raises SystemExit for a name that is neither."""
    if options.only is None:
        special = ("swap", "stall", "startup", "idle", "compile") if options.quick else SPECIAL
        return list(QUICK if options.quick else CELLS), list(special)
    cells: list[str] = []
    special_runs: list[str] = []
    for name in options.only.split(","):
        if name == "cells":
            cells += CELLS
        elif name == "special":
            special_runs += SPECIAL
        elif name in CELLS:
            cells.append(name)
        elif name in SPECIAL:
            special_runs.append(name)
        else:
            raise SystemExit(f"no such cell or run: {name!r}; there are {', '.join([*CELLS, *SPECIAL])}")
    return cells, special_runs


def say(line: str) -> None:
    """Progress, beside the report."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run; 130 after Ctrl-C, with what was measured until then."""
    options = parser().parse_args(arguments)
    if options.list:
        print("\n".join([*(f"{cell.name:24}{cell.title}" for cell in CELLS.values()), *SPECIAL]))
        return 0
    wanted = choose(options)
    more_descriptors()
    os.nice(options.nice)
    # A stop from outside cleans up as Ctrl-C does, also where a shell started this with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = 0
    with tempfile.TemporaryDirectory(prefix="ccx-bench-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with Fleet(folder.absolute()) as fleet:
            run = Run(options, fleet, wanted)
            say(f"{run.cores}; {run.rounds} rounds of {run.seconds:g} s")
            try:
                run.run_cells()
                run.run_special()
            except KeyboardInterrupt:
                say("interrupted: reporting what there is")
                code = 130
            report = run.report()
    print(report.render(markdown=False))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(report.render(markdown=True))
    return code


if __name__ == "__main__":
    sys.exit(main())
