"""The order of attempts, over every sequence of outcomes."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.names import Protocol
from ccx.routing.decide import Choice, Step
from ccx.routing.table import Channel, Failover, Surface
from ccx.runtime.schedule import Move, Schedule
from ccx.upstream.outcome import REMEDIES, FailureClass

CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)


def choice(name: str) -> Choice:
    surface = Surface(Protocol.MESSAGES, "http", "127.0.0.1", 1, "/v1", "none")
    return Choice(Channel(name, "generic", (surface,)), surface, "m", 1)


def schedule(
    names: str,
    *,
    failover: Failover,
    keys: int = 0,
    started: float = 0.0,
) -> Schedule:
    steps = tuple(Step((choice(name),), "priority", "none", id=name) for name in names)
    return Schedule(
        steps,
        failover,
        order=lambda step: step.choices,
        keys=lambda _: tuple(range(keys)),
        random=lambda: 1.0,
        started=started,
    )


def run(plan: Schedule, outcomes: list[FailureClass], *, each: float = 0.0) -> list[Move]:
    """Play failures until the schedule gives up."""
    moves: list[Move] = []
    now = 0.0
    move = plan.first()
    while move is not None:
        now += move.wait + each
        moves.append(move)
        failure = outcomes[min(len(moves) - 1, len(outcomes) - 1)]
        move = plan.after(move, failure, retry_after=None, now=now)
    return moves


ALL = Failover(on=frozenset(CLASSES), attempts=4)


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_no_sequence_breaks_the_bounds(attempts: int) -> None:
    for outcomes in itertools.product(CLASSES, repeat=3):
        moves = run(schedule("ab", failover=Failover(on=ALL.on, attempts=attempts), keys=2), list(outcomes))
        assert 1 <= len(moves) <= attempts
        for before, after, failure in zip(moves, moves[1:], outcomes, strict=False):
            same_target = before.choice.channel.name == after.choice.channel.name
            if same_target and before.key == after.key:
                assert after.wait > 0
            elif same_target and after.wait == 0:
                assert REMEDIES[failure].other_key


def test_targets_in_order_then_again_with_a_wait() -> None:
    moves = run(schedule("ab", failover=ALL), ["server_error"])
    assert [(m.choice.channel.name, m.wait > 0) for m in moves] == [
        ("a", False),
        ("b", False),
        ("a", True),
        ("b", True),
    ]


def test_waits_grow_and_are_capped() -> None:
    failover = Failover(on=ALL.on, attempts=6, backoff_initial=100, backoff_max=300)
    moves = run(schedule("a", failover=failover), ["overloaded"])
    assert [m.wait for m in moves] == [0, 0.1, 0.2, 0.3, 0.3, 0.3]


def test_keys_before_targets() -> None:
    moves = run(schedule("ab", failover=ALL, keys=2), ["auth"])
    assert [(m.choice.channel.name, m.key) for m in moves] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_a_dead_connection_is_not_the_keys_fault() -> None:
    moves = run(schedule("ab", failover=ALL, keys=2), ["connect", "connect"])
    assert [m.choice.channel.name for m in moves[:2]] == ["a", "b"]


def test_nothing_after_the_deadline() -> None:
    failover = Failover(on=ALL.on, attempts=10, deadline=1000)
    moves = run(schedule("abcdefgh", failover=failover), ["timeout"], each=0.4)
    assert len(moves) == 3


def test_a_class_that_is_not_named_ends_it() -> None:
    assert len(run(schedule("ab", failover=Failover(on=frozenset({"connect"}))), ["server_error"])) == 1


@pytest.mark.parametrize(("retry_after", "wait"), [(0.5, 0.5), (0.01, 0.2), (60.0, None)])
def test_retry_after(retry_after: float, wait: float | None) -> None:
    plan = schedule("a", failover=ALL)
    first = plan.first()
    assert first is not None
    second = plan.after(first, "rate_limit", retry_after=retry_after, now=0.0)
    assert (second.wait if second is not None else None) == wait


def test_no_target_at_all() -> None:
    assert schedule("", failover=ALL).first() is None


@given(
    st.lists(st.sampled_from(CLASSES), min_size=1, max_size=8),
    st.integers(1, 8),
    st.integers(0, 3),
    st.sampled_from(["a", "ab", "abc"]),
    st.floats(0.0, 0.5),
)
def test_bounds_hold_for_anything(
    outcomes: list[FailureClass], attempts: int, keys: int, names: str, each: float
) -> None:
    failover = Failover(attempts=attempts, deadline=2000)
    plan = schedule(names, failover=failover, keys=keys)
    moves = run(plan, outcomes, each=each)
    assert len(moves) <= attempts
    assert plan.made == len(moves)
    fresh = [(m.choice.channel.name, m.key) for m in moves if m.wait == 0]
    assert len(fresh) == len(set(fresh))
    for move, failure in zip(moves, outcomes, strict=False):
        if failure not in failover.on:
            assert move is moves[-1]
