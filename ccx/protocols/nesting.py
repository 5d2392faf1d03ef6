"""How deeply JSON is nested, decided exactly and without recursion.

Law: the answer is exact for valid JSON, the cost is linear and memory stays flat whatever the input; on typical bodies
cheap bounds decide. A level is one `[` or `{` outside strings, so `{"a": []}` has two.
"""

from __future__ import annotations

from itertools import accumulate

import msgspec

# Above this a value's commas are counted before it is split, so that 25 million tiny elements never become objects.
_LARGE = 256 * 1024
_MANY = 500_000
_WINDOW = 1024 * 1024
_STRIDE = 256

_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = tuple(1 if byte == 0x5B else -1 for byte in range(256))


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


def _openings(value: bytes) -> int:
    """An upper bound of the depth: brackets within strings count too."""
    return _occurrences(value, b"{") + _occurrences(value, b"[")


def _occurrences(value: bytes, byte: bytes) -> int:
    # Deleting leaps from hit to hit; bytes.count of CPython before 3.13 looks at every byte and takes four times as
    # long.
    return len(value) - len(value.replace(byte, b""))


def _scan(limit: int, value: bytes) -> bool:
    # Inside valid JSON a run of backslashes starts an escape, so pairs go first and what is left escapes a quote.
    text = value.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = quoted = 0
    for start in range(0, len(text), _WINDOW):
        pieces = text[start : start + _WINDOW].split(b'"')
        brackets = b"".join(pieces[quoted::2]).translate(_TO_SQUARE, _NOT_BRACKETS)
        quoted ^= (len(pieces) - 1) & 1
        for at in range(0, len(brackets), _STRIDE):
            stride = brackets[at : at + _STRIDE]
            opened = stride.count(b"[")
            if depth + opened > limit and depth + max(accumulate(map(_STEP.__getitem__, stride))) > limit:
                return True
            depth += 2 * opened - len(stride)
    return False
