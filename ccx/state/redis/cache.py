"""Answers in Redis: what one replica was answered, any gives again.

Law: an entry is one value, of a route; what is kept of a route is bounded by its part of the bytes and by time, the
least recently used going first. Without Redis nothing is found and nothing kept: no request fails for that. The values
are answers of models: whoever reads this Redis reads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from ccx.state.cache import BYTES_KEPT, LARGEST, SHARE, Entry, Holding
from ccx.state.link import Link, UnreachableError
from ccx.state.redis.keys import Keys
from ccx.state.redis.wire import Reply, Script, Word, call, script

ENTRIES: Final = 100_000
"""Entries of a route at most."""

KEEP: Final[Script] = script("keep")
CLEAR: Final[Script] = script("clear")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class RedisAnswers:
    """Answers of all replicas with one prefix (`ccx.state.cache.AnswerCache`). A Redis that is away raises nothing."""

    def __init__(self, link: Link[tuple[Word, ...], Reply], keys: Keys, *, largest: int = LARGEST) -> None:
        self._link = link
        self._keys = keys
        self._most = largest
        self._routes: tuple[str, ...] = ()
        self._share = BYTES_KEPT

    async def get(self, key: bytes, *, now: float, oldest: float) -> Entry | None:
        """See `AnswerCache`."""
        name = self._name(key)
        try:
            value = await self._link.ask(("GET", name))
            if value is None:
                return None
            entry = _decode(value)
            if not entry.good(now, oldest):
                return None
            self._link.submit(("ZADD", self._index(entry.route)[0], "XX", now, name))
        except (UnreachableError, msgspec.MsgspecError):
            return None  # of another version, or none
        return entry

    async def put(self, key: bytes, entry: Entry, *, now: float) -> bool:
        """See `AnswerCache`."""
        name = self._name(key)
        if entry.size > min(self._most, self._share // SHARE) or now >= entry.expires:
            with contextlib.suppress(UnreachableError):
                self._link.submit(("DEL", name))  # what is there is not the newest any more
            return False
        keep = call(
            KEEP,
            [*self._index(entry.route), name],
            *(repr(now), repr(entry.expires - now), ENTRIES, self._share, _encode(entry)),
        )
        try:
            self._link.submit(("DEL", name))
            await self._link.ask(keep)
        except UnreachableError:
            return False
        return True

    async def clear(self, route: str | None = None) -> int:
        """See `AnswerCache`. Of a Redis that is away nothing is cleared."""
        count = 0
        for one in self._routes if route is None else (route,):
            try:
                count += await self._link.ask(call(CLEAR, self._index(one)))
            except UnreachableError:
                break
        return count

    async def holdings(self) -> Mapping[str, Holding]:
        """See `AnswerCache`."""
        found = {}
        for route in self._routes:
            index, _, total = self._index(route)
            try:
                entries = await self._link.ask(("ZCARD", index))
                taken, evicted = await self._link.ask(("MGET", total, f"{total}:evicted"))
            except UnreachableError:
                break
            if entries or evicted:
                found[route] = Holding(entries, int(taken or 0), int(evicted or 0))
        return found

    def configure(self, *, size: int, routes: Collection[str]) -> None:
        """See `AnswerCache`. What is kept of routes that are not named lapses: other replicas may yet name them."""
        self._routes = tuple(sorted(routes))
        self._share = size // max(1, len(self._routes))

    def _name(self, key: bytes) -> str:
        return self._keys.of("answer", key.hex())

    def _index(self, route: str) -> tuple[str, str, str]:
        of = self._keys.of
        return of("answers", route, "index"), of("answers", route, "sizes"), of("answers", route, "bytes")
