"""Reading a copy of a compressed reply. The relay passes the bytes as they came; only what reads along decodes them."""

from __future__ import annotations

import zlib

from ccx.errors import BadReply
from ccx.upstream.reply import Header

MAX_PLAIN = 64 * 1024 * 1024


class Decoder:
    """Undoes gzip or deflate piece by piece, never more than `limit` bytes in all. Other codings yield nothing."""

    __slots__ = ("_left", "_limit", "_stream", "complete")

    def __init__(self, coding: bytes, *, limit: int = MAX_PLAIN) -> None:
        bits = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}.get(coding)
        self._stream = zlib.decompressobj(wbits=bits) if bits is not None else None
        self._limit = self._left = limit
        self.complete = self._stream is None

    def feed(self, data: bytes) -> bytes:
        """The plain bytes of this piece. Raises BadReply when it is not what it says."""
        if self._stream is None:
            return b""
        try:
            out = self._stream.decompress(data, self._left)
        except zlib.error as error:
            raise BadReply(f"the compressed reply cannot be read: {error}", stage="body") from None
        self._left -= len(out)
        if self._left <= 0:
            raise BadReply(f"the compressed reply is larger than {self._limit} bytes", stage="body")
        self.complete = self._stream.eof
        return out


def decoder_for(headers: list[Header], *, limit: int = MAX_PLAIN) -> Decoder | None:
    """A decoder where the reply is compressed, though it was not asked to be."""
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Decoder(value.strip().lower(), limit=limit)
    return None
