"""Thoughts between tags."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.protocols.chat.tags import Splitter, split_thoughts


@pytest.mark.parametrize(
    ("said", "thought", "answer"),
    [
        ("hello", "", "hello"),
        ("<think>hm</think>hello", "hm", "hello"),
        ("\n<think>\nhm\n</think>\n\nhello", "hm\n", "hello"),
        ("<think></think>hello", "", "hello"),
        ("<think>\n\n</think>\n\n", "", ""),
        ("<think>never closed", "never closed", ""),
        ("<think>a </thin b", "a </thin b", ""),
        ("<think>a</thi", "a</thi", ""),
        ("<thin air", "", "<thin air"),
        ("<thin", "", "<thin"),
        ("hello <think>no</think>", "", "hello <think>no</think>"),
        ("<think>a</think><think>b</think>", "a", "<think>b</think>"),
        ("  ", "", "  "),
        ("", "", ""),
    ],
)
def test_whole(said: str, thought: str, answer: str) -> None:
    assert split_thoughts(said) == (thought, answer)


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "/", "think", ">", " ", "\n", "a", "</thi"]), max_size=9),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_pieces_make_no_difference(tokens: list[str], cuts: list[int]) -> None:
    said = "".join(tokens)
    places = [0, *sorted(cut for cut in cuts if cut <= len(said)), len(said)]
    splitter = Splitter()
    pieces = [piece for start, end in pairwise(places) for piece in splitter.feed(said[start:end])]
    pieces += splitter.end()
    found = tuple("".join(text for kind, text in pieces if kind == wanted) for wanted in ("thought", "answer"))
    assert found == split_thoughts(said)


def test_words_are_not_held_back() -> None:
    splitter = Splitter()
    assert splitter.feed("<think>") == []
    assert splitter.feed("one ") == [("thought", "one ")]
    assert splitter.feed("two</th") == [("thought", "two")]
    assert splitter.feed("ree") == [("thought", "</three")]
    assert splitter.feed("</think>") == []
    assert splitter.feed("four") == [("answer", "four")]
    assert splitter.done
