"""The root of the spec, version ccx/v1, and its smaller sections. The JSON Schema is generated from here."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from ccx.spec.channels import Channel, ChannelSettings, Limits
from ccx.spec.conditions import Globs
from ccx.spec.groups import Budget, ClientGroup
from ccx.spec.node import Listed, Name, Node, Off, OffOrFalse, SecretSource, Short, one_or_many
from ccx.spec.routes import Failover, RequestPolicy, Route
from ccx.spec.scalars import Count, Duration, Money, Share, Size
from ccx.spec.suite import Floors, Invariant, RoutingTest

VERSION = "ccx/v1"

LISTEN_PATTERN: Final = r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$"
SHA256_PATTERN: Final = r"^[0-9a-f]{64}$"
ORIGIN_PATTERN: Final = r"^(\*|https?://[^\s/]+)$"
_HOST: Final = r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]]*)"
REDIS_PATTERN: Final = rf"^(rediss?://([^\s@]*@)?{_HOST}(:\d{{1,5}})?(/\S*)?(\?\S*)?|unix://\S+)$"
OTLP_PATTERN: Final = r"^https?://\S+$"
HOOK_PATTERN: Final = r"^https?://[^\s@?#]+$"
RISE_PATTERN: Final = r"^\+?\d+(\.\d+)?%$"

Listen = Annotated[str, StringConstraints(pattern=LISTEN_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]


class Rollback(Node):
    """After a swap, compare the new table's errors and first-byte times with the old one's; go back when worse."""

    window: Duration = 120_000
    """How long the new table is watched."""
    error_rate: Annotated[str, StringConstraints(pattern=RISE_PATTERN)] = "+5%"
    """Rise of the error rate that is too much, in points: +5% goes from 1% to 6%."""
    first_byte: Annotated[str, StringConstraints(pattern=RISE_PATTERN)] | None = None
    """Rise of the median time to the first byte that is too much: +50% is half as long again. Default: any is borne."""


class Overload(Node):
    """Shed new requests with 503 before the process collapses. What is admitted goes on, and so do the admin and health
    endpoints. Requests that only wait for an upstream are no load: what counts is how late the event loop runs, and
    memory."""

    lag: Annotated[Duration, Field(ge=10)] = 250
    """How late the event loop may run, all the time for a second and more. Default 250ms."""
    memory: Annotated[Share, Field(gt=0)] | None = None
    """Resident memory that the process may have, as a share of what its cgroup or the machine allows; of several
    workers each has its part. Default 80%."""


def _part(share: Fraction) -> Fraction:
    if not 0 < share < 1:
        raise ValueError("a canary takes some of the sessions and leaves some; write it like 10%")
    return share


class Canary(Node):
    """Try a new table on a share of the sessions before it takes all. The table that comes in says how it is tried:
    one without this takes all at once."""

    share: Annotated[Share, AfterValidator(_part)] = Fraction(1, 10)
    """Share of the sessions that the new table serves; the others stay on the present one. Default 10%."""
    lasting: Annotated[Duration, Field(alias="for", ge=1000, le=7 * 86_400_000)] = 600_000
    """How long; after it the new table takes all, unless it did worse than the present one by what `rollback` bears
    (an error rate 5 points higher, where that is not declared). Default 10m, at most 7d."""


class Server(Node):
    """The process: where it listens and what it accepts."""

    listen: Listen = "127.0.0.1:3000"
    """Address and port. Anything but loopback needs at least one client."""
    max_body: Annotated[Size, Field(ge=1024)] = 50 * 2**20
    """Largest request body, before and after decompression. Default 50MiB."""
    max_concurrency: Annotated[Count, Field(ge=1)] = 10_000
    """Requests under way at once; above it 503."""
    overload: Annotated[Overload | Off, OffOrFalse] = Overload()
    """When new requests are shed; `off` for never."""
    body_timeout: Duration = 60_000
    """Time a client has to send its body. Default 60s."""
    drain: Duration = 30_000
    """How long a stop waits for requests under way. Default 30s."""
    cors: tuple[Annotated[str, StringConstraints(pattern=ORIGIN_PATTERN)], ...] = ()
    """Origins of web pages that may call. None by default."""
    direct: bool = True
    """Let clients that may ask for `channel/model` or `channel,model`."""
    cache_size: Size = 128 * 2**20
    """Memory for the answers that routes with `cache` keep, all together; one answer may take an eighth of it, and
    never more than 8MiB. Default 128MiB."""
    rollback: Rollback | None = None
    """Go back to the last table when the new one does worse."""
    canary: Canary | None = None
    """Try a new table on a share of the sessions first."""


class Admin(Node):
    """Dashboard, management API and metrics; apart from the clients' keys."""

    key: SecretSource | None = None
    """Key of the admin endpoints. Without one they answer loopback callers only."""
    dashboard: bool = True
    """Serve the dashboard. This version has none yet."""


class HashedKey(Node):
    """A client's key, hashed: `ccx keys new` prints the key once and this."""

    sha256: Sha256
    """Lower-case hexadecimal SHA-256 of the key."""


def _key_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Client(Node):
    """Who may call."""

    key: Annotated[tuple[HashedKey, ...], Short(_key_list, one_or_many), Field(min_length=1)]
    """One hashed key, or several while rotating."""
    models: Globs | None = None
    """Models this client may ask for. Default: any."""
    limits: Limits = Limits()
    """Limits of this client."""
    budget: Annotated[tuple[Budget, ...], Listed] = ()
    """Spending limits."""
    expires: date | None = None
    """The last day on which the key works (UTC)."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Free labels, for conditions and reports."""
    direct: bool = False
    """May ask for `channel/model`, going around the routes."""
    enabled: bool = True
    """A disabled client is refused."""


class PriceTier(Node):
    """Prices in USD per million tokens above a prompt size; what is not named stays."""

    input: Money | None = None
    """Prompt tokens."""
    output: Money | None = None
    """Answer tokens."""
    cache_read: Money | None = None
    """Prompt tokens read from cache."""
    cache_write: Money | None = None
    """Prompt tokens written to cache."""


class Price(Node):
    """Prices in USD per million tokens."""

    input: Money
    """Prompt tokens."""
    output: Money
    """Answer tokens."""
    cache_read: Money | None = None
    """Prompt tokens read from cache."""
    cache_write: Money | None = None
    """Prompt tokens written to cache."""
    above: dict[str, PriceTier] = Field(default_factory=dict)
    """Prices of a request whose prompt is larger than this many tokens."""


class Model(Node):
    """What is known of a model, over the built-in catalogue."""

    context_window: Annotated[Count, Field(ge=1)] | None = None
    """Prompt and answer together, in tokens."""
    max_output_tokens: Annotated[Count, Field(ge=1)] | None = None
    """Longest answer, in tokens."""
    price: Price | None = None
    """What it costs."""
    tools: bool | None = None
    """Whether it calls tools."""
    vision: bool | None = None
    """Whether it sees images."""
    thinking: bool | None = None
    """Whether it thinks."""
    limits: Limits = Limits()
    """Limits of all requests that ask an upstream for this model, by its name there, over all channels. A target whose
    model is at its limit is passed over like a channel at its own."""


class Defaults(Node):
    """What channels and routes inherit. Resolved when compiling, never at run time."""

    channel: ChannelSettings = ChannelSettings()
    """For every channel."""
    failover: Failover = Failover()
    """For every route."""
    request: RequestPolicy = RequestPolicy()
    """For every route."""
    on_loss: Literal["allow", "warn", "reject"] | None = None
    """For every route."""


class Tokens(Node):
    """What `input_tokens` means."""

    tokenizer: Literal["o200k_base"] = "o200k_base"
    """The vocabulary that counts."""
    sticky: Annotated[Duration, Field(ge=1_000)] | None = None
    """Judge a request of a session (`x-ccx-session`, or the id that a coding agent sends) by the highest count that the
    session has had in this time, so that a conversation once routed to a model with a large window stays there after a
    compaction. Default: each request by its own count."""


class Redis(Node):
    """A Redis or Valkey server shared by several gateways."""

    url: Annotated[str, StringConstraints(pattern=REDIS_PATTERN)] | SecretSource
    """redis:// or rediss:// URL; a reference where it holds a password."""
    prefix: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "ccx"
    """Prefix of the keys."""
    on_failure: Literal["local", "closed"] = "local"
    """When it is away: `local` admits this replica's part of each limit, `closed` nothing that is limited."""
    timeout: Duration = 250
    """How long a request waits for an answer at most; four times as long for content, such as kept answers."""
    ca: str | None = None
    """Path of a PEM file of authorities to trust instead of the system's, relative to the spec; for rediss://."""


class RedisState(Node):
    """State kept in Redis."""

    redis: Redis
    """The server."""


class Logs(Node):
    """The request log."""

    format: Literal["json", "text", "none"] = "json"
    """One line for each request."""
    file: str | None = None
    """File to append to, relative to the spec. Default: standard output."""
    bodies: Literal["none", "errors", "all"] = "none"
    """Whether bodies are logged."""
    redact: tuple[str, ...] = ("authorization", "x-api-key")
    """Headers never logged."""


class Traces(Node):
    """OpenTelemetry traces."""

    otlp: Annotated[str, StringConstraints(pattern=OTLP_PATTERN)]
    """OTLP over HTTP endpoint."""


class UsageStore(Node):
    """Where usage and cost are kept."""

    store: str
    """SQLite file, relative to the spec."""
    retention: Duration = 90 * 86_400_000
    """How long. Default 90d."""


class AlertHook(Node):
    """Where alerts of budgets are posted to, as JSON. They are logged and counted in any case."""

    url: Annotated[str, StringConstraints(pattern=HOOK_PATTERN)] | SecretSource
    """http:// or https:// URL; a reference where it holds a token, as those of chats do."""


class Telemetry(Node):
    """Logs, metrics, traces and usage."""

    logs: Logs = Logs()
    """The request log."""
    metrics: Literal["prometheus", "none"] = "prometheus"
    """Metrics at /metrics."""
    traces: Traces | None = None
    """OpenTelemetry."""
    usage: UsageStore | None = None
    """Usage and cost."""
    alerts: AlertHook | None = None
    """Alerts of budgets."""


class Lint(Node):
    """The linter."""

    rules: dict[str, Literal["error", "warning", "info", "off"]] = Field(default_factory=dict)
    """By rule code: {CCX203: error, CCX310: off}."""


class Spec(Node):
    """A ccx gateway: channels, clients, routes."""

    version: Literal["ccx/v1"]
    """Version of the spec language."""
    include: tuple[str, ...] = ()
    """More files, relative to this one, in order; globs allowed."""
    server: Server = Server()
    """The process."""
    admin: Admin = Admin()
    """Management endpoints."""
    clients: dict[Name, Client] = Field(default_factory=dict)
    """Who may call. Without any, loopback callers only."""
    groups: dict[Name, ClientGroup] = Field(default_factory=dict)
    """Clients that share limits and budgets."""
    channels: Annotated[dict[Name, Channel], Field(min_length=1)]
    """Upstreams by name."""
    models: dict[str, Model] = Field(default_factory=dict)
    """What is known of models, over the built-in catalogue."""
    routes: tuple[Route, ...] = ()
    """Rules; the first match wins. None: one route to all channels in the order written."""
    defaults: Defaults = Defaults()
    """What channels and routes inherit."""
    tokens: Tokens = Tokens()
    """What input_tokens means."""
    state: Literal["memory"] | RedisState = "memory"
    """Where counters live."""
    telemetry: Telemetry = Telemetry()
    """What is seen of requests."""
    lint: Lint = Lint()
    """Severity of lint rules."""
    tests: tuple[RoutingTest, ...] = ()
    """Routing unit tests and drills; `ccx test` runs them."""
    invariants: tuple[Invariant, ...] = ()
    """What holds for every request there could be; `ccx test` proves it."""
    coverage: Floors = Floors()
    """Least coverage of the tests."""
