"""What an operator has ordered for channels: to be drained, or to be asked first, for a while.

Law: an order has an end, it is no part of the spec and never written to it, and it is forgotten with the gateway. Of
several workers on one port all obey: orders are kept in a file that they share, replaced whole under a lock, and read
again by whoever is told to. Without workers there is no file.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from ccx.state.health import Health, Order, Override

LONGEST: Final = 86_400.0
"""Seconds that an order lasts at most."""
MAX_REASON: Final = 500


class _Kept(msgspec.Struct):
    """An order in the file; `until` is unix time."""

    order: Literal["drain", "promote"]
    until: float
    reason: str = ""


_decode: Final = msgspec.json.Decoder(dict[str, _Kept]).decode


class Orders:
    """Orders as one process gives and obeys them. `now` is unix time."""

    def __init__(self, health: Health, *, file: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._health = health
        self._file = file
        self._now = now

    async def give(self, channel: str, order: Order | None, *, seconds: float = 0.0, reason: str = "") -> None:
        """Order something for so long, in place of what was ordered before; None takes it back. Raises KeyError for a
        channel of no table, ValueError for a time that is none, and OSError where the workers' file cannot be written:
        nothing is ordered then."""
        if order is not None and not 0 < seconds <= LONGEST:
            raise ValueError(f"an order lasts up to {LONGEST / 3600:g} hours")
        if not self._health.knows(channel):
            raise KeyError(channel)
        kept = _Kept(order, self._now() + seconds, reason[:MAX_REASON]) if order is not None else None
        if self._file is not None:
            await asyncio.to_thread(_replace, self._file, channel, kept, now=self._now())
        self._obey(channel, kept)

    async def read(self) -> None:
        """Obey what the workers' file says now. A file that is not there, or not ours, orders nothing."""
        if self._file is None:
            return
        found = await asyncio.to_thread(_read, self._file)
        for channel in (*found, *self._health.orders(asyncio.get_running_loop().time())):
            if self._health.knows(channel):
                self._obey(channel, found.get(channel))

    def unix(self, until: float) -> float:
        """A time of the loop's clock, at which something ends, as unix time."""
        return self._now() + until - asyncio.get_running_loop().time()

    def _obey(self, channel: str, kept: _Kept | None) -> None:
        left = kept.until - self._now() if kept is not None else 0.0
        if kept is None or left <= 0:
            self._health.order(channel, None)
            return
        until = asyncio.get_running_loop().time() + left
        self._health.order(channel, Override(kept.order, until, kept.reason))


def _replace(file: Path, channel: str, kept: _Kept | None, *, now: float) -> None:
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        orders = {name: one for name, one in _read(file).items() if one.until > now and name != channel}
        if kept is not None:
            orders[channel] = kept
        unfinished = file.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_bytes(msgspec.json.encode(orders))
        unfinished.replace(file)


def _read(file: Path) -> dict[str, _Kept]:
    try:
        return _decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
