"""What a spec promises: routing tests, drills, invariants and coverage floors; inline or in a file of their own.

A test states what becomes of one request (or, with `matrix`, of each of several). A drill also scripts how upstreams
behave and states what the client gets and when. An invariant is stated of all requests there could be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from ccx.spec.conditions import Globs, HeaderName, When
from ccx.spec.node import NAME_PATTERN, Listed, Name, Node
from ccx.spec.scalars import Count, Duration, parse_duration

ProtocolName = Literal["messages", "chat", "responses", "gemini", "images", "embeddings"]
Percent = Annotated[int, Field(ge=0, le=100)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]

MANNERS: Final = (
    "refused",
    "unreachable",
    "stall",
    "timeout",
    "reset",
    "cut",
    "stall_mid_stream",
    "overloaded_mid_stream",
)
_TIME: Final = r"\d+(?:\.\d+)?(?:ms|s|m|h)"
MOMENT_PATTERN: Final = (
    rf"^(?:wait {_TIME}|{NAME_PATTERN[1:-1]} (?:[2-5]\d\d|{'|'.join(MANNERS)})(?: {_TIME})?(?: at {_TIME})?)$"
)
_MOMENT: Final = re.compile(
    rf"(?:wait (?P<wait>{_TIME})|(?P<channel>{NAME_PATTERN[1:-1]}) (?P<what>[2-5]\d\d|{'|'.join(MANNERS)})"
    rf"(?: (?P<took>{_TIME}))?(?: at (?P<at>{_TIME}))?)"
)


class RequestFacts(Node):
    """A request in facts."""

    like: str | None = None
    """Name of another test whose request this one takes over; what is written here replaces it."""
    protocol: ProtocolName = "messages"
    """The client's protocol."""
    model: str | None = None
    """The model as the client writes it."""
    input_tokens: Count = 0
    """Size of the prompt."""
    stream: bool = False
    """Asks for a stream."""
    tools: bool = False
    """Declares tools."""
    server_tools: tuple[str, ...] = ()
    """Tools the provider runs."""
    thinking: bool = False
    """Thinking is enabled."""
    images: bool = False
    """Holds an image."""
    client: str | None = None
    """Declared client."""
    headers: dict[HeaderName, str] = Field(default_factory=dict)
    """Request headers."""
    prefix: str | None = None
    """Path prefix."""
    body: dict[str, Any] = Field(default_factory=dict)
    """Fields of the body that conditions ask for, by dotted path."""


class Matrix(Node):
    """Values to combine: each combination is a test of its own."""

    protocol: Annotated[tuple[ProtocolName, ...], Field(min_length=1)] | None = None
    """Client protocols."""
    model: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Models as the client writes them."""
    input_tokens: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    """Sizes of the prompt."""
    stream: Annotated[tuple[bool, ...], Field(min_length=1)] | None = None
    """With and without a stream."""
    tools: Annotated[tuple[bool, ...], Field(min_length=1)] | None = None
    """With and without tools."""
    thinking: Annotated[tuple[bool, ...], Field(min_length=1)] | None = None
    """With and without thinking."""
    images: Annotated[tuple[bool, ...], Field(min_length=1)] | None = None
    """With and without an image."""
    client: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Declared clients."""
    prefix: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Path prefixes."""


class ScriptedAnswer(Node):
    """An upstream's error, in the words of its provider."""

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    """HTTP status. Default: the one the provider uses for `error`."""
    error: Literal["overloaded", "context_window", "quota", "content_filter"] | None = None
    """What is wrong, where the status alone does not tell."""
    retry_after: Duration | None = None
    """The wait it asks for."""


Manner = Literal[
    "refused", "unreachable", "stall", "timeout", "reset", "cut", "stall_mid_stream", "overloaded_mid_stream"
]
"""`refused`: no connection. `unreachable`: none within the connect limit. `stall`, `timeout`: no first byte in time.
`reset`: the connection dies before an answer. `cut`: it dies in the middle of one. `stall_mid_stream`: it falls silent
there. `overloaded_mid_stream`: it says there that it is overloaded; where no stream is asked for, at once."""
Scripted = Annotated[int, Field(ge=200, le=599)] | Manner | ScriptedAnswer
Script = Annotated[tuple[Scripted, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Moment:
    """A line of a timeline: an attempt at a channel and what came of it, or (no channel) a wait. Times are
    milliseconds; `at` is from the request; None is not stated."""

    channel: str | None
    what: str
    took: int | None = None
    at: int | None = None


def parse_moment(value: object) -> Moment:
    """`anthropic 429 at 0s`, `wait 2s`, `anthropic stall 60s`, `gemini 200`. Raises ValueError."""
    if isinstance(value, Moment):
        return value
    found = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is no line of a timeline; write it like 'main 429 at 0s', 'wait 2s' or 'main 200'")
    if found["wait"] is not None:
        return Moment(None, "wait", parse_duration(found["wait"]))
    took, at = found["took"], found["at"]
    what = "stall" if found["what"] == "timeout" else found["what"]
    return Moment(
        found["channel"],
        what,
        parse_duration(took) if took is not None else None,
        parse_duration(at) if at is not None else None,
    )


TimelineLine = Annotated[
    Moment,
    BeforeValidator(parse_moment),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": MOMENT_PATTERN,
            "description": "An attempt (`main 429 at 0s`, `main stall 60s`, `backup 200`) or a wait (`wait 2s`).",
            "examples": ["main 429 at 0s", "wait 2s", "backup 200"],
        }
    ),
]
ErrorName = Literal[
    "no_route",
    "denied",
    "unservable",
    "refused",
    "auth",
    "bad_request",
    "connect",
    "content_filter",
    "context_window",
    "model_not_found",
    "overloaded",
    "quota",
    "rate_limit",
    "server_error",
    "timeout",
    "upstream_cut",
    "upstream_stream_error",
]


class Expectation(Node):
    """What should come of it. Everything written must hold; at least one thing is."""

    route: str | None = None
    """Name of the route."""
    targets: tuple[str, ...] | None = None
    """Channels in failover order; the members of a balanced group in any order."""
    target: str | None = None
    """The channel asked first. Of a balanced group: the one that `sample` picks."""
    target_in: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The channel asked first is always one of these."""
    not_target: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None
    """Channels that are never asked, not even after a failure."""
    model: str | None = None
    """Model sent to the first target."""
    weights: dict[Name, Annotated[int, Field(ge=1)]] | None = None
    """Exact shares of the first step: {a: 90, b: 10}."""
    failover: tuple[str, ...] | None = None
    """Channels asked after the first one fails, in order."""
    deny: int | None = None
    """Status of a denial."""
    no_route: bool = False
    """That nothing matches."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    """HTTP status the client gets."""
    error: ErrorName | None = None
    """Why it is not served: no_route, denied, unservable (no target can), refused (the client may not ask); in a drill
    the class of the failure the client is told of."""
    served_by: str | None = None
    """The channel that answers, in the end."""
    attempts: Annotated[int, Field(ge=0, le=64)] | None = None
    """How many upstreams are asked."""
    continued: Annotated[int, Field(ge=0, le=64)] | None = None
    """How often another upstream goes on with an answer whose stream broke off."""
    timeline: tuple[TimelineLine, ...] | None = None
    """Every attempt and wait, in order."""
    within: Duration | None = None
    """Longest time to the first byte of what the client gets."""


class RoutingTest(Node):
    """A routing unit test, or a drill."""

    name: Title
    """What it shows."""
    request: RequestFacts
    """The request."""
    matrix: Matrix | None = None
    """Values to combine: one result for each combination."""
    sample: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Pins the draw of a balanced group: 0.95 is in the last twentieth, by the shares in the order written."""
    down: Annotated[tuple[str, ...], Listed, Field(min_length=1)] | None = None
    """Drill: these channels refuse every connection."""
    attempts: Script | None = None
    """Drill: what the attempts meet, in order, at whichever channel; the last one repeats."""
    upstreams: dict[Name, Annotated[Script, Listed]] | None = None
    """Drill: what attempts at a channel meet, in order; the last one repeats. Other channels answer."""
    expect: Expectation
    """What should come of it."""


class Claim(Node):
    """Something that holds of what becomes of a request, or does not."""

    route: Globs | None = None
    """The route that decides."""
    target: Globs | None = None
    """Channels that may be asked, after failures too."""
    first: Globs | None = None
    """Channels that may be asked first."""
    model: Globs | None = None
    """Models that upstreams are asked for."""
    tag: dict[str, Globs] | None = None
    """Tags of the channels that may be asked."""
    served: bool | None = None
    """That a target is asked."""
    deny: bool | Annotated[int, Field(ge=400, le=599)] | None = None
    """That it is denied; with which status."""


class Invariant(Node):
    """Something that holds for every request there could be; proved, or shown wrong by a request."""

    name: Title
    """What it promises."""
    when: When = When()
    """The requests it is about. Default: all."""
    always: Claim | None = None
    """All of this holds. What is said of targets holds where none is asked."""
    never: Claim | None = None
    """None of this holds, of no target."""


class Floors(Node):
    """Least coverage in percent, rounded down; below it `ccx test` fails."""

    routes: Percent | None = None
    """Routes that some test ends in."""
    targets: Percent | None = None
    """Targets that some test asks first, or a drill reaches."""
    failover_edges: Percent | None = None
    """Steps from one target to the next that a drill takes."""
    boundaries: Percent | None = None
    """Sides of token thresholds that a test stands on."""
    axes: Percent | None = None
    """Clauses of conditions for which a test shows that they decide alone."""


class Suite(Node):
    """A file of tests beside a spec."""

    version: Literal["ccx/v1"]
    """Version of the spec language."""
    spec: Annotated[str, StringConstraints(min_length=1)]
    """The spec it tests, relative to this file."""
    tests: tuple[RoutingTest, ...] = ()
    """Routing unit tests and drills."""
    invariants: tuple[Invariant, ...] = ()
    """What holds for all requests."""
    coverage: Floors = Floors()
    """Least coverage."""
