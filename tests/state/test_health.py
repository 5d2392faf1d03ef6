"""What is known against targets, and that it ends."""

from __future__ import annotations

import pytest

from ccx.state.breaker import Settings
from ccx.state.health import Care, Cooldown, Health, Override, Period, TargetId, Trouble

A1 = TargetId("a", "messages", "k1")
A2 = TargetId("a", "messages", "k2")
CHAT = TargetId("a", "chat", "k1")
B = TargetId("b", "chat", None)
QUICK = Care(Settings(consecutive=2, open=5.0, max_open=20.0), Cooldown(rate_limit=4.0, auth=60.0, longest=100.0))


def health() -> Health:
    made = Health()
    made.configure({"a": QUICK, "b": Care(None)})
    return made


def fail(state: Health, target: TargetId, now: float = 0.0) -> None:
    state.leave(state.enter(target, now), "failed", now=now)


def refuse(state: Health, target: TargetId, now: float, wait: float | None = None) -> None:
    state.leave(state.enter(target, now), "neither", now=now, cause="rate_limit", wait=wait)


def answer(state: Health, target: TargetId, now: float) -> None:
    state.leave(state.enter(target, now), "passed", now=now)


def test_a_breaker_is_of_one_protocol_and_one_key() -> None:
    state = health()
    assert state.well("a")
    fail(state, A1)
    fail(state, A1)
    assert not state.well("a")
    assert state.trouble(A1, 1.0) == Trouble("open", 5.0)
    assert state.trouble(A2, 1.0) is None
    assert state.trouble(CHAT, 1.0) is None
    probe = state.enter(A1, 5.0)
    assert state.trouble(A1, 5.0) == Trouble("probing", 5.0)
    state.leave(probe, "passed", now=6.0)
    assert state.trouble(A1, 6.0) is None
    assert state.ramp(A1, 6.0) < 1.0
    assert state.ramp(A2, 6.0) == 1.0


def test_off_is_off() -> None:
    state = health()
    for _ in range(50):
        fail(state, B)
    assert state.well("b")
    assert state.trouble(B, 0.0) is None


def test_a_refused_key_cools_in_every_protocol_and_for_longer_each_time() -> None:
    state = health()
    refuse(state, A1, 0.0)
    assert state.trouble(A1, 3.9) == Trouble("cooling", 4.0, "rate_limit")
    assert state.trouble(CHAT, 3.9) is not None
    assert state.trouble(A2, 3.9) is None
    assert state.trouble(A1, 4.0) is None
    refuse(state, A1, 4.0)
    assert state.trouble(A1, 4.0) == Trouble("cooling", 12.0, "rate_limit")
    answer(state, CHAT, 5.0)
    assert state.trouble(A1, 5.0) is None
    refuse(state, A1, 6.0)
    assert state.trouble(A1, 6.0) == Trouble("cooling", 10.0, "rate_limit")


def test_the_providers_word_on_how_long_is_taken_up_to_the_longest() -> None:
    state = health()
    refuse(state, A1, 0.0, wait=0.5)
    assert state.trouble(A1, 0.6) is None
    refuse(state, A1, 1.0, wait=30.0)
    refuse(state, A1, 1.0, wait=1.0)
    assert state.trouble(A1, 1.0) == Trouble("cooling", 31.0, "rate_limit")
    refuse(state, A2, 1.0, wait=10_000.0)
    assert state.trouble(A2, 1.0) == Trouble("cooling", 101.0, "rate_limit")


def test_an_order_holds_until_it_expires() -> None:
    state = health()
    order = Override("drain", 10.0, "maintenance")
    state.order("b", order)
    assert not state.well("b")
    assert state.override("b", 9.0) == order
    assert state.override("b", 10.0) is None
    state.sweep(10.0)
    assert state.well("b")
    state.order("b", order)
    state.order("b", None)
    assert state.well("b")
    with pytest.raises(KeyError):
        state.order("nowhere", order)


def test_a_swap_to_another_window_goes_on_forgetting() -> None:
    state = Health()
    state.configure({"a": Care(Settings(window=1.0, min_requests=4, consecutive=99))})
    fail(state, A1, 1000.0)
    state.configure({"a": Care(Settings(window=60.0, min_requests=4, consecutive=99))})
    for now in (1001.0, 1071.0, 1141.0, 1211.0, 1281.0):  # never two within a window
        fail(state, A1, now)
    assert state.trouble(A1, 1281.0) is None
    for now in (1282.0, 1283.0, 1284.0):
        fail(state, A1, now)
    assert state.trouble(A1, 1284.0) is not None


def test_a_swap_keeps_what_stays_and_drops_what_goes() -> None:
    state = health()
    fail(state, A1)
    fail(state, A1)
    refuse(state, A2, 0.0)
    state.configure({"a": QUICK, "c": QUICK})
    assert state.trouble(A1, 1.0) is not None
    assert state.trouble(A2, 1.0) is not None
    state.configure({"c": QUICK})
    assert len(state) == 0
    assert state.well("a")


def test_a_breaker_that_is_switched_off_lets_go() -> None:
    state = health()
    held = state.enter(A1, 0.0)
    fail(state, A1)
    fail(state, A1)
    state.configure({"a": Care(None)})
    assert state.trouble(A1, 0.0) is None
    state.leave(held, "failed", now=1.0)
    assert state.well("a")


def test_an_active_probe_only_opens_the_way_for_a_real_one() -> None:
    state = health()
    fail(state, A1)
    fail(state, A1)
    state.half_open("a", "messages", 1.0)
    assert state.trouble(A1, 1.0) is None
    fail(state, A1, 1.0)
    assert state.trouble(A1, 1.0) == Trouble("open", 11.0)


def test_what_is_over_is_forgotten() -> None:
    state = health()
    fail(state, A1)
    fail(state, A1)
    refuse(state, A2, 0.0)
    answer(state, A1, 5.0)
    state.sweep(1000.0)
    assert len(state) == 0
    assert state.well("a")


def test_reports_name_each_target_once() -> None:
    state = health()
    fail(state, A1)
    fail(state, A1)
    refuse(state, A1, 0.0)
    refuse(state, B, 0.0)
    reports = {report.target: report for report in state.reports(1.0)}
    assert reports[A1].breaker == "open"
    assert reports[A1].cooling == Trouble("cooling", 4.0, "rate_limit")
    assert reports[TargetId("b", "", None)].cooling is not None
    assert len(reports) == 2


def test_a_declared_promotion_begins_and_ends_by_itself() -> None:
    offset = 1_000_000.0
    health = Health(unix=lambda now: now + offset)
    declared = {"a": Period(offset + 20, offset + 10), "b": Period(offset + 5), "c": None}
    health.configure({name: Care(promote=period) for name, period in declared.items()})
    assert health.well("c")
    assert not health.well("a")  # asked about each time, until it is over
    assert [health.override("a", now) for now in (0.0, 9.9, 20.0)] == [None, None, None]
    assert health.override("a", 10.0) == Override("promote", 20.0, source="spec")
    assert list(health.overrides(0.0)) == ["b"]
    assert health.orders(0.0) == {}
    health.sweep(12.0)
    assert health.well("b")
    assert not health.well("a")
    health.sweep(20.0)
    assert health.well("a")


def test_an_operators_order_outranks_a_declared_promotion() -> None:
    health = Health()
    health.configure({"a": Care(promote=Period(100.0))})
    health.order("a", Override("drain", 50.0))
    assert [(said.order, said.source) for said in health.overrides(10.0).values()] == [("drain", "operator")]
    assert health.orders(10.0) == {"a": Override("drain", 50.0)}
    assert health.override("a", 50.0) == Override("promote", 100.0, source="spec")
    health.order("a", None)
    assert health.override("a", 10.0) == Override("promote", 100.0, source="spec")
    assert not health.well("a")


def test_a_swap_takes_a_declared_promotion_along_or_away() -> None:
    health = Health()
    health.configure({"a": Care(promote=Period(100.0)), "b": Care()})
    health.configure({"a": Care(), "b": Care(promote=Period(100.0))})
    assert health.well("a")
    assert list(health.overrides(0.0)) == ["b"]
    health.configure({"a": Care()})
    assert health.overrides(0.0) == {}


def test_a_clock_that_is_set_moves_the_period() -> None:
    ahead = [0.0]
    health = Health(unix=lambda now: now + ahead[0])
    health.configure({"a": Care(promote=Period(100.0, 50.0))})
    assert health.override("a", 10.0) is None
    ahead[0] = 45.0
    assert health.override("a", 10.0) == Override("promote", 55.0, source="spec")
