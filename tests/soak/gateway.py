"""`ccx serve`, which tells on SIGUSR2 what it keeps by name: `python -m tests.soak.gateway FILE serve …`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ccx.cli.main import main
from ccx.runtime import probing
from ccx.runtime.gateway import Gateway
from ccx.state.meters import MemoryMeters
from ccx.state.responses import MemoryResponses


def kept(gateway: Gateway) -> dict[str, Any]:
    """Names of all that is kept by name, and sizes of what is not."""
    state, health, caching = gateway.state, gateway.health, gateway.caching
    meters = gateway.meters
    names = {
        "latencies": [id_.partition("/")[0] for id_ in state._latencies],
        "cached shares": list(state._cached),
        "answer lengths": list(state._answers),
        "requests under way": [id_.partition("/")[0] for id_ in state._inflight],
        "turns": [id_.partition("#")[0].partition("/")[0] for id_ in state._turns],
        "smooth turns": [id_.partition("#")[0].partition("/")[0] for id_, _ in state._smooth],
        "breakers": [target.channel for target in health._breakers],
        "cooling": [channel for channel, _ in health._cooling],
        "overrides": list(health._overrides),
        "ill": list(health._ill),
        "transitions": [channel for channel, _ in health.transitions],
        "retries": [name.partition("#")[0] for name in gateway.retries._windows],
        "cache tallies": list(caching.tallies),
        "cache entries": list(getattr(caching.answers, "_entries", ())),  # of the one in memory
    }
    sizes = {
        "in_flight": gateway.in_flight,
        "flights": caching.under_way,
        "tasks": len(asyncio.all_tasks()),
        "draining engines": len(gateway._closing),
        "levels": len(meters) if isinstance(meters, MemoryMeters) else 0,
        "treatments": len(caching._treatments._kept),
        "held": sum(
            level.used
            for id_, level in getattr(meters, "_levels", {}).items()
            if id_.endswith("/concurrency") and level.used
        ),
    }
    return {"names": {what: sorted(set(found)) for what, found in names.items()}, "sizes": sizes}


def watched(file: Path) -> None:
    """Have every gateway of this process told of, to the file, when asked for."""
    made: list[Gateway] = []
    plain = Gateway.__init__

    def noted(self: Gateway, live: Any) -> None:
        plain(self, live)
        # So small that it is full before the warm-up is over: what is bounded must be seen not to grow.
        self.responses = MemoryResponses(entries=1000, size=4 * 2**20)
        made.append(self)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR2, told)

    def told() -> None:
        found = kept(made[-1])
        if os.environ.get("SOAK_CENSUS"):
            gc.collect()
            found["census"] = Counter(type(one).__qualname__ for one in gc.get_objects())
        new = file.with_suffix(".new")
        new.write_text(json.dumps(found))
        os.replace(new, file)

    probing.SWEEP = 2.0  # type: ignore[misc]  # what ends is looked for after the load's end, and not half a minute later
    Gateway.__init__ = noted  # type: ignore[method-assign]  # to have a hold of it


if __name__ == "__main__":
    watched(Path(sys.argv[1]))
    sys.argv = ["ccx", *sys.argv[2:]]
    main()
