"""When two requests are the same: a digest of everything that decides the answer.

Law: in doubt they differ. A miss costs a call, a wrong hit gives somebody an answer to another question. So headers
and fields count unless they are known to mean nothing for the answer, and a body that two parsers could read in two
ways (a key twice, half a surrogate pair) has no identity at all: nobody can have one question's answer kept as
another's.

It counts: this version of ccx; the route, and where its requests go and what is done to them on the way; the protocol
and operation; whose answers may be shared; the body without regard to white space and the order of keys; headers; the
query. It does not count: whether a stream is asked for, which is the form of an answer (each form has a key of its own,
`Identity`), who the end user is (`user`, `metadata`), labels of the cache that a provider keeps, and headers that name
a program, a session, a trace or the connection. Responses give `user`, `metadata` and their like back in the answer:
there they count.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from ccx import __version__
from ccx.protocols.body import Body
from ccx.protocols.conversion import CODECS
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.session import HEADERS as SESSION_HEADERS
from ccx.routing.decide import Choice, Decision
from ccx.routing.table import Cache, Route, RoutingTable
from ccx.runtime.admission import without_key
from ccx.runtime.convert import OFF_LOOP_BYTES
from ccx.runtime.understand import Request
from ccx.upstream.reply import Header

TREATMENTS_KEPT: Final = 4096
DIGESTS_KEPT: Final = 4096
SMALL: Final = 8 * 1024
"""Bytes of a body that is as soon read as looked up."""
LARGE: Final = 512 * 1024
"""Bytes of a body that is not even hashed on the loop."""

_MEANINGLESS: Final[Mapping[Protocol, frozenset[str]]] = {
    Protocol.MESSAGES: frozenset({"stream", "metadata"}),
    Protocol.CHAT: frozenset(
        {
            "stream",
            "stream_options",
            "user",
            "metadata",
            "safety_identifier",
            "prompt_cache_key",
            "prompt_cache_retention",
        },
    ),
    Protocol.RESPONSES: frozenset({"stream", "stream_options"}),
    Protocol.GEMINI: frozenset({"labels"}),
    Protocol.IMAGES: frozenset({"stream", "user"}),
    Protocol.EMBEDDINGS: frozenset({"user"}),
}
_MEANINGLESS_HEADERS: Final = frozenset(
    {
        *("accept", "accept-charset", "accept-language", "baggage", "cache-control", "content-length", "date", "dnt"),
        *("idempotency-key", "pragma", "priority", "sentry-trace", "traceparent", "tracestate", "user-agent", "via"),
        *("http-referer", "x-title", "x-app", "x-request-id", "x-client-request-id", "x-correlation-id", "x-trace-id"),
        *("x-amzn-trace-id", "x-cloud-trace-context", "x-goog-api-client", "x-goog-request-params", "x-real-ip"),
        *("x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "b3", "cf-ray", "true-client-ip"),
        *("originator", "version", "anthropic-dangerous-direct-browser-access", *SESSION_HEADERS),
    },
)
_MEANINGLESS_PREFIXES: Final = (b"x-stainless-", b"x-forwarded-", b"sec-", b"x-datadog-", b"x-codex-", b"x-claude-")
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_MEMBER: Final = re.compile(rb'"[ \t\r\n]*:')

_sorted = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Identity:
    """Keys of the same question: in the form asked for, and in the forms whose answers may be told in this one."""

    own: bytes
    others: tuple[bytes, ...]


class Treatments:
    """What becomes of requests on their way, as a digest; kept, since it is the same for each of a kind."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], bytes] = {}

    def digest(self, request: Request, decision: Decision, route: Route) -> bytes:
        """The digest of a decision for a request of this kind."""
        live, endpoint = request.live, request.endpoint
        key = (live.digest, route.name, endpoint.protocol, endpoint.operation, request.facts.model)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= TREATMENTS_KEPT:
                self._kept.clear()
            found = self._kept[key] = treatment(live.table, decision, route)
        return found


class Digests:
    """Digests of what bodies say. Of larger ones they are kept by the bytes: who asks the same again mostly sends the
    same, and hashing is a fraction of reading."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, bytes | None] = OrderedDict()

    async def of(self, protocol: Protocol, body: Body) -> bytes | None:
        """The digest of what a body says; None for one that may be read in two ways, or not at all."""
        if body.text is not body.raw:
            return None
        size = len(body.raw)
        if size < SMALL:
            return _digest(protocol, body)
        key = _bytes(protocol, body) if size < LARGE else await asyncio.to_thread(_bytes, protocol, body)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        digest = _digest(protocol, body) if size < OFF_LOOP_BYTES else await asyncio.to_thread(_digest, protocol, body)
        self._kept[key] = digest
        if len(self._kept) > DIGESTS_KEPT:
            self._kept.popitem(last=False)
        return digest


def _bytes(protocol: Protocol, body: Body) -> bytes:
    return hashlib.sha256(protocol.value.encode() + b"\0" + body.raw).digest()


def treatment(table: RoutingTable, decision: Decision, route: Route) -> bytes:
    """Where requests go and what is done to them, as a digest. The order and weights of a group do not count, nor do
    keys, limits and time: they decide who answers when, not what is asked."""
    steps = [sorted(_of_choice(table, choice) for choice in step.choices) for step in decision.steps]
    said = repr((__version__, route.name, steps, route.policy, route.on_loss))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()


def _of_choice(table: RoutingTable, choice: Choice) -> str:
    channel = choice.channel
    known = next((model for model in table.models if model.name == choice.model), None)
    limits = known and (known.max_output_tokens, known.thinking, known.vision)
    of_channel = (channel.name, channel.dialect, channel.set_headers, channel.remove_headers)
    return repr((of_channel, choice.surface, choice.model, limits))


async def identity(
    request: Request, treated: bytes, cache: Cache, *, digests: Digests, client: str, query: bytes
) -> Identity | None:
    """The identity of a request; None where it has none. Raises nothing for any body. `client` is whose it is."""
    body = request.body
    if not isinstance(body, Body):
        return None
    protocol = request.endpoint.protocol
    said = await digests.of(protocol, body)
    if said is None:
        return None
    scope = b"*" if cache.scope == "shared" else b"=" + client.encode("utf-8", "surrogatepass")
    rest, alt = _query(query)
    question = hashlib.sha256()
    for part in (
        treated,
        protocol.value.encode(),
        request.endpoint.operation.value.encode(),
        (request.facts.model or "").encode("utf-8", "surrogatepass"),
        scope,
        said,
        rest,
        *(piece for header in _telling(request.inbound.forward) for piece in header),
    ):
        question.update(b"%d:" % len(part))
        question.update(part)
    digest = question.digest()
    options = body.value("stream_options") if protocol in (Protocol.CHAT, Protocol.RESPONSES) else None
    form = _form(request.facts.stream, options, alt)
    return Identity(
        _keyed(digest, form), tuple(_keyed(digest, other) for other in _others(request, form, options, alt))
    )


def _digest(protocol: Protocol, body: Body) -> bytes | None:
    """The digest of what a body says; None for one that may be read in two ways, or not at all."""
    try:
        decoded = msgspec.json.decode(body.raw)
        if not _unambiguous(body.raw, decoded):
            return None
        meaning = {name: value for name, value in decoded.items() if name not in _MEANINGLESS[protocol]}
        return hashlib.sha256(_sorted(meaning)).digest()
    except (msgspec.DecodeError, RecursionError):
        return None


def _unambiguous(raw: bytes, decoded: object) -> bool:
    """Whether no object has a key twice: then there are as many members written as there are once decoded."""
    read = _members(decoded)
    # Every member is among the matches, and so is text that begins with a colon: equal is certain, more is not yet.
    if sum(not _escaped(raw, found.start()) for found in _MEMBER.finditer(raw)) == read:
        return True
    return _STRING.sub(b"", raw).count(b":") == read


def _escaped(raw: bytes, at: int) -> bool:
    before = at
    while before and raw[before - 1] == 0x5C:
        before -= 1
    return (at - before) % 2 == 1


def _members(decoded: object) -> int:
    count, left = 0, [decoded]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            count += len(one)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return count


def _telling(headers: list[Header]) -> list[Header]:
    return sorted(
        header
        for header in headers
        if header[0].decode("latin-1") not in _MEANINGLESS_HEADERS and not header[0].startswith(_MEANINGLESS_PREFIXES)
    )


def _query(query: bytes) -> tuple[bytes, bytes]:
    """A query without our key, and of it Gemini's `alt`, which is the form of an answer."""
    parts = [part for part in without_key(query).split(b"&") if part]
    alt = [part for part in parts if part.startswith(b"alt=")]
    return b"&".join(part for part in parts if not part.startswith(b"alt=")), b"&".join(alt)


def _form(stream: bool, options: object, alt: bytes) -> bytes:
    return b"stream %s %s" % (_sorted(options), alt) if stream else b"whole"


def _others(request: Request, form: bytes, options: object, alt: bytes) -> tuple[bytes, ...]:
    """Forms whose answers hold all that this form tells."""
    protocol = request.endpoint.protocol
    if request.endpoint.operation is not Operation.GENERATE or protocol not in CODECS:
        return ()
    usual = {"include_usage": True} if protocol is Protocol.CHAT else None
    sse = b"alt=sse" if protocol is Protocol.GEMINI else b""
    full = _form(True, usual, sse)
    if not request.facts.stream:
        return (full,)
    plain = protocol is Protocol.CHAT and options in (None, {}, {"include_usage": False})
    return (_form(False, None, b""),) if form == full or (plain and alt == sse) else ()


def _keyed(question: bytes, form: bytes) -> bytes:
    return hashlib.sha256(question + form).digest()
