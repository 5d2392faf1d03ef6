"""A JSON array that arrives in chunks, handed out element by element.

Gemini streams this way when it is not asked for `alt=sse`: https://ai.google.dev/api/generate-content#v1beta.models.streamGenerateContent.
The elements are objects; whatever else is between them is skipped, as it carries nothing.
"""

from __future__ import annotations

import re
from typing import Final

from ccx.errors import BadReply

MAX_ELEMENT: Final = 16 * 1024 * 1024
"""Bytes that one element may have, unless a reader asks for another limit."""

_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class JsonArrayDecoder:
    """Objects out of chunks, the same however the bytes were cut."""

    __slots__ = ("_at", "_depth", "_kept", "_limit", "_quoted", "_start")

    def __init__(self, limit: int = MAX_ELEMENT) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._at = 0
        self._start = 0
        self._depth = 0
        self._quoted = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects that `chunk` completes. Raises BadReply when one exceeds the limit."""
        kept, at = self._kept, self._at
        kept += chunk
        found: list[bytes] = []
        while (token := (_INSIDE if self._quoted else _OUTSIDE).search(kept, at)) is not None:
            byte = kept[token.start()]
            at = token.end()
            if byte == 0x5C:
                at += 1
            elif byte == 0x22:
                self._quoted = not self._quoted
            elif byte == 0x7B:
                if self._depth == 0:
                    self._start = token.start()
                self._depth += 1
            elif self._depth > 0:
                self._depth -= 1
                if self._depth == 0:
                    found.append(bytes(kept[self._start : at]))
        # What an escape at the very end escapes is still to come, so the place may lie beyond what is here.
        at = max(at, len(kept))
        gone = self._start if self._depth else min(at, len(kept))
        del kept[:gone]
        self._at, self._start = at - gone, 0
        if len(kept) > self._limit:
            raise BadReply(f"an element of the stream is larger than {self._limit} bytes", stage="body")
        return found
