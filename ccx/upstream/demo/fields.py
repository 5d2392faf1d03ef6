"""Reading of decoded JSON whose shape nobody has promised: a value of the wrong type reads as absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Json = Mapping[str, object]

EMPTY: Json = {}

_NAMING = frozenset({"role", "type", "id", "tool_use_id", "tool_call_id", "call_id", "signature", "thoughtSignature"})


def record(value: object) -> Json:
    """The object itself, or an empty one."""
    return value if isinstance(value, dict) else EMPTY


def listed(value: object) -> Sequence[object]:
    """The array itself, or an empty one."""
    return value if isinstance(value, list) else ()


def records(value: object) -> list[Json]:
    """The objects in an array; anything else in it is left out."""
    return [item for item in listed(value) if isinstance(item, dict)]


def string(value: object) -> str:
    """The string itself, or an empty one."""
    return value if isinstance(value, str) else ""


def integer(value: object) -> int | None:
    """The integer itself; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def first(body: Json, *names: str) -> object:
    """The value under the first name that is there: Gemini takes camelCase and snake_case alike."""
    return next((body[name] for name in names if name in body), None)


def words(*values: object) -> int:
    """How many words all strings inside hold, but for keys, roles, types and identifiers.

    This is the demo's measure of input tokens.
    """
    total, left = 0, list(values)
    while left:  # a stack, since the body may be nested deeper than Python recurses
        match left.pop():
            case str() as text:
                total += len(text.split())
            case dict() as table:
                left.extend(value for key, value in table.items() if key not in _NAMING or not isinstance(value, str))
            case list() as array:
                left.extend(array)
    return total
