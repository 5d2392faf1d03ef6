"""Canonical JSON of table values, and the digest.

Sorted keys, no white space, sets sorted, enumerations by value, decimals and fractions as exact text, fields at their
default left out, so that a field added to the language later leaves the digests of old specs alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from ccx.routing import conditions
from ccx.routing.table import RoutingTable

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def canonical(value: object) -> Json:
    """A table value as plain JSON data. Raises TypeError for anything that has no one canonical form."""
    match value:
        case None | bool() | int():
            return value
        case StrEnum():
            return value.value
        case str():
            return value
        case Decimal():
            return format(value.normalize(), "f")
        case Fraction():
            return str(value)
        case date():
            return value.isoformat()
        case tuple():
            return [canonical(item) for item in value]
        case frozenset():
            return sorted((canonical(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _record(value)
        case _:
            raise TypeError(f"{value!r} has no canonical form")


def _record(value: object) -> dict[str, Json]:
    record: dict[str, Json] = {}
    if type(value).__module__ == conditions.__name__:
        record["is"] = type(value).__name__
    for field in fields(value):  # type: ignore[arg-type]  # the caller has seen that it is a dataclass instance
        item = getattr(value, field.name)
        if field.default is not MISSING and item == field.default:
            continue
        record[field.name] = canonical(item)
    return record


def table_json(table: RoutingTable) -> bytes:
    """The table as deterministic bytes: the same meaning gives the same bytes on every machine."""
    return json.dumps(canonical(table), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(table: RoutingTable) -> str:
    """SHA-256 of the canonical bytes, 64 hexadecimal digits."""
    return hashlib.sha256(table_json(table)).hexdigest()
