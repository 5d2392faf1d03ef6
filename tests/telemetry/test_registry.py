from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.telemetry.exposition import GaugeRule, WorkerSnapshot, decode, encode, merge, render
from ccx.telemetry.registry import MAX_LABEL, OTHER, Registry
from tests.telemetry.prometheus import check, parse

ANY_TEXT = st.text(alphabet=st.characters(), max_size=30)


@given(values=st.lists(ANY_TEXT, min_size=1, max_size=8), words=ANY_TEXT)
def test_any_label_value_survives_the_round_trip(values: list[str], words: str) -> None:
    registry = Registry()
    counter = registry.counter("a_total", f"x{words}", labels=("name",))
    for value in values:
        counter.labelled(value).inc()
    parsed = parse(render(registry.snapshot()))
    check(parsed)
    expected: dict[str, int] = {}
    for value in values:
        shown = value.encode("utf-8", "replace").decode()
        expected[shown] = expected.get(shown, 0) + 1
    assert {name: parsed.value("a_total", name=name) for name in expected} == expected
    assert len(parsed.samples) == len(expected)


@given(st.lists(ANY_TEXT, max_size=60))
def test_strangers_cannot_make_more_series_than_the_bound(values: list[str]) -> None:
    registry = Registry(max_series=5)
    counter = registry.counter("a_total", "x", labels=("name", "kind"), closed=frozenset({"kind"}))
    for number, value in enumerate(values):
        counter.labelled(value, "even" if number % 2 == 0 else "odd").inc()
    assert len(counter.series) <= 5 + 2
    assert sum(series.value for series in counter.series.values()) == len(values), "what is counted stays counted"
    kinds = {"even": 0.0, "odd": 0.0}
    for (_, kind), series in counter.series.items():
        kinds[kind] += series.value
    assert kinds == {"even": (len(values) + 1) // 2, "odd": len(values) // 2}


def test_a_closed_label_is_bounded_too() -> None:
    registry = Registry(max_series=10)
    counter = registry.counter("a_total", "x", labels=("kind",), closed=frozenset({"kind"}))
    for number in range(1000):
        counter.labelled(str(number)).inc()
    assert len(counter.series) <= 16
    assert counter.labelled(OTHER).value == 1000 - 15


def test_known_series_keep_counting_when_the_family_is_full() -> None:
    counter = Registry(max_series=2).counter("a_total", "x", labels=("name",))
    for name in ("a", "b", "c", "a", "d"):
        counter.labelled(name).inc()
    assert {labels[0]: series.value for labels, series in counter.series.items()} == {"a": 2, "b": 1, OTHER: 2}


def test_long_values_are_cut() -> None:
    counter = Registry().counter("a_total", "x", labels=("name",))
    counter.labelled("x" * 10_000).inc()
    counter.labelled("x" * 20_000).inc()
    assert {labels[0]: series.value for labels, series in counter.series.items()} == {"x" * MAX_LABEL: 2}


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_a_histogram_counts_like_its_definition(values: list[float]) -> None:
    registry = Registry()
    histogram = registry.histogram("h_seconds", "x", bounds=(0.1, 1.0, 10.0), labels=("route",))
    for value in values:
        histogram.labelled("r").observe(value)
    histogram.labelled("r")
    parsed = parse(render(registry.snapshot()))
    check(parsed)
    for bound, le in ((0.1, "0.1"), (1.0, "1"), (10.0, "10"), (math.inf, "+Inf")):
        assert parsed.value("h_seconds_bucket", route="r", le=le) == sum(value <= bound for value in values)
    assert parsed.value("h_seconds_sum", route="r") == pytest.approx(sum(values))
    assert parsed.value("h_seconds_count", route="r") == len(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3.0, "3"), (-1.0, "-1"), (0.25, "0.25"), (1e20, "1e+20"), (math.inf, "+Inf"), (-math.inf, "-Inf")],
)
def test_numbers(value: float, text: str) -> None:
    registry = Registry()
    registry.gauge("g", "x", rule="sum").labelled().set(value)
    assert render(registry.snapshot()).decode().splitlines()[-1] == f"g {text}"


def test_not_a_number() -> None:
    registry = Registry()
    registry.gauge("g", "x", rule="sum").labelled().set(math.nan)
    assert render(registry.snapshot()).endswith(b"\ng NaN\n")


def test_mistakes_in_declarations_are_refused() -> None:
    registry = Registry()
    counter = registry.counter("a_total", "x", labels=("name",))
    with pytest.raises(ValueError, match="declared twice"):
        registry.counter("a_total", "x")
    with pytest.raises(ValueError, match="takes the labels"):
        counter.labelled("a", "b")
    with pytest.raises(ValueError, match="not ascending"):
        registry.histogram("h", "x", bounds=(1.0, 1.0))


def broken() -> None:
    raise OSError("no such gauge")


def test_a_refresher_that_fails_hides_nothing() -> None:
    registry = Registry()
    gauge = registry.gauge("g", "x", rule="sum").labelled()
    registry.on_read(broken)
    registry.on_read(lambda: gauge.set(7))
    assert parse(render(registry.snapshot())).value("g") == 7


def test_a_removed_series_is_gone() -> None:
    counter = Registry().gauge("g", "x", rule="max", labels=("digest",))
    counter.labelled("a").set(1)
    counter.remove("a")
    counter.remove("never")
    assert not counter.series


@pytest.mark.parametrize(("rule", "expected"), [("sum", 5.0), ("min", 2.0), ("max", 3.0)])
def test_gauges_merge_by_their_rule(rule: GaugeRule, expected: float) -> None:
    merged = merge([worker("0", rule=rule, number=2), worker("1", rule=rule, number=3)])
    assert parse(render(merged)).value("g") == expected


def test_gauges_per_worker_get_a_label() -> None:
    parsed = parse(render(merge([worker("0", rule="per_worker", number=2), worker("1", rule="per_worker", number=3)])))
    assert (parsed.value("g", worker="0"), parsed.value("g", worker="1")) == (2, 3)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100), st.floats(0, 20)), min_size=1, max_size=5))
def test_merging_sums_counters_and_drops_the_gauges_of_the_dead(workers: list[tuple[bool, int, float]]) -> None:
    snapshots = [
        worker(str(index), rule="sum", number=number, duration=duration, live=live)
        for index, (live, number, duration) in enumerate(workers)
    ]
    parsed = parse(render(merge([decode(encode(snapshot)) for snapshot in snapshots])))
    check(parsed)
    assert parsed.value("c_total") == sum(number for _, number, _ in workers)
    assert parsed.value("h_bucket", le="10") == sum(duration <= 10 for _, _, duration in workers)
    assert parsed.value("h_sum") == pytest.approx(sum(duration for _, _, duration in workers))
    living = [number for live, number, _ in workers if live]
    if living:
        assert parsed.value("g") == sum(living)
    else:
        assert parsed.series("g") == []


def test_a_worker_of_another_shape_does_not_spoil_the_sum() -> None:
    registry = Registry()
    registry.counter("c_total", "x", labels=("new",)).labelled("n").inc(99)
    other = WorkerSnapshot("1", True, registry.snapshot())
    assert parse(render(merge([worker("0", rule="sum", number=4), other]))).value("c_total") == 4


def worker(name: str, *, rule: GaugeRule, number: float, duration: float = 1.0, live: bool = True) -> WorkerSnapshot:
    registry = Registry()
    registry.gauge("g", "x", rule=rule).labelled().set(number)
    registry.counter("c_total", "x").labelled().inc(number)
    registry.histogram("h", "x", bounds=(1.0, 10.0)).labelled().observe(duration)
    return WorkerSnapshot(name, live, registry.snapshot())
