"""How a key is sent, and how it is kept out of what comes back. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Literal, assert_never

from ccx.upstream.reply import Header

AuthScheme = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "none"]
"""`Authorization: Bearer`, the header of that name, or nothing."""

REDACTED = b"[redacted]"
_SHORTEST = 4  # bytes; a shorter "secret" would blot out ordinary text
_EDGES = 12  # bytes of either end that a provider's mask has been seen to leave readable, with a margin


def auth_headers(scheme: AuthScheme, key: str | None) -> tuple[Header, ...]:
    """The headers that carry a key; none without a key."""
    if key is None:
        return ()
    value = key.encode()
    match scheme:
        case "bearer":
            return ((b"authorization", b"Bearer " + value),)
        case "x-api-key" | "x-goog-api-key" | "api-key":
            return ((scheme.encode(), value),)
        case "none":
            return ()
        case _:
            assert_never(scheme)


def redact(text: bytes, secrets: Collection[str]) -> bytes:
    """`text` without the secrets, and without the masked form in which providers echo them (`sk-ab***wxyz`).

    A mask counts as the secret's if what stands before its asterisks or dots is how the secret begins, or what stands
    after is how it ends. A JSON string's escapes are seen through for characters that JSON must escape.
    """
    for secret in secrets:
        pattern = _pattern(secret)
        if pattern is not None:
            text = pattern.sub(REDACTED, text)
    return text


@lru_cache(maxsize=1024)
def _pattern(secret: str) -> re.Pattern[bytes] | None:
    raw = secret.encode()
    if len(raw) < _SHORTEST:
        return None
    whole = {raw, raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"'), raw.replace(b"/", b"\\/")}
    edges = range(min(_EDGES, len(raw) - 1), 1, -1)
    heads = b"|".join(re.escape(raw[:size]) for size in edges)
    tails = b"|".join(re.escape(raw[-size:]) for size in edges)
    long_tails = b"|".join(re.escape(raw[-size:]) for size in edges if size > 3)  # so that **bold** text stays
    mask = rb"(?:\*{2,}|\.{3,}|\xe2\x80\xa6|(?:\xe2\x80\xa2){2,})"
    forms = [
        *sorted(map(re.escape, whole), key=len, reverse=True),
        rb"(?:" + heads + rb")" + mask + rb"(?:" + tails + rb")?",
    ]
    if long_tails:
        forms.append(mask + rb"(?:" + long_tails + rb")")
    return re.compile(b"|".join(forms))
