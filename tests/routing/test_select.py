"""Balancing against oracles: exact cycles, the least load by brute force, and shares of fallbacks."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.names import Protocol
from ccx.routing.decide import Choice, Step
from ccx.routing.select import key_id, order, pick_key, stable_ids
from ccx.routing.table import Balance, Channel, KeyStrategy, Route, RoutingTable, Surface
from ccx.state.memory import MemoryState

SURFACE = Surface(Protocol.CHAT, "demo", "", 0, "", "none")
weights = st.lists(st.integers(1, 9), min_size=1, max_size=5)
BALANCES: list[Balance] = ["priority", "round_robin", "weighted", "least_connections", "least_latency", "least_cost"]


def step(balance: Balance, shares: list[int]) -> Step:
    """Targets a, b, c... with these weights."""
    choices = tuple(Choice(Channel(chr(97 + n), "demo", (SURFACE,)), SURFACE, "m", w) for n, w in enumerate(shares))
    return Step(choices, balance, "none", f"r#0:{len(shares)}")


def names(choices: tuple[Choice, ...]) -> str:
    """The channels, in order."""
    return "".join(choice.channel.name for choice in choices)


def never() -> float:
    """For where no randomness may be asked for."""
    raise AssertionError("not random")


@given(st.sampled_from(BALANCES), weights, st.integers(0, 9), st.randoms(use_true_random=False))
def test_every_order_is_a_permutation(balance: Balance, shares: list[int], turns: int, rng: random.Random) -> None:
    view, one = MemoryState(), step(balance, shares)
    for _ in range(turns + 1):
        assert sorted(names(order(one, view=view, rng=rng.random))) == sorted(names(one.choices))


def test_priority_is_as_written() -> None:
    view = MemoryState()
    assert [names(order(step("priority", [1, 9, 1]), view=view, rng=never)) for _ in range(3)] == ["abc"] * 3
    assert len(view) == 0


def test_the_cheapest_comes_first_and_what_has_no_price_last() -> None:
    costs = {"a": None, "b": Decimal("0.3"), "c": Decimal("0.1"), "d": Decimal("0.1")}
    one, view = step("least_cost", [1, 1, 1, 1]), MemoryState()
    found = [names(order(one, view=view, rng=never, costs=lambda c: costs[c.channel.name])) for _ in range(3)]
    assert found == ["cdba", "dcba", "cdba"]


def test_of_two_drawn_the_quicker_comes_first() -> None:
    figures = {"a": 0.9, "b": 0.1, "c": 0.5}
    one, view = step("least_latency", [1, 1, 1]), MemoryState()
    rng = random.Random(3)
    firsts = Counter(
        names(order(one, view=view, rng=rng.random, latencies=lambda c: figures[c.channel.name]))[0]
        for _ in range(3000)
    )
    assert firsts["a"] == 0  # of any two, the other is better
    assert abs(firsts["b"] / 3000 - 2 / 3) < 0.05
    assert abs(firsts["c"] / 3000 - 1 / 3) < 0.05


def test_requests_under_way_count_as_waiting_time() -> None:
    one, view = step("least_latency", [1, 1]), MemoryState()
    for _ in range(9):
        view.begin("a")
    found = {names(order(one, view=view, rng=random.Random(n).random, latencies=lambda _: 0.2)) for n in range(20)}
    assert found == {"ba"}


@given(st.sampled_from(BALANCES), weights, st.binary(max_size=20))
def test_a_key_is_always_sent_the_same_way(balance: Balance, shares: list[int], key: bytes) -> None:
    one, view = step(balance, shares), MemoryState()
    found = {names(order(one, view=view, rng=never, key=key)) for _ in range(3)}
    assert len(found) == 1
    assert len(view) == 0
    gone = next(iter(found))[0]
    left = Step(tuple(c for c in one.choices if c.channel.name != gone), balance, "session", one.id)
    assert names(order(left, view=view, rng=never, key=key)) == next(iter(found))[1:]


def test_keys_are_shared_by_weight_where_weights_mean_something() -> None:
    view = MemoryState()
    for balance, expected in (("weighted", 0.25), ("round_robin", 0.5)):
        one = step(cast(Balance, balance), [1, 3])
        firsts = Counter(names(order(one, view=view, rng=never, key=str(n).encode()))[0] for n in range(4000))
        assert abs(firsts["a"] / 4000 - expected) < 0.03


def test_round_robin_takes_turns_and_rotates_its_fallback() -> None:
    view, one = MemoryState(), step("round_robin", [5, 1, 1])
    assert [names(order(one, view=view, rng=never)) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_a_step_of_one_takes_no_turn() -> None:
    view = MemoryState()
    for balance in BALANCES:
        assert names(order(step(balance, [3]), view=view, rng=never)) == "a"
    assert len(view) == 0


def test_weighted_is_smooth() -> None:
    """The sequence that nginx documents for 5, 1, 1."""
    view, one = MemoryState(), step("weighted", [5, 1, 1])
    firsts = "".join(names(order(one, view=view, rng=lambda: 0.0))[0] for _ in range(14))
    assert firsts == "aabacaa" * 2


@given(weights, st.integers(1, 3))
def test_weighted_cycles_are_exact(shares: list[int], cycles: int) -> None:
    view, total = MemoryState(), sum(shares)
    for _ in range(cycles):
        counts = Counter(view.smooth("s", tuple(shares)) for _ in range(total))
        assert counts == Counter({n: w for n, w in enumerate(shares) if w})


@given(weights)
def test_weighted_is_never_far_from_its_share(shares: list[int]) -> None:
    view, total = MemoryState(), sum(shares)
    counts: Counter[int] = Counter()
    for turn in range(1, 2 * total + 1):
        counts[view.smooth("s", tuple(shares))] += 1
        for place, share in enumerate(shares):
            assert abs(counts[place] - Fraction(turn * share, total)) < len(shares)


def test_the_fallback_of_a_weighted_target_is_shared_by_weight() -> None:
    view, one, rng = MemoryState(), step("weighted", [4, 3, 1]), random.Random(7)
    seconds = Counter(names(order(one, view=view, rng=rng.random))[:2] for _ in range(8000))
    after_a = seconds["ab"] / (seconds["ab"] + seconds["ac"])
    assert seconds["ab"] + seconds["ac"] == 4000
    assert 0.72 < after_a < 0.78


@pytest.mark.parametrize("edge", [0.0, 0.999999999999, 1.0])
def test_the_edges_of_randomness(edge: float) -> None:
    for _ in range(3):
        assert sorted(names(order(step("weighted", [1, 2, 3]), view=MemoryState(), rng=lambda: edge))) == [
            "a",
            "b",
            "c",
        ]


@given(weights, st.lists(st.integers(0, 6), min_size=5, max_size=5), st.integers(0, 6))
def test_least_connections_is_the_least_load(shares: list[int], busy: list[int], turns: int) -> None:
    view, one = MemoryState(), step("least_connections", shares)
    for choice, count in zip(one.choices, busy, strict=False):
        for _ in range(count):
            view.begin(choice.channel.name)
    load = {c.channel.name: Fraction(view.inflight(c.channel.name), c.weight) for c in one.choices}
    for _ in range(turns + 1):
        got = names(order(one, view=view, rng=never))
        assert [load[name] for name in got] == sorted(load.values())


def test_least_connections_shares_what_is_idle() -> None:
    view, one = MemoryState(), step("least_connections", [1, 1, 1])
    assert "".join(names(order(one, view=view, rng=never))[0] for _ in range(6)) == "abcabc"
    view.begin("b")
    assert {names(order(one, view=view, rng=never)) for _ in range(4)} == {"acb", "cab"}


@given(weights, st.integers(1, 40))
def test_least_connections_under_load_keeps_the_shares(shares: list[int], requests: int) -> None:
    """Requests that all stay under way are spread so that no one could be moved to a lighter target."""
    view, one = MemoryState(), step("least_connections", shares)
    for _ in range(requests):
        view.begin(order(one, view=view, rng=never)[0].channel.name)
    for heavy in one.choices:
        for light in one.choices:
            most = Fraction(max(view.inflight(heavy.channel.name) - 1, 0), heavy.weight)
            assert most <= Fraction(view.inflight(light.channel.name), light.weight)


def pool(strategy: str) -> Channel:
    """A channel with this strategy."""
    return Channel("c", "demo", (SURFACE,), key_strategy=cast("KeyStrategy", strategy))


def test_keys_in_order() -> None:
    view = MemoryState()
    assert [pick_key(pool("in_order"), [("x", 1), ("y", 5)], view=view) for _ in range(2)] == [(0, 1), (0, 1)]


@given(weights)
def test_keys_in_turn_by_weight(shares: list[int]) -> None:
    view, keys = MemoryState(), [(f"k{n}", w) for n, w in enumerate(shares)]
    total = 1 if len(shares) == 1 else sum(shares)
    counts = Counter(pick_key(pool("round_robin"), keys, view=view)[0] for _ in range(total))
    assert counts == Counter({0: 1} if len(shares) == 1 else dict(enumerate(shares)))


def test_the_key_least_used() -> None:
    view, keys = MemoryState(), [("x", 1), ("y", 2), ("z", 1)]
    view.begin("c", "x")
    view.begin("c", "y")
    assert view.inflight(key_id("c", "y")) == 1
    assert [pick_key(pool("least_used"), keys, view=view) for _ in range(2)] == [(2, 1, 0)] * 2
    view.end("c", "x")
    assert {pick_key(pool("least_used"), keys, view=view) for _ in range(2)} == {(0, 2, 1), (2, 0, 1)}


@pytest.mark.parametrize("strategy", ["in_order", "round_robin", "least_used"])
def test_a_key_of_weight_zero_is_never_tried(strategy: str) -> None:
    view = MemoryState()
    assert pick_key(pool(strategy), [("x", 0), ("y", 1), ("z", 0)], view=view) == (1,)
    assert pick_key(pool(strategy), [("x", 0)], view=view) == ()
    assert pick_key(pool(strategy), [], view=view) == ()
    assert sorted(pick_key(pool(strategy), [("x", 0), ("y", 1), ("z", 1)], view=view)) == [1, 2]


def test_counters_of_a_table_are_kept_over_a_swap() -> None:
    view, one = MemoryState(), step("round_robin", [1, 1])
    table = RoutingTable("ccx/v1", (pool("round_robin"),), (Route("r"),))
    order(one, view=view, rng=never)
    pick_key(table.channels[0], [("x", 1), ("y", 1)], view=view)
    view.retain(stable_ids(table))
    assert names(order(one, view=view, rng=never)) == "ba"
    assert pick_key(table.channels[0], [("x", 1), ("y", 1)], view=view) == (1, 0)
