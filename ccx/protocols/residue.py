"""Carrying residue of one provider through a client of another protocol and back, sealed.

Some upstreams refuse a next turn unless they get back what they sent: Gemini the thought signature of a call, DeepSeek
and Kimi their reasoning, Anthropic the signature of a thinking block. A client of another protocol has no field for
these, but every protocol has one slot that clients must return untouched: a thinking signature, encrypted reasoning, a
thought signature. There, and nowhere else (never in an id, never in text), residue travels in an envelope that names
itself, its protocol and its issuer. Opening anything else gives None.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping

import msgspec

from ccx.protocols.ir import Json, Native
from ccx.protocols.names import Protocol

MARK = "ccx1."
MAX_SEALED = 4 * 1024 * 1024

BOOKKEEPING = frozenset(
    {
        "id",
        "type",
        "object",
        "index",
        "status",
        "additional_tools",  # where a Responses client declared a tool, which is carried all the same
        "tool_search_output",  # likewise
        "echo",  # a request's fields repeated in its answer
        "system_fingerprint",  # which build answered
        "completed_at",
        "createTime",
        "billing",
        "include",  # what an answer shall have besides; each is told by what it belongs to
    }
)
"""Fields by which a protocol only keeps its books: ids and states of items, places, repetitions. To leave them out
loses no meaning, so they are neither a loss nor worth an envelope."""


_USUAL: Mapping[str, tuple[Json, ...]] = {
    "role": ("developer", "system"),
    "service_tier": ("auto", "default", "standard"),
    "store": (False,),
    "responseModalities": (["TEXT"], ["text"]),
}
"""Values that say what would be so without them."""


def says_something(field: str, value: Json) -> bool:
    """Whether leaving out this field of residue is worth a word: it keeps no books, is not empty, and is not what would
    be without it."""
    if field in BOOKKEEPING or value in (None, {}, []):
        return False
    return value not in _USUAL.get(field, ())


class _Envelope(msgspec.Struct, array_like=True, frozen=True):
    protocol: str
    issuer: str | None
    data: dict[str, object]


def telling(natives: Iterable[Native]) -> tuple[Native, ...]:
    """The residue that means something to its origin; without what only keeps its books."""
    return tuple(native for native in natives if not native.data.keys() <= BOOKKEEPING)


def seal(native: tuple[Native, ...]) -> str:
    """An envelope of residue, as text without white space that any protocol takes for an opaque token."""
    body = msgspec.json.encode([_Envelope(one.protocol.value, one.issuer, dict(one.data)) for one in native])
    return MARK + base64.urlsafe_b64encode(body).decode().rstrip("=")


def unseal(text: str) -> tuple[Native, ...] | None:
    """What an envelope holds; None for anything that is not one of ours."""
    if not text.startswith(MARK) or len(text) > MAX_SEALED:
        return None
    body = text[len(MARK) :]
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        found = msgspec.json.decode(raw, type=list[_Envelope])
        return tuple(Native(Protocol(one.protocol), one.issuer, one.data) for one in found)  # type: ignore[arg-type]  # JSON values by construction
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        return None
