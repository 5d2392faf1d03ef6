"""The attempts of one request: ask the schedule what is next, do it, and stop at the first answer.

Law: what is tried is the schedule's word; this module only acts on it. When all attempts fail the client gets the most
useful upstream error, word for word, with its status and retry headers; which attempts were made is in the receipt.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ccx.errors import ClientError, ErrorKind, GatewayError, UpstreamError
from ccx.routing.decide import Decision
from ccx.routing.table import Route
from ccx.runtime.answers import KINDS, Sender, receipt, reply_headers
from ccx.runtime.attempt import Answer, Failure, Outgoing, attempt, build_call
from ccx.runtime.convert import Conversion, Converted
from ccx.runtime.drawing import Drawing
from ccx.runtime.limits import Limiter
from ccx.runtime.live import Upstream
from ccx.runtime.outbound import Outbound, Prepared
from ccx.runtime.relay import relay
from ccx.runtime.schedule import Move, Schedule
from ccx.runtime.selecting import Selector, verdict_of
from ccx.runtime.translate import convert_whole, drawn_whole, send_stream, send_whole
from ccx.runtime.understand import Request
from ccx.state.health import Health
from ccx.state.memory import MemoryState
from ccx.state.meters import Short
from ccx.telemetry.exchange import OK, Attempt
from ccx.upstream.outcome import FailureClass, classify_exception, usefulness
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


# Of another protocol's error only what every client understands.
_RETRY_HEADERS = (b"retry-after", b"retry-after-ms", b"x-should-retry", b"request-id", b"x-request-id")
_KIND_OF: dict[FailureClass, ErrorKind] = {
    "auth": "authentication",
    "bad_request": "invalid_request",
    "content_filter": "invalid_request",
    "context_window": "invalid_request",
    "model_not_found": "not_found",
    "overloaded": "overloaded",
    "quota": "rate_limit",
    "rate_limit": "rate_limit",
    "timeout": "timeout",
}


async def serve_from_upstreams(
    request: Request,
    decision: Decision,
    route: Route,
    outbound: Outbound,
    limiter: Limiter,
    *,
    state: MemoryState,
    health: Health,
    sender: Sender,
    rng: Callable[[], float] = random.random,
) -> list[Failure]:
    """Try the decision's targets until one answers, and relay that. Returns the failures if none did. `rng` gives
    numbers in [0, 1): draws of groups and waits with jitter come of it.

    Raises GatewayError 400 where every target would lose something that the route does not allow to be lost, 503 where
    every target is drained, and ClientError where the request can be converted for none, or all are at their limits.
    """
    live = request.live
    now = asyncio.get_running_loop().time
    selector = Selector(request, state=state, health=health, now=now, rng=rng)
    steps = selector.steps(decision.steps)
    if not steps:
        raise GatewayError(503, "overloaded", f"Every target of route {route.name!r} is drained for the moment.")
    schedule = Schedule(
        steps,
        route.failover,
        order=selector.arranged,
        keys=selector.keys,
        random=rng,
        started=now(),
    )
    attempts = _Attempts(request, outbound, selector, state, health, sender)
    failures: list[Failure] = []
    losing: list[str] = []
    refused: ClientError | None = None
    move = schedule.first()
    while move is not None:
        try:
            prepared = await outbound.prepared(move.choice)
        except ClientError as error:
            # What cannot be converted may still go to a target that speaks the client's protocol.
            refused = refused or error
            move = schedule.instead()
            continue
        if prepared.converted is not None and route.on_loss == "reject" and prepared.converted.rejected:
            losing.append(f"{move.choice.channel.name} would lose {', '.join(prepared.converted.rejected)}")
            move = schedule.instead()
            continue
        if move.wait:
            await asyncio.sleep(move.wait)
        taken = await limiter.enter(move.choice, move.key)
        if isinstance(taken, Short):
            move = schedule.instead(other_key=True)
            continue
        timeouts = _timeouts(
            live.upstreams[move.choice.channel.name],
            stream=prepared.outgoing.stream,
            remaining=schedule.ends - now(),
        )
        failure: Failure | None = None
        try:
            failure = await attempts.make(move, prepared, timeouts)
            if failure is not None and outbound.summarises_instead(move.choice, failure.status):
                failure = await attempts.make(move, await outbound.prepared(move.choice), timeouts)
                if failure is None:
                    outbound.summarised(move.choice)
        finally:
            if taken is not None:
                await limiter.leave(taken, answered=failure is None)
        if failure is None:
            return []
        failures.append(failure)
        move = schedule.after(move, failure.failure, retry_after=failure.retry_after, now=now())
    if not failures and (at_limit := limiter.refusal()) is not None:
        raise at_limit
    if refused is not None and not failures:
        raise refused
    if losing and not failures:
        reasons = "; ".join(losing)
        raise GatewayError(400, "invalid_request", f"Route {route.name!r} allows no loss, and {reasons}.")
    return failures


@dataclass(frozen=True, slots=True)
class _Attempts:
    """The attempts of one request, made one at a time."""

    request: Request
    outbound: Outbound
    selector: Selector
    state: MemoryState
    health: Health
    sender: Sender

    async def make(self, move: Move, prepared: Prepared, timeouts: Timeouts) -> Failure | None:
        """Make one attempt; relay its answer, or return its failure."""
        choice, exchange, clock = move.choice, self.request.exchange, asyncio.get_running_loop().time
        upstream = self.request.live.upstreams[choice.channel.name]
        key = upstream.keys[move.key] if move.key is not None else None
        channel, print_ = choice.channel.name, key.fingerprint if key else None
        outgoing = prepared.outgoing
        call = build_call(upstream, choice, key, outgoing=outgoing, timeouts=timeouts)
        before = exchange.attempts
        record = Attempt(channel, choice.surface.protocol.value, choice.model or "", print_, OK, None, 0.0)
        outcome, status, wait, begun = "cancelled", None, None, time.perf_counter()
        target = self.selector.target(choice, move.key)
        held = self.health.enter(target, clock())
        self.state.begin(channel, print_)
        try:
            found = await attempt(upstream, choice, key, call=call, outgoing=outgoing, now=time.time())
            if isinstance(found, Failure):
                outcome, status, wait = found.failure, found.status, found.retry_after
                return found
            status = found.status
            self.selector.began(choice, time.perf_counter() - begun)
            if held.ticket is not None and held.ticket.probe:
                # It has begun to answer: nobody need wait for the end of a long stream. What follows counts anew.
                self.health.leave(held, "passed", now=clock())
                held = self.health.enter(target, clock())
            exchange.attempts = (*before, record)
            exchange.losses = prepared.losses
            outcome = await self._relayed(found, prepared)
            return None
        except ClientError as error:
            # Declined in an answer that was otherwise in order: an error like any other in the client's protocol.
            outcome = "content_filter"
            return Failure("content_filter", error.message, status=error.status, protocol=choice.surface.protocol)
        except UpstreamError as error:
            # A converted answer that turned out to be none, before any of it was shown.
            outcome = classify_exception(error)
            return Failure(outcome, str(error), status=None)
        finally:
            self.state.end(channel, print_)
            if exchange.input_tokens is not None:
                self.state.prompted(channel, exchange.input_tokens, exchange.cache_read_tokens or 0)
            if exchange.output_tokens is not None:
                self.state.answered(exchange.client or "", exchange.output_tokens)
            verdict, cause = verdict_of(outcome)
            self.health.leave(held, verdict, now=clock(), cause=cause, wait=wait)
            seconds = time.perf_counter() - begun
            done = Attempt(channel, record.protocol, record.model, print_, outcome, status, seconds)
            exchange.attempts = (*before, done)

    async def _relayed(self, found: Answer, prepared: Prepared) -> str:
        """Give the client an answer; the attempt's outcome."""
        request, conversion, converted = self.request, self.outbound.conversion, prepared.converted
        if converted is None or conversion is None:
            return await relay(prepared.outgoing.endpoint, found, request.exchange, self.sender)
        if isinstance(conversion, Drawing):
            return await _drawn(request, found, conversion, sender=self.sender)
        return await _translated(request, found, conversion, converted, outgoing=prepared.outgoing, sender=self.sender)


async def _translated(
    request: Request,
    answer: Answer,
    conversion: Conversion,
    converted: Converted,
    *,
    outgoing: Outgoing,
    sender: Sender,
) -> str:
    """Relay an answer of another protocol. Raises UpstreamError only before anything has been sent."""
    endpoint, exchange, spoken = request.endpoint, request.exchange, outgoing.endpoint.protocol
    try:
        whole = await convert_whole(answer, conversion, converted, spoken)
    except BaseException:
        if answer.reply is not None:
            answer.reply.abort()
        raise
    if whole is not None:
        await conversion.keep(whole.body)
        return await send_whole(endpoint, answer, whole, stream=conversion.stream, exchange=exchange, sender=sender)
    return await send_stream(
        endpoint,
        answer,
        conversion,
        converted,
        spoken=spoken,
        exchange=exchange,
        sender=sender,
    )


async def _drawn(request: Request, answer: Answer, drawing: Drawing, *, sender: Sender) -> str:
    """Relay an answer with images. Raises UpstreamError and ClientError only before anything has been sent."""
    try:
        whole = await drawn_whole(answer, drawing)
    except BaseException:
        if answer.reply is not None:
            answer.reply.abort()
        raise
    return await send_whole(
        request.endpoint, answer, whole, stream=drawing.stream, exchange=request.exchange, sender=sender
    )


async def tell_failure(request: Request, failures: list[Failure], sender: Sender) -> None:
    """Tell the client of the most useful failure, in the upstream's own words where there are any."""
    exchange = request.exchange
    best = max(failures, key=lambda failure: usefulness(failure.failure))
    exchange.error_kind = best.failure
    status = best.status
    if best.protocol is not request.endpoint.protocol and status is not None and status >= 400:
        kept = tuple(h for h in best.headers if h[0] in _RETRY_HEADERS)
        if best.failure == "auth":
            kept = (*kept, (b"x-should-retry", b"false"))
        raise GatewayError(status, _kind(best.failure, status), best.message, headers=kept)
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


def _kind(failure: FailureClass, status: int) -> ErrorKind:
    return _KIND_OF.get(failure) or KINDS.get(status, "api_error")


def _timeouts(upstream: Upstream, *, stream: bool, remaining: float) -> Timeouts:
    """Time limits of one attempt. An answer that is not streamed has no early first byte: there only `total` holds."""
    timeouts = upstream.timeouts
    if not stream:
        return upstream.whole_timeouts
    if timeouts.first_byte is not None and timeouts.first_byte <= remaining:
        return timeouts
    return replace(timeouts, first_byte=max(remaining, 0.001))
