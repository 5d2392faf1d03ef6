"""Parts that a protocol cannot show, whole, as residue that its clients carry and bring back.

Law: an envelope may begin with a note, residue whose issuer no dialect has; it says whose the rest is. What a note may
say of places is each codec's own; what it says of a whole part is the same for all, and is here.
"""

from __future__ import annotations

from typing import Final

from ccx.protocols.ir import JsonObject, Native, Opaque, Part, ToolCall, ToolResult
from ccx.protocols.names import Protocol
from ccx.protocols.values import text

NOTE: Final = "ccx"
"""The issuer of notes; no dialect has this name."""


def noted(protocol: Protocol, note: JsonObject, natives: tuple[Native, ...]) -> tuple[Native, ...]:
    """Residue with a note in front."""
    return (Native(protocol, NOTE, note), *natives)


def note_of(protocol: Protocol, natives: tuple[Native, ...]) -> JsonObject | None:
    """The note in front of residue; None where there is none."""
    first = natives[0] if natives else None
    return first.data if first is not None and first.protocol is protocol and first.issuer == NOTE else None


def packed(protocol: Protocol, part: ToolCall | ToolResult | Opaque) -> tuple[Native, ...]:
    """A whole part as residue."""
    match part:
        case ToolCall():
            note: JsonObject = {
                "part": "call",
                "id": part.id,
                "name": part.name,
                "arguments": part.arguments,
                "kind": part.kind,
                "namespace": part.namespace,
            }
            return noted(protocol, note, part.native)
        case ToolResult():
            note = {"part": "result", "id": part.call_id, "name": part.name, "is_error": part.is_error}
            return noted(protocol, note, part.native)
        case Opaque():
            return noted(protocol, {"part": "opaque", "kind": part.kind}, (part.native,))


def unpacked(note: JsonObject, natives: tuple[Native, ...]) -> Part | None:
    """The part that `packed` was given, from the note and what followed it; None where it tells of none."""
    match note.get("part"):
        case "call":
            return ToolCall(
                text(note.get("id")),
                text(note.get("name")),
                text(note.get("arguments")),
                kind="custom" if note.get("kind") == "custom" else "function",
                namespace=text(note.get("namespace")) or None,
                server=True,
                native=natives,
            )
        case "result":
            return ToolResult(
                text(note.get("id")),
                (),
                name=text(note.get("name")) or None,
                is_error=note.get("is_error") is True,
                server=True,
                native=natives,
            )
        case "opaque" if natives:
            return Opaque(text(note.get("kind")), natives[0])
        case _:
            return None
