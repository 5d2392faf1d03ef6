"""Counters, gauges and histograms: a small registry in the Prometheus data model.

Law: counting is a dictionary look-up and an addition, because it happens while a client waits; prometheus_client takes
a lock and several calls for each, which would cost more than the relay. Label values come from strangers, so the number
of series of a metric is bounded: beyond it, the open labels of a new series read "other" and what is counted stays
counted. Single-threaded: a registry belongs to the thread of its event loop. It knows nothing of ccx, files or HTTP.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Generic, Literal, TypeVar

from ccx.telemetry.exposition import FamilySnapshot, GaugeRule, MetricType, SeriesSnapshot

OTHER: Final = "other"
MAX_SERIES: Final = 2_000
MAX_LABEL: Final = 128
"""Characters of a label's value; longer ones are cut."""


class Value:
    """The number of one series of a counter or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`; a counter's caller never passes a negative one."""
        self.value += amount

    def set(self, value: float) -> None:
        """Replace the number of a gauge."""
        self.value = value

    def numbers(self) -> tuple[float, ...]:
        """The state to expose."""
        return (self.value,)


class Distribution:
    """One series of a histogram: a count per bucket (not cumulative), the last being +Inf, and the sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value. A bound is inclusive, as `le` says."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def numbers(self) -> tuple[float, ...]:
        """The state to expose: the counts, then the sum."""
        return (*self.counts, self.sum)


SeriesT = TypeVar("SeriesT", Value, Distribution)


class Metric(Generic[SeriesT]):
    """A family of series told apart by label values. `closed` labels take few values by construction and keep theirs
    when the family is full; the others are open."""

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002  # the word of the exposition format
        *,
        type: MetricType,  # noqa: A002  # likewise
        new: Callable[[], SeriesT],
        labels: tuple[str, ...] = (),
        closed: frozenset[str] = frozenset(),
        rule: GaugeRule = "sum",
        bounds: tuple[float, ...] = (),
        max_series: int = MAX_SERIES,
    ) -> None:
        self.name = name
        self.help = help
        self.type: MetricType = type
        self.labels = labels
        self.rule: GaugeRule = rule
        self.bounds = bounds
        self.max_series = max_series
        self.series: dict[tuple[str, ...], SeriesT] = {}
        self._new: Callable[[], SeriesT] = new
        self._closed = tuple(label in closed for label in labels)

    def labelled(self, *values: str) -> SeriesT:
        """The series with these label values, in the order of `labels`; made if new."""
        found = self.series.get(values)
        return self._admit(values) if found is None else found

    def _admit(self, values: tuple[str, ...]) -> SeriesT:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} takes the labels {self.labels}, not the values {values!r}")
        values = tuple([_presentable(value) for value in values])
        room = self.max_series
        if values not in self.series and len(self.series) >= room:
            values = tuple([value if kept else OTHER for value, kept in zip(values, self._closed, strict=True)])
            # A closed label that is not so closed after all must not be the way in.
            if values not in self.series and len(self.series) >= room + room // 2:
                values = (OTHER,) * len(values)
        return self.series.setdefault(values, self._new())

    def remove(self, *values: str) -> None:
        """Forget a series; harmless if there is none."""
        self.series.pop(tuple([_presentable(value) for value in values]), None)

    def clear(self) -> None:
        """Forget every series."""
        self.series.clear()

    def snapshot(self) -> FamilySnapshot:
        """The family as plain data."""
        series = [SeriesSnapshot(labels, one.numbers()) for labels, one in self.series.items()]
        return FamilySnapshot(self.name, self.type, self.help, self.labels, self.rule, self.bounds, series)


def _presentable(value: str) -> str:
    """What UTF-8 can hold, and not too long: two series must not look the same once they are written."""
    return value[:MAX_LABEL].encode("utf-8", "replace").decode()


class Registry:
    """The metrics of a process in the order of their declaration, and the callbacks that refresh gauges when read."""

    def __init__(self, *, max_series: int = MAX_SERIES) -> None:
        self.metrics: dict[str, Metric[Value] | Metric[Distribution]] = {}
        self._max_series = max_series
        self._refreshers: list[Callable[[], None]] = []

    def counter(
        self,
        name: str,
        help: str,  # noqa: A002  # the word of the exposition format
        *,
        labels: tuple[str, ...] = (),
        closed: frozenset[str] = frozenset(),
    ) -> Metric[Value]:
        """Declare a counter; its name ends in _total."""
        return self._value("counter", name, help, labels=labels, closed=closed, rule="sum")

    def gauge(
        self,
        name: str,
        help: str,  # noqa: A002  # the word of the exposition format
        *,
        rule: GaugeRule,
        labels: tuple[str, ...] = (),
        closed: frozenset[str] = frozenset(),
    ) -> Metric[Value]:
        """Declare a gauge; `rule` says how the values of several workers become one."""
        return self._value("gauge", name, help, labels=labels, closed=closed, rule=rule)

    def _value(
        self,
        type: Literal["counter", "gauge"],  # noqa: A002  # the word of the exposition format
        name: str,
        help: str,  # noqa: A002  # likewise
        *,
        labels: tuple[str, ...],
        closed: frozenset[str],
        rule: GaugeRule,
    ) -> Metric[Value]:
        metric = Metric(
            name, help, type=type, new=Value, labels=labels, closed=closed, rule=rule, max_series=self._max_series
        )
        self._add(metric)
        return metric

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002  # the word of the exposition format
        *,
        bounds: tuple[float, ...],
        labels: tuple[str, ...] = (),
        closed: frozenset[str] = frozenset(),
    ) -> Metric[Distribution]:
        """Declare a histogram with these upper bounds, ascending, without +Inf."""
        if list(bounds) != sorted(set(bounds)):
            raise ValueError(f"{name}: the bounds {bounds!r} are not ascending")
        metric = Metric(
            name,
            help,
            type="histogram",
            new=lambda: Distribution(bounds),
            labels=labels,
            closed=closed,
            bounds=bounds,
            max_series=self._max_series,
        )
        self._add(metric)
        return metric

    def _add(self, metric: Metric[Value] | Metric[Distribution]) -> None:
        if metric.name in self.metrics:
            raise ValueError(f"the metric {metric.name} is declared twice")
        self.metrics[metric.name] = metric
        if not metric.labels:
            metric.labelled()

    def on_read(self, refresh: Callable[[], None]) -> None:
        """Call `refresh` before each reading; its failure leaves the values as they were."""
        self._refreshers.append(refresh)

    def snapshot(self) -> list[FamilySnapshot]:
        """Every family as plain data, refreshed."""
        for refresh in self._refreshers:
            try:
                refresh()
            except Exception:  # noqa: BLE001, S112  # a gauge that cannot be read must not hide the others
                continue
        return [metric.snapshot() for metric in self.metrics.values()]

    def table(self) -> str:
        """The metrics as a Markdown table, for the documentation."""
        rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
        for name, metric in sorted(self.metrics.items()):
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.help.replace('|', chr(92) + '|')} |")
        return "\n".join(rows) + "\n"
