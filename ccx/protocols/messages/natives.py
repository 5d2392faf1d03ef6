"""Residue on the Messages side: what is ours goes back as it came, what is another's is sealed or named as a loss.

Law
- To an upstream: residue of this protocol, and of this issuer or of no one in particular, goes as it is; all else is a
  `Loss`. Nothing sealed ever goes to an upstream.
- To a client: residue of this protocol goes as it is; another's goes into the two slots that clients return untouched,
  the signature of a thinking block and the data of a redacted one.
- A redacted block that carries residue of another part says whose it is, by a note that only this module reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ccx.protocols.ir import JsonObject, Loss, Native, Opaque, Part, ToolCall, ToolResult
from ccx.protocols.names import Protocol
from ccx.protocols.residue import BOOKKEEPING, MARK, says_something, seal, unseal
from ccx.protocols.values import text
from ccx.protocols.whole_parts import note_of, noted, packed, unpacked

_UNCARRIED: Final = BOOKKEEPING | {"logprobs"}
_WHAT: Final = {
    "annotation": "citations",
    "cache_control": "cache_control",
    "context_management": "context_management",
    "data": "signature",
    "encrypted_content": "signature",
    "groundingMetadata": "citations",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "logprobsResult": "logprobs",
    "name": "name",
    "namespace": "namespace",
    "reasoning": "signature",
    "reasoning_content": "signature",
    "reasoning_details": "signature",
    "role": "role",
    "safetySettings": "safety_settings",
    "safety_settings": "safety_settings",
    "signature": "signature",
    "thoughtSignature": "signature",
    "thought_signature": "signature",
}


def made(data: JsonObject, issuer: str | None) -> tuple[Native, ...]:
    """Residue of this protocol; none of it if there is no data."""
    return (Native(Protocol.MESSAGES, issuer, data),) if data else ()


def own(natives: Sequence[Native]) -> JsonObject:
    """The fields of this protocol, whoever issued them: what a client of it is given back."""
    if not natives:
        return {}
    found: JsonObject = {}
    for native in natives:
        if native.protocol is Protocol.MESSAGES:
            found.update(native.data)
    return found


def accepted(natives: Sequence[Native], issuer: str) -> JsonObject:
    """The fields of this protocol that an upstream of this issuer understands."""
    if not natives:
        return {}
    found: JsonObject = {}
    for native in natives:
        if native.protocol is Protocol.MESSAGES and native.issuer in (None, issuer):
            found.update(native.data)
    return found


def refused(natives: Sequence[Native], issuer: str, path: str) -> Iterator[Loss]:
    """A loss for each field of residue that an upstream of this issuer would not understand."""
    for native in natives:
        if native.protocol is Protocol.MESSAGES and native.issuer in (None, issuer):
            continue
        origin = native.protocol.value if native.issuer is None else f"{native.protocol.value}/{native.issuer}"
        for key, value in native.data.items():
            if says_something(key, value):
                yield Loss(path, _WHAT.get(key, f"unknown_field:{key}"), detail=f"of {origin}")


def foreign(natives: Sequence[Native]) -> tuple[Native, ...]:
    """The residue of other protocols that is worth carrying: more than bookkeeping."""
    return tuple(
        native
        for native in natives
        if native.protocol is not Protocol.MESSAGES and not _UNCARRIED.issuperset(native.data)
    )


# --- sealed blocks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an opened block holds. `whole` is a part that Messages cannot show; else `natives` belong to the block
    itself, to the `next` or `previous` part, or to the call whose id is in `call`."""

    natives: tuple[Native, ...]
    place: Literal["self", "next", "previous", "call"] = "self"
    call: str | None = None
    whole: Part | None = None


def is_sealed(text: str) -> bool:
    """Whether ccx made this token, whether or not it can still be opened."""
    return text.startswith(MARK)


def seal_for(natives: tuple[Native, ...], *, place: Literal["next", "previous"], call: str | None = None) -> str:
    """Residue of another part, as the data of a redacted block beside it."""
    note: JsonObject = {"place": place if call is None else "call", "call": call}
    return seal(noted(Protocol.MESSAGES, note, natives))


def seal_part(part: ToolCall | ToolResult | Opaque) -> str:
    """A part that Messages cannot show, as the data of a redacted block: it comes back with the next request."""
    return seal(packed(Protocol.MESSAGES, part))


def unsealed(token: str) -> Sealed | None:
    """What one of our tokens holds; None for any other, and for one that was damaged."""
    natives = unseal(token)
    if not natives:
        return None
    note, rest = note_of(Protocol.MESSAGES, natives), natives[1:]
    if note is None:
        return Sealed(natives)
    place = note.get("place")
    if place in ("next", "previous"):
        return Sealed(rest, place="next" if place == "next" else "previous")
    if place == "call":
        return Sealed(rest, place="call", call=text(note.get("call")))
    whole = unpacked(note, rest)
    return None if whole is None else Sealed((), whole=whole)
