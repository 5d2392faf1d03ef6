"""Residue, in and out: whose it is, who understands it, and what its loss is called."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ccx.protocols.ir import JsonObject, Loss, Native
from ccx.protocols.names import Protocol
from ccx.protocols.residue import says_something

# Residue is named for what it is where the name says it; the rest for the field.
_NAMED = frozenset(
    {
        "cache_control",
        "citations",
        "logit_bias",
        "metadata",
        "name",
        "namespace",
        "role",
        "service_tier",
        "signature",
        "strict",
        "user",
        "context_management",
        "safety_settings",
    }
)
_SIGNATURES = {
    "thought_signature": "signature",
    "thoughtSignature": "signature",
    "encrypted_content": "signature",
    "reasoning_details": "signature",
    "reasoning_content": "reasoning",
    "annotation": "citations",
    "groundingMetadata": "citations",
    "logprobsResult": "logprobs",
    "safetySettings": "safety_settings",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who wrote what is being read: a client (None) or the provider of this name."""

    issuer: str | None

    def native(self, data: JsonObject) -> tuple[Native, ...]:
        return (Native(Protocol.CHAT, self.issuer, data),) if data else ()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who will read what is being written: an upstream, which understands residue of clients and of itself, or a
    client (None), for which all residue of this protocol is meant."""

    issuer: str | None

    def understands(self, native: Native) -> bool:
        if native.protocol is not Protocol.CHAT:
            return False
        return self.issuer is None or native.issuer is None or native.issuer == self.issuer

    def own(self, natives: tuple[Native, ...]) -> JsonObject:
        """The fields of all residue that the reader understands."""
        if not natives:
            return {}
        found: JsonObject = {}
        for native in natives:
            if self.understands(native):
                found.update(native.data)
        return found

    def foreign(self, natives: tuple[Native, ...], path: str) -> list[Loss]:
        """A loss for each field of residue that the reader does not understand, and that says something."""
        return [
            lost(path, key)
            for native in natives
            if not self.understands(native)
            for key, value in native.data.items()
            if says_something(key, value)
        ]


def lost(path: str, field: str) -> Loss:
    """The loss of a field of residue."""
    what = _SIGNATURES.get(field) or (field if field in _NAMED else f"unknown_field:{field}")
    return Loss(f"{path}.native", what)


def merged(written: JsonObject, extra: JsonObject) -> JsonObject:
    """What is written, with extra fields put in where they do not contradict."""
    for key, value in extra.items():
        if key not in written:
            written[key] = value
        elif isinstance(value, dict) and isinstance(inner := written[key], dict):
            merged(inner, value)
    return written


def joined(pieces: Iterable[str], *, by: str = "\n\n") -> str:
    return by.join(piece for piece in pieces if piece)
