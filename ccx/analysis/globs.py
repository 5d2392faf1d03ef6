"""The algebra of globs: containment, intersection, and the generic text of a glob.

Law: exact for texts over an unbounded alphabet, and for patterns whose only wildcard is `*`. It rests on one text:
`generic(G)` is G with each `*` replaced by ANY, a character of no pattern.

- Containment: every text of G is one of H iff H matches generic(G). If H matches it, only stars of H can have taken in
  ANY, and they take in whatever stands there instead; and generic(G) is itself a text of G.
- Independence: so G lies within a union of globs iff it lies within one of them; if none holds it, generic(G) is in
  none. Hence `G except E1, E2...` is empty iff some E holds G, and otherwise generic(G) is in it.
- The texts common to two globs are those of finitely many globs.
"""

from __future__ import annotations

from functools import lru_cache

from ccx.routing.globs import glob_matches

ANY = "\ue000"
"""Stands for any text in a generic text. Of the private use area, so that no name has it; `usable` makes sure."""


def usable(pattern: str) -> bool:
    """Whether the pattern leaves ANY free."""
    return ANY not in pattern


@lru_cache(1 << 16)
def single_stars(pattern: str) -> str:
    """The same set of texts, without two stars in a row."""
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern


def generic(pattern: str) -> str:
    """A text of the pattern that is in another pattern only if the whole of it is."""
    return pattern.replace("*", ANY)


@lru_cache(1 << 18)
def holds(wide: str, narrow: str) -> bool:
    """Whether every text of `narrow` is one of `wide`."""
    return glob_matches(wide, generic(narrow))


@lru_cache(1 << 18)
def meets(one: str, other: str) -> bool:
    """Whether some text is in both."""
    if "*" not in one:
        return glob_matches(other, one)
    if "*" not in other:
        return glob_matches(one, other)
    # Both have a star, which takes in all that the other wants between the ends; only the ends can disagree.
    a, b = one.split("*"), other.split("*")
    starts = a[0].startswith(b[0]) or b[0].startswith(a[0])
    return starts and (a[-1].endswith(b[-1]) or b[-1].endswith(a[-1]))


@lru_cache(1 << 17)
def intersect(one: str, other: str) -> tuple[str, ...]:
    """Globs whose texts together are those in both, none within another; empty where nothing is in both."""
    if not meets(one, other):
        return ()
    if holds(other, one):
        return (one,)
    if holds(one, other):
        return (other,)
    return _common(one, other)


def _common(one: str, other: str) -> tuple[str, ...]:
    """By the positions reached in both patterns, from the ends backwards: what the rest of both have in common."""
    width, height = len(one), len(other)
    below: list[frozenset[str]] = []
    for i in range(width, -1, -1):
        row: list[frozenset[str]] = [frozenset()] * (height + 1)
        for j in range(height, -1, -1):
            if i == width or j == height:
                rest = one[i:] + other[j:]
                row[j] = frozenset(("",)) if not rest.strip("*") else frozenset()
                continue
            a, b = one[i], other[j]
            if a == "*" and b == "*":
                row[j] = frozenset("*" + text.removeprefix("*") for text in below[j] | row[j + 1])
            elif a == "*":
                row[j] = below[j] | {b + text for text in row[j + 1]}
            elif b == "*":
                row[j] = row[j + 1] | {a + text for text in below[j]}
            elif a == b:
                row[j] = frozenset(a + text for text in below[j + 1])
        below = row
    return widest(below[0])


def widest(patterns: frozenset[str]) -> tuple[str, ...]:
    """The patterns without those that another holds, in a fixed order."""
    distinct = sorted({single_stars(pattern) for pattern in patterns}, key=lambda p: (len(p), p))
    kept: list[str] = []
    for pattern in distinct:
        if any(holds(other, pattern) for other in kept):
            continue
        kept = [other for other in kept if not holds(pattern, other)] + [pattern]
    return tuple(sorted(kept))


def pieces_of(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Globs whose texts are those in all of the patterns; of none, every text."""
    found: tuple[str, ...] = ("*",)
    for pattern in patterns:
        found = widest(frozenset(piece for have in found for piece in intersect(have, pattern)))
    return found
