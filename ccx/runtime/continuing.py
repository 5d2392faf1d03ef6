"""An answer that may be told by several upstreams: where one breaks off in the middle, another goes on.

Law
- The client sees one answer. What has been told stays told; what follows is spliced to it, or the answer ends in the
  error that it would have ended in anyway.
- Who is asked, how often and how soon is not decided here: that is failover's, by the rules of every other attempt.
- A request comes here only where its route declares it. Passed-through bytes are decoded in lumps, for the text alone,
  and only while the answer can still be continued.
- Every call is in the books with what it used: of one that broke before it told its tokens, an estimate.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from ccx.errors import BadReply, UpstreamError
from ccx.protocols import ir
from ccx.protocols.body import Body
from ccx.protocols.codec import Asked, Codec, Context, StreamEncoder
from ccx.protocols.continuation import CONTINUED
from ccx.protocols.conversion import CODECS
from ccx.protocols.failures import keepalive, render_stream_error
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.observe import Observation, StreamObserver
from ccx.protocols.splice import Splice, Story, added
from ccx.protocols.sse import SseDecoder
from ccx.protocols.stream import events
from ccx.routing.decide import Choice
from ccx.routing.table import Route
from ccx.runtime.answers import Sender, receipt, reply_headers
from ccx.runtime.attempt import Answer, Failure, said_later
from ccx.runtime.broken import Break, BrokenOff, Record, before_error
from ccx.runtime.convert import Conversion, decoded_body, folded, loss_names, new_id
from ccx.runtime.encoded import worked
from ccx.runtime.limits import BYTES_A_TOKEN, Limiter
from ccx.runtime.outbound import Outbound, Prepared
from ccx.runtime.relay import Tail, note
from ccx.runtime.remainder import Remainder
from ccx.runtime.translate import Silence, client_headers, is_events, rest
from ccx.runtime.understand import Request
from ccx.telemetry.exchange import OK, Exchange, Spent
from ccx.upstream.outcome import FailureClass, classify_exception
from ccx.upstream.reply import Reply

THOUGHT_AGAIN: Final = "reasoning_of_continuation"
"""Among the losses of an exchange: thoughts of a continuation before its text, which the client was not told."""

# What the codec of a protocol's own vendor reads is what the client was told; others take text for thoughts.
_PLAIN_ISSUER: Final = {Protocol.CHAT: "openai"}


class Continuing:
    """The answer to one request, told by one upstream after another."""

    def __init__(self, request: Request, route: Route, outbound: Outbound, limiter: Limiter, sender: Sender) -> None:
        self.begun = False  # some has been told, and its stream broke off
        self._request = request
        self._remainder = Remainder(request, route, outbound)
        self._limiter = limiter
        self._sender = sender
        self._protocol = request.endpoint.protocol
        self._story = Story()
        self._encoder: StreamEncoder | None = None
        self._keep: Callable[[bytes], Awaitable[None]] | None = None
        self._silence: Silence | None = None
        self._passed = False
        self._over = False
        self._first: Break | None = None
        self._choice: Choice | None = None  # whose answer is told now, or was last
        self._spent: list[Spent] = []
        self._losses: set[str] = set()

    @property
    def may(self) -> bool:
        """Whether the client is told an answer as it comes, and not a summary of it."""
        dialogue = self._request.dialogue
        return dialogue is None or not dialogue.summarises

    # --- telling ------------------------------------------------------------------------------------------------------

    async def relay(self, answer: Answer, prepared: Prepared, choice: Choice, conversion: Conversion | None) -> str:
        """Tell the client this answer, or the rest of its answer out of this one. Returns the attempt's outcome, `ok`;
        raises BrokenOff where it broke."""
        exchange, observer = self._request.exchange, answer.observer
        before, going_on, result, broken = self._story.spoken, self.begun, "", None
        self._choice = choice
        self._losses.update(exchange.losses)
        try:
            if going_on:
                note(exchange, Observation())  # what the calls before used is in the books
                await self._go_on(answer, prepared, choice)
            elif conversion is None or prepared.converted is None:
                await self._pass(answer, choice)
            else:
                await self._convert(answer, prepared, prepared.converted.context, conversion)
            result = "ok"
        except Break as error:
            result, broken = "broken", error
            self._first = self._first or error
            self.begun = True
            raise BrokenOff(Failure(error.failure, error.message, retry_after=error.wait, shown=True)) from None
        finally:
            if answer.reply is not None:
                answer.reply.abort()
            if observer is not None:
                observer.end()
            note(exchange, answer.observation if observer is None else observer.observation)
            if broken is not None and self._story.continuable:
                self._estimate(exchange, self._story.spoken - before)
            self._book(exchange, choice)
            if going_on and result:
                exchange.continuations = (*exchange.continuations, (choice.channel.name, result))
        self._still()
        await self._sender.end()
        return OK

    async def _pass(self, answer: Answer, choice: Choice) -> None:
        """The first answer, byte for byte."""
        observer, reply, sender = answer.observer, answer.reply, self._sender
        assert observer is not None and reply is not None  # noqa: S101, PT018 - a stream of events has both
        self._passed = True
        issuer = _PLAIN_ISSUER.get(self._protocol, choice.channel.dialect)
        record = Record(self._story, CODECS[self._protocol].stream_decoder(Context(issuer, choice.model or "")))
        exchange = self._request.exchange
        await sender.start(answer.status, reply_headers(answer.headers) + receipt(exchange, status=answer.status))
        try:
            await self._pass_stream(observer, reply, b"".join(answer.held), record)
        except Break:
            record.read()
            raise

    async def _pass_stream(self, observer: StreamObserver, reply: Reply, chunk: bytes, record: Record) -> None:
        tail, sender = Tail(), self._sender
        try:
            while chunk:
                whole, said = tail.pass_on(chunk), b""
                if observer.error is not None:
                    whole, said = before_error(whole, observer.error)
                if whole:
                    record.note(whole)
                    await sender.piece(whole)
                if observer.error is not None:
                    raise self._declared(observer.error, said)
                if chunk := await reply.next():
                    observer.feed(chunk)
            observer.end()
            if observer.error is not None:
                raise self._declared(observer.error, tail.held)
            if not observer.terminal:
                raise BadReply("it ended early", stage="body")
            if left := tail.rest():
                await sender.piece(left)
        except UpstreamError as error:
            if observer.over and not tail.held:
                return  # all has been said: what broke is the connection only
            raise self._cut(error, observer) from error

    async def _convert(self, answer: Answer, prepared: Prepared, context: Context, conversion: Conversion) -> None:
        """The first answer, out of another protocol."""
        request = self._request
        self._encoder = CODECS[self._protocol].stream_encoder(conversion.asked, new_id=new_id)
        self._keep = conversion.keep
        await self._sender.start(answer.status, client_headers(request.endpoint, answer, request.exchange, stream=True))
        self._silence = Silence(self._sender, keepalive(self._protocol))
        await self._tell_stream(answer, CODECS[prepared.outgoing.endpoint.protocol], context, None)

    async def _go_on(self, answer: Answer, prepared: Prepared, choice: Choice) -> None:
        """The rest, out of another answer."""
        codec = CODECS[prepared.outgoing.endpoint.protocol]
        context = prepared.converted.context if prepared.converted is not None else None
        context = context or Context(choice.channel.dialect, choice.model or "")
        usage = self._total()
        splice = Splice(self._story, usage=usage, hidden=self._remainder.hidden)
        if answer.events:
            await self._tell_stream(answer, codec, context, splice)
        else:
            await self._tell_whole(answer, codec, context, splice)
        if splice.thought:
            self._losses.add(THOUGHT_AGAIN)

    async def _tell_stream(self, answer: Answer, codec: Codec, context: Context, splice: Splice | None) -> None:
        reply, observer = answer.reply, answer.observer
        assert reply is not None  # noqa: S101 - a stream is never whole
        sse, decoder = SseDecoder(), codec.stream_decoder(context)
        try:
            chunk = b"".join(answer.held)
            while chunk:
                found = [one for event in sse.feed(chunk) for one in decoder.feed(event)]
                await self._tell(found, splice, observer)
                chunk = await reply.next()
                if chunk and observer is not None:
                    observer.feed(chunk)
            left = [one for event in sse.end() for one in decoder.feed(event)]
            await self._tell([*left, *decoder.end()], splice, observer)
            if not self._over:
                raise BadReply("it ended early", stage="body")
        except UpstreamError as error:
            if not self._over:  # else the client has had all of it
                raise self._cut(error, observer) from error

    async def _tell_whole(self, answer: Answer, codec: Codec, context: Context, splice: Splice) -> None:
        """An upstream that was asked for a stream and gave none."""
        try:
            plain = await rest(answer)
            if is_events(answer):
                response = await worked(len(plain), lambda: folded(plain, codec, context))
            else:
                response = await worked(len(plain), lambda: _decoded(plain, codec, context))
            await self._tell([*events(response)], splice, None)
        except UpstreamError as error:
            raise self._cut(error, None) from error

    async def _tell(self, found: list[ir.Event], splice: Splice | None, observer: StreamObserver | None) -> None:
        encoder = self._encoder
        assert encoder is not None  # noqa: S101 - made before anything is told through it
        out: list[bytes] = []
        failed: ir.Failed | None = None
        for event in found:
            if self._over or failed is not None:
                break
            for one in (event,) if splice is None else splice.feed(event):
                if isinstance(one, ir.Failed):
                    failed = one
                    break
                self._story.feed(one)
                out.append(encoder.encode(one))
                self._over = isinstance(one, ir.End)
            if splice is not None and splice.failed is not None:
                failed = splice.failed
        if told := b"".join(out):
            if self._silence is not None:
                self._silence.broken()
            if self._over and self._keep is not None:
                await self._keep(told)
            await self._sender.piece(told)
        if failed is not None:
            raise self._failed(failed, observer)

    # --- how it broke -------------------------------------------------------------------------------------------------

    def _cut(self, error: UpstreamError, observer: StreamObserver | None) -> Break:
        message = f"The upstream's stream broke off: {error}."

        def say() -> bytes:
            if self._encoder is not None:
                return self._encoder.encode(ir.Failed("api_error", message))
            return render_stream_error(
                self._protocol,
                kind="api_error",
                message=message,
                request_id=self._request.exchange.request_id,
                sequence_number=0 if observer is None else observer.next_sequence_number,
                response_id=None if observer is None else observer.response_id,
            )

        return Break(classify_exception(error), str(error), "upstream_cut", say)

    def _declared(self, error: bytes, said: bytes) -> Break:
        """An error that the upstream told inside its stream, passed through."""
        failure, wait = self._class_of(error)
        return Break(failure, "the upstream told an error", "upstream_stream_error", lambda: said, wait=wait)

    def _failed(self, failed: ir.Failed, observer: StreamObserver | None) -> Break:
        """An error that a decoder tells: the upstream's own, or that its stream ended early."""
        encoder = self._encoder
        assert encoder is not None  # noqa: S101 - a decoder's events go through one
        if observer is not None and observer.error is not None:
            failure, wait = self._class_of(observer.error)
            return Break(failure, failed.message, "upstream_stream_error", lambda: encoder.encode(failed), wait=wait)
        return Break("server_error", failed.message, "upstream_cut", lambda: encoder.encode(failed))

    def _class_of(self, error: bytes) -> tuple[FailureClass, float | None]:
        choice = self._choice
        assert choice is not None  # noqa: S101 - known as soon as anything is relayed
        return said_later(error, choice)

    # --- going on -----------------------------------------------------------------------------------------------------

    async def ready(self) -> bool:
        """Whether what broke off can be continued; then `prepared` asks for the rest."""
        story, remainder = self._story, self._remainder
        if not story.continuable or (self._passed and self._protocol is Protocol.RESPONSES and self._encoder is None):
            return False  # of a passed-through Responses stream the ids of its items are not ours to go on with
        if not await remainder.asked(story):
            return False
        if self._encoder is None:
            assert remainder.body is not None  # noqa: S101 - it is asked
            self._encoder = await self._caught_up(remainder.body)
        if self._silence is None:
            self._silence = Silence(self._sender, keepalive(self._protocol))
        return True

    async def prepared(self, choice: Choice) -> Prepared:
        """The request that asks this choice for the rest. Raises ClientError as `Outbound.prepared`."""
        return await self._remainder.prepared(choice)

    def refused(self, channel: str) -> None:
        """A channel that was to go on gave no answer."""
        exchange = self._request.exchange
        exchange.continuations = (*exchange.continuations, (channel, "failed"))

    async def give_up(self) -> None:
        """Nobody goes on: the answer ends in the error that broke it."""
        first, choice, exchange = self._first, self._choice, self._request.exchange
        assert first is not None and choice is not None  # noqa: S101, PT018 - it has broken
        exchange.error_kind = first.kind
        exchange.continuations = (*exchange.continuations, (choice.channel.name, "given_up"))
        self._still()
        if said := first.say():
            await self._sender.piece(said)
        await self._sender.end()

    def settle(self) -> None:
        """All calls are over, whatever way: the exchange tells what they used together."""
        self._still()
        exchange = self._request.exchange
        if self._encoder is not None:
            self._losses.update(loss_names(self._encoder.losses))
        if self._losses:
            exchange.losses = tuple(sorted(self._losses | {*exchange.losses}))
        if len(self._spent) > 1:
            exchange.spent = tuple(self._spent)
            total = self._total()
            exchange.input_tokens = total.input_tokens
            exchange.output_tokens = total.output_tokens
            exchange.cache_read_tokens = total.cache_read_tokens
            exchange.cache_write_tokens = total.cache_write_tokens
            exchange.reasoning_tokens = total.reasoning_tokens

    async def _caught_up(self, body: Body) -> StreamEncoder:
        """An encoder that stands where the passed-through stream stood."""
        begin = self._story.begin
        assert begin is not None  # noqa: S101 - what can be continued has begun
        decoded = await worked(len(body.raw), lambda: decoded_body(body))
        asked = Asked(begin.model, decoded, True, begin.created or int(time.time()))
        encoder = CODECS[self._protocol].stream_encoder(asked, new_id=new_id)
        for event in self._story.again():
            encoder.encode(event)
        encoder.losses.clear()  # what was passed through has lost nothing
        return encoder

    def _still(self) -> None:
        if self._silence is not None:
            self._silence.stop()

    # --- the books ----------------------------------------------------------------------------------------------------

    def _estimate(self, exchange: Exchange, spoken: int) -> None:
        """What a call used that broke before it said so."""
        if exchange.input_tokens is None:
            exchange.input_tokens = self._limiter.estimate().input
        exchange.output_tokens = max(exchange.output_tokens or 0, spoken // BYTES_A_TOKEN)

    def _book(self, exchange: Exchange, choice: Choice) -> None:
        self._spent.append(
            Spent(
                choice.channel.name,
                choice.model or "",
                exchange.input_tokens,
                exchange.output_tokens,
                exchange.cache_read_tokens,
                exchange.cache_write_tokens,
                exchange.reasoning_tokens,
            )
        )

    def _total(self) -> ir.Usage:
        total = ir.Usage()
        for one in self._spent:
            total = added(total, ir.Usage(*one[2:]))
        return total


def continuing(
    request: Request, route: Route, outbound: Outbound, limiter: Limiter, sender: Sender
) -> Continuing | None:
    """What may tell this request's answer by several upstreams; None where it is not declared, or cannot be."""
    if route.failover.midstream != "continue" or request.endpoint.operation is not Operation.GENERATE:
        return None
    if not request.facts.stream or request.endpoint.protocol not in CONTINUED or not isinstance(request.body, Body):
        return None
    return Continuing(request, route, outbound, limiter, sender)


def _decoded(plain: bytes, codec: Codec, context: Context) -> ir.Response:
    try:
        body = msgspec.json.decode(plain)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadReply(f"the reply is not JSON: {error}", stage="body") from None
    if not isinstance(body, dict):
        raise BadReply("the reply is not a JSON object", stage="body")
    return codec.decode_response(body, context)
