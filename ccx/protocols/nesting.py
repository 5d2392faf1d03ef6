"""How deeply JSON is nested, and how wide an object is, decided exactly and without recursion.

Law: the answer is exact for valid JSON, the cost is linear and memory stays flat whatever the input; on typical bodies
cheap bounds decide. A level is one `[` or `{` outside strings, so `{"a": []}` has two.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import msgspec

# Above this a value's commas are counted before it is split, so that 25 million tiny elements never become objects.
_LARGE = 256 * 1024
# Splitting is one step of the interpreter, in which no other thread runs: this many are some milliseconds.
_MANY = 50_000
_WINDOW = 256 * 1024
_STRIDE = 256

_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NOT_SIGNS = bytes(set(range(256)) - set(b"[]{},"))
_STEP = tuple({0x5B: 1, 0x5D: -1}.get(byte, 0) for byte in range(256))


def deeper_than(limit: int, value: bytes) -> bool:
    """Whether JSON that msgspec accepts, without white space around it, has more than `limit` levels.

    Raises RecursionError where msgspec would.
    """
    # A level costs two bytes, its opening and its closing one.
    if len(value) <= 2 * limit or value[0] not in b"[{":
        return False
    # Counting costs a fifth of splitting, and decides for all but long conversations.
    if _openings(value) <= limit:
        return False
    if len(value) >= _LARGE and _occurrences(value, b",") > _MANY:
        return _scan(limit, value)
    parts = _elements(value) if value[0] == 0x5B else _members(value).values()
    return any(
        len(part) > 2 * (limit - 1) and _openings(inner := bytes(part)) > limit - 1 and _scan(limit - 1, inner)
        for part in parts
    )


def wider_than(limit: int, value: bytes) -> bool:
    """Whether a JSON object has more than `limit` members, repeated keys counted each time. Of anything else it may say
    either. Raises RecursionError where msgspec would.
    """
    # Each member has at least `"":0` and, but for the last, a comma; of a large one more than that is left.
    if len(value) <= 5 * limit or value[:1] == b"[" or len(value) - _in_large_fields(value) <= 5 * limit:
        return False
    if _occurrences(value, b",") < limit:
        return False
    members, depth = 1, 0
    for signs in _signs(value, _NOT_SIGNS):
        for at in range(0, len(signs), _STRIDE):
            stride = signs[at : at + _STRIDE]
            opened, commas = stride.count(b"["), stride.count(b",")
            closed = len(stride) - opened - commas
            if depth - closed <= 1 and commas:
                for sign in stride:
                    members += sign == 0x2C and depth == 1
                    depth += _STEP[sign]
                if members > limit:
                    return True
            else:
                depth += opened - closed
    return False


class _Large(msgspec.Struct):
    """The fields of requests that are large where a request is; all others are skipped, not even split."""

    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    contents: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()
    images: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    generateContentRequest: msgspec.Raw = msgspec.Raw()  # noqa: N815  # Google's spelling


_large = msgspec.json.Decoder(_Large).decode


def _in_large_fields(value: bytes) -> int:
    try:
        found = _large(value)
    except msgspec.DecodeError:  # no object, or a lone surrogate in a key
        return 0
    return sum(len(getattr(found, name)) for name in _Large.__struct_fields__)


def _openings(value: bytes) -> int:
    """An upper bound of the depth: brackets within strings count too."""
    return _occurrences(value, b"{") + _occurrences(value, b"[")


def _occurrences(value: bytes, byte: bytes) -> int:
    # Deleting leaps from hit to hit; bytes.count of CPython before 3.13 looks at every byte and takes four times as
    # long.
    return len(value) - len(value.replace(byte, b""))


def _scan(limit: int, value: bytes) -> bool:
    depth = 0
    for brackets in _signs(value, _NOT_BRACKETS):
        for at in range(0, len(brackets), _STRIDE):
            stride = brackets[at : at + _STRIDE]
            opened = stride.count(b"[")
            if depth + opened > limit and depth + max(accumulate(map(_STEP.__getitem__, stride))) > limit:
                return True
            depth += 2 * opened - len(stride)
    return False


def _signs(value: bytes, others: bytes) -> Iterator[bytes]:
    """What is outside of strings and not among `others`, braces as brackets, a window at a time."""
    # Inside valid JSON a run of backslashes starts an escape, so pairs go first and what is left escapes a quote.
    text = value.replace(b"\\\\", b"").replace(b'\\"', b"")
    quoted = 0
    for start in range(0, len(text), _WINDOW):
        pieces = text[start : start + _WINDOW].split(b'"')
        yield b"".join(pieces[quoted::2]).translate(_TO_SQUARE, others)
        quoted ^= (len(pieces) - 1) & 1
