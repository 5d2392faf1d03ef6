"""A new table tried on a share of the sessions, beside the one in force: what it takes, how it does, and how long.

Law: pure but for what it remembers; time is an argument. A session is one table's from the canary's first request to
its last: what decides is a hash of the session, salted with the new table's digest, so that replicas agree without a
word, and another table is tried on other sessions. Both tables are judged over the same time, each by its own requests;
what the present one suffers as well is no fault of the new one. The new table's own declaration counts: how a change is
tried is part of the change, as `server.rollback` is, and a repair that must not wait says so by leaving it out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ccx.routing.table import Server
from ccx.runtime.live import Live
from ccx.runtime.watch import BUILT_IN, Record, Tolerance, breach, failed, tolerance_of
from ccx.telemetry.exchange import ACTIVE, CANARY, Exchange

_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Terms:
    """How a table is to be tried. `lasting` in seconds; beyond `tolerance` it is withdrawn."""

    share: Fraction
    lasting: float
    tolerance: Tolerance


def terms(server: Server) -> Terms | None:
    """What a table declares as `server.canary`; None if nothing. Without `server.rollback` its defaults hold."""
    if server.canary_share is None or server.canary_for is None:
        return None
    return Terms(server.canary_share, server.canary_for / 1000, tolerance_of(server) or BUILT_IN)


@dataclass(frozen=True, slots=True)
class Lot:
    """Which keys of a canary's are drawn. A larger share draws the same keys and more."""

    salt: bytes
    below: int

    @classmethod
    def of(cls, digest: str, share: Fraction) -> Lot:
        """The lot of the table with this digest."""
        return cls(bytes.fromhex(digest), int(share * 2**_BITS))

    def draws(self, key: bytes) -> bool:
        """Whether the new table serves what has this key."""
        found = hashlib.blake2b(key, digest_size=_BITS // 8, key=self.salt).digest()
        return int.from_bytes(found) < self.below


@dataclass(slots=True)
class _Count:
    requests: int = 0
    errors: int = 0


class Canary:
    """One table being tried. `began` and `until` are of the loop's clock, `since` is unix time; all in seconds."""

    def __init__(self, live: Live, terms: Terms, *, now: float, since: float) -> None:
        self.live = live
        self.terms = terms
        self.lot = Lot.of(live.digest, terms.share)
        self.began = now
        self.until = now + terms.lasting
        self.since = since
        self._present = ""
        self._counts: dict[str, _Count] = {}
        # A canary of a day is judged as a whole, and so that a bad hour at its end is seen.
        self._windows = sorted({terms.lasting, min(terms.lasting, terms.tolerance.window)})
        self._records: dict[tuple[str, float], Record] = {}

    @property
    def ends(self) -> float:
        """When it is to take all, as unix time."""
        return self.since + self.terms.lasting

    def against(self, digest: str) -> None:
        """The table that it is compared with. Another one starts from nothing."""
        if digest != self._present:
            self._present = digest
            self._begin(ACTIVE)
            if CANARY not in self._counts:
                self._begin(CANARY)

    def _begin(self, role: str) -> None:
        self._counts[role] = _Count()
        self._records.update({(role, window): Record() for window in self._windows})

    def seen(self, exchange: Exchange, *, now: float) -> str | None:
        """Take a finished request into account that came while two tables served. Says why the new table is to be
        given up; None if it is not."""
        role = exchange.table
        if role is None or exchange.digest != (self.live.digest if role == CANARY else self._present):
            return None  # of a canary before this one
        count = self._counts[role]
        count.requests += 1
        count.errors += failed(exchange)
        for window in self._windows:
            self._records[role, window].add(exchange, now=now, window=window)
        if role == ACTIVE:
            return None
        found = (
            breach(self._records[CANARY, w], self._records[ACTIVE, w], self.terms.tolerance, than="on the other")
            for w in self._windows
        )
        return next((why for why in found if why is not None), None)

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """Requests and errors so far, by role."""
        return {role: (count.requests, count.errors) for role, count in self._counts.items()}
