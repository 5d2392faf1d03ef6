"""The algebra of globs against enumeration of all short texts."""

from __future__ import annotations

import itertools
import random

import pytest

from ccx.analysis.globs import ANY, generic, holds, intersect, meets, pieces_of, single_stars, widest
from ccx.routing.globs import glob_matches

TEXTS = ["".join(t) for n in range(6) for t in itertools.product("ab", repeat=n)]


def _pattern(r: random.Random) -> str:
    return single_stars("".join(r.choice("ab**") for _ in range(r.randint(1, 5))))


def _texts(pattern: str) -> set[str]:
    return {text for text in TEXTS if glob_matches(pattern, text)}


def test_intersection_and_meeting_are_those_of_the_texts() -> None:
    r = random.Random(1)
    for _ in range(1500):
        one, other = _pattern(r), _pattern(r)
        common = _texts(one) & _texts(other)
        pieces = intersect(one, other)
        assert {text for piece in pieces for text in _texts(piece)} == common, (one, other)
        assert bool(pieces) == meets(one, other)
        assert len(widest(frozenset(pieces))) == len(pieces)


def test_containment_is_that_of_the_texts() -> None:
    r = random.Random(2)
    for _ in range(1500):
        wide, narrow = _pattern(r), _pattern(r)
        # A text with a sign of no pattern tells containment apart from what an alphabet of two happens to give.
        witness = narrow.replace("*", "z")
        expected = _texts(narrow) <= _texts(wide) and glob_matches(wide, witness)
        assert holds(wide, narrow) == expected, (wide, narrow)


def test_a_glob_lies_in_a_union_only_if_in_one_of_it() -> None:
    r = random.Random(3)
    for _ in range(800):
        narrow, union = _pattern(r), [_pattern(r) for _ in range(3)]
        escapes = not any(glob_matches(p, generic(narrow)) for p in union)
        assert escapes == (not any(holds(p, narrow) for p in union))


def test_the_generic_text_is_of_its_own_glob() -> None:
    assert generic("a*b*") == f"a{ANY}b{ANY}"
    assert glob_matches("a*b*", generic("a*b*"))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), ("*",)),
        (("claude-*", "*-mini"), ("claude-*-mini", "claude-mini")),
        (("*sonnet*", "*mini*"), ("*mini*sonnet*", "*sonnet*mini*")),
        (("gpt-*", "gpt-5*", "gpt-5-mini"), ("gpt-5-mini",)),
        (("gpt-*", "claude-*"), ()),
    ],
)
def test_pieces_of_several(patterns: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert pieces_of(patterns) == expected
