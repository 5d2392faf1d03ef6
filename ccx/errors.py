"""The exceptions of ccx, and the exit codes of its commands.

    CcxError
    ├── SpecError              the configuration is wrong; carries every diagnostic found, never only the first
    ├── SecretError            a referenced secret cannot be resolved; names the reference, never the value
    ├── UsageError             the command line is wrong
    ├── ClientError            blame: the client.   An HTTP status and a message in the client's protocol
    ├── GatewayError           blame: ours.         Likewise
    └── UpstreamError          blame: the upstream. Nothing usable came back
        ├── ConnectError         no connection: refused, unreachable, DNS, TLS
        ├── UpstreamTimeout      connect, first byte, idle or total time ran out
        ├── ConnectionLost       the connection died before the reply was whole
        └── BadReply             what came back is not HTTP, or not what its protocol says

Blame decides everything downstream: who may retry, whose health suffers, and whose message is shown.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal


class Exit(IntEnum):
    """Exit codes of the `ccx` command. Usage is 64 so that it can never be read as `2`, "there are changes"."""

    OK = 0
    FINDINGS = 1
    CHANGES = 2
    INCOMPLETE = 3
    USAGE = 64
    INTERNAL = 70


class CcxError(Exception):
    """Root of all errors that ccx raises on purpose."""


class SecretError(CcxError):
    """A secret reference that cannot be resolved. The message names the reference, never a value."""


class UsageError(CcxError):
    """A command-line mistake; `hint` says what to type instead."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class HttpError(CcxError):
    """An answer that is an error: an HTTP status (int), a machine-readable kind and a message for a person.

    `kind` is one of the neutral kinds below; `protocols.failures` renders it in the shape of each protocol. `code` is a
    more telling word where OpenAI documents one, `param` the field that is meant.
    """

    def __init__(
        self,
        status: int,
        kind: ErrorKind,
        message: str,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers
        self.code = code
        self.param = param


ErrorKind = Literal[
    "invalid_request",
    "authentication",
    "permission",
    "not_found",
    "too_large",
    "rate_limit",
    "overloaded",
    "timeout",
    "api_error",
    "not_supported",
]


class ClientError(HttpError):
    """The client asked for something it cannot have."""


class GatewayError(HttpError):
    """ccx itself cannot serve: no route, no usable target, shutting down."""


UpstreamStage = Literal["connect", "send", "first_byte", "idle", "total", "body"]


class UpstreamError(CcxError):
    """The upstream gave no usable answer. `stage` says how far the exchange had come."""

    def __init__(self, message: str, *, stage: UpstreamStage) -> None:
        super().__init__(message)
        self.stage: UpstreamStage = stage


class ConnectError(UpstreamError):
    """No connection could be made: refused, unreachable, name not found, TLS failure."""

    def __init__(self, message: str) -> None:
        super().__init__(message, stage="connect")


class UpstreamTimeout(UpstreamError):
    """A time limit ran out; `stage` names which: connect, first_byte, idle or total."""


class ConnectionLost(UpstreamError):
    """The connection closed or was reset before the reply was complete."""


class BadReply(UpstreamError):
    """The reply is not valid HTTP or not valid for its protocol (garbage, truncated compression)."""
