"""What a soak's records say: every error explained or not, what grew, and how long the event loop stood still.

Law: an error is expected if and only if the records show why the gateway could not avoid it: a limit that was declared,
a fault after the first byte, a fault that no target can help with, or faults at every attempt that was allowed.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.soak.tables import ATTEMPTS, LONGEST_TROUBLE, TARGETS, plain
from tests.soak.upstream import SLOW, WITHIN

LIMITED: Final = ("capped",)
UNHELPABLE: Final = ("bad_request", "content_filter")
"""Outcomes after which no other target is asked."""
ELSEWHERE: Final = ("dead", "tls", "dns")
"""Channels that fail by themselves."""
GROWTH: Final = 0.05
"""The share of memory by which it may grow from the warm-up to the end, measured by its slope, and still be flat."""
MORE_FILES: Final = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway process at a moment: seconds since the start, bytes, open descriptors."""

    at: float
    rss: int
    files: int


def lines(path: Path) -> Iterable[dict[str, Any]]:
    """The objects of a file of JSON lines; a last one that was cut off is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


class Troubles:
    """When channels failed, and when they were drained: at what times nobody may have wanted to ask them."""

    def __init__(self, drains: Iterable[tuple[str, float, float]]) -> None:
        self._failed: dict[str, list[float]] = {}
        self._drains = tuple(drains)

    def note(self, line: Mapping[str, Any]) -> None:
        """Take what a line of the request log tells of failures."""
        at = datetime.fromisoformat(line["ts"]).timestamp() + line["latency"]["total_ms"] / 1000
        for one in line["attempts"]:
            if one["outcome"] not in ("ok", "cancelled", "outpaced"):
                self._failed.setdefault(plain(one["channel"]), []).append(at)

    def settle(self) -> None:
        """All has been told."""
        for times in self._failed.values():
            times.sort()

    def known(self, channel: str, at: float) -> bool:
        """Whether a channel had a reason to be left alone."""
        times = self._failed.get(channel, [])
        place = bisect_left(times, at - LONGEST_TROUBLE - 1.5)
        failed = place < len(times) and times[place] <= at + 0.5
        return failed or any(name == channel and start - 0.5 <= at <= end + 0.5 for name, start, end in self._drains)


def explained(
    complaint: Mapping[str, Any], logged: Mapping[str, Any] | None, faults: Sequence[str], troubles: Troubles
) -> str | None:
    """Why a client had to see this error; None if it had not. `faults` are those that its marker met."""
    if complaint["verdict"] in ("wrong", "lost"):
        return None
    if logged is None:
        return None
    if complaint["verdict"] in ("error", "broken"):
        return "after the first byte" if any(fault in WITHIN for fault in faults) else None
    if complaint["status"] == 429 and complaint["client"] in LIMITED and logged["limited_by"]:
        return "limit of the client"
    if logged["cache"] == "joined":
        return "joined a call that failed" if faults else None
    attempts = logged["attempts"]
    if not attempts or any(one["outcome"] in ("ok", "cancelled") for one in attempts):
        return None
    caused = sum(one["channel"] not in ELSEWHERE for one in attempts)
    if caused > len(faults):
        return None  # somebody failed without having been told to
    if attempts[-1]["outcome"] in UNHELPABLE:
        return "the upstream refused the request itself"
    if len(attempts) >= ATTEMPTS:
        return "a fault at every attempt allowed"
    untried = set(TARGETS[complaint["family"]]) - {plain(one["channel"]) for one in attempts}
    if not untried:
        return "a fault at every target"
    if all(troubles.known(channel, complaint["t"]) for channel in untried):
        return "a fault, every other target being in trouble or drained"
    return None


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Of the straight line nearest to the samples, per second."""
    if len(samples) < 2:
        return 0.0
    x0 = sum(x for x, _ in samples) / len(samples)
    y0 = sum(y for _, y in samples) / len(samples)
    spread = sum((x - x0) ** 2 for x, _ in samples)
    return sum((x - x0) * (y - y0) for x, y in samples) / spread if spread else 0.0


def quantile(values: Iterable[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def growth(samples: Sequence[Sample], *, seconds: float) -> dict[str, Any]:
    """Memory and descriptors: at the start, at the end, and how they grew after the warm-up."""
    warm = min(150.0, seconds * 0.3)
    after = [one for one in samples if warm <= one.at <= seconds]
    third = max(1, len(after) // 3)
    early, late = after[:third], after[-third:]
    span = after[-1].at - after[0].at if after else 0.0
    rss = slope([(one.at, float(one.rss)) for one in after])
    base = median(one.rss for one in early) if early else 0
    files = (median(one.files for one in late) - median(one.files for one in early)) if after else 0
    return {
        "warm_up_s": round(warm),
        "rss_start_mib": mib(samples[0].rss),
        "rss_warm_mib": mib(base),
        "rss_end_mib": mib(median(one.rss for one in late) if late else 0),
        "rss_idle_mib": mib(samples[-1].rss),
        "rss_slope_mib_a_minute": round(rss * 60 / 2**20, 3),
        "rss_growth_share": round(rss * span / base, 4) if base else 0.0,
        "files_start": samples[0].files,
        "files_warm": median(one.files for one in early) if early else 0,
        "files_end": median(one.files for one in late) if late else 0,
        "files_most": max(one.files for one in samples),
        "files_idle": samples[-1].files,
        "flat": bool(after) and rss * span <= GROWTH * base and files <= MORE_FILES,
    }


def mib(size: float) -> float:
    """Bytes in MiB."""
    return round(size / 2**20, 1)


def stalls(pings: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """How long pings waited, in ms: over all, in the first and in the last tenth."""

    def said(part: Sequence[tuple[float, float]]) -> dict[str, float]:
        waits = [wait * 1000 for _, wait in part]
        return {
            "p50": round(quantile(waits, 0.5), 2),
            "p99": round(quantile(waits, 0.99), 2),
            "max": round(max(waits, default=0.0), 1),
        }

    tenth = max(1, len(pings) // 10)
    return {"all": said(pings), "start": said(pings[:tenth]), "end": said(pings[-tenth:]), "count": len(pings)}


def summed(folder: Path, drains: Iterable[tuple[str, float, float]]) -> dict[str, Any]:
    """What the records of the three processes say together."""
    load = json.loads((folder / "load.json").read_text())
    faults: dict[str, list[str]] = {}
    injected: Counter[str] = Counter()
    for one in lines(folder / "faults.jsonl"):
        if one["fault"] in SLOW:
            injected[f"({one['fault']}: no fault)"] += 1
            continue
        injected[one["fault"]] += 1
        faults.setdefault(one["marker"], []).append(one["fault"])
    complaints = list(lines(folder / "complaints.jsonl"))
    wanted = {one["request_id"] for one in complaints}
    logged: dict[str, dict[str, Any]] = {}
    attempts: Counter[str] = Counter()
    cache: Counter[str] = Counter()
    hedged: Counter[str] = Counter()
    troubles = Troubles(drains)
    served = converted = failed_over = digests = 0
    last = ""
    for one in lines(folder / "requests.log"):
        served += 1
        troubles.note(one)
        if one["request_id"] in wanted:
            logged[one["request_id"]] = one
        attempts.update(made["outcome"] for made in one["attempts"])
        cache.update([one["cache"]] if one["cache"] else [])
        hedged.update([one["hedged"]] if one["hedged"] else [])
        if one["attempts"] and one["status"] == 200:
            converted += one["attempts"][-1]["protocol"] != one["protocol"]
            failed_over += len(one["attempts"]) > 1
        digests += one["digest"] != last
        last = one["digest"]
    troubles.settle()
    visible: Counter[str] = Counter()
    expected: Counter[str] = Counter()
    unexpected: list[dict[str, Any]] = []
    for complaint in complaints:
        line = logged.get(complaint["request_id"])
        kind = f"{complaint['verdict']} {complaint['status']}"
        visible[kind] += 1
        why = explained(complaint, line, faults.get(complaint["marker"], ()), troubles)
        if why is None:
            unexpected.append({**complaint, "faults": faults.get(complaint["marker"], []), "logged": line})
        else:
            expected[f"{kind}: {why}"] += 1
    verdicts = load["verdicts"]
    return {
        "requests": sum(verdicts.values()),
        "verdicts": dict(sorted(verdicts.items())),
        "logged": served,
        "converted": converted,
        "failed_over": failed_over,
        "cache": dict(cache),
        "hedged": dict(hedged),
        "attempts": dict(attempts.most_common()),
        "upstream_calls": json.loads((folder / "upstream.json").read_text())["served"],
        "faults": sum(count for what, count in injected.items() if not what.startswith("(")),
        "faults_by_kind": dict(sorted(injected.items())),
        "visible": dict(sorted(visible.items())),
        "expected": dict(sorted(expected.items())),
        "unexpected": len(unexpected),
        "unexpected_first": unexpected[:10],
        "wrong": sum(one["verdict"] == "wrong" for one in complaints),
        "retired_keys_used": injected["retired key"],
        "pings": stalls(load["pings"]),
        "late_ms": {
            "p99": round(quantile(load["late"], 0.99) * 1000, 1),
            "max": round(max(load["late"], default=0.0) * 1000, 1),
        },
        "kinds": len(load["kinds"]),
    }


def leftovers(kept: Mapping[str, Any], named: Iterable[str]) -> dict[str, list[str]]:
    """What is kept of names that the last table has not."""
    known = set(named)
    found = {what: [name for name in names if name not in known] for what, names in kept["names"].items()}
    return {what: names for what, names in found.items() if names}


def markdown(result: Mapping[str, Any]) -> str:
    """The report."""
    grown, pings, swaps = result["growth"], result["pings"], result["operator"]
    rows = [
        ("requests", f"{result['requests']:,} ({result['verdicts']})"),
        ("answers of another protocol / after a failover", f"{result['converted']:,} / {result['failed_over']:,}"),
        ("cache, hedges", f"{result['cache']}, {result['hedged']}"),
        ("calls upstream, faults injected", f"{result['upstream_calls']:,}, {result['faults']:,}"),
        ("tables applied, broken files, drains, keys rotated", ", ".join(f"{k} {v}" for k, v in swaps.items())),
        ("errors that clients saw", f"{sum(result['visible'].values()):,} {result['visible']}"),
        ("of them unexpected", f"{result['unexpected']}"),
        ("answers mixed up or torn", f"{result['wrong']}"),
        (
            "memory: start, warm, end, idle; slope",
            f"{grown['rss_start_mib']}, {grown['rss_warm_mib']}, {grown['rss_end_mib']}, {grown['rss_idle_mib']} MiB; "
            f"{grown['rss_slope_mib_a_minute']:+} MiB/min",
        ),
        (
            "descriptors: start, warm, end, most, idle",
            f"{grown['files_start']}, {grown['files_warm']}, {grown['files_end']}, {grown['files_most']}, "
            f"{grown['files_idle']}",
        ),
        *(
            (f"ping ms, {part}: p50, p99, max", f"{pings[part]['p50']}, {pings[part]['p99']}, {pings[part]['max']}")
            for part in ("start", "end", "all")
        ),
        ("the load's own lateness, ms: p99, max", f"{result['late_ms']['p99']}, {result['late_ms']['max']}"),
        ("kept of names that no table has", f"{result['leftovers'] or 'nothing'}"),
        ("left open at the end", f"{result['open']}"),
        ("verdict", result["verdict"]),
    ]
    expected = "".join(f"- {why}: {count:,}\n" for why, count in result["expected"].items())
    table = "".join(f"| {what} | {said} |\n" for what, said in rows)
    return f"| | |\n|---|---|\n{table}\nWhy clients saw the errors that they had to see:\n\n{expected}"
