"""How many tokens a text is.

The law: the count of a text is the number of o200k_base tokens of its segments, added up. Special tokens do not
exist: `<|endoftext|>` in a text is thirteen ordinary characters. A text of up to SEGMENT characters is one segment. A
longer one is cut, greedily from its start, before the last space within SEGMENT characters that follows a character
other than white space and leaves at least half a segment; where there is no such space, after exactly SEGMENT
characters.

A cut before such a space is invisible: no pattern of the vocabulary reaches over it, so the sum equals the count of the
whole. Only a run without any in half a segment is cut visibly. In return no input, however hostile, hands the
regular expressions or the merge loop more than SEGMENT characters at once, and no call returns a long list.

Safe to use from any number of threads. tiktoken releases the GIL while it encodes. The vocabulary is loaded by the
first count, or by `load`: importing this module loads neither it nor tiktoken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from ccx.tokens import vocabulary

SEGMENT: Final = 8_192

_Encode = Callable[[str], list[int]]
_lock = threading.Lock()
_encode: _Encode | None = None


def load() -> None:
    """Read the vocabulary, once per process; later calls return at once.

    Takes about 0.15 s and 50 MB. Half of it is one call into tiktoken that holds the GIL, so a server loads before it
    serves, or in its prepare step: not when the first request asks.
    """
    _encoder()


def loaded() -> bool:
    """Whether a count would start at once."""
    return _encode is not None


def count_text(text: str) -> int:
    """The number of tokens of one text."""
    encode = _encode or _encoder()
    if len(text) <= SEGMENT:
        return len(encode(text))
    return sum(len(encode(segment)) for segment in segments((text,)))


def segments(pieces: Iterable[str]) -> Iterator[str]:
    """The segments of the text that the pieces make when joined. Where the pieces join does not matter."""
    rest = ""
    for piece in pieces:
        rest += piece
        start = 0
        while len(rest) - start > SEGMENT:
            end = _cut(rest, start)
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest


def _cut(text: str, start: int) -> int:
    floor, limit = start + SEGMENT // 2, start + SEGMENT
    space = text.rfind(" ", floor, limit)
    while space != -1:
        # The first space of a run is the only one that can follow something else.
        first = floor + len(text[floor : space + 1].rstrip(" "))
        if first > floor and not text[first - 1].isspace():
            return first
        space = text.rfind(" ", floor, first)
    return limit


def _encoder() -> _Encode:
    global _encode  # noqa: PLW0603  # one vocabulary per process, by intent: it is immutable, and 50 MB
    with _lock:
        if _encode is None:
            import tiktoken  # noqa: PLC0415  # a gateway that never counts must not pay for the engine

            ranks = vocabulary.ranks()
            encoding = tiktoken.Encoding(
                vocabulary.NAME,
                pat_str=vocabulary.PATTERN,
                mergeable_ranks=ranks,
                special_tokens=vocabulary.SPECIAL_TOKENS,
            )
            # The engine has made its own copy; ours would only be kept for looking tokens up by name.
            ranks.clear()
            _encode = encoding.encode_ordinary
        return _encode
