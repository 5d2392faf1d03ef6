"""How outcomes are worded, and what tells two of them apart."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from ccx.analysis.outcome import Asked, Outcome, Stage, Treatment
from ccx.plan.render.cells import ASCII, cells, elided, visible, wrapped
from ccx.plan.render.words import (
    command_words,
    differences,
    duration,
    listed,
    moved_share,
    outcome_words,
    percent,
    side_words,
)
from ccx.protocols.names import Protocol
from ccx.routing.table import Cache, Failover, Hedge, RequestPolicy
from tests.plan.samples import NO_ROUTE, asked, balanced, denied, moved, region, routed, side, treated


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (routed("a"), "a"),
        (routed("a", "b"), "a ▸ b"),
        (routed("a", asked("gemini", "gemini-2.5-pro")), "a ▸ gemini (gemini-2.5-pro)"),
        (routed(balanced(("a", "7/10"), ("b", "3/10")), "c"), "(a 70% | b 30%) ▸ c"),
        (routed(balanced(("a", "2/3"), ("b", "1/3"))), "(a 66.7% | b 33.3%)"),
        (routed(balanced(("a", "1/2"), ("b", "1/2"), balance="round_robin")), "(a | b)"),
        (routed(balanced(("a", "1/2"), ("b", "1/2"), balance="least_cost")), "(a | b, least cost)"),
        (routed(balanced(("a", "1"), ("b", "1"), balance="priority")), "a ▸ b"),
        (routed(replace(asked("a"), bare=True)), "a (the name after its prefix)"),
        (denied(), "denied 403"),
        (NO_ROUTE, "no route"),
        (Outcome("unservable"), "no target can serve it"),
        (Outcome("refused"), "client refused"),
    ],
)
def test_outcomes(outcome: Outcome, words: str) -> None:
    assert outcome_words(outcome) == words


def test_outcomes_in_ascii() -> None:
    assert outcome_words(routed("é", "b"), ASCII) == "\\xe9 > b"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (treated(), treated(), []),
        (treated(Failover(attempts=3)), treated(Failover(attempts=4)), ["attempts 3 → 4"]),
        (treated(Failover(deadline=120_000)), treated(Failover(deadline=90_000)), ["deadline 2m → 90s"]),
        (
            treated(Failover(on=frozenset({"timeout", "quota"}))),
            treated(Failover(on=frozenset({"timeout", "connect"}))),
            ["fails over on +connect -quota"],
        ),
        (
            treated(Failover()),
            treated(Failover(backoff_initial=250, jitter=False)),
            ["backoff 200ms..5s → 250ms..5s without jitter"],
        ),
        (
            treated(policy=RequestPolicy(max_output_tokens=32_000)),
            treated(),
            ["cap max_output_tokens 32,000 → none"],
        ),
        (
            treated(policy=RequestPolicy(default=(("temperature", "0.2"),), drop=("seed",))),
            treated(policy=RequestPolicy(set=(("user", '"x"'),), drop=("user",))),
            ["default temperature 0.2 → none", 'set user none → "x"', "drop +user -seed"],
        ),
        (
            treated(policy=RequestPolicy(system_prefix="Be kind.")),
            treated(policy=RequestPolicy(system_replace="y" * 50)),
            ['system prefix "Be kind." → none', f'system prompt none → "{"y" * 37}..."'],
        ),
        (treated(), treated(cache=Cache(600_000, "client")), ["cache none → 10m per client"]),
        (treated(cache=Cache(3_600_000, "shared")), treated(), ["cache 1h shared → none"]),
        (treated(), replace(treated(), on_loss="reject"), ["on_loss warn → reject"]),
    ],
)
def test_treatments_are_told_apart(before: Treatment, after: Treatment, words: list[str]) -> None:
    assert list(differences(routed("a", treatment=before), routed("a", treatment=after))) == words


def test_groups_are_told_apart() -> None:
    two = (asked("a", share=Fraction(1, 2)), asked("b", share=Fraction(1, 2)))
    old, new = routed(Stage(two, "round_robin", "none")), routed(Stage(two, "least_latency", "session"))
    assert list(differences(old, new)) == [
        "balance of a | b: round_robin → least_latency",
        "affinity of a | b: none → session",
    ]
    new = routed(Stage(two, "round_robin", "none", Fraction(1, 2)))
    assert list(differences(old, new)) == ["max_ejection of a | b: 100% → 50%"]
    heavy = (asked("a", share=Fraction(3, 4)), asked("b", share=Fraction(1, 4)))
    old, new = routed(Stage(two, "least_cost", "none")), routed(Stage(heavy, "least_cost", "none"))
    assert list(differences(old, new)) == ["share of a 50% → 75%", "share of b 50% → 25%"]
    spoken = Asked("a", Protocol.CHAT, None, Fraction(1))
    assert list(differences(routed("a"), routed(spoken))) == ["a speaks messages → chat"]
    assert list(differences(routed("a"), routed("b"))) == []


def test_messages_are_told_apart() -> None:
    assert list(differences(denied(message="a"), denied(message="b\x07"))) == ['message "a" → "b\\x07"']


def test_every_difference_of_outcomes_has_words() -> None:
    """Whatever makes two outcomes unequal shows, or a plan would list a change that looks like none."""
    base = routed("a", treatment=treated())
    policies = [
        RequestPolicy(max_output_tokens=1),
        RequestPolicy(default=(("a", "1"),)),
        RequestPolicy(set=(("a", "1"),)),
        RequestPolicy(drop=("a",)),
        RequestPolicy(system_prefix="a"),
        RequestPolicy(system_replace="a"),
    ]
    failovers = [
        Failover(on=frozenset()),
        Failover(attempts=9),
        Failover(deadline=1),
        Failover(backoff_initial=1),
        Failover(backoff_max=1),
        Failover(jitter=False),
        Failover(retry_budget=None),
        Failover(hedge=Hedge(2_000)),
        Failover(midstream="continue"),
    ]
    assert len(policies) == len(RequestPolicy.__dataclass_fields__)
    assert len(failovers) == len(Failover.__dataclass_fields__)
    for treatment in (*(treated(policy=one) for one in policies), *(treated(one) for one in failovers)):
        assert list(differences(base, routed("a", treatment=treatment)))


def test_shares() -> None:
    two = routed(balanced(("a", "1/2"), ("b", "1/2")))
    assert moved_share(moved(1, "weights", two, two, region())) == ""
    assert moved_share(replace(moved(1, "weights", two, two), share="0.125")) == (
        "12.5% of this traffic gets another target"
    )
    stuck = routed(replace(balanced(("a", "1/2"), ("b", "1/2")), affinity="session"))
    assert moved_share(replace(moved(1, "weights", two, stuck), share="1/3")) == (
        "33.3% of this traffic gets another target, more where sessions stick to targets"
    )


def test_small_words() -> None:
    assert [duration(ms) for ms in (0, 250, 1_000, 60_000, 90_000, 120_000, 3_600_000, 86_400_000)] == [
        "0ms",
        "250ms",
        "1s",
        "60s",
        "90s",
        "2m",
        "1h",
        "24h",
    ]
    assert percent(Fraction(1, 3)) == "33.3%"
    assert [listed(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert side_words(side("main", "3f1c2ab9d0")) == "main@3f1c2ab"
    assert side_words(side("3f1c2ab9", "3f1c2ab9d0")) == "3f1c2ab9"
    assert side_words(replace(side("main"), absent=True)) == "main (no spec)"
    assert side_words(side("working tree")) == "working tree"


def test_a_command_in_parts() -> None:
    assert command_words("ccx explain --model=gpt-5 --tokens 0 --header 'a=b c'") == [
        "ccx",
        "explain",
        "--model=gpt-5",
        "--tokens 0",
        "--header 'a=b c'",
    ]
    assert command_words("ccx 'open") == ["ccx 'open"]


def test_cells() -> None:
    assert visible("a\x1b[2Jé\u202e\n") == "a\\x1b[2Jé\\u202e\\n"
    assert visible("é▸", ascii_only=True) == "\\xe9\\u25b8"
    assert [cells(text) for text in ("abc", "後端", "e\u0301", "🚀")] == [3, 4, 1, 2]
    assert elided("abcdefghij", 7) == "abc…hij"
    assert elided("後後後後後", 6) == "後…後"
    assert elided("abc", 0) == ""
    assert elided("abcdef", 2, cut="...") == "ab"
    assert wrapped("one two three", 8, hang=2) == ["one two", "  three"]
    assert wrapped("", 8) == [""]
    assert wrapped("abcdefghijkl b", 5) == ["ab…kl", "b"]
