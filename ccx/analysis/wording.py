"""A condition in few words, for people: `claude-* except claude-opus-*, 128,000 to 199,999 tokens, client not eval-*`.

Law: short, and never other than what the condition says. What is said of models that name a channel first
(`anthropic/...`, `anthropic,...`) is said once, however many channels there are.
"""

from __future__ import annotations

from typing import Final, assert_never

from ccx.routing.conditions import (
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Direct,
    Flag,
    HeaderMatches,
    Leaf,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.globs import Globs

CHANNEL_FIRST: Final = "channel/model"

_FLAGS: Final = {
    ("stream", True): "streamed",
    ("stream", False): "not streamed",
    ("tools", True): "with tools",
    ("tools", False): "without tools",
    ("thinking", True): "thinking",
    ("thinking", False): "not thinking",
    ("images", True): "with images",
    ("images", False): "without images",
}


def say(condition: Condition) -> str:
    """The condition in words; `every request` for all."""
    match condition:
        case Constant(True):
            return "every request"
        case Constant():
            return "no request"
        case All(parts):
            return ", ".join(f"({say(part)})" if isinstance(part, AnyOf) else say(part) for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({say(part)})" if isinstance(part, All) else say(part) for part in parts)
        case Not(part):
            return _not(part)
        case _:
            return _leaf(condition)


def _leaf(leaf: Leaf) -> str:
    match leaf:
        case Constant(value):
            return "every request" if value else "no request"
        case ProtocolIn(protocols):
            return "|".join(sorted(protocols))
        case ModelMatches(globs):
            return _models(globs)
        case TokensIn(low, high):
            return _tokens(low, high)
        case Flag(name, value):
            return _FLAGS[name, value]
        case ServerTool(globs):
            return f"server tool {_set(globs)}"
        case ClientIn(globs):
            return f"client {_set(globs)}"
        case TagMatches(name, globs):
            return f"tag {name} {_set(globs)}"
        case HeaderMatches(name, globs):
            return f"header {name} {_set(globs)}"
        case PrefixIn(globs):
            return f"path prefix {_set(globs)}"
        case BodyField(path):
            return f"body {path} {_values(leaf)}"
        case Direct():
            return "may name channels"
        case _:
            assert_never(leaf)


def _not(part: Condition) -> str:
    match part:
        case Not(inner):
            return say(inner)
        case Flag(name, value):
            return _FLAGS[name, not value]
        case ProtocolIn(protocols):
            return f"not {'|'.join(sorted(protocols))}"
        case ModelMatches(globs) if not globs.exclude:
            return "no model" if _any(globs) else _models(Globs((), globs.include))
        case TokensIn(0, None):
            return "no prompt to count"
        case TokensIn(low, None):
            return f"not {_tokens(low, None)}"
        case ServerTool(globs) if not globs.exclude:
            return "no server tool" if _any(globs) else f"no server tool {_listed(globs.include)}"
        case ClientIn(globs) if not globs.exclude:
            return "no client" if _any(globs) else f"client not {_listed(globs.include)}"
        case TagMatches(name, globs) if not globs.exclude:
            return f"no tag {name}" if _any(globs) else f"tag {name} not {_listed(globs.include)}"
        case HeaderMatches(name, globs) if not globs.exclude:
            return f"no header {name}" if _any(globs) else f"header {name} not {_listed(globs.include)}"
        case PrefixIn(globs) if not globs.exclude:
            return "no path prefix" if _any(globs) else f"path prefix not {_listed(globs.include)}"
        case BodyField(path):
            return f"body {path} not {_values(part)}"
        case Direct():
            return "may not name channels"
        case _:
            return f"not ({say(part)})"


def _any(globs: Globs) -> bool:
    return not globs.include or "*" in globs.include


def _models(globs: Globs) -> str:
    include, named = _channels_apart(globs.include)
    exclude, unnamed = _channels_apart(globs.exclude)
    words = _listed(include) if include else "any model" if not named else ""
    if named:
        words = f"{words}, {CHANNEL_FIRST}" if words else f"{CHANNEL_FIRST} for {_listed(named)}"
    left_out = [*exclude, *([CHANNEL_FIRST] if unnamed else [])]
    return f"{words} except {_listed(tuple(left_out))}" if left_out else words


def _channels_apart(globs: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The patterns without those that come from channels being named first, and the names of these channels."""
    channels = tuple(g[:-2] for g in globs if g.endswith("/*") and f"{g[:-2]},*" in globs and "*" not in g[:-2])
    pairs = {f"{name}{sign}*" for name in channels for sign in "/,"}
    return tuple(g for g in globs if g not in pairs), channels


def _set(globs: Globs) -> str:
    words = _listed(globs.include) if globs.include else "any"
    return f"{words} except {_listed(globs.exclude)}" if globs.exclude else words


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join("any" if name == "*" else name or '""' for name in names)


def _values(leaf: BodyField) -> str:
    texts = [_set(leaf.globs)] if leaf.globs is not None else []
    booleans = ["true" if value else "false" for value in sorted(leaf.booleans)]
    return ", ".join([*texts, *(f"{number}" for number in sorted(leaf.integers)), *booleans])


def _tokens(low: int, high: int | None) -> str:
    if high is None:
        return "any size" if low == 0 else f"{low:,} tokens or more"
    if low == 0:
        return f"fewer than {high:,} tokens"
    return f"{low:,} tokens" if high == low + 1 else f"{low:,} to {high - 1:,} tokens"
