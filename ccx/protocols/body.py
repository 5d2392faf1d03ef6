"""A JSON request body, opened at its top level only, and edited without being re-serialised.

Law: whatever is not meant to change leaves byte for byte as it came, for any valid JSON: white space, escapes,
duplicate keys, numbers of any size. Where a top-level key is duplicated, the last one is read (as common parsers do)
and every one is edited, so that no parser behind this one can see another value. Only top-level values that are asked
for are decoded.

Lone surrogate escapes (`"\\ud800"`, which JavaScript produces by cutting an emoji in two) are valid JSON by grammar but
not text: they pass through unchanged, and are read here as U+FFFD.

Source of the grammar: https://www.rfc-editor.org/rfc/rfc8259
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from ccx.errors import ClientError
from ccx.protocols.nesting import deeper_than, wider_than

MAX_DEPTH: Final = 512
"""Levels of nesting that a body may have, its own object included."""

MAX_FIELDS: Final = 10_000
"""Top-level fields that a body may have. No API has a hundred, and opening an object takes a quarter of a microsecond
for each, in one step that nothing can interrupt."""

SPLIT_AT_ONCE: Final = 256 * 1024
"""Bytes of a body that is split before its fields are counted: to look twice costs an agent's body a tenth more."""


class Missing(Enum):
    """The type of `MISSING`, which tells an absent field from one that is null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


class Member(NamedTuple):
    """One top-level member: its key, where the key starts, and where its value starts and ends (byte offsets)."""

    key: str
    start: int
    value: int
    end: int


_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode

_SPACE = re.compile(rb"[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_SCALAR = re.compile(rb"[^ \t\n\r,}\]]+")
_STRUCTURE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# How far the place of excessive nesting is looked for; a refusal must stay cheaper than an answer.
_SEARCHED = 1024 * 1024
_AT_BYTE = re.compile(r"^(?:JSON is malformed: )?(.*?)(?: \(byte (\d+)\))?$", re.DOTALL)


class Body:
    """An opened body. `raw` is what was received; `top` holds the undecoded top-level values, in order of first
    appearance; `model` and `stream` are the two fields every request is asked for."""

    __slots__ = ("_decoded", "_members", "_text", "model", "raw", "stream", "top")

    def __init__(self, raw: bytes, text: bytes, top: dict[str, msgspec.Raw]) -> None:
        self.raw = raw
        self.top = top
        # As long as `raw`, offset by offset, with lone surrogates repaired.
        self._text = text
        self._decoded: dict[str, object] = {}
        self._members: list[Member] | None = None
        self.model: str | None = None
        self.stream = False
        if (value := top.get("model")) is not None:
            try:
                self.model = _string(value)
            except msgspec.ValidationError:
                raise self._wrong_type("model", "a string") from None
        if (value := top.get("stream")) is not None:
            match bytes(value):
                case b"true":
                    self.stream = True
                case b"false" | b"null":
                    pass
                case _:
                    raise self._wrong_type("stream", "a boolean")

    @property
    def text(self) -> bytes:
        """The body as strict JSON, for whoever decodes all of it: as received, with lone surrogates repaired."""
        return self._text

    def value(self, key: str) -> object | None:
        """The decoded value of a top-level key; None when absent or null.

        Raises ClientError (400) for a number beyond any machine's range.
        """
        if key in self._decoded:
            return self._decoded[key]
        raw = self.top.get(key)
        decoded: object = None
        if raw is not None:
            try:
                decoded = msgspec.json.decode(raw)
            except (msgspec.DecodeError, RecursionError) as error:
                raise _refused(f"{key!r} cannot be read: {error}", self._offset(key)) from None
        self._decoded[key] = decoded
        return decoded

    def field(self, path: tuple[str, ...]) -> object | Missing:
        """The value at a path of object keys, or `MISSING`. Only the first segment's value is decoded.

        Raises ClientError as `value` does.
        """
        if not path or path[0] not in self.top:
            return MISSING
        found = self.value(path[0])
        for key in path[1:]:
            if not isinstance(found, dict) or key not in found:
                return MISSING
            found = found[key]
        return found

    def with_model(self, new: str) -> list[bytes]:
        """Pieces that, joined, are the body asking for the model `new`; it is inserted when there was none."""
        value = self.top.get("model")
        if value is not None and (at := self._unique("model")) >= 0:
            if new == self.model:
                return [self.raw]
            raw = self.raw
            return [raw[:at], msgspec.json.encode(new), raw[at + len(value) :]]
        members = [member for member in self.members() if member.key == "model"]
        if members and all(_string(self._text[member.value : member.end]) == new for member in members):
            return [self.raw]
        return self.with_fields({"model": new}, ())

    def with_fields(self, set: Mapping[str, object], drop: Collection[str]) -> list[bytes]:  # noqa: A002  # the declared policy's own words
        """Pieces that, joined, are the body with top-level values replaced in place (or added at the end) and others
        deleted together with one comma. A key in both is set."""
        edits: list[tuple[int, int, bytes]] = []
        members = self.members()
        kept = False
        for index, member in enumerate(members):
            if member.key in set:
                edits.append((member.value, member.end, msgspec.json.encode(set[member.key])))
            elif member.key not in drop:
                kept = True
                continue
            elif kept:
                edits.append((members[index - 1].end, member.end, b""))
                continue
            else:
                following = members[index + 1].start if index + 1 < len(members) else member.end
                edits.append((member.start, following, b""))
                continue
            kept = True
        end = members[-1].end if members else self._inside()
        for key, value in set.items():
            if key not in self.top:
                comma = b"," if kept else b""
                edits.append((end, end, comma + msgspec.json.encode(key) + b":" + msgspec.json.encode(value)))
                kept = True
        return _edited(self.raw, edits)

    def members(self) -> list[Member]:
        """Every top-level member in document order, duplicates included."""
        if self._members is None:
            self._members = list(self._scan())
        return self._members

    def _unique(self, wanted: str) -> int:
        """The offset of a key's value when arithmetic alone proves where it is; -1 when it cannot.

        If the keys and values, one separator each, add up to the whole length, then there is no white space, no
        escape in a key and no duplicate anywhere at the top, as each would make the body longer.
        """
        at, found = 1, -1
        for key, value in self.top.items():
            at += (len(key) if key.isascii() else len(key.encode())) + 3
            if key == wanted:
                found = at
            at += len(value) + 1
        return found if at == len(self.raw) else -1

    def _scan(self) -> list[Member]:
        text, known = self._text, {key: bytes(value) for key, value in self.top.items()}
        found: list[Member] = []
        at = self._inside()
        while text[at] != 0x7D:
            if text[at] == 0x2C:
                at = _after_space(text, at + 1)
            start = at
            at = _after_string(text, at)
            key = _string(text[start:at])
            value = _after_space(text, _after_space(text, at) + 1)
            expected = known[key]
            # An expected string or container delimits itself, so equal bytes are the same value; comparing is faster
            # than scanning. Numbers need their end looked for: 1 also starts 12.
            if expected[0] in b'"[{' and text.startswith(expected, value):
                end = value + len(expected)
            else:
                end = _after_value(text, value)
            found.append(Member(key, start, value, end))
            at = _after_space(text, end)
        return found

    def _inside(self) -> int:
        """The offset of the first member, or of the closing brace."""
        return _after_space(self._text, _after_space(self._text, 0) + 1)

    def _offset(self, key: str) -> int:
        return next(member.value for member in reversed(self.members()) if member.key == key)

    def _wrong_type(self, key: str, wanted: str) -> ClientError:
        shown = bytes(self.top[key])[:40].decode("utf-8", "replace")
        return _refused(f"{key!r} must be {wanted}, not {shown}", self._offset(key))


def open_body(raw: bytes) -> Body:
    """Open a JSON request body.

    Raises ClientError (400, invalid_request), naming the byte offset, for anything but a JSON object in UTF-8, for
    nesting beyond `MAX_DEPTH` or more than `MAX_FIELDS` fields, and for a `model` or `stream` of the wrong type.
    """
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise _refused(f"the body is not UTF-8: {error.reason}", error.start) from None
    text = raw
    try:
        small = len(raw) <= SPLIT_AT_ONCE
        if not small and wider_than(MAX_FIELDS, raw):
            raise _too_wide()
        try:
            top = _top(text)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if _SURROGATE.search(raw) is None:
                raise
            text = _ESCAPE.sub(_repaired, raw)
            top = _top(text)
        # Each field has at least `"":` and a comma beside its value, also one that is repeated.
        if small and len(raw) - sum(map(len, top.values())) > 4 * MAX_FIELDS and wider_than(MAX_FIELDS, raw):
            raise _too_wide()
        if len(raw) > 2 * MAX_DEPTH and any(
            len(value) > 2 * (MAX_DEPTH - 1) and deeper_than(MAX_DEPTH - 1, bytes(value)) for value in top.values()
        ):
            raise _too_deep(raw)
    except RecursionError:
        raise _too_deep(raw) from None
    except msgspec.ValidationError as error:
        at = _after_space(raw, 0)
        raise _refused(f"the body must be a JSON object: {error}", at) from None
    except msgspec.DecodeError as error:
        raise _malformed(raw, str(error)) from None
    return Body(raw, text, top)


def _edited(raw: bytes, edits: list[tuple[int, int, bytes]]) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    for start, end, new in edits:
        pieces += (raw[at:start], new)
        at = end
    pieces.append(raw[at:])
    return [piece for piece in pieces if piece]


def _repaired(escape: re.Match[bytes]) -> bytes:
    found = escape[0]
    return b"\\ufffd" if len(found) == 6 else found


def _after_space(text: bytes, at: int) -> int:
    if text[at : at + 1] > b" ":
        return at
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def _after_string(text: bytes, at: int) -> int:
    found = _STRING.match(text, at)
    if found is None:
        raise AssertionError(f"no string at byte {at} of valid JSON")
    return found.end()


def _after_value(text: bytes, at: int) -> int:
    if text[at] == 0x22:
        return _after_string(text, at)
    if text[at] not in b"[{":
        scalar = _SCALAR.match(text, at)
        if scalar is None:
            raise AssertionError(f"no value at byte {at} of valid JSON")
        return scalar.end()
    depth = 0
    for token in _STRUCTURE.finditer(text, at):
        byte = text[token.start()]
        if byte in b"[{":
            depth += 1
        elif byte in b"]}":
            depth -= 1
            if depth == 0:
                return token.end()
    raise AssertionError(f"no end of the value at byte {at} of valid JSON")


def _malformed(raw: bytes, message: str) -> ClientError:
    found = _AT_BYTE.match(message)
    if found is None or found[2] is None:
        return _refused("the body is not valid JSON: it ends too early" if raw else "the body is empty", len(raw))
    return _refused(f"the body is not valid JSON: {found[1]}", int(found[2]))


def _too_wide() -> ClientError:
    return ClientError(400, "invalid_request", f"the body has more than {MAX_FIELDS} fields")


def _too_deep(raw: bytes) -> ClientError:
    what = f"the body is nested deeper than {MAX_DEPTH} levels"
    depth = 0
    for token in _STRUCTURE.finditer(raw, 0, _SEARCHED):
        byte = raw[token.start()]
        if byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return _refused(what, token.start())
        elif byte in b"]}":
            depth -= 1
    return ClientError(400, "invalid_request", what)


def _refused(what: str, at: int) -> ClientError:
    return ClientError(400, "invalid_request", f"{what} (at byte {at})")
