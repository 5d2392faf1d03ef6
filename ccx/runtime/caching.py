"""Routes with a cache: answers given again, and equal requests under way that share one call upstream.

Laws
- Only a good answer is kept: whole, with status 200, that ended by itself and came from the first step of the route.
  What a fallback says while the first choice is down must not outlive the trouble.
- One who is given another's answer gets its content and nothing else of it: ids, limits and traces in headers are the
  other's. It is receipted as its own request.
- What is spent upstream is the spending of the one who asked first, also when it leaves and others wait on. A hit and
  who joined spend nothing.
- A request under way that others wait for is in `_flights` from its first moment to its end, whatever ends it.

A client may say `cache-control: no-cache` (a fresh answer, which is kept), `max-age` (none older), `no-store` or
`x-ccx-cache: bypass` (neither look nor keep nor share). https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ccx.errors import ClientError, GatewayError, HttpError
from ccx.protocols.body import Body
from ccx.protocols.conversion import CODECS
from ccx.protocols.failures import keepalive, render_stream_error
from ccx.protocols.names import Operation
from ccx.protocols.observe import StreamObserver
from ccx.protocols.repeatable import WHOLE, is_remembered, is_repeatable
from ccx.routing.decide import Decision
from ccx.routing.table import Cache, Route, RoutingTable
from ccx.runtime.admission import CACHE, Inbound
from ccx.runtime.answers import Sender, receipt
from ccx.runtime.dialogue import dialogue_scope
from ccx.runtime.flight import Flight, Reader, Room, TooSlowError
from ccx.runtime.identity import Digests, Identity, Treatments, identity
from ccx.runtime.policy import NO_EDITS, edits
from ccx.runtime.relay import USAGE_UNKNOWN, CutError
from ccx.runtime.retelling import retold
from ccx.runtime.understand import Request
from ccx.state.cache import LARGEST, AnswerCache, Counts, Entry, Holding, MemoryAnswers
from ccx.telemetry.exchange import OK, Exchange
from ccx.upstream.reply import Header

Work = Callable[[Sender], Awaitable[None]]
"""Serve the request through this sender, as if there were no cache."""

_CONTENT: Final = frozenset({b"content-type", b"content-encoding", b"x-ccx-losses"})
_RETRY: Final = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
_MAX_AGE: Final = re.compile(r"max-age\s*=\s*\"?(\d{1,9})")


@dataclass(slots=True)
class Tally:
    """What became of the requests of a route."""

    hits: int = 0
    misses: int = 0
    joins: int = 0
    bypasses: int = 0


class Caching:
    """The kept answers and the calls under way of one process."""

    def __init__(self, answers: AnswerCache | None = None, *, bound: int = LARGEST) -> None:
        self.answers: AnswerCache = answers if answers is not None else MemoryAnswers()
        self.tallies: dict[str, Tally] = {}
        self.shared: Mapping[str, Holding] = {}
        self._flights: dict[bytes, Flight] = {}
        self._treatments = Treatments()
        self._digests = Digests()
        self._bound = bound
        self._room = Room(0)

    def configure(self, table: RoutingTable, *others: RoutingTable) -> None:
        """A table comes into force, with others beside it: what none of them names any more is forgotten."""
        self._room.size = table.server.cache_size
        self.answers.configure(size=table.server.cache_size, routes=_cached(table, *others))
        self.retain(table, *others)

    def retain(self, *tables: RoutingTable) -> None:
        """Forget the tallies of routes that none of these tables names."""
        routes = _cached(*tables)
        self.tallies = {name: tally for name, tally in self.tallies.items() if name in routes}

    @property
    def under_way(self) -> int:
        """Calls that others may join."""
        return len(self._flights)

    async def serve(
        self, request: Request, decision: Decision, route: Route, *, query: bytes, sender: Sender, work: Work
    ) -> None:
        """Serve a request of a route with a cache: from it, with another's call, or by `work`. Raises what `work`
        raises."""
        cache, exchange = route.cache, request.exchange
        assert cache is not None  # noqa: S101 - only such routes come here
        tally = self.tallies.setdefault(route.name, Tally())
        freshness = _freshness(request.inbound)
        same: Identity | None = None
        if freshness is not None and _may_keep(request, route, cache):
            treated = self._treatments.digest(request, decision, route)
            client = dialogue_scope(request.client)
            same = await identity(request, treated, cache, digests=self._digests, client=client, query=query)
        if same is None or freshness is None:
            exchange.cache = "bypass"
            tally.bypasses += 1
            await work(sender)
            return
        oldest = min(freshness, cache.ttl / 1000)
        if oldest > 0:
            entry = await self._found(request, same, oldest=oldest)
            if entry is not None:
                tally.hits += 1
                await _give(request, entry, sender)
                return
            flight = self._flights.get(same.own)
            if flight is not None and flight.open:
                tally.joins += 1
                await _joined(request, flight, sender)
                return
        tally.misses += 1
        await self._led(request, decision, route, same.own, sender=sender, work=work)

    async def _found(self, request: Request, same: Identity, *, oldest: float) -> Entry | None:
        now = time.time()
        entry = await self.answers.get(same.own, now=now, oldest=oldest)
        if entry is not None:
            return entry
        for other in same.others:
            entry = await self.answers.get(other, now=now, oldest=oldest)
            told = await retold(request, entry) if entry is not None else None
            if told is not None:
                # Told once, so that all who ask in this form get the same ids.
                await self.answers.put(same.own, told, now=now)
                return told
        return None

    async def _led(
        self, request: Request, decision: Decision, route: Route, key: bytes, *, sender: Sender, work: Work
    ) -> None:
        exchange = request.exchange
        exchange.cache = "miss"
        flight = self._flights[key] = Flight(self._room, bound=self._bound)

        async def fly() -> None:
            # What the call gives is noted when it reaches a client, by that client's sender.
            aside = Exchange(
                at=exchange.at,
                request_id=exchange.request_id,
                protocol=exchange.protocol,
                operation=exchange.operation,
                digest=exchange.digest,
            )
            await work(Sender(flight.send, aside, time.perf_counter()))
            if _is_good(request, decision, flight):
                now = time.time()
                await self.answers.put(key, _entry(request, decision, route, flight, now=now), now=now)

        def ended() -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]

        reader = flight.join()
        flight.start(fly, ended=ended)
        flight.leader = exchange
        try:
            await _read(flight, reader, sender, headers=lambda: flight.headers)
        finally:
            flight.leave(reader)
            await flight.settled(leader=True)
        failure = flight.failure
        if failure is not None:
            raise _told(failure, own=True, begun=sender.started)


def _cached(*tables: RoutingTable) -> set[str]:
    """The routes with a cache."""
    return {route.name for table in tables for route in table.routes if route.cache is not None}


async def _joined(request: Request, flight: Flight, sender: Sender) -> None:
    """Give a client the answer of another's call."""
    exchange = request.exchange
    exchange.cache = "joined"
    reader = flight.join()

    def headers() -> list[Header]:
        kept = _RETRY if flight.status >= 400 else frozenset[bytes]()
        length = [h for h in flight.headers if h[0] == b"content-length"]
        return [*(h for h in flight.headers if h[0] in _CONTENT or h[0] in kept), *length, *receipt(exchange)]

    try:
        await _read(flight, reader, sender, headers=headers)
    except TooSlowError:
        exchange.error_kind = "too_slow"
        await _cut(request, flight, reader, sender)
        return
    finally:
        flight.leave(reader)
    await flight.settled()
    original = flight.leader
    if original is not None:
        # That its client left is the original's own affair.
        exchange.error_kind = original.error_kind if original.error_kind != "client_gone" else None
        exchange.losses = original.losses
        _note(exchange, _counts(original), original.finish)
    failure = flight.failure
    if failure is not None:
        raise _told(failure, own=False, begun=sender.started)


async def _read(flight: Flight, reader: Reader, sender: Sender, *, headers: Callable[[], list[Header]]) -> None:
    """Pass an answer on to one client as it comes. Returns at its end, well or not; raises TooSlowError."""
    if not await flight.begun(reader):
        return
    await sender.start(flight.status, headers())
    while piece := await flight.next(reader):
        await sender.piece(piece)
    if flight.failure is None:
        await sender.end()


async def _cut(request: Request, flight: Flight, reader: Reader, sender: Sender) -> None:
    """End the answer of a client that was too slow for a call that it shared. Raises CutError where the body cannot
    say so."""
    message = "This client read too slowly to share another's answer; asked again, it has one of its own."
    protocol = request.endpoint.protocol
    kind = next((value for name, value in flight.headers if name == b"content-type"), b"")
    if not kind.lower().startswith(b"text/event-stream"):
        raise CutError(message)
    observer = StreamObserver(protocol)
    observer.feed(reader.last)
    await sender.piece(
        render_stream_error(
            protocol,
            kind="api_error",
            message=message,
            request_id=request.exchange.request_id,
            sequence_number=observer.next_sequence_number,
            response_id=observer.response_id,
        ),
    )
    await sender.end()


def _told(failure: BaseException, *, own: bool, begun: bool) -> BaseException:
    """The failure of a call, as one of those who waited for it gets it; `begun`: some of the answer was there."""
    match failure:
        case Exception() if own:
            return failure
        # Raised in several tasks, each with a trace of its own.
        case CutError():
            return CutError(*failure.args)
        case _ if begun:
            return CutError("the call upstream was given up")
        case HttpError():
            made = type(failure)
            return made(
                failure.status,
                failure.kind,
                failure.message,
                headers=failure.headers,
                code=failure.code,
                param=failure.param,
            )
        case Exception():
            return GatewayError(500, "api_error", "The gateway failed to serve the request that this one had joined.")
        case _:
            return GatewayError(503, "overloaded", "The call upstream was given up; ask again.")


async def _give(request: Request, entry: Entry, sender: Sender) -> None:
    """Give a client a kept answer."""
    exchange = request.exchange
    exchange.cache = "hit"
    exchange.losses = entry.losses
    _note(exchange, entry.counts, entry.finish)
    age = b"%d" % math.floor(entry.age(time.time()))
    await sender.whole(200, [*entry.headers, (b"age", age), *receipt(exchange)], entry.body)


def _may_keep(request: Request, route: Route, cache: Cache) -> bool:
    """Whether the answer to a request may be given again."""
    body, endpoint = request.body, request.endpoint
    if not isinstance(body, Body):
        return False
    generates = endpoint.operation is Operation.GENERATE
    changes = edits(route.policy, endpoint.protocol, body) if generates else NO_EDITS

    def value(name: str) -> object:
        if name in changes.write:
            return changes.write[name]
        return None if name in changes.drop else body.value(name)

    try:
        if is_remembered(endpoint.protocol, body, value=value):
            return False
        return cache.when == "any" or is_repeatable(endpoint.protocol, endpoint.operation, body, value=value)
    except ClientError:
        return False  # a number beyond any machine's range: the upstream's to refuse


def _freshness(inbound: Inbound) -> float | None:
    """How old an answer may be at most, in seconds: 0 for none but a fresh one; None where the client wants nothing to
    do with a cache."""
    said = inbound.read.get(CACHE)
    if said is not None and said.strip().lower() == b"bypass":
        return None
    control = inbound.read.get(b"cache-control")
    if control is None:
        return math.inf
    text = control.decode("latin-1").lower()
    words = {word.strip() for word in text.split(",")}
    if "no-store" in words:
        return None
    if "no-cache" in words:
        return 0.0
    found = _MAX_AGE.search(text)
    return float(found[1]) if found is not None else math.inf


def _is_good(request: Request, decision: Decision, flight: Flight) -> bool:
    """Whether an answer is one to keep."""
    exchange = request.exchange
    if flight.status != 200 or not (flight.complete and flight.open) or exchange.error_kind is not None:
        return False
    served = exchange.attempts[-1] if exchange.attempts else None
    if exchange.continuations:
        return False  # put together from two
    if served is None or served.outcome != OK or USAGE_UNKNOWN in exchange.losses:
        return False
    talks = request.endpoint.operation is Operation.GENERATE and request.endpoint.protocol in CODECS
    if talks and exchange.finish not in WHOLE:
        return False
    return any(choice.channel.name == served.channel for choice in decision.steps[0].choices)


def _entry(request: Request, decision: Decision, route: Route, flight: Flight, *, now: float) -> Entry:
    exchange, cache, protocol = request.exchange, route.cache, request.endpoint.protocol
    assert cache is not None  # noqa: S101 - only such routes come here
    served = exchange.attempts[-1]
    choice = next(one for one in decision.steps[0].choices if one.channel.name == served.channel)
    body = flight.body
    sign = keepalive(protocol)
    if served.protocol != protocol.value and sign is not None:
        body = flight.without(sign)  # put in while it was silent: a converted answer has none of its own
    return Entry(
        route.name,
        now,
        now + cache.ttl / 1000,
        tuple(header for header in flight.headers if header[0] in _CONTENT),
        body,
        _counts(exchange),
        exchange.finish,
        exchange.losses,
        choice.channel.dialect,
        served.model,
    )


def _counts(exchange: Exchange) -> Counts:
    return Counts(
        exchange.input_tokens,
        exchange.output_tokens,
        exchange.cache_read_tokens,
        exchange.cache_write_tokens,
        exchange.reasoning_tokens,
    )


def _note(exchange: Exchange, counts: Counts, finish: str | None) -> None:
    exchange.input_tokens = counts.input
    exchange.output_tokens = counts.output
    exchange.cache_read_tokens = counts.cache_read
    exchange.cache_write_tokens = counts.cache_write
    exchange.reasoning_tokens = counts.reasoning
    exchange.finish = finish


async def look(caching: Caching) -> None:
    """See what is kept in a store that others share, for `kept`."""
    answers = caching.answers
    if not isinstance(answers, MemoryAnswers):
        caching.shared = await answers.holdings()


def kept(caching: Caching) -> dict[str, tuple[int, int]]:
    """Bytes and evictions by route: of what this process keeps itself, or of what all keep together, as last seen."""
    answers = caching.answers
    holdings = answers.holdings_now() if isinstance(answers, MemoryAnswers) else caching.shared
    return {route: (held.bytes, held.evictions) for route, held in holdings.items()}
