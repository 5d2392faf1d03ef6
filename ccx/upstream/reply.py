"""The seam between the relay and whatever engine talks to an upstream.

Law: a request goes out as one `Call`; what comes back is a `Reply` whose body is pulled in pieces. Every failure is an
`errors.UpstreamError`; no exception of an HTTP library crosses this seam. A reply must be read to its end or aborted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream is: scheme, host and port."""

    tls: bool
    host: str
    port: int

    @property
    def authority(self) -> bytes:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}").encode(
            "idna" if not host.isascii() else "ascii"
        )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None is no limit. `first_byte`: from the end of connecting to the reply's head.
    `idle`: between two pieces of the body. `total`: the whole exchange. `begin`: from the start of the call to the
    reply's head, connecting included; it is the caller's to keep, engines know nothing of it."""

    connect: float | None = 5.0
    first_byte: float | None = 60.0
    idle: float | None = 120.0
    total: float | None = 900.0
    begin: float | None = None


class Call(NamedTuple):
    """One request to an upstream. `target` is the raw path with its query; `headers` are complete but for Host and
    Content-Length, which the engine adds; `body` is sent piece by piece without being joined."""

    method: bytes
    origin: Origin
    target: bytes
    headers: Sequence[Header]
    body: Sequence[bytes]
    timeouts: Timeouts
    idempotent: bool = False


class Reply(Protocol):
    """The head of an upstream's answer and a way to pull its body. Header names are lower case."""

    status: int
    headers: list[Header]

    async def next(self) -> bytes:
        """Everything received since the last call, at least one byte; b"" at the end.

        Raises UpstreamTimeout, ConnectionLost or BadReply.
        """

    async def read(self, limit: int) -> bytes:
        """The rest of the body. Raises BadReply beyond `limit` bytes, and what `next` raises."""

    def abort(self) -> None:
        """Give the reply up and close its connection; harmless after the end."""


class Engine(Protocol):
    """Something that performs calls, keeping connections to reuse."""

    async def send(self, call: Call) -> Reply:
        """Send a call and wait for the head of its reply.

        Raises ConnectError, UpstreamTimeout, ConnectionLost or BadReply.
        """

    async def aclose(self) -> None:
        """Close idle connections now and busy ones as they end."""
