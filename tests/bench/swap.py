"""Swaps under load: two valid specs take turns by atomic rename while requests arrive at a steady rate.

The two specs map the client's model to different names, and the upstream repeats the name it got: so the answer's body
says which table rewrote the request, its header which table it claims, and the log line which table it was booked on.
The three must agree for every request, whatever was swapped meanwhile.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import specs
from tests.bench.cells import Bodies, client
from tests.bench.contenders import Contender, Yard
from tests.bench.machine import Footprint, footprint
from tests.bench.processes import StartError
from tests.bench.waiting import DigestWatch, digest, get

_SUFFIXES = ("-a", "-b")


@dataclass(slots=True)
class _Trail:
    """What was seen of the process over time."""

    at: list[float] = field(default_factory=list)
    seen: list[Footprint] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        if not self.seen:
            return {}
        head, tail = self.seen[: max(1, len(self.seen) // 5)], self.seen[-max(1, len(self.seen) // 5) :]
        return {
            "rss_first_mib": statistics.median(each.rss_mib for each in head),
            "rss_last_mib": statistics.median(each.rss_mib for each in tail),
            "rss_max_mib": max(each.rss_mib for each in self.seen),
            "descriptors_first": statistics.median(each.descriptors for each in head),
            "descriptors_last": statistics.median(each.descriptors for each in tail),
            "descriptors_max": max(each.descriptors for each in self.seen),
            "over_time": [
                [round(at - self.at[0], 1), each.rss_mib, each.descriptors]
                for at, each in list(zip(self.at, self.seen, strict=True))[:: max(1, len(self.seen) // 40)]
            ],
        }


def swap(yard: Yard, *, files: Bodies, swaps: int, every: float, rate: float, quiet: float) -> dict[str, Any]:
    """`swaps` swaps, one `every` seconds; the latencies beside those of `quiet` seconds before and after."""
    texts = [specs.ccx("full", yard.upstream, suffix=suffix) for suffix in _SUFFIXES]
    gateway = yard.ccx("ccx-swap", texts[0])
    assert gateway.child is not None
    try:
        spec = gateway.folder / "ccx.yaml"
        watch = DigestWatch(gateway)
        known = [watch.now()]
        _replace(spec, texts[1])
        watch.until_changed(known[0])
        known.append(watch.now())
        before = _load(yard, gateway, files=files, seconds=quiet, rate=rate)
        first = _generation(gateway)
        trail, seconds = _Trail(), swaps * every + 1
        stop = threading.Event()
        sampler = threading.Thread(target=_sample, args=(gateway.child.pid, trail, stop), daemon=True)
        streams: list[dict[str, Any]] = []
        writer = threading.Thread(target=_swaps, args=(spec, texts, swaps, every, stop), daemon=True)
        streaming = threading.Thread(
            target=lambda: streams.append(_streams(yard, gateway, files=files, seconds=seconds)), daemon=True
        )
        trace = gateway.folder / "trace.jsonl"
        for thread in (sampler, writer, streaming):
            thread.start()
        try:
            during = _load(yard, gateway, files=files, seconds=seconds, rate=rate, trace=trace)
            writer.join(swaps * every + 10)
            streaming.join(60)
        finally:
            stop.set()
        sampler.join(5)
        last = _generation(gateway)
        after = _load(yard, gateway, files=files, seconds=quiet, rate=rate)
        watch.close()
        still = digest(gateway)
    finally:
        yard.stop(gateway)
    receipts = check_receipts(trace, gateway.folder / "requests.log", known)
    calm: float = statistics.mean((before["latency"]["p99"], after["latency"]["p99"]))
    nothing: dict[str, Any] = {"n": 0, "failed": 0, "stalled": 0, "complaints": ["the streams did not end"]}
    stream = streams[0] if streams else nothing
    return {
        "swaps": swaps,
        "every_s": every,
        "rate": rate,
        "tables_served": last - first,
        "requests": during["n"],
        "failed": during["failed"] + stream["failed"],
        "complaints": [*during["complaints"], *stream["complaints"]],
        "streams": stream["n"],
        "streams_stalled": stream["stalled"],
        **receipts,
        "p50_ms": during["latency"]["p50"],
        "p99_ms": during["latency"]["p99"],
        "max_ms": during["latency"]["max"],
        "p50_quiet_ms": round(statistics.mean((before["latency"]["p50"], after["latency"]["p50"])), 3),
        "p99_quiet_ms": round(calm, 3),
        "p99_added_ms": round(during["latency"]["p99"] - calm, 3),
        "failed_quiet": before["failed"] + after["failed"],
        "still_serving": still in known,
        **trail.summary(),
    }


def _generation(gateway: Contender) -> int:
    """How many tables this process has served; two renames within one look of the reconciler are one table or none."""
    found: int = json.loads(get(gateway, "/status"))["config"]["generation"]
    return found


def _replace(spec: Path, text: str) -> None:
    """As an editor or a deployment does it: a whole new file under the old name."""
    fresh = spec.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, spec)


def _swaps(spec: Path, texts: list[str], swaps: int, every: float, stop: threading.Event) -> None:
    began = time.monotonic()
    for number in range(swaps):
        if stop.wait(max(0.0, began + number * every - time.monotonic())):
            return
        _replace(spec, texts[number % 2])


def _sample(pid: int, trail: _Trail, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        trail.at.append(time.monotonic())
        trail.seen.append(footprint(pid))


def _load(
    yard: Yard,
    gateway: Contender,
    *,
    files: Bodies,
    seconds: float,
    rate: float,
    trace: Path | None = None,
) -> dict[str, Any]:
    return client(
        yard,
        gateway,
        kind="pings",
        body=files.path("json", 1024),
        connections=16,
        seconds=seconds,
        rate=rate,
        trace=str(trace or ""),
        timeout=seconds + 60,
    )


def _streams(yard: Yard, gateway: Contender, *, files: Bodies, seconds: float) -> dict[str, Any]:
    """Paced streams beside the requests, each a second long: every one lives through several swaps."""
    body = files.path("paced-20", 1024)
    try:
        return client(
            yard,
            gateway,
            kind="streams",
            body=body,
            connections=4,
            seconds=max(1.0, seconds - 2),
            pace=0.02,
            timeout=seconds + 60,
        )
    except StartError as error:
        return {"n": 0, "failed": 1, "stalled": 0, "complaints": [str(error)]}


def check_receipts(trace: Path, log: Path, known: list[str]) -> dict[str, Any]:
    """Whether header, body and log line of each answer name the same table, one of the two."""
    booked: dict[str, str] = {}
    if log.exists():
        with log.open() as lines:
            for line in lines:
                entry = json.loads(line)
                booked[entry["request_id"]] = entry["digest"]
    mixed = unknown = unlogged = tables = 0
    last = ""
    with trace.open() as lines:
        for line in lines:
            _, _, status, header, model, request, broken = json.loads(line)
            if status != 200 or broken:
                continue
            claimed = next((index for index, each in enumerate(known) if header and each.startswith(header)), None)
            if claimed is None:
                unknown += 1
                continue
            if not model.endswith(_SUFFIXES[claimed]):
                mixed += 1
            logged = booked.get(request)
            if logged is None:
                unlogged += 1
            elif not logged.startswith(header):
                mixed += 1
            tables += header != last
            last = header
    return {"mixed_digests": mixed, "unknown_digests": unknown, "unlogged": unlogged, "changes_seen": tables}
