"""The cells: one kind of load each, measured on every contender in every round.

Closed-loop cells are driven by wrk, streams by our own client. CPU per request is that of the gateway's processes over
the window, by the kernel's clock; it is the steadiest figure. `foreign` is CPU used by anything that is not ours in the
window: a round with much of it is marked, and left out of the median where a quiet one exists.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.bench import bodies
from tests.bench.contenders import GUARDED, ROOT, Contender, Yard
from tests.bench.machine import cpu_seconds, machine_load
from tests.bench.processes import StartError

_SCRIPT = Path(__file__).with_name("post.lua")
DISTURBED = 0.15
BASIC = ("direct", "nginx", "ccx-full", "litellm", "portkey")


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind of load, on the contenders named."""

    name: str
    tool: Literal["wrk", "streams"]
    kind: str
    size: int
    connections: int
    contenders: tuple[str, ...] = BASIC
    pace: float = 0.0
    title: str = ""

    @property
    def stream(self) -> bool:
        return self.tool == "streams"


CELLS: Mapping[str, Cell] = {
    cell.name: cell
    for cell in (
        Cell("1k-c1", "wrk", "json", 1024, 1, title="1 KB, 1 connection"),
        Cell("1k-c32", "wrk", "json", 1024, 32, title="1 KB, 32 connections"),
        Cell("1k-c64", "wrk", "json", 1024, 64, (*BASIC[:3], "ccx-plain", *BASIC[3:]), title="1 KB, 64 connections"),
        Cell("20k-c32", "wrk", "json", 20_000, 32, title="20 KB, 32 connections"),
        Cell("200k-c1", "wrk", "json", 200_000, 1, title="200 KB agent body, 1 connection"),
        Cell(
            "200k-c16",
            "wrk",
            "json",
            200_000,
            16,
            (*BASIC[:3], "ccx-plain", *BASIC[3:]),
            title="200 KB agent body, 16 connections",
        ),
        Cell("200k-c32", "wrk", "json", 200_000, 32, title="200 KB agent body, 32 connections"),
        Cell(
            "200k-tokens-c16",
            "wrk",
            "json",
            200_000,
            16,
            ("nginx", "ccx-tokens"),
            title="200 KB, token condition, warm cache",
        ),
        Cell("burst-c1", "streams", "burst", 1024, 1, title="stream of 50, burst, 1 connection"),
        Cell("burst-c32", "streams", "burst", 1024, 32, title="stream of 50, burst, 32 connections"),
        Cell("paced-c1", "streams", "paced-20", 1024, 1, pace=0.02, title="stream of 50 every 20 ms, 1 connection"),
        Cell("paced-c32", "streams", "paced-20", 1024, 32, pace=0.02, title="stream of 50 every 20 ms, 32 connections"),
        Cell("cache-1k-c32", "wrk", "json", 1024, 32, ("ccx-plain", "ccx-cache"), title="1 KB, kept answers"),
        Cell("cache-200k-c16", "wrk", "json", 200_000, 16, ("ccx-plain", "ccx-cache"), title="200 KB, kept answers"),
        Cell("cache-burst-c32", "streams", "burst", 1024, 32, ("ccx-plain", "ccx-cache"), title="kept stream of 50"),
        Cell("guards-1k-c1", "wrk", "json", 1024, 1, GUARDED, title="limits and breakers, 1 connection"),
        Cell("guards-1k-c32", "wrk", "json", 1024, 32, GUARDED, title="limits and breakers, 32 connections"),
        Cell("convert-1k-c32", "wrk", "json", 1024, 32, ("ccx-convert",), title="Messages to Chat, 1 KB"),
        Cell(
            "convert-20k-stream-c32",
            "streams",
            "burst",
            20_000,
            32,
            ("ccx-convert",),
            title="Messages to Chat, 20 KB, stream of 50",
        ),
    )
}
QUICK = ("1k-c1", "1k-c64", "200k-c16", "200k-tokens-c16", "burst-c1", "paced-c32")


@dataclass(slots=True)
class Sample:
    """One cell on one contender in one round. Times in milliseconds."""

    requests: int
    seconds: float
    failed: int
    cpu_ms: float | None
    utilisation: float
    load_utilisation: float
    foreign: float
    stolen: float
    p50: float
    p90: float
    p99: float
    first_p50: float | None = None
    first_p99: float | None = None
    stalled: int = 0
    complaints: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


class Bodies:
    """Request bodies as files, each written once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, kind: str, size: int) -> Path:
        model, stream = f"claude-bench-{kind}", not kind.startswith(("json", "wait"))
        path = self._folder / f"body-{kind}-{size}.json"
        if not path.exists():
            small = size < 4096
            path.write_bytes(
                bodies.small(model, stream=stream, size=size) if small else bodies.agent(model, size, stream=stream)
            )
        return path


def client(yard: Yard, contender: Contender, *, kind: str, body: Path, timeout: float, **job: Any) -> dict[str, Any]:
    """Run our own client against a contender. Raises StartError, also when not one request succeeded: that has no
    latency, and none must be taken for a good one."""
    said = {
        "kind": kind,
        "port": contender.port,
        "path": "/v1/messages",
        "body": str(body),
        "headers": contender.headers,
    }
    command = [sys.executable, "-m", "tests.bench.client", json.dumps({**said, **job})]
    out = yard.fleet.run(command, core=yard.cores.load, timeout=timeout, environ={"PYTHONPATH": str(ROOT)})
    found: dict[str, Any] = json.loads(out)
    if found["n"] and found["failed"] >= found["n"]:
        raise StartError(f"all {found['n']} requests failed: {'; '.join(found['complaints'])}")
    return found


def wrk(yard: Yard, contender: Contender, *, body: Path, connections: int, seconds: float) -> dict[str, Any]:
    """Run wrk against a contender; latencies in microseconds. Raises StartError, also when no request succeeded."""
    # The slowest reference answers large bodies in seconds: its tail must not count as a failure.
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    environ = {
        "BENCH_BODY": str(body),
        "BENCH_PATH": "/v1/messages",
        "BENCH_HEADERS": "\n".join(f"{name}: {value}" for name, value in contender.headers.items()),
    }
    command.append(f"http://127.0.0.1:{contender.port}")
    out = yard.fleet.run(command, core=yard.cores.load, timeout=seconds + 40, environ=environ)
    line = next((line for line in out.splitlines() if "JSON{" in line), None)
    if line is None:
        raise StartError(f"wrk said nothing to count: {out.strip()[-300:]}")
    found: dict[str, Any] = json.loads(line[line.index("{") :])
    if found["refused"] + found["broken"] >= max(1, found["n"]):
        raise StartError(f"{found['refused']} requests were refused and {found['broken']} broken, of {found['n']}")
    return found


def measure(yard: Yard, contender: Contender, cell: Cell, *, files: Bodies, seconds: float) -> Sample:
    """One window. Raises StartError when the tool fails."""
    body = files.path(cell.kind, cell.size)
    before, children, mock = machine_load(), os.times(), cpu_seconds(yard.mock.pid)
    cpu, started = contender.cpu(), time.monotonic()
    if cell.stream:
        said = client(
            yard,
            contender,
            kind="streams",
            body=body,
            connections=cell.connections,
            seconds=seconds,
            pace=cell.pace,
            timeout=seconds + 90,
        )
    else:
        said = wrk(yard, contender, body=body, connections=cell.connections, seconds=seconds)
    wall = time.monotonic() - started
    used, after, done = contender.cpu() - cpu, machine_load(), os.times()
    load = sum(done[:4]) - sum(children[:4]) + cpu_seconds(yard.mock.pid) - mock
    common: dict[str, Any] = {
        "utilisation": round(used / wall, 3),
        "load_utilisation": round(load / wall, 3),
        "foreign": round(max(0.0, after.busy - before.busy - used - load) / wall, 3),
        "stolen": round((after.stolen - before.stolen) / wall, 3),
        "cpu_ms": None if contender.child is None or not said["n"] else round(used / said["n"] * 1000, 5),
    }
    if cell.stream:
        total, first = said["total"], said["delta"]
        return Sample(
            said["whole"],
            said["seconds"],
            said["failed"],
            p50=total["p50"],
            p90=total["p90"],
            p99=total["p99"],
            first_p50=first["p50"],
            first_p99=first["p99"],
            stalled=said["stalled"],
            complaints=said["complaints"],
            **common,
        )
    return Sample(
        said["n"],
        said["seconds"],
        said["refused"] + said["broken"],
        p50=said["p50"] / 1000,
        p90=said["p90"] / 1000,
        p99=said["p99"] / 1000,
        complaints=[f"{said[name]} {name}" for name in ("refused", "broken") if said[name]],
        **common,
    )


@dataclass(frozen=True, slots=True)
class Result:
    """One cell on one contender over all rounds: medians of the quiet ones."""

    cell: str
    contender: str
    rounds: int
    disturbed: int
    figures: dict[str, float | None]
    failed: int
    stalled: int
    complaints: tuple[str, ...]


_FIGURES = (
    "per_second",
    "cpu_ms",
    "p50",
    "p90",
    "p99",
    "first_p50",
    "first_p99",
    "utilisation",
    "load_utilisation",
    "foreign",
)


def summarise(cell: str, contender: str, samples: Sequence[Sample]) -> Result:
    """Medians of the rounds in which the machine was ours, or of all where there was none."""
    quiet = [sample for sample in samples if sample.foreign <= DISTURBED]
    counted = quiet or samples
    figures: dict[str, float | None] = {}
    for name in _FIGURES:
        values = [value for sample in counted if (value := getattr(sample, name)) is not None]
        figures[name] = round(statistics.median(values), 5) if values else None
    return Result(
        cell,
        contender,
        len(samples),
        len(samples) - len(quiet),
        figures,
        sum(sample.failed for sample in samples),
        sum(sample.stalled for sample in samples),
        tuple(sorted({each for sample in samples for each in sample.complaints}))[:5],
    )
