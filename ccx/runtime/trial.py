"""One attempt of a request with its books: who is asked, how that went, and what is released when it is over.

Law: asking and relaying are two steps, so that an answer can be had and not used. Whatever way a trial ends, by
failure, by cancellation, because another was quicker, `close` releases all that it holds, once, and its record is the
latest of the exchange's attempts. Nothing is chosen here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from ccx.errors import ClientError, UpstreamError
from ccx.routing.decide import Choice
from ccx.runtime.answers import Sender
from ccx.runtime.attempt import Answer, Failure, Outgoing, attempt, build_call, said_later
from ccx.runtime.broken import BrokenOff
from ccx.runtime.continuing import Continuing
from ccx.runtime.convert import Conversion, Converted
from ccx.runtime.drawing import Drawing
from ccx.runtime.limits import Limiter
from ccx.runtime.outbound import Outbound, Prepared
from ccx.runtime.relay import CutError, relay
from ccx.runtime.schedule import Move
from ccx.runtime.selecting import Selector, verdict_of
from ccx.runtime.translate import convert_whole, drawn_whole, send_stream, send_whole
from ccx.runtime.understand import Request
from ccx.state.health import Health, Held
from ccx.state.memory import MemoryState
from ccx.state.meters import Taken
from ccx.telemetry.exchange import OK, OUTPACED, Attempt
from ccx.upstream.outcome import classify_exception
from ccx.upstream.reply import Timeouts

CANCELLED: Final = "cancelled"


class Surroundings(NamedTuple):
    """What all trials of one request share. A tuple, since one is made for each request."""

    request: Request
    outbound: Outbound
    selector: Selector
    state: MemoryState
    health: Health
    limiter: Limiter
    sender: Sender
    clock: Callable[[], float]
    continuing: Continuing | None = None  # where an answer that breaks off may be continued


class Trial:
    """One attempt. `taken` is what its target's limits were charged. Not used again after `close`."""

    __slots__ = ("_around", "_before", "_begun", "_held", "_key", "_outcome", "_status", "_taken", "answer", "move")

    def __init__(self, around: Surroundings, move: Move, *, taken: Taken | None) -> None:
        self._around = around
        self.move = move
        self._taken = taken
        self._held: Held | None = None
        self._outcome = CANCELLED
        self._status: int | None = None
        self._begun = 0.0
        self._before: tuple[Attempt, ...] | None = None
        upstream = around.request.live.upstreams[move.choice.channel.name]
        self._key = upstream.keys[move.key] if move.key is not None else None
        self.answer: Answer | None = None

    async def ask(self, prepared: Prepared, timeouts: Timeouts) -> Failure | None:
        """Ask for an answer, and keep it: None. A failure is in the books when this returns it, and it may be asked
        once more."""
        around, choice, clock = self._around, self.move.choice, self._around.clock
        upstream, key, outgoing = around.request.live.upstreams[choice.channel.name], self._key, prepared.outgoing
        call = build_call(upstream, choice, key, outgoing=outgoing, timeouts=timeouts)
        self._outcome, self._status, self._begun = CANCELLED, None, time.perf_counter()
        target = around.selector.target(choice, self.move.key)
        held = self._held = around.health.enter(target, clock())
        around.state.begin(choice.channel.name, target.key)
        found = await attempt(upstream, choice, key, call=call, outgoing=outgoing, clock=time.time)
        self._status = found.status
        if isinstance(found, Failure):
            self._outcome = found.failure
            self._end(wait=found.retry_after)
            return found
        self.answer = found
        around.selector.began(choice, time.perf_counter() - self._begun)
        if held.ticket is not None and held.ticket.probe:
            # It has begun to answer: nobody need wait for the end of a long stream. What follows counts anew.
            around.health.leave(held, "passed", now=clock())
            self._held = around.health.enter(target, clock())
        return None

    async def relay(self, prepared: Prepared) -> Failure | None:
        """Give the client the answer; or return why it turned out to be none, before any of it was shown, or how it
        broke off where another may go on with it."""
        around, answer = self._around, self.answer
        assert answer is not None  # noqa: S101 - asked first
        exchange = around.request.exchange
        self._before = exchange.attempts
        exchange.attempts = (*self._before, self._record(OK, None, 0.0))
        exchange.losses = prepared.losses
        self.answer = None  # the relay's to end
        wait: float | None = None
        try:
            self._outcome = await _relayed(around, answer, prepared, self.move.choice)
            if self._outcome != OK and answer.observer is not None and answer.observer.error is not None:
                self._outcome, wait = said_later(answer.observer.error, self.move.choice)
            return None
        except BrokenOff as error:
            self._outcome, wait = error.failure.failure, error.failure.retry_after
            return error.failure
        except CutError as error:
            if isinstance(error.__cause__, UpstreamError):
                self._outcome = classify_exception(error.__cause__)
            raise
        except ClientError as error:
            # Declined in an answer that was otherwise in order: an error like any other in the client's protocol.
            self._outcome = "content_filter"
            protocol = self.move.choice.surface.protocol
            return Failure("content_filter", error.message, status=error.status, protocol=protocol)
        except UpstreamError as error:
            # A converted answer that turned out to be none, before any of it was shown.
            self._outcome = failure = classify_exception(error)
            return Failure(failure, str(error), status=None)
        finally:
            if around.request.live.estimates:
                if exchange.input_tokens is not None:
                    name = self.move.choice.channel.name
                    around.state.prompted(name, exchange.input_tokens, exchange.cache_read_tokens or 0)
                if exchange.output_tokens is not None:
                    around.state.answered(exchange.client or "", exchange.output_tokens)
            self._end(wait=wait)

    def outpaced(self) -> None:
        """Another was quicker: nobody wants this answer, which says nothing against the target."""
        if self._held is not None:
            self._outcome = OUTPACED
            self._end()

    async def close(self, *, answered: bool) -> None:
        """Release what is still held. `answered`: the client has had the answer, or some of it."""
        self._end()
        taken, self._taken = self._taken, None
        if taken is not None:
            await self._around.limiter.leave(taken, answered=answered, channel=self.move.choice.channel.name)

    def _end(self, *, wait: float | None = None) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        if self.answer is not None and self.answer.reply is not None:
            self.answer.reply.abort()
        self.answer = None
        around, exchange = self._around, self._around.request.exchange
        around.state.end(held.target.channel, held.target.key)
        verdict, cause = verdict_of(self._outcome)
        around.health.leave(held, verdict, now=around.clock(), cause=cause, wait=wait)
        done = self._record(self._outcome, self._status, time.perf_counter() - self._begun)
        exchange.attempts = (*(exchange.attempts if self._before is None else self._before), done)
        self._before = None

    def _record(self, outcome: str, status: int | None, seconds: float) -> Attempt:
        choice, key = self.move.choice, self._key
        fingerprint = key.fingerprint if key is not None else None
        protocol = choice.surface.protocol
        return Attempt(choice.channel.name, protocol, choice.model or "", fingerprint, outcome, status, seconds)


async def _relayed(around: Surroundings, answer: Answer, prepared: Prepared, choice: Choice) -> str:
    """Give the client an answer; the attempt's outcome. Raises BrokenOff where it broke and another may go on."""
    request, conversion, converted = around.request, around.outbound.conversion, prepared.converted
    continuing = around.continuing
    if continuing is not None and (continuing.begun or (answer.events and continuing.may)):
        assert not isinstance(conversion, Drawing)  # noqa: S101 - images are not continued
        return await continuing.relay(answer, prepared, choice, conversion)
    if converted is None or conversion is None:
        return await relay(prepared.outgoing.endpoint, answer, request.exchange, around.sender)
    if isinstance(conversion, Drawing):
        return await _drawn(request, answer, conversion, sender=around.sender)
    return await _translated(request, answer, conversion, converted, outgoing=prepared.outgoing, sender=around.sender)


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
