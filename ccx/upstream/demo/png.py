"""A valid PNG of one colour. Source: https://www.w3.org/TR/png-3/."""

from __future__ import annotations

import struct
import zlib


def png(width: int, height: int, colour: bytes) -> bytes:
    """A picture of `width` x `height` pixels in one colour, three bytes of red, green and blue; a few hundred bytes."""
    header = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)  # one bit a pixel, an index into the palette
    rows = (b"\0" * (1 + (width + 7) // 8)) * height
    chunks = ((b"IHDR", header), (b"PLTE", colour), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
