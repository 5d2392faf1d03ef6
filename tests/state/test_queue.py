"""The waiting queue: its bound, its turns, and its fairness, also by a state machine against a plain model."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from ccx.state.queue import FairQueue, Place

FOREVER = 1e9


def joined(queue: FairQueue, client: str, *, now: float = 0.0, until: float = FOREVER) -> Place:
    found = queue.join(client, now=now, until=until)
    assert found is not None
    return found.place


def served(queue: FairQueue, count: int) -> str:
    """The clients of the next turns, by first letter."""
    order = ""
    for _ in range(count):
        holder = queue.turn(0.0)
        assert holder is not None
        order += holder.client
        queue.leave(holder, served=True)
    return order


def test_turns_go_round_between_clients_and_by_arrival_within_one() -> None:
    queue = FairQueue(100)
    places = [joined(queue, "a") for _ in range(4)]
    joined(queue, "b")
    joined(queue, "c")
    assert queue.turn(0.0) is places[0]
    assert served(queue, 6) == "abcaaa"
    assert queue.turn(0.0) is None
    assert len(queue) == 0


def test_one_who_leaves_unserved_costs_its_client_no_turn() -> None:
    queue = FairQueue(100)
    first = joined(queue, "a")
    joined(queue, "a")
    joined(queue, "b")
    assert queue.turn(0.0) is first
    queue.leave(first, served=False)
    assert served(queue, 2) == "ab"


def test_the_turn_passes_when_its_time_is_over() -> None:
    queue = FairQueue(100)
    short = joined(queue, "a", until=5.0)
    patient = joined(queue, "b")
    assert queue.turn(4.9) is short
    assert queue.turn(5.0) is patient
    assert len(queue) == 2  # it leaves by itself
    queue.leave(short, served=False)
    queue.leave(short, served=False)
    assert queue.clients() == {"b": 1}


def test_a_full_queue_takes_nobody_else_of_the_same_client() -> None:
    queue = FairQueue(2)
    joined(queue, "a")
    joined(queue, "a")
    assert queue.join("a", now=0.0, until=FOREVER) is None


def test_a_noisy_client_makes_room_for_another_until_they_are_even() -> None:
    queue = FairQueue(4)
    noisy = [joined(queue, "a") for _ in range(4)]
    first = queue.join("b", now=0.0, until=FOREVER)
    second = queue.join("b", now=0.0, until=FOREVER)
    assert first is not None
    assert second is not None
    assert [first.displaced, second.displaced] == [noisy[3], noisy[2]]
    assert queue.join("b", now=0.0, until=FOREVER) is None
    assert queue.join("a", now=0.0, until=FOREVER) is None
    third = queue.join("c", now=0.0, until=FOREVER)
    assert third is not None
    assert third.displaced in (noisy[1], second.place)
    assert len(queue) == 4


def test_a_smaller_size_sends_nobody_away() -> None:
    queue = FairQueue(3)
    for client in "abc":
        joined(queue, client)
    queue.size = 1
    assert queue.join("d", now=0.0, until=FOREVER) is None
    assert served(queue, 3) == "abc"
    joined(queue, "d")


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_clients_that_always_wait_are_served_alike(others: list[str], depth: int) -> None:
    """Whoever else comes and goes: between two that always wait turns differ by one at most, at any moment."""
    queue, turns = FairQueue(1000), Counter[str]()
    for client in ("x", "y"):
        for _ in range(depth):
            joined(queue, client)
    for other in others:
        joined(queue, other)
        holder = queue.turn(0.0)
        assert holder is not None
        turns[holder.client] += 1
        if holder.client in "xy":
            joined(queue, holder.client)
        queue.leave(holder, served=True)
        assert abs(turns["x"] - turns["y"]) <= 1


class Turns(RuleBasedStateMachine):
    """Any order of joins, turns, departures and time, against a list of who ought to be waiting."""

    places: Bundle[Place] = Bundle("places")
    SIZE = 5

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue(self.SIZE)
        self.now = 0.0
        self.waiting: list[Place] = []
        self.gone: list[Place] = []

    @rule(target=places, client=st.sampled_from("abc"), patience=st.integers(1, 20))
    def join(self, client: str, patience: int) -> object:
        of_client = Counter(place.client for place in self.waiting)
        most = max(of_client.values(), default=0)
        found = self.queue.join(client, now=self.now, until=self.now + patience)
        if len(self.waiting) < self.SIZE:
            assert found is not None
            assert found.displaced is None
        elif most <= of_client[client] + 1:
            assert found is None
        else:
            assert found is not None
            displaced = found.displaced
            assert displaced is not None
            assert of_client[displaced.client] == most
            assert displaced is [p for p in self.waiting if p.client == displaced.client][-1]
            self.waiting.remove(displaced)
            self.gone.append(displaced)
        if found is None:
            return multiple()
        self.waiting.append(found.place)
        return found.place

    @rule(place=consumes(places), served=st.booleans())
    def leave(self, place: Place, served: bool) -> None:
        self.queue.leave(place, served=served)
        if place in self.waiting:
            self.waiting.remove(place)
            self.gone.append(place)

    @rule()
    def serve(self) -> None:
        holder = self.queue.turn(self.now)
        if holder is not None:
            self.queue.leave(holder, served=True)
            self.waiting.remove(holder)
            self.gone.append(holder)

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def bounded_and_nobody_lost(self) -> None:
        assert len(self.queue) == len(self.waiting) <= self.SIZE
        assert self.queue.clients() == Counter(place.client for place in self.waiting)

    @invariant()
    def one_turn(self) -> None:
        holder = self.queue.turn(self.now)
        assert self.queue.turn(self.now) is holder
        patient = [place for place in self.waiting if place.until > self.now]
        assert (holder is None) == (not patient)
        if holder is not None:
            assert holder in patient
            assert holder is next(place for place in patient if place.client == holder.client)


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
