"""One call upstream and everybody who waits for its answer.

Laws
- Whoever asked first and who joined are alike: each reads the answer at its own pace from what is kept of it, from the
  first byte on. The call goes on as long as one of them is left, and is cancelled with the last.
- What is kept is bounded. While an answer is kept whole anybody may join; one that outgrows the bound is kept only as
  far as its slowest reader needs. Then the call waits for the reader that has been there longest, and others who fall
  behind by the bound again are cut.
- It ends exactly once, for all of them alike: well, or with the failure of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from ccx.telemetry.exchange import Exchange
from ccx.upstream.reply import Header

PIECE: Final = 256 * 1024
"""Bytes that a reader takes at once, at least one piece."""

NARROW: Final = 256 * 1024
"""Bytes that an answer may have in keeping while there is no room for more."""


class TooSlowError(Exception):
    """A reader fell behind by more than what is kept."""


@dataclass(slots=True)
class Room:
    """Bytes that all answers under way may have in keeping together, before each has to do with little."""

    size: int
    used: int = 0


@dataclass(slots=True, eq=False)
class Reader:
    """Somebody's place in an answer: the piece that comes next, and bytes taken so far."""

    at: int = 0
    taken: int = 0
    cut: bool = False
    last: bytes = b""  # what was taken last


class Flight:
    """An answer under way. `send` takes it, as ASGI messages."""

    def __init__(self, room: Room, *, bound: int) -> None:
        self.status = 0  # until the answer begins
        self.headers: list[Header] = []
        self.open = True  # kept whole so far
        self.complete = False  # all of it has been sent
        self.over = False  # nothing more will come
        self.failure: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.leader: Exchange | None = None  # of the one whose call it is
        self._room = room
        self._bound = bound
        self._pieces: list[bytes] = []
        self._gone = 0  # pieces before the first that is kept
        self._kept = 0  # bytes
        self._size = 0  # bytes sent so far
        self._outgrown = 0  # that size when it was too much to be kept whole
        self._readers: dict[Reader, None] = {}  # longest there first
        self._news = asyncio.Event()
        self._taken = asyncio.Event()

    def start(self, work: Callable[[], Awaitable[None]], *, ended: Callable[[], None]) -> None:
        """Begin the call. `ended` is called when it is over, also when it was cancelled before it had begun."""

        async def run() -> None:
            await work()

        def done(task: asyncio.Task[None]) -> None:
            ended()
            failure = asyncio.CancelledError() if task.cancelled() else task.exception()
            self._finish(failure)

        self.task = asyncio.get_running_loop().create_task(run())
        self.task.add_done_callback(done)

    def join(self) -> Reader:
        """A place at the beginning. Only while `open`."""
        reader = Reader()
        self._readers[reader] = None
        return reader

    def leave(self, reader: Reader) -> None:
        """A reader has had enough. With the last of them the call ends."""
        self._readers.pop(reader, None)
        self._taken.set()
        if not self._readers:
            if self.over:
                self._free()
            elif self.task is not None:
                self.open = False
                self.task.cancel()

    @property
    def readers(self) -> int:
        """How many wait for the answer."""
        return len(self._readers)

    @property
    def body(self) -> bytes:
        """All of the answer. Only while `open`."""
        return b"".join(self._pieces)

    def without(self, sign: bytes) -> bytes:
        """All of the answer but for what was sent to break the silence. Only while `open`."""
        return b"".join(piece for piece in self._pieces if piece != sign)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take a message of the answer; waits for the reader that is there longest when too much is in keeping."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
            self._tell()
            return
        piece = bytes(message.get("body", b""))
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
            self._kept += len(piece)
            self._room.used += len(piece)
        if not message.get("more_body", False):
            self.complete = True
            self._finish(None)
            return
        bound = self._bound if self._room.used <= self._room.size else min(NARROW, self._bound)
        if self.open and self._size > bound:
            self.open = False
            self._outgrown = self._size
        self._tell()
        if not self.open:
            self._trim()
            while self._behind() > bound:
                self._taken.clear()
                await self._taken.wait()
            self._cut(self._outgrown + bound)

    async def begun(self, reader: Reader) -> bool:
        """Wait until the answer begins. False if it never did: see `failure`."""
        while not self.status and not self.over:
            await self._news.wait()
        return self.status != 0

    async def next(self, reader: Reader) -> bytes:
        """What comes next for a reader; empty at the end, well or not: see `failure`. Raises TooSlowError."""
        while True:
            if reader.cut:
                raise TooSlowError
            at = reader.at - self._gone
            if at < len(self._pieces):
                break
            if self.over:
                return b""
            await self._news.wait()
        until, size = at, 0
        while until < len(self._pieces) and (size == 0 or size + len(self._pieces[until]) <= PIECE):
            size += len(self._pieces[until])
            until += 1
        found = self._pieces[at] if until == at + 1 else b"".join(self._pieces[at:until])
        reader.at += until - at
        reader.taken += size
        reader.last = found
        if not self.open:
            self._trim()
            self._taken.set()
        return found

    async def settled(self, *, leader: bool = False) -> None:
        """Wait until the call has put its affairs in order. The `leader`, whose call it is, always waits: cancelled
        before the end, it cancels the call, and is cancelled when that is over."""
        task, cancelled = self.task, None
        while task is not None and not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                if not leader:
                    raise
                cancelled = error
                if not self.over:
                    task.cancel()
        if cancelled is not None:
            raise cancelled

    def _behind(self) -> int:
        first = next(iter(self._readers), None)
        return 0 if first is None else self._size - first.taken

    def _cut(self, allowed: int) -> None:
        """Do without readers that are further behind; never the first. Who joined at the last moment had all that was
        kept then to catch up with."""
        for reader in list(self._readers)[1:]:
            if self._size - reader.taken > allowed:
                reader.cut = True
                del self._readers[reader]
        self._trim()

    def _trim(self) -> None:
        """Let go of what every reader has had."""
        needed = min((reader.at for reader in self._readers), default=self._gone + len(self._pieces))
        gone = self._pieces[: needed - self._gone]
        size = sum(map(len, gone))
        del self._pieces[: len(gone)]
        self._gone += len(gone)
        self._kept -= size
        self._room.used -= size

    def _finish(self, failure: BaseException | None) -> None:
        if not self.over:
            self.over = True
            self.failure = failure
        if not self._readers and (self.task is None or self.task.done()):
            self._free()
        self._tell()

    def _free(self) -> None:
        """Nobody reads any more: only the call itself may still look at what is kept, until it has ended."""
        self._room.used -= self._kept
        self._kept = 0

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
