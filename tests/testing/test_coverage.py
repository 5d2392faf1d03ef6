"""Coverage: what each metric counts, that it rounds down, and that suggested tests fill what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.testing.model import METRICS, Coverage, Measure, Report
from tests.testing.kit import report, shown

BASE = """
version: ccx/v1
channels: {a: {provider: demo}, b: {provider: demo}, c: {provider: demo}, off: {provider: demo, enabled: false}}
"""
ONE = (
    BASE
    + """
routes:
  - name: long
    when: {protocol: messages, input_tokens: "> 60k"}
    to: [a, b, off]
    failover: {attempts: 2}
  - name: shared
    when: {model: s-*}
    to: [{balance: weighted, targets: [{channel: a, weight: 3}, {channel: b}, {channel: c, weight: 0}]}, c]
  - {name: rest, to: [c]}
"""
)


def covered(text: str, folder: Path) -> dict[str, tuple[int, int]]:
    coverage = report(text, folder, coverage=True).coverage
    assert coverage is not None
    return {one.metric: (one.covered, one.total) for one in coverage.measures}


def test_what_there_is_to_cover(tmp_path: Path) -> None:
    assert covered(ONE, tmp_path) == {
        "routes": (0, 3),
        "targets": (0, 6),
        "failover_edges": (0, 3),
        "boundaries": (0, 2),
        "axes": (0, 3),
    }


COVERS = {
    "a request": ("{model: x}", "{route: rest}", {"routes": 1, "targets": 1, "axes": 1}),
    "a group, of which nothing is stated": ("{model: s-1}", "{route: shared}", {"routes": 1}),
    "a group's weights": (
        "{model: s-1}",
        "{weights: {a: 3, b: 1}}",
        {"routes": 1, "targets": 2, "axes": 1},
    ),
    "the last below": (
        "{model: x, input_tokens: 60000}",
        "{route: rest}",
        {"routes": 1, "targets": 1, "boundaries": 1, "axes": 2},
    ),
    "the first above": (
        "{model: x, input_tokens: 60001}",
        "{route: long}",
        {"routes": 1, "targets": 1, "boundaries": 1},
    ),
    "near a boundary that decides nothing": (
        "{model: x, protocol: chat, input_tokens: 60000}",
        "{route: rest}",
        {"routes": 1, "targets": 1, "axes": 1},
    ),
}


def test_sample_pins_a_target_and_covers_it(tmp_path: Path) -> None:
    text = ONE + "tests: [{name: t, request: {model: s-1}, sample: 0.8, expect: {target: b}}]"
    assert covered(text, tmp_path)["targets"] == (1, 6)


@pytest.mark.parametrize("name", COVERS)
def test_what_a_test_covers(tmp_path: Path, name: str) -> None:
    request, expect, wanted = COVERS[name]
    found = covered(ONE + f"tests: [{{name: t, request: {request}, expect: {expect}}}]", tmp_path)
    got = {metric: number for metric, (number, _) in found.items() if number}
    assert {metric: got.get(metric, 0) for metric in ("routes", "targets", "boundaries")} == {
        metric: wanted.get(metric, 0) for metric in ("routes", "targets", "boundaries")
    }


def test_a_drill_covers_the_steps_it_takes(tmp_path: Path) -> None:
    drill = "{name: t, request: {model: s-1}, attempts: [503, 503, 200], expect: {served_by: c}}"
    found = covered(ONE + f"tests: [{drill}]", tmp_path)
    assert found["failover_edges"] == (2, 3)
    assert found["targets"] == (3, 6)


def test_a_clause_is_covered_by_what_it_alone_keeps_out(tmp_path: Path) -> None:
    found = covered(
        ONE + "tests: [{name: t, request: {model: x, protocol: chat, input_tokens: 70k}, expect: {target: c}}]",
        tmp_path,
    )
    assert found["axes"] == (2, 3)  # the protocol of `long`, the model of `shared`


def test_what_no_request_reaches_is_left_out_and_told(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    text = (
        BASE
        + """
routes:
  - {name: all claude, when: {model: "claude-*"}, to: [a]}
  - {name: dead, when: {model: claude-opus-*, input_tokens: "> 5k"}, to: [b]}
  - {name: once, when: {model: o-*}, to: [a, b], failover: {attempts: 1}}
  - {name: picky, to: [a, b], failover: {on: [content_filter]}}
""".replace("all claude", "all-claude")
    )
    found = report(text, tmp_path, coverage=True)
    assert found.coverage is not None
    out = {(one.metric, one.route) for one in found.coverage.excluded}
    assert {("routes", "dead"), ("targets", "dead"), ("boundaries", "dead"), ("failover_edges", "once")} <= out
    assert ("failover_edges", "picky") in out
    assert ("routes", "once") not in out
    assert shown(found, tmp_path) == snapshot


def measures(covered: int, total: int) -> Coverage:
    return Coverage(tuple(Measure(metric, covered, total) for metric in METRICS), ())


@pytest.mark.parametrize(
    ("covered", "total", "percent"),
    [(999, 1000, 99), (9999, 10_000, 99), (1, 3, 33), (0, 5, 0), (0, 0, 100), (5, 5, 100)],
)
def test_percentages_are_rounded_down(covered: int, total: int, percent: int) -> None:
    assert Measure("routes", covered, total).percent == percent


def test_almost_all_is_not_all() -> None:
    almost = Report("s", "", (), (), measures(999, 1000), {"routes": 100, "axes": 99})
    assert almost.below == ("coverage of routes is 99 % (999 of 1000), below 100 %",)
    assert not almost.passed
    assert Report("s", "", (), (), measures(1000, 1000), {"routes": 100}).passed
    whole = Report("s", "", (), (), measures(999, 1000), fail_under=100)
    assert whole.below == ("coverage of all metrics together is 99 % (4995 of 5000), below 100 %",)
    assert Report("s", "", (), (), measures(999, 1000), fail_under=99).passed


def test_floors_of_the_spec(tmp_path: Path) -> None:
    text = ONE + "coverage: {routes: 33, targets: 17}\ntests: [{name: t, request: {model: x}, expect: {route: rest}}]"
    found = report(text, tmp_path, coverage=True)
    assert found.below == ("coverage of targets is 16 % (1 of 6), below 17 %",)
