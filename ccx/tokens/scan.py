"""JSON cut into slices without decoding it, in steps too short to be felt by the event loop.

The law: one C call into a JSON library holds the GIL from the first byte to the last, and Python can hand the GIL over
only between byte codes. So what may be large is scanned here: every step is a search or a match over at most CHUNK
bytes, or a plain `find` of a quote. Given valid JSON (https://www.rfc-editor.org/rfc/rfc8259), the slices are exactly
the values, without surrounding white space. Given anything else, nothing is raised: an iteration ends where the JSON
does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

CHUNK: Final = 65_536

_QUOTE, _BACKSLASH, _OPEN, _CLOSE = ord('"'), ord("\\"), frozenset(b"{["), frozenset(b"}]")
_structural = re.compile(rb'["{}\[\]]')
_space = re.compile(rb"[ \t\r\n]*+")
_scalar = re.compile(rb"[^\s,\]}]*+")
# Whole escapes only, a surrogate pair being one: so a match cut off at any byte ends between two of them.
_string = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+",
    re.DOTALL,
)
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Slice:
    """One JSON value inside a larger body: raw[start:end], not copied."""

    raw: bytes
    start: int
    end: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start

    @property
    def kind(self) -> bytes:
        """The first byte, which tells what the value is; empty for an empty slice."""
        return self.raw[self.start : self.start + 1] if self.end > self.start else b""

    def tobytes(self) -> bytes:
        """A copy of the value's bytes."""
        return self.raw[self.start : self.end]


def document(raw: bytes) -> Slice:
    """The outermost value of a body."""
    start = _skip_space(raw, 0, len(raw))
    return Slice(raw, start, _value_end(raw, start, len(raw)))


def members(outer: Slice) -> Iterator[tuple[str, Slice]]:
    """The members of an object, in order, duplicates included."""
    raw, stop = outer.raw, outer.end
    position = _skip_space(raw, outer.start + 1, stop)
    while position < stop and raw[position] == _QUOTE:
        end = _string_end(raw, position, stop)
        key = "".join(pieces(Slice(raw, position, end)))
        position = _skip_space(raw, end, stop)
        if raw[position : position + 1] != b":":
            return
        start = _skip_space(raw, position + 1, stop)
        end = _value_end(raw, start, stop)
        if end == start:
            return
        yield key, Slice(raw, start, end)
        position = _next(raw, end, stop)


def elements(outer: Slice) -> Iterator[Slice]:
    """The elements of an array, in order."""
    raw, stop = outer.raw, outer.end
    position = _skip_space(raw, outer.start + 1, stop)
    while position < stop:
        end = _value_end(raw, position, stop)
        if end == position:
            return
        yield Slice(raw, position, end)
        position = _next(raw, end, stop)


def pieces(string: Slice) -> Iterator[str]:
    """The text of a JSON string, decoded piece by piece. What cannot be decoded is `?`, or is left out if not UTF-8."""
    raw, position, stop = string.raw, string.start + 1, string.end - 1
    while position < stop:
        limit = min(position + CHUNK, stop)
        match = _string.match(raw, position, limit)
        end = match.end() if match else position
        # Up to three bytes back to the start of a UTF-8 character; more of them are not UTF-8 anyway.
        back = 0
        while end < stop and back < 3 and end > position + 1 and raw[end] & 0xC0 == 0x80:
            end, back = end - 1, back + 1
        if end > position:
            yield _decoded(raw[position:end])
            position = end
        else:
            yield "?"
            position += 6 if raw[position : position + 2] == b"\\u" else 1


def _decoded(piece: bytes) -> str:
    try:
        return _text.decode(b'"' + piece + b'"')
    except ValueError:
        return piece.decode("utf-8", errors="ignore")


def _next(raw: bytes, position: int, stop: int) -> int:
    position = _skip_space(raw, position, stop)
    if raw[position : position + 1] != b",":
        return stop
    return _skip_space(raw, position + 1, stop)


def _skip_space(raw: bytes, position: int, stop: int) -> int:
    while position < stop:
        limit = min(position + CHUNK, stop)
        match = _space.match(raw, position, limit)
        position = match.end() if match else position
        if position < limit:
            break
    return position


def _value_end(raw: bytes, start: int, stop: int) -> int:
    if start >= stop:
        return stop
    first = raw[start]
    if first == _QUOTE:
        return _string_end(raw, start, stop)
    if first in _OPEN:
        return _nested_end(raw, start, stop)
    match = _scalar.match(raw, start, min(start + CHUNK, stop))
    return match.end() if match else start


def _string_end(raw: bytes, start: int, stop: int) -> int:
    quote = raw.find(b'"', start + 1, stop)
    while quote != -1:
        before = quote - 1
        while raw[before] == _BACKSLASH:
            before -= 1
        if (quote - before) % 2:
            return quote + 1
        quote = raw.find(b'"', quote + 1, stop)
    return stop


def _nested_end(raw: bytes, start: int, stop: int) -> int:
    depth, position = 0, start
    while position < stop:
        limit = min(position + CHUNK, stop)
        match = _structural.search(raw, position, limit)
        if match is None:
            position = limit
            continue
        byte, position = raw[match.start()], match.end()
        if byte == _QUOTE:
            position = _string_end(raw, match.start(), stop)
        elif byte in _CLOSE:
            depth -= 1
            if depth == 0:
                return position
        else:
            depth += 1
    return stop
