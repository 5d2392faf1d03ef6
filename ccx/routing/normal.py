"""The normal form of a condition: what means the same and is written differently becomes one value.

Law: `normal(c)` holds for exactly the facts for which `c` holds, where the token count is known or absent; before it is
counted, `normal(c)` may know sooner, and never says otherwise. It is idempotent. It rewrites nothing that a reader of
`explain` would not recognise: no distribution, no pushing `not` inwards past a single fact.

A set of texts or numbers that lets everything through is not always true: a fact that the request lacks is in no set.
Only a protocol is never lacking.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from ccx.protocols.names import Protocol
from ccx.routing.canonical import canonical
from ccx.routing.conditions import (
    ALWAYS,
    NEVER,
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Direct,
    Flag,
    HeaderMatches,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.globs import Globs, glob_matches

EVERY_PROTOCOL = frozenset(Protocol)


def normal(condition: Condition) -> Condition:
    """The one form of all conditions that are equal by the rewritings of this module."""
    match condition:
        case Constant() | Flag() | Direct():
            return condition
        case ProtocolIn(protocols):
            if protocols == EVERY_PROTOCOL:
                return ALWAYS
            return condition if protocols else NEVER
        case TokensIn(low, high):
            return NEVER if high is not None and low >= high else condition
        case BodyField(_, globs, integers, booleans):
            left = normal_globs(globs) if globs is not None else None
            return replace(condition, globs=left) if left is not None or integers or booleans else NEVER
        case (
            ModelMatches(globs=globs)
            | ServerTool(globs=globs)
            | ClientIn(globs=globs)
            | TagMatches(globs=globs)
            | HeaderMatches(globs=globs)
            | PrefixIn(globs=globs)
        ):
            smaller = normal_globs(globs)
            return replace(condition, globs=smaller) if smaller is not None else NEVER
        case Not(part):
            return _complement(normal(part))
        case All(parts):
            return _joined((normal(part) for part in parts), every=True)
        case AnyOf(parts):
            return _joined((normal(part) for part in parts), every=False)


def normal_globs(globs: Globs) -> Globs | None:
    """The smallest equal set by dropping what another pattern covers; None where nothing can match."""
    exclude = _widest(globs.exclude)
    include = [p for p in _widest(globs.include or ("*",)) if not any(glob_matches(e, p) for e in exclude)]
    return Globs(tuple(include), tuple(exclude)) if include else None


def _widest(patterns: Iterable[str]) -> list[str]:
    # A pattern covers another exactly if it matches it read as a text: only its own stars can take in the other's.
    distinct = sorted({_single_stars(p) for p in patterns})
    return [p for p in distinct if not any(q != p and glob_matches(q, p) for q in distinct)]


def _single_stars(pattern: str) -> str:
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern


def _complement(part: Condition) -> Condition:
    """`not` of a normal condition. Only facts that no request lacks have a complement that is a plain condition."""
    match part:
        case Constant(value):
            return Constant(not value)
        case Flag(name, value):
            return Flag(name, not value)
        case ProtocolIn(protocols):
            return ProtocolIn(EVERY_PROTOCOL - protocols)
        case Not(inner):
            return inner
        case _:
            return Not(part)


def _joined(parts: Iterable[Condition], *, every: bool) -> Condition:
    """All (`every`) or any of parts that are normal themselves."""
    kind = All if every else AnyOf
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else (part,))
    neutral, absorbing = Constant(every), Constant(not every)
    distinct = {p for p in (*_protocols(flat, every=every), *_tokens(flat, every=every)) if p != neutral}
    distinct |= {p for p in flat if p != neutral and not isinstance(p, ProtocolIn | TokensIn)}
    if absorbing in distinct or any(_complement(p) in distinct for p in distinct):
        return absorbing
    if len(distinct) < 2:
        return next(iter(distinct), neutral)
    return kind(tuple(sorted(distinct, key=_spelling)))


def _protocols(parts: list[Condition], *, every: bool) -> list[Condition]:
    sets = [part.protocols for part in parts if isinstance(part, ProtocolIn)]
    if not sets:
        return []
    merged = frozenset.intersection(*sets) if every else frozenset.union(*sets)
    return [normal(ProtocolIn(merged))]


def _tokens(parts: list[Condition], *, every: bool) -> list[Condition]:
    ranges = [part for part in parts if isinstance(part, TokensIn)]
    if not ranges:
        return []
    if every:
        bounds = [part.high for part in ranges if part.high is not None]
        return [normal(TokensIn(max(part.low for part in ranges), min(bounds) if bounds else None))]
    return list(_union(ranges))


def _union(ranges: list[TokensIn]) -> list[TokensIn]:
    """Ranges that overlap or touch become one."""
    merged: list[TokensIn] = []
    for part in sorted(ranges, key=lambda r: r.low):
        last = merged[-1] if merged else None
        if last is None or (last.high is not None and last.high < part.low):
            merged.append(part)
        elif last.high is not None:
            high = None if part.high is None else max(last.high, part.high)
            merged[-1] = TokensIn(last.low, high)
    return merged


def _spelling(part: Condition) -> str:
    return json.dumps(canonical(part), sort_keys=True)
