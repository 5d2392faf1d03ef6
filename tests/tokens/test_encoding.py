"""The vocabulary is the published one, and cutting a text into segments does not change its count."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from ccx.tokens import encoding, vocabulary

# As in tiktoken_ext/openai_public.py of tiktoken, for o200k_base.tiktoken.
PUBLISHED_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


@pytest.fixture(scope="module")
def reference() -> tiktoken.Encoding:
    return tiktoken.Encoding(
        "reference",
        pat_str=vocabulary.PATTERN,
        mergeable_ranks=vocabulary.ranks(),
        special_tokens=vocabulary.SPECIAL_TOKENS,
    )


def test_the_vocabulary_is_the_published_one() -> None:
    text = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in vocabulary.ranks().items())
    assert hashlib.sha256(text).hexdigest() == PUBLISHED_SHA256


def test_the_pattern_and_specials_are_tiktokens_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiktoken_ext import openai_public  # type: ignore[import-untyped]  # it ships no types

    seen: list[str] = []

    def local(_url: str, *, expected_hash: str) -> dict[bytes, int]:
        seen.append(expected_hash)
        return vocabulary.ranks()

    monkeypatch.setattr(openai_public, "load_tiktoken_bpe", local)
    published = openai_public.o200k_base()
    assert seen == [PUBLISHED_SHA256]
    assert published["pat_str"] == vocabulary.PATTERN
    assert published["special_tokens"] == vocabulary.SPECIAL_TOKENS


def test_importing_loads_neither_engine_nor_vocabulary() -> None:
    code = "import sys, ccx.tokens.counter as c; c.TokenCounter(); sys.exit('tiktoken' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_known_counts() -> None:
    assert encoding.count_text("") == 0
    assert encoding.count_text("hello world") == 2
    assert encoding.loaded()


def test_special_tokens_are_ordinary_text(reference: tiktoken.Encoding) -> None:
    assert len(reference.encode("<|endoftext|>", allowed_special="all")) == 1
    assert encoding.count_text("<|endoftext|>") == len(reference.encode_ordinary("<|endoftext|>")) > 1


def test_a_lone_surrogate_counts() -> None:
    assert encoding.count_text("a\ud800b") >= 2


@given(
    st.lists(
        st.sampled_from(["word", " ", "  ", "\n", "\t", "\u00a0", "don't", "7", "!", "/", "é́", "中文", "😀"]),
        min_size=1,
    )
)
def test_cutting_at_spaces_is_invisible(parts: list[str]) -> None:
    text = " and more".join(["".join(parts)] * (2 * encoding.SEGMENT // max(1, len("".join(parts)))))
    cut = list(encoding.segments((text,)))
    assert "".join(cut) == text
    assert all(len(segment) <= encoding.SEGMENT for segment in cut)
    assert encoding.count_text(text) == _reference_count(text)


def _reference_count(text: str) -> int:
    encoding.load()
    encode = encoding._encode
    assert encode is not None
    return len(encode(text))


@given(st.text(st.sampled_from("ab \n"), max_size=50), st.lists(st.integers(1, 3000), max_size=20))
def test_where_the_pieces_join_does_not_matter(unit: str, sizes: list[int]) -> None:
    text = unit * 500
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    pieces.append(text[start:])
    assert list(encoding.segments(pieces)) == list(encoding.segments((text,)))


@pytest.mark.parametrize("character", ["a", " ", "\n", "!", "7", "中", "😀", "\u0301"])
def test_a_run_without_boundaries_is_cut_into_full_segments(character: str) -> None:
    text = character * (3 * encoding.SEGMENT + 5)
    cut = list(encoding.segments((text,)))
    assert [len(segment) for segment in cut] == [encoding.SEGMENT] * 3 + [5]
    assert encoding.count_text(text) == sum(map(encoding.count_text, cut))
