"""The law of sticky long context at its edges; random tables are in tests/runtime/test_sticky.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.decide import Decider, Decision
from ccx.routing.facts import Facts
from ccx.routing.sticky import by_highest, is_remembered, least_tokens, takes_part
from ccx.routing.table import RoutingTable
from ccx.spec.document import Spec

FACTS = Facts(Protocol.CHAT, "m", tokens_at_most=50)


def table(*routes: object) -> RoutingTable:
    raw = {"version": "ccx/v1", "channels": {"a": {"provider": "demo"}, "b": {"provider": "demo"}}, "routes": routes}
    return compile_spec(Spec.model_validate(raw)).table


TABLE = table(
    {"name": "chores", "when": {"model": "tiny"}, "to": ["a"]},
    {"name": "gold", "when": {"header": {"x-tier": "gold"}, "input_tokens": "< 20"}, "to": ["a"]},
    {"name": "too-long", "when": {"input_tokens": ">= 900"}, "deny": {"message": "too long"}},
    {"name": "long", "when": {"input_tokens": ">= 100"}, "to": ["a"]},
    {"name": "rest", "to": ["b"]},
)
DECIDER = Decider(TABLE)


def route(decision: Decision | None) -> str | None:
    return decision.route.name if decision is not None and decision.route is not None else None


def test_the_least_number_that_anything_is_compared_with() -> None:
    assert least_tokens(TABLE) == 20
    assert least_tokens(table({"name": "r", "when": {"input_tokens": ">= 0"}, "to": ["a"]})) is None
    assert least_tokens(table({"name": "r", "to": ["a"]})) is None
    assert least_tokens(table({"name": "r", "when": {"not": {"input_tokens": "0..7"}}, "to": ["a"]})) == 7


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        (FACTS, True),
        (replace(FACTS, tokens_at_most=0), True),  # whatever its own tokens are
        (replace(FACTS, input_tokens=5000), True),
        (replace(FACTS, tokens_at_most=None), False),  # nothing to count
        (replace(FACTS, model="tiny"), False),  # decided before any rule asks
        (replace(FACTS, headers={"x-tier": "gold"}), True),
    ],
)
def test_who_takes_part(facts: Facts, part: bool) -> None:
    assert takes_part(DECIDER, facts) is part


@pytest.mark.parametrize(
    ("own", "highest", "decided"),
    [
        (99, None, None),
        (99, 99, None),
        (99, 98, None),
        (99, 100, "long"),  # one more than its own, and the one that matters
        (5, 899, "long"),
        (5, 900, None),  # the memory never refuses
        (1000, 899, None),  # nor does it save what is too long by itself
    ],
)
def test_which_count_decides(own: int, highest: int | None, decided: str | None) -> None:
    assert route(by_highest(DECIDER, replace(FACTS, input_tokens=own), highest)) == decided


def test_a_bound_below_every_number_is_as_good_as_a_count() -> None:
    bounded = replace(FACTS, tokens_at_most=19)
    assert by_highest(DECIDER, bounded, 19) is None
    assert route(by_highest(DECIDER, bounded, 20)) == "rest"
    assert route(by_highest(DECIDER, bounded, 100)) == "long"


def test_only_who_is_to_be_served_is_remembered() -> None:
    def remembered(count: int) -> bool:
        decision = DECIDER.decide(replace(FACTS, input_tokens=count))
        assert isinstance(decision, Decision)
        return is_remembered(decision)

    assert [remembered(count) for count in (1, 100, 899, 900)] == [True, True, True, False]
