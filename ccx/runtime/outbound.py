"""What goes out to each upstream: the client's own bytes where it speaks the client's protocol, else a conversion."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ccx.errors import ClientError
from ccx.protocols.body import Body, open_body
from ccx.protocols.conversion import CODECS
from ccx.protocols.multipart import Form
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.residue import MARK
from ccx.routing.decide import Choice
from ccx.routing.table import Route
from ccx.runtime.admission import without_key
from ccx.runtime.attempt import Outgoing
from ccx.runtime.convert import Conversion, Converted, upstream_endpoint
from ccx.runtime.drawing import Drawing
from ccx.runtime.policy import NO_EDITS, edits
from ccx.runtime.understand import Request

# Headers that mean something in one vendor's protocol only: they go to upstreams of that protocol, not to others.
_MARK = b'"' + MARK.encode()
_NO_SUCH_ENDPOINT = (404, 405, 501)
_VENDORS = (b"anthropic-", b"openai-", b"x-goog-", b"x-stainless-", b"x-codex-", b"x-claude-")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready for one choice; with what the way back needs where the answer is to be converted."""

    outgoing: Outgoing
    converted: Converted | None
    losses: tuple[str, ...] = ()


def is_sealed(request: Request) -> bool:
    """Whether a conversation brings an envelope of ours, which no upstream can read."""
    return request.endpoint.protocol in CODECS and _MARK in request.body.raw


class Outbound:
    """One client's request, made ready for each (protocol, model) that is tried, once."""

    def __init__(self, request: Request, route: Route, *, method: str, query: bytes) -> None:
        self._request = request
        self._route = route
        self._method = method.encode()
        self._query = without_key(query)
        self._made: dict[tuple[Protocol, str | None, bool], Prepared] = {}
        self._lacking: set[str] = set()  # channels that were seen to have no compaction, by this request
        self._body = request.body
        self._edits = NO_EDITS
        if isinstance(self._body, Body) and request.endpoint.operation is Operation.GENERATE:
            self._edits = edits(route.policy, request.endpoint.protocol, self._body)
        self._compacts = request.endpoint.operation is Operation.COMPACT
        answers = request.endpoint.operation in (Operation.GENERATE, Operation.COMPACT)
        self._sealed = answers and is_sealed(request)
        self.conversion: Conversion | Drawing | None = None

    async def prepared(self, choice: Choice) -> Prepared:
        """The request that asks this choice. Raises ClientError 400 for a body that cannot be converted at all."""
        same = choice.surface.protocol is self._request.endpoint.protocol
        summary = same and self._compacts and self._lacks_compaction(choice)
        key = (choice.surface.protocol, choice.model, summary)
        made = self._made.get(key)
        if made is None:
            if not same:
                made = await self._converted(choice)
            elif summary:
                made = await self._summarised(choice)
            elif self._sealed:
                made = await self._opened(choice)
            else:
                made = self._passed(choice)
            self._made[key] = made
        return made

    def changed(self) -> Body:
        """The client's body with the route's declared changes. Raises ClientError 400 for a form."""
        return self._edited(self._json())

    def other(self, body: Body, route: Route) -> Outbound:
        """As this one for another body, which says in full what it goes on from."""
        request = replace(self._request, body=body, dialogue=None)
        return Outbound(request, route, method=self._method.decode(), query=self._query)

    def summarises_instead(self, choice: Choice, status: int | None) -> bool:
        """Whether this choice, which refused a compaction with this status, is now to be asked for a summary."""
        same = choice.surface.protocol is self._request.endpoint.protocol
        if not (same and self._compacts and status in _NO_SUCH_ENDPOINT) or self._lacks_compaction(choice):
            return False
        self._lacking.add(choice.channel.name)
        return True

    def summarised(self, choice: Choice) -> None:
        """This choice gave a summary: only now is it sure that the endpoint was missing, and not the model."""
        self._request.live.without_compaction.add(choice.channel.name)

    def _lacks_compaction(self, choice: Choice) -> bool:
        name = choice.channel.name
        return name in self._lacking or name in self._request.live.without_compaction

    def _passed(self, choice: Choice) -> Prepared:
        request = self._request
        model = None if request.endpoint.protocol is Protocol.GEMINI else choice.model
        outgoing = Outgoing(
            request.endpoint,
            self._method,
            self._query,
            request.inbound.forward,
            request.facts.stream,
            self._pieces(model),
        )
        return Prepared(outgoing, None)

    def _pieces(self, model: str | None) -> list[bytes]:
        body = self._body
        renamed = model is not None and body.model is not None and model != body.model
        if self._edits and isinstance(body, Body):
            write = dict(self._edits.write)
            if renamed:
                write["model"] = model
            return body.with_fields(write, self._edits.drop)
        return body.with_model(model) if renamed and model is not None else [body.raw]

    async def _opened(self, choice: Choice) -> Prepared:
        """For an upstream of the client's own protocol, but without the envelopes that ccx put into the conversation
        when another upstream answered: this one would refuse them."""
        converted = await self._conversion().request_for(choice)
        passed = self._passed(choice).outgoing
        return Prepared(passed._replace(body=[converted.body]), None, converted.losses)

    async def _summarised(self, choice: Choice) -> Prepared:
        """For an upstream of the client's own protocol that has no compaction: asked for a summary instead."""
        conversion = self._conversion()
        assert isinstance(conversion, Conversion)  # noqa: S101 - images are not compacted
        converted = await conversion.request_for(choice, summary=True)
        endpoint = upstream_endpoint(choice.surface.protocol, stream=False)
        outgoing = Outgoing(endpoint, b"POST", self._query, self._request.inbound.forward, False, [converted.body])
        # That envelopes of ours are opened is no loss to reject a target for, as little as in `_opened`.
        return Prepared(outgoing, replace(converted, rejected=()), converted.losses)

    def _conversion(self) -> Conversion | Drawing:
        if self.conversion is None:
            request = self._request
            stream = request.facts.stream and request.endpoint.operation in (Operation.GENERATE, Operation.EDIT)
            if request.endpoint.protocol is Protocol.IMAGES:
                body = self._body if isinstance(self._body, Form) else self._edited(self._body)
                self.conversion = Drawing(body, request.endpoint.operation, stream=stream)
            else:
                self.conversion = Conversion(
                    request.live.table,
                    request.endpoint,
                    self._edited(self._json()),
                    model=request.facts.model or "",
                    stream=stream,
                    dialogue=request.dialogue,
                )
        return self.conversion

    async def _converted(self, choice: Choice) -> Prepared:
        request = self._request
        conversion = self._conversion()
        converted = await conversion.request_for(choice)
        stream = conversion.stream and not isinstance(conversion, Drawing)
        endpoint = upstream_endpoint(choice.surface.protocol, stream=stream)
        headers = [h for h in request.inbound.forward if not h[0].startswith(_VENDORS) and h[0] != b"content-type"]
        headers.append((b"content-type", b"application/json"))  # a form is one no longer
        query = b"alt=sse" if stream and choice.surface.protocol is Protocol.GEMINI else b""
        outgoing = Outgoing(endpoint, b"POST", query, headers, stream, [converted.body])
        return Prepared(outgoing, converted, converted.losses)

    def _json(self) -> Body:
        """The client's body. Raises ClientError 400 for a form: no conversation is one."""
        if not isinstance(self._body, Body):
            raise ClientError(400, "invalid_request", "This request is to be JSON, not a form.")
        return self._body

    def _edited(self, body: Body) -> Body:
        """The client's body with the route's declared changes, which are written in the client's protocol."""
        if not self._edits:
            return body
        return open_body(b"".join(body.with_fields(dict(self._edits.write), self._edits.drop)))
