"""Rendezvous hashing: stable, fair by weight, and moving no key that need not move."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ccx.routing.affinity import rendezvous, share

Targets = list[tuple[str, str, int]]
NAMES = st.lists(st.text("abcdef-", min_size=1, max_size=40), min_size=1, max_size=8, unique=True)


def targets(**weights: int) -> Targets:
    return [(name, name, weight) for name, weight in weights.items()]


def keys(count: int) -> list[bytes]:
    return [f"session-{number}".encode() for number in range(count)]


def test_an_order_for_good() -> None:
    """These orders are what other replicas and older versions say: to change them loses every warm cache once."""
    three = targets(a=1, b=1, c=2)
    assert [rendezvous(key, three) for key in keys(4)] == [
        ("c", "a", "b"),
        ("c", "a", "b"),
        ("b", "a", "c"),
        ("c", "a", "b"),
    ]


@given(NAMES, st.binary(max_size=40))
def test_the_order_of_writing_means_nothing(names: list[str], key: bytes) -> None:
    listed = [(name, name, 1 + len(name) % 3) for name in names]
    assert rendezvous(key, listed) == rendezvous(key, listed[::-1])
    assert sorted(rendezvous(key, listed)) == sorted(names)


@given(NAMES, st.binary(max_size=40))
def test_who_goes_takes_only_its_own_along(names: list[str], key: bytes) -> None:
    listed = [(name, name, 1) for name in names]
    order = rendezvous(key, listed)
    for gone in names:
        left = rendezvous(key, [target for target in listed if target[0] != gone])
        assert left == tuple(name for name in order if name != gone)


def test_shares_follow_the_weights() -> None:
    first = Counter(rendezvous(key, targets(a=1, b=3, c=6))[0] for key in keys(20_000))
    assert abs(first["a"] / 20_000 - 0.1) < 0.01
    assert abs(first["b"] / 20_000 - 0.3) < 0.015
    assert abs(first["c"] / 20_000 - 0.6) < 0.015


def test_no_weight_no_turn() -> None:
    assert all(rendezvous(key, targets(a=0, b=1))[0] == "b" for key in keys(200))


def test_a_share_is_uniform_and_its_own_for_each_salt() -> None:
    drawn = [share(key, "canary") for key in keys(10_000)]
    assert abs(sum(number < 0.05 for number in drawn) / 10_000 - 0.05) < 0.01
    assert 0.0 <= min(drawn) < max(drawn) < 1.0
    both = sum(share(key, "canary") < 0.5 and share(key, "other") < 0.5 for key in keys(10_000))
    assert abs(both / 10_000 - 0.25) < 0.02
