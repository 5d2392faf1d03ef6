"""What must hold of any comparison, whatever the tables."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ccx.analysis.compare import common_order, compare
from ccx.analysis.effort import Budget
from ccx.analysis.outcome import Judge
from ccx.protocols.names import Protocol
from ccx.routing.conditions import ALWAYS, All, AnyOf, ClientIn, Flag, ModelMatches, Not, TokensIn
from ccx.routing.globs import Globs
from ccx.routing.table import Channel, Client, Deny, Key, Route, RoutingTable, Server, Surface, Target, Tier
from ccx.secrets import SecretRef
from tests.analysis.drawn import edited, table, taste
from tests.analysis.synthetic import edited as edited_large
from tests.analysis.synthetic import table as large


def _channel(name: str, **changes: object) -> Channel:
    surface = Surface(Protocol.MESSAGES, "https", "up.test", 443, "/v1", "bearer")
    made = Channel(name, "openai", (surface,), keys=(Key(SecretRef("env", "K")),))
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of Channel by name


def _to(*names: str) -> tuple[Tier, ...]:
    return tuple(Tier((Target(name),)) for name in names)


def _table(*routes: Route, channels: tuple[Channel, ...] = (), **changes: object) -> RoutingTable:
    named = {channel.name: channel for channel in (_channel("a"), _channel("b"), *channels)}
    made = RoutingTable("ccx/v1", tuple(named[name] for name in sorted(named)), routes, server=Server(direct=False))
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of RoutingTable by name


def _model(*patterns: str) -> ModelMatches:
    return ModelMatches(Globs.of(patterns))


CLAUDE = _model("claude-*")


def test_a_table_does_not_differ_from_itself() -> None:
    for seed in range(40):
        r = random.Random(seed)
        one = table(r, taste(r))
        assert compare(one, one).none


def test_the_other_way_round_it_is_the_inverse() -> None:
    for seed in range(60):
        r = random.Random(seed)
        t = taste(r)
        old = table(r, t)
        new = edited(r, old, t)
        there = {(c.before, c.after, c.before.route, c.after.route) for c in compare(old, new).changes}
        back = {(c.after, c.before, c.after.route, c.before.route) for c in compare(new, old).changes}
        assert there == back


def test_names_take_no_part() -> None:
    for seed in range(40):
        r = random.Random(seed)
        one = table(r, taste(r))
        renamed = replace(one, routes=tuple(replace(route, name=f"other-{route.name}") for route in one.routes))
        assert compare(one, renamed).none


def test_neighbours_that_share_no_request_may_change_places() -> None:
    first, second = Route("x", CLAUDE, _to("a")), Route("y", _model("gpt-*"), _to("b"))
    assert compare(_table(first, second), _table(second, first)).none


def test_neighbours_that_share_requests_may_not() -> None:
    first, second = Route("x", CLAUDE, _to("a")), Route("y", _model("*-mini"), _to("b"))
    [change] = compare(_table(first, second), _table(second, first)).changes
    assert (change.before.route, change.after.route) == ("x", "y")
    assert [str(region.when) for region in change.regions] == [
        "model ~ claude-*-mini, claude-mini and protocol is chat|gemini|messages|responses"
    ]


def test_a_range_split_in_two_is_the_same() -> None:
    whole = Route("x", All((CLAUDE, TokensIn(1_000, 9_000))), _to("a"))
    parts = [Route(f"x{low}", All((CLAUDE, TokensIn(low, low + 4_000))), _to("a")) for low in (1_000, 5_000)]
    assert compare(_table(whole), _table(*parts)).none


def test_a_union_split_by_flags_is_the_same() -> None:
    whole = Route("x", AnyOf((CLAUDE, _model("gpt-*"))), _to("a"))
    parts = [Route(f"x{value}", All((whole.when, Flag("tools", value))), _to("a")) for value in (True, False)]
    assert compare(_table(whole), _table(*parts)).none


def test_a_route_behind_a_catch_all_changes_nothing() -> None:
    last = Route("rest", ALWAYS, _to("a"))
    assert compare(_table(last), _table(last, Route("x", CLAUDE, _to("b")))).none


def test_a_moved_threshold_is_one_region_with_its_lowest_count() -> None:
    def at(count: int) -> RoutingTable:
        long = Route("long", All((CLAUDE, TokensIn(count, None))), _to("b"))
        return _table(long, Route("rest", ALWAYS, _to("a")))

    found = compare(at(200_000), at(128_000))
    by_kind = {change.after.kind: change for change in found.changes}
    [region] = by_kind["routed"].regions
    assert (
        str(region.when)
        == "model ~ claude-* and protocol is chat|gemini|messages|responses and 128,000 <= input_tokens < 200,000"
    )
    assert region.witness.input_tokens == 128_000
    assert (region.witness.model or "").startswith("claude-")


def test_a_channel_that_is_renamed_upstream_changes_those_models_only() -> None:
    routes = (Route("rest", ALWAYS, _to("a")),)
    old = _table(*routes, channels=(_channel("a", models=(("claude-*", None), ("claude-opus-*", "o-1"))),))
    new = _table(*routes, channels=(_channel("a", models=(("claude-*", None), ("claude-opus-*", "o-2"))),))
    changes = compare(old, new).changes
    assert [str(region.when) for change in changes for region in change.regions] == [
        "model ~ claude-opus-* and protocol is chat|gemini|messages|responses"
    ]


def test_a_rename_to_the_name_asked_for_is_none() -> None:
    routes = (Route("rest", ALWAYS, _to("a")),)
    old = _table(*routes, channels=(_channel("a", models=(("claude-*", "claude-1"),)),))
    new = _table(*routes, channels=(_channel("a", models=(("claude-*", None),)),))
    [change] = compare(old, new).changes
    [region] = change.regions
    assert str(region.when) == "model ~ claude-*, !claude-1 and protocol is chat|gemini|messages|responses"


def test_a_caller_who_names_a_channel_is_told_from_one_who_names_a_model() -> None:
    routes = (Route("rest", ALWAYS, _to("a")),)
    old, new = _table(*routes), _table(*routes, server=Server(direct=True))
    shown = {
        (change.before.route, change.after.route, str(region.when))
        for change in compare(old, new).changes
        for region in change.regions
    }
    protocols = "protocol is chat|gemini|messages|responses"
    assert ("rest", "@a", f"model ~ a,*, a/*, !a,, !a/ and {protocols}") in shown
    assert ("rest", "@b", f"model ~ b,*, b/*, !b,, !b/ and {protocols}") in shown


def test_a_client_that_may_no_longer_ask() -> None:
    routes = (Route("rest", ALWAYS, _to("a")),)
    free = Client("team", ("00",))
    old = _table(*routes, clients=(free,))
    new = _table(*routes, clients=(replace(free, models=Globs(("claude-*",))),))
    shown = {(change.after.kind, str(region.when)) for change in compare(old, new).changes for region in change.regions}
    assert shown == {
        ("refused", "not (model ~ claude-*) and protocol is chat|gemini|messages|responses"),
        ("refused", "not (model ~ claude-*) and protocol is embeddings|images"),
    }


def test_tags_are_those_that_each_table_gives() -> None:
    team = Client("team", ("00",), tags=(("tier", "gold"),))
    routes = (Route("gold", ClientIn(Globs(("team",))), _to("b")), Route("rest", ALWAYS, _to("a")))
    moved = compare(_table(*routes, clients=(team,)), _table(*routes, clients=(replace(team, tags=()),)))
    assert moved.none


def test_an_outcome_is_more_than_targets() -> None:
    refused = Route("x", CLAUDE, deny=Deny(403, "no"))
    [change] = compare(_table(refused), _table(replace(refused, deny=Deny(429, "no")))).changes
    assert (change.before.kind, change.after.kind) == ("denied", "denied")


def test_within_restricts_what_is_compared() -> None:
    old, new = _table(Route("x", CLAUDE, _to("a"))), _table(Route("x", CLAUDE, _to("b")))
    within = All((_model("claude-opus-*"), Not(Flag("stream", True))))
    changes = compare(old, new, within=within).changes
    assert {str(region.when) for change in changes for region in change.regions} == {
        "model ~ claude-opus-* and protocol is chat|gemini|messages|responses and stream is false"
    }
    assert compare(old, new, within=_model("gpt-*")).none


def test_past_the_budget_nothing_is_claimed() -> None:
    old = large(1, 60)
    found = compare(old, large(2, 60), budget=Budget(states=2_000))
    assert found.unfinished is not None
    assert "2,000 states" in found.unfinished
    assert not found.complete
    assert not found.none
    for change in found.changes:
        for region in change.regions:
            assert Judge(old).outcome(region.witness) == change.before


def test_past_the_time_nothing_is_claimed() -> None:
    asked: list[bool] = []

    def expired() -> bool:
        asked.append(True)
        return len(asked) > 2

    found = compare(large(1, 60), large(2, 60), budget=Budget(expired=expired))
    assert found.unfinished is not None
    assert "time" in found.unfinished
    assert len(asked) == 3


def test_no_more_regions_are_listed_than_asked_for() -> None:
    old = large(3, 40)
    found = compare(old, edited_large(old, 4), regions=1)
    assert found.complete
    assert max(len(change.regions) for change in found.changes) <= 6  # one area, said in several conditions
    assert any(change.more for change in found.changes)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("abc", "abc", [(0, 0), (1, 1), (2, 2)]),
        ("abc", "acb", [(0, 0), (1, 2)]),
        ("abcd", "xbyd", [(1, 1), (3, 3)]),
        ("aab", "ab", [(0, 0), (2, 1)]),
        ("", "a", []),
    ],
)
def test_common_order(one: str, other: str, expected: list[tuple[int, int]]) -> None:
    found = common_order(one, other)
    assert len(found) == len(expected)
    assert all(one[a] == other[b] for a, b in found)
    assert found == sorted(found)
