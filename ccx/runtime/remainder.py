"""The request for the rest of an answer that broke off, as each upstream that may go on is asked it.

Law: it is the client's request with the route's changes, which come once; what has been told stands behind it, and what
is left of the length it may have is its bound. Whether anything can be asked at all is said here, and to whom not.
"""

from __future__ import annotations

from dataclasses import replace

from ccx.protocols.body import Body, open_body
from ccx.protocols.continuation import continuation, is_plain, remaining, shown, takes_prefill, thinks
from ccx.protocols.splice import Story
from ccx.routing.decide import Choice
from ccx.routing.table import RequestPolicy, Route
from ccx.runtime.encoded import worked
from ccx.runtime.limits import BYTES_A_TOKEN
from ccx.runtime.outbound import Outbound, Prepared
from ccx.runtime.understand import Request


class Remainder:
    """What is asked for of one answer, each time that it breaks off. `body` is the client's, as the route changes it,
    and `hidden` the white space at the end of what was told, which is not shown; both once something is `asked`."""

    def __init__(self, request: Request, route: Route, outbound: Outbound) -> None:
        self.body: Body | None = None
        self.hidden = ""
        self._protocol = request.endpoint.protocol
        self._raw = request.body.raw
        self._route = route
        self._limit = route.policy.max_output_tokens
        self._outbound = outbound
        self._text = ""
        self._outbounds: dict[bool, Outbound] = {}

    async def asked(self, story: Story) -> bool:
        """Ask for what follows on this story from now on. False where that cannot be: an answer that is to be of one
        piece, or half a character at the end, which no upstream could be shown."""
        text = story.text
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
        body = self.body
        if body is None:
            body = await worked(len(self._raw), self._outbound.changed)
            if not await worked(len(self._raw), lambda: is_plain(self._protocol, body)):
                return False
            self.body = body
        self._text = shown(text)
        self.hidden = text[len(self._text) :]
        said = story.spoken // BYTES_A_TOKEN
        limit = remaining(self._protocol, body, limit=self._limit, said=said)
        self._route = replace(self._route, policy=RequestPolicy(max_output_tokens=limit))
        self._outbounds = {}
        return True

    async def prepared(self, choice: Choice) -> Prepared:
        """The request that asks this choice. Raises ClientError as `Outbound.prepared`."""
        body, protocol, model = self.body, self._protocol, choice.model or ""
        assert body is not None  # noqa: S101 - asked first
        prefill = takes_prefill(choice.surface.protocol, model, thinks=thinks(protocol, body))
        outbound = self._outbounds.get(prefill)
        if outbound is None:
            told = await worked(
                len(self._raw), lambda: open_body(continuation(protocol, body, self._text, prefill=prefill))
            )
            outbound = self._outbounds[prefill] = self._outbound.other(told, self._route)
        return await outbound.prepared(choice)
