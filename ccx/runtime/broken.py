"""How a stream broke after the client had been told some of it, and what it had told till then.

Law: what has been told is known by reading along in lumps, and what cannot be read is known not to be known. An error
that the upstream told inside its stream is cut out before it is passed on, byte for byte, so that it can still be told
later, or never.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ccx.errors import BadReply
from ccx.protocols.codec import StreamDecoder
from ccx.protocols.splice import Story
from ccx.protocols.sse import SseDecoder, parse_events
from ccx.runtime.attempt import Failure
from ccx.upstream.outcome import FailureClass

LUMP: Final = 32 * 1024
"""Bytes of a passed-through stream that are decoded at once: a short answer that ends well never is."""

_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class BrokenOff(Exception):
    """An answer broke off after some of it had been told."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Break(Exception):
    """How a stream broke: the class, the wait in seconds that was asked for, the kind of error for the exchange, and
    what the client is to be told if nobody goes on."""

    def __init__(
        self, failure: FailureClass, message: str, kind: str, say: Callable[[], bytes], *, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.kind = kind
        self.say = say
        self.wait = wait


class Record:
    """Reads along in what is passed through, a lump at a time."""

    def __init__(self, story: Story, decoder: StreamDecoder) -> None:
        self._story = story
        self._decoder = decoder
        self._sse = SseDecoder()
        self._lump: list[bytes] = []
        self._size = 0
        self._over = False

    def note(self, told: bytes) -> None:
        """These bytes have been told."""
        if self._over:
            return
        self._lump.append(told)
        self._size += len(told)
        if self._size >= LUMP:
            self.read()

    def read(self) -> None:
        """Bring the story up to date."""
        lump, self._lump, self._size = b"".join(self._lump), [], 0
        if self._over or not lump:
            return
        try:
            for event in self._sse.feed(lump):
                for one in self._decoder.feed(event):
                    self._story.feed(one)
        except BadReply:
            self._story.spoil()
        self._over = self._story.spoiled


def before_error(whole: bytes, error: bytes) -> tuple[bytes, bytes]:
    """Whole events, cut before the one whose data is this error."""
    at = 0
    for end in [*(found.end() for found in _BLANK_LINE.finditer(whole)), len(whole)]:
        event = whole[at:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if any(one.data == error for one in parse_events(event)):
            return whole[:at], whole[at:]
        at = end
    return whole, b""
