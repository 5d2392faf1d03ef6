"""What workers and their parent say to each other: one frame asks many things, one answers them.

A frame is its length in four bytes, big-endian, and a MessagePack value. Both ends are the same version of ccx: a
worker is started by its parent and does not outlive it.
"""

from __future__ import annotations

import asyncio
from typing import Final, assert_never

import msgspec

from ccx.state.meters import Charge, Held, Meter, Rate, Sum

LARGEST: Final = 16 * 1024 * 1024

Described = tuple[str, str, int, float | None]
"""A meter: its kind (R, H, S), id, capacity, and its seconds, longest or end."""


class Take(msgspec.Struct, tag="t", array_like=True):
    """Charge these. `token` names what is held."""

    token: str
    charges: list[tuple[Described, int]]
    now: float


class Settle(msgspec.Struct, tag="s", array_like=True):
    """Put what was used in place of these charges."""

    token: str
    charges: list[tuple[Described, int]]
    at: float
    used: dict[str, int]
    now: float


class Stand(msgspec.Struct, tag="u", array_like=True):
    """How do these stand?"""

    meters: list[Described]
    now: float


class Mark(msgspec.Struct, tag="m", array_like=True):
    """Note a session's count, and say which was the highest before it: one number, or none. `window` is seconds."""

    session: bytes
    count: int | None
    window: float
    now: float


class Hello(msgspec.Struct, tag="h", array_like=True):
    """How many workers are there? Asked first, and alone."""


class Told(msgspec.Struct, array_like=True):
    """An answer: what is used of each meter, after a settlement then what is spent of each, or the highest count of a
    session; for a take that was refused also the place of the meter that is used up, what is left, and the seconds to
    wait."""

    used: list[int]
    short: int | None = None
    left: int = 0
    wait: float | None = None


Asked = Take | Settle | Stand | Mark | Hello

_encoder = msgspec.msgpack.Encoder()
asked = msgspec.msgpack.Decoder(list[Asked])
told = msgspec.msgpack.Decoder(list[Told])


def described(meter: Meter) -> Described:
    """A meter as plain data."""
    match meter:
        case Rate(id_, capacity, seconds):
            return "R", id_, capacity, seconds
        case Held(id_, capacity, longest):
            return "H", id_, capacity, longest
        case Sum(id_, capacity, ends):
            return "S", id_, capacity, ends
        case _:
            assert_never(meter)


def meter(said: Described) -> Meter:
    """The meter that was described."""
    kind, id_, capacity, span = said
    if kind == "S":
        return Sum(id_, capacity, span)
    return Rate(id_, capacity, span or 1.0) if kind == "R" else Held(id_, capacity, span or 0.0)


def charges(said: list[tuple[Described, int]]) -> tuple[Charge, ...]:
    """The charges that were described."""
    return tuple([Charge(meter(one), amount) for one, amount in said])


def frame(value: object) -> bytes:
    """A value as a frame."""
    body = _encoder.encode(value)
    return len(body).to_bytes(4, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The body of the next frame. Raises asyncio.IncompleteReadError at the end, ValueError if it is too large."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > LARGEST:
        raise ValueError(f"a frame of {size} bytes")
    return await reader.readexactly(size)
