"""Metrics as plain data: merged from several workers, written in the text format that Prometheus reads. Pure.

Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal, assert_never

import msgspec

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

MetricType = Literal["counter", "gauge", "histogram"]
GaugeRule = Literal["sum", "min", "max", "per_worker"]


class SeriesSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """One series: its label values and its numbers. A counter or gauge has one number; a histogram the count of each
    bucket (not cumulative, the last is +Inf) and then the sum."""

    labels: tuple[str, ...]
    numbers: tuple[float, ...]


class FamilySnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A metric with all its series. `rule` says how a gauge is merged."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...]
    rule: GaugeRule
    bounds: tuple[float, ...]
    series: list[SeriesSnapshot]


class WorkerSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """All metrics of one worker. `live` is false once the worker is gone: its counters still count, its gauges not."""

    worker: str
    live: bool
    families: list[FamilySnapshot]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(WorkerSnapshot)


def encode(snapshot: WorkerSnapshot) -> bytes:
    """The snapshot as MessagePack."""
    return _encoder.encode(snapshot)


def decode(data: bytes) -> WorkerSnapshot:
    """The snapshot in `data`. Raises msgspec.DecodeError or msgspec.ValidationError if it is not one."""
    return _decoder.decode(data)


def merge(workers: Sequence[WorkerSnapshot]) -> list[FamilySnapshot]:
    """One set of families out of several workers' ones: counters and histograms are summed, gauges follow their rule.

    Families appear in the order of the first worker that has them. A family whose shape differs between workers, as
    during an upgrade, keeps the shape seen first; series that do not fit it are left out.
    """
    merged: dict[str, FamilySnapshot] = {}
    series: dict[str, dict[tuple[str, ...], tuple[float, ...]]] = {}
    for worker in workers:
        for family in worker.families:
            per_worker = family.type == "gauge" and family.rule == "per_worker"
            shape = _with_worker(family) if per_worker else family
            known = merged.setdefault(family.name, shape)
            if (known.type, known.labels, known.bounds) != (shape.type, shape.labels, shape.bounds):
                continue
            into = series.setdefault(family.name, {})
            if family.type == "gauge" and not worker.live:
                continue
            for one in family.series:
                if len(one.labels) != len(family.labels) or len(one.numbers) != _width(family):
                    continue
                labels = (*one.labels, worker.worker) if per_worker else one.labels
                before = into.get(labels)
                into[labels] = one.numbers if before is None else _combine(family, before, one.numbers)
    return [
        msgspec.structs.replace(
            family,
            series=[SeriesSnapshot(labels, numbers) for labels, numbers in series[name].items()],
        )
        for name, family in merged.items()
    ]


def _width(family: FamilySnapshot) -> int:
    return len(family.bounds) + 2 if family.type == "histogram" else 1


def _with_worker(family: FamilySnapshot) -> FamilySnapshot:
    return msgspec.structs.replace(family, labels=(*family.labels, "worker"), series=[])


def _combine(family: FamilySnapshot, a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    match family.type:
        case "counter" | "histogram":
            return tuple(x + y for x, y in zip(a, b, strict=True))
        case "gauge":
            match family.rule:
                case "sum":
                    return (a[0] + b[0],)
                case "min":
                    return (min(a[0], b[0]),)
                case "max" | "per_worker":
                    return (max(a[0], b[0]),)
                case _ as never_rule:
                    assert_never(never_rule)
        case _ as never:
            assert_never(never)


def render(families: Iterable[FamilySnapshot]) -> bytes:
    """The text that Prometheus scrapes. A family without series still shows its HELP and TYPE."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape_help(family.help)}")
        lines.append(f"# TYPE {family.name} {family.type}")
        for one in sorted(family.series, key=lambda series: series.labels):
            pairs = [f'{name}="{_escape(value)}"' for name, value in zip(family.labels, one.labels, strict=True)]
            if family.type == "histogram":
                lines.extend(_histogram(family, pairs, one.numbers))
            else:
                lines.append(f"{family.name}{_braces(pairs)} {_number(one.numbers[0])}")
    lines.append("")
    return "\n".join(lines).encode("utf-8", "replace")


def _histogram(family: FamilySnapshot, pairs: list[str], numbers: tuple[float, ...]) -> Iterable[str]:
    *counts, total = numbers
    cumulative = 0.0
    for bound, count in zip((*family.bounds, math.inf), counts, strict=True):
        cumulative += count
        edge = f'le="{_number(bound)}"'
        yield f"{family.name}_bucket{_braces([*pairs, edge])} {_number(cumulative)}"
    yield f"{family.name}_sum{_braces(pairs)} {_number(total)}"
    yield f"{family.name}_count{_braces(pairs)} {_number(cumulative)}"


def _braces(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
