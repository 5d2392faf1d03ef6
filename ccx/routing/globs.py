"""Globs whose only wildcard is `*`: any text, also none, also with slashes. Everything else is literal, case counts.

Matching is linear in the text: pieces between stars are searched left to right, which is exact for this kind of glob
and leaves a stranger's header no way to cost time.
"""

from __future__ import annotations

from dataclasses import dataclass


def glob_matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches the pattern."""
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


@dataclass(frozen=True, slots=True)
class Globs:
    """A set of texts: those that match an inclusion and no exclusion. Without inclusions, all but the excluded."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, patterns: tuple[str, ...]) -> Globs:
        """From the spec's list, in which `!` marks an exclusion. Order and repetition mean nothing."""
        return cls(
            tuple(sorted({p for p in patterns if not p.startswith("!")})),
            tuple(sorted({p[1:] for p in patterns if p.startswith("!")})),
        )

    def matches(self, text: str) -> bool:
        """Whether the text is in the set."""
        if self.include and not any(glob_matches(p, text) for p in self.include):
            return False
        return not any(glob_matches(p, text) for p in self.exclude)

    def __str__(self) -> str:
        return ", ".join((*self.include, *(f"!{p}" for p in self.exclude)))


def most_specific(patterns: tuple[str, ...], text: str) -> str | None:
    """Of the patterns that match, the exact one, else the one with most literal characters (ties by spelling)."""
    if text in patterns:
        return text
    found = [p for p in patterns if glob_matches(p, text)]
    return min(found, key=lambda p: (-len(p.replace("*", "")), p)) if found else None
