"""Which rules are meant by what a person writes."""

from __future__ import annotations

import pytest

from ccx.lint.selection import FAMILIES, UnknownRule, matching, selection
from ccx.spec.rules import RULES


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("CCX203", {"CCX203"}),
        ("ccx203", {"CCX203"}),
        ("redundant-route", {"CCX203"}),
        ("limits", {code for code in RULES if code.startswith("CCX7")}),
        ("CCX40", {code for code in RULES if code.startswith("CCX40")}),
    ],
)
def test_selectors(text: str, codes: set[str]) -> None:
    assert {info.code for info in matching(text)} == codes
    assert selection([text]).codes == codes


def test_every_code_is_of_a_family() -> None:
    for code in RULES:
        assert code[:4] in FAMILIES.values()
    for beginning in FAMILIES.values():
        assert any(code.startswith(beginning) for code in RULES) or beginning == "CCX6"


def test_what_is_ignored_is_left_out_and_errors_of_the_language_never_are() -> None:
    chosen = selection(["routing"], ["CCX203"])
    assert "CCX203" not in chosen
    assert "CCX201" in chosen
    assert "CCX101" in chosen
    assert "CCX303" not in chosen
    assert "CCX999" not in chosen


@pytest.mark.parametrize(
    ("text", "meant"), [("CCX999", "did you mean"), ("redundant-rout", "redundant-route"), ("?", "families:")]
)
def test_an_unknown_selector_says_what_there_is(text: str, meant: str) -> None:
    with pytest.raises(UnknownRule, match=meant):
        matching(text)
