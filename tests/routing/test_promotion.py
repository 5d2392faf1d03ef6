"""Periods of promotion: their edges, how they are written, and what they do to the order of targets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ccx.plan.readable import channel_fields
from ccx.protocols.names import Protocol
from ccx.routing.canonical import digest, table_json
from ccx.routing.compile import Compiled, compile_spec
from ccx.routing.decide import Decider, Decision, Step
from ccx.routing.decode import table_of
from ccx.routing.facts import Facts
from ccx.routing.promotion import holds, moment, overlap, promoted_first
from ccx.routing.table import Promotion
from ccx.spec.document import Spec
from ccx.spec.scalars import parse_moment

periods = st.builds(Promotion, st.integers(1, 12), st.none() | st.integers(0, 12)).filter(
    lambda period: period.start is None or period.start < period.until
)


def compiled(**promote: object) -> Compiled:
    channel = {"provider": "demo", **({"promote": promote} if promote else {})}
    raw = {"version": "ccx/v1", "channels": {"a": {"provider": "demo"}, "b": channel, "c": {"provider": "demo"}}}
    to = ["a", {"balance": "weighted", "targets": ["b", {"channel": "c", "weight": 3}]}]
    return compile_spec(Spec.model_validate({**raw, "routes": [{"name": "r", "to": to}]}))


@given(periods, periods)
def test_periods_overlap_where_some_moment_is_in_both(one: Promotion, other: Promotion) -> None:
    both = [at for at in range(-1, 13) if holds(one, at) and holds(other, at)]
    assert overlap(one, other) is overlap(other, one) is bool(both)


@given(st.integers(0, 4_000_000_000_000))
def test_a_moment_reads_as_it_is_written(at: int) -> None:
    assert parse_moment(moment(at)) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T01:00:00.25+01:00", 250),
        ("1970-01-01t00:00:01z", 1000),
        ("1969-12-31T23:00-01:30", 1_800_000),
    ],
)
def test_an_offset_only_names_the_moment(text: str, at: int) -> None:
    assert parse_moment(text) == at


@pytest.mark.parametrize("text", ["2026-12-01", "2026-12-01T00:00", "2026-02-30T00:00Z", "soon", 20261201, None])
def test_what_is_no_moment(text: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_moment(text)


def test_the_table_keeps_moments_and_no_spelling() -> None:
    one = compiled(**{"from": "2026-12-01T00:00Z", "until": "2026-12-15T00:00Z"})
    same = compiled(**{"from": "2026-12-01T08:00:00.000+08:00", "until": "2026-12-14T23:00-01:00"})
    assert one.servable
    assert one.digest == same.digest != compiled().digest
    assert b"promote" not in table_json(compiled().table)
    back = table_of(table_json(one.table))
    assert back == one.table
    assert digest(back) == one.digest
    said = "goes first from 2026-12-01T00:00Z until 2026-12-15T00:00Z"
    assert channel_fields(one.table.channel("b"))[("promote",)] == said
    since_ever = compiled(until="2026-12-15T00:00Z").table.channel("b")
    assert channel_fields(since_ever)[("promote",)] == "goes first until 2026-12-15T00:00Z"


@pytest.mark.parametrize("until", ["2026-12-01T00:00Z", "2026-11-30T00:00Z"])
def test_a_promotion_that_ends_before_it_begins_is_an_error(until: str) -> None:
    found = compiled(**{"from": "2026-12-01T00:00Z", "until": until})
    assert [(one.code, one.pointer) for one in found.diagnostics] == [("CCX141", "/channels/b/promote/until")]


def test_a_promotion_needs_an_end() -> None:
    with pytest.raises(ValidationError, match="until"):
        compiled(**{"from": "2026-12-01T00:00Z"})


def names(steps: Iterable[Step]) -> list[list[str]]:
    return [[choice.channel.name for choice in step.choices] for step in steps]


@pytest.mark.parametrize(
    ("promoted", "order"),
    [
        (set[str](), [["a"], ["b", "c"]]),
        ({"c"}, [["c"], ["a"], ["b"]]),
        ({"b", "c"}, [["b", "c"], ["a"]]),
        ({"a"}, [["a"], ["b", "c"]]),
        ({"c", "a"}, [["a"], ["c"], ["b"]]),
        ({"elsewhere"}, [["a"], ["b", "c"]]),
    ],
)
def test_the_promoted_go_first_and_the_rest_as_it_was(promoted: set[str], order: list[list[str]]) -> None:
    decision = Decider(compiled().table).decide(Facts(Protocol.CHAT, "m"))
    assert isinstance(decision, Decision)
    found = promoted_first(decision.steps, promoted)
    assert names(found) == order
    assert {c for step in found for c in step.choices} == {c for step in decision.steps for c in step.choices}
