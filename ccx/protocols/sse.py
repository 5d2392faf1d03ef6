"""Server-sent events, read and written.

Law: the events read are the same however the bytes were cut into chunks and whichever of CR, LF and CRLF ends a line.
Nothing is kept of an event once it is handed out, and an event beyond the limit is an error, not more memory.
JSON escapes control characters, so normalising line ends never touches a payload of the protocols.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation. One liberty: `end`
hands out an event that lacks only its blank line, as some servers close right after `data: [DONE]`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ccx.errors import BadReply

MAX_EVENT: Final = 16 * 1024 * 1024
"""Bytes that one event may have, unless a reader asks for another limit."""


class Event(NamedTuple):
    """One event: its type, `message` when the stream named none, and its data with line ends as LF."""

    event: str
    data: bytes


class Blocks:
    """Cuts a stream after its last blank line: what is before is whole events, what is after is kept for later."""

    __slots__ = ("_first", "_kept", "_limit", "_skip_newline")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._skip_newline = False
        self._first = True

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that are now complete, with LF line ends; b"" when there is none.

        Raises BadReply when an event exceeds the limit.
        """
        if self._skip_newline and chunk:
            self._skip_newline = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._skip_newline = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        kept = self._kept
        if not kept:
            end = chunk.rfind(b"\n\n")
            if end < 0:
                kept += chunk
            elif end + 2 != len(chunk):
                kept += chunk[end + 2 :]
                chunk = chunk[: end + 2]
        else:
            searched = len(kept) - 1
            kept += chunk
            end = kept.rfind(b"\n\n", searched)
            if end >= 0:
                chunk = bytes(kept[: end + 2])
                del kept[: end + 2]
        if len(kept) > self._limit:
            kept.clear()
            raise BadReply(f"an event of the stream is larger than {self._limit} bytes", stage="body")
        if end < 0:
            return b""
        return self._without_mark(chunk) if self._first else chunk

    def end(self) -> bytes:
        """What is left at the end of the stream: at most one event, without its blank line."""
        rest = bytes(self._kept)
        self._kept.clear()
        return self._without_mark(rest) if self._first else rest

    def _without_mark(self, text: bytes) -> bytes:
        self._first = False
        return text.removeprefix(b"\xef\xbb\xbf")


class SseDecoder:
    """Events out of chunks; see the module's law."""

    __slots__ = ("_blocks", "_limit")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._blocks = Blocks(limit)

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes. Raises BadReply when one exceeds the limit."""
        complete = self._blocks.feed(chunk)
        if not complete:
            return []
        events = parse_events(complete)
        if len(complete) > self._limit and any(len(event.data) > self._limit for event in events):
            raise BadReply(f"an event of the stream is larger than {self._limit} bytes", stage="body")
        return events

    def end(self) -> list[Event]:
        """The event left when the stream ended without a last blank line."""
        return parse_events(self._blocks.end())


def parse_events(block: bytes) -> list[Event]:
    """The events of text with LF line ends, one blank line after each. An event without data is none."""
    if block.startswith(b"data: ") and block.find(b"\n", 6) == len(block) - 2:
        return [Event("message", block[6:-2])]  # one event of one line
    found: list[Event] = []
    for part in block.split(b"\n\n"):
        name = b""
        data: bytes | None = None
        for line in part.split(b"\n"):
            if line.startswith(b"data: "):
                value = line[6:]
            elif line.startswith(b"event:"):
                name = line[6:].removeprefix(b" ")
                continue
            elif line.startswith(b"data:"):
                value = line[5:]
            elif line == b"data":
                value = b""
            else:
                if line == b"event":
                    name = b""
                continue
            data = value if data is None else data + b"\n" + value
        if data is not None:
            found.append(Event(name.decode("utf-8", "replace") or "message", data))
    return found


def encode(event: str | None, data: bytes) -> bytes:
    """One event as bytes; `event` None leaves its type out. Raises ValueError for a type with a line end."""
    if event is not None and ("\n" in event or "\r" in event):
        raise ValueError(f"{event!r} cannot be the type of an event")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: %b\n\n" % data if event is None else b"event: %b\ndata: %b\n\n" % (event.encode(), data)
