"""The picture as mermaid: within mermaid's bounds, and whatever the names, labels."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx.plan.picture.mermaid import mermaid
from tests.plan.picture.tables import NEW, OLD, many, route, table
from tests.plan.picture.test_svg import named
from tests.plan.samples import HOSTILE

_LINES = re.compile(
    r"""flowchart\ LR
    |\ \ subgraph\ routes\[Routes\ in\ order\]|\ \ \ \ direction\ TB|\ \ end
    |\ +(?:r\d+|more)\["LABEL"\](?:[:]{3}\w+)?
    |\ \ c\d+\(\["LABEL"\]\)(?:[:]{3}\w+)?
    |\ \ r\d+\ (?:-->|-\.->)\|"LABEL"\|\ c\d+
    |\ \ (?:linkStyle|classDef)\ [\w,]+\ stroke:\#\w+,stroke-width:2px""",
    re.VERBOSE,
)
_LABEL = re.compile(r'"((?:[\w ,.\-/()]|#\d+;|<br/>)*)"')


def checked(text: str) -> str:
    for line in text.splitlines():
        assert _LINES.fullmatch(_LABEL.sub('"LABEL"', line)), line
    return text


def test_a_chart(snapshot: SnapshotAssertion) -> None:
    assert checked(mermaid(NEW)) == snapshot


def test_before_and_after(snapshot: SnapshotAssertion) -> None:
    assert checked(mermaid(NEW, before=OLD)) == snapshot


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=100)))
@settings(max_examples=60)
def test_names_are_labels(text: str) -> None:
    checked(mermaid(named(text), before=NEW))


@pytest.mark.parametrize(("number", "alike"), [(200, True), (200, False), (900, False)])
def test_it_stays_within_mermaids_bounds(number: int, alike: bool) -> None:
    text = checked(mermaid(many(number, alike=alike), limit=20_000))
    assert len(text) <= 20_000
    assert len(re.findall(r"-->|-\.->", text)) <= 480
    left = re.search(r"and (\d+) more routes", text)
    drawn = sum(1 + int(more or 0) for more in re.findall(r'r\d+\["\d+#58; route-\d+(?: and (\d+) more)?<', text))
    assert drawn + (int(left[1]) if left else 0) == number


def test_edges_are_bounded_too() -> None:
    wide = table([f"c{n}" for n in range(50)], *(route(f"r{n}", *(f"c{k}" for k in range(50))) for n in range(20)))
    two = table(list(wide.channels), *wide.routes[:10], route("x", "c1"), *wide.routes[10:])
    text = mermaid(two, before=table(["a"]))
    assert len(re.findall(r"-->|-\.->", text)) <= 480
    assert "more routes" in text
