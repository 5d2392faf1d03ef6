"""Residue, in and out: whose it is, who understands it, and what its loss is called.

What a part came with is kept under the protocol's own names. Items of the protocol hold several parts where
the neutral form knows only parts, so of what belongs to the whole item `id`, `status` and `phase` are kept flat and
fields that are not known under `item`; fields of the part itself are flat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ccx.protocols.ir import JsonObject, Loss, Native
from ccx.protocols.names import Protocol
from ccx.protocols.residue import says_something, telling

# Residue is named for what it is where the name says it; the rest for the field.
_WHAT: Final = {
    "annotation": "citations",
    "cache_control": "cache_control",
    "citations": "citations",
    "context_management": "context_management",
    "data": "signature",
    "encrypted_content": "signature",
    "groundingMetadata": "citations",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "logprobsResult": "logprobs",
    "metadata": "metadata",
    "name": "name",
    "reasoning_content": "reasoning",
    "reasoning_details": "signature",
    "role": "role",
    "safetySettings": "safety_settings",
    "service_tier": "service_tier",
    "signature": "signature",
    "thoughtSignature": "signature",
    "thought_signature": "signature",
    "user": "user",
}


def made(data: JsonObject, issuer: str | None) -> tuple[Native, ...]:
    """Residue of this protocol; none of it if there is no data."""
    return (Native(Protocol.RESPONSES, issuer, data),) if data else ()


def foreign(natives: Sequence[Native]) -> tuple[Native, ...]:
    """The residue of other protocols that means something to them."""
    if not natives:
        return ()
    return telling(native for native in natives if native.protocol is not Protocol.RESPONSES)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who will read what is written: the upstream of this issuer, which understands its own residue and that of
    clients of this protocol; or a client (None), for which all residue of this protocol is meant."""

    issuer: str | None

    def understands(self, native: Native) -> bool:
        """Whether this residue is for this reader."""
        if native.protocol is not Protocol.RESPONSES:
            return False
        return self.issuer is None or native.issuer is None or native.issuer == self.issuer

    def own(self, natives: Sequence[Native]) -> JsonObject:
        """The fields of all residue that the reader understands."""
        if not natives:
            return {}
        found: JsonObject = {}
        for native in natives:
            if self.understands(native):
                found.update(native.data)
        return found

    def refused(self, natives: Sequence[Native], path: str) -> Iterator[Loss]:
        """A loss for each field of residue that the reader does not understand."""
        for native in natives:
            if self.understands(native):
                continue
            origin = native.protocol.value if native.issuer is None else f"{native.protocol.value}/{native.issuer}"
            for key, value in native.data.items():
                if says_something(key, value):
                    yield Loss(f"{path}.native", _WHAT.get(key, f"unknown_field:{key}"), detail=f"of {origin}")


CLIENT: Final = Audience(None)
