"""The request that `ccx explain` is asked about, in facts: from options, or from a body, read as the gateway does."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from ccx.errors import ClientError, UsageError
from ccx.plan.readable import duration
from ccx.protocols.body import Body, open_body
from ccx.protocols.endpoints import Endpoint, resolve
from ccx.protocols.facts import has_images, has_tools, server_tools, thinking_enabled
from ccx.protocols.names import CHAT_PROTOCOLS, Protocol
from ccx.routing.conditions import BodyField, TokensIn, leaves
from ccx.routing.decide import Decider, Decision
from ccx.routing.facts import NOTHING, Facts
from ccx.routing.promotion import holds, promoted_first
from ccx.routing.sticky import by_highest, takes_part
from ccx.routing.table import Client, Promotion, RoutingTable
from ccx.routing.trace import Trace
from ccx.spec.locations import Place
from ccx.spec.scalars import parse_count, parse_moment
from ccx.tokens.counter import TokenCounter

_PATHS = {
    Protocol.MESSAGES: "/v1/messages",
    Protocol.CHAT: "/v1/chat/completions",
    Protocol.RESPONSES: "/v1/responses",
    Protocol.IMAGES: "/v1/images/generations",
    Protocol.EMBEDDINGS: "/v1/embeddings",
}


def given(
    decider: Decider,
    *,
    protocol: Protocol,
    model: str | None,
    tokens: str | None,
    stream: bool,
    tools: bool,
    server_tools: list[str],
    thinking: bool,
    images: bool,
    client: str | None,
    headers: list[str],
    prefix: str | None,
    body_fields: list[str],
) -> Facts:
    """Facts from options. Raises UsageError."""
    if model is None and protocol in CHAT_PROTOCOLS:
        raise UsageError("which model? A request is decided by it", hint="ccx explain --model claude-opus-4-1")
    caller = _client(decider, client)
    try:
        count = None if tokens == "none" else parse_count(tokens) if tokens is not None else 0
    except ValueError as error:
        raise UsageError(f"--tokens: {error}") from None
    return Facts(
        protocol,
        model,
        input_tokens=count,
        stream=stream,
        tools=tools or bool(server_tools),
        server_tools=frozenset(server_tools),
        thinking=thinking,
        images=images,
        client=client,
        tags=dict(caller.tags) if caller is not None else NOTHING,
        headers=_headers(headers),
        prefix=prefix,
        body=dict(_field(text) for text in body_fields),
        direct=caller.direct if caller is not None else True,
    )


def read_request(
    decider: Decider,
    source: str,
    *,
    path: str | None,
    protocol: Protocol | None,
    model: str | None,
    client: str | None,
    headers: list[str],
    prefix: str | None,
) -> Facts:
    """Facts from a body (a file, or `-` for standard input) sent to a path. Raises UsageError, ClientError."""
    endpoint = _endpoint(decider, path, protocol, model=model)
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {source!r}: {error.strerror}") from None
    body = open_body(raw)
    caller = _client(decider, client)
    asked = [leaf for route in decider.table.routes for leaf in leaves(route.when)]
    return Facts(
        endpoint.protocol,
        endpoint.model if endpoint.model is not None else body.model,
        endpoint.operation,
        input_tokens=_count(endpoint.protocol, raw) if any(isinstance(leaf, TokensIn) for leaf in asked) else None,
        stream=endpoint.stream if endpoint.stream is not None else body.stream,
        tools=has_tools(endpoint.protocol, body),
        server_tools=server_tools(endpoint.protocol, body),
        thinking=thinking_enabled(endpoint.protocol, body),
        images=has_images(endpoint.protocol, body, operation=endpoint.operation),
        client=client,
        tags=dict(caller.tags) if caller is not None else NOTHING,
        headers=_headers(headers),
        prefix=prefix if prefix is not None else endpoint.prefix,
        body=_fields(body, {leaf.path for leaf in asked if isinstance(leaf, BodyField)}),
        direct=caller.direct if caller is not None else True,
    )


def remembered(table: RoutingTable, count: str | None) -> int | None:
    """The count that a session is remembered by, as `--sticky-tokens` says. Raises UsageError."""
    if count is None:
        return None
    if table.sticky is None:
        raise UsageError("--sticky-tokens: the spec does not remember sessions", hint="tokens: {sticky: 1h}")
    try:
        return parse_count(count)
    except ValueError as error:
        raise UsageError(f"--sticky-tokens: {error}") from None


def by_session(decider: Decider, facts: Facts, highest: int | None) -> tuple[Facts, tuple[str, ...]]:
    """The facts by which a request is decided whose session is remembered by `highest`, and what there is to say of
    that. The facts themselves where its own count decides."""
    sticky = decider.table.sticky
    if sticky is None or not takes_part(decider, facts):
        return facts, ()
    if highest is None:
        return facts, (f"in a session, its highest count of the last {duration(sticky)} decides (--sticky-tokens)",)
    own = "its own" if facts.input_tokens is None else f"its own {facts.input_tokens:,}"
    if by_highest(decider, facts, highest) is None:
        why = "the highest count of its session is no higher, or leads to no target"
        return facts, (f"{own} tokens decide: {why}",)
    said = f"the highest count of its session in {duration(sticky)}, {highest:,} tokens, decides instead of {own}"
    return replace(facts, input_tokens=highest), (said,)


def unix_time(at: str | None, *, now: float) -> int:
    """The time that `--at` says, in milliseconds. Raises UsageError."""
    if at is None:
        return int(now * 1000)
    try:
        return parse_moment(at)
    except ValueError as error:
        raise UsageError(f"--at: {error}") from None


def at_time(trace: Trace[Place], at: int) -> tuple[Trace[Place], tuple[tuple[str, Promotion], ...]]:
    """The trace with its targets in the order of that time, and those of them that are promoted then."""
    decision = trace.decision
    if not isinstance(decision, Decision):
        return trace, ()
    channels = {choice.channel.name: choice.channel for step in decision.steps for choice in step.choices}
    periods = {name: channel.promote for name, channel in channels.items() if channel.promote is not None}
    promoted = {name: period for name, period in periods.items() if holds(period, at)}
    if not promoted:
        return trace, ()
    steps = promoted_first(decision.steps, promoted)
    return replace(trace, decision=replace(decision, steps=steps)), tuple(promoted.items())


def _endpoint(decider: Decider, path: str | None, protocol: Protocol | None, *, model: str | None) -> Endpoint:
    if path is None:
        wanted = protocol or Protocol.MESSAGES
        if wanted is Protocol.GEMINI and model is None:
            raise UsageError("Gemini names the model in the path", hint="--path /v1beta/models/MODEL:generateContent")
        path = _PATHS.get(wanted, f"/v1beta/models/{model}:generateContent")
    elif protocol is not None:
        raise UsageError("--path says the protocol; leave --protocol out")
    if model is not None and protocol is not Protocol.GEMINI:
        raise UsageError("--request says the model; leave --model out")
    found = resolve("POST", path, prefixes=decider.prefixes)
    if not isinstance(found, Endpoint):
        raise UsageError(f"{path!r} is not the path of a request", hint="--path /v1/messages")
    return found


def _count(protocol: Protocol, raw: bytes) -> int:
    counter = TokenCounter()
    try:
        return counter.count_now(protocol, raw)
    finally:
        counter.close()


def _client(decider: Decider, name: str | None) -> Client | None:
    if name is None:
        return None
    for client in decider.table.clients:
        if client.name == name:
            return client
    known = ", ".join(client.name for client in decider.table.clients) or "none"
    raise UsageError(f"there is no client {name!r}; declared: {known}")


def _headers(texts: list[str]) -> dict[str, str]:
    pairs = [_pair(text, "--header") for text in texts]
    headers: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise UsageError(f"{option} {text!r} has no name and value", hint=f"{option} name=value")
    return name.strip(), value.strip()


def _field(text: str) -> tuple[str, object]:
    """A body field; the value is JSON, or else a text."""
    path, value = _pair(text, "--body-field")
    try:
        found: object = json.loads(value)
    except ValueError:
        return path, value
    return path, found if isinstance(found, str | int | float) else value


def _fields(body: Body, paths: set[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(paths):
        try:
            value = body.field(tuple(path.split(".")))
        except ClientError as error:
            raise UsageError(str(error)) from None
        if isinstance(value, str | int | float):
            found[path] = value
    return found
