"""The picture as SVG: well-formed, without overlaps, and whatever the names, text."""

from __future__ import annotations

from itertools import pairwise
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx.plan.picture.measure import cut, lines, width
from ccx.plan.picture.svg import svg
from ccx.routing.table import RoutingTable, Target, Tier
from tests.plan.picture.tables import NEW, OLD, channel, many, model, route, table
from tests.plan.samples import HOSTILE

_SVG = "{http://www.w3.org/2000/svg}"
_TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200))


def test_a_picture(snapshot: SnapshotAssertion) -> None:
    assert svg(NEW) == snapshot


def test_before_and_after(snapshot: SnapshotAssertion) -> None:
    assert svg(NEW, before=OLD, title="What changed") == snapshot


def named(text: str) -> RoutingTable:
    return table(
        [channel(text, host=text)],
        route(text, Tier((Target(text, text),)), when=model(text or "x")),
        route(
            "b" + text, Tier((Target(text, None, 7), Target(text, text, 3)), "weighted"), when=model(text * 9 or "x")
        ),
    )


@pytest.mark.parametrize(
    "drawn",
    [
        NEW,
        table(["a"]),
        table([], route("r", when=model("x"))),
        many(3, alike=False),
        many(60, alike=False),
        many(200, alike=False),
        many(200, alike=True),
        table([f"c{n}" for n in range(80)], route("one", "c5")),
    ],
)
def test_nothing_overlaps(drawn: RoutingTable) -> None:
    check(svg(drawn))


@given(_TEXTS)
@settings(max_examples=60)
def test_names_are_text(text: str) -> None:
    root = check(svg(named(text), before=NEW, title=text, id="p1"))
    assert {element.tag.removeprefix(_SVG) for element in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "text",
        "g",
        "path",
        "circle",
        "line",
    }
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on") or "href" in name]
    assert all(sign.isprintable() for element in root.iter(f"{_SVG}text") for sign in element.text or "")


def check(text: str) -> Element:
    """Boxes apart from each other and inside the picture, every text inside its box."""
    root = fromstring(text)
    _, _, across, down = map(float, root.attrib["viewBox"].split())
    boxes = [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        for rect in root.iter(f"{_SVG}rect")
        if "box" in rect.attrib["class"].split()
    ]
    for left in {box[0] for box in boxes}:
        column = sorted(box for box in boxes if box[0] == left)
        for upper, lower in pairwise(column):
            assert upper[1] + upper[3] <= lower[1]
    assert all(x >= 0 and x + w <= across and y >= 0 and y + h <= down for x, y, w, h in boxes)
    for group in root.iter(f"{_SVG}g"):
        box = group.find(f"{_SVG}rect")
        assert box is not None
        x, y, w, h = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        ends: dict[float, list[tuple[float, float]]] = {}
        for shown in group.iter(f"{_SVG}text"):
            classes = shown.attrib["class"].split()
            size = 13.5 if "name" in classes else 10.5 if {"s", "tag"} & set(classes) else 12.0
            wide = width(shown.text or "", size)
            at = float(shown.attrib["x"])
            start = at - wide if "e" in classes else at - wide / 2 if "c" in classes else at
            assert start >= x
            assert start + wide <= x + w + 1
            assert y < float(shown.attrib["y"]) < y + h
            ends.setdefault(float(shown.attrib["y"]), []).append((start, start + wide))
        for line in ends.values():
            assert all(one[1] <= other[0] + 1 for one, other in pairwise(sorted(line)))
    return root


def test_it_is_described_for_whoever_cannot_see_it() -> None:
    root = fromstring(svg(NEW, before=OLD))
    said = root.findtext(f"{_SVG}desc") or ""
    assert "8 routes in order, 5 channels." in said
    assert "default (changed): always: anthropic, then openrouter." in said or "default (changed): every" in said
    assert "interns (removed)" in said
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"] == "ccx-t ccx-d"


def test_measuring() -> None:
    assert width("mm", 10) > width("ii", 10)
    assert width("後", 10) == 11
    assert width("e\u0301", 10) == width("e", 10)
    assert cut("short", 100, size=10) == "short"
    for room in (5.0, 20.0, 60.0):
        assert width(cut("a" * 50, room, size=10), 10) <= max(room, width("…a", 10))
    assert lines("one two three four", 40, size=10, most=2)[-1].endswith("ur")
    assert lines("", 40, size=10, most=2) == [""]
