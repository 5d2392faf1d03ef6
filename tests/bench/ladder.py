"""How many paced streams at once come without a stall: no frame later than ten times its pace, every stream whole."""

from __future__ import annotations

from typing import Any

from tests.bench.cells import Bodies, client
from tests.bench.contenders import Contender, Yard

STEPS = (64, 128, 256, 512, 1024, 2048)


def climb(yard: Yard, contender: Contender, *, files: Bodies, pace_ms: int, seconds: float) -> dict[str, Any]:
    """Double the number of streams until a step fails twice. Each connection asks for one stream after the other."""
    body = files.path(f"paced-{pace_ms}", 1024)
    held, steps = 0, []
    for streams in STEPS:
        for attempt in (1, 2):
            cpu = contender.cpu()
            said = client(
                yard,
                contender,
                kind="streams",
                body=body,
                connections=streams,
                seconds=seconds,
                pace=pace_ms / 1000,
                rounds=max(1, round(seconds * 1000 / (50 * pace_ms))),
                timeout=seconds + 150,
            )
            good = not said["failed"] and not said["stalled"]
            steps.append(
                {
                    "streams": streams,
                    "attempt": attempt,
                    "stalled": said["stalled"],
                    "failed": said["failed"],
                    "complaints": said["complaints"],
                    "longest_gap_ms": said["longest_gap"]["max"],
                    "gap_p50_ms": said["longest_gap"]["p50"],
                    "first_p99_ms": said["delta"]["p99"],
                    "utilisation": round((contender.cpu() - cpu) / said["seconds"], 3),
                },
            )
            if good:
                held = streams
                break
        if held != streams:
            break
    return {"contender": contender.name, "pace_ms": pace_ms, "held": held, "steps": steps}
