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
    nginx: float | None = None
    """The floor's figure in the same run, where it has one."""

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

    def rate(name: str, cell: str, value: float, *, ours: str = "ccx-full") -> Goal:
        return Goal(name, ">=", value, "req/s", figure(cell, ours, "per_second"), figure(cell, "nginx", "per_second"))

    def cpu(name: str, cell: str, value: float, *, ours: str = "ccx-full") -> Goal:
        return Goal(name, "<=", value, "ms", figure(cell, ours, "cpu_ms"), figure(cell, "nginx", "cpu_ms"))

    def added(name: str, cell: str, value: float, *, what: str) -> Goal:
        direct = figure(cell, "direct", what)
        through = (figure(cell, gateway, what) for gateway in ("ccx-full", "nginx"))
        more = [None if direct is None or each is None else round(each - direct, 3) for each in through]
        return Goal(name, "<=", value, "ms", *more)

    def of(*path: str) -> float | None:
        value: Any = special
        for step in path:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value if isinstance(value, int | float) else None

    def held(gateway: str) -> float | None:
        runs = special.get("ladder", {}).get("runs", [])
        return next((run["held"] for run in runs if run["contender"] == gateway and run["pace_ms"] == 100), None)

    ours, floor = held("ccx-full"), held("nginx")
    pings = of("stall", "nginx", "longest_ms")
    return [
        rate("1 KB passthrough, full gateway, 64 connections", "1k-c64", 6000),
        cpu("1 KB passthrough, full gateway, CPU", "1k-c64", 0.16),
        added("added p50, 1 connection", "1k-c1", 0.3, what="p50"),
        added("added p99, 1 connection", "1k-c1", 1.0, what="p99"),
        rate("200 KB agent body, 16 connections", "200k-c16", 1500),
        rate("the same, token condition from a warm cache", "200k-tokens-c16", 1500, ours="ccx-tokens"),
        rate("Messages to Chat, 1 KB", "convert-1k-c32", 2500, ours="ccx-convert"),
        cpu("Messages to Chat, 20 KB streamed, CPU", "convert-20k-stream-c32", 1.0, ours="ccx-convert"),
        added("added time to first byte of a stream, 1 connection", "burst-c1", 0.5, what="first_p50"),
        Goal("concurrent paced streams without a stall (100 ms pace)", ">=", 1000, "streams", ours, floor),
        Goal(
            "stall with a 1M-token body, longest ping", "<=", 10, "ms", of("stall", "ccx-tokens", "longest_ms"), pings
        ),
        Goal("swaps: added p99", "<=", 1.0, "ms", of("swap", "p99_added_ms")),
        Goal("swaps: failed requests", "<=", 0, "", of("swap", "failed")),
        Goal("swaps: mixed digests", "<=", 0, "", of("swap", "mixed_digests")),
        Goal("file saved to new table active, 500 routes", "<=", 250, "ms", of("reload", "500", "ms")),
        Goal("read, validate and compile 1,000 routes", "<=", 1000, "ms", of("compile", "total_ms")),
        Goal("plan of 1,000 routes", "<=", 5000, "ms", of("plan", "ms")),
        Goal("idle memory, per worker", "<=", 80, "MiB", of("idle", "ccx-full", "idle_rss_mib")),
        Goal("start to first answer", "<=", 1000, "ms", of("startup", "ccx-full", "ms")),
    ]
