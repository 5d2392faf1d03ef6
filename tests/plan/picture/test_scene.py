"""What a picture shows."""

from __future__ import annotations

import pytest

from ccx.plan.picture.scene import Port, scene
from tests.plan.picture.tables import NEW, OLD, channel, denying, many, model, route, table, weighted


def test_a_table() -> None:
    drawn = scene(NEW)
    assert [card.names for card in drawn.cards] == [(r.name,) for r in NEW.routes]
    assert drawn.cards[2].ports == (
        Port("openrouter", 1, share="60%"),
        Port("anthropic", 1, share="40%"),
        Port("gemini", 2),
    )
    assert drawn.cards[5].denied == "denied 403"
    assert {node.name: node.about for node in drawn.nodes}["vllm"] == "switched off"
    assert not drawn.compared
    assert all(one.fate == "same" for one in (*drawn.cards, *drawn.nodes))
    assert drawn.edges == 11


def test_what_became_of_another() -> None:
    drawn = scene(NEW, before=OLD)
    assert [(card.title, card.fate, card.note) for card in drawn.cards] == [
        ("local", "added", ""),
        ("long", "changed", "condition changed"),
        ("blend", "changed", ""),
        ("background", "same", "was bg"),
        ("interns", "removed", ""),
        ("slow", "changed", "treatment changed"),
        ("no-images", "moved", ""),
        ("default", "changed", ""),
    ]
    assert [(port.channel, port.fate) for port in drawn.cards[2].ports] == [
        ("openrouter", "changed"),
        ("anthropic", "changed"),
        ("gemini", "added"),
    ]
    assert [(port.channel, port.fate) for port in drawn.cards[-1].ports] == [
        ("anthropic", "same"),
        ("openrouter", "added"),
        ("bedrock", "removed"),
    ]
    assert {port.fate for port in drawn.cards[0].ports} == {"added"}
    assert [(node.name, node.fate) for node in drawn.nodes] == [
        ("anthropic", "same"),
        ("gemini", "changed"),
        ("openrouter", "same"),
        ("vllm", "added"),
        ("bedrock", "removed"),
    ]


def test_nothing_became_of_itself() -> None:
    drawn = scene(OLD, before=OLD)
    assert {one.fate for one in (*drawn.cards, *drawn.nodes)} == {"same"}


def test_a_first_route_that_is_gone_comes_first() -> None:
    old = table(["a"], route("x", "a", when=model("x")), route("y", "a", when=model("y")))
    new = table(["a"], route("y", "a", when=model("y")))
    assert [card.title for card in scene(new, before=old).cards] == ["x", "y"]


def test_a_denial_that_becomes_another_is_no_treatment() -> None:
    old, new = table(["a"], denying("x")), table(["a"], route("x", "a"))
    (card,) = scene(new, before=old).cards
    assert (card.fate, card.note, card.ports[0].fate) == ("changed", "", "added")


def test_balance_without_weights_has_no_shares() -> None:
    (card,) = scene(table(["a"], route("x", weighted(("a", 1))))).cards
    assert card.ports == (Port("a", 1),)


@pytest.mark.parametrize("number", [60, 61, 200])
def test_too_many_routes_are_drawn_together(number: int) -> None:
    drawn = scene(many(number, alike=True))
    assert len(drawn.cards) == (60 if number == 60 else -(-number // 7))
    assert [name for card in drawn.cards for name in card.names] == [f"route-{n}" for n in range(number)]


def test_where_neighbours_differ_others_are_gathered() -> None:
    two = table(["a", "b"], *(route(f"r{n}", "ab"[n % 2], when=model(f"m{n}")) for n in range(100)))
    drawn = scene(two)
    assert [(card.title, card.when) for card in drawn.cards] == [
        ("r0 and 49 more", "50 routes to the same targets"),
        ("r1 and 49 more", "50 routes to the same targets"),
    ]


def test_what_changed_is_never_gathered() -> None:
    old = many(100, alike=True)
    new = table(list(old.channels), *old.routes[:50], route("new", "c0"), *old.routes[51:])
    fates = [card.fate for card in scene(new, before=old).cards if card.fate != "same"]
    assert fates == ["removed", "added"] or fates == ["added", "removed"]
    assert all(len(card.names) == 1 for card in scene(new, before=old).cards if card.fate != "same")


def test_names_are_printable() -> None:
    drawn = scene(table([channel("a\x1b", host="h\n")], route("r\u202e", "a\x1b")))
    assert drawn.cards[0].title == "r\\u202e"
    assert drawn.nodes[0].name == drawn.cards[0].ports[0].channel == "a\\x1b"
    assert drawn.nodes[0].about == "h\\n"
