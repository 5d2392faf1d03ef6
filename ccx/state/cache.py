"""Answers that are kept to be given again, by the digest of everything that decided them.

Laws
- An entry is bytes and a few facts of them: whoever keeps it need not understand it. What its key stands for is the
  caller's business (`ccx.runtime.identity`); equal keys are equal requests.
- Time is an argument: unix seconds, so that machines may share entries. Whether an entry is still good is checked when
  it is read; that it was not thrown away yet means nothing.
- What is kept is bounded: all of it in bytes, one entry by a share of them. The least recently used goes first.

Methods that may have to ask over the network are coroutines. Single-threaded, as the event loop is.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

BYTES_KEPT: Final = 128 * 1024 * 1024
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of the largest answer that is kept."""

SHARE: Final = 8
"""One entry may take this part of the bytes, as a divisor."""

SWEEP_EVERY: Final = 256
"""Puts between two looks for entries whose time is over."""

SKEW: Final = 60.0
"""Seconds that the clock of who stored an entry may be ahead. One from further in the future is not believed."""

_OVERHEAD: Final = 768  # bytes of objects around each entry, roughly

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of an answer as its upstream reported them; None where it did not."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer. `at` and `expires` are unix seconds; `headers` those of its body alone; `issuer` and `model` say whose
    it is: the dialect of the channel and the model that was asked."""

    route: str
    at: float
    expires: float
    headers: tuple[Header, ...]
    body: bytes
    counts: Counts = Counts()
    finish: str | None = None
    losses: tuple[str, ...] = ()
    issuer: str = ""
    model: str = ""

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers) + _OVERHEAD

    def age(self, now: float) -> float:
        """Seconds since it was stored, never negative."""
        return max(0.0, now - self.at)

    def good(self, now: float, oldest: float) -> bool:
        """Whether it may be given now to somebody who takes nothing older than `oldest` seconds."""
        return self.at - SKEW <= now < self.expires and now - self.at < oldest


@dataclass(frozen=True, slots=True)
class Holding:
    """What is kept for a route, and how many of its entries had to go for others."""

    entries: int
    bytes: int
    evictions: int


class AnswerCache(Protocol):
    """Where answers are kept."""

    async def get(self, key: bytes, *, now: float, oldest: float) -> Entry | None:
        """The entry of this key, if it is good."""

    async def put(self, key: bytes, entry: Entry, *, now: float) -> bool:
        """Keep an entry, in place of one of the same key. False if it is too large to be kept."""

    async def clear(self, route: str | None = None) -> int:
        """Forget all entries, or those of a route; how many that were."""

    async def holdings(self) -> Mapping[str, Holding]:
        """What is kept, by route."""

    def configure(self, *, size: int, routes: Collection[str]) -> None:
        """What the table in force allows and names: bytes in all, and the routes that have a cache. Entries of others
        are forgotten."""


class MemoryAnswers:
    """Answers in the memory of this process."""

    def __init__(self, *, size: int = BYTES_KEPT, largest: int = LARGEST) -> None:
        self._size = size
        self._largest = largest
        self._kept: OrderedDict[bytes, Entry] = OrderedDict()  # least recently used first
        self._entries: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._evictions: Counter[str] = Counter()
        self._total = 0
        self._puts = 0

    async def get(self, key: bytes, *, now: float, oldest: float) -> Entry | None:
        """See `AnswerCache`."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if not entry.good(now, oldest):
            if now >= entry.expires:
                self._forget(key)
            return None
        self._kept.move_to_end(key)
        return entry

    async def put(self, key: bytes, entry: Entry, *, now: float) -> bool:
        """See `AnswerCache`."""
        self._puts += 1
        if self._puts % SWEEP_EVERY == 0:
            self.sweep(now)
        if key in self._kept:
            self._forget(key)
        if entry.size > self.largest or now >= entry.expires:
            return False
        self._kept[key] = entry
        self._entries[entry.route] += 1
        self._bytes[entry.route] += entry.size
        self._total += entry.size
        self._shrink()
        return True

    async def clear(self, route: str | None = None) -> int:
        """See `AnswerCache`."""
        return self._drop({key for key, entry in self._kept.items() if route is None or entry.route == route})

    async def holdings(self) -> Mapping[str, Holding]:
        """See `AnswerCache`."""
        return self.holdings_now()

    def holdings_now(self) -> Mapping[str, Holding]:
        """The same without waiting: there is nothing to wait for."""
        routes = sorted(self._entries.keys() | self._evictions.keys())
        return {r: Holding(self._entries[r], self._bytes[r], self._evictions[r]) for r in routes}

    def configure(self, *, size: int, routes: Collection[str]) -> None:
        """See `AnswerCache`."""
        self._size = size
        self._drop({key for key, entry in self._kept.items() if entry.route not in routes})
        self._evictions = Counter({route: count for route, count in self._evictions.items() if route in routes})
        for key in [key for key, entry in self._kept.items() if entry.size > self.largest]:
            self._evict(key)
        self._shrink()

    def sweep(self, now: float) -> None:
        """Forget entries whose time is over."""
        self._drop({key for key, entry in self._kept.items() if now >= entry.expires})

    @property
    def largest(self) -> int:
        """Bytes that one entry may take."""
        return min(self._largest, self._size // SHARE)

    @property
    def taken(self) -> int:
        """Bytes in use."""
        return self._total

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._kept)

    def _shrink(self) -> None:
        while self._total > self._size:
            self._evict(next(iter(self._kept)))

    def _evict(self, key: bytes) -> None:
        self._evictions[self._kept[key].route] += 1
        self._forget(key)

    def _drop(self, keys: Collection[bytes]) -> int:
        for key in keys:
            self._forget(key)
        return len(keys)

    def _forget(self, key: bytes) -> None:
        entry = self._kept.pop(key)
        self._total -= entry.size
        for counter, amount in ((self._entries, 1), (self._bytes, entry.size)):
            counter[entry.route] -= amount
            if not counter[entry.route]:
                del counter[entry.route]
