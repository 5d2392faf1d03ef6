"""What replicas tell each other of targets: breakers that open, keys that are refused, orders of operators.

Laws
- No request waits for any of this: it is told and heard between requests, once a second.
- Word of a breaker is acted on once. What a replica has seen itself since stands beside it: a breaker is a guess, and
  nobody's guess outlives its time.
- Of all replicas one tries a target that is to come back: whoever takes the lease. The others leave it alone for as
  long as the lease lasts, or until they hear that it is well.
- Of an operator's orders the last one holds, wherever it was given.

Names of channels and protocols and fingerprints of keys are told, and reasons as the operator wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from ccx.state.health import Cause, Health, Order, Override, TargetId
from ccx.state.link import Link
from ccx.state.redis.keys import Keys
from ccx.state.redis.wire import Reply, Word

PROBE_LEASE: Final = 5.0
PROBE_AHEAD: Final = 1.5
"""Seconds before a target may be tried again in which replicas settle who does: more than a round."""
WELL_FOR: Final = 30.0
"""Seconds for which it is told that a target is well again, or that an order was taken back."""

Kind = Literal["breaker", "cooling", "order"]
Field = tuple[Kind, str, str, str | None]


class _Word(msgspec.Struct, array_like=True, frozen=True):
    """What is told. `until` is unix time, and when the word may be forgotten; `at` tells words of a replica apart.
    `ends` is when an order does, which may be before: as long as some replica could still obey what it replaced, the
    word has to be heard."""

    by: str
    at: float
    until: float
    what: str
    reason: str = ""
    ends: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_field = msgspec.msgpack.Decoder(Field).decode
_word = msgspec.msgpack.Decoder(_Word).decode
_CAUSES: Final[Mapping[str, Cause]] = {"rate_limit": "rate_limit", "auth": "auth", "quota": "quota"}
_ORDERS: Final[Mapping[str, Order]] = {"drain": "drain", "promote": "promote"}


class SharedHealth:
    """Brings together what this replica and the others know of targets. `health` lives by the clock of the loop."""

    def __init__(self, link: Link[tuple[Word, ...], Reply], keys: Keys, health: Health, *, name: str) -> None:
        self._link = link
        self._keys = keys
        self._health = health
        self._name = name
        self._heard: dict[Field, tuple[str, float]] = {}
        self._open: dict[TargetId, float] = {}  # until when, as last told or heard
        self._cooling: dict[tuple[str, str | None], float] = {}  # likewise
        self._orders: dict[str, Override] = {}
        self._settled: dict[TargetId, float] = {}  # of which opening it is settled who tries

    async def round(self, *, now: float, unix: float) -> None:
        """Hear what others have told, and tell what is new here. `now` and `unix` are the same moment. Raises
        UnreachableError."""
        reply = await self._link.ask(("HGETALL", self._keys.health))
        words: dict[Field, _Word] = {}
        over: list[Word] = []
        for raw, told in zip(reply[::2], reply[1::2], strict=True):
            try:
                field, word = _field(raw), _word(told)
            except msgspec.MsgspecError:
                over.append(raw)  # of another version
                continue
            if word.until <= unix:
                over.append(raw)
            else:
                words[field] = word
        if over:
            self._link.submit(("HDEL", self._keys.health, *over))
        self._heard = {field: heard for field, heard in self._heard.items() if field in words}
        self._orders_given(words, now=now, unix=unix)
        for field, word in words.items():
            if word.by != self._name and self._heard.get(field) != (word.by, word.at):
                self._heard[field] = (word.by, word.at)
                self._hear(field, word, until=word.until - unix + now, now=now)
        self._tell_breakers(now=now, unix=unix)
        await self._settle_probes(now)

    def retell(self) -> None:
        """The server has lost what was told: in the next round all that still holds is told anew, for whoever has not
        heard it yet."""
        self._open.clear()
        self._cooling.clear()
        self._orders.clear()

    def _hear(self, field: Field, word: _Word, *, until: float, now: float) -> None:
        kind, channel, protocol, key = field
        match kind:
            case "breaker":
                target = TargetId(channel, protocol, key)
                if word.what == "open":
                    self._health.heard_open(target, until)
                    self._open[target] = max(until, self._health.report(target, now).open_until or until)
                else:
                    self._health.heard_closed(target, now)
                    self._open.pop(target, None)
            case "cooling":
                if word.what in _CAUSES:
                    self._health.heard_cooling(channel, key, cause=_CAUSES[word.what], until=until)
                    self._cooling[channel, key] = max(until, self._cooling.get((channel, key), until))
            case "order":
                pass  # orders are brought together whole

    def _tell_breakers(self, *, now: float, unix: float) -> None:
        still = set[TargetId]()
        for report in self._health.reports(now):
            target, opened, cooling = report.target, report.open_until, report.cooling
            if opened is not None:
                still.add(target)
                if opened > now and opened > self._open.get(target, 0.0) + 0.001:
                    self._open[target] = opened
                    self._tell(("breaker", *target), "open", until=opened - now + unix, unix=unix)
            elif self._open.pop(target, None) is not None:
                self._tell(("breaker", *target), "well", until=unix + WELL_FOR, unix=unix)
            if cooling is not None and cooling.cause is not None:
                place = (target.channel, target.key)
                if cooling.until > self._cooling.get(place, 0.0) + 0.001:
                    self._cooling[place] = cooling.until
                    field: Field = ("cooling", target.channel, "", target.key)
                    self._tell(field, cooling.cause, until=cooling.until - now + unix, unix=unix)
        self._open = {target: until for target, until in self._open.items() if target in still}
        self._settled = {target: until for target, until in self._settled.items() if target in still}
        self._cooling = {place: until for place, until in self._cooling.items() if until > now}

    async def _settle_probes(self, now: float) -> None:
        for report in list(self._health.reports(now)):
            until, target = report.open_until, report.target
            if until is None or not now < until <= now + PROBE_AHEAD or self._settled.get(target) == until:
                continue
            self._settled[target] = until
            name = self._keys.probe(_encode(target).hex())
            lease = int((until - now + PROBE_LEASE) * 1000)
            self._link.submit(("SET", name, self._name, "NX", "PX", lease))
            if await self._link.ask(("GET", name)) != self._name.encode():
                self._health.heard_open(target, until + PROBE_LEASE)
                self._open[target] = until + PROBE_LEASE

    def _orders_given(self, words: Mapping[Field, _Word], *, now: float, unix: float) -> None:
        """What was ordered here since the last round is told; what was not, is as the others say."""
        here = dict(self._health.orders(now))
        told = {field[1]: word for field, word in words.items() if field[0] == "order"}
        for channel in here.keys() | self._orders.keys() | told.keys():
            mine, before, word = here.get(channel), self._orders.get(channel), told.get(channel)
            field: Field = ("order", channel, "", None)
            if mine != before:
                lasts = max(before.until - now + unix if before is not None else 0.0, word.until if word else 0.0)
                if mine is not None:
                    self._orders[channel] = mine
                    ends = mine.until - now + unix
                    self._tell(field, mine.order, until=max(ends, lasts), unix=unix, reason=mine.reason, ends=ends)
                else:
                    was = self._orders.pop(channel)
                    if was.until > now:
                        self._tell(field, "", until=max(unix + WELL_FOR, lasts), unix=unix)
            elif word is not None and word.by != self._name and self._heard.get(field) != (word.by, word.at):
                self._heard[field] = (word.by, word.at)
                order, ends = _ORDERS.get(word.what), word.ends or word.until
                new = Override(order, ends - unix + now, word.reason) if order is not None and ends > unix else None
                if not self._health.knows(channel):
                    continue
                self._health.order(channel, new)
                if new is not None:
                    self._orders[channel] = new
                else:
                    self._orders.pop(channel, None)

    def _tell(self, field: Field, what: str, *, until: float, unix: float, reason: str = "", ends: float = 0.0) -> None:
        word = _Word(self._name, unix, until, what, reason, ends)
        self._link.submit(("HSET", self._keys.health, _encode(field), _encode(word)))
