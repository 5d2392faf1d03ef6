"""Waiting for channels at their limits: the gateway itself, on a clock that jumps, before upstreams of a known pace."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ccx.protocols.endpoints import Endpoint, resolve
from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.facts import Facts
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live, prepare
from ccx.runtime.proxy import Proxy
from ccx.spec.document import Spec
from ccx.spec.suite import RoutingTest, Scripted
from ccx.state.health import Override
from ccx.state.meters import Short
from ccx.telemetry.exchange import Exchange
from ccx.testing import clock
from ccx.testing.asking import written
from ccx.testing.upstreams import Asked, ScriptedEngine, Scripts
from ccx.tokens.counter import TokenCounter
from ccx.upstream.reply import Call, Reply

COUNTER = TokenCounter()
NAMES = ("alice", "bob", "carol")


class Always(Scripts):
    def __init__(self, what: Mapping[str, Scripted]) -> None:
        super().__init__(RoutingTest.model_construct(attempts=None, upstreams=None, down=None))
        self._what = what

    def next(self, channel: str) -> Scripted | None:
        return self._what.get(channel, 200)


class Paced(ScriptedEngine):
    """Answers after so many seconds, and counts how many it serves at once."""

    def __init__(self, channel: str, scripts: Scripts, log: list[Asked], *, seconds: Callable[[], float]) -> None:
        super().__init__(channel, scripts, log, demo=False)
        self._seconds = seconds
        self.now = self.most = 0

    async def _reply(self, call: Call, manner: Scripted | None) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self._seconds())
            return await super()._reply(call, manner)
        finally:
            self.now -= 1


@dataclass
class Done:
    """What a client got, and when."""

    client: str
    at: float
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""

    @property
    def channel(self) -> str:
        return self.headers.get(b"x-ccx-channel", b"").decode()


def compiled(channels: dict[str, Any], to: list[Any] | None = None, **failover: Any) -> tuple[Any, dict[str, str]]:
    channels = {
        name: {"protocol": "messages", "base_url": f"http://{name}.invalid", "keys": "none", **said}
        for name, said in channels.items()
    }
    models = failover.pop("models", {})
    raw = {
        "version": "ccx/v1",
        "models": models,
        "clients": {name: {"key": {"sha256": hashlib.sha256(name.encode()).hexdigest()}} for name in NAMES},
        "channels": channels,
        "routes": [{"name": "all", "to": to or list(channels), "failover": failover}],
    }
    table = compile_spec(Spec.model_validate(raw))
    assert table.servable, table.diagnostics
    keys = (key for one in channels.values() if isinstance(one["keys"], list) for key in one["keys"])
    return table, {key["env"]: f"key-{key['env']}" for key in keys}


class World:
    """A gateway before paced upstreams. What is asked of it is kept in `done`, in the order of the ends."""

    def __init__(
        self,
        channels: dict[str, Any],
        *,
        seconds: Callable[[], float] | float = 1.0,
        what: Mapping[str, Scripted] | None = None,
        **failover: Any,
    ) -> None:
        self.log: list[Asked] = []
        self.engines: dict[str, Paced] = {}
        self._scripts = Always(what or {})
        self._seconds: Callable[[], float] = seconds if callable(seconds) else lambda: seconds
        self._failover = failover
        self.gateway = Gateway(self._live(channels))
        self.exchanges: list[Exchange] = []
        self.troubles: list[BaseException] = []
        self.done: list[Done] = []
        self._proxy = Proxy(
            self.gateway,
            COUNTER,
            emit=self.exchanges.append,
            trouble=lambda _id, error: self.troubles.append(error),
        )

    def _live(self, channels: dict[str, Any], previous: Live | None = None) -> Live:
        table, environ = compiled(channels, **self._failover)
        live = prepare(table.table, table.digest, folder=Path(), environ=environ, previous=previous)
        for name in live.upstreams:
            if name not in self.engines:
                self.engines[name] = Paced(name, self._scripts, self.log, seconds=self._seconds)
        return replace(live, upstreams={n: replace(u, engine=self.engines[n]) for n, u in live.upstreams.items()})

    def swap(self, channels: dict[str, Any]) -> None:
        self.gateway.commit(self._live(channels, self.gateway.live))

    async def ask(self, client: str = "alice", *, at: float = 0.0, leaves: float | None = None) -> Done:
        await asyncio.sleep(at)
        loop, live = asyncio.get_running_loop(), self.gateway.live
        sent = written(Facts(Protocol.MESSAGES, "m", stream=False))
        endpoint = resolve("POST", sent.path, prefixes=live.decider.prefixes)
        assert isinstance(endpoint, Endpoint)
        scope = {
            "type": "http",
            "method": "POST",
            "path": sent.path,
            "query_string": b"",
            "headers": [*sent.headers, (b"x-api-key", client.encode())],
            "client": ("127.0.0.1", 1),
        }
        bodies = [{"type": "http.request", "body": sent.body, "more_body": False}]
        found = Done(client, 0.0)

        async def receive() -> MutableMapping[str, Any]:
            if bodies:
                return bodies.pop()
            await asyncio.sleep(leaves if leaves is not None else 1e6)
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                assert not found.status
                found.status, found.headers = message["status"], dict(message["headers"])
            else:
                found.body += message.get("body", b"")
            found.at = loop.time()

        await self._proxy(live, endpoint, scope, receive, send)
        self.done.append(found)
        return found

    async def asks(self, *requests: Coroutine[Any, Any, Done]) -> list[Done]:
        """All of them at once, and what must hold when they are over."""
        found = await asyncio.gather(*requests)
        assert not self.troubles, self.troubles
        assert not self.gateway.queueing.waiting()
        metering = self.gateway.live.metering
        held = [m.held for m in (*metering.channels.values(), *metering.keys.values()) if m.held is not None]
        assert [use.used for use in await self.gateway.meters.standing(tuple(held), now=0.0)] == [0] * len(held)
        return found


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits go by the loop's clock too."""
    monkeypatch.setattr(
        "ccx.runtime.limits.time", SimpleNamespace(time=lambda: 1e9 + asyncio.get_running_loop().time())
    )


def limited(size: int = 100, wait: str = "10s", **limits: Any) -> dict[str, Any]:
    return {"limits": limits, "queue": {"size": size, "wait": wait}}


def test_who_finds_no_room_waits_its_turn() -> None:
    async def main() -> None:
        world = World({"a": limited(concurrency=2)})
        done = await world.asks(*(world.ask() for _ in range(6)))
        assert [(one.status, one.at) for one in done] == [(200, 1), (200, 1), (200, 2), (200, 2), (200, 3), (200, 3)]
        assert world.engines["a"].most == 2
        waited = sorted(x.queued_seconds or 0.0 for x in world.exchanges)
        assert waited == [0, 0, 1, 1, 2, 2]
        assert {x.queued_for for x in world.exchanges if x.queued_seconds} == {"a"}

    clock.run(main())


def test_turns_go_round_between_clients() -> None:
    async def main() -> None:
        world = World({"a": limited(wait="60s", concurrency=1)})
        noisy = (world.ask("alice") for _ in range(8))
        await world.asks(*noisy, *(world.ask("bob", at=0.5) for _ in range(3)), world.ask("carol", at=0.6))
        # One of alice's is served before anybody waits; she is the first in the round too.
        assert "".join(one.client[0] for one in world.done) == "aabcababaaaa"

    clock.run(main())


def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    """The place is free for a moment, whether the one who is to have it has run already or not."""

    async def main() -> None:
        world = World({"a": limited(concurrency=1)})
        await world.asks(
            world.ask("alice"), world.ask("alice", at=0.1), *(world.ask("bob", at=at) for at in (0.999, 1.0, 1.001))
        )
        assert [(one.client, one.at) for one in world.done][:2] == [("alice", 1), ("alice", 2)]
        assert world.engines["a"].most == 1

    clock.run(main())


def test_a_full_queue_refuses_at_once() -> None:
    async def main() -> None:
        world = World({"a": limited(size=2, concurrency=1)})
        done = await world.asks(*(world.ask() for _ in range(5)))
        assert [(one.status, one.at) for one in done] == [(200, 1), (200, 2), (200, 3), (429, 0), (429, 0)]
        refused = done[-1]
        assert refused.headers[b"retry-after"] == b"1"
        assert b"channel 'a': 1 requests at once; the queue of channel 'a' is full" in refused.body
        assert b"rate_limit_error" in refused.body
        assert world.gateway.queueing.refused == {("a", "full"): 2}
        assert world.exchanges[0].limited_by == "channel 'a'/concurrency"

    clock.run(main())


def test_a_client_that_fills_the_queue_makes_room_for_others() -> None:
    async def main() -> None:
        world = World({"a": limited(size=4, wait="60s", concurrency=1)})
        done = await world.asks(
            *(world.ask("alice") for _ in range(5)), *(world.ask("bob", at=0.5 + n / 10) for n in range(3))
        )
        assert [(one.client, one.status) for one in done] == (
            [("alice", 200)] * 3 + [("alice", 429)] * 2 + [("bob", 200)] * 2 + [("bob", 429)]
        )
        assert world.gateway.queueing.refused == {("a", "displaced"): 2, ("a", "full"): 1}

    clock.run(main())


@pytest.mark.parametrize(("wait", "deadline", "at"), [("2s", "60s", 2.0), ("30s", "1500ms", 1.5)])
def test_nobody_waits_longer_than_declared_or_the_route_allows(wait: str, deadline: str, at: float) -> None:
    async def main() -> None:
        world = World({"a": limited(wait=wait, concurrency=1)}, seconds=5, deadline=deadline)
        done = await world.asks(world.ask(), world.ask(), world.ask())
        assert [(one.status, one.at) for one in done] == [(200, 5), (429, at), (429, at)]
        assert b"retry-after" in done[1].headers
        assert world.gateway.queueing.refused == {("a", "deadline"): 2}

    clock.run(main())


def test_a_target_with_room_comes_before_any_wait() -> None:
    async def main() -> None:
        world = World({"a": limited(concurrency=1), "b": {"limits": {"concurrency": 1}}, "c": limited(concurrency=1)})
        done = await world.asks(*(world.ask(at=n / 10) for n in range(5)))
        assert [(one.channel, one.at) for one in done] == [("a", 1), ("b", 1.1), ("c", 1.2), ("a", 2), ("a", 3)]

    clock.run(main())


def test_a_full_queue_leaves_the_next_one() -> None:
    async def main() -> None:
        world = World({"a": limited(size=1, concurrency=1), "b": limited(size=1, concurrency=1)})
        done = await world.asks(*(world.ask(at=n / 10) for n in range(5)))
        assert [(one.channel, one.status) for one in done] == (
            [("a", 200), ("b", 200), ("a", 200), ("b", 200), ("", 429)]
        )

    clock.run(main())


def test_a_wait_comes_also_after_failures_elsewhere_but_not_when_one_stands() -> None:
    async def main(what: Scripted) -> list[tuple[int, str]]:
        world = World({"a": limited(concurrency=1), "b": {}}, what={"b": what})
        done = await world.asks(world.ask(), world.ask(at=0.1))
        return [(one.status, one.channel) for one in done]

    assert clock.run(main(500)) == [(200, "a"), (200, "a")]
    assert clock.run(main(400)) == [(200, "a"), (400, "b")]


def test_a_rate_says_itself_when_it_will_do() -> None:
    async def main() -> None:
        world = World({"a": limited(requests="2/s")}, seconds=0.0)
        done = await world.asks(*(world.ask() for _ in range(6)))
        assert [one.at for one in done] == pytest.approx([0, 0, 0.5, 1.0, 1.5, 2.0], abs=0.01)

    clock.run(main())


def test_a_limit_that_will_not_do_in_time_is_not_waited_for() -> None:
    async def main() -> None:
        world = World({"a": limited(requests="2/min")}, seconds=0.0)
        done = await world.asks(*(world.ask() for _ in range(4)))
        assert [(one.status, one.at) for one in done] == [(200, 0), (200, 0), (429, 0), (429, 0)]
        assert done[-1].headers[b"retry-after"] == b"30"
        assert world.gateway.queueing.refused == {("a", "too_long"): 2}

    clock.run(main())


def test_the_limit_of_a_model_is_not_waited_for() -> None:
    """Others of the same channel would wait behind it."""

    async def main() -> None:
        world = World({"a": limited(concurrency=1)}, models={"m": {"limits": {"requests": "2/h"}}})
        done = await world.asks(*(world.ask(at=n / 10) for n in range(3)), world.ask(at=2.5))
        assert [(one.status, one.at) for one in done] == [(200, 1), (200, 2), (429, 1), (429, 2.5)]
        assert b"limit of model 'm': 2 requests/h" in done[3].body
        assert world.gateway.queueing.refused == {("a", "other"): 1}

    clock.run(main())


def test_any_key_of_the_pool_will_do() -> None:
    async def main() -> None:
        keys = [{"env": "K1", "limits": {"concurrency": 1}}, {"env": "K2", "limits": {"requests": "1/h"}}]
        world = World({"a": {"keys": keys, "queue": {}}})
        done = await world.asks(*(world.ask() for _ in range(4)))
        assert [(one.status, one.at) for one in done] == [(200, 1), (200, 1), (200, 2), (200, 3)]
        assert len({x.key for x in world.exchanges}) == 2

    clock.run(main())


def test_a_client_that_leaves_is_out_at_once() -> None:
    async def main() -> None:
        world = World({"a": limited(size=1, concurrency=1)})
        early = [world.ask(), world.ask(at=0.1, leaves=0.4)]
        done = await world.asks(*early, world.ask(at=0.45), world.ask(at=0.6))
        assert [(one.status, one.at) for one in done] == [(200, 1), (0, 0.0), (429, 0.45), (200, 2)]
        assert [x.status for x in world.exchanges].count(499) == 1

    clock.run(main())


def test_a_drained_channel_is_waited_for_no_longer() -> None:
    async def main() -> None:
        world = World({"a": limited(concurrency=1), "b": limited(concurrency=1)}, seconds=5)
        loop = asyncio.get_running_loop()

        async def operator() -> None:
            await asyncio.sleep(1)
            world.gateway.health.order("a", Override("drain", loop.time() + 60))

        ordered = asyncio.create_task(operator())
        done = await world.asks(*(world.ask() for _ in range(3)))
        assert [(one.channel, one.at) for one in done] == [("a", 5), ("b", 5), ("b", 10)]
        assert world.gateway.queueing.refused == {("a", "gone"): 1}
        await ordered

    clock.run(main())


def test_a_raised_limit_lets_in_who_waits() -> None:
    async def main() -> None:
        world = World({"a": limited(concurrency=1)}, seconds=5)

        async def operator() -> None:
            await asyncio.sleep(1)
            world.swap({"a": limited(concurrency=3)})

        ordered = asyncio.create_task(operator())
        done = await world.asks(*(world.ask() for _ in range(4)))
        assert [one.at for one in done] == [5, 6, 6, 10]
        await ordered

    clock.run(main())


def test_a_limit_that_is_lifted_lets_in_all() -> None:
    async def main() -> None:
        world = World({"a": limited(concurrency=1)}, seconds=5)

        async def operator() -> None:
            await asyncio.sleep(1)
            world.swap({"a": {}})

        ordered = asyncio.create_task(operator())
        done = await world.asks(*(world.ask() for _ in range(4)))
        assert [one.at for one in done] == [5, 6, 6, 6]
        await ordered

    clock.run(main())


def test_a_channel_gone_from_the_table_is_waited_for_no_longer() -> None:
    async def main() -> None:
        world = World({"a": limited(concurrency=1), "b": limited(concurrency=1)}, seconds=5)

        async def operator() -> None:
            await asyncio.sleep(1)
            world.swap({"b": limited(concurrency=2)})
            await asyncio.sleep(1)
            world.swap({"c": {}})

        ordered = asyncio.create_task(operator())
        done = await world.asks(*(world.ask() for _ in range(4)))
        assert [(one.channel, one.status, one.at) for one in done] == [
            ("a", 200, 5),
            ("b", 200, 5),
            ("b", 200, 6),
            ("", 429, 2),
        ]
        assert b"taken out of service" in done[3].body
        world.swap({"c": {}})
        assert world.gateway.queueing.refused == {}  # counters of channels that are gone go with them
        await ordered

    clock.run(main())


def test_shared_limits_are_asked_again_with_patience() -> None:
    """A place that another process gives back is noticed without a word, by the one who has the turn alone."""

    class Others:
        """Meters whose one place is taken elsewhere until the tenth second."""

        asked: list[float]

        async def take(self, charges: Any, *, now: float) -> Any:
            self.asked.append(now - 1e9)
            return await self.inner.take(charges, now=now) if now >= 1e9 + 10 else self.short(charges)

        def __init__(self, inner: Any) -> None:
            self.inner, self.asked = inner, []
            self.settle, self.standing = inner.settle, inner.standing

        def short(self, charges: Any) -> Any:
            return Short(charges[-1].meter, 0, None)

    async def main() -> None:
        world = World({"a": limited(wait="30s", concurrency=5)})
        others = Others(world.gateway.meters)
        world.gateway.meters = others
        world.gateway.shared = SimpleNamespace()  # type: ignore[assignment]  # only that it is there matters
        done = await world.asks(*(world.ask() for _ in range(4)))
        assert all(11 <= one.at <= 12 for one in done)
        first = 4  # each asks once before any of them waits
        assert 10 <= len(others.asked) - first <= 30

    clock.run(main())


async def schedule(seed: int) -> None:
    rng = random.Random(seed)
    declared = {
        name: limited(
            size=rng.randint(1, 6),
            wait=f"{rng.randint(1, 8)}s",
            **rng.choice([{"concurrency": rng.randint(1, 3)}, {"requests": "2/s", "concurrency": 3}]),
        )
        for name in ("a", "b")[: rng.randint(1, 2)]
    }
    deadline = rng.choice(["3s", "30s"])
    world = World(
        declared,
        seconds=lambda: rng.uniform(0.0, 3.0),
        what={"b": rng.choice([200, 500, 429])},
        deadline=deadline,
        backoff={"initial": "50ms", "max": "500ms"},
    )
    world.gateway.rng = rng.random

    async def watch() -> None:
        while True:
            for name, count in world.gateway.queueing.waiting().items():
                assert 0 < count <= declared[name]["queue"]["size"]
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    await world.asks(
        *(
            world.ask(
                rng.choice(NAMES),
                at=rng.uniform(0.0, 6.0),
                leaves=rng.uniform(0.1, 3.0) if rng.random() < 0.2 else None,
            )
            for _ in range(30)
        )
    )
    assert not watching.done() or watching.result() is None
    watching.cancel()
    for name, said in declared.items():
        assert world.engines[name].most <= said["limits"]["concurrency"]
    for exchange in world.exchanges:
        assert exchange.status in (200, 429, 499, 500, 502), exchange
        waits = sum(int(said["queue"]["wait"][:-1]) for said in declared.values())
        assert (exchange.queued_seconds or 0.0) <= min(waits, int(deadline[:-1])) + 0.01


@pytest.mark.parametrize("block", range(4))
def test_what_must_hold(block: int) -> None:
    for seed in range(block * 15, block * 15 + 15):
        try:
            clock.run(schedule(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
