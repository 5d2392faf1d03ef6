"""Machines that run one trace on the stores of one process and on a real Redis, and compare what they answer.

Time is an argument of every store but the meters, which take the server's clock unless a test gives them one: here all
get the trace's own. Redis forgets by its own clock, by which a trace is over in no time; what lapses there is tested by
itself. `python -m tests.state.redis.machines --times 50` runs them for longer than the suite does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ccx.state.breaker import Settings
from ccx.state.cache import Entry, MemoryAnswers
from ccx.state.failsafe import FailsafeMeters
from ccx.state.health import Care, Health, Override, TargetId
from ccx.state.link import Link, UnreachableError
from ccx.state.meters import Charge, Meter, Sum, Taken, Use
from ccx.state.redis.cache import RedisAnswers
from ccx.state.redis.health import PROBE_LEASE, SharedHealth
from ccx.state.redis.keys import Keys
from ccx.state.redis.meters import RedisMeters
from ccx.state.redis.responses import RedisResponses
from ccx.state.redis.wire import RedisWire, Reply, Word
from ccx.state.responses import MemoryResponses, StoredResponse
from tests.redis_server import RedisServer

TIMES = "STATE_MACHINES_TIMES"
RedisLink = Link[tuple[Word, ...], Reply]


def bounded(examples: int, *, steps: int = 25) -> settings:
    """So many examples in the suite, and a multiple of them by command."""
    times = int(os.environ.get(TIMES, "1"))
    return settings(max_examples=examples * times, stateful_step_count=steps, deadline=None)


@contextlib.asynccontextmanager
async def _linked(url: str, links: int) -> AsyncIterator[list[RedisLink]]:
    async def where() -> str:
        return url

    found: list[RedisLink] = [Link(RedisWire(where), timeout=2.0) for _ in range(links)]
    running = [asyncio.create_task(link.run()) for link in found]
    for link in found:
        await link.tried()
    try:
        yield found
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def run(machine: type[OnRedis], redis: RedisServer, *, examples: int, steps: int = 25) -> None:
    """Run a machine on this server."""
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        opening = _linked(redis.url, machine.replicas)
        links = runner.run(opening.__aenter__())
        stack.callback(lambda: runner.run(opening.__aexit__(None, None, None)))

        class Here(machine):  # type: ignore[misc,valid-type]  # whichever it is
            pass

        Here.runner, Here.redis, Here.links = runner, redis, links
        run_state_machine_as_test(Here, settings=bounded(examples, steps=steps))


class OnRedis(RuleBasedStateMachine):
    """A trace that begins with an empty server. `now` is the trace's clock."""

    runner: ClassVar[asyncio.Runner]
    redis: ClassVar[RedisServer]
    links: ClassVar[list[RedisLink]]
    replicas: ClassVar[int] = 2

    def __init__(self) -> None:
        super().__init__()
        self.redis.flush()
        self.now = 1_000_000.0

    def do(self, work: Any) -> Any:
        """The result of a coroutine."""
        return self.runner.run(work)


ROUTES = ("r", "s")
KEYS = st.sampled_from([f"{route}{number}".encode() for route in ROUTES for number in range(4)])


class Answers(OnRedis):
    """Kept answers, asked of two replicas in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryAnswers(size=1 << 20)
        self.shared = [RedisAnswers(link, Keys("ccx")) for link in self.links]
        for each in (self.memory, *self.shared):
            each.configure(size=1 << 20, routes=ROUTES)  # type: ignore[attr-defined]  # all have it

    @rule(key=KEYS, size=st.sampled_from([0, 10, 2000, 200_000]), ttl=st.integers(0, 40), which=st.integers(0, 1))
    def put(self, key: bytes, size: int, ttl: int, which: int) -> None:
        new = Entry(key.decode()[0], self.now, self.now + ttl, ((b"a", b"b"),), bytes([size % 251]) * size)
        kept = self.do(self.memory.put(key, new, now=self.now))
        # One route may take half of what all may.
        assert self.do(self.shared[which].put(key, new, now=self.now)) == kept

    @rule(key=KEYS, oldest=st.integers(0, 50), which=st.integers(0, 1))
    def get(self, key: bytes, oldest: int, which: int) -> None:
        found = self.do(self.memory.get(key, now=self.now, oldest=oldest))
        assert self.do(self.shared[which].get(key, now=self.now, oldest=oldest)) == found

    @rule(route=st.one_of(st.none(), st.sampled_from(ROUTES)), which=st.integers(0, 1))
    def clear(self, route: str | None, which: int) -> None:
        self.memory.sweep(self.now)
        cleared = self.do(self.memory.clear(route))
        assert self.do(self.shared[which].clear(route)) >= cleared

    @rule(seconds=st.integers(0, 15))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def all_that_is_kept_is_counted(self) -> None:
        """Else it would be neither bounded nor cleared."""
        held = self.do(self.shared[0].holdings())
        there = self.do(self.links[0].ask(("KEYS", "{ccx}:answer:*")))
        indexed: set[bytes] = set()
        for route in ROUTES:
            indexed |= set(self.do(self.links[0].ask(("ZRANGE", self.shared[0]._index(route)[0], 0, -1))))
        assert set(there) <= indexed
        assert sum(one.entries for one in held.values()) == len(indexed)
        sizes = [self.do(self.links[0].ask(("STRLEN", name))) for name in indexed]
        assert sum(one.bytes for one in held.values()) >= sum(sizes)


class Responses(OnRedis):
    """Conversations, asked of two replicas in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryResponses()
        self.shared = [RedisResponses(link, Keys("ccx")) for link in self.links]

    clients = st.sampled_from(["a", "b"])
    idents = st.sampled_from(["r1", "r2", "r3", "r4"])
    items = st.sampled_from(["i", "j", "out_r1"])

    @rule(client=clients, ident=idents, before=st.none() | idents, item=items, which=st.integers(0, 1), words=idents)
    def put(self, client: str, ident: str, before: str | None, item: str, which: int, words: str) -> None:
        asked = json.dumps([{"id": item, "content": words}]).encode()
        answer = json.dumps({"output": [{"id": f"out_{ident}", "content": f"to {words}"}]}).encode()
        for store in (self.memory, self.shared[which]):
            previous = self.do(store.get(client, before, now=self.now)) if before is not None else None
            new = StoredResponse(ident, client, "m", asked, answer, previous, (item, f"out_{ident}"))
            assert self.do(store.put(new, now=self.now))

    @rule(client=clients, ident=idents, which=st.integers(0, 1))
    def get(self, client: str, ident: str, which: int) -> None:
        one = self.do(self.memory.get(client, ident, now=self.now))
        other = self.do(self.shared[which].get(client, ident, now=self.now))
        assert (one is None) == (other is None)
        if one is not None:
            assert other.items() == one.items()
            assert (other.id, other.client, other.size, other.item_ids) == (one.id, one.client, one.size, one.item_ids)

    @rule(client=clients, item=items, which=st.integers(0, 1))
    def item(self, client: str, item: str, which: int) -> None:
        found = self.do(self.memory.item(client, item, now=self.now))
        assert self.do(self.shared[which].item(client, item, now=self.now)) == found

    @rule(client=clients, ident=idents, which=st.integers(0, 1))
    def delete(self, client: str, ident: str, which: int) -> None:
        gone = self.do(self.memory.delete(client, ident, now=self.now))
        assert self.do(self.shared[which].delete(client, ident, now=self.now)) == gone

    @rule(seconds=st.integers(0, 900))
    def wait(self, seconds: int) -> None:
        self.now += seconds


class _Switched:
    """A store of meters with a switch."""

    def __init__(self, meters: RedisMeters) -> None:
        self.on = True
        self._meters = meters

    @property
    def up(self) -> bool:
        return self.on

    async def charge(self, charges: tuple[Charge, ...], *, now: float) -> Any:
        self._reach()
        return await self._meters.charge(charges, now=now)

    def settling(
        self, taken: Taken, used: Mapping[str, int], *, least: Mapping[str, int] | None = None
    ) -> asyncio.Future[Reply]:
        self._reach()
        return self._meters.settling(taken, used, least=least)

    async def standing(self, meters: tuple[Meter, ...], *, now: float) -> tuple[Use, ...]:
        self._reach()
        return await self._meters.standing(meters, now=now)

    def _reach(self) -> None:
        if not self.on:
            raise UnreachableError("switched off")


class Budget(OnRedis):
    """One budget, three replicas, and a store that comes and goes, or forgets everything: nothing that was spent is
    lost, and nothing is admitted beyond what there is, however it comes."""

    replicas: ClassVar[int] = 3
    meter: ClassVar[Sum] = Sum("client 'a'/usd/total", 300)

    def __init__(self) -> None:
        super().__init__()
        self.switches = [_Switched(RedisMeters(link, Keys("ccx"), clock=lambda: self.now)) for link in self.links]
        self.each = [FailsafeMeters(switch) for switch in self.switches]
        for one in self.each:
            one.sharing = 3
        self.out: list[tuple[int, Taken]] = []
        self.spent = 0
        self.given_back = 0  # since the store went away
        self.too_much = 0  # that a store which forgot everything believes to have been spent
        self.away = False

    @rule(which=st.integers(0, 2), amount=st.integers(0, 60))
    def take(self, which: int, amount: int) -> None:
        answer = self.do(self.each[which].take((Charge(self.meter, amount),), now=self.now))
        if isinstance(answer, Taken):
            self.out.append((which, answer))
            self.spent += amount
        elif not self.away:
            assert self.spent + self.too_much + amount > self.meter.capacity, "it was refused what there was"

    @rule(which=st.integers(0, 50), part=st.sampled_from([0.0, 0.5, 1.0]))
    def settle(self, which: int, part: float) -> None:
        if self.out:
            replica, taken = self.out.pop(which % len(self.out))
            actual = int(taken.charges[0].amount * part)
            self.do(self.each[replica].settle(taken, {self.meter.id: actual}, now=self.now))
            self.spent += actual - taken.charges[0].amount
            self.given_back += taken.charges[0].amount - actual

    @precondition(lambda self: not self.away)
    @rule()
    def goes_away(self) -> None:
        self._all_ask()  # as all do that are busy: what they know is a moment old
        self.away, self.given_back = True, 0
        for switch in self.switches:
            switch.on = False

    @precondition(lambda self: self.away)
    @rule(empty=st.booleans())
    def comes_back(self, empty: bool) -> None:
        before = self.too_much
        if empty:
            self.redis.flush()
            for one in self.each:
                one.forgotten = True
        self.away = False
        for switch in self.switches:
            switch.on = True
        self._all_ask()
        if empty:
            # Each says what it knew; what another gave back meanwhile it did not know, which is the safe side.
            (use,) = self.do(self.each[0].standing((self.meter,), now=self.now))
            self.too_much = use.used - self.spent
            assert 0 <= self.too_much <= before + self.given_back

    @invariant()
    def never_too_much(self) -> None:
        assert self.spent <= self.meter.capacity

    @invariant()
    def nothing_is_lost(self) -> None:
        if not self.away:
            (use,) = self.do(self.each[0].standing((self.meter,), now=self.now))
            assert use.used == self.spent + self.too_much

    def _all_ask(self) -> None:
        for one in self.each:
            self.do(one.take((Charge(self.meter, 0),), now=self.now))


TARGETS = (TargetId("one", "messages", "k"), TargetId("one", "chat", "k"), TargetId("two", "messages", "l"))


class Targets(OnRedis):
    """Two replicas whose clocks differ hear of each other's targets. One alone would know what it has seen; together
    they know what either has, orders are the last one's, and nothing is left alone for good."""

    care: ClassVar[dict[str, Care]] = {
        "one": Care(Settings(consecutive=2, open=8.0, max_open=16.0, window=4.0)),
        "two": Care(Settings(consecutive=1, open=4.0, max_open=4.0, window=4.0)),
    }
    ahead: ClassVar[tuple[float, ...]] = (-999_000.0, -900_000.0)

    def __init__(self) -> None:
        super().__init__()
        self.each = [Health() for _ in self.links]
        for health in self.each:
            health.configure(self.care)
        self.shared = [
            SharedHealth(link, Keys("ccx"), health, name=f"replica-{number}")
            for number, (link, health) in enumerate(zip(self.links, self.each, strict=True))
        ]
        self.orders: dict[str, tuple[str, float] | None] = {}
        self.restarts = 0

    which = st.integers(0, 1)
    places = st.sampled_from(TARGETS)

    def clock(self, which: int) -> float:
        return self.now + self.ahead[which]

    def rounds(self, *which: int) -> None:
        for one in which:
            self.now += 1 / 64  # words are told apart by when they were said
            self.do(self.shared[one].round(now=self.clock(one), unix=self.now))

    @rule(which=which, of=places, verdict=st.sampled_from(["failed", "failed", "passed", "neither"]))
    def is_asked(self, which: int, of: TargetId, verdict: Any) -> None:
        now = self.clock(which)
        if self.each[which].trouble(of, now) is None:
            held = self.each[which].enter(of, now)
            self.each[which].leave(held, verdict, now=now)

    @rule(which=which, of=places, wait=st.sampled_from([None, 2.0, 30.0]))
    def is_refused(self, which: int, of: TargetId, wait: float | None) -> None:
        now = self.clock(which)
        held = self.each[which].enter(of, now)
        self.each[which].leave(held, "neither", now=now, cause="rate_limit", wait=wait)

    @rule(which=which, channel=st.sampled_from(["one", "two"]), seconds=st.sampled_from([0, 3, 20]))
    def is_ordered(self, which: int, channel: str, seconds: int) -> None:
        self.rounds(0, 1)  # an order at each within one round is nobody's case
        order = Override("drain", self.clock(which) + seconds, "why") if seconds else None
        self.each[which].order(channel, order)
        self.orders[channel] = ("drain", self.now + seconds) if seconds else None
        self.rounds(which)

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=which)
    def a_round(self, which: int) -> None:
        self.rounds(which)

    @rule(which=which)
    def the_server_forgets(self, which: int) -> None:
        """It is found out by its epoch, and each tells again what it knows; one that starts then hears of it."""
        self.rounds(0, 1)
        self.redis.flush()
        for shared in self.shared:
            shared.retell()
        self.restarts += 1
        self.each[which] = Health()
        self.each[which].configure(self.care)
        name = f"replica-{which}-{self.restarts}"
        self.shared[which] = SharedHealth(self.links[which], Keys("ccx"), self.each[which], name=name)
        self.rounds(1 - which, which)
        self.agree()

    @rule()
    def all_agree(self) -> None:
        self.rounds(0, 1, 0)
        self.agree()

    def agree(self) -> None:
        for channel, ordered in self.orders.items():
            for which, health in enumerate(self.each):
                found = health.override(channel, self.clock(which))
                holds = ordered is not None and ordered[1] > self.now
                assert (found is not None) == holds, (channel, which)
                if found is not None and ordered is not None:
                    assert found.until - self.clock(which) == pytest.approx(ordered[1] - self.now, abs=0.01)
        for target in TARGETS:
            cools = [
                trouble is not None and trouble.why == "cooling"
                for trouble in (health.trouble(target, self.clock(n)) for n, health in enumerate(self.each))
            ]
            open_ = [health.report(target, self.clock(n)).breaker == "open" for n, health in enumerate(self.each)]
            assert cools[0] == cools[1] or any(open_), target
            assert open_[0] == open_[1] or self._probed(target), target

    def _probed(self, target: TargetId) -> bool:
        """Whether one of them has the lease: it tries the target, and the other leaves it alone meanwhile."""
        untils = [health.report(target, self.clock(n)).open_until for n, health in enumerate(self.each)]
        left = [until - self.clock(n) for n, until in enumerate(untils) if until is not None]
        return bool(left) and max(left) <= PROBE_LEASE

    def teardown(self) -> None:
        self.now += 10_000.0
        self.rounds(0, 1, 0, 1)
        for which, health in enumerate(self.each):
            for target in TARGETS:
                trouble = health.trouble(target, self.clock(which))
                assert trouble is None or trouble.why == "probing", trouble
        assert self.redis.said("EXISTS {ccx}:health") == b":0\r\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=50, help="so many times the examples of the suite")
    os.environ[TIMES] = str(parser.parse_args().times)
    where = ["tests/state/redis", "tests/state/workers"]
    sys.exit(pytest.main(["-q", "-n0", "-p", "no:cacheprovider", "-k", "alike or machine", *where]))


if __name__ == "__main__":
    main()
