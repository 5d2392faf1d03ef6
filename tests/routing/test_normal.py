"""Normal forms: the same meaning, found by property; one form for many spellings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.names import Protocol
from ccx.routing.compile_conditions import admitted, asked_for, compile_when
from ccx.routing.conditions import (
    ALWAYS,
    NEVER,
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Flag,
    HeaderMatches,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TokensIn,
)
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs, glob_matches
from ccx.routing.normal import normal, normal_globs
from ccx.spec.conditions import When
from tests.routing import drawn
from tests.routing.oracle import among, holds

pieces = st.text("ab*", max_size=5).filter(bool)
globs = st.builds(Globs, st.lists(pieces, max_size=3).map(tuple), st.lists(pieces, max_size=3).map(tuple))


def _leaves() -> st.SearchStrategy[Condition]:
    sets = st.builds(Globs, st.lists(st.sampled_from(drawn.GLOBS), max_size=2).map(tuple), st.just(()))
    edge = st.sampled_from(drawn.EDGES)
    return st.one_of(
        st.builds(Constant, st.booleans()),
        st.builds(ProtocolIn, st.frozensets(st.sampled_from(list(Protocol)))),
        st.builds(ModelMatches, sets),
        st.builds(TokensIn, edge, st.none() | edge),
        st.builds(Flag, st.sampled_from(["stream", "tools"]), st.booleans()),
        st.builds(ServerTool, st.just(Globs(("web_*",)))),
        st.builds(ClientIn, st.just(Globs(("team-*",), ("team-b",)))),
        st.builds(HeaderMatches, st.just("x-tier"), st.just(Globs(("gold",)))),
        st.builds(PrefixIn, st.just(Globs(("lab",)))),
        st.builds(BodyField, st.just("n"), st.just(Globs(("*",), ("*",))), st.frozensets(st.integers(0, 2))),
    )


conditions = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, max_size=4).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=4).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=12,
)


@given(conditions, st.lists(drawn.facts(), min_size=1, max_size=10))
def test_keeps_the_meaning(condition: Condition, requests: list[Facts]) -> None:
    small = normal(condition)
    for facts in requests:
        assert small.holds(facts) is condition.holds(facts)


@given(conditions, drawn.facts(), st.integers(0, 1200))
def test_knows_no_less_before_the_count_and_nothing_else(condition: Condition, facts: Facts, bound: int) -> None:
    waiting = Facts(facts.protocol, facts.model, tokens_at_most=bound, stream=facts.stream)
    before, after = condition.holds(waiting), normal(condition).holds(waiting)
    if before is not None:
        assert after is before
    elif after is not None:
        for count in {0, bound, *(n for n in drawn.EDGES if n <= bound)}:
            counted = Facts(facts.protocol, facts.model, input_tokens=count, stream=facts.stream)
            assert condition.holds(counted) is after


@given(conditions)
def test_is_idempotent(condition: Condition) -> None:
    assert normal(normal(condition)) == normal(condition)


@given(conditions, st.randoms(use_true_random=False))
def test_order_and_repetition_of_parts_leave_no_trace(condition: Condition, random: Any) -> None:
    def stirred(c: Condition) -> Condition:
        match c:
            case All(parts) | AnyOf(parts):
                again = [stirred(p) for p in (*parts, *parts[:1])]
                random.shuffle(again)
                return type(c)(tuple(again))
            case Not(part):
                return Not(Not(Not(stirred(part))))
            case _:
                return All((c,))

    assert normal(stirred(condition)) == normal(condition)


@given(drawn.whens(), drawn.facts())
def test_a_compiled_when_holds_as_it_reads(raw: dict[str, Any], facts: Facts) -> None:
    when = When.model_validate(raw)
    assert compile_when(when).holds(facts) is holds(when, facts)


@given(globs, st.lists(st.text("ab", max_size=6), max_size=8))
def test_a_smaller_glob_set_is_the_same_set(patterns: Globs, texts: list[str]) -> None:
    small = normal_globs(patterns)
    for text in texts:
        assert (small is not None and small.matches(text)) is patterns.matches(text)
    if small is not None:
        assert normal_globs(small) == small


@given(pieces, pieces, st.text("abc", max_size=6))
def test_a_pattern_covers_what_it_matches_as_text(wide: str, narrow: str, text: str) -> None:
    if glob_matches(wide, narrow) and glob_matches(narrow, text):
        assert glob_matches(wide, text)


@given(st.lists(pieces, min_size=1, max_size=3), st.text("ab", max_size=8))
def test_globs_match_as_regular_expressions_do(patterns: list[str], text: str) -> None:
    assert Globs.of(tuple(patterns)).matches(text) is among(tuple(patterns), text)


@given(conditions, drawn.facts())
def test_what_holds_is_admitted(condition: Condition, facts: Facts) -> None:
    if condition.holds(facts):
        assert facts.protocol in admitted(condition)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        (All(()), ALWAYS),
        (AnyOf(()), NEVER),
        (ProtocolIn(frozenset(Protocol)), ALWAYS),
        (Not(ProtocolIn(frozenset(Protocol))), NEVER),
        (Not(Not(ModelMatches(Globs(("a",))))), ModelMatches(Globs(("a",)))),
        (Not(Flag("stream", True)), Flag("stream", False)),
        (All((Flag("stream", True), Flag("stream", False))), NEVER),
        (AnyOf((PrefixIn(Globs(("x",))), Not(PrefixIn(Globs(("x",)))))), ALWAYS),
        (AnyOf((TokensIn(0, 10), TokensIn(10, 20), TokensIn(30, None))), AnyOf((TokensIn(0, 20), TokensIn(30, None)))),
        (All((TokensIn(5, None), TokensIn(0, 10))), TokensIn(5, 10)),
        (All((TokensIn(10, None), TokensIn(0, 10))), NEVER),
        (ModelMatches(Globs((), ("x*",))), ModelMatches(Globs(("*",), ("x*",)))),
        (ModelMatches(Globs(("xy",), ("x*",))), NEVER),
        (ModelMatches(Globs(("a**", "ab*", "a*"))), ModelMatches(Globs(("a*",)))),
        # A request may lack these facts, so that letting everything through is still a question.
        (ModelMatches(Globs(("*",))), ModelMatches(Globs(("*",)))),
        (TokensIn(0, None), TokensIn(0, None)),
    ],
)
def test_known_forms(condition: Condition, wanted: Condition) -> None:
    assert normal(condition) == wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ({}, set()),
        ({"protocol": ["chat", "messages"]}, {"chat", "messages"}),
        ({"not": {"protocol": "chat"}}, set()),
        ({"not": {"not": {"protocol": "chat"}}}, {"chat"}),
        ({"any": [{"protocol": "gemini"}, {"model": "x"}]}, {"gemini"}),
    ],
)
def test_protocols_named_to_let_them_in(raw: dict[str, Any], wanted: set[str]) -> None:
    assert {p.value for p in asked_for(When.model_validate(raw))} == wanted
