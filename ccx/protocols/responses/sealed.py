"""What clients carry for others, in the encrypted content of reasoning items.

Law
- Clients return reasoning items untouched, so residue of other protocols travels there, and nowhere else. An envelope
  without a note belongs to the thought of its own item; else the first thing in it is a note that says whose it is: the
  `next` or the `previous` part, the call of an id, or a whole part that this protocol has no item for.
- Encrypted content of this protocol goes as it is, unless its item's id had to change: it is good only with its id, so
  both are put into an envelope.
- Only what a client returns is opened. From an upstream an envelope is a token like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ccx.protocols.ir import JsonObject, Native, Opaque, Part, Reasoning, ToolCall, ToolResult
from ccx.protocols.names import Protocol
from ccx.protocols.residue import MARK, seal, unseal
from ccx.protocols.values import text
from ccx.protocols.whole_parts import note_of, noted, packed, unpacked

Place = Literal["self", "next", "previous", "call"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an envelope holds: a `whole` part, or residue of a part somewhere near."""

    natives: tuple[Native, ...]
    place: Place = "self"
    call: str = ""
    whole: Part | None = None


def is_sealed(token: str) -> bool:
    """Whether ccx made this token, whether or not it can still be opened."""
    return token.startswith(MARK)


def seal_beside(natives: tuple[Native, ...], *, place: Literal["next", "previous"], call: str | None) -> str:
    """Residue of another item than the one that carries it."""
    note: JsonObject = {"place": place} if call is None else {"place": "call", "call": call}
    return seal(noted(Protocol.RESPONSES, note, natives))


def seal_part(part: ToolCall | ToolResult | Opaque) -> str:
    """A part that has no item in this protocol: it comes back with the next request."""
    return seal(packed(Protocol.RESPONSES, part))


def unsealed(token: str) -> Sealed | None:
    """What one of our tokens holds; None for any other, and for one that was damaged."""
    natives = unseal(token)
    if not natives:
        return None
    note, others = note_of(Protocol.RESPONSES, natives), natives[1:]
    if note is None:
        return Sealed(natives)
    match note.get("place"):
        case "next":
            return Sealed(others, "next")
        case "previous":
            return Sealed(others, "previous")
        case "call":
            return Sealed(others, "call", text(note.get("call")))
    whole = unpacked(note, others)
    return None if whole is None else Sealed((), whole=whole)


def placed(found: Iterable[Part | Sealed]) -> tuple[Part, ...]:
    """The parts of a turn, with the residue that came back beside them on those it belongs to."""
    parts: list[Part] = []
    waiting: tuple[Native, ...] = ()
    calls: dict[str, tuple[Native, ...]] = {}
    for item in found:
        if not isinstance(item, Sealed):
            parts.append(_with(item, waiting))
            waiting = ()
        elif item.whole is not None:
            parts.append(item.whole)
        elif item.place == "call":
            calls[item.call] = (*calls.get(item.call, ()), *item.natives)
        elif item.place == "next":
            waiting = (*waiting, *item.natives)
        elif item.place == "previous" and parts:
            parts[-1] = _with(parts[-1], item.natives)
        else:
            parts.append(Reasoning("", native=item.natives))
    if calls:
        parts = [
            _with(part, calls.pop(part.id)) if isinstance(part, ToolCall) and part.id in calls else part
            for part in parts
        ]
    # A client dropped the part that this belongs to. The residue stays, as a thought of its own.
    for lost in (waiting, *calls.values()):
        if lost:
            parts.append(Reasoning("", native=lost))
    return tuple(parts)


def _with(part: Part, natives: tuple[Native, ...]) -> Part:
    if not natives or isinstance(part, Opaque):
        return part
    return replace(part, native=(*part.native, *natives))
