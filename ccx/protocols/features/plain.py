"""Plain requests, and what samples are made of.

A sample is written as what it adds to a plain request ("Hello"), by top-level fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ccx.protocols.features import Asked
from ccx.protocols.ir import JsonObject
from ccx.protocols.names import Protocol

M, C, R, G = Protocol.MESSAGES, Protocol.CHAT, Protocol.RESPONSES, Protocol.GEMINI

PLAIN: Final[Mapping[Protocol, JsonObject]] = {
    M: {"model": "model", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hello"}]},
    C: {"model": "model", "messages": [{"role": "user", "content": "Hello"}]},
    R: {"model": "model", "input": [{"role": "user", "content": "Hello"}]},
    G: {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}

PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF: Final = "JVBERi0xLjQKMSAwIG9iajw8Pj5lbmRvYmoKdHJhaWxlcjw8L1Jvb3QgMSAwIFI+Pg=="
WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
URL: Final = "https://example.com/cat.png"
SCHEMA: Final[JsonObject] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}

Row = tuple[str, str, str, str, Mapping[Protocol, JsonObject]]
"""Id, title, group, names of losses (separated by blanks), samples."""


def asked(rows: Iterable[Row]) -> tuple[Asked, ...]:
    """The features of these rows."""
    return tuple(
        Asked(
            id_,
            title,
            group,
            {protocol: {**PLAIN[protocol], **fields} for protocol, fields in samples.items()},
            frozenset(losses.split()),
        )
        for id_, title, group, losses, samples in rows
    )
