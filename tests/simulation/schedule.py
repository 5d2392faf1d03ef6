"""One random schedule: a table by chance, clients that ask and leave by chance, an operator, swaps; all of it a
function of the seed, on a clock that jumps."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import random
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from ccx.protocols.endpoints import Endpoint, resolve
from ccx.protocols.names import Protocol
from ccx.routing.compile import compile_spec
from ccx.routing.facts import Facts
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import Live, prepare
from ccx.runtime.metering import Metered
from ccx.runtime.proxy import Proxy
from ccx.runtime.relay import CutError
from ccx.runtime.selecting import cares
from ccx.spec.document import Spec
from ccx.state.health import Override
from ccx.state.meters import Meter
from ccx.telemetry.exchange import Exchange
from ccx.testing import clock
from ccx.testing.asking import written
from ccx.tokens.counter import TokenCounter
from tests.simulation.oracles import WatchedHealth, WatchedMeters, WatchedRetries, number
from tests.simulation.upstreams import Chance, Engine, Made

REQUESTS: Final = 20
SPAN: Final = 8.0
"""Seconds in which requests arrive."""
EPOCH: Final = 1_800_000_000.0
CLIENTS: Final = ("ann", "bob")
Json = dict[str, Any]
COUNTER: Final = TokenCounter()


@dataclass(slots=True)
class Client:
    """One request's asking side. `leaves` is after how many seconds it goes away, if it does; `slow` how long it takes
    over each piece."""

    name: str
    front: Protocol
    model: str
    stream: bool
    session: str
    live: Live
    body: bytes
    leaves: float | None
    slow: float
    started: float
    given: bool = False
    gone: float | None = None
    starts: list[tuple[float, int]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False
    cut: bool = False
    finished: float | None = None
    exchange: Exchange | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        if not self.given:
            self.given = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await asyncio.sleep(self.leaves if self.leaves is not None else 1e6)
        self.gone = asyncio.get_running_loop().time()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        assert not self.ended, "something after the end"
        now = asyncio.get_running_loop().time()
        if message["type"] == "http.response.start":
            self.starts.append((now, message["status"]))
            return
        self.pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            self.ended = True
        elif self.slow:
            await asyncio.sleep(self.slow)


@dataclass(slots=True)
class History:
    """All that happened in a schedule."""

    raws: list[tuple[float, Json]]
    gateway: Gateway
    meters: WatchedMeters
    retries: WatchedRetries
    health: WatchedHealth
    calm: bool
    made: list[Made] = field(default_factory=list)
    clients: dict[int, Client] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    drains: list[tuple[str, float, float]] = field(default_factory=list)
    troubles: list[BaseException] = field(default_factory=list)

    @property
    def trace(self) -> list[tuple[int, str, float]]:
        """Who asked whom when."""
        return [(made.request, made.channel, round(made.started, 6)) for made in self.made]


def first_table(rng: random.Random, names: list[str], *, calm: bool) -> Json:
    """A spec of these channels, by chance; a `calm` one has no limits and no breakers to get in the way."""

    def limits(some: float) -> Json:
        if calm or rng.random() >= some:
            return {}
        found: Json = {}
        if rng.random() < 0.5:
            found["concurrency"] = rng.randint(1, 4)
        if rng.random() < 0.4:
            found["requests"] = f"{rng.randint(2, 12)}/{rng.choice(['s', 'min'])}"
        if rng.random() < 0.3:
            found["input_tokens"] = f"{rng.randint(20, 200)}/min"
        if rng.random() < 0.3:
            found["output_tokens"] = f"{rng.randint(300, 3000)}/min"
        return found

    channels: Json = {}
    for name in names:
        channels[name] = {
            "protocol": "messages" if rng.random() < 0.7 else "chat",
            "base_url": f"http://{name}.invalid",
            "keys": [{"env": f"{name}{n}", "limits": limits(0.2)} for n in range(rng.randint(0, 3))] or "none",
            "key_strategy": rng.choice(["round_robin", "least_used", "in_order"]),
            "timeouts": {
                "connect": rng.choice(["300ms", "1s", "3s"]) if name != "good" else "1s",
                "first_byte": "2s",
                "idle": "1s",
                "total": "6s",
            },
            "breaker": rng.choice(["off", {"consecutive": 2, "open": "2s", "max_open": "10s"}, {}]),
            "cooldown": {"auth": "2s", "rate_limit": "1s", "quota": "3s"},
            "limits": limits(0.4),
            "queue": rng.choice(["off", {"size": rng.randint(1, 5), "wait": rng.choice(["300ms", "3s"])}]),
        }
    balance = rng.choice(["priority", "round_robin", "weighted", "least_connections", "least_latency"])
    to: list[Any] = list(names)
    if balance != "priority":
        group = {"balance": balance, "targets": names, "max_ejection": rng.choice(["100%", "50%", "0%"])}
        group["affinity"] = rng.choice(["none", "none", "session", "client"])
        to = [group]
    failover: Json = {
        "attempts": rng.randint(1, 5),
        "deadline": rng.choice(["1500ms", "4s", "8s"]),
        "backoff": {"initial": "50ms", "max": "500ms", "jitter": rng.choice(["full", "none"])},
        "retry_budget": rng.choice(["0%", "10%", "20%", "off"]),
    }
    if rng.random() < 0.5:
        failover["hedge"] = {"after": "300ms", "share": rng.choice(["0%", "20%", "100%"])}
    clients: Json = {}
    for name in CLIENTS:
        clients[name] = {"key": {"sha256": hashlib.sha256(f"key of {name}".encode()).hexdigest()}}
        clients[name]["limits"] = limits(0.5)
        if not calm and rng.random() < 0.3:
            clients[name]["budget"] = {"usd": f"{rng.uniform(0.05, 0.5):.2f}", "per": rng.choice(["day", "total"])}
    price = {"price": {"input": 200, "output": 1000}}
    return {
        "version": "ccx/v1",
        "clients": clients,
        "channels": channels,
        "models": {_model(n, kept=False): price for n in range(REQUESTS)},
        "routes": [
            {
                "name": "kept",
                "when": {"model": "mkc*"},
                "to": to,
                "failover": failover,
                "cache": {"ttl": rng.choice(["500ms", "5s"]), "when": "any", "scope": rng.choice(["client", "shared"])},
            },
            {"name": "all", "to": to, "failover": failover},
        ],
    }


def edited(rng: random.Random, raw: Json, *, generation: int) -> Json:
    """The same spec with an edit or two: a channel gone or renamed, a limit lower, a breaker other, a route renamed."""
    new = copy.deepcopy(raw)
    names = list(new["channels"])
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(names)
        match rng.choice(("gone", "renamed", "limit", "limit", "client", "breaker", "route", "queue")):
            case "gone" if name != "good" and len(new["channels"]) > 1 and name in new["channels"]:
                del new["channels"][name]
                _retarget(new, name, None)
            case "renamed" if name != "good" and name in new["channels"]:
                fresh = f"{name[0]}{generation}"
                new["channels"][fresh] = new["channels"].pop(name)
                _retarget(new, name, fresh)
                names = list(new["channels"])
            case "limit" if name in new["channels"]:
                new["channels"][name]["limits"] = {
                    "concurrency": rng.randint(1, 2),
                    "requests": f"{rng.randint(1, 4)}/s",
                }
            case "client":
                new["clients"][rng.choice(CLIENTS)]["limits"] = {"concurrency": 2, "requests": f"{rng.randint(2, 9)}/s"}
            case "breaker" if name in new["channels"]:
                window = rng.choice(["1s", "5s", "60s"])
                new["channels"][name]["breaker"] = {"consecutive": rng.randint(1, 4), "window": window, "open": "1s"}
            case "queue" if name in new["channels"]:
                new["channels"][name]["queue"] = rng.choice(["off", {"size": 2, "wait": "1s"}])
            case "route":
                new["routes"][0]["name"] = f"kept{generation}"
    return new


def _retarget(raw: Json, old: str, new: str | None) -> None:
    for route in raw["routes"]:
        steps = []
        for step in route["to"]:
            named = [step] if isinstance(step, str) else step["targets"]
            named = [new if name == old else name for name in named]
            kept = [name for name in named if name is not None]
            if isinstance(step, str):
                steps += kept
            elif kept:
                steps.append({**step, "targets": kept})
        route["to"] = steps


def _model(n: int, *, kept: bool) -> str:
    return f"mkc{n:011x}" if kept else f"mk0{n:011x}"


def _meters(metered: Metered | None) -> tuple[Meter, ...]:
    if metered is None:
        return ()
    held = () if metered.held is None else (metered.held,)
    return (*metered.requests, *metered.input, *metered.output, *held)


class _World:
    """A schedule while it runs."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        names = ["good", *rng.sample(["b", "c", "d"], rng.randint(0, 3))]
        rng.shuffle(names)
        calm = rng.random() < 0.15
        self._failing = {name[0]: 0.0 if calm or name == "good" else rng.choice([0.1, 0.5, 1.0]) for name in names}
        self._slow = {name[0]: 0.0 if calm else rng.choice([0.0, 0.5]) for name in names}
        self._engines: dict[str, Engine] = {}
        raw = first_table(rng, names, calm=calm)
        meters, retries, health = WatchedMeters(), WatchedRetries(rng.choice([0.1, 0.3, 3.0])), WatchedHealth()
        self.history = History([(0.0, raw)], None, meters, retries, health, calm)  # type: ignore[arg-type]  # set below
        live = self.prepared(raw, None)
        gateway = self.history.gateway = Gateway(live)
        gateway.rng = rng.random
        gateway.meters, gateway.retries, gateway.health = meters, retries, health
        health.configure(cares(live.table))
        history = self.history
        self.proxy = Proxy(
            gateway, COUNTER, emit=self._emitted, trouble=lambda _id, error: history.troubles.append(error)
        )

    def _emitted(self, exchange: Exchange) -> None:
        self.history.exchanges.append(exchange)
        client = self.history.clients[number.get()]
        assert client.exchange is None, "told twice"
        client.exchange = exchange

    def prepared(self, raw: Json, previous: Live | None) -> Live:
        compiled = compile_spec(Spec.model_validate(raw))
        assert compiled.servable, compiled.diagnostics
        keys = [one for channel in raw["channels"].values() if channel["keys"] != "none" for one in channel["keys"]]
        environ = {key["env"]: f"key-{key['env']}" for key in keys}
        live = prepare(compiled.table, compiled.digest, folder=Path(), environ=environ, previous=previous)
        return replace(live, upstreams={n: replace(u, engine=self._engine(n)) for n, u in live.upstreams.items()})

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = Engine(
                name,
                Chance(self.rng, {name: self._failing[name[0]]}),
                self.history.made,
                rng=self.rng,
                slow=self._slow[name[0]],
                longest=0.4 if name == "good" else 2.5,
                calling=self.calling,
            )
        return self._engines[name]

    def calling(self, made: Made) -> None:
        """A call is about to be made: whose limits it must have been charged to, and how many there may be."""
        client = self.history.clients[made.request]
        held = self.history.meters.open(made.request)
        # Who has waited in a queue goes by the limits of the table in force then.
        tables = (client.live.metering, self.history.gateway.live.metering)
        channels = [table.channels.get(made.channel) for table in tables]
        missing = [{meter.id for meter in _meters(one)} - held for one in channels]
        assert not all(missing), f"a call without {missing}"
        missing = [{meter.id for meter in _meters(tables[0].clients.get(client.name))} - held]
        assert not any(missing), f"a call without {missing}"
        under_way = sum(one.channel == made.channel and one.ended is None for one in self.history.made)
        assert self.history.gateway.state.inflight(made.channel) >= under_way, "calls under way that nobody knows of"
        places = [one.held.capacity if one is not None and one.held is not None else None for one in channels]
        most = None if None in places else max(place for place in places if place is not None)
        # Requests on a table that did not limit it hold no place: what a swap brings is for those that come after it.
        taken = [
            one
            for one in self.history.made
            if one.channel == made.channel and one.ended is None and self._counts(one.request, made.channel)
        ]
        assert most is None or len(taken) <= most, f"{len(taken)} calls at once, of {most}"

    def _counts(self, request: int, channel: str) -> bool:
        metered = self.history.clients[request].live.metering.channels.get(channel)
        return metered is not None and metered.held is not None

    async def request(self, n: int, at: float) -> None:
        """Ask for something."""
        rng = self.rng
        await asyncio.sleep(at)
        number.set(n)
        live = self.history.gateway.live
        kept = rng.random() < 0.4
        model = _model(rng.randint(0, 2), kept=True) if kept else _model(n, kept=False)
        front = Protocol.MESSAGES if rng.random() < 0.7 else Protocol.CHAT
        stream, name, session = rng.random() < 0.6, rng.choice(CLIENTS), f"s{rng.randint(0, 2)}"
        sent = written(Facts(front, model, stream=stream))
        leaves = rng.uniform(0.0, 3.0) if rng.random() < 0.25 and not self.history.calm else None
        slow = rng.choice([0.0, 0.0, 0.02])
        client = Client(
            *(name, front, model, stream, session, live, sent.body, leaves, slow),
            started=self.loop.time(),
        )
        self.history.clients[n] = client
        endpoint = resolve("POST", sent.path, prefixes=live.decider.prefixes)
        assert isinstance(endpoint, Endpoint)
        scope = {
            "type": "http",
            "method": "POST",
            "path": sent.path,
            "query_string": b"",
            "headers": [
                *sent.headers,
                (b"x-api-key", f"key of {name}".encode()),
                (b"x-ccx-session", session.encode()),
            ],
            "client": ("127.0.0.1", 1),
        }
        try:
            await self.proxy(live, endpoint, scope, client.receive, client.send)
        except CutError:
            client.cut = True
        client.finished = self.loop.time()

    async def operator(self) -> None:
        """Drain something now and then."""
        rng, history, health = self.rng, self.history, self.history.health
        for _ in range(0 if history.calm else rng.randint(0, 3)):
            await asyncio.sleep(rng.uniform(0.0, 4.0))
            now, seconds = self.loop.time(), rng.uniform(0.5, 6.0)
            name = rng.choice([channel.name for channel in history.gateway.live.table.channels])
            health.order(name, Override("drain", now + seconds))
            self.undrained(name, now)
            history.drains.append((name, now, now + seconds))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.uniform(0.0, seconds))
                with contextlib.suppress(KeyError):  # it may have left the table
                    health.order(name, None)
                self.undrained(name, self.loop.time())

    def undrained(self, name: str, now: float) -> None:
        """What was ordered for a channel before holds no longer."""
        self.history.drains[:] = [
            (one, start, min(end, now) if one == name else end) for one, start, end in self.history.drains
        ]

    async def swaps(self) -> None:
        """Put another table in force, now and then."""
        rng, history = self.rng, self.history
        for generation in range(0 if history.calm else rng.randint(0, 3)):
            await asyncio.sleep(rng.uniform(0.2, 4.0))
            raw = edited(rng, history.raws[-1][1], generation=generation)
            live = self.prepared(raw, history.gateway.live)
            history.gateway.commit(live)
            now = self.loop.time()
            history.raws.append((now, raw))
            for name in history.raws[-2][1]["channels"].keys() - raw["channels"].keys():
                self.undrained(name, now)


@contextlib.contextmanager
def _on(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Every clock is the loop's."""
    with (
        patch("time.time", lambda: EPOCH + loop.time()),
        patch("time.perf_counter", loop.time),
        patch("time.monotonic", loop.time),
    ):
        yield


async def _played(seed: int) -> History:
    loop = asyncio.get_running_loop()
    with _on(loop):
        world = _World(seed)
        rng, history = world.rng, world.history
        times = [rng.uniform(0.0, SPAN) for _ in range(REQUESTS)]
        for _ in range(rng.randint(0, 2)):  # some at the same moment
            times[rng.randrange(REQUESTS)] = times[rng.randrange(REQUESTS)]
        asking = [asyncio.create_task(world.request(n, at)) for n, at in enumerate(times)]
        done, late = await asyncio.wait(
            [*asking, asyncio.create_task(world.operator()), asyncio.create_task(world.swaps())],
            timeout=SPAN + 120,
        )
        assert not late, "a request without an end"
        for task in done:
            task.result()
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 1, "a task was left behind"
        return history


def play(seed: int, judge: Any) -> History:
    """Run the schedule of a seed and have `judge` look at it, still on its clock."""

    async def whole() -> History:
        history = await _played(seed)
        with _on(asyncio.get_running_loop()):
            await judge(history)
        return history

    return clock.run(whole())
