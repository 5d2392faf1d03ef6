"""Reading JSON of unknown honesty.

A wrong type reads as absent: vendors send `null`, empty strings and empty objects where a field has no meaning, and
what is absent has none either. Whoever must tell a wrong type from an absent field looks for itself.
"""

from __future__ import annotations

from collections.abc import Collection

from ccx.protocols.ir import Json, JsonObject


def text(value: Json) -> str:
    """A string; empty for anything else."""
    return value if isinstance(value, str) else ""


def record(value: Json) -> JsonObject:
    """An object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def records(value: Json) -> list[JsonObject]:
    """The objects in a list; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def integer(value: Json) -> int | None:
    """A whole number, also where JSON spells it with a fraction of zero."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def number(value: Json) -> float | int | None:
    """A number; None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def boolean(value: Json) -> bool | None:
    """True or false; None for anything else."""
    return value if isinstance(value, bool) else None


def rest(found: JsonObject, known: Collection[str]) -> JsonObject:
    """The fields that are not known and say something."""
    return {key: value for key, value in found.items() if value is not None and key not in known}
