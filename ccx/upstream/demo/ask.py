"""What a request asks for, whatever its protocol: the little that the demo upstream needs to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

import msgspec

from ccx.upstream.demo.failures import refusal
from ccx.upstream.demo.fields import Json, string

CREATED = 1_735_689_600
"""The time at which everything was made, in Unix seconds (2025-01-01): the same request gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request taken apart. Header names are lower case; of several with one name the last counts.

    `digest` stands for the path and the body wherever something must depend on them.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    digest: bytes

    def json(self) -> Json:
        """The body, which has to be a JSON object. Raises RefusedError."""
        if not self.body:
            raise refusal("The request body is empty: a JSON object was expected.")
        try:
            value = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(f"The request body is not valid JSON: {error}") from error
        if not isinstance(value, dict):
            raise refusal(f"The request body must be a JSON object, not {type(value).__name__}.")
        return value

    def ident(self, prefix: str, *parts: object) -> str:
        """An identifier that depends on this request and on `parts`, and on nothing else."""
        return prefix + sha256(self.digest + repr(parts).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the client runs. `schema` is the JSON Schema of its arguments; a `custom` tool takes text instead."""

    name: str
    schema: object
    custom: bool = False
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """The choice of certain tools by their names."""

    names: tuple[str, ...]


Choice = Literal["auto", "any", "none"] | Named


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for an answer. `text` is the newest message if the user wrote it, `result` if a tool did.

    `limit` is the most output tokens; `schema` is set when the answer must be JSON.
    """

    model: str
    messages: int
    text: str
    result: str | None
    input_tokens: int
    tools: tuple[Tool, ...] = ()
    choice: Choice = "auto"
    parallel: bool = True
    thinking: bool = False
    schema: Json | None = None
    limit: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False


def strings(value: object) -> tuple[str, ...]:
    """Stop sequences, written as one string or as several."""
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(item for item in value if isinstance(item, str) and item) if isinstance(value, list) else ()


def model_of(body: Json) -> str:
    """The model of a request that names it in its body. Raises RefusedError."""
    if not string(body.get("model")):
        raise refusal("you must provide a model parameter", param="model", code="missing_required_parameter")
    return string(body["model"])


def joined(texts: Sequence[str]) -> str:
    """Several pieces of text as one."""
    return "\n".join(text for text in texts if text)
