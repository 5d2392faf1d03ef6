"""`when:` — what a route asks of a request. All keys must hold; a list means any of; `any` and `not` combine.

Every condition is decidable over facts: sets, globs whose only wildcard is `*`, integer ranges and booleans. That is
what lets two tables be compared exactly; keep it so.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints

from ccx.spec.node import Listed, Node
from ccx.spec.scalars import TokenRange


class BadGlob(ValueError):
    """A pattern with a wildcard other than `*`, or an empty one."""


def _glob(pattern: str) -> str:
    body = pattern.removeprefix("!")
    if not body:
        raise BadGlob(f"{pattern!r} is an empty pattern; write a name, a glob such as claude-* or an exclusion !*-mini")
    for sign in "?[]":
        if sign in body:
            raise BadGlob(f"{pattern!r}: the only wildcard is `*`; {sign!r} has no meaning here")
    return pattern


Glob = Annotated[
    str,
    AfterValidator(_glob),
    Field(
        description="A name or a glob: `*` stands for any text, also none; `!` before it excludes.",
        json_schema_extra={"pattern": r"^!?[^?\[\]]+$"},
    ),
]
Globs = Annotated[tuple[Glob, ...], Listed, Field(min_length=1)]
ProtocolName = Literal["messages", "chat", "responses", "gemini", "images", "embeddings"]
HEADER_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
HeaderName = Annotated[str, StringConstraints(pattern=HEADER_PATTERN, to_lower=True)]
FIELD_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*$"
FieldPath = Annotated[str, StringConstraints(pattern=FIELD_PATTERN)]
FieldValue = Glob | bool | int


class When(Node):
    """Conditions on a request; every key given must hold. A fact that a request lacks never matches."""

    protocol: Annotated[tuple[ProtocolName, ...], Listed, Field(min_length=1)] | None = None
    """The protocol the client speaks: messages, chat, responses, gemini, images, embeddings."""
    model: Globs | None = None
    """The model as the client wrote it: a glob, or several; `!` excludes."""
    input_tokens: Annotated[tuple[TokenRange, ...], Listed, Field(min_length=1)] | None = None
    """Size of the prompt in tokens: `> 60k`, `<= 200k`, `60k..200k`; a list means any of."""
    stream: bool | None = None
    """Whether the client asks for a stream."""
    tools: bool | None = None
    """Whether any tool is declared."""
    server_tools: Globs | None = None
    """Tools that the provider runs, such as web_search; holds if any of the request's matches."""
    thinking: bool | None = None
    """Whether thinking (reasoning) is enabled, not merely present."""
    images: bool | None = None
    """Whether the input holds an image."""
    client: Globs | None = None
    """Name of the declared client."""
    tag: dict[str, Globs] | None = None
    """Tags of the client: all named tags must match."""
    header: dict[HeaderName, Globs] | None = None
    """Request headers (never those that authenticate): all named headers must match."""
    prefix: Globs | None = None
    """The path prefix of the request: `/{prefix}/v1/...`."""
    body: dict[FieldPath, Annotated[tuple[FieldValue, ...], Listed, Field(min_length=1)]] | None = None
    """Fields of the JSON body by dotted path, such as `metadata.tier`: text by glob, numbers and booleans by value."""
    any: Annotated[tuple[When, ...], Field(min_length=1)] | None = None
    """At least one of these must hold."""
    not_: Annotated[When | None, Field(alias="not")] = None
    """Holds exactly when this does not."""


When.model_rebuild()
