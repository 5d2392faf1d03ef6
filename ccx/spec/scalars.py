"""Typed scalars of the spec: durations, sizes, counts, rates, shares, money. One parser each, exact arithmetic only.

Every parser takes what YAML gives (a string, or a number where that is unambiguous) and returns an integer or an exact
decimal. A parser's ValueError names the value and shows what is legal; the caller adds the place.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_DURATION_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE: Final = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_COUNT: Final = {"": 1, "k": 10**3, "M": 10**6}
_PER_S: Final = {"s": 1, "min": 60, "h": 3600, "day": 86_400}

DURATION_PATTERN: Final = r"^\d+(\.\d+)?(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^\d+(\.\d+)?(B|KiB|MiB|GiB|KB|MB|GB)$"
COUNT_PATTERN: Final = r"^\d+(\.\d+)?[kM]?$"
RATE_PATTERN: Final = r"^\d+(\.\d+)?[kM]?/(s|min|h|day)$"
SHARE_PATTERN: Final = r"^\d+(\.\d+)?%$"
RANGE_PATTERN: Final = r"^\s*((>=|<=|>|<)\s*\d+(\.\d+)?[kM]?|\d+(\.\d+)?[kM]?\s*\.\.\s*\d+(\.\d+)?[kM]?)\s*$"
MONEY_PATTERN: Final = r"^\d+(\.\d+)?$"
MOMENT_PATTERN: Final = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,3})?)?([Zz]|[+-]\d\d:\d\d)$"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EmptyRange(ValueError):
    """A range that holds no number."""


_NUMBER = re.compile(r"^(\d+(?:\.\d+)?)\s*([A-Za-z%]*)$")


def _scaled(value: object, *, units: dict[str, int], what: str, example: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"{value!r} is not a {what}; write it like {example}")
    match = _NUMBER.match(str(value).strip())
    if match is None or match[2] not in units:
        raise ValueError(f"{value!r} is not a {what}; write it like {example}")
    exact = Fraction(match[1]) * units[match[2]]
    if exact.denominator != 1:
        raise ValueError(f"{value!r} is finer than a {what} can be; write it like {example}")
    return int(exact)


def parse_duration(value: object) -> int:
    """`250ms 30s 5m 1h 2d` to whole milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value!r} has no unit; write a duration like 250ms, 30s, 5m or 1h")
    return _scaled(value, units=_DURATION_MS, what="duration", example="250ms, 30s, 5m or 1h")


def parse_size(value: object) -> int:
    """`32MiB 512KiB 10MB` or a whole number of bytes, to bytes."""
    return _scaled(value, units=_SIZE, what="size", example="512KiB, 32MiB or a number of bytes")


def parse_count(value: object) -> int:
    """`60k 2M 1500` to a whole number."""
    return _scaled(value, units=_COUNT, what="count", example="1500, 60k or 2M")


def parse_rate(value: object) -> tuple[int, int]:
    """`600/min 2M/h 5/s 1k/day` to (amount, seconds)."""
    amount, slash, unit = str(value).partition("/") if isinstance(value, str) else ("", "", "")
    if not slash or unit.strip() not in _PER_S:
        raise ValueError(f"{value!r} is not a rate; write it like 600/min, 2M/h, 5/s or 1k/day")
    return parse_count(amount.strip()), _PER_S[unit.strip()]


def parse_share(value: object) -> Fraction:
    """`50%` to an exact fraction of one."""
    match = re.match(r"^(\d+(?:\.\d+)?)%$", value.strip()) if isinstance(value, str) else None
    share = Fraction(match[1]) / 100 if match else None
    if share is None or share > 1:
        raise ValueError(f"{value!r} is not a share; write it like 50%, from 0% to 100%")
    return share


def parse_money(value: object) -> Decimal:
    """`500` or `12.50` to exact US dollars."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"{value!r} is not an amount in USD; write it like 500 or 12.50")
    if re.match(MONEY_PATTERN, str(value).strip()) is None:
        raise ValueError(f"{value!r} is not an amount in USD; write it like 500 or 12.50")
    return Decimal(str(value).strip())


def parse_range(value: object) -> tuple[int, int | None]:
    """`> 60k`, `>= 60k`, `< 200k`, `<= 200k` or `60k..200k` to (low, high): low <= n < high, high None is no bound.

    A range `a..b` holds a and not b, so that neighbouring ranges meet without a gap or an overlap.
    """
    legal = "write it like '> 60k', '<= 200k' or '60k..200k'"
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a range; {legal}")
    text = value.strip()
    if ".." in text:
        left, _, right = text.partition("..")
        low, high = parse_count(left.strip()), parse_count(right.strip())
        if low >= high:
            raise EmptyRange(f"{value!r} holds no number: {left.strip()} is not below {right.strip()}")
        return low, high
    match = re.match(r"^(>=|<=|>|<)\s*(\S+)$", text)
    if match is None:
        raise ValueError(f"{value!r} is not a range; {legal}")
    bound = parse_count(match[2])
    match match[1]:
        case ">":
            return bound + 1, None
        case ">=":
            return bound, None
        case "<=":
            return 0, bound + 1
        case _:
            if bound == 0:
                raise EmptyRange(f"{value!r} holds no number: nothing is below 0")
            return 0, bound


def parse_moment(value: object) -> int:
    """`2026-12-01T00:00Z` or `2026-12-01T08:00:00+08:00` to unix time in whole milliseconds: RFC 3339, where seconds
    may be left out. The offset may not: a time of day without one is another moment on another machine."""
    legal = "write a time with its offset, like 2026-12-01T00:00Z or 2026-12-01T08:00+08:00"
    if not isinstance(value, str) or re.match(MOMENT_PATTERN, value.strip()) is None:
        raise ValueError(f"{value!r} is not a time; {legal}")
    try:
        found = datetime.fromisoformat(value.strip().upper())
    except ValueError as error:
        raise ValueError(f"{value!r} is not a time: {error}; {legal}") from None
    return round((found - _EPOCH).total_seconds() * 1000)


def _string(pattern: str, description: str, *examples: str, number: bool = False) -> WithJsonSchema:
    text: dict[str, object] = {"type": "string", "pattern": pattern}
    schema: dict[str, object] = {"anyOf": [{"type": "number", "minimum": 0}, text]} if number else text
    return WithJsonSchema({**schema, "description": description, "examples": list(examples)})


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    _string(DURATION_PATTERN, "A duration: 250ms, 30s, 5m, 1h, 2d.", "30s", "250ms"),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    _string(SIZE_PATTERN, "A size: 512KiB, 32MiB, or a number of bytes.", "32MiB", number=True),
]
Count = Annotated[
    int,
    BeforeValidator(parse_count),
    _string(COUNT_PATTERN, "A whole number, with k or M for thousands and millions.", "60k", "2M", number=True),
]
Rate = Annotated[
    tuple[int, int],
    BeforeValidator(parse_rate),
    _string(RATE_PATTERN, "A rate: 600/min, 2M/h, 5/s, 1k/day.", "600/min"),
]
Moment = Annotated[
    int,
    BeforeValidator(parse_moment),
    _string(MOMENT_PATTERN, "A time with its offset (RFC 3339, seconds may be left out).", "2026-12-01T00:00Z"),
]
Share = Annotated[
    Fraction,
    BeforeValidator(parse_share),
    _string(SHARE_PATTERN, "A share from 0% to 100%.", "50%"),
]
Money = Annotated[
    Decimal,
    BeforeValidator(parse_money),
    _string(MONEY_PATTERN, "An amount in US dollars.", "500", "12.50", number=True),
]
TokenRange = Annotated[
    tuple[int, int | None],
    BeforeValidator(parse_range),
    _string(
        RANGE_PATTERN,
        "A range of whole numbers: '> 60k', '>= 60k', '< 200k', '<= 200k', or '60k..200k' (200k not included).",
        "> 60k",
        "60k..200k",
    ),
]
