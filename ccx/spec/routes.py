"""`routes:` — ordered, first match wins: conditions, targets in failover order, and how a request is treated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from pydantic.json_schema import JsonSchemaValue

from ccx.spec.channels import Weight
from ccx.spec.conditions import When
from ccx.spec.node import NAME_PATTERN, Name, Node, Off, OffOrFalse, Short
from ccx.spec.scalars import Count, Duration, Share

FailureName = Literal[
    "connect",
    "timeout",
    "rate_limit",
    "overloaded",
    "server_error",
    "auth",
    "quota",
    "model_not_found",
    "context_window",
    "content_filter",
    "bad_request",
]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _named(value: Any) -> Any:
    return {"channel": value} if isinstance(value, str) else value


def _or_name(schema: JsonSchemaValue) -> JsonSchemaValue:
    name = {"type": "string", "pattern": NAME_PATTERN, "description": "Name of a channel: short for {channel: name}."}
    return {"anyOf": [name, *schema.get("anyOf", [schema])]}


class Target(Node):
    """A channel, and the model to ask it for."""

    channel: Name
    """Name of the channel."""
    model: ModelName | None = None
    """Model to ask for instead of the client's; the channel's own `models` still maps it."""
    weight: Weight = 1
    """Share within a balanced group."""


ShortTarget = Annotated[Target, Short(_named, _or_name)]


class Group(Node):
    """Targets that share the load; together they are one step of the failover order."""

    balance: Literal["priority", "round_robin", "weighted", "least_connections", "least_latency", "least_cost"]
    """How one is chosen."""
    targets: Annotated[tuple[ShortTarget, ...], Field(min_length=1)]
    """The members."""
    affinity: Literal["session", "client", "prefix", "none"] = "none"
    """What keeps a conversation on one member."""
    max_ejection: Share | None = None
    """Share of the members that may be left alone at once because they fail; beyond it those that would come back first
    are asked all the same. Keys that a provider refused do not count. Default 100%."""


Step = Annotated[Group | Target, Short(_named, _or_name)]


class Backoff(Node):
    """Waiting before the same target is asked again."""

    initial: Duration | None = None
    """First wait. Default 200ms."""
    max: Duration | None = None
    """Longest wait. Default 5s."""
    jitter: Literal["full", "none"] | None = None
    """`full` spreads each wait over its whole length. Default full."""


class Hedge(Node):
    """Ask a second target beside a slow first one; the first answer is taken, the other call given up. Both may be
    charged for by their providers, and both may act: for requests that may be made twice. Only for answers in events,
    and for embeddings: another answer has no early first byte to be late with."""

    after: Annotated[Duration, Field(ge=1)]
    """How long the first may be silent."""
    share: Share | None = None
    """Share of the route's requests of the last ten seconds that may have a second call; one in ten seconds always may.
    Default 5%."""


class Failover(Node):
    """What makes ccx try again, and how often. Never after the first byte to the client, unless `midstream` says so."""

    on: tuple[FailureName, ...] | None = None
    """Classes of failure. Default: all but content_filter and bad_request."""
    attempts: Annotated[int, Field(ge=1, le=32)] | None = None
    """Attempts in all, the first included. Default 3."""
    deadline: Duration | None = None
    """From the request to its first byte, all attempts together. Default 120s."""
    backoff: Backoff = Backoff()
    """Waits between attempts on the same target."""
    retry_budget: Annotated[Share | Off | None, OffOrFalse] = None
    """How much of a channel's requests of the last ten seconds may be asked of the same channel again, with its other
    keys or after a wait; 3 a second always may. Beyond it the failure stands, so that retries never pile up on what is
    in trouble. Another channel may always be asked. `off` for no bound. Default 20%."""
    hedge: Annotated[Hedge | Off | None, OffOrFalse] = None
    """Ask a second target beside a slow first one. Default off."""
    midstream: Literal["error", "continue"] | None = None
    """What becomes of a stream that breaks off when the client has had some of it. `error`: it ends in the protocol's
    own error. `continue`: if it is plain text so far (256 KiB at most), and the failure is one of `on`, the next
    attempt is asked to go on where it stopped, and the client gets one answer of both; `deadline` counts from the
    break. Another model, or another run of the same, writes the rest: not for answers that must be of one piece.
    Default error."""


class Cap(Node):
    """Upper bounds put on a request."""

    max_output_tokens: Annotated[Count, Field(ge=1)] | None = None
    """The answer's length in tokens, by whatever name the protocol has for it."""


class SystemPrompt(Node):
    """What is done to the system prompt."""

    prefix: str | None = None
    """Text put before it."""
    replace: str | None = None
    """Text put in its place."""


class RequestPolicy(Node):
    """Changes to the request body: cap, default (only if absent), set, drop. Top-level fields of the protocol."""

    cap: Cap = Cap()
    """Upper bounds."""
    default: dict[str, Any] = Field(default_factory=dict)
    """Fields given when the client gave none."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Fields given whatever the client gave."""
    drop: tuple[str, ...] = ()
    """Fields taken away."""
    system: SystemPrompt = SystemPrompt()
    """System prompt prefix or replacement."""


class Cache(Node):
    """Exact cache of answers, opt-in. Equal requests that are under way at once share one call upstream."""

    ttl: Annotated[Duration, Field(ge=1)]
    """How long an answer is good."""
    scope: Literal["client", "shared"] = "client"
    """Whose answers a client may get: its own, or those of every client of the route."""
    when: Literal["repeatable", "any"] = "repeatable"
    """`repeatable`: only requests that ask for the same answer each time, by `temperature: 0` or a `seed`, and give the
    upstream no tools to run; embeddings always. `any`: all others too. Never kept are errors, refusals, answers cut
    short, those of a fallback, and conversations that the provider stores."""


class Deny(Node):
    """Refuse the request."""

    status: Annotated[int, Field(ge=400, le=499)] = 403
    """HTTP status."""
    message: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    """What the client is told."""


class Route(Node):
    """One rule: if `when` holds, the request goes `to` these targets (or is denied)."""

    name: Name
    """Identity of the route."""
    when: When = When()
    """Conditions; none means always."""
    to: Annotated[tuple[Step, ...], Field(min_length=1)] | None = None
    """Targets in failover order."""
    deny: Deny | None = None
    """Refuse instead."""
    failover: Failover = Failover()
    """What makes ccx try again."""
    request: RequestPolicy = RequestPolicy()
    """Changes to the request."""
    on_loss: Literal["allow", "warn", "reject"] | None = None
    """What to do when a conversion between protocols would lose something. Default warn."""
    cache: Cache | None = None
    """Answer again from memory."""
    owner: str | None = None
    """Who answers for this route; for review only."""
    description: str | None = None
    """What it is for; for review only."""
