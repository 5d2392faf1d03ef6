"""Protobuf JSON, read leniently: both spellings of a field, enums by name or number, integers as text.

Law: after `camel`, every field that the protocol names is spelled in lowerCamelCase; what a client or a tool made up
itself (arguments, results, schemas, labels) is untouched. A value in which nothing changes is the same object.

Source: https://protobuf.dev/programming-guides/json/; numbers of enums:
https://github.com/googleapis/googleapis/blob/master/google/ai/generativelanguage/v1beta/generative_service.proto
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ccx.protocols.ir import Json, JsonObject

_SNAKE = re.compile(r"_?[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_SNAKE_KEY = re.compile(rb'"_?[a-z][a-z0-9]*_[a-z0-9_]*"\s*:')
# Fields whose content is not the protocol's own, or is read by `schemas`, which knows both spellings itself.
_FREE: Final = frozenset(
    {
        "args",
        "response",
        "parameters",
        "parametersJsonSchema",
        "responseSchema",
        "responseJsonSchema",
        "_responseJsonSchema",
        "labels",
        "partMetadata",
    }
)

FINISH_REASONS: Final = {
    0: "FINISH_REASON_UNSPECIFIED",
    1: "STOP",
    2: "MAX_TOKENS",
    3: "SAFETY",
    4: "RECITATION",
    5: "OTHER",
    6: "LANGUAGE",
    7: "BLOCKLIST",
    8: "PROHIBITED_CONTENT",
    9: "SPII",
    10: "MALFORMED_FUNCTION_CALL",
    11: "IMAGE_SAFETY",
    12: "UNEXPECTED_TOOL_CALL",
    13: "TOO_MANY_TOOL_CALLS",
}
BLOCK_REASONS: Final = {
    0: "BLOCK_REASON_UNSPECIFIED",
    1: "SAFETY",
    2: "OTHER",
    3: "BLOCKLIST",
    4: "PROHIBITED_CONTENT",
    5: "IMAGE_SAFETY",
}
CALLING_MODES: Final = {0: "MODE_UNSPECIFIED", 1: "AUTO", 2: "ANY", 3: "NONE", 4: "VALIDATED"}
TYPES: Final = {1: "STRING", 2: "NUMBER", 3: "INTEGER", 4: "BOOLEAN", 5: "ARRAY", 6: "OBJECT", 7: "NULL"}
LEVELS: Final = {1: "LOW", 2: "HIGH", 3: "MEDIUM", 4: "MINIMAL"}


@lru_cache(maxsize=1024)
def _camel(key: str) -> str:
    if _SNAKE.fullmatch(key) is None:
        return key
    lead = "_" if key[0] == "_" else ""
    first, *others = key.lstrip("_").split("_")
    return lead + first + "".join(word.capitalize() for word in others)


def camel(value: JsonObject) -> JsonObject:
    """An object with the protocol's fields in lowerCamelCase, at every depth."""
    changes: dict[str, tuple[str, Json]] | None = None
    for key, item in value.items():
        name = _camel(key) if "_" in key else key
        new = item
        if isinstance(item, dict):
            if name not in _FREE:
                new = camel(item)
        elif isinstance(item, list) and name not in _FREE:
            new = _listed(item)
        if new is not item or name is not key:
            changes = changes or {}
            changes[key] = (name, new)
    if changes is None:
        return value
    return dict(changes.get(key, (key, item)) for key, item in value.items())


def _listed(items: list[Json]) -> list[Json]:
    found: list[Json] = [
        camel(item) if isinstance(item, dict) else _listed(item) if isinstance(item, list) else item for item in items
    ]
    return found if any(new is not old for new, old in zip(found, items, strict=True)) else items


def word(value: Json, numbers: Mapping[int, str]) -> str | None:
    """The name of an enum's value, given by name or number; a number that is not known is its own name."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return numbers.get(value, str(value))
    return value if isinstance(value, str) and value else None


def integer(value: Json) -> int | None:
    """A whole number, which may also be spelled as text or with a fraction of zero; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def several(value: Json) -> list[Json] | None:
    """A repeated field, of which Google takes a single element bare; None for anything else."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [value]
    return value if isinstance(value, list) else None


def may_be_snake(text: bytes) -> bool:
    """Whether JSON text may have a field that `camel` would spell in another way."""
    return b"_" in text and _SNAKE_KEY.search(text) is not None


class Malformed(Exception):
    """A payload that breaks the protocol in a way that leaves no meaning. `path` as Google writes it: `a[0].b`."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{message} at '{path}'" if path else message)
