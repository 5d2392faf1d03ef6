"""The texts of one axis, such as a header's value, sorted into classes that no pattern tells apart.

Law: all texts of a class match the same patterns. Classes come from the patterns' own pieces: the intersection of all
patterns that a text matches is a finite union of globs, and the generic text of the one it lies in matches just these
(`globs`). The class of the texts that match nothing is left to the axis: a value that is absent fares like them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ccx.analysis.effort import Unfinished
from ccx.analysis.globs import ANY, generic, intersect, single_stars, widest
from ccx.routing.globs import Globs, glob_matches

CLASSES_AT_MOST = 2_000
_FILLINGS = ("", "1", "-1", "x", "-x", "a1", "-2099", "zz9")


@dataclass(frozen=True, slots=True)
class TextClass:
    """`pieces` are globs that hold the class, and whose generic texts are of it; `text` is one of it, `matched` are the
    patterns it matches, as bits."""

    pieces: tuple[str, ...]
    text: str
    matched: int


def patterns_of(globs: Iterable[Globs]) -> tuple[str, ...]:
    """All patterns, each once; a set without inclusions asks for any text."""
    found = {single_stars(p) for g in globs for p in ((*g.include, *g.exclude) if g.include else ("*", *g.exclude))}
    return tuple(sorted(found))


def matched_by(patterns: tuple[str, ...], text: str) -> int:
    """Which patterns match, as bits in their order."""
    return sum(1 << k for k, pattern in enumerate(patterns) if glob_matches(pattern, text))


def readable(text: str, patterns: tuple[str, ...], *, admits: Callable[[str], bool] = bool) -> str | None:
    """An admitted text of the same class without ANY, which in the worst case becomes a sign that stands in no pattern.
    None where no text of the class is admitted: `admits` may refuse finitely many texts, or signs that the patterns
    themselves bring in."""
    if ANY not in text:
        return text if admits(text) else None
    matched = matched_by(patterns, text)
    for filling in sorted(_FILLINGS, key=lambda filling: _oddity(text.replace(ANY, filling))):
        filled = text.replace(ANY, filling)
        if admits(filled) and matched_by(patterns, filled) == matched:
            return filled
    # The class may be one that only a sign from outside of all patterns keeps apart from the next.
    filled = text.replace(ANY, _unused(patterns))
    return filled if admits(filled) and matched_by(patterns, filled) == matched else None


def _oddity(text: str) -> tuple[int, int]:
    """How unlike a name a text is."""
    doubled = sum(text.count(pair) for pair in ("--", "//", "-/", "/-"))
    return doubled + text.startswith(("-", "/")) + text.endswith(("-", "/")), len(text)


def _unused(patterns: tuple[str, ...]) -> str:
    """A word none of whose characters stands in a pattern."""
    used = {sign for pattern in patterns for sign in pattern}
    letters = (
        chr(code) for start in (ord("a"), ord("0"), ord("A"), 0xE0, 0x3B1, 0x430, 0x4E00) for code in _run(start)
    )
    return next(letter for letter in letters if letter not in used)


def _run(start: int) -> range:
    return range(start, start + {ord("a"): 26, ord("0"): 10, ord("A"): 26}.get(start, 20))


def classes_of(patterns: tuple[str, ...], *, admits: Callable[[str], bool] = bool) -> tuple[TextClass, ...]:
    """Every class with an admitted text, but the one that matches nothing. Raises Unfinished if there are too many."""
    # Closed under intersection with every pattern, so that the texts of a piece that are of one class lie in pieces
    # within it.
    pieces = set(patterns)
    pending = list(patterns)
    while pending:
        piece = pending.pop()
        for pattern in patterns:
            for smaller in intersect(piece, pattern):
                if smaller not in pieces:
                    pieces.add(smaller)
                    pending.append(smaller)
        if len(pieces) > CLASSES_AT_MOST:
            raise Unfinished(f"{len(patterns)} overlapping patterns on one axis make too many classes of texts")
    by_answer: dict[int, list[str]] = {}
    for piece in sorted(pieces, key=lambda p: (len(p), p)):
        by_answer.setdefault(matched_by(patterns, generic(piece)), []).append(piece)
    found: list[TextClass] = []
    for matched, same in by_answer.items():
        texts = (readable(generic(piece), patterns, admits=admits) for piece in same)
        text = next((text for text in texts if text is not None), None)
        if text is not None:
            found.append(TextClass(widest(frozenset(same)), text, matched))
    return tuple(found)


class Spelling:
    """Writes sets of classes (bits in their order) as `Globs`."""

    def __init__(self, patterns: tuple[str, ...], classes: tuple[TextClass, ...]) -> None:
        self.patterns = patterns
        self.classes = classes
        # Coverage is reckoned in pieces, not in classes: a pattern may hold one piece of a class without another.
        pieces = [(piece, k) for k, one in enumerate(classes) for piece in one.pieces]
        self._pieces = [sum(1 << at for at, (_, of) in enumerate(pieces) if of == k) for k in range(len(classes))]
        self._at = {
            pattern: sum(1 << at for at, (piece, _) in enumerate(pieces) if glob_matches(pattern, generic(piece)))
            for pattern in sorted({*patterns, *(piece for piece, _ in pieces)}, key=lambda p: (len(p), p))
        }

    def terms(self, wanted: int) -> list[tuple[int, Globs]]:
        """Sets of classes that together are the wanted ones, as large as can be written, each with its `Globs`."""
        found: list[tuple[int, Globs]] = []
        left = wanted
        while left:
            term = self._largest(left & -left, within=wanted, prefer=left)
            found.append((term, self._written(self._expanded(term))))
            left &= ~term
        return found

    def _expanded(self, classes: int) -> int:
        return sum(pieces for k, pieces in enumerate(self._pieces) if classes >> k & 1)

    def _expressible(self, classes: int) -> bool:
        """Whether inclusions and exclusions can say exactly these."""
        wanted = self._expanded(classes)
        out = 0
        for pattern in self.patterns:
            if not self._at[pattern] & wanted:
                out |= self._at[pattern]
        said = 0
        for at in self._at.values():
            if not at & ~(wanted | out):
                said |= at
        return said & ~out == wanted

    def _largest(self, seed: int, *, within: int, prefer: int) -> int:
        if self._expressible(within):
            return within
        term = seed
        for candidates in (prefer, within):
            rest = candidates & ~term
            while rest:
                one = rest & -rest
                rest ^= one
                if self._expressible(term | one):
                    term |= one
        return term

    def _written(self, pieces: int) -> Globs:
        out = [p for p in self.patterns if not self._at[p] & pieces]
        outside = 0
        for pattern in out:
            outside |= self._at[pattern]
        include: list[str] = []
        said = 0
        able = [p for p, at in self._at.items() if at and not at & ~(pieces | outside)]
        for pattern in sorted(able, key=lambda p: (-(self._at[p] & pieces).bit_count(), len(p), p)):
            if self._at[pattern] & pieces & ~said:
                include.append(pattern)
                said |= self._at[pattern]
        exclude: list[str] = []
        wrong = said & ~pieces
        for pattern in sorted(out, key=lambda p: (-self._at[p].bit_count(), len(p), p)):
            if self._at[pattern] & wrong:
                exclude.append(pattern)
                wrong &= ~self._at[pattern]
        return Globs(() if "*" in include else tuple(sorted(include)), tuple(sorted(exclude)))
