"""Limits in the path of a request, of clients, groups, channels, models and keys: what it is charged, and what is put
right afterwards.

Law: a request is charged before it is served, by estimate, and settled once when it is over, by what the upstream said
it used. A client that is at its limit, or whose group is, is refused with the time to wait, in its own protocol; a
target whose channel, model or key is at its limit is passed over like one that cannot serve, and only when nobody else
is left is the client refused, or waits for its turn where the channel has a queue. All that a client is held to is
charged together or not at all, and so is all that a target is. A request on a table that limits nothing pays nothing
for all this.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, assert_never

from ccx.catalog.models import charge
from ccx.errors import ClientError
from ccx.protocols.names import Operation
from ccx.routing.decide import Choice, Decision
from ccx.routing.prices import PriceList
from ccx.runtime.alerts import Alerts
from ccx.runtime.metering import Metered, micros
from ccx.runtime.queueing import Granted, NotNow, Queueing, RefusedWait
from ccx.runtime.understand import Request
from ccx.state.memory import MemoryState
from ccx.state.meters import Charge, Held, Meter, Meters, Rate, Short, Sum, Taken
from ccx.telemetry.exchange import OK, Exchange, Spent
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

    def __init__(
        self,
        request: Request,
        meters: Meters,
        *,
        state: MemoryState,
        counter: TokenCounter,
        queueing: Queueing,
        alerts: Alerts | None = None,
    ) -> None:
        self._request = request
        self._metering = request.live.metering
        self._meters = meters
        self._alerts = alerts
        self._state = state
        self._counter = counter
        self._queueing = queueing
        self._short: dict[str, Short] = {}
        self._why: list[str] = []
        self._estimated: Estimate | None = None

    @property
    def limits_targets(self) -> bool:
        """Whether there is a target with limits at all."""
        metering = self._metering
        return bool(metering.channels or metering.keys or metering.models)

    async def admit(self, decision: Decision) -> Taken | None:
        """Charge the client and its groups, for its first target. Raises ClientError 429 where one is at a limit."""
        client = self._request.client
        callers = self._metering.callers.get(client.name) if client is not None else None
        if callers is None or self._request.endpoint.operation is Operation.COUNT_TOKENS:
            return None
        now = time.time()
        charges = tuple(charge for metered in callers for charge in self._charges(metered))
        purses = [purse for metered in callers for purse in metered.purses]
        if purses and decision.steps:
            moment = datetime.fromtimestamp(now, UTC)
            cost = self._expected_cost(decision.steps[0].choices[0])
            charges += tuple([Charge(purse.at(moment), cost) for purse in purses])
        answer = await self._meters.take(charges, now=now)
        if isinstance(answer, Taken):
            return answer
        self._request.exchange.limited_by = answer.meter.id
        if self._alerts is not None:
            self._alerts.refused(answer)
        raise _too_much(f"The {said(answer)} is used up.", answer.wait, spent=isinstance(answer.meter, Sum))

    async def enter(self, choice: Choice, key: int | None, *, waited: bool = False) -> Taken | Short | None:
        """Charge a target. None if it has no limits. What has `waited` goes by the limits of the table in service,
        which may be another by now."""
        channel = self._metering.channels.get(choice.channel.name)
        pool = self._metering.keys.get((choice.channel.name, key)) if key is not None else None
        model = self._metering.models.get(choice.model or "")
        if waited:
            latest = self._queueing.latest
            channel, pool, model = (latest(one) if one is not None else None for one in (channel, pool, model))
        if channel is None and pool is None and model is None:
            return None
        charges = tuple(c for metered in (channel, model, pool) if metered is not None for c in self._charges(metered))
        answer = await self._meters.take(charges, now=time.time())
        if isinstance(answer, Short):
            self._short[answer.meter.id] = answer
        return answer

    def crowded(self, choice: Choice) -> bool:
        """Whether others wait for a target already: then nobody passes them by."""
        name = choice.channel.name
        if not self._queueing.crowded(name):
            return False
        told = self._queueing.told(name)
        if told is not None:
            self._short.setdefault(told.meter.id, told)
        return True

    async def wait(
        self, choice: Choice, *, ends: float, keys: Callable[[], tuple[int, ...]], drained: Callable[[], bool]
    ) -> Granted | RefusedWait:
        """Wait in a channel's queue and charge it when the turn has come. `ends` is of the loop's clock; `keys` are
        those of the pool in the order to try them."""
        channel, client, exchange = choice.channel, self._request.client, self._request.exchange
        assert channel.queue is not None  # noqa: S101 - only such a target is waited for
        clock = asyncio.get_running_loop().time
        began = clock()

        async def ask() -> Granted | NotNow | RefusedWait:
            pool = keys() or (None,)
            shorts: list[Short] = []
            for place, key in enumerate(pool, start=1):
                answer = await self.enter(choice, key, waited=True)
                if not isinstance(answer, Short):
                    return Granted(key, answer, tuple(one for one in pool[place:] if one is not None))
                if of_model(answer):
                    return "other"
                shorts.append(answer)
                if not of_key(answer):
                    break
            soonest = min(shorts, key=lambda short: math.inf if short.wait is None else short.wait)
            return NotNow(soonest, soonest.wait, all(short.wait is not None for short in shorts))

        try:
            found = await self._queueing.wait(
                channel.name,
                channel.queue,
                client=client.name if client is not None else "",
                ends=ends,
                ask=ask,
                drained=drained,
            )
        finally:
            exchange.queued_seconds = (exchange.queued_seconds or 0.0) + clock() - began
            exchange.queued_for = channel.name
        if not isinstance(found, Granted):
            self._why.append(_refused_wait(found, channel.name))
        return found

    async def leave(self, taken: Taken, *, answered: bool, channel: str | None = None) -> None:
        """Settle a charge: with what was really used, or, where no upstream has answered, with the request alone.
        `channel` is the one that was charged, if not the client."""
        exchange = self._request.exchange
        spent = cost_of(exchange, self._request.live.prices) if answered else Decimal(0)
        try:
            await self._meters.settle(taken, used(taken, exchange, answered=answered, spent=spent), now=time.time())
        finally:
            if channel is not None:
                self._queueing.released(channel)

    def refusal(self) -> ClientError | None:
        """What to tell a client when every target that was left is at its limit; None if none was."""
        shorts = tuple(self._short.values())
        if not shorts and not self._why:
            return None
        waits = [short.wait for short in shorts if short.wait is not None]
        limits = "; ".join(dict.fromkeys((*(said(short) for short in shorts), *self._why)))
        self._request.exchange.limited_by = shorts[0].meter.id if shorts else None
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

    def _expected_cost(self, choice: Choice) -> int:
        """In millionths of a dollar. What has no known price is not charged."""
        estimate = self.estimate()
        price = self._request.live.prices.price(choice.channel.name, choice.model, prompt=estimate.input)
        if price is None:
            return 0
        return micros(charge(price, input_tokens=estimate.input, output_tokens=estimate.output))

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


def used(taken: Taken, exchange: Exchange, *, answered: bool, spent: Decimal | None) -> dict[str, int]:
    """What a request used, by meter id. `spent` is None where its price or its usage is not known: the estimate stands,
    as it does for tokens that the upstream did not count."""
    found: dict[str, int] = {}
    for one in taken.charges:
        said: int | None
        match _kind(one.meter):
            case "input_tokens":
                said = exchange.input_tokens
            case "output_tokens":
                said = exchange.output_tokens
            case "usd":
                said = micros(spent) if spent is not None else None
            case _:
                continue
        found[one.meter.id] = (one.amount if said is None else said) if answered else 0
    return found


def cost_of(exchange: Exchange, prices: PriceList) -> Decimal | None:
    """What a request cost at list price, in USD, all calls that told its answer together; None if its usage or a price
    is not known."""
    if not exchange.spent:
        return _cost(exchange, exchange.channel, exchange.model_sent, prices)
    costs = [_cost(one, one.channel, one.model, prices) for one in exchange.spent]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def _cost(used_: Exchange | Spent, served: str | None, model: str | None, prices: PriceList) -> Decimal | None:
    prompt = used_.input_tokens
    if served is None or prompt is None:
        return None
    price = prices.price(served, model, prompt=prompt)
    if price is None:
        return None
    read, written = used_.cache_read_tokens or 0, used_.cache_write_tokens or 0
    return charge(
        price,
        input_tokens=max(prompt, read + written),
        output_tokens=used_.output_tokens or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


def of_key(short: Short) -> bool:
    """Whether it is one key that is at its limit: another of the same target may do."""
    return short.meter.id.startswith("key ")


def of_model(short: Short) -> bool:
    """Whether it is a model that is at its limit, which is not waited for: other models of the channel would wait
    behind it."""
    return short.meter.id.startswith("model ")


def _kind(meter: Meter) -> str:
    """`input_tokens` of `client 'team-a'/input_tokens/60`."""
    return meter.id.rsplit("/", 2)[-2]


def answered(exchange: Exchange) -> bool:
    """Whether some upstream has done work for a request."""
    return any(attempt.outcome == OK for attempt in exchange.attempts)


def _refused_wait(why: RefusedWait, channel: str) -> str:
    match why:
        case "full":
            return f"the queue of channel {channel!r} is full"
        case "displaced":
            return f"the queue of channel {channel!r} is full, and its places go to clients with fewer"
        case "too_long":
            return f"the wait for channel {channel!r} is longer than may be waited"
        case "deadline":
            return f"channel {channel!r} had no room in the time that may be waited"
        case "other":
            return f"channel {channel!r} has room for other models"
        case "gone":
            return f"channel {channel!r} has been taken out of service"
        case _:
            assert_never(why)


def said(short: Short) -> str:
    """A limit in words: `limit of client 'team-a': 600 requests/min`."""
    return f"limit of {_words(short.meter)}"


def _words(meter: Meter) -> str:
    match meter:
        case Held(id_, capacity):
            return f"{id_.rpartition('/')[0]}: {capacity:,} requests at once"
        case Sum(id_, capacity):
            name, _, period = id_.rsplit("/", 2)
            return f"{name}: {Decimal(capacity) / 1_000_000:,.2f} USD for {period}"
        case Rate(id_, capacity, seconds):
            name, kind, _ = id_.rsplit("/", 2)
            return f"{name}: {capacity:,} {kind.replace('_', ' ')}/{_UNITS.get(seconds, f'{seconds:g} s')}"
        case _:
            assert_never(meter)


def _too_much(message: str, wait: float | None, *, spent: bool = False) -> ClientError:
    """A refusal with the time to wait. What is `spent` is not to be had by asking again, so clients are told not to."""
    seconds = max(SHORTEST_WAIT, wait if wait is not None else SHORTEST_WAIT)
    headers = [(b"retry-after", str(math.ceil(seconds)).encode())] if wait is not None or not spent else []
    if spent:
        headers.append((b"x-should-retry", b"false"))
    code = "insufficient_quota" if spent else None
    return ClientError(429, "rate_limit", message, headers=tuple(headers), code=code)
