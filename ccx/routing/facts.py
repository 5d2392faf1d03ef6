"""Facts: all that a condition may see of a request. Plain values; nothing here knows where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from ccx.protocols.names import Operation, Protocol

NOTHING: Mapping[str, str] = MappingProxyType({})
NO_FIELDS: Mapping[str, object] = MappingProxyType({})


class Axis(StrEnum):
    """A kind of fact. The gateway reads a fact from a request only when a route that can still match asks for it."""

    PROTOCOL = "protocol"
    MODEL = "model"
    INPUT_TOKENS = "input_tokens"
    STREAM = "stream"
    TOOLS = "tools"
    SERVER_TOOLS = "server_tools"
    THINKING = "thinking"
    IMAGES = "images"
    CLIENT = "client"
    TAG = "tag"
    HEADER = "header"
    PREFIX = "prefix"
    BODY = "body"
    DIRECT = "direct"


@dataclass(frozen=True, slots=True)
class Facts:
    """One request as conditions see it.

    `input_tokens` None with a `tokens_at_most` means not counted yet, but bounded; None without one means that the
    request has no countable prompt, and conditions on it never match. `headers` are lower case; of a repeated header
    the values are joined by ", ". `body` maps dotted paths to the values found there; a path not found is absent.
    """

    protocol: Protocol
    model: str | None
    operation: Operation = Operation.GENERATE
    input_tokens: int | None = None
    tokens_at_most: int | None = None
    stream: bool = False
    tools: bool = False
    server_tools: frozenset[str] = frozenset()
    thinking: bool = False
    images: bool = False
    client: str | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    prefix: str | None = None
    body: Mapping[str, object] = field(default_factory=lambda: NO_FIELDS)
    direct: bool = False
