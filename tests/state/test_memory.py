"""Counters in memory: what comes in goes out, bounded, kept by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.state import memory
from ccx.state.memory import MemoryState


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "x", "y"])), max_size=20))
def test_requests_under_way_are_counted_by_channel_and_key(started: list[tuple[str, str | None]]) -> None:
    state = MemoryState()
    for number, (channel, key) in enumerate(started, 1):
        state.begin(channel, key)
        assert state.inflight("a") + state.inflight("b") == number
    for channel in "ab":
        assert state.inflight(channel) == sum(c == channel for c, _ in started)
        for key in "xy":
            assert state.inflight(f"{channel}/{key}") == started.count((channel, key))
    for channel, key in started:
        state.end(channel, key)
    assert len(state) == 0, "what is over leaves nothing behind"


def test_turns_count_by_id() -> None:
    state = MemoryState()
    assert [state.turn("a"), state.turn("a"), state.turn("b"), state.turn("a")] == [0, 1, 0, 2]


def test_weights_have_cycles_of_their_own() -> None:
    state = MemoryState()
    assert [state.smooth("a", (2, 1)) for _ in range(3)] == [0, 1, 0]
    assert state.smooth("a", (1, 1)) == 0
    assert [state.smooth("a", (2, 1)) for _ in range(3)] == [0, 1, 0]


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no positive weight in \(0, 0\)"):
        MemoryState().smooth("a", (0, 0))
    with pytest.raises(ValueError, match="no positive weight"):
        MemoryState().smooth("a", ())


def test_a_weight_of_zero_has_no_turn() -> None:
    state = MemoryState()
    assert {state.smooth("a", (0, 1, 0)) for _ in range(5)} == {1}


def test_what_no_table_names_is_forgotten_but_for_requests_under_way() -> None:
    state = MemoryState()
    state.begin("gone", "k")
    for id_ in ("kept#0:a,b", "gone#0:a,b", "kept/", "gone/", "kept", "gone"):
        state.turn(id_)
        state.smooth(id_, (1, 1))
    state.retain({"kept"})
    assert [state.turn(id_) for id_ in ("kept#0:a,b", "kept/", "kept")] == [1, 1, 1]
    assert [state.smooth(id_, (1, 1)) for id_ in ("kept#0:a,b", "kept/", "kept")] == [1, 1, 1]
    assert [state.turn(id_) for id_ in ("gone#0:a,b", "gone/", "gone")] == [0, 0, 0]
    assert [state.smooth(id_, (1, 1)) for id_ in ("gone#0:a,b", "gone/", "gone")] == [0, 0, 0]
    assert state.inflight("gone/k") == 1
    state.end("gone", "k")
    assert state.inflight("gone") == 0


def test_turns_are_bounded_and_forget_the_longest_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "TURNS_KEPT", 3)
    state = MemoryState()
    for id_ in "abcad":
        state.turn(id_)
        state.smooth(id_, (1, 1))
    assert len(state) == 6
    assert state.turn("a") == 2, "used lately"
    assert state.turn("b") == 0, "forgotten"


def test_a_slow_answer_counts_at_once_and_is_forgiven_slowly() -> None:
    state = MemoryState()
    assert state.latency("a/chat/stream", 0.0) == 0.0
    state.began("a/chat/stream", 0.2, 0.0)
    state.began("a/chat/stream", 2.0, 1.0)
    assert state.latency("a/chat/stream", 1.0) == 2.0
    state.began("a/chat/stream", 0.2, 2.0)
    assert 1.7 < state.latency("a/chat/stream", 2.0) < 1.9
    assert state.latency("a/chat/stream", 60.0) < 0.01  # long unused: to be tried again
    state.retain({"b"})
    assert state.latency("a/chat/stream", 60.0) == 0.0


def test_the_cached_share_follows_the_latest_prompts() -> None:
    state = MemoryState()
    assert state.cached_share("a") == 0.0
    state.prompted("a", 1000, 500)
    assert state.cached_share("a") == 0.5
    state.prompted("a", 0, 0)
    state.prompted("a", 1000, 5000)
    assert 0.5 < state.cached_share("a") < 0.6
    state.retain(())
    assert len(state) == 0
