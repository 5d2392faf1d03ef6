"""Comments that silence findings, and severities that a spec gives its rules."""

from __future__ import annotations

from datetime import date

import pytest

from ccx.lint.examine import Wish
from ccx.lint.run import run
from tests.lint.cases import TODAY, examined

ONE = "{name: r, to: [{balance: round_robin, targets: [main]}]}"


def codes(text: str, *, today: date = TODAY) -> tuple[list[str], list[str]]:
    """What is found and what is silenced, apart from what these specs always have."""
    linted = examined(text, today=today).linted
    return [one.code for one in linted.findings], [one.code for one in linted.ignored]


@pytest.mark.parametrize(
    "text",
    [
        f"routes: [{ONE}] # ccx: ignore[CCX313] it will have two\n",
        f"# ccx: ignore[CCX313] it will have two\nroutes: [{ONE}]\n",
        f"# ccx: ignore[CCX313] it will have two\n# a word more\n\nroutes: [{ONE}]\n",
        f"#ccx:ignore[CCX505,CCX313]: it will have two\nroutes: [{ONE}]\n# ccx: ignore-file[CCX901] for this test\n",
        f"# ccx: ignore-file[CCX313] it will have two\n\n\nroutes: [{ONE}]\n",
        f"routes: [{ONE}] # ccx: ignore[CCX313] it will have two, until=2026-11-21\n",
    ],
)
def test_a_finding_is_silenced_and_counted(text: str) -> None:
    found, silenced = codes(text)
    assert "CCX313" not in found
    assert silenced == ["CCX313"]


@pytest.mark.parametrize(
    "text",
    [
        f"routes: # ccx: ignore[CCX313] another line\n  - {ONE}\n",
        f"# ccx: ignore[CCX505] another rule\nroutes: [{ONE}]\n",
        f"routes: [{ONE}] # ccx: ignore[CCX313] it will have two, until=2026-11-20\n",
        f"routes: [{ONE}] # ccx: ignore CCX313 it will have two\n",
        f"routes: [{ONE}] # say ccx: ignore[CCX313] not at the start\n",
    ],
)
def test_a_finding_is_not_silenced(text: str) -> None:
    found, silenced = codes(text)
    assert "CCX313" in found
    assert silenced == []


def test_an_error_of_the_language_is_not_silenced() -> None:
    found, silenced = codes("rotues: [] # ccx: ignore[CCX101] I like it so\n")
    assert sorted(found) == ["CCX101", "CCX905"]
    assert silenced == []


def test_a_warning_of_loading_is_silenced() -> None:
    found, silenced = codes("lint: {rules: {CCX998: error}} # ccx: ignore[CCX127] a rule of the next version\n")
    assert found == []
    assert silenced == ["CCX127"]


def test_what_differs_from_place_to_place_is_never_called_unused() -> None:
    found, _ = codes("# ccx: ignore-file[CCX407, CCX507, CCX508] differs\nserver: {}\n")
    assert found == []


def test_a_rule_that_was_not_looked_for_is_not_called_unused() -> None:
    text = "server: {} # ccx: ignore[CCX503] none here\n"
    assert codes(text)[0] == ["CCX901"]
    assert [one.code for one in examined(text, select=("CCX313", "CCX901")).linted.findings] == []


@pytest.mark.parametrize(
    ("severity", "expected"), [("error", ["error"]), ("info", ["info"]), ("off", []), ("warning", ["warning"])]
)
def test_a_spec_grades_its_rules(severity: str, expected: list[str]) -> None:
    linted = examined(f'lint: {{rules: {{CCX313: "{severity}"}}}}\nroutes: [{ONE}]\n').linted
    assert [one.severity for one in linted.findings if one.code == "CCX313"] == expected


def test_an_opt_in_rule_reports_where_it_is_asked_to() -> None:
    two = (
        "channels: {main: {provider: demo}, b: {provider: demo}}\n"
        "routes: [{name: r, when: {model: x}, to: [main]}, {name: s, to: [b, main]}]\n"
    )
    assert "CCX302" not in codes(two)[0]
    assert "CCX302" in codes("lint: {rules: {CCX302: info}}\n" + two)[0]
    assert [one.code for one in examined(two, select=("single-target",)).linted.findings] == ["CCX302"]


def test_severities_of_the_caller_win() -> None:
    one = examined(f"lint: {{rules: {{CCX313: info}}}}\nroutes: [{ONE}]\n")
    wish = Wish(today=TODAY)
    linted = run(one.loaded, one.compiled, today=wish.today, severities={"CCX313": "error"})
    assert [found.severity for found in linted.findings if found.code == "CCX313"] == ["error"]


def test_a_severity_of_an_error_of_the_language_is_refused() -> None:
    linted = examined("lint: {rules: {CCX101: off}}\n").linted
    assert [one.code for one in linted.findings] == ["CCX127"]
