"""multipart/form-data, whole and in memory. Source: https://www.rfc-editor.org/rfc/rfc7578."""

from __future__ import annotations

import re
from email.message import Message

_NAME = re.compile(rb';\s*name="((?:[^"\\]|\\.)*)"')
_FILE = re.compile(rb";\s*filename\*?=")


def form(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, list[bytes]]]:
    """The fields (of several with one name the last) and the files by name. Raises ValueError."""
    head = Message()
    head["content-type"] = content_type
    boundary = head.get_param("boundary")
    if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise ValueError("the content type is not multipart/form-data with a boundary")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(delimiter)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ValueError("the form does not end with its boundary")
    fields: dict[str, str] = {}
    files: dict[str, list[bytes]] = {}
    for piece in pieces[1:-1]:
        headers, found, data = piece.partition(b"\r\n\r\n")
        disposition = next(
            (line for line in headers.split(b"\r\n") if line.lower().startswith(b"content-disposition:")), b""
        )
        named = _NAME.search(disposition)
        if not found or named is None:
            raise ValueError("a part of the form has no name")
        name = named[1].decode("utf-8", "replace")
        if _FILE.search(disposition):
            files.setdefault(name, []).append(data)
        else:
            fields[name] = data.decode("utf-8", "replace")
    return fields, files
