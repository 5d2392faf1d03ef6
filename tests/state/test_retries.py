"""Retry budgets, against a list of timestamps."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ccx.state.retries import FLOOR, WINDOW, Retries

FIFTH = Fraction(1, 5)


def test_a_few_are_always_granted_and_no_more_without_requests() -> None:
    retries = Retries()
    granted = [retries.grant("a", FIFTH, 5.0) for _ in range(40)]
    assert sum(granted) == FLOOR * WINDOW
    assert retries.refused["a"] == 10


def test_a_share_of_the_requests_of_the_window() -> None:
    retries = Retries()
    for place in range(1000):
        retries.asked("a", place / 100)
    assert sum(retries.grant("a", FIFTH, 9.99) for _ in range(500)) == 200
    assert not retries.grant("a", FIFTH, 9.99)
    assert sum(retries.grant("b", FIFTH, 9.99) for _ in range(500)) == 30


def test_the_window_slides() -> None:
    retries = Retries()
    assert all(retries.grant("a", FIFTH, 0.0) for _ in range(30))
    assert not retries.grant("a", FIFTH, 9.9)
    assert retries.grant("a", FIFTH, 10.0)


def test_off_grants_all() -> None:
    retries = Retries()
    assert all(retries.grant("a", None, 0.0) for _ in range(1000))


def test_what_no_table_names_is_forgotten() -> None:
    retries = Retries()
    retries.asked("a", 0.0)
    retries.asked("b", 0.0)
    retries.retain({"b"})
    assert len(retries) == 1


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.5)), max_size=200),
    st.fractions(0, 1),
    st.floats(0.0, 3.0),
)
def test_never_more_than_share_and_floor(steps: list[tuple[bool, float]], share: Fraction, floor: float) -> None:
    retries, now = Retries(), 0.0
    asked: list[int] = []
    granted: list[int] = []
    for retry, passed in steps:
        now += passed
        second = int(now)
        recent = [at for at in granted if at > second - WINDOW]
        room = max(floor * WINDOW, float(share) * len([at for at in asked if at > second - WINDOW]))
        if retry:
            answer = retries.grant("a", share, now, floor=floor)
            assert answer == (len(recent) + 1 <= room)
            if answer:
                granted.append(second)
        else:
            retries.asked("a", now)
            asked.append(second)
