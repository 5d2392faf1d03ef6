"""How an exchange reads in the log: as a JSON object or as a line for a person. Pure.

Law: one exchange is one line, whatever a client or an upstream put into it. Strings from outside are clipped, lone
surrogates and control characters cannot break the line or drive the terminal, a key that does not look like a
fingerprint is not shown, and neither is the value of a header or field that the spec names under `redact`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType, field, json

from ccx.telemetry.exchange import OK, Asked, Attempt, Exchange, Seen

MAX_TEXT: Final = 256
"""Longer strings from outside (ids, model names) are clipped to this many characters."""

MAX_NUMBER: Final = 2**53
"""Numbers from here on are not exact in every reader of JSON."""

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{8}")
_REDACTED: Final = "redacted"


class AttemptLine(Struct, gc=False):
    """One element of `attempts`."""

    channel: str
    protocol: str
    model: str
    key: str | None
    outcome: str
    status: int | None
    ms: float


class TokensLine(Struct, gc=False):
    """As the upstream reported them; `counted` is ccx's own count of the input. null is unknown, not zero."""

    input: int | None = field(name="in")
    output: int | None = field(name="out")
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None
    counted: int | None


class LatencyLine(Struct, gc=False):
    """Milliseconds since arrival, with microseconds."""

    first_byte_ms: float | None
    total_ms: float


class BytesLine(Struct, gc=False):
    """Bytes of the bodies on the client's side."""

    received: int = field(name="in")
    sent: int = field(name="out")


class FactsLine(Struct, gc=False, omit_defaults=True):
    """What the decision was made of, beyond the line's other fields. What no condition asked for was not read and is
    left out. A header or field that was looked for and is not there is null; one whose value is redacted or too long is
    left out. `tokens_at_most` stands in for a count that the decision did not need; null means nothing to count."""

    tokens_at_most: int | UnsetType | None = UNSET
    tools: bool | UnsetType = UNSET
    server_tools: list[str] | UnsetType = UNSET
    thinking: bool | UnsetType = UNSET
    images: bool | UnsetType = UNSET
    headers: dict[str, str | None] | UnsetType = UNSET
    body: dict[str, str | float | None] | UnsetType = UNSET


class ExchangeLine(Struct, gc=False):
    """The JSON line of one request. Fields are never renamed or left out; what is unknown is null.

    ts            RFC 3339 with milliseconds, UTC: when the request arrived
    request_id    as in the response header
    client, tags  the declared client and its tags; null and {} for a loopback caller
    protocol, operation, prefix, model     what was asked, where
    route, channel, key, model_sent        what was decided; key is the fingerprint of the final attempt's key
    status        what the client got; 499 if it went away
    error         the neutral kind of error, null on success
    attempts      every call to an upstream, in order: channel, protocol, model, key, outcome, status, ms
    stream, finish, losses                 of the answer
    tokens        in, out, cache_read, cache_write, reasoning, counted
    latency       first_byte_ms, total_ms
    bytes         in, out
    digest        of the routing table that served the request
    table         active or canary while a new table is tried on a share of the sessions; null while one serves all
    continued     how often another call went on with an answer whose stream had broken off: its tokens are those of all
                  these calls together, for one that broke before it told them an estimate
    hedged        won or lost, if a second target was asked beside a slow first one: whether the second was quicker
    limited_by    the limit that refused it, if one did
    queued_ms     how long it waited in the queue of a channel at its limit; null if it did not
    shed          concurrency, lag or memory, if it was refused to protect the process
    cache         hit, joined (another's request under way), miss or bypass on a route with a cache; null on others. The
                  tokens of a hit and of who joined are those of the original: nothing was spent on them again
    sticky_tokens the session's highest count of late, if that decided instead of the request's own (`tokens.sticky`)
    facts         what the table's conditions asked for besides: see `FactsLine`; null if it never came to a decision
    """

    ts: str
    request_id: str
    client: str | None
    tags: dict[str, str]
    protocol: str
    operation: str
    prefix: str | None
    model: str | None
    model_sent: str | None
    route: str | None
    channel: str | None
    key: str | None
    status: int
    error: str | None
    attempts: list[AttemptLine]
    stream: bool
    tokens: TokensLine
    latency: LatencyLine
    bytes: BytesLine
    digest: str
    table: str | None
    finish: str | None
    losses: tuple[str, ...]
    continued: int
    hedged: str | None
    limited_by: str | None
    queued_ms: float | None
    shed: str | None
    cache: str | None
    sticky_tokens: int | None
    facts: FactsLine | None


_encode: Final = json.Encoder().encode


class Clock:
    """Renders unix seconds as RFC 3339 in UTC. Keeps the text of the last second, which most lines share."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, at: float) -> str:
        milliseconds = int(at * 1000 + 0.5)
        second, milliseconds = divmod(milliseconds, 1000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{milliseconds:03d}Z"


def clip(text: str) -> str:
    """At most `MAX_TEXT` characters; a clipped text ends in an ellipsis."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def fingerprint_only(key: str | None) -> str | None:
    """The key's fingerprint, or a placeholder if something else was passed by mistake."""
    return key if key is None or _FINGERPRINT.fullmatch(key) else _REDACTED


def json_line(exchange: Exchange, clock: Clock, *, redact: Collection[str] = ()) -> bytes:
    """The exchange as an `ExchangeLine` in JSON, with its line end. `redact` are names of headers and body fields."""
    line = _structure(exchange, clock, redact)
    try:
        return _encode(line) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate in a name somebody else chose
        return _encode(_encodable(line)) + b"\n"


def _structure(x: Exchange, clock: Clock, redact: Collection[str]) -> ExchangeLine:
    attempts = [_attempt(attempt) for attempt in x.attempts]
    final = attempts[-1] if attempts else None
    first = x.first_byte_seconds
    asked = x.model_asked
    return ExchangeLine(
        clock(x.at),
        clip(x.request_id),
        x.client,
        dict(x.tags),
        x.protocol,
        x.operation,
        None if x.prefix is None else clip(x.prefix),
        None if asked is None else clip(asked),
        None if final is None else final.model,
        x.route,
        None if final is None else final.channel,
        None if final is None else final.key,
        x.status,
        x.error_kind,
        attempts,
        x.stream,
        TokensLine(
            x.input_tokens,
            x.output_tokens,
            x.cache_read_tokens,
            x.cache_write_tokens,
            x.reasoning_tokens,
            x.counted_tokens,
        ),
        LatencyLine(None if first is None else round(first * 1000, 3), round(x.total_seconds * 1000, 3)),
        BytesLine(x.bytes_in, x.bytes_out),
        x.digest,
        x.table,
        None if x.finish is None else clip(x.finish),
        x.losses,
        x.continued if x.continuations else 0,
        x.hedged,
        x.limited_by,
        None if x.queued_seconds is None else round(x.queued_seconds * 1000, 3),
        x.shed,
        x.cache,
        x.sticky_tokens,
        None if x.seen is None or x.asked is None else _facts(x.seen, x.asked, x.counted_tokens, redact),
    )


def _facts(seen: Seen, asked: Asked, counted: int | None, redact: Collection[str]) -> FactsLine:
    line, axes = FactsLine(), asked.axes
    if not axes:
        return line
    if counted is None and "input_tokens" in axes:
        bound = seen.tokens_at_most
        if bound is None or bound < MAX_NUMBER:
            line.tokens_at_most = bound
    if "tools" in axes:
        line.tools = seen.tools
    if "server_tools" in axes:
        line.server_tools = [clip(name) for name in sorted(seen.server_tools)]
    if "thinking" in axes:
        line.thinking = seen.thinking
    if "images" in axes:
        line.images = seen.images
    if asked.headers:
        found = ((name, seen.headers.get(name)) for name in sorted(asked.headers) if name not in redact)
        line.headers = {name: value for name, value in found if value is None or len(value) <= MAX_TEXT}
    if asked.fields:
        line.body = _fields(seen.body, asked.fields, redact)
    return line


def _fields(
    body: Mapping[str, object], paths: Collection[str], redact: Collection[str]
) -> dict[str, str | float | None]:
    """The values that a line can hold as they are."""
    line: dict[str, str | float | None] = {}
    for path in sorted(paths):
        if path.lower() in redact:
            continue
        match body.get(path):
            case None:
                line[path] = None
            case str() as text if len(text) <= MAX_TEXT:
                line[path] = text
            case int() | float() as number if -MAX_NUMBER < number < MAX_NUMBER:
                line[path] = number
            case _:
                continue
    return line


def _attempt(a: Attempt) -> AttemptLine:
    return AttemptLine(
        a.channel,
        a.protocol,
        clip(a.model),
        fingerprint_only(a.key),
        a.outcome,
        a.status,
        round(a.seconds * 1000, 3),
    )


def _encodable(value: object) -> object:
    """The same tree with everything that UTF-8 cannot hold replaced."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case Struct():
            names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
            items = ((wire, getattr(value, name)) for name, wire in names)
            return {wire: _encodable(item) for wire, item in items if item is not UNSET}
        case Mapping():
            return {_encodable(name): _encodable(item) for name, item in value.items()}
        case list() | tuple():
            return [_encodable(item) for item in value]
        case _:
            return value


def printable(text: str) -> str:
    """The text with everything that is not a visible character or a space escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_DIM, _RED, _YELLOW, _GREEN, _RESET = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"


def text_line(exchange: Exchange, clock: Clock, *, colour: bool) -> bytes:
    """The exchange as one aligned line for a terminal, with its line end."""
    x = exchange
    when = clock(x.at)[11:-1]
    status = str(x.status)
    if colour:
        when = f"{_DIM}{when}{_RESET}"
        paint = _GREEN if x.status < 400 else _YELLOW if x.status < 500 else _RED
        status = f"{paint}{status}{_RESET}"
    first = "" if x.first_byte_seconds is None else f" first {_seconds(x.first_byte_seconds)}"
    asked = "-" if x.model_asked is None else printable(clip(x.model_asked))
    where = "-" if not x.attempts else f"{x.channel}/{printable(clip(x.model_sent or ''))}"
    line = (
        f"{when} {status} {x.protocol:<10} {asked:<28} → {where:<40} {_seconds(x.total_seconds):>7}{first}"
        f"  {_count(x.input_tokens)}→{_count(x.output_tokens)} tok"
    )
    details = [
        "" if x.operation == "generate" else printable(clip(x.operation)),
        "" if x.route is None else f"route {x.route}",
        "" if x.client is None else f"client {x.client}",
        "" if x.cache is None else f"cache {x.cache}",
        "" if x.sticky_tokens is None else f"sticky {x.sticky_tokens}",
        f"continued {x.continued}" if x.continued else "",
        "" if x.error_kind is None else f"error {x.error_kind}",
        ", ".join(f"{a.channel}: {a.outcome}" for a in x.attempts if a.outcome != OK),
    ]
    tail = "  ".join(printable(detail) for detail in details if detail)
    return f"{line}  {tail}".rstrip().encode("utf-8", "replace") + b"\n"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:.2f}s"


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)
