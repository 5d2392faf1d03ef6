"""The routing table: what a spec compiles to, what is served, compared and addressed by its digest.

Law: deeply immutable; free of secrets (references only) and of anything the spec does not mean: comments, key order,
descriptions. Equal meaning gives equal bytes. Times are milliseconds, sizes bytes, prices USD. It knows neither the
spec's models nor any I/O, and it does not decide: `decide` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from ccx.protocols.names import Protocol
from ccx.routing.conditions import ALWAYS, Condition
from ccx.routing.globs import Globs
from ccx.secrets import SecretRef

AuthScheme = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "none"]
Balance = Literal["priority", "round_robin", "weighted", "least_connections", "least_latency", "least_cost"]
Affinity = Literal["session", "client", "prefix", "none"]
KeyStrategy = Literal["round_robin", "least_used", "in_order"]
OnLoss = Literal["allow", "warn", "reject"]
Pairs = tuple[tuple[str, str], ...]
ALL = Fraction(1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates are (amount, seconds)."""

    requests: tuple[tuple[int, int], ...] = ()
    input_tokens: tuple[tuple[int, int], ...] = ()
    output_tokens: tuple[tuple[int, int], ...] = ()
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars per period. `alerts` are shares of it, sorted."""

    usd: Decimal
    per: Literal["day", "month", "total"]
    alerts: tuple[Fraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """A declared client. `keys` are lower-case hexadecimal SHA-256 of its keys."""

    name: str
    keys: tuple[str, ...]
    models: Globs | None = None
    limits: Limits = Limits()
    budgets: tuple[Budget, ...] = ()
    expires: date | None = None
    tags: Pairs = ()
    direct: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Clients that share limits and budgets. `when` asks for nothing but who calls."""

    name: str
    when: Condition = ALWAYS
    limits: Limits = Limits()
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, slots=True)
class Surface:
    """One protocol that a channel speaks, and where. `path` holds the version and no trailing slash, such as `/v1`.

    `headers` are always sent, `default_headers` when the client sent none of that name.
    """

    protocol: Protocol
    scheme: Literal["http", "https", "demo"]
    host: str
    port: int
    path: str
    auth: AuthScheme
    headers: Pairs = ()
    default_headers: Pairs = ()
    count_tokens: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a pool, by reference."""

    secret: SecretRef
    weight: int = 1
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Milliseconds."""

    connect: int = 5_000
    first_byte: int = 60_000
    idle: int = 120_000
    total: int = 900_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """Milliseconds and counts."""

    window: int
    min_requests: int
    error_rate: Fraction
    consecutive: int
    open: int
    max_open: int
    probes: int


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Milliseconds."""

    rate_limit: int = 5_000
    auth: int = 60_000
    quota: int = 300_000
    longest: int = 3_600_000


@dataclass(frozen=True, slots=True)
class Probe:
    """Milliseconds. `model` is what `generate` asks for."""

    every: int
    ask: Literal["models", "generate"] = "models"
    model: str | None = None
    timeout: int = 10_000
    always: bool = False


@dataclass(frozen=True, slots=True)
class Queue:
    """So many requests wait at once, each for so many milliseconds."""

    size: int
    wait: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """When a channel goes first, as unix time in milliseconds: `start` None is since ever."""

    until: int
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One upstream. `breaker` None is off.

    `models` None allows any but those that match `not_models`; a rename of None keeps the name.
    """

    name: str
    dialect: str
    surfaces: tuple[Surface, ...]
    provider: str | None = None
    keys: tuple[Key, ...] = ()
    key_strategy: KeyStrategy = "round_robin"
    models: tuple[tuple[str, str | None], ...] | None = None
    not_models: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    breaker: Breaker | None = None
    set_headers: Pairs = ()
    remove_headers: tuple[str, ...] = ()
    proxy: str | SecretRef | None = None
    ca: str | None = None
    http2: bool = False
    tags: Pairs = ()
    prefix: str | None = None
    enabled: bool = True
    cooldown: Cooldown = Cooldown()
    probe: Probe | None = None
    queue: Queue | None = None
    promote: Promotion | None = None

    def surface(self, protocol: Protocol) -> Surface | None:
        """Where the channel speaks this protocol, if it does."""
        for surface in self.surfaces:
            if surface.protocol is protocol:
                return surface
        return None


@dataclass(frozen=True, slots=True)
class Target:
    """A channel by name, and the model to ask it for instead of the client's."""

    channel: str
    model: str | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of the failover order: a single target, or several that share the load."""

    targets: tuple[Target, ...]
    balance: Balance = "priority"
    affinity: Affinity = "none"
    max_ejection: Fraction = ALL


@dataclass(frozen=True, slots=True)
class Hedge:
    """Milliseconds of silence until a second target is asked, and the share of requests where it may be."""

    after: int
    share: Fraction = Fraction(1, 20)


@dataclass(frozen=True, slots=True)
class Failover:
    """`on` are classes of failure; times in milliseconds; `attempts` counts the first. `retry_budget` None: no
    bound. `midstream`: what becomes of a stream that breaks off half told."""

    on: frozenset[str] = frozenset(
        {
            "auth",
            "connect",
            "context_window",
            "model_not_found",
            "overloaded",
            "quota",
            "rate_limit",
            "server_error",
            "timeout",
        },
    )
    attempts: int = 3
    deadline: int = 120_000
    backoff_initial: int = 200
    backoff_max: int = 5_000
    jitter: bool = True
    retry_budget: Fraction | None = Fraction(1, 5)
    hedge: Hedge | None = None
    midstream: Literal["error", "continue"] = "error"


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """Changes to a request's body. Values are canonical JSON text by field name, sorted."""

    max_output_tokens: int | None = None
    default: Pairs = ()
    set: Pairs = ()
    drop: tuple[str, ...] = ()
    system_prefix: str | None = None
    system_replace: str | None = None


NO_POLICY = RequestPolicy()
"""What changes nothing. The compiler uses this very one."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuse with an HTTP status and a message."""

    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Cache:
    """Exact cache: time to live in milliseconds. `when` says which answers are kept."""

    ttl: int
    scope: Literal["client", "shared"]
    when: Literal["repeatable", "any"] = "repeatable"


@dataclass(frozen=True, slots=True)
class Route:
    """One rule. A denying route has no tiers."""

    name: str
    when: Condition = ALWAYS
    tiers: tuple[Tier, ...] = ()
    deny: Deny | None = None
    failover: Failover = Failover()
    policy: RequestPolicy = NO_POLICY
    on_loss: OnLoss = "warn"
    cache: Cache | None = None


DIRECT = Route("@direct")


@dataclass(frozen=True, slots=True)
class PriceTier:
    """USD per million tokens above `tokens`; None keeps the base price."""

    tokens: int
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the spec says of a model, over the catalogue. None leaves the catalogue's word."""

    name: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    above: tuple[PriceTier, ...] = ()
    tools: bool | None = None
    vision: bool | None = None
    thinking: bool | None = None
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Overload:
    """When new requests are shed: an event loop that is late by so many milliseconds, for long; so much of the
    memory."""

    lag: int = 250
    memory: Fraction = Fraction(4, 5)


@dataclass(frozen=True, slots=True)
class Server:
    """Sizes in bytes, times in milliseconds. `overload` None: nothing is shed but above `max_concurrency`."""

    host: str = "127.0.0.1"
    port: int = 3000
    max_body: int = 50 * 2**20
    max_concurrency: int = 10_000
    body_timeout: int = 60_000
    drain: int = 30_000
    cors: tuple[str, ...] = ()
    direct: bool = True
    cache_size: int = 128 * 2**20
    rollback_window: int | None = None
    rollback_error_rate: str | None = None
    rollback_first_byte: Fraction | None = None
    overload: Overload | None = Overload()
    canary_share: Fraction | None = None
    canary_for: int | None = None


@dataclass(frozen=True, slots=True)
class Admin:
    """Management endpoints."""

    key: SecretRef | None = None
    dashboard: bool = True


@dataclass(frozen=True, slots=True)
class Redis:
    """Shared state."""

    url: str | SecretRef
    prefix: str
    on_failure: Literal["local", "closed"]
    timeout: int = 250
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Logs, metrics, traces, usage."""

    log_format: Literal["json", "text", "none"] = "json"
    log_file: str | None = None
    log_bodies: Literal["none", "errors", "all"] = "none"
    redact: tuple[str, ...] = ("authorization", "x-api-key")
    metrics: bool = True
    otlp: str | None = None
    usage_store: str | None = None
    usage_retention: int | None = None
    alerts: str | SecretRef | None = None


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """A compiled spec. Channels, clients, groups and models are sorted by name; routes are in order of decision.

    `direct` is the pattern of the routes of requests that name a channel themselves: it has what every route inherits,
    and neither its name nor its targets mean anything. Paths of secret files, certificates and logs are as written in
    the spec, relative to its folder. `sticky` is for how many milliseconds a session is judged by its highest count of
    tokens; None is off.
    """

    version: str
    channels: tuple[Channel, ...]
    routes: tuple[Route, ...]
    clients: tuple[Client, ...] = ()
    models: tuple[ModelInfo, ...] = ()
    server: Server = Server()
    admin: Admin = Admin()
    tokenizer: str = "o200k_base"
    redis: Redis | None = None
    telemetry: Telemetry = Telemetry()
    direct: Route = DIRECT
    groups: tuple[Group, ...] = ()
    sticky: int | None = None

    def channel(self, name: str) -> Channel:
        """The channel of this name. Raises KeyError; a compiled table never dangles."""
        for channel in self.channels:
            if channel.name == name:
                return channel
        raise KeyError(name)
