"""The goals, and how far what was measured is from them. A report; nothing fails for missing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Lookup = Callable[[str, str, str], float | None]
"""(cell, contender, figure) -> the median, None where it was not measured."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the budget: at most or at least so much."""

    name: str
    sense: Literal["<=", ">="]
    value: float
    unit: str
    measured: float | None

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.value if self.sense == "<=" else self.measured >= self.value

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        if self.met:
            return "met"
        if self.value == 0 or self.measured == 0:
            return f"missed by {abs(self.measured - self.value):g}"
        factor = self.measured / self.value if self.sense == "<=" else self.value / self.measured
        return f"missed by {factor:.2f}x"


def goals(figure: Lookup, special: Mapping[str, Any]) -> list[Goal]:
    """The budget beside the figures of a run."""

    def added(cell: str, name: str) -> float | None:
        ours, direct = figure(cell, "ccx-full", name), figure(cell, "direct", name)
        return None if ours is None or direct is None else round(ours - direct, 3)

    def of(run: str, *path: str) -> float | None:
        value: Any = special.get(run)
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) else None

    held = [
        each["held"]
        for each in special.get("ladder", {}).get("runs", [])
        if each["contender"].startswith("ccx") and each["pace_ms"] == 100
    ]
    return [
        Goal(
            "1 KB passthrough, full gateway, 64 connections",
            ">=",
            6000,
            "req/s",
            figure("1k-c64", "ccx-full", "per_second"),
        ),
        Goal("1 KB passthrough, full gateway, CPU", "<=", 0.16, "ms", figure("1k-c64", "ccx-full", "cpu_ms")),
        Goal("added p50, 1 connection", "<=", 0.3, "ms", added("1k-c1", "p50")),
        Goal("added p99, 1 connection", "<=", 1.0, "ms", added("1k-c1", "p99")),
        Goal("200 KB agent body, 16 connections", ">=", 1500, "req/s", figure("200k-c16", "ccx-full", "per_second")),
        Goal(
            "the same, token condition from a warm cache",
            ">=",
            1500,
            "req/s",
            figure("200k-tokens-c16", "ccx-tokens", "per_second"),
        ),
        Goal("Messages to Chat, 1 KB", ">=", 2500, "req/s", figure("convert-1k-c32", "ccx-convert", "per_second")),
        Goal(
            "Messages to Chat, 20 KB streamed, CPU",
            "<=",
            1.0,
            "ms",
            figure("convert-20k-stream-c32", "ccx-convert", "cpu_ms"),
        ),
        Goal("added time to first byte of a stream, 1 connection", "<=", 0.5, "ms", added("burst-c1", "first_p50")),
        Goal("concurrent paced streams without a stall (100 ms pace)", ">=", 1000, "streams", max(held, default=None)),
        Goal("event loop stall with a 1M-token body", "<=", 10, "ms", of("stall", "ccx-tokens", "longest_cold_ms")),
        Goal("swaps: added p99", "<=", 1.0, "ms", of("swap", "p99_added_ms")),
        Goal("swaps: failed requests", "<=", 0, "", of("swap", "failed")),
        Goal("swaps: mixed digests", "<=", 0, "", of("swap", "mixed_digests")),
        Goal("file saved to new table active, 500 routes", "<=", 250, "ms", of("reload", "500", "ms")),
        Goal("read, validate and compile 1,000 routes", "<=", 1000, "ms", of("compile", "total_ms")),
        Goal("plan of 1,000 routes", "<=", 5000, "ms", of("plan", "ms")),
        Goal("idle memory, per worker", "<=", 80, "MiB", of("idle", "ccx-full", "idle_rss_mib")),
        Goal("start to first answer", "<=", 1000, "ms", of("startup", "ccx-full", "ms")),
    ]
