"""What a run found, as tables for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.budget import Goal, goals
from tests.bench.cells import CELLS, DISTURBED, Result

Table = list[Sequence[str]]


def text_table(rows: Table) -> str:
    """Columns padded; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        # Names to the left, figures to the right.
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * width for width in widths), *map(line, rows[1:])])


def markdown_table(rows: Table) -> str:
    """The same for a document."""
    head, *rest = rows
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rest)])


def number(value: float | None) -> str:
    """Three figures that mean something."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 1 else f"{value:.3f}"


class Report:
    """All figures of one run."""

    def __init__(self, results: Sequence[Result], special: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        self.results = results
        self.special = special
        self.about = about
        self._by = {(result.cell, result.contender): result for result in results}

    def figure(self, cell: str, contender: str, name: str) -> float | None:
        """One median; None where it was not measured."""
        result = self._by.get((cell, contender))
        return result.figures.get(name) if result is not None else None

    def goals(self) -> list[Goal]:
        """The budget beside the figures."""
        return goals(self.figure, self.special)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        shown = [{**asdict(goal), "met": goal.met, "verdict": goal.verdict} for goal in self.goals()]
        return {
            "about": self.about,
            "cells": [asdict(r) for r in self.results],
            "special": self.special,
            "budget": shown,
        }

    def tables(self) -> list[tuple[str, Table]]:
        """Titles and rows."""
        return [
            each for each in (self._closed(), self._streams(), *self._specials(), self._budget()) if len(each[1]) > 1
        ]

    def render(self, *, markdown: bool) -> str:
        """The whole report."""
        head = [f"{name}: {value}" for name, value in self.about.items() if name != "skipped"]
        head += [f"left out: {line}" for line in self.about.get("skipped", ())]
        parts = ["\n".join(f"- {line}" for line in head) if markdown else "\n".join(head)]
        for title, rows in self.tables():
            parts.append(f"### {title}\n\n{markdown_table(rows)}" if markdown else f"{title}\n\n{text_table(rows)}")
        parts += self._warnings()
        return "\n\n".join(parts) + "\n"

    def _warnings(self) -> list[str]:
        lines = []
        for result in self.results:
            if result.failed:
                lines.append(
                    f"{result.cell} {result.contender}: {result.failed} failed: {'; '.join(result.complaints)}"
                )
            if result.disturbed:
                said = f"{result.disturbed} of {result.rounds} rounds had other jobs on the machine"
                lines.append(f"{result.cell} {result.contender}: {said} (more than {DISTURBED:.0%} of a core)")
        return ["Notes\n\n" + "\n".join(lines)] if lines else []

    def _ratio(self, result: Result, reference: str, name: str) -> str:
        theirs, ours = self.figure(result.cell, reference, name), result.figures.get(name)
        return "-" if not theirs or not ours else f"{ours / theirs:.2f}"

    def _added(self, result: Result, name: str) -> str:
        direct, ours = self.figure(result.cell, "direct", name), result.figures.get(name)
        return "-" if direct is None or ours is None or result.contender == "direct" else number(ours - direct)

    def _closed(self) -> tuple[str, Table]:
        rows: Table = [
            (
                "cell",
                "gateway",
                "req/s",
                "of direct",
                "of nginx",
                "CPU ms",
                "p50 ms",
                "p99 ms",
                "+p50",
                "+p99",
                "core",
                "failed",
            ),
        ]
        for result in self.results:
            if CELLS[result.cell].stream:
                continue
            f = result.figures
            rows.append(
                (
                    CELLS[result.cell].title,
                    result.contender,
                    number(f["per_second"]),
                    self._ratio(result, "direct", "per_second"),
                    self._ratio(result, "nginx", "per_second"),
                    number(f["cpu_ms"]),
                    number(f["p50"]),
                    number(f["p99"]),
                    self._added(result, "p50"),
                    self._added(result, "p99"),
                    f"{f['utilisation'] or 0:.0%}",
                    str(result.failed),
                ),
            )
        return "Closed loop (answers of about 1 KB; + is over direct; core: use of the gateway's core)", rows

    def _streams(self) -> tuple[str, Table]:
        rows: Table = [
            (
                "cell",
                "gateway",
                "streams/s",
                "CPU ms",
                "first p50",
                "first p99",
                "+first p50",
                "+first p99",
                "total p50",
                "stalled",
                "failed",
            ),
        ]
        for result in self.results:
            if not CELLS[result.cell].stream:
                continue
            f = result.figures
            rows.append(
                (
                    CELLS[result.cell].title,
                    result.contender,
                    number(f["per_second"]),
                    number(f["cpu_ms"]),
                    number(f["first_p50"]),
                    number(f["first_p99"]),
                    self._added(result, "first_p50"),
                    self._added(result, "first_p99"),
                    number(f["p50"]),
                    str(result.stalled),
                    str(result.failed),
                ),
            )
        return "Streams (milliseconds; first: to the first delta)", rows

    def _specials(self) -> list[tuple[str, Table]]:
        tables: list[tuple[str, Table]] = []
        ladder = self.special.get("ladder", {}).get("runs", [])
        if ladder:
            rows: Table = [
                (
                    "gateway",
                    "pace",
                    "held",
                    "use of core, longest gap at the last step that held",
                    "at the first that did not",
                )
            ]
            for run in ladder:
                good = [step for step in run["steps"] if step["held"]][-1:]
                bad = [step for step in run["steps"] if not step["held"]][-1:]
                bad = bad if bad and bad[0]["streams"] > run["held"] else []
                at, beyond = (
                    f"{step[0]['utilisation']:.0%}, {step[0]['longest_gap_ms']:.0f} ms" if step else "-"
                    for step in (good, bad)
                )
                more = ""
                if bad:
                    step = bad[0]
                    slow = ", slow" if step["slow"] else ""
                    more = f" ({step['streams']}: {step['stalled']} stalled, {step['failed']} failed{slow})"
                rows.append((run["contender"], f"{run['pace_ms']} ms", str(run["held"]), at, beyond + more))
            tables.append(("Concurrent paced streams without a stall", rows))
        for name, title in (
            ("swap", "Swaps under load"),
            ("stall", "A 1M-token body beside small requests"),
            ("reload", "File saved to new table active"),
            ("startup", "Start to first answer"),
            ("idle", "Memory of a worker"),
            ("compile", "Read, validate and compile"),
            ("plan", "Plan"),
        ):
            found = self.special.get(name)
            if not found:
                continue
            nested = {key: value for key, value in found.items() if isinstance(value, Mapping)} or {"": found}
            rows = [("of", "figure", "value")]
            for key, values in nested.items():
                rows += [
                    (
                        key or name,
                        figure.replace("_", " "),
                        number(value) if isinstance(value, int | float) else str(value),
                    )
                    for figure, value in values.items()
                    if figure not in ("over_time", "contender")
                ]
            tables.append((title, rows))
        return tables

    def _budget(self) -> tuple[str, Table]:
        rows: Table = [("goal", "verdict", "wanted", "measured", "nginx")]
        for goal in self.goals():
            wanted = f"{goal.sense} {goal.value:g} {goal.unit}".strip()
            rows.append(
                (goal.name, goal.verdict, wanted, f"{number(goal.measured)} {goal.unit}".strip(), number(goal.nginx))
            )
        return "Budget (reported, never asserted)", rows
