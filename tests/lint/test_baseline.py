"""Baselines: what is known by what it is about, whatever line it moves to."""

from __future__ import annotations

import json

import pytest

from ccx.lint.baseline import BadBaseline, baseline, from_json, to_json
from tests.lint.cases import ENTRY, examined

OLD = "routes:\n  - {name: r, to: [{balance: round_robin, targets: [main]}]}\n"


def test_what_is_known_is_not_news_wherever_it_stands() -> None:
    then = examined(OLD)
    known = from_json(to_json(baseline([(then.linted.findings, then.loaded.locations)])))
    assert known.new(then.linted.findings, then.loaded.locations) == ()
    moved = examined(
        "\n# moved\n" + OLD.replace("routes:\n", "routes:\n  - {name: q, deny: {message: no}, when: {model: x}}\n")
    )
    assert known.new(moved.linted.findings, moved.loaded.locations) == ()


def test_more_of_the_same_and_others_are_news() -> None:
    then = examined(OLD)
    known = baseline([(then.linted.findings, then.loaded.locations)])
    now = examined(OLD + "  - {name: s, when: {model: x}, to: [{balance: round_robin, targets: [main]}]}\n")
    fresh = known.new(now.linted.findings, now.loaded.locations)
    assert [one.pointer for one in fresh if one.code == "CCX313"] == ["/routes/1/to/0/balance"]
    twice = (*then.linted.findings, *then.linted.findings)
    assert known.new(twice, then.loaded.locations) == then.linted.findings


def test_errors_of_the_language_are_in_no_baseline() -> None:
    then = examined("rotues: []\n")
    known = baseline([(then.linted.findings, then.loaded.locations)])
    assert known.known == {}
    assert known.new(then.linted.findings, then.loaded.locations) == then.linted.findings


def test_the_file_says_what_is_known_by_name() -> None:
    then = examined(OLD)
    document = json.loads(to_json(baseline([(then.linted.findings, then.loaded.locations)])))
    assert document == {
        "format_version": "1.0",
        "findings": {str(ENTRY): {"CCX313 routes[name=r].to[0].balance": 1}},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format_version": "2.0", "findings": {}}',
        '{"format_version": "1.0"}',
        '{"format_version": "1.1", "findings": {"f": {"CCX203": true}}}',
        '{"format_version": "1.0", "findings": {"f": {"CCX203": -1}}}',
    ],
)
def test_what_is_no_baseline_is_said(text: str) -> None:
    with pytest.raises(BadBaseline):
        from_json(text)


def test_a_later_minor_version_is_read() -> None:
    assert from_json('{"format_version": "1.7", "findings": {}, "more": 1}').known == {}
