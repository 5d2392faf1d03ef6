"""Logs as blocks of lines: plain, gzip, zstd or standard input, read once from front to back.

Law: memory is bounded whatever the file holds. A line longer than `MAX_LINE` is handed out as `TOO_LONG`; a file that
cannot be read on ends with `BROKEN`. The only impure module of replay.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from ccx.errors import BadReply, UsageError
from ccx.protocols.jsonarray import JsonArrayDecoder

BLOCK: Final = 1024 * 1024
MAX_LINE: Final = 16 * 1024 * 1024
TOO_LONG: Final = b"\0too long"
BROKEN: Final = b"\0broken"
_MAX_WINDOW: Final = 2**27
_BROKEN_BY: Final = (OSError, EOFError, zlib.error)


@dataclass(slots=True)
class Log:
    """An open log. `size` is the bytes of the file, None for a pipe; `at` how many of them have been read."""

    name: str
    size: int | None
    _file: BinaryIO
    _stream: BinaryIO
    _first: bytes = b""

    @property
    def at(self) -> int:
        """Bytes read of the file as it lies on the disk."""
        return 0 if self.size is None else self._file.tell()

    def head(self) -> bytes:
        """The first bytes, which `lines` hands out again."""
        if not self._first:
            self._first = self._read()
        return self._first

    def lines(self) -> Iterator[list[bytes]]:
        """Lines, many at a time, without their ends."""
        rest, skipping = b"", False
        for block in self._blocks():
            if block is BROKEN:
                yield [rest, BROKEN] if rest and not skipping else [BROKEN]
                return
            lines = block.split(b"\n")
            if skipping:
                if len(lines) == 1:
                    continue
                lines[0], skipping = TOO_LONG, False
            else:
                lines[0] = rest + lines[0]
            rest = lines.pop()
            if len(rest) > MAX_LINE:
                rest, skipping = b"", True
            if lines and len(lines[0]) > MAX_LINE:
                lines[0] = TOO_LONG
            yield lines
        if skipping:
            yield [TOO_LONG]
        elif rest:
            yield [rest]

    def elements(self) -> Iterator[list[bytes]]:
        """The objects of a JSON array, many at a time."""
        decoder = JsonArrayDecoder(MAX_LINE)
        for block in self._blocks():
            if block is BROKEN:
                yield [BROKEN]
                return
            try:
                yield decoder.feed(block)
            except BadReply:
                yield [TOO_LONG]
                return

    def _blocks(self) -> Iterator[bytes]:
        block = self.head()
        self._first = b""
        while block:
            yield block
            if block is BROKEN:
                return
            block = self._read()

    def _read(self) -> bytes:
        try:
            return self._stream.read(BLOCK)
        except _BROKEN_BY:
            return BROKEN
        except Exception as error:
            if type(error).__module__.partition(".")[0] == "zstandard":
                return BROKEN
            raise


@contextmanager
def open_log(name: str) -> Iterator[Log]:
    """A log by its path, `-` for standard input; decompressed if its name ends in .gz or .zst. Raises UsageError."""
    if name == "-":
        yield Log("standard input", None, sys.stdin.buffer, sys.stdin.buffer)
        return
    path = Path(name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {name!r}: {error.strerror}") from None
    with file:
        size = path.stat().st_size if path.is_file() else None
        yield Log(name, size, file, _decompressed(file, path.suffix))


def _decompressed(file: BinaryIO, suffix: str) -> BinaryIO:
    match suffix:
        case ".gz":
            return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), BLOCK)
        case ".zst":
            try:
                import zstandard  # noqa: PLC0415 - an optional extra
            except ImportError:
                raise UsageError(
                    "a .zst file needs the zstd extra", hint="pip install 'ccx[zstd]', or `zstd -dc LOG | ccx replay -`"
                ) from None
            reader: BinaryIO = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).stream_reader(
                file, read_across_frames=True
            )
            return reader
        case _:
            return file
