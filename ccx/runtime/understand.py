"""From bytes to facts: opening a body and reading what the table in force asks for, and nothing more."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from dataclasses import dataclass

from ccx.errors import ClientError
from ccx.protocols.body import Body, open_body
from ccx.protocols.endpoints import Endpoint
from ccx.protocols.facts import has_images, has_tools, server_tools, thinking_enabled
from ccx.protocols.multipart import Form, is_form, open_form
from ccx.protocols.names import Protocol
from ccx.protocols.session import session_id
from ccx.routing.decide import Cell
from ccx.routing.facts import NO_FIELDS, NOTHING, Axis, Facts
from ccx.routing.table import Client
from ccx.runtime.admission import SESSION, Inbound
from ccx.runtime.dialogue import Dialogue
from ccx.runtime.live import Live
from ccx.telemetry.exchange import Exchange
from ccx.tokens.counter import TokenCounter

UNSEEN = 2**62  # more tokens than any body has
OFF_LOOP_BYTES = 512 * 1024


@dataclass(slots=True)
class Request:
    """A client's request while it is served, on one table from first to last."""

    live: Live
    endpoint: Endpoint
    inbound: Inbound
    client: Client | None
    body: Body | Form
    facts: Facts
    exchange: Exchange
    dialogue: Dialogue | None = None  # of a Responses request


async def opened(raw: bytes, inbound: Inbound) -> Body | Form:
    """A request's body, opened; a large one in a thread, where the loop turns between its steps. Raises ClientError 400
    for a body that cannot be read."""
    content_type = inbound.read.get(b"content-type", b"").decode("latin-1")
    if is_form(content_type):
        return open_form(raw, content_type)
    return open_body(raw) if len(raw) < OFF_LOOP_BYTES else await asyncio.to_thread(open_body, raw)


def understand(
    live: Live,
    endpoint: Endpoint,
    inbound: Inbound,
    client: Client | None,
    *,
    body: Body | Form,
    exchange: Exchange,
    counter: TokenCounter,
) -> Request:
    """Read the facts. Raises ClientError 400 for a field that cannot be read, 403 for a model that the client may not
    use."""
    model = endpoint.model if endpoint.model is not None else body.model
    stream = endpoint.stream if endpoint.stream is not None else body.stream
    exchange.model_asked = model
    exchange.stream = stream
    require_model(client, model)
    exchange.asked = cell = live.decider.cell(endpoint.protocol, model)
    exchange.seen = facts = _facts(cell, endpoint, inbound, client, body=body, exchange=exchange, counter=counter)
    return Request(live, endpoint, inbound, client, body, facts, exchange)


def require_model(client: Client | None, model: str | None) -> None:
    """Raises ClientError 403 for a model that the client may not use."""
    if client is not None and client.models is not None and not (model is not None and client.models.matches(model)):
        raise ClientError(
            403,
            "permission",
            f"The client {client.name!r} may not use the model {model!r}; it may use: {client.models}.",
        )


def session_of(protocol: Protocol, inbound: Inbound, body: Body | None) -> str | None:
    """The id of the conversation, as the client says it in a header or the body; None where it says none."""
    sent = (*inbound.forward, (SESSION, inbound.read.get(SESSION, b"")))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}
    return session_id(protocol, headers, body)


def _facts(
    cell: Cell,
    endpoint: Endpoint,
    inbound: Inbound,
    client: Client | None,
    *,
    body: Body | Form,
    exchange: Exchange,
    counter: TokenCounter,
) -> Facts:
    protocol, axes = endpoint.protocol, cell.axes
    model, stream = exchange.model_asked, exchange.stream
    if not axes:
        return Facts(protocol, model, endpoint.operation, stream=stream)
    name, tags, direct = None, NOTHING, True
    if client is not None:
        name, tags, direct = client.name, exchange.tags, client.direct
    headers = _asked_headers(inbound, cell.headers) if cell.headers else NOTHING
    return Facts(
        protocol,
        model,
        endpoint.operation,
        tokens_at_most=_bound(body, cell.tokens, counter) if Axis.INPUT_TOKENS in axes else None,
        stream=stream,
        tools=Axis.TOOLS in axes and has_tools(protocol, body),
        server_tools=server_tools(protocol, body) if Axis.SERVER_TOOLS in axes else frozenset(),
        thinking=Axis.THINKING in axes and thinking_enabled(protocol, body),
        images=Axis.IMAGES in axes and has_images(protocol, body, operation=endpoint.operation),
        client=name,
        tags=tags,
        headers=headers,
        prefix=endpoint.prefix,
        body=_asked_fields(body, cell.fields) if cell.fields and isinstance(body, Body) else NO_FIELDS,
        direct=direct,
    )


def _bound(body: Body | Form, compared: tuple[int, ...], counter: TokenCounter) -> int | None:
    """A bound on the tokens, looked for only where it may decide something: a longer body is above every number, and
    a bound below the first number above the length is as good as any closer one.

    A form has no prompt that could be counted.
    """
    if isinstance(body, Form):
        return None
    length = len(body.raw)
    above = bisect_right(compared, length)
    return counter.upper_bound(body.raw, below=compared[above]) if above < len(compared) else length + UNSEEN


def _asked_fields(body: Body, paths: frozenset[str]) -> dict[str, object]:
    found = ((path, body.field(tuple(path.split(".")))) for path in paths)
    return {path: value for path, value in found if isinstance(value, str | int | float)}


def _asked_headers(inbound: Inbound, names: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in inbound.forward:
        text = name.decode("latin-1")
        if text in names:
            shown = value.decode("latin-1")
            found[text] = f"{found[text]}, {shown}" if text in found else shown
    return found
