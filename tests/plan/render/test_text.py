"""A plan for a terminal: how it looks, and what no name can do to it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from ccx.plan.render.cells import cells
from ccx.plan.render.text import render_text
from tests.plan import samples

_SGR = re.compile(r"\x1b\[[0-9;]*m")
_TEXTS = st.one_of(st.sampled_from(samples.HOSTILE), st.text(max_size=60), st.text("ab `|-\x1b\n後", max_size=200))


@pytest.mark.parametrize("sample", ["threshold", "several", "no_op", "touched_only", "incomplete"])
def test_a_wide_terminal(sample: str, snapshot: SnapshotAssertion) -> None:
    assert render_text(samples.ALL[sample](), width=120, colour=False) == snapshot


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal(width: int, snapshot: SnapshotAssertion) -> None:
    assert render_text(samples.several(), width=width, colour=False) == snapshot


def test_colours(snapshot: SnapshotAssertion) -> None:
    assert render_text(samples.several(), width=100, colour=True) == snapshot


def test_ascii(snapshot: SnapshotAssertion) -> None:
    text = render_text(samples.several(), width=100, colour=False, unicode=False)
    assert text.isascii()
    assert text == snapshot


def test_changes_past_the_first_of_a_cause_are_counted() -> None:
    plan = samples.plan(
        [samples.edit("one")],
        [
            samples.moved(
                n,
                "retargeted",
                samples.routed("a"),
                samples.routed(f"b{n}"),
                *[samples.region(samples.models(f"m{n}-{k}-*")) for k in range(9)],
                more=5,
            )
            for n in range(25)
        ],
    )
    text = render_text(plan, width=100, colour=False)
    assert "and 5 further changes (ccx plan --output json has all)" in text
    assert text.count("or in 8 further regions") == 20  # three of the nine, and the five that the plan left out


@pytest.mark.parametrize("hostile", samples.HOSTILE, ids=ascii)
@pytest.mark.parametrize("unicode", [True, False])
def test_a_hostile_name_is_shown_and_does_nothing(hostile: str, unicode: bool) -> None:
    text = render_text(samples.hostile(hostile), width=100, colour=False, unicode=unicode)
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert unicode or text.isascii()
    assert len(text.splitlines()) == text.count("\n")


def test_what_cannot_be_printed_is_shown(snapshot: SnapshotAssertion) -> None:
    assert render_text(samples.hostile("\x1b[2J\n\u202eoops"), width=100, colour=False) == snapshot


def test_an_incomplete_analysis_claims_nothing() -> None:
    for plan in (samples.incomplete(), samples.plan([samples.edit("a")], unfinished="out of states")):
        text = render_text(plan, width=80, colour=False)
        assert text.count("INCOMPLETE") == 2
        assert "proved" not in text


def test_requests_that_were_not_looked_at_are_claimed_nothing_of() -> None:
    plan = replace(samples.threshold(), within="model ~ gpt-*")
    text = render_text(plan, width=80, colour=False)
    assert "Looked at only: model ~ gpt-*" in text
    assert "Every other such request is proved unchanged" in text
    text = render_text(replace(samples.no_op(), within="model ~ gpt-*"), width=80, colour=False)
    assert "No such request changes (proved)" in text
    assert "3 edits change no such request (proved)" in text


def test_a_command_of_several_lines_is_one_command() -> None:
    text = render_text(samples.threshold(), width=50, colour=False)
    start = text.index("ccx explain")
    command = text[start : text.index("\n\n", start)]
    joined = command.replace("\\\n", " ").split()
    assert joined == ["ccx", "explain", "gateway.yaml", "--model=claude-sonnet-4-5", "--tokens", "128000"]


@given(_TEXTS, st.integers(30, 160), st.booleans())
def test_no_line_is_wider_than_asked(text: str, width: int, unicode: bool) -> None:
    shown = render_text(samples.hostile(text), width=width, colour=False, unicode=unicode)
    assert max(cells(line) for line in shown.splitlines()) <= max(width, 40)


@given(st.sampled_from(sorted(samples.ALL)), st.integers(40, 200), st.booleans())
def test_samples_fit_any_width(sample: str, width: int, unicode: bool) -> None:
    shown = render_text(samples.ALL[sample](), width=width, colour=False, unicode=unicode)
    assert max(cells(line) for line in shown.splitlines()) <= width


@given(_TEXTS, st.integers(40, 160))
def test_colour_changes_nothing_but_colour(text: str, width: int) -> None:
    plan = samples.hostile(text)
    assert _SGR.sub("", render_text(plan, width=width, colour=True)) == render_text(plan, width=width, colour=False)
