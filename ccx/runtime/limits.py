"""Limits of clients, channels and keys in the path of a request: what it is charged, and what is put right afterwards.

Law: a request is charged before it is served, by estimate, and settled once when it is over, by what the upstream said
it used. A client that is at its limit is refused with the time to wait, in its own protocol; a channel or key that is
at its limit is passed over like one that cannot serve, and only when nobody else is left is the client refused. A
request on a table that limits nothing pays nothing for all this.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ccx.errors import ClientError
from ccx.protocols.names import Operation
from ccx.routing.decide import Choice
from ccx.runtime.metering import Metered
from ccx.runtime.understand import Request
from ccx.state.memory import MemoryState
from ccx.state.meters import Charge, Held, Meter, Meters, Rate, Short, Taken
from ccx.telemetry.exchange import OK, Exchange
from ccx.tokens.counter import TokenCounter

BYTES_A_TOKEN: Final = 4
SHORTEST_WAIT: Final = 1.0

_UNITS: Mapping[float, str] = {1: "s", 60: "min", 3600: "h", 86_400: "day"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens that a request is expected to use."""

    input: int
    output: int


class Limiter:
    """The limits of one request while it is served."""

    def __init__(self, request: Request, meters: Meters, *, state: MemoryState, counter: TokenCounter) -> None:
        self._request = request
        self._metering = request.live.metering
        self._meters = meters
        self._state = state
        self._counter = counter
        self._short: list[Short] = []
        self._estimated: Estimate | None = None

    async def admit(self) -> Taken | None:
        """Charge the client. Raises ClientError 429 where it is at a limit."""
        client = self._request.client
        metered = self._metering.clients.get(client.name) if client is not None else None
        if metered is None or self._request.endpoint.operation is Operation.COUNT_TOKENS:
            return None
        answer = await self._meters.take(self._charges(metered), now=time.time())
        if isinstance(answer, Taken):
            return answer
        self._request.exchange.limited_by = answer.meter.id
        raise _too_much(f"The {said(answer)} is used up.", answer.wait)

    async def enter(self, choice: Choice, key: int | None) -> Taken | Short | None:
        """Charge a target. None if it has no limits."""
        channel = self._metering.channels.get(choice.channel.name)
        pool = self._metering.keys.get((choice.channel.name, key)) if key is not None else None
        if channel is None and pool is None:
            return None
        charges = tuple(c for metered in (channel, pool) if metered is not None for c in self._charges(metered))
        answer = await self._meters.take(charges, now=time.time())
        if isinstance(answer, Short):
            self._short.append(answer)
        return answer

    async def leave(self, taken: Taken, *, answered: bool) -> None:
        """Settle a charge: with what was really used, or, where no upstream has answered, with the request alone."""
        await self._meters.settle(taken, used(taken, self._request.exchange, answered=answered), now=time.time())

    def refusal(self) -> ClientError | None:
        """What to tell a client when every target that was left is at its limit; None if none was."""
        if not self._short:
            return None
        waits = [short.wait for short in self._short if short.wait is not None]
        limits = "; ".join(dict.fromkeys(said(short) for short in self._short))
        self._request.exchange.limited_by = self._short[0].meter.id
        return _too_much(f"Every target is at its limit: {limits}.", min(waits, default=None))

    def _charges(self, metered: Metered) -> tuple[Charge, ...]:
        charges = [Charge(rate) for rate in metered.requests]
        if metered.input or metered.output:
            estimate = self.estimate()
            charges += [Charge(rate, estimate.input) for rate in metered.input]
            charges += [Charge(rate, estimate.output) for rate in metered.output]
        if metered.held is not None:
            charges.append(Charge(metered.held))
        return tuple(charges)

    def estimate(self) -> Estimate:
        """What the request is expected to use: its prompt as counted where that is cheap, and an answer as long as this
        client's have been of late."""
        if self._estimated is None:
            request = self._request
            count = request.facts.input_tokens
            if count is None:
                raw = request.body.raw
                cheap = self._counter.try_count(request.facts.protocol, raw)
                count = cheap if cheap is not None else len(raw) // BYTES_A_TOKEN
            name = request.client.name if request.client is not None else ""
            self._estimated = Estimate(count, self._state.answer_length(name))
        return self._estimated


def used(taken: Taken, exchange: Exchange, *, answered: bool) -> dict[str, int]:
    """What a request used, by meter id."""
    found: dict[str, int] = {}
    for charge in taken.charges:
        _, kind, _ = (*charge.meter.id.rsplit("/", 2), "", "")[:3]
        match kind:
            case "input_tokens":
                counted = exchange.input_tokens if exchange.input_tokens is not None else charge.amount
                found[charge.meter.id] = counted if answered else 0
            case "output_tokens":
                written = exchange.output_tokens if exchange.output_tokens is not None else charge.amount
                found[charge.meter.id] = written if answered else 0
    return found


def answered(exchange: Exchange) -> bool:
    """Whether some upstream has done work for a request."""
    return any(attempt.outcome == OK for attempt in exchange.attempts)


def said(short: Short) -> str:
    """A limit in words: `limit of client 'team-a': 600 requests/min`."""
    return f"limit of {_words(short.meter)}"


def _words(meter: Meter) -> str:
    if isinstance(meter, Held):
        return f"{meter.id.rpartition('/')[0]}: {meter.capacity:,} requests at once"
    name, kind, _ = (*meter.id.rsplit("/", 2), "", "")[:3]
    seconds = meter.seconds if isinstance(meter, Rate) else 0.0
    per = _UNITS.get(seconds, f"{seconds:g} s")
    return f"{name}: {meter.capacity:,} {kind.replace('_', ' ')}/{per}"


def _too_much(message: str, wait: float | None) -> ClientError:
    seconds = max(SHORTEST_WAIT, wait if wait is not None else SHORTEST_WAIT)
    headers = ((b"retry-after", str(math.ceil(seconds)).encode()),)
    return ClientError(429, "rate_limit", message, headers=headers)
