"""One request and what became of it: the record that every telemetry sink receives.

Law: an `Exchange` holds names, numbers and fingerprints, never a key. Of the headers and the body it knows, beyond the
model's name, only what a condition of the table asked for: `seen` is what the decision was made of. The relay fills it
while it owns the request and gives it away with `Telemetry.emit`: from then on nobody changes it. It is not a frozen
dataclass only because building one of this size would cost more than everything else telemetry does while the client
waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

OK: Final = "ok"
OUTPACED: Final = "outpaced"
"""The outcome of an attempt that was given up because another, made beside it, answered first."""
CLIENT_GONE: Final = 499
"""The status of an exchange whose client went away before the answer was whole (nginx's convention)."""

DRAINED: Final = "drained"
"""The kind of error of an exchange that this process cut because it was told to stop; its status is 503."""

ACTIVE: Final = "active"
CANARY: Final = "canary"
"""The roles of two tables that serve at once: the one in force, and a new one that is tried on a share."""

NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


def _no_tags() -> Mapping[str, str]:
    return NO_TAGS  # unhashable, so not allowed as a plain default


class Attempt(NamedTuple):
    """One call to an upstream. `key` is the fingerprint of the key used, or None for a channel without keys; `outcome`
    is `OK` or a class of failure; `status` is the upstream's, None if no head arrived; `seconds` is until it was
    decided, for the attempt that answered until the last byte."""

    channel: str
    protocol: str
    model: str
    key: str | None
    outcome: str
    status: int | None
    seconds: float


class Spent(NamedTuple):
    """What one of several calls used that told an answer together. Tokens as in `Exchange`; of a call that broke before
    it told them, an estimate."""

    channel: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None


class Seen(Protocol):
    """What a decision was made of; `ccx.routing.facts.Facts` is it."""

    @property
    def tokens_at_most(self) -> int | None:
        """A bound on the tokens of the prompt; None where there is no prompt that could be counted."""

    @property
    def tools(self) -> bool:
        """Whether tools are declared."""

    @property
    def server_tools(self) -> frozenset[str]:
        """Tools that the upstream runs."""

    @property
    def thinking(self) -> bool:
        """Whether thinking is enabled."""

    @property
    def images(self) -> bool:
        """Whether images are part of the input."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Values of the headers that were asked for."""

    @property
    def body(self) -> Mapping[str, object]:
        """Values of the body's fields that were asked for."""


class Asked(Protocol):
    """What of it was asked for, and so read: the rest of a `Seen` says nothing. `ccx.routing.decide.Cell` is it."""

    @property
    def axes(self) -> frozenset[str]:
        """Kinds of facts."""

    @property
    def headers(self) -> frozenset[str]:
        """Names of headers, in lower case; never of one that authenticates."""

    @property
    def fields(self) -> frozenset[str]:
        """Dotted paths in the body."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request from its arrival to the last byte sent. Durations are in seconds, sizes in bytes on the client's side.

    Usage is what the upstream reported and None where it reported nothing; `counted_tokens` is ccx's own count of the
    input, None unless a rule or a limit asked for it.
    """

    at: float  # unix time of arrival
    request_id: str
    protocol: str
    operation: str
    digest: str  # of the table that served it
    client: str | None = None  # the declared client's name
    tags: Mapping[str, str] = field(default_factory=_no_tags)
    prefix: str | None = None  # path prefix, without slashes
    model_asked: str | None = None
    route: str | None = None
    stream: bool = False
    status: int = 0  # what the client got; 0 while undecided, CLIENT_GONE when it went away, 503 when we did
    error_kind: str | None = None
    attempts: tuple[Attempt, ...] = ()
    counted_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    finish: str | None = None
    first_byte_seconds: float | None = None
    total_seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    losses: tuple[str, ...] = ()
    continuations: tuple[tuple[str, str], ...] = ()  # of a broken stream: a channel and ok, broken, failed, given_up
    spent: tuple[Spent, ...] = ()  # by each call, where several told the answer; the exchange has the sum
    hedged: str | None = None  # a second target was asked beside the first: won or lost, that one
    table: str | None = None  # ACTIVE or CANARY while two tables serve; None while one does
    limited_by: str | None = None  # the meter that refused it
    queued_seconds: float | None = None  # waited in queues of channels; `queued_for` is the last of them
    queued_for: str | None = None
    shed: str | None = None  # refused before it was looked at, to protect the process: concurrency, lag, memory
    cache: str | None = None  # of a route with a cache: hit, miss, joined or bypass; its tokens are then the original's
    sticky_tokens: int | None = None  # the session's highest count of late, where that decided and not its own
    seen: Seen | None = None  # None if the request was never decided on
    asked: Asked | None = None

    @property
    def continued(self) -> int:
        """How often another call went on with the answer."""
        return sum(result in ("ok", "broken") for _, result in self.continuations)

    @property
    def channel(self) -> str | None:
        """The channel of the final attempt; None if no upstream was called."""
        return self.attempts[-1].channel if self.attempts else None

    @property
    def model_sent(self) -> str | None:
        """The model that the final attempt asked for."""
        return self.attempts[-1].model if self.attempts else None

    @property
    def key(self) -> str | None:
        """The fingerprint of the key of the final attempt."""
        return self.attempts[-1].key if self.attempts else None
