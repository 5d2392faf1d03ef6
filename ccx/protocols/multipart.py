"""A multipart/form-data request body (images edits and variations): its text fields, and where its files are.

Law: files are never decoded; everything but the values of the field `model` leaves byte for byte as it came. Every part
of that name is edited, so that no parser behind this one can see another value. Framing that parsers disagree about (a
delimiter line with something after it, a missing end) is refused, not guessed.

Sources: https://www.rfc-editor.org/rfc/rfc7578 and https://www.rfc-editor.org/rfc/rfc2046#section-5.1
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ccx.errors import ClientError

MAX_PARTS: Final = 256
"""Parts that a body may have."""

MAX_PART_HEADERS: Final = 16 * 1024
"""Bytes that the headers of one part may have."""

MAX_FIELD: Final = 256 * 1024
"""Bytes of a text field that is read: more than a prompt of 32,000 characters can have."""

_PARAMETER = re.compile(r';[ \t]*([\w!#$%&*+.^`|~-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"\s]*)[ \t]*')
_DISPOSITION = re.compile(rb"(?:^|\r\n)content-disposition[ \t]*:((?:[^\r]|\r\n[ \t])*)", re.IGNORECASE)
_CONTENT_TYPE = re.compile(rb"(?:^|\r\n)content-type[ \t]*:([^\r]*)", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: the name of its field, and where its content starts and ends (byte offsets). `content_type` is what its
    sender says it is, without parameters and in lower case; None if it says nothing. A `file` has a file name."""

    name: str
    start: int
    end: int
    content_type: str | None = None
    file: bool = False


class Form:
    """An opened form. `raw` is what was received; `model` and `stream` are the fields every request is asked for."""

    __slots__ = ("_boundary", "_first", "model", "parts", "raw", "stream")

    def __init__(self, raw: bytes, boundary: bytes, parts: tuple[Part, ...], first: int) -> None:
        self.raw = raw
        self.parts = parts
        self._boundary = boundary
        self._first = first
        self.model = self.field("model")
        match self.field("stream"):
            case None | "" | "false" | "False":
                self.stream = False
            case "true" | "True":
                self.stream = True
            case other:
                raise _refused(f"the form field 'stream' must be true or false, not {other[:40]!r}")

    def field(self, name: str) -> str | None:
        """The text of the last part of a name; None when there is none.

        Raises ClientError (400) when it is longer than `MAX_FIELD` or not UTF-8.
        """
        for part in reversed(self.parts):
            if part.name == name:
                if part.end - part.start > MAX_FIELD:
                    raise _refused(f"the form field {name!r} is longer than {MAX_FIELD} bytes")
                try:
                    return self.raw[part.start : part.end].decode()
                except UnicodeDecodeError as error:
                    raise _refused(f"the form field {name!r} is not UTF-8", part.start + error.start) from None
        return None

    def with_model(self, new: str) -> list[bytes]:
        """Pieces that, joined, are the form asking for the model `new`; a part is added when there was none.

        Raises ClientError (400) for a name that a form field cannot carry.
        """
        if "\r" in new or "\n" in new:
            raise _refused(f"{new!r} cannot be the value of the form field 'model'")
        raw, value = self.raw, new.encode()
        places = [part for part in self.parts if part.name == "model"]
        if not places:
            head = b'--%s\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n' % (self._boundary, value)
            return [piece for piece in (raw[: self._first], head, raw[self._first :]) if piece]
        if all(raw[part.start : part.end] == value for part in places):
            return [raw]
        pieces: list[bytes] = []
        at = 0
        for part in places:
            pieces += (raw[at : part.start], value)
            at = part.end
        return [piece for piece in (*pieces, raw[at:]) if piece]


def is_form(content_type: str) -> bool:
    """Whether a Content-Type names multipart/form-data."""
    return content_type.partition(";")[0].strip().lower() == "multipart/form-data"


def open_form(raw: bytes, content_type: str) -> Form:
    """Open a form.

    Raises ClientError (400, invalid_request) for another content type, a missing or illegal boundary, a truncated or
    malformed body, more than `MAX_PARTS` parts, and a `model` or `stream` that is not what it should be.
    """
    boundary = _boundary(content_type)
    first = 0 if raw.startswith(b"--" + boundary) else raw.find(b"\r\n--" + boundary) + 2
    if first == 1:
        raise _refused(f"the form has no part: the boundary {boundary.decode()!r} does not appear in it")
    parts: list[Part] = []
    delimiter = b"\r\n--" + boundary
    at = first + len(delimiter) - 2
    while True:
        if raw.startswith(b"--", at):
            return Form(raw, boundary, tuple(parts), first)
        line = raw.find(b"\r\n", at)
        if line < 0:
            raise _refused("the form is truncated: its closing boundary is missing", len(raw))
        if raw[at:line].strip(b" \t"):
            raise _refused("a boundary of the form is followed by something else on its line", at)
        if len(parts) == MAX_PARTS:
            raise _refused(f"the form has more than {MAX_PARTS} parts", at)
        head = raw.find(b"\r\n\r\n", line, line + MAX_PART_HEADERS)
        end = raw.find(delimiter, line)
        if end < 0:
            raise _refused("the form is truncated: its closing boundary is missing", len(raw))
        if head < 0 or head + 4 > end:
            raise _refused(f"part {len(parts) + 1} of the form has no end of its headers", line + 2)
        parts.append(_part(raw[line + 2 : head], line + 2, start=head + 4, end=end))
        at = end + len(delimiter)


def _boundary(content_type: str) -> bytes:
    if not is_form(content_type):
        raise _refused(f"the content type {content_type[:80]!r} is not multipart/form-data")
    boundary = _parameters(content_type).get("boundary")
    if boundary is None:
        raise _refused("the content type multipart/form-data names no boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise _refused(f"{boundary[:80]!r} is not a legal multipart boundary")
    return boundary.encode("ascii")


def _part(headers: bytes, place: int, *, start: int, end: int) -> Part:
    found = _DISPOSITION.findall(headers)
    if len(found) != 1:
        raise _refused("a part of the form must have one Content-Disposition", place)
    said = _parameters(found[0].decode("utf-8", "replace").replace("\r\n", ""), place=place)
    if "name" not in said:
        raise _refused("a part of the form has no name", place)
    kind = _CONTENT_TYPE.search(headers)
    shown = kind[1].decode("latin-1").partition(";")[0].strip().lower() if kind is not None else ""
    return Part(said["name"], start, end, shown or None, "filename" in said or "filename*" in said)


def _parameters(value: str, *, place: int | None = None) -> dict[str, str]:
    """The parameters of a header's value. Every character is accounted for: text in a file's name is never one."""
    found: dict[str, str] = {}
    at = value.find(";")
    while at >= 0 and value[at:].strip(" \t;"):
        parameter = _PARAMETER.match(value, at)
        if parameter is None or parameter[1].lower() in found:
            raise _refused(f"malformed or repeated parameter in {value[:200]!r}", place)
        found[parameter[1].lower()] = _unquoted(parameter[2])
        at = parameter.end()
    return found


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _refused(what: str, at: int | None = None) -> ClientError:
    return ClientError(400, "invalid_request", what if at is None else f"{what} (at byte {at})")
