"""What the demo upstream sends back, as data: a head, pieces of body with the pause before each, and how it ends.

An `Answer` performs nothing. The in-process engine and the ASGI app each carry one out in their own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from ccx.upstream.reply import Header


class End(Enum):
    """What happens after the last piece."""

    COMPLETE = auto()  # the answer ends as HTTP says
    CUT = auto()  # the connection closes in the middle
    STALL = auto()  # nothing more comes, and the connection stays open


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of the body, never none, and the pause in seconds before them."""

    delay: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `delay` is the pause in seconds before the head; None means that no head ever comes."""

    status: int
    headers: tuple[Header, ...]
    pieces: tuple[Piece, ...]
    delay: float | None = 0.0
    end: End = End.COMPLETE


def encode(value: Mapping[str, object] | Sequence[object]) -> bytes:
    """The compact JSON of a value."""
    return msgspec.json.encode(value)


def event(data: Mapping[str, object], *, name: str | None = None) -> bytes:
    """One server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + encode(data) + b"\n\n"
