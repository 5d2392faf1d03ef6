"""Reading a copy of a compressed reply. The relay passes the bytes as they came; only what reads along decodes them.

Law: no reply is trusted to be small once unpacked, and none is broken because it could not be read: a reader that has
to have the plain text fails, one that only reads along stops. Unpacking is work for a thread: a kilobyte may be one of
a thousand times that.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final, TypeVar

from ccx.errors import BadReply
from ccx.upstream.reply import Header

MAX_PLAIN = 64 * 1024 * 1024

LARGE: Final = 256 * 1024
"""Bytes from which on work on them is not done on the loop."""

_BITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_T = TypeVar("_T")


class Unreadable(BadReply):
    """A reply that may be in order, but cannot be read here: too large unpacked, or packed in an unknown way."""


class Decoder:
    """Undoes gzip or deflate piece by piece, never more than `limit` bytes in all."""

    __slots__ = ("_coding", "_left", "_limit", "_stream", "complete")

    def __init__(self, coding: bytes, *, limit: int = MAX_PLAIN) -> None:
        bits = _BITS.get(coding)
        self._coding = coding
        self._stream = zlib.decompressobj(wbits=bits) if bits is not None else None
        self._limit = self._left = limit
        self.complete = False

    @property
    def known(self) -> bool:
        """Whether this coding can be undone here."""
        return self._stream is not None

    def feed(self, data: bytes) -> bytes:
        """The plain bytes of this piece. Raises Unreadable for another coding and beyond the limit, and BadReply when
        it is not what it says."""
        if self._stream is None:
            raise Unreadable(f"the reply has the content coding {self._coding.decode('latin-1')!r}", stage="body")
        try:
            out = self._stream.decompress(data, self._left)
        except zlib.error as error:
            raise BadReply(f"the compressed reply cannot be read: {error}", stage="body") from None
        self._left -= len(out)
        if self._left <= 0:
            raise Unreadable(f"the compressed reply is larger than {self._limit} bytes", stage="body")
        self.complete = self._stream.eof
        return out


def decoder_for(headers: list[Header], *, limit: int = MAX_PLAIN) -> Decoder | None:
    """A decoder where the reply is compressed, though it was not asked to be."""
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Decoder(value.strip().lower(), limit=limit)
    return None


async def worked(size: int, work: Callable[[], _T], *, packed: bool = False) -> _T:
    """The result of work on so many bytes, done in a thread where they are many, or `packed`."""
    return work() if size < LARGE and not packed else await asyncio.to_thread(work)
