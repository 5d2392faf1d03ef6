"""Verdicts against brute force: every way the unknown facts could be, by the engine itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from ccx.analysis.outcome import Judge, Outcome
from ccx.plan.replay.judging import Judging, Verdict
from ccx.plan.replay.logged import UNCOUNTABLE, Request, Row
from ccx.routing.compile import compile_spec
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable
from ccx.spec.document import Spec
from tests.plan.replay.logs import NEW, OLD, claude, table
from tests.routing.drawn import EDGES, facts, specs

FLAGS = ("stream", "tools", "thinking", "images")
NAMES = ("x-tier", "x-team")
PATHS = ("metadata.tier", "n")
COUNTS = sorted({n + d for n in EDGES for d in (-1, 0, 1) if n + d >= 0})


def compiled(spec: dict[str, Any]) -> RoutingTable:
    return compile_spec(Spec.model_validate(spec)).table


def logged(known: Facts, *, unknown: frozenset[str]) -> Row:
    """The row of a request of which the log does not say everything."""
    shown: dict[str, Any] = {flag: None if flag in unknown else getattr(known, flag) for flag in FLAGS}
    for group, names in (("headers", NAMES), ("body", PATHS)):
        values = getattr(known, group)
        shown[group] = json.encode({name: values.get(name) for name in names if name not in unknown})
    tools = None if "server_tools" in unknown else json.encode(sorted(known.server_tools))
    request = Request(
        known.protocol.value, known.model, None, named=True, prefix=known.prefix, server_tools=tools, **shown
    )
    counted = UNCOUNTABLE if known.input_tokens is None else known.input_tokens
    return Row(request, None if "input_tokens" in unknown else counted)


def completions(known: Facts, unknown: frozenset[str]) -> Iterator[Facts]:
    """Everything that the request may have been."""
    domains: list[list[dict[str, Any]]] = [
        [{flag: value} for value in (True, False)] for flag in FLAGS if flag in unknown
    ]
    if "input_tokens" in unknown:
        domains.append([{"input_tokens": count} for count in COUNTS])
    if "server_tools" in unknown:
        sets = (frozenset[str](), frozenset({"web_search"}), frozenset({"code", "web_search"}), frozenset({"shell"}))
        domains.append([{"server_tools": found} for found in sets])
    for group, names, values in (
        ("headers", NAMES, ("gold", "silver", "go", "1")),
        ("body", PATHS, ("gold", "silver", 0, 1, 2, True, 1.5)),
    ):
        gone = [name for name in names if name in unknown]
        rest = {name: value for name, value in getattr(known, group).items() if name not in unknown}
        if gone:
            choices = product((None, *values), repeat=len(gone))
            domains.append(
                [{group: rest | {n: v for n, v in zip(gone, c, strict=True) if v is not None}} for c in choices]
            )
    for choice in product(*domains):
        yield replace(known, **{name: value for part in choice for name, value in part.items()})


def anonymous(drawn: Facts) -> Facts:
    return replace(drawn, client=None, tags={}, direct=True)


@settings(max_examples=150)
@given(specs(), specs(), facts())
def test_a_request_that_is_known_whole_is_decided_as_the_engine_does(
    one: dict[str, Any], other: dict[str, Any], drawn: Facts
) -> None:
    old, new, known = compiled(one), compiled(other), anonymous(drawn)
    judging = Judging(old, new)
    row = logged(known, unknown=frozenset())
    verdict = judging.verdict(row.request, *judging.tokens(row))
    assert verdict == Verdict(Judge(old).outcome(known), Judge(new).outcome(known))


@settings(max_examples=150)
@given(
    specs(),
    specs(),
    facts(),
    st.frozensets(st.sampled_from([*FLAGS, "input_tokens", "server_tools", *NAMES, *PATHS]), max_size=3),
)
def test_what_is_not_known_is_never_guessed(
    one: dict[str, Any], other: dict[str, Any], drawn: Facts, unknown: frozenset[str]
) -> None:
    old, new, known = compiled(one), compiled(other), anonymous(drawn)
    judging = Judging(old, new)
    row = logged(known, unknown=unknown)
    verdict = judging.verdict(row.request, *judging.tokens(row))
    before, after = Judge(old), Judge(new)
    seen = {(before.outcome(maybe), after.outcome(maybe)) for maybe in completions(known, unknown)}
    if verdict.before is not None or verdict.after is not None:
        assert seen == {(verdict.before, verdict.after)}
    elif not verdict.doubts:
        assert all(was == now for was, now in seen)
    if len(seen) == 1 and not unknown - {*FLAGS, "input_tokens"}:
        assert verdict.before is not None  # where every way is tried as it is, what is sure is known


def test_a_count_near_a_number_is_in_doubt_and_one_far_from_it_is_not() -> None:
    judging = Judging(OLD, NEW)
    request = Request("messages", "claude-sonnet-4-5", named=True)

    def verdict(**tokens: int) -> Verdict:
        return judging.verdict(request, *judging.tokens(Row(request, **tokens)))

    assert verdict(prompt=1_000).moved is False
    assert verdict(prompt=1_000).before is not None
    assert verdict(prompt=45_000).moved
    assert verdict(prompt=29_000).doubts == ("input_tokens",)
    assert verdict(prompt=29_000, at_most=29_999).doubts == ()
    assert verdict(prompt=29_000, counted=30_000).before == verdict(prompt=1_000).before
    assert verdict(prompt=29_000, counted=30_001).moved
    assert verdict(counted=UNCOUNTABLE).before == verdict(prompt=1_000).before
    assert verdict().doubts == ("input_tokens",)


def test_doubts_name_the_facts() -> None:
    new = table(
        {
            "name": "all",
            "when": {
                "any": [
                    {"header": {"x-tier": "gold"}, "body": {"a.b": 1}, "server_tools": "web_*"},
                    {"client": "team-*"},
                    {"tools": True},
                ],
            },
            "to": ["lab"],
        },
        {"name": "rest", "to": ["anthropic"]},
    )
    judging = Judging(OLD, new)
    verdict = judging.verdict(Request("messages", "claude-x"), 0, 0)
    assert set(verdict.doubts) == {"tools", "header x-tier", "body a.b", "server_tools", "client"}
    assert judging.verdict(Request("messages", "claude-x", tools=True), 0, 0).doubts == ()


def test_too_many_questions_are_in_doubt() -> None:
    many = [{"name": f"r{n}", "when": {"header": {f"x-{n}": "a"}}, "to": ["lab" if n else "gemini"]} for n in range(12)]
    judging = Judging(OLD, table(*many, {"name": "rest", "to": ["anthropic"]}))
    verdict = judging.verdict(Request("messages", "claude-x", named=True), 0, 0)
    assert (verdict.before, len(verdict.doubts)) == (None, 12)


def test_facts_that_are_not_facts_are_in_doubt() -> None:
    judging = Judging(OLD, NEW)
    cases: tuple[dict[str, Any], ...] = (
        {"headers": b"[]"},
        {"body": b"1"},
        {"server_tools": b"{}"},
        {"tags": b"[" * 5000},
        {"body": b"{"},
    )
    for broken in cases:
        request = Request("messages", "claude-x", named=True, **broken)
        assert judging.verdict(request, 0, 0).doubts == ("the line's facts",)


KEY = {"key": {"sha256": "1" * 64}}


def test_a_client_that_only_one_side_declares_is_turned_away_by_the_other() -> None:
    with_a = table({"name": "all", "to": ["anthropic"]}, clients={"a": KEY})
    with_b = table({"name": "all", "to": ["anthropic"]}, clients={"b": {"key": {"sha256": "2" * 64}}})
    without = table({"name": "all", "to": ["anthropic"]})
    refused = Outcome("refused")

    def of(old: RoutingTable, new: RoutingTable, client: str | None, *, named: bool = True) -> Verdict:
        return Judging(old, new).verdict(Request("messages", "claude-x", client, named), 0, 0)

    served = Judge(without).outcome(claude(0))
    assert of(with_a, with_b, "a") == Verdict(served, refused)
    assert of(with_a, with_b, "b") == Verdict(refused, served)
    assert of(with_a, with_b, "alias of another gateway") == Verdict(served, served)
    assert of(without, with_a, None) == Verdict(served, refused)
    assert of(without, with_a, None, named=False) == Verdict(served, served)


def test_rights_and_tags_are_those_each_side_gives() -> None:
    routes = (
        {"name": "core", "when": {"tag": {"team": "core"}}, "to": ["gemini"]},
        {"name": "rest", "to": ["anthropic"]},
    )
    old = table(*routes, clients={"a": {**KEY, "tags": {"team": "core"}}})
    new = table(*routes, clients={"a": {**KEY, "models": ["gpt-*"]}})
    request = Request("messages", "claude-x", "a", named=True, tags=b'{"team":"other"}')
    verdict = Judging(old, new).verdict(request, 0, 0)
    assert verdict.before is not None
    assert verdict.before.channels == ("gemini",)
    assert verdict.after is not None
    assert verdict.after.kind == "refused"


def test_what_a_session_was_remembered_by_decides_where_both_tables_remember() -> None:
    raw = {
        "version": "ccx/v1",
        "channels": {"a": {"provider": "demo"}, "b": {"provider": "demo"}},
        "routes": [{"name": "long", "when": {"input_tokens": "> 100"}, "to": ["a"]}, {"name": "rest", "to": ["b"]}],
    }
    plain = compiled(raw)
    sticky = compiled({**raw, "tokens": {"sticky": "1h"}})
    own = Row(Request("messages", "m", named=True), 50)
    long = Row(Request("messages", "m", named=True), 50, sticky=200)

    def routes(old: RoutingTable, new: RoutingTable, row: Row) -> tuple[str | None, str | None]:
        """Whereto it goes on each."""
        judging = Judging(old, new)
        found = judging.verdict(judging.remembered(row), *judging.tokens(row))
        assert found.before is not None
        assert found.after is not None
        return found.before.route, found.after.route

    assert routes(sticky, sticky, own) == ("rest", "rest")
    assert routes(sticky, sticky, long) == ("long", "long")
    assert routes(plain, plain, long) == ("rest", "rest")
    assert routes(sticky, plain, long) == ("long", "rest")
    uncountable = Row(Request("messages", "m", named=True), UNCOUNTABLE, sticky=200)
    assert routes(sticky, sticky, uncountable) == ("rest", "rest")
