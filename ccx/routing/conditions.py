"""Conditions over facts, as immutable values.

Law: a condition is decided by facts alone. `holds` answers True, False, or None for "cannot be told before the tokens
are counted"; a fact that a request lacks makes the condition False, and `Not` is the exact complement. `settle` folds
away what is already known of a request's protocol and model, so that a table can keep, per (protocol, model), only what
is still open. Nothing here reads a body, a clock or a header: facts come ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ccx.protocols.names import Protocol
from ccx.routing.facts import Axis, Facts
from ccx.routing.globs import Globs

FlagName = Literal["stream", "tools", "thinking", "images"]


@dataclass(frozen=True, slots=True)
class Constant:
    """Always, or never."""

    value: bool

    def holds(self, facts: Facts) -> bool | None:
        return self.value

    def __str__(self) -> str:
        return "always" if self.value else "never"


@dataclass(frozen=True, slots=True)
class ProtocolIn:
    """The client's protocol is one of these."""

    protocols: frozenset[Protocol]

    def holds(self, facts: Facts) -> bool | None:
        return facts.protocol in self.protocols

    def __str__(self) -> str:
        return f"protocol is {'|'.join(sorted(self.protocols))}"


@dataclass(frozen=True, slots=True)
class ModelMatches:
    """The model, as the client wrote it, is in this set."""

    globs: Globs

    def holds(self, facts: Facts) -> bool | None:
        return facts.model is not None and self.globs.matches(facts.model)

    def __str__(self) -> str:
        return f"model ~ {self.globs}"


@dataclass(frozen=True, slots=True)
class TokensIn:
    """low <= input tokens < high; None is no upper bound."""

    low: int
    high: int | None

    def holds(self, facts: Facts) -> bool | None:
        count = facts.input_tokens
        if count is not None:
            return self.low <= count and (self.high is None or count < self.high)
        bound = facts.tokens_at_most
        if bound is None or bound < self.low:
            return False
        return True if self.low == 0 and (self.high is None or bound < self.high) else None

    def __str__(self) -> str:
        if self.high is None:
            return f"input_tokens >= {self.low:,}"
        return f"input_tokens < {self.high:,}" if self.low == 0 else f"{self.low:,} <= input_tokens < {self.high:,}"


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes-or-no fact has this value."""

    name: FlagName
    value: bool

    def holds(self, facts: Facts) -> bool | None:
        match self.name:
            case "stream":
                return facts.stream is self.value
            case "tools":
                return facts.tools is self.value
            case "thinking":
                return facts.thinking is self.value
            case "images":
                return facts.images is self.value

    def __str__(self) -> str:
        return f"{self.name} is {'true' if self.value else 'false'}"


@dataclass(frozen=True, slots=True)
class ServerTool:
    """Some tool that the provider would run is in this set."""

    globs: Globs

    def holds(self, facts: Facts) -> bool | None:
        return any(self.globs.matches(name) for name in facts.server_tools)

    def __str__(self) -> str:
        return f"a server tool ~ {self.globs}"


@dataclass(frozen=True, slots=True)
class ClientIn:
    """The declared client is in this set; a caller without a name is in none."""

    globs: Globs

    def holds(self, facts: Facts) -> bool | None:
        return facts.client is not None and self.globs.matches(facts.client)

    def __str__(self) -> str:
        return f"client ~ {self.globs}"


@dataclass(frozen=True, slots=True)
class TagMatches:
    """The client has this tag with a value in this set."""

    name: str
    globs: Globs

    def holds(self, facts: Facts) -> bool | None:
        value = facts.tags.get(self.name)
        return value is not None and self.globs.matches(value)

    def __str__(self) -> str:
        return f"tag {self.name} ~ {self.globs}"


@dataclass(frozen=True, slots=True)
class HeaderMatches:
    """The request has this header (lower case) with a value in this set."""

    name: str
    globs: Globs

    def holds(self, facts: Facts) -> bool | None:
        value = facts.headers.get(self.name)
        return value is not None and self.globs.matches(value)

    def __str__(self) -> str:
        return f"header {self.name} ~ {self.globs}"


@dataclass(frozen=True, slots=True)
class PrefixIn:
    """The request came under a path prefix in this set."""

    globs: Globs

    def holds(self, facts: Facts) -> bool | None:
        return facts.prefix is not None and self.globs.matches(facts.prefix)

    def __str__(self) -> str:
        return f"path prefix ~ {self.globs}"


@dataclass(frozen=True, slots=True)
class BodyField:
    """The body has a value at this dotted path: a text in the set of globs, or one of these numbers or booleans."""

    path: str
    globs: Globs | None
    integers: frozenset[int] = frozenset()
    booleans: frozenset[bool] = frozenset()

    def holds(self, facts: Facts) -> bool | None:
        match facts.body.get(self.path):
            case bool() as value:
                return value in self.booleans
            case str() as text:
                return self.globs is not None and self.globs.matches(text)
            case int() as number:
                return number in self.integers
            case float() as number if number.is_integer():
                return int(number) in self.integers
            case _:
                return False

    def __str__(self) -> str:
        literals = (str(b).lower() for b in sorted(self.booleans))
        shown = [*([str(self.globs)] if self.globs else []), *map(str, sorted(self.integers)), *literals]
        return f"body {self.path} ~ {', '.join(shown)}"


@dataclass(frozen=True, slots=True)
class Direct:
    """The caller may name a channel itself."""

    def holds(self, facts: Facts) -> bool | None:
        return facts.direct

    def __str__(self) -> str:
        return "the caller may ask for channels by name"


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool | None:
        open_ = False
        for part in self.parts:
            held = part.holds(facts)
            if held is False:
                return False
            open_ = open_ or held is None
        return None if open_ else True

    def __str__(self) -> str:
        return " and ".join(f"({p})" if isinstance(p, AnyOf) else str(p) for p in self.parts) or "always"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some part holds."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool | None:
        open_ = False
        for part in self.parts:
            held = part.holds(facts)
            if held is True:
                return True
            open_ = open_ or held is None
        return None if open_ else False

    def __str__(self) -> str:
        return " or ".join(f"({p})" if isinstance(p, All) else str(p) for p in self.parts) or "never"


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition

    def holds(self, facts: Facts) -> bool | None:
        held = self.part.holds(facts)
        return None if held is None else not held

    def __str__(self) -> str:
        return f"not ({self.part})"


Leaf = (
    Constant
    | ProtocolIn
    | ModelMatches
    | TokensIn
    | Flag
    | ServerTool
    | ClientIn
    | TagMatches
    | HeaderMatches
    | PrefixIn
    | BodyField
    | Direct
)
Condition = Leaf | All | AnyOf | Not

ALWAYS = Constant(True)
NEVER = Constant(False)


def settle(condition: Condition, facts: Facts) -> Condition:
    """What is left of a condition once protocol and model are known, in the smallest equivalent form."""
    match condition:
        case ProtocolIn() | ModelMatches():
            return ALWAYS if condition.holds(facts) else NEVER
        case Not(part):
            inner = settle(part, facts)
            return Constant(not inner.value) if isinstance(inner, Constant) else Not(inner)
        case All(parts):
            return _fold(parts, facts, absorbing=False)
        case AnyOf(parts):
            return _fold(parts, facts, absorbing=True)
        case _:
            return condition


def _fold(parts: tuple[Condition, ...], facts: Facts, *, absorbing: bool) -> Condition:
    kept: list[Condition] = []
    for part in parts:
        settled = settle(part, facts)
        if not isinstance(settled, Constant):
            kept.append(settled)
        elif settled.value is absorbing:
            return settled
    if not kept:
        return Constant(not absorbing)
    if len(kept) == 1:
        return kept[0]
    return AnyOf(tuple(kept)) if absorbing else All(tuple(kept))


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Every leaf, left to right."""
    match condition:
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case _:
            yield condition


def axis(leaf: Leaf) -> Axis | None:
    """The kind of fact a leaf asks for; None for a constant."""
    match leaf:
        case Constant():
            return None
        case ProtocolIn():
            return Axis.PROTOCOL
        case ModelMatches():
            return Axis.MODEL
        case TokensIn():
            return Axis.INPUT_TOKENS
        case Flag(name):
            return Axis(name)
        case ServerTool():
            return Axis.SERVER_TOOLS
        case ClientIn():
            return Axis.CLIENT
        case TagMatches():
            return Axis.TAG
        case HeaderMatches():
            return Axis.HEADER
        case PrefixIn():
            return Axis.PREFIX
        case BodyField():
            return Axis.BODY
        case Direct():
            return Axis.DIRECT
