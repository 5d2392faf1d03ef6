"""What an operator has ordered for channels: to be drained, or to be asked first, for a while.

Law: an order has an end, and it is no part of the spec and never written to it. Of several workers on one port all
obey: orders are in a file that they share, replaced whole under a lock, and read again by whoever is told to.

A restart forgets no order that still holds: each is kept beside the last good contents as well. Replicas with a Redis
have theirs there, and no file: one that comes back must not order again what another took back meanwhile.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from ccx.runtime.durable import file_of, replace_file
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


def kept_file(folder: Path, spec: Path) -> Path:
    """Where the orders of a spec are kept over a restart. `folder` is that of `ccx.runtime.lastgood`."""
    return file_of(spec, folder, "orders.json")


def hand_over(kept: Path, file: Path, *, now: float) -> None:
    """Begin the workers' file with what is kept and still holds. Raises OSError."""
    orders = {channel: one for channel, one in _read(kept).items() if one.until > now}
    if orders:
        replace_file(file, msgspec.json.encode(orders))


class Orders:
    """Orders as one process gives and obeys them. `file` is the workers', `kept` outlives a restart; `warn` is told
    when that cannot be written. `now` is unix time."""

    def __init__(
        self,
        health: Health,
        *,
        file: Path | None = None,
        kept: Path | None = None,
        warn: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._health = health
        self._file = file
        self._kept = kept
        self._warn = warn
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
        if self._kept is not None:
            try:
                await asyncio.to_thread(_replace, self._kept, channel, kept, now=self._now())
            except OSError as error:
                if self._warn is not None:
                    self._warn(f"a restart will forget the order for {channel!r}, which could not be kept: {error}")
        self._obey(channel, kept)

    async def read(self) -> None:
        """Obey what the workers' file says now; without workers nothing is read but at the start. A file that is not
        there, or not ours, orders nothing."""
        if self._file is None:
            return
        found = await asyncio.to_thread(_read, self._file)
        for channel in (*found, *self._health.orders(asyncio.get_running_loop().time())):
            if self._health.knows(channel):
                self._obey(channel, found.get(channel))

    async def restore(self) -> Mapping[str, Override]:
        """Obey what was ordered before a restart and still holds; gives it, by channel. Of workers the parent has seen
        to that."""
        if self._file is not None:
            await self.read()
        elif self._kept is not None:
            for channel, one in (await asyncio.to_thread(_read, self._kept)).items():
                if self._health.knows(channel):
                    self._obey(channel, one)
        return self._health.overrides(asyncio.get_running_loop().time())

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
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        orders = {name: one for name, one in _read(file).items() if one.until > now and name != channel}
        if kept is not None:
            orders[channel] = kept
        replace_file(file, msgspec.json.encode(orders))


def _read(file: Path) -> dict[str, _Kept]:
    try:
        return _decode(file.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
