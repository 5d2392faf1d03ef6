"""One logged request, whichever gateway logged it: what a decision needs of it, and what it used.

Law: what the log does not say is unknown, never a default. `Request` holds all that a decision may depend on but the
number of tokens, and it is hashable: equal ones are decided once. Nested facts stay as the bytes they came in; they are
read when they are decided on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

UNCOUNTABLE: Final = -1
"""In place of a token count: the request has no prompt that could be counted."""

REFUSED: Final = "refused before it was routed"
"""The kind of line that tells of no fault of the log: a wrong key, a body that could not be read."""


class Request(Struct, frozen=True, gc=False):
    """The facts of a request. None is unknown, but for `model`, `prefix` and `route`, where it is none, and for
    `client`, where `named` tells.

    `tags`, `headers` and `body` are JSON objects, `server_tools` is a JSON list of names. A header or field that the
    object does not have is unknown; one that is null was not there. `route` is the one that served it, by the log.
    """

    protocol: str
    model: str | None
    client: str | None = None
    named: bool = False
    """Whether the log says who called; with `client` None it says that nobody was named."""
    tags: bytes = b"{}"
    prefix: str | None = None
    route: str | None = None
    stream: bool | None = None
    tools: bool | None = None
    thinking: bool | None = None
    images: bool | None = None
    server_tools: bytes | None = None
    headers: bytes | None = None
    body: bytes | None = None
    sticky: int | None = None
    """A count by which its session was remembered, where that decided and not its own."""


class Row(Struct, gc=False):
    """A line of a log. Tokens are None where they are unknown.

    `counted` is a count that routing may go by, or `UNCOUNTABLE`; `at_most` bounds it. `prompt` is the provider's own
    count of the whole prompt, cached parts included. `count` is how many requests the line stands for. `sticky` is the
    highest count of its session, where that decided and not the request's own. With `given` the answer was one that the
    gateway already had, or that another request was waiting for: what it used is the other's.
    """

    request: Request
    counted: int | None = None
    at_most: int | None = None
    prompt: int | None = None
    output: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    count: int = 1
    sticky: int | None = None
    given: bool = False


class Unreadable(Exception):  # a verdict on a line, like the errors of ccx.errors
    """A line that is no request. The message is one of few kinds, the same for all lines of its kind."""


Reader = Callable[[bytes], Row]
"""Reads one line. Raises Unreadable."""
