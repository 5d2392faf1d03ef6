"""Residue on the Gemini side: what is ours goes back as it came, what is another's is sealed or named as a loss.

Law
- To an upstream: residue of this protocol, and of this issuer or of no one in particular, goes as it is; all else is a
  `Loss`. Nothing sealed ever goes to an upstream.
- To a client: residue of this protocol goes as it is; another's travels in the `thoughtSignature` of its part. SDKs
  read that field as bytes, so the envelope is base64 once more.
- Clients drop thoughts from the history but must return calls whole. So the thoughts of another provider travel in the
  signature of the next call too, and come back before it unless the client kept them.
- A part that Gemini cannot show travels whole, in the signature of an empty thought.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ccx.protocols.ir import Json, JsonObject, Loss, Native, Opaque, Part, Reasoning, ToolCall, ToolResult
from ccx.protocols.names import Protocol
from ccx.protocols.residue import MARK, says_something, seal, telling, unseal
from ccx.protocols.values import text
from ccx.protocols.whole_parts import NOTE, note_of, packed, unpacked

SIGNATURE: Final = "thoughtSignature"
DUMMIES: Final = frozenset({"skip_thought_signature_validator", "context_engineering_is_the_way_to_go"})
"""Signatures that say there is none, for histories of other models:
https://ai.google.dev/gemini-api/docs/thought-signatures#faqs"""

_MARKED: Final = base64.b64encode(MARK.encode()[:3]).decode()  # how every envelope begins
_WHAT: Final = {
    "annotation": "citations",
    "cache_control": "cache_control",
    "context_management": "context_management",
    "data": "signature",
    "encrypted_content": "signature",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "metadata": "metadata",
    "name": "name",
    "namespace": "namespace",
    "reasoning": "signature",
    "reasoning_content": "signature",
    "reasoning_details": "signature",
    "role": "role",
    "safety_settings": "safety_settings",
    "service_tier": "service_tier",
    "signature": "signature",
    "thought_signature": "signature",
    "top_logprobs": "logprobs",
}
_OWN_WHAT: Final = {
    "thought": "reasoning",
    "logprobs": "logprobs",
    "responseLogprobs": "logprobs",
    "safetySettings": "safety_settings",
}


def made(data: JsonObject, issuer: str | None) -> tuple[Native, ...]:
    """Residue of this protocol; none of it if there is no data."""
    return (Native(Protocol.GEMINI, issuer, data),) if data else ()


def own(natives: Sequence[Native]) -> JsonObject:
    """The fields of this protocol, whoever issued them: what a client of it is given back."""
    found: JsonObject = {}
    for native in natives:
        if native.protocol is Protocol.GEMINI:
            found.update(native.data)
    return found


def understood(native: Native, issuer: str) -> bool:
    """Whether an upstream of this issuer knows what to do with this."""
    return native.protocol is Protocol.GEMINI and native.issuer in (None, issuer)


def accepted(natives: Sequence[Native], issuer: str) -> JsonObject:
    """The fields of this protocol that an upstream of this issuer understands."""
    found: JsonObject = {}
    for native in natives:
        if understood(native, issuer):
            found.update(native.data)
    return found


def refused(natives: Sequence[Native], issuer: str, path: str) -> Iterator[Loss]:
    """A loss for each field of residue that an upstream of this issuer would not understand."""
    for native in natives:
        if not understood(native, issuer):
            yield from _losses(native, path)


def unshown(natives: Sequence[Native], path: str) -> Iterator[Loss]:
    """A loss for each field of another protocol, where a client has no slot that could carry it."""
    for native in foreign(natives):
        yield from _losses(native, path)


def _losses(native: Native, path: str) -> Iterator[Loss]:
    origin = native.protocol.value if native.issuer is None else f"{native.protocol.value}/{native.issuer}"
    names = _OWN_WHAT if native.protocol is Protocol.GEMINI else _WHAT
    for key, value in native.data.items():
        if not says_something(key, value):
            continue
        what = "signature" if key == SIGNATURE else names.get(key, f"unknown_field:{key}")
        yield Loss(path, what, detail=f"of {origin}")


def foreign(natives: Sequence[Native]) -> tuple[Native, ...]:
    """The residue of other protocols that means something to its origin."""
    return telling(native for native in natives if native.protocol is not Protocol.GEMINI) if natives else ()


# --- envelopes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an opened signature holds: residue of its part, thoughts before it, or a part that is not shown."""

    natives: tuple[Native, ...]
    before: tuple[Reasoning, ...] = ()
    whole: Part | None = None


def signature(natives: Sequence[Native], before: Sequence[Reasoning] = ()) -> str | None:
    """The signature of a part for a client: the provider's own, or an envelope where there is more to carry."""
    if not before and not foreign(natives):
        found = own(natives).get(SIGNATURE)
        return found if isinstance(found, str) else None
    carried = [native for native in natives if native.protocol is not Protocol.GEMINI or SIGNATURE in native.data]
    if before:
        thoughts: list[Json] = [
            {"text": one.text, "summary": one.summary, "sealed": seal(one.native) if one.native else None}
            for one in before
        ]
        carried.insert(0, Native(Protocol.GEMINI, NOTE, {"before": thoughts}))
    return _envelope(tuple(carried))


def seal_part(part: ToolCall | ToolResult | Opaque) -> str:
    """A part that Gemini cannot show, as the signature of an empty thought: it comes back with the next request."""
    return _envelope(packed(Protocol.GEMINI, part))


def _envelope(natives: tuple[Native, ...]) -> str:
    return base64.b64encode(seal(natives).encode()).decode()


def is_sealed(token: str) -> bool:
    """Whether ccx made this signature, whether or not it can still be opened."""
    return token.startswith(_MARKED) and _opened(token[:8]).startswith(MARK)


def unsealed(token: str) -> Sealed | None:
    """What one of our signatures holds; None for one that was damaged."""
    natives = unseal(_opened(token))
    if not natives:
        return None
    note, rest = note_of(Protocol.GEMINI, natives), natives[1:]
    if note is None:
        return Sealed(natives)
    thoughts = note.get("before")
    if isinstance(thoughts, list):
        return Sealed(rest, before=tuple(_thought(one) for one in thoughts if isinstance(one, dict)))
    whole = unpacked(note, rest)
    return None if whole is None else Sealed((), whole=whole)


def _opened(token: str) -> str:
    """The text in base64 of either alphabet; empty where it is none. SDKs change the alphabet on the way."""
    try:
        raw = base64.urlsafe_b64decode(token.replace("+", "-").replace("/", "_") + "=" * (-len(token) % 4))
        return raw.decode("ascii")
    except (ValueError, binascii.Error):
        return ""


def _thought(note: JsonObject) -> Reasoning:
    sealed = note.get("sealed")
    natives = unseal(sealed) if isinstance(sealed, str) else ()
    return Reasoning(text(note.get("text")), note.get("summary") is True, natives or ())
