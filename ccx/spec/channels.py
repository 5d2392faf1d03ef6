"""`channels:` — upstreams: where they are, what they speak, which keys they take and how far they are trusted."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints
from pydantic.json_schema import JsonSchemaValue

from ccx.spec.conditions import Glob, HeaderName, ProtocolName
from ccx.spec.node import Listed, Name, Node, Off, OffOrFalse, SecretSource, Short
from ccx.spec.scalars import Count, Duration, Moment, Rate, Share

Weight = Annotated[int, Field(ge=0, le=1_000_000)]
URL_PATTERN: Final = r"^(https?://[^\s@]+|demo:)$"
PROXY_PATTERN: Final = r"^(https?|socks5h?)://[^\s@]+$"
Url = Annotated[str, StringConstraints(pattern=URL_PATTERN)]


class Limits(Node):
    """How much may pass. Each is optional; several windows of one kind are a list."""

    requests: Annotated[tuple[Rate, ...], Listed] = ()
    """Requests per time: 600/min."""
    input_tokens: Annotated[tuple[Rate, ...], Listed] = ()
    """Prompt tokens per time: 2M/min."""
    output_tokens: Annotated[tuple[Rate, ...], Listed] = ()
    """Answer tokens per time."""
    concurrency: Annotated[Count, Field(ge=1)] | None = None
    """Requests under way at once."""


class Key(SecretSource):
    """One key of a channel's pool: a reference to a secret, never the secret."""

    weight: Weight = 1
    """Share of requests relative to the pool's other keys."""
    limits: Limits = Limits()
    """Limits of this key alone."""
    enabled: bool = True
    """A disabled key is kept in the spec and not used."""


class ChannelTimeouts(Node):
    """Time limits of one attempt."""

    connect: Duration | None = None
    """Until the connection stands. Default 5s."""
    first_byte: Duration | None = None
    """From the request until the head of the reply, and until the first meaningful event of a stream. Default 60s."""
    idle: Duration | None = None
    """Between two pieces of a reply. Default 120s."""
    total: Duration | None = None
    """The whole attempt. Default 15m."""


class Breaker(Node):
    """When a channel that keeps failing is left alone, and for how long."""

    window: Duration = 30_000
    """Length of the sliding window."""
    min_requests: Annotated[int, Field(ge=1)] = 10
    """Below this many requests in the window the error rate says nothing."""
    error_rate: Share | None = None
    """Share of failures in the window that opens the breaker. Default 50%."""
    consecutive: Annotated[int, Field(ge=1)] = 5
    """Failures in a row that open it."""
    open: Duration = 30_000
    """How long it first stays open; doubled each time."""
    max_open: Duration = 600_000
    """The longest it stays open."""
    probes: Annotated[int, Field(ge=1)] = 1
    """Requests let through to test a half-open breaker."""


class Cooldown(Node):
    """How long a key is left alone that the provider has refused. What the provider says itself comes first: a
    `retry-after`, the reset of a limit. A key that goes on being refused is left alone for twice as long each time."""

    rate_limit: Annotated[Duration, Field(ge=1)] | None = None
    """After a rate limit. Default 5s."""
    auth: Annotated[Duration, Field(ge=1)] | None = None
    """After a key was not accepted. Default 1m."""
    quota: Annotated[Duration, Field(ge=1)] | None = None
    """After a quota or a balance was used up. Default 5m."""
    longest: Annotated[Duration, Field(ge=1)] | None = None
    """The longest that a key is left alone, also when the provider asks for more. Default 1h."""


class Probe(Node):
    """Ask a channel now and then whether it answers, apart from clients' requests. An answer lets requests through to a
    target that was left alone; it proves no more than that."""

    every: Annotated[Duration, Field(ge=1_000)] = 60_000
    """Time between two probes, give or take a tenth."""
    ask: Literal["models", "generate"] = "models"
    """`models`: its list of models, which costs nothing. `generate`: the shortest of answers, which
    costs a little; images are asked for their list of models all the same."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """Model that `generate` asks for, by its name upstream. Needed there."""
    timeout: Annotated[Duration, Field(ge=100)] = 10_000
    """How long the answer may take."""
    always: bool = False
    """Probe also while nothing is known against the channel."""


class Queue(Node):
    """Let requests wait for a channel that is at a limit, of its own or of all its keys. A request waits only when no
    target of its route can serve it now; the turns go round between clients, and within one by arrival."""

    size: Annotated[Count, Field(ge=1, le=100_000)] = 100
    """Requests that wait at once, in each process; one more is refused with 429."""
    wait: Annotated[Duration, Field(ge=1)] = 10_000
    """The longest that a request waits, within the route's `failover.deadline`; after it 429."""


class HeaderEdits(Node):
    """Changes to the request headers sent upstream."""

    set: dict[HeaderName, str] = Field(default_factory=dict)
    """Headers to set, replacing what the client sent. Never a key: those belong to `keys`."""
    remove: tuple[HeaderName, ...] = ()
    """Headers not to send."""


class Tls(Node):
    """How the upstream's certificate is checked. It is always checked."""

    ca: str | None = None
    """Path of a PEM file of authorities to trust instead of the system's, relative to the spec."""


def _keys(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _or_one_key(schema: JsonSchemaValue) -> JsonSchemaValue:
    pool, none = schema["anyOf"]
    return {**schema, "anyOf": [pool["items"], pool, none]}


Keys = Annotated[
    Annotated[tuple[Key, ...], Field(min_length=1)] | Literal["none"],
    Short(_keys, _or_one_key),
]


class ChannelSettings(Node):
    """What a channel and `defaults.channel` share."""

    timeouts: ChannelTimeouts = ChannelTimeouts()
    """Time limits of one attempt."""
    limits: Limits = Limits()
    """Limits of the channel."""
    breaker: Annotated[Breaker | Off | None, OffOrFalse] = None
    """Circuit breaker; `off` for none."""
    cooldown: Cooldown = Cooldown()
    """How long a refused key is left alone."""
    probe: Annotated[Probe | Off | None, OffOrFalse] = None
    """Active probes. Default off."""
    queue: Annotated[Queue | Off | None, OffOrFalse] = None
    """Waiting for a channel at its limit. Default off: it is passed over, and with no target left the answer is 429."""
    headers: HeaderEdits = HeaderEdits()
    """Changes to the request headers."""
    proxy: Annotated[str, StringConstraints(pattern=PROXY_PATTERN)] | SecretSource | None = None
    """Outbound proxy: http, https or socks5 URL; a reference where it holds a password."""
    tls: Tls = Tls()
    """Certificate checks."""
    http2: bool | None = None
    """Speak HTTP/2 to the upstream. Default false."""
    key_strategy: Literal["round_robin", "least_used", "in_order"] | None = None
    """How the next key of the pool is chosen. Default round_robin."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Free labels such as region: eu."""


class Promotion(Node):
    """A time in which a channel goes first wherever it is a target, before all steps of a route, as if an operator had
    promoted it. It begins and ends by itself; an operator's order for the channel outranks it."""

    from_: Annotated[Moment | None, Field(alias="from")] = None
    """When it begins: 2026-12-01T00:00Z. Default: at once."""
    until: Moment
    """When it ends."""


class Channel(ChannelSettings):
    """One upstream."""

    provider: Name | None = None
    """A preset: protocols, address and authentication of a known provider (`ccx providers`)."""
    protocol: Annotated[tuple[ProtocolName, ...], Listed, Field(min_length=1)] | None = None
    """What the upstream speaks. Default: all that the provider speaks."""
    base_url: Url | None = None
    """Address of the upstream. A version such as /v1 is added only where none is written."""
    auth: Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "none"] | None = None
    """Header that carries the key. Default: the provider's, else that of the protocol."""
    keys: Keys | None = None
    """The pool of keys: a reference, a list of them, or `none`."""
    models: dict[Glob, str | None] | Annotated[tuple[Glob, ...], Field(min_length=1)] | None = None
    """Models it may be asked for; a value renames the model upstream, null keeps the name. Default: any."""
    promote: Promotion | None = None
    """A time in which it goes first wherever it is a target."""
    prefix: Name | None = None
    """Serve this channel alone under `/{prefix}/v1/...`."""
    enabled: bool = True
    """A disabled channel is kept in the spec and skipped."""
