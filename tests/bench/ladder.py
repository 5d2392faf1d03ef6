"""How many paced streams at once come without a stall: no frame later than ten times its pace, every stream whole.

A step also has to take place: where streams take much longer than their pace says, upstream or client were not able to
keep so many going, and the step says nothing about the gateway. The same ladder on the upstream itself shows how far
the harness reaches.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.cells import Bodies, client
from tests.bench.contenders import Contender, Yard
from tests.bench.processes import StartError

UP = (256, 512, 1024, 2048)
DOWN = (128, 64)
SECONDS = 3.0
_SLOW = 1.15


def climb(yard: Yard, contender: Contender, *, files: Bodies, pace_ms: int) -> dict[str, Any]:
    """Double the number of streams, each three seconds long, until a step fails twice."""
    events = round(SECONDS * 1000 / pace_ms)
    body = files.path(f"paced-{pace_ms}-{events}", 1024)
    steps: list[dict[str, Any]] = []

    def holds(streams: int) -> bool:
        return any(_step(yard, contender, steps, body=body, streams=streams, pace_ms=pace_ms) for _ in range(2))

    held = 0
    for streams in UP:
        if not holds(streams):
            break
        held = streams
    if not held:
        held = next((streams for streams in DOWN if holds(streams)), 0)
    return {"contender": contender.name, "pace_ms": pace_ms, "held": held, "steps": steps}


def _step(
    yard: Yard,
    contender: Contender,
    steps: list[dict[str, Any]],
    *,
    body: Path,
    streams: int,
    pace_ms: int,
) -> bool:
    """So many streams at once; what came of it is added to `steps`. Whether it held."""
    cpu = contender.cpu()
    try:
        said = _ask(yard, contender, body=body, streams=streams, pace_ms=pace_ms)
    except StartError as error:
        nothing = {"stalled": 0, "slow": False, "lasted_p50_ms": None, "longest_gap_ms": 0.0, "utilisation": 0.0}
        steps.append({"streams": streams, "held": False, "failed": streams, "complaints": [str(error)], **nothing})
        return False
    slow = said["lasted"]["p50"] / 1000 > SECONDS * _SLOW
    good = not said["failed"] and not said["stalled"] and not slow
    steps.append(
        {
            "streams": streams,
            "held": good,
            "stalled": said["stalled"],
            "slow": slow,
            "failed": said["failed"],
            "complaints": said["complaints"],
            "lasted_p50_ms": said["lasted"]["p50"],
            "longest_gap_ms": said["longest_gap"]["max"],
            "gap_p50_ms": said["longest_gap"]["p50"],
            "first_p99_ms": said["delta"]["p99"],
            "utilisation": round((contender.cpu() - cpu) / said["seconds"], 3),
        },
    )
    return good


def _ask(yard: Yard, contender: Contender, *, body: Path, streams: int, pace_ms: int) -> dict[str, Any]:
    return client(
        yard,
        contender,
        kind="streams",
        body=body,
        connections=streams,
        seconds=SECONDS + 5,
        pace=pace_ms / 1000,
        rounds=1,
        timeout=SECONDS + 150,
    )
