"""The proxy endpoint: one request from its first byte to its last, as a plain ASGI callable.

Law: a request is handed the live table once and stays on it. It is admitted, understood, decided, attempted and
relayed; whatever happens, it gets at most one answer, in its own protocol, and telemetry gets exactly one `Exchange`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from random import getrandbits

from ccx.errors import ClientError, GatewayError, HttpError
from ccx.protocols.body import Body
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.repeatable import CACHEABLE
from ccx.routing.decide import Choice, Decision, NeedsTokens
from ccx.routing.table import Route
from ccx.runtime.admission import CLOSE, ClientGone, Receive, Scope, Send, admit, read_body, read_headers
from ccx.runtime.answers import KINDS, Sender, receipt
from ccx.runtime.attempt import Failure
from ccx.runtime.convert import new_id
from ccx.runtime.counting import counted_answer
from ccx.runtime.departure import Departure, Departures
from ccx.runtime.dialogue import Dialogue, dialogue_scope
from ccx.runtime.failover import serve_from_upstreams, tell_failure
from ccx.runtime.gateway import Gateway
from ccx.runtime.limits import Limiter, answered
from ccx.runtime.live import Live
from ccx.runtime.outbound import Outbound, is_sealed
from ccx.runtime.relay import CutError
from ccx.runtime.splitting import Split
from ccx.runtime.sticky import decide_sticky
from ccx.runtime.understand import Request, opened, understand
from ccx.telemetry.exchange import CLIENT_GONE, DRAINED, NO_TAGS, Exchange
from ccx.tokens.counter import TokenCounter

_CONVERTED = (Operation.GENERATE, Operation.COMPACT, Operation.EDIT)
_WHY_NOT = {
    Operation.VARIATION: " A variation has no prompt, and image models of another protocol make nothing without one; "
    "ask for an edit, with a prompt that says what may vary.",
}


class Proxy:
    """Serves the proxy endpoints. `emit` takes each finished exchange, `trouble` a bug of ours; neither raises."""

    def __init__(
        self,
        gateway: Gateway,
        counter: TokenCounter,
        *,
        emit: Callable[[Exchange], None],
        trouble: Callable[[str, BaseException], None],
    ) -> None:
        self._gateway = gateway
        self._counter = counter
        self._emit = emit
        self._trouble = trouble
        self._departures = Departures()

    async def __call__(
        self, live: Live, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send, split: Split | None = None
    ) -> None:
        """Serve one request on `live`; where two tables serve, on the one that is then chosen."""
        started = time.perf_counter()
        exchange = Exchange(
            at=time.time(),
            request_id=f"req_{getrandbits(96):024x}",
            protocol=endpoint.protocol,  # texts: their `value` would be looked up by a property
            operation=endpoint.operation,
            digest=live.digest,
            prefix=endpoint.prefix,
        )
        sender = Sender(send, exchange, started)
        departure = Departure(receive)
        self._gateway.enter()
        try:
            try:
                await self._serve(
                    live, endpoint, scope, receive, split=split, exchange=exchange, sender=sender, departure=departure
                )
            except HttpError as error:
                await sender.error(endpoint.protocol, error)
        except (asyncio.CancelledError, ClientGone) as error:
            ours = isinstance(error, asyncio.CancelledError) and not departure.gone
            if ours and self._gateway.draining:
                await _cut_short(endpoint, sender, exchange)
            elif not sender.done:
                exchange.status = CLIENT_GONE
                exchange.error_kind = "client_gone"
            if ours:
                raise
        except CutError:
            raise  # the upstream's fault, which the exchange tells: the server is to cut the connection
        except Exception as error:
            exchange.error_kind = exchange.error_kind or "internal"
            self._trouble(exchange.request_id, error)
            if sender.started:
                raise
            told = GatewayError(500, "api_error", "The gateway failed to serve this request; its log has the cause.")
            await sender.error(endpoint.protocol, told)
        finally:
            departure.stop()
            self._gateway.leave()
            exchange.total_seconds = time.perf_counter() - started
            self._gateway.seen(exchange)
            self._emit(exchange)

    async def _serve(
        self,
        live: Live,
        endpoint: Endpoint,
        scope: Scope,
        receive: Receive,
        *,
        split: Split | None,
        exchange: Exchange,
        sender: Sender,
        departure: Departure,
    ) -> None:
        gateway = self._gateway
        shed = gateway.guard.refuses(gateway.in_flight, most=live.table.server.max_concurrency)
        if shed is not None:
            exchange.shed = shed
            raise gateway.guard.refusal(shed)
        if self._gateway.draining:
            raise _stopping()
        inbound = read_headers(scope["headers"])
        today = datetime.now(UTC).date()
        if split is None:
            client, server = admit(live, scope, inbound, today=today), live.table.server
        else:
            callers = split.admit(scope, inbound, today=today)
            client, server = callers.newest, split.server
        if client is not None:
            exchange.client = client.name
            exchange.tags = dict(client.tags)
        raw = await read_body(receive, inbound, server)
        exchange.bytes_in = len(raw)
        departure.watch(self._departures)
        counter = self._counter
        body = await opened(raw, inbound)
        if split is not None:
            live, client = split.choose(callers, endpoint, inbound, body=body, exchange=exchange)
            exchange.client = client.name if client is not None else None
            exchange.tags = dict(client.tags) if client is not None else NO_TAGS
        request = understand(live, endpoint, inbound, client, body=body, exchange=exchange, counter=counter)
        if endpoint.protocol is Protocol.RESPONSES and isinstance(request.body, Body):
            dialogue = Dialogue(
                self._gateway.responses,
                dialogue_scope(client),
                endpoint.operation,
                now=exchange.at,
                new_id=new_id,
            )
            recalled = await dialogue.recalled(request.body)
            if recalled is not None:
                body = await opened(recalled, inbound)
                request = understand(live, endpoint, inbound, client, body=body, exchange=exchange, counter=counter)
            request.dialogue = dialogue
        decision, route = await self._decide(request)
        if endpoint.operation not in _CONVERTED:
            decision = _only_native(decision, endpoint)
        if endpoint.operation is Operation.COUNT_TOKENS and is_sealed(request):
            decision = replace(decision, steps=())  # no upstream can read what it would have to count
        limiter = Limiter(
            request,
            gateway.meters,
            state=gateway.state,
            counter=counter,
            queueing=gateway.queueing,
            alerts=gateway.alerts,
        )
        taken = await limiter.admit(decision)
        try:
            if route.cache is None or endpoint.operation not in CACHEABLE:
                await self._answer(request, decision, route, limiter, scope=scope, sender=sender)
            else:
                await self._gateway.caching.serve(
                    request,
                    decision,
                    route,
                    query=scope["query_string"],
                    sender=sender,
                    work=lambda to: self._answer(request, decision, route, limiter, scope=scope, sender=to),
                )
        finally:
            if taken is not None:
                await limiter.leave(taken, answered=answered(exchange))

    async def _answer(
        self, request: Request, decision: Decision, route: Route, limiter: Limiter, *, scope: Scope, sender: Sender
    ) -> None:
        endpoint, failures = request.endpoint, list[Failure]()
        if decision.steps:
            failures = await serve_from_upstreams(
                request,
                decision,
                route,
                Outbound(request, route, method=scope["method"], query=scope["query_string"]),
                limiter,
                state=self._gateway.state,
                health=self._gateway.health,
                retries=self._gateway.retries,
                rng=self._gateway.rng,
                sender=sender,
            )
            if not failures:
                return
        if endpoint.operation is Operation.COUNT_TOKENS:
            await self._count(request, sender)
        elif failures:
            await tell_failure(request, failures, sender)
        else:
            asked = f"{endpoint.operation} of {endpoint.protocol}"
            why = _WHY_NOT.get(endpoint.operation, "")
            raise GatewayError(501, "not_supported", f"No target of route {route.name!r} has {asked}.{why}")

    async def _decide(self, request: Request) -> tuple[Decision, Route]:
        """The table's decision, counting tokens if and only if it hangs on them.

        Raises GatewayError where nothing matches or nothing can serve, ClientError where the route denies.
        """
        decider, facts = request.live.decider, request.facts
        sticky = request.live.table.sticky
        if sticky is None:
            decision = decider.decide(facts)
        else:
            decision = await decide_sticky(
                request, self._gateway.marks, window=sticky / 1000, counter=self._counter, count=self._tokens
            )
        if isinstance(decision, NeedsTokens):
            request.facts = facts = replace(facts, input_tokens=await self._tokens(request))
            decision = decider.decide(facts)
            assert isinstance(decision, Decision)  # noqa: S101 - nothing is left to ask
        route = decision.route
        if route is None:
            raise GatewayError(
                404,
                "not_found",
                f"No route matches: protocol {facts.protocol}, model {facts.model!r}. Table {request.live.digest[:12]} "
                f"has {len(request.live.table.routes)} routes; `ccx explain` shows why each was passed over.",
            )
        request.exchange.route = route.name
        if route.deny is not None:
            kind = KINDS.get(route.deny.status, "permission")
            raise ClientError(route.deny.status, kind, route.deny.message, headers=((b"x-should-retry", b"false"),))
        if not decision.steps:
            if not decision.skipped:
                message = f"The model {facts.model!r} names a channel and no model after it."
                raise ClientError(404, "not_found", message)
            reasons = "; ".join(f"{skip.channel}: {skip.reason}" for skip in decision.skipped)
            raise GatewayError(503, "api_error", f"Route {route.name!r} has no target that can serve this: {reasons}.")
        return decision, route

    async def _tokens(self, request: Request) -> int:
        protocol, raw = request.facts.protocol, request.body.raw
        count = self._counter.try_count(protocol, raw)
        if count is None:
            count = await self._counter.count(protocol, raw)
        request.exchange.counted_tokens = count
        return count

    async def _count(self, request: Request, sender: Sender) -> None:
        """Answer a token count with our own, where no upstream has one."""
        count = request.facts.input_tokens
        if count is None:
            count = await self._tokens(request)
        headers = [(b"content-type", b"application/json"), *receipt(request.exchange)]
        await sender.whole(200, headers, counted_answer(request.facts.protocol, count))


def _stopping() -> GatewayError:
    return GatewayError(503, "overloaded", "The gateway is stopping.", headers=(*CLOSE, (b"retry-after", b"1")))


async def _cut_short(endpoint: Endpoint, sender: Sender, exchange: Exchange) -> None:
    """The drain time is over and this process ends. A client that has been told nothing yet is told so; an answer that
    has begun is cut with its connection."""
    if sender.done:
        return
    exchange.error_kind = DRAINED
    if not sender.started:
        await sender.error(endpoint.protocol, _stopping())
    exchange.status = 503


def _only_native(decision: Decision, endpoint: Endpoint) -> Decision:
    """The targets that have this operation themselves: it is none of those that are ever converted."""

    def has(choice: Choice) -> bool:
        counts = endpoint.operation is not Operation.COUNT_TOKENS or choice.surface.count_tokens
        return choice.surface.protocol is endpoint.protocol and counts

    steps = (replace(step, choices=tuple(filter(has, step.choices))) for step in decision.steps)
    return replace(decision, steps=tuple(step for step in steps if step.choices))
