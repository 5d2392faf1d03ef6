"""The attempts of one request: ask the schedule what is next, do it, and stop at the first answer.

Law: what is tried is the schedule's word; this module only acts on it. When all attempts fail the client gets the most
useful upstream error, word for word, with its status and retry headers; which attempts were made is in the receipt.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from ccx.errors import ClientError, ErrorKind, GatewayError, HttpError
from ccx.protocols.names import Operation
from ccx.routing.decide import Choice, Decision
from ccx.routing.table import Hedge, Route
from ccx.runtime.answers import KINDS, Sender, receipt, reply_headers
from ccx.runtime.attempt import Failure
from ccx.runtime.continuing import Continuing, continuing
from ccx.runtime.hedging import Runner, raced
from ccx.runtime.limits import Limiter, of_key, of_model
from ccx.runtime.live import Upstream
from ccx.runtime.outbound import Outbound, Prepared
from ccx.runtime.queueing import Granted
from ccx.runtime.schedule import Move, Schedule
from ccx.runtime.selecting import Selector, hedges
from ccx.runtime.trial import Surroundings, Trial
from ccx.runtime.understand import Request
from ccx.state.health import Health
from ccx.state.memory import MemoryState
from ccx.state.meters import Short, Taken
from ccx.state.retries import Retries
from ccx.upstream.outcome import FailureClass, usefulness
from ccx.upstream.reply import Timeouts

HEDGES_ALWAYS: Final = 0.1
"""Second calls a second that a route may make whatever its share says."""
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
_TELLING: dict[tuple[FailureClass, int], ErrorKind] = {("auth", 403): "permission", ("bad_request", 413): "too_large"}


async def serve_from_upstreams(
    request: Request,
    decision: Decision,
    route: Route,
    outbound: Outbound,
    limiter: Limiter,
    *,
    state: MemoryState,
    health: Health,
    retries: Retries,
    sender: Sender,
    rng: Callable[[], float] = random.random,
) -> list[Failure]:
    """Try the decision's targets until one answers, and relay that. Returns the failures if none did. `rng` gives
    numbers in [0, 1): draws of groups and waits with jitter come of it.

    Raises GatewayError 400 where every target would lose something that the route does not allow to be lost, 503 where
    every target is drained, and ClientError where the request can be converted for none, or all are at their limits.
    """
    now = asyncio.get_running_loop().time
    selector = Selector(request, state=state, health=health, now=now, rng=rng)
    steps = selector.steps(decision.steps)
    if not steps:
        raise _drained(route)
    budget = route.failover.retry_budget
    schedule = Schedule(
        steps,
        route.failover,
        order=selector.arranged,
        keys=selector.keys,
        random=rng,
        started=now(),
        may_retry=lambda choice: retries.grant(choice.channel.name, budget, now()),
    )
    going_on = continuing(request, route, outbound, limiter, sender)
    around = Surroundings(request, outbound, selector, state, health, limiter, sender, now, going_on)
    attempts = _Attempts(around, route, schedule, retries)
    return await (attempts.made() if going_on is None else attempts.continued(going_on))


class _Attempts:
    """The attempts of one request."""

    def __init__(self, around: Surroundings, route: Route, schedule: Schedule, retries: Retries) -> None:
        self._around = around
        self._route = route
        self._schedule = schedule
        self._retries = retries
        self._failures: list[Failure] = []
        self._asked: list[str] = []
        self._losing: list[str] = []
        self._refused: ClientError | None = None
        self._passed_over = False
        self._hedged = False
        self._put_off: dict[str, Choice] = {}

    async def continued(self, continuing: Continuing) -> list[Failure]:
        """As `made`, where an answer that breaks off may be gone on with."""
        try:
            try:
                failures = await self.made()
            except HttpError:
                if not continuing.begun:
                    raise
                failures = self._failures  # the client has been told some of it, and cannot be told anything else
            if failures and continuing.begun:
                await continuing.give_up()
                return []
            return failures
        finally:
            continuing.settle()

    async def made(self) -> list[Failure]:
        """See `serve_from_upstreams`."""
        schedule, now = self._schedule, self._around.clock
        move = schedule.first()
        while (runner := await self._next(move)) is not None:
            failed = await self._served(runner)
            if not failed:
                return []
            for before, failure in failed[:-1]:
                self._failures.append(failure)
                schedule.failed(before, failure.failure, retry_after=failure.retry_after)
            last, failure = failed[-1]
            self._failures.append(failure)
            if self._around.continuing is not None and not await self._may_go_on(last, failure):
                break
            move = schedule.after(
                last,
                failure.failure,
                retry_after=failure.retry_after,
                now=now(),
                untried=bool(self._put_off),
            )
        if not self._failures:
            self._none_asked()
        return self._failures

    async def _may_go_on(self, last: Move, failure: Failure) -> bool:
        """Whether another may be asked, where the client may have been told some of the answer."""
        continuing = self._around.continuing
        assert continuing is not None  # noqa: S101 - asked only where there is one
        if failure.shown:
            self._schedule.renew(self._around.clock())
            return await continuing.ready()
        if continuing.begun:
            continuing.refused(last.choice.channel.name)
        return True

    async def _next(self, move: Move | None) -> Runner | None:
        """The next trial: of this move or of what comes in place of it, else of a target that has been waited for, and
        when none has room in time, of one that has failed before."""
        while True:
            while move is not None:
                found = await self._ready(move)
                if isinstance(found, Runner):
                    return found
                move = self._schedule.instead(other_key=found.other_key)
            if self._put_off:
                waited = await self._waited()
                if waited is not None:
                    return waited
                self._put_off.clear()
            move = self._schedule.again(self._around.clock())
            if move is None:
                return None

    async def _waited(self) -> Runner | None:
        """The trial of the first target that was passed over at its limit and has room in its queue, when its turn
        has come. None if it does not come in time."""
        around, schedule = self._around, self._schedule
        while self._put_off and schedule.may_wait(around.clock()):
            choice = self._put_off.pop(next(iter(self._put_off)))
            try:
                prepared = await self._asks.prepared(choice)
            except ClientError:
                continue  # the rest of an answer, which is not what it was put off for
            found = await around.limiter.wait(
                choice,
                ends=schedule.ends,
                keys=partial(around.selector.keys, choice),
                drained=partial(around.selector.drained, choice),
            )
            if isinstance(found, Granted):
                move = schedule.waited(choice, found.key, found.others)
                return self._runner(move, prepared, found.taken)
            if found == "deadline":
                break
        return None

    def _none_asked(self) -> None:
        """Say why no target was asked at all, where there is something to say."""
        at_limit = self._around.limiter.refusal()
        if at_limit is not None:
            raise at_limit
        if self._refused is not None:
            raise self._refused
        if self._losing:
            reasons = "; ".join(self._losing)
            message = f"Route {self._route.name!r} allows no loss, and {reasons}."
            raise GatewayError(400, "invalid_request", message)
        if self._passed_over:
            raise _drained(self._route)

    @property
    def _asks(self) -> Outbound | Continuing:
        """What makes the requests: the client's, or those for the rest of its answer."""
        continuing = self._around.continuing
        return continuing if continuing is not None and continuing.begun else self._around.outbound

    async def _ready(self, move: Move) -> Runner | _Unable:
        """The trial of a move, its wait being over, with what its limits take; or that it cannot be made."""
        around, choice = self._around, move.choice
        try:
            prepared = await self._asks.prepared(choice)
        except ClientError as error:
            # What cannot be converted may still go to a target that speaks the client's protocol.
            self._refused = self._refused or error
            return _Unable()
        if prepared.converted is not None and self._route.on_loss == "reject" and prepared.converted.rejected:
            self._losing.append(f"{choice.channel.name} would lose {', '.join(prepared.converted.rejected)}")
            return _Unable()
        if move.wait:
            await asyncio.sleep(move.wait)
        if around.selector.drained(choice):
            self._passed_over = True
            return _Unable()
        name, waits = choice.channel.name, choice.channel.queue is not None
        if waits and around.limiter.crowded(choice):
            self._put_off.setdefault(name, choice)
            return _Unable()
        taken = await around.limiter.enter(choice, move.key) if around.limiter.limits_targets else None
        if isinstance(taken, Short):
            if waits and not of_model(taken):
                self._put_off.setdefault(name, choice)
            return _Unable(other_key=of_key(taken))
        return self._runner(move, prepared, taken)

    def _runner(self, move: Move, prepared: Prepared, taken: Taken | None) -> Runner:
        name = move.choice.channel.name
        self._put_off.pop(name, None)  # one of its keys was at a limit, another is not: it is asked now
        if name not in self._asked:
            self._asked.append(name)
            self._retries.asked(name, self._around.clock())
        trial = Trial(self._around, move, taken=taken)
        return Runner(trial, prepared)

    def _ask(self, runner: Runner) -> Coroutine[Any, Any, Failure | None]:
        return runner.trial.ask(runner.prepared, self._timeouts(runner.trial.move, runner.prepared))

    def _timeouts(self, move: Move, prepared: Prepared) -> Timeouts:
        upstream = self._around.request.live.upstreams[move.choice.channel.name]
        remaining = self._schedule.ends - self._around.clock()
        return _timeouts(upstream, stream=prepared.outgoing.stream, remaining=remaining)

    async def _served(self, runner: Runner) -> list[tuple[Move, Failure]]:
        """Make an attempt, and perhaps another beside it. Returns those that failed; none if the client has its
        answer."""
        hedge = self._route.failover.hedge
        if hedge is not None and not self._hedged and self._may_be_hedged(runner):
            return await self._raced(runner, hedge)
        trial, prepared, outbound = runner.trial, runner.prepared, self._around.outbound
        move, failure = trial.move, None
        try:
            failure = await self._ask(runner) or await trial.relay(prepared)
            if failure is not None and outbound.summarises_instead(move.choice, failure.status):
                prepared = await outbound.prepared(move.choice)
                failure = await trial.ask(prepared, self._timeouts(move, prepared)) or await trial.relay(prepared)
                if failure is None:
                    outbound.summarised(move.choice)
        finally:
            await trial.close(answered=failure is None or failure.shown)
        return [(move, failure)] if failure is not None else []

    def _may_be_hedged(self, runner: Runner) -> bool:
        match self._around.request.endpoint.operation:
            case Operation.GENERATE:
                return runner.prepared.outgoing.stream
            case Operation.EMBED:
                return True
            case _:
                return False

    async def _raced(self, runner: Runner, hedge: Hedge) -> list[tuple[Move, Failure]]:
        """As `_served`, with a second target asked if the first is silent for long."""
        exchange, made, winner = self._around.request.exchange, [runner], None
        finished, served, shown = False, False, False
        self._retries.asked(hedges(self._route.name), self._around.clock())

        async def second() -> Runner | None:
            other = await self._beside(runner, hedge)
            if other is not None:
                exchange.hedged = "lost"
                made.append(other)
            return other

        try:
            winner, failed = await raced(runner, ask=self._ask, after=hedge.after / 1000, second=second)
            if winner is not None:
                exchange.hedged = "won" if winner is not runner else exchange.hedged
                failure = await winner.trial.relay(winner.prepared)
                served = failure is None
                if failure is not None:
                    shown = failure.shown
                    failed.append((winner, failure))
            finished = True
        finally:
            for one in made:
                await one.trial.close(answered=(served or shown or not finished) and one is (winner or runner))
        return [] if served else [(one.trial.move, failure) for one, failure in failed]

    async def _beside(self, runner: Runner, hedge: Hedge) -> Runner | None:
        """A second trial, if there is another channel to ask and room in the budgets."""
        now = self._around.clock()
        self._hedged = True
        if not self._retries.grant(hedges(self._route.name), hedge.share, now, floor=HEDGES_ALWAYS):
            return None
        while (move := self._schedule.beside(runner.trial.move)) is not None:
            if not self._retries.grant(move.choice.channel.name, self._route.failover.retry_budget, now):
                self._schedule.unmade(move)
                return None
            found = await self._ready(move)
            if isinstance(found, Runner):
                return found
            self._schedule.made -= 1
        return None


@dataclass(frozen=True, slots=True)
class _Unable:
    """A move that cannot be made. `other_key`: another key of the same target may do."""

    other_key: bool = False


def _drained(route: Route) -> GatewayError:
    return GatewayError(503, "overloaded", f"Every target of route {route.name!r} is drained for the moment.")


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
    return _TELLING.get((failure, status)) or _KIND_OF.get(failure) or KINDS.get(status, "api_error")


def _timeouts(upstream: Upstream, *, stream: bool, remaining: float) -> Timeouts:
    """Time limits of one attempt. An answer that is not streamed has no early first byte: there only `total` holds."""
    timeouts = upstream.timeouts
    if not stream:
        return upstream.whole_timeouts
    connect, first_byte = timeouts.connect, timeouts.first_byte
    if connect is not None and first_byte is not None and connect + first_byte <= remaining:
        return timeouts
    left = max(remaining, 0.001)
    return replace(timeouts, first_byte=left if first_byte is None else min(first_byte, left), begin=left)
