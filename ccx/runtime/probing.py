"""Active probes: ask a channel that is left alone whether it answers again, apart from clients' requests.

Law: a probe is nobody's request: it counts in no limit, no balance, no breaker. One that is answered lets real requests
through to what was shut, which then prove it; one that is not changes nothing, since a breaker opens again by itself.
Probes of a channel never overlap, and end with the process. Of a key only the header of the call knows.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from ccx.protocols.endpoints import Endpoint
from ccx.protocols.names import Operation, Protocol
from ccx.routing.decide import Choice
from ccx.routing.table import Channel, Probe, Surface
from ccx.runtime.attempt import Answer, Outgoing, attempt, build_call
from ccx.runtime.gateway import Gateway
from ccx.runtime.live import LiveKey, Upstream
from ccx.state.health import TargetId
from ccx.telemetry.exchange import OK
from ccx.upstream.outcome import REMEDIES
from ccx.upstream.reply import Timeouts

Noted = Callable[[str, str, str], None]
"""Takes a channel, a protocol, and `ok` or the class of failure."""

JITTER: Final = 0.1
LOOK: Final = 1.0
"""Seconds after which a new table is noticed, at the latest."""
SWEEP: Final = 30.0
INTERNAL: Final = "internal"


class Prober:
    """Probes the channels of whatever table is live, and lets the gateway forget what has ended. `run` is its life."""

    def __init__(self, gateway: Gateway, *, note: Noted, rng: Callable[[], float] = random.random) -> None:
        self._gateway = gateway
        self._note = note
        self._rng = rng
        self._due: dict[str, float] = {}
        self._busy: set[str] = set()
        self._swept = 0.0

    async def run(self) -> None:
        """Probe until cancelled; then no probe is left."""
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as group:
            while True:
                for channel, probe in self._now_due(clock()):
                    self._busy.add(channel.name)
                    group.create_task(self._probed(channel, probe))
                if clock() - self._swept >= SWEEP:
                    self._swept = clock()
                    self._gateway.sweep(clock())
                next_due = min(self._due.values(), default=clock() + LOOK)
                await asyncio.sleep(max(0.001, min(LOOK, next_due - clock())))

    def _now_due(self, now: float) -> Iterator[tuple[Channel, Probe]]:
        """The channels whose time has come. The first time is a whole interval after the channel is first seen."""
        probed = {c.name: c for c in self._gateway.live.table.channels if c.probe is not None and c.enabled}
        self._due = {name: at for name, at in self._due.items() if name in probed}
        for name, channel in probed.items():
            probe = channel.probe
            assert probe is not None  # noqa: S101 - chosen by that
            at = self._due.get(name)
            if at is None or at <= now or at > now + probe.every / 1000 * (1 + JITTER):
                spread = 1 - JITTER + 2 * JITTER * self._rng()
                self._due[name] = now + probe.every / 1000 * spread
                if at is not None and at <= now and name not in self._busy:
                    yield channel, probe

    async def _probed(self, channel: Channel, probe: Probe) -> None:
        try:
            for surface in channel.surfaces:
                await self._probe(channel, surface, probe)
        finally:
            self._busy.discard(channel.name)

    async def _probe(self, channel: Channel, surface: Surface, probe: Probe) -> None:
        clock, health = asyncio.get_running_loop().time, self._gateway.health
        upstream = self._gateway.live.upstreams.get(channel.name)
        order = health.override(channel.name, clock())
        if upstream is None or (order is not None and order.order == "drain"):
            return
        keys: tuple[LiveKey | None, ...] = tuple(key for key in upstream.keys if key.weight > 0) or (None,)
        shut = [key for key in keys if self._is_shut(channel, surface, key, clock())]
        if not shut and not probe.always:
            return
        key = (shut or keys)[0]
        try:
            outcome = await ask(upstream, surface, key, probe)
        except Exception:  # noqa: BLE001 - a probe that cannot be made must not end those of other channels
            outcome = INTERNAL
        self._note(channel.name, surface.protocol.value, outcome)
        if answers(outcome, probe):
            health.half_open(channel.name, surface.protocol.value, clock())

    def _is_shut(self, channel: Channel, surface: Surface, key: LiveKey | None, now: float) -> bool:
        target = TargetId(channel.name, surface.protocol.value, key.fingerprint if key is not None else None)
        return self._gateway.health.report(target, now).breaker == "open"


def answers(outcome: str, probe: Probe) -> bool:
    """Whether an outcome shows that the upstream is there. One that has no list of models says so, and answers."""
    if outcome == OK:
        return True
    found = REMEDIES.get(outcome)  # type: ignore[call-overload]  # an outcome may be none of the classes
    return probe.ask == "models" and found is not None and found.blame == "client"


async def ask(upstream: Upstream, surface: Surface, key: LiveKey | None, probe: Probe) -> str:
    """Ask once: `ok`, or the class of failure. Raises nothing of the network."""
    generate = probe.ask == "generate" and surface.protocol is not Protocol.IMAGES
    total = probe.timeout / 1000
    timeouts = Timeouts(connect=min(total, upstream.timeouts.connect or total), first_byte=None, idle=None, total=total)
    choice = Choice(upstream.channel, surface, probe.model, 1)
    endpoint = _endpoint(surface.protocol) if generate else _LISTING
    body = [msgspec.json.encode(_shortest(choice))] if generate else []
    headers = [(b"content-type", b"application/json")] if generate else []
    outgoing = Outgoing(endpoint, b"POST" if generate else b"GET", b"", headers, False, body)
    call = build_call(upstream, choice, key, outgoing=outgoing, timeouts=timeouts)
    found = await attempt(upstream, choice, key, call=call, outgoing=outgoing, clock=time.time)
    if isinstance(found, Answer):
        if found.reply is not None:
            found.reply.abort()
        return OK
    return found.failure


def _endpoint(protocol: Protocol) -> Endpoint:
    paths = {
        Protocol.MESSAGES: "/messages",
        Protocol.CHAT: "/chat/completions",
        Protocol.RESPONSES: "/responses",
        Protocol.GEMINI: "generateContent",
        Protocol.EMBEDDINGS: "/embeddings",
    }
    operation = Operation.EMBED if protocol is Protocol.EMBEDDINGS else Operation.GENERATE
    return Endpoint(protocol, operation, None, False, None, paths[protocol])


_LISTING: Final = Endpoint(Protocol.CHAT, Operation.COUNT_TOKENS, None, False, None, "/models")
"""All protocols have their lists of models at this path; it is read as an answer that says nothing of its content."""


def _shortest(choice: Choice) -> dict[str, object]:
    """The request for the shortest answer. OpenAI's Responses give at least 16 tokens, and its newer models know the
    limit in Chat by another name (https://platform.openai.com/docs/api-reference)."""
    model, said = choice.model, [{"role": "user", "content": "ping"}]
    match choice.surface.protocol:
        case Protocol.MESSAGES:
            return {"model": model, "max_tokens": 1, "messages": said}
        case Protocol.CHAT:
            name = "max_completion_tokens" if choice.channel.dialect == "openai" else "max_tokens"
            return {"model": model, name: 1 if name == "max_tokens" else 16, "messages": said}
        case Protocol.RESPONSES:
            return {"model": model, "max_output_tokens": 16, "input": "ping", "store": False}
        case Protocol.GEMINI:
            content = [{"role": "user", "parts": [{"text": "ping"}]}]
            return {"contents": content, "generationConfig": {"maxOutputTokens": 1}}
        case _:
            return {"model": model, "input": "ping"}
