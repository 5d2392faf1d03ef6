"""What a very large body does to everybody else: small requests at a steady rate while it is admitted and counted."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.bench import bodies
from tests.bench.cells import Bodies, client
from tests.bench.contenders import Contender, Yard
from tests.bench.waiting import gauge

_SETTLE = 0.6


def stall(yard: Yard, contender: Contender, *, files: Bodies, size: int, repeats: int, rate: float) -> dict[str, Any]:
    """Send `repeats` bodies of `size` bytes, each twice: first unknown, then known. Pings tell the longest wait.

    The very first is told apart: it may have to load a vocabulary too.

    A ping is due every 1/`rate` seconds, so a stall may be that much longer than the longest ping.
    """
    seconds = 2.0 + repeats * 2 * _SETTLE + repeats * 1.5
    pings: list[dict[str, Any]] = []
    small = files.path("json", 1024)

    def ping() -> None:
        said = client(
            yard, contender, kind="pings", body=small, connections=4, seconds=seconds, rate=rate, timeout=seconds + 60
        )
        pings.append(said)

    large = []
    for number in range(repeats):
        path = files.path("json", 1024).with_name(f"body-large-{contender.name}-{number}.json")
        # Another seed each time: blocks that were counted once would be in the cache.
        path.write_bytes(bodies.agent("claude-bench-json", size, seed=f"large-{contender.name}-{number}"))
        large.append(path)
    bodies.agent.cache_clear()
    thread = threading.Thread(target=ping, daemon=True)
    thread.start()
    time.sleep(1.5)
    windows: list[tuple[str, float, float, float]] = []
    lags: list[float] = []
    for path in large:
        for state in ("first" if path is large[0] else "cold", "warm"):
            began = time.time()
            said = client(yard, contender, kind="once", body=path, rounds=1, timeout=90)
            windows.append((state, began, time.time(), said["ms"][0] if not said["failed"] else -1.0))
            lag = gauge(contender, "ccx_event_loop_lag_seconds") if contender.name.startswith("ccx") else None
            if lag is not None:
                lags.append(round(lag * 1000, 2))
            time.sleep(_SETTLE)
    thread.join(seconds + 60)
    if not pings:
        return {"contender": contender.name, "failed": -1, "complaints": ["the pings did not end"]}
    worst = pings[0]["worst"]

    def longest(state: str) -> float:
        spans = [(begin, end) for kind, begin, end, _ in windows if kind == state]
        return max((ms for at, ms in worst if any(begin - 0.05 <= at <= end for begin, end in spans)), default=0.0)

    return {
        "contender": contender.name,
        "body_bytes": size,
        "pings": pings[0]["n"],
        "failed": pings[0]["failed"] + sum(1 for *_, ms in windows if ms < 0),
        "complaints": pings[0]["complaints"],
        "ping_p50_ms": pings[0]["latency"]["p50"],
        "ping_p99_ms": pings[0]["latency"]["p99"],
        "longest_ms": max(longest(state) for state in ("first", "cold", "warm")),
        "longest_first_ms": longest("first"),
        "longest_cold_ms": longest("cold"),
        "longest_warm_ms": longest("warm"),
        "resolution_ms": round(1000 / rate, 2),
        "large_cold_ms": [ms for state, _, _, ms in windows if state != "warm"],
        "large_warm_ms": [ms for state, _, _, ms in windows if state == "warm"],
        "loop_lag_ms": lags,
    }
