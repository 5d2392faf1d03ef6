"""The attempts of one request: ask the schedule what is next, do it, and stop at the first answer.

Law: what is tried is the schedule's word; this module only acts on it. When all attempts fail the client gets the most
useful upstream error, word for word, with its status and retry headers; which attempts were made is in the receipt.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

from ccx.errors import GatewayError
from ccx.protocols.body import Body
from ccx.protocols.names import Operation, Protocol
from ccx.routing.decide import Choice, Decision, Step
from ccx.routing.select import order, pick_key
from ccx.routing.table import Route
from ccx.runtime.answers import KINDS, Sender, receipt, reply_headers
from ccx.runtime.attempt import Failure, Outgoing, attempt, build_call
from ccx.runtime.live import Upstream
from ccx.runtime.policy import NO_EDITS, edits
from ccx.runtime.relay import relay
from ccx.runtime.schedule import Move, Schedule
from ccx.runtime.understand import Request
from ccx.state.memory import MemoryState
from ccx.telemetry.exchange import OK, Attempt
from ccx.upstream.outcome import FailureClass, usefulness
from ccx.upstream.reply import Timeouts

_STATUS: dict[FailureClass, int] = {
    "auth": 502,
    "bad_request": 400,
    "connect": 502,
    "content_filter": 400,
    "context_window": 400,
    "model_not_found": 404,
    "overloaded": 503,
    "quota": 429,
    "rate_limit": 429,
    "server_error": 502,
    "timeout": 504,
}


async def serve_from_upstreams(
    request: Request,
    decision: Decision,
    route: Route,
    outgoing: Outgoing,
    *,
    state: MemoryState,
    sender: Sender,
) -> list[Failure]:
    """Try the decision's targets until one answers, and relay that. Returns the failures if none did."""
    live = request.live
    now = asyncio.get_running_loop().time
    bodies = _Bodies(request, route)

    def arranged(step: Step) -> tuple[Choice, ...]:
        return order(step, view=state, rng=random.random)

    def keys(choice: Choice) -> tuple[int, ...]:
        upstream = live.upstreams[choice.channel.name]
        return pick_key(upstream.channel, tuple((k.fingerprint, k.weight) for k in upstream.keys), view=state)

    schedule = Schedule(
        decision.steps,
        route.failover,
        order=arranged,
        keys=keys,
        random=random.random,
        started=now(),
    )
    failures: list[Failure] = []
    move = schedule.first()
    while move is not None:
        if move.wait:
            await asyncio.sleep(move.wait)
        upstream = live.upstreams[move.choice.channel.name]
        timeouts = _timeouts(upstream, stream=outgoing.stream, remaining=schedule.ends - now())
        failure = await _one(request, move, upstream, outgoing, timeouts, bodies=bodies, state=state, sender=sender)
        if failure is None:
            return []
        failures.append(failure)
        move = schedule.after(move, failure.failure, retry_after=failure.retry_after, now=now())
    return failures


async def _one(
    request: Request,
    move: Move,
    upstream: Upstream,
    outgoing: Outgoing,
    timeouts: Timeouts,
    *,
    bodies: _Bodies,
    state: MemoryState,
    sender: Sender,
) -> Failure | None:
    """Make one attempt; relay its answer, or return its failure."""
    choice, exchange = move.choice, request.exchange
    key = upstream.keys[move.key] if move.key is not None else None
    channel, print_ = choice.channel.name, key.fingerprint if key else None
    call = build_call(upstream, choice, key, outgoing=outgoing, body=bodies.pieces(choice), timeouts=timeouts)
    before = exchange.attempts
    record = Attempt(channel, choice.surface.protocol.value, choice.model or "", print_, OK, None, 0.0)
    outcome, status, begun = "cancelled", None, time.perf_counter()
    state.begin(channel, print_)
    try:
        found = await attempt(upstream, choice, key, call=call, outgoing=outgoing, now=time.time())
        if isinstance(found, Failure):
            outcome, status = found.failure, found.status
            return found
        status = found.status
        exchange.attempts = (*before, record)
        outcome = await relay(outgoing.endpoint, found, exchange, sender)
        return None
    finally:
        state.end(channel, print_)
        seconds = time.perf_counter() - begun
        done = Attempt(channel, record.protocol, record.model, print_, outcome, status, seconds)
        exchange.attempts = (*before, done)


async def tell_failure(request: Request, failures: list[Failure], sender: Sender) -> None:
    """Tell the client of the most useful failure, in the upstream's own words where there are any."""
    exchange = request.exchange
    best = max(failures, key=lambda failure: usefulness(failure.failure))
    exchange.error_kind = best.failure
    status = best.status
    if status is not None and status >= 400 and best.body:
        headers = reply_headers(list(best.headers)) + receipt(exchange)
        if best.failure == "auth":
            # The key that was refused is the gateway's: asking again with the same client key cannot help.
            headers = [h for h in headers if h[0] != b"x-should-retry"] + [(b"x-should-retry", b"false")]
        await sender.whole(status, headers, best.body)
        return
    shown = status if status is not None and status >= 400 else _STATUS[best.failure]
    tried = ", ".join(f"{a.channel}: {a.outcome}" for a in exchange.attempts)
    raise GatewayError(shown, KINDS.get(shown, "api_error"), f"{best.message} (tried {tried})")


class _Bodies:
    """The outgoing body for each model name, made once."""

    __slots__ = ("_edits", "_made", "_request")

    def __init__(self, request: Request, route: Route) -> None:
        self._request = request
        self._made: dict[str | None, list[bytes]] = {}
        body, endpoint = request.body, request.endpoint
        self._edits = NO_EDITS
        if isinstance(body, Body) and endpoint.operation is Operation.GENERATE:
            self._edits = edits(route.policy, endpoint.protocol, body)

    def pieces(self, choice: Choice) -> list[bytes]:
        """The body that asks for this choice's model."""
        model = None if self._request.endpoint.protocol is Protocol.GEMINI else choice.model
        made = self._made.get(model)
        if made is None:
            made = self._made[model] = self._make(model)
        return made

    def _make(self, model: str | None) -> list[bytes]:
        body = self._request.body
        renamed = model is not None and body.model is not None and model != body.model
        if self._edits and isinstance(body, Body):
            write = dict(self._edits.write)
            if renamed:
                write["model"] = model
            return body.with_fields(write, self._edits.drop)
        return body.with_model(model) if renamed and model is not None else [body.raw]


def _timeouts(upstream: Upstream, *, stream: bool, remaining: float) -> Timeouts:
    """Time limits of one attempt. An answer that is not streamed has no early first byte: there only `total` holds."""
    timeouts = upstream.timeouts
    if not stream:
        return upstream.whole_timeouts
    if timeouts.first_byte is not None and timeouts.first_byte <= remaining:
        return timeouts
    return replace(timeouts, first_byte=max(remaining, 0.001))
