"""Putting the parts of a stream in order.

Chunks may interleave parts: the arguments of several calls, words among them. The neutral grammar does not. Each part
has a slot; slots are emptied in the order in which they were opened, the first live, those behind it when it is whole.
Words and thoughts are whole when something else begins. A call is whole when its arguments are a JSON object, or at the
end: nothing else tells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ccx.errors import BadReply
from ccx.protocols.ir import Citation, Event, Native, Part, PartBegin, PartDelta, PartEnd

_raw = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(slots=True, eq=False)
class Slot:
    """One part as it comes. `part` is it with nothing said, None until enough is known to begin. `call`: it may be
    gone on with while others have begun. `held`: it is said at once at the end, by `whole`."""

    part: Part | None
    call: bool = False
    free: bool = False
    said: list[str] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    natives: Callable[[str], tuple[Native, ...]] | None = None
    whole: Callable[[str], str] | None = None
    closed: bool = False
    _begun: bool = False
    _sent: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing can follow: true of words, and of a call whose arguments are an object."""
        if not self.call:
            return True
        if self.free or self.part is None:
            return False
        said = "".join(self.said)
        self.said[:] = [said]
        self._sent = min(self._sent, 1)
        if not said.rstrip().endswith("}"):
            return False
        try:
            _raw(said)
        except msgspec.DecodeError:
            return False
        return True


class Queue:
    """The slots, and the events that emptying them gives."""

    __slots__ = ("_index", "_out", "_waiting", "active", "last")

    def __init__(self) -> None:
        self._index = -1
        self._out: list[Event] = []
        self._waiting: deque[Slot] = deque()
        self.active: Slot | None = None
        self.last: Slot | None = None

    def open(self, slot: Slot) -> Slot:
        """A new part begins."""
        self.last = slot
        self._waiting.append(slot)
        self._advance()
        return slot

    def say(self, slot: Slot, piece: str) -> None:
        """More of a part. Raises BadReply for a part that was whole already."""
        if not piece:
            return
        if slot.closed:
            if piece.isspace():
                return
            raise BadReply("a part of the answer goes on after its end", stage="body")
        slot.said.append(piece)
        if slot is self.active:
            self._show(slot)
            if self._waiting:
                self._advance()

    def known(self, slot: Slot) -> None:
        """Enough became known of a part for it to begin."""
        if slot is self.active:
            self._show(slot)

    def take(self) -> list[Event]:
        """The events so far."""
        out, self._out = self._out, []
        return out

    def end(self) -> None:
        """No part goes on."""
        while self.active is not None or self._waiting:
            if self.active is not None:
                self._close(self.active)
            if self._waiting:
                self._start(self._waiting.popleft())

    def _advance(self) -> None:
        while self._waiting and (self.active is None or self.active.complete):
            if self.active is not None:
                self._close(self.active)
            self._start(self._waiting.popleft())

    def _start(self, slot: Slot) -> None:
        self.active = slot
        self._index += 1
        self._show(slot)

    def _show(self, slot: Slot) -> None:
        if slot.part is None:
            return
        if not slot._begun:
            slot._begun = True
            self._out.append(PartBegin(self._index, slot.part))
        if slot.whole is None and slot._sent < len(slot.said):
            self._out.append(PartDelta(self._index, "".join(slot.said[slot._sent :])))
            slot._sent = len(slot.said)

    def _close(self, slot: Slot) -> None:
        self._show(slot)
        said = "".join(slot.said)
        if slot.whole is not None and (words := slot.whole(said)):
            self._out.append(PartDelta(self._index, words))
        natives = () if slot.natives is None else slot.natives(said)
        self._out.append(PartEnd(self._index, natives, tuple(slot.citations)))
        slot.closed = True
        self.active = None
