"""How targets fare: breakers, keys that cool down, and what an operator has said. One process's knowledge, in memory.

A target here is a channel in one protocol with one key; a channel without keys has the key None. Laws:
- Time is an argument, in seconds of one clock. Everything here ends by itself: nothing is left alone for good.
- A breaker is per target, so that trouble with Messages does not close Chat, nor a bad key its neighbours.
- A key cools down when the provider refuses it (a rate limit, a bill, a wrong key): for as long as the provider asked,
  else as declared, doubling while it goes on, and never longer than `longest`. An answer ends it.
- A client's mistake and a client's leaving change nothing.
- `well` is the hot path's question: one look-up, True for every channel that nothing is known against, nor declared
  for a time that is not over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from ccx.state.breaker import Breaker, Settings, State, Ticket, Verdict

Cause = Literal["rate_limit", "auth", "quota"]
Order = Literal["drain", "promote"]
Source = Literal["operator", "spec"]

DOUBLINGS: Final = 10


class TargetId(NamedTuple):
    """`key` is a fingerprint."""

    channel: str
    protocol: str
    key: str | None


@dataclass(frozen=True, slots=True)
class Cooldown:
    """Seconds that a refused key is left alone when the provider does not say how long. `longest` caps all, also what
    a provider asks for."""

    rate_limit: float = 5.0
    auth: float = 60.0
    quota: float = 300.0
    longest: float = 3600.0


@dataclass(frozen=True, slots=True)
class Period:
    """When a channel is promoted, as unix time; `start` None is since ever."""

    until: float
    start: float | None = None


@dataclass(frozen=True, slots=True)
class Care:
    """What is declared for a channel. `breaker` None is off."""

    breaker: Settings | None = field(default_factory=Settings)
    cooldown: Cooldown = Cooldown()
    promote: Period | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a target is left alone at the moment, and until when."""

    why: Literal["open", "probing", "cooling"]
    until: float
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's word on a channel, or the spec's, until it expires."""

    order: Order
    until: float
    reason: str = ""
    source: Source = "operator"


class Held(NamedTuple):
    """A request under way at a target."""

    target: TargetId
    ticket: Ticket | None


@dataclass(slots=True)
class _Cooling:
    until: float
    cause: Cause
    times: int


@dataclass(frozen=True, slots=True)
class Report:
    """One target for status and metrics. `cooling` is by key, whatever the protocol."""

    target: TargetId
    breaker: State | None
    open_until: float | None
    cooling: Trouble | None


class Health:
    """The health of every target that has been used. `unix` gives the unix time of a moment of the clock, for what is
    declared by date."""

    def __init__(self, *, unix: Callable[[float], float] = lambda now: now) -> None:
        self._unix = unix
        self._periods: dict[str, Period] = {}
        self._care: Mapping[str, Care] = {}
        self._breakers: dict[TargetId, Breaker] = {}
        self._cooling: dict[tuple[str, str | None], _Cooling] = {}
        self._overrides: dict[str, Override] = {}
        self._ill: set[str] = set()
        self.transitions: Counter[tuple[str, State]] = Counter()
        """How often breakers have changed, by channel and the state they came to; half open once for each probe."""
        self.on_order: Callable[[str], None] | None = None
        """Told of each channel for which an operator's word has changed."""

    def configure(self, care: Mapping[str, Care]) -> None:
        """What a new table declares, by channel. What is known of channels that stay, stays."""
        gone = self._care.keys() - care.keys()
        changed = {name for name in care if name in self._care and self._care[name].breaker != care[name].breaker}
        self._care = dict(care)
        for target in [t for t in self._breakers if t.channel in gone]:
            del self._breakers[target]
        for place in [p for p in self._cooling if p[0] in gone]:
            del self._cooling[place]
        for name in gone & self._overrides.keys():
            del self._overrides[name]
        for transition in [t for t in self.transitions if t[0] in gone]:
            del self.transitions[transition]
        for target in [t for t in self._breakers if t.channel in changed]:
            settings = care[target.channel].breaker
            if settings is None:
                del self._breakers[target]
            else:
                self._breakers[target].adopt(settings)
        self._periods = {name: said.promote for name, said in care.items() if said.promote is not None}
        self._ill = {name for name in self._care if self._known_against(name)}

    def well(self, channel: str) -> bool:
        """Whether nothing at all is known against a channel, nor ordered about it."""
        return channel not in self._ill

    @property
    def all_well(self) -> bool:
        """Whether that is so of every channel."""
        return not self._ill

    def trouble(self, target: TargetId, now: float) -> Trouble | None:
        """Why a target should be left alone now; None if it may be asked."""
        cooling = self._cooling.get((target.channel, target.key))
        if cooling is not None and now < cooling.until:
            return Trouble("cooling", cooling.until, cooling.cause)
        breaker = self._breakers.get(target)
        if breaker is None or breaker.allows(now):
            return None
        until = breaker.open_until
        assert until is not None  # noqa: S101 - a breaker that does not allow is open
        return Trouble("open", until) if now < until else Trouble("probing", now)

    def override(self, channel: str, now: float) -> Override | None:
        """What an operator has ordered for a channel, if that still holds; else what the spec says for this time."""
        order = self._overrides.get(channel)
        return order if order is not None and now < order.until else self._declared(channel, now)

    def orders(self, now: float) -> Mapping[str, Override]:
        """All that operators have ordered and that still holds, by channel."""
        return {channel: order for channel, order in sorted(self._overrides.items()) if now < order.until}

    def overrides(self, now: float) -> Mapping[str, Override]:
        """All that holds, by channel: orders, and what the spec says for this time where there are none."""
        names = sorted(self._overrides.keys() | self._periods.keys())
        return {name: found for name in names if (found := self.override(name, now)) is not None}

    def ramp(self, target: TargetId, now: float) -> float:
        """The share of its usual load that a target should have, below 1 after it has come back."""
        breaker = self._breakers.get(target)
        return breaker.ramp(now) if breaker is not None else 1.0

    def enter(self, target: TargetId, now: float) -> Held:
        """A request is sent. `leave` exactly once for each."""
        care = self._care.get(target.channel)
        if care is None or care.breaker is None:
            return Held(target, None)
        breaker = self._breakers.get(target)
        if breaker is None:
            breaker = self._breakers[target] = Breaker(care.breaker)
        ticket = breaker.enter(now)
        if ticket.probe:
            self.transitions[target.channel, "half_open"] += 1
        return Held(target, ticket)

    def leave(
        self,
        held: Held,
        verdict: Verdict,
        *,
        now: float,
        cause: Cause | None = None,
        wait: float | None = None,
    ) -> None:
        """That request has its verdict. `cause` is why the provider refused the key, and `wait` for how many seconds it
        asked, if it did."""
        target = held.target
        breaker = self._breakers.get(target)
        if breaker is not None and held.ticket is not None:
            before = breaker.open_until
            breaker.leave(held.ticket, verdict, now)
            if breaker.open_until != before:
                self.transitions[target.channel, "closed" if breaker.open_until is None else "open"] += 1
        if verdict == "passed" and target.channel not in self._ill:
            return
        if cause is not None:
            self._cool(target, cause, wait, now=now)
        elif verdict == "passed":
            self._cooling.pop((target.channel, target.key), None)
        self._settle(target.channel, now)

    def order(self, channel: str, override: Override | None) -> None:
        """An operator's word on a channel; None takes it back. Raises KeyError for a channel of no table."""
        if channel not in self._care:
            raise KeyError(channel)
        if override is None:
            self._overrides.pop(channel, None)
            if not self._known_against(channel):
                self._ill.discard(channel)
        else:
            self._overrides[channel] = override
            self._ill.add(channel)
        if self.on_order is not None:
            self.on_order(channel)

    def half_open(self, channel: str, protocol: str, now: float) -> None:
        """Something has shown that a channel answers again: its open breakers let probes through."""
        for target, breaker in self._breakers.items():
            if target.channel == channel and target.protocol == protocol:
                breaker.half_open(now)

    def heard_open(self, target: TargetId, until: float) -> None:
        """Another replica's breaker has opened: this one's opens too, for as long, whatever it has seen itself."""
        care = self._care.get(target.channel)
        if care is None or care.breaker is None:
            return
        breaker = self._breakers.get(target)
        if breaker is None:
            breaker = self._breakers[target] = Breaker(care.breaker)
        breaker.heard(until)
        self._ill.add(target.channel)

    def heard_closed(self, target: TargetId, now: float) -> None:
        """Another replica's probe has found a target well again: this one's breaker lets probes through."""
        breaker = self._breakers.get(target)
        if breaker is not None:
            breaker.half_open(now)

    def heard_cooling(self, channel: str, key: str | None, *, cause: Cause, until: float) -> None:
        """A key was refused at another replica: it is left alone here too, for as long."""
        if channel not in self._care:
            return
        before = self._cooling.get((channel, key))
        if before is None or before.until < until:
            self._cooling[channel, key] = _Cooling(until, cause, before.times if before is not None else 0)
        self._ill.add(channel)

    def knows(self, channel: str) -> bool:
        """Whether a table names this channel."""
        return channel in self._care

    def report(self, target: TargetId, now: float) -> Report:
        """One target. A breaker of which nothing is known is closed."""
        breaker = self._breakers.get(target)
        if breaker is not None:
            return Report(target, breaker.state(now), breaker.open_until, self._is_cooling(target, now))
        care = self._care.get(target.channel)
        unused: State | None = "closed" if care is not None and care.breaker is not None else None
        return Report(target, unused, None, self._is_cooling(target, now))

    def reports(self, now: float) -> Iterator[Report]:
        """Every target that something is known of."""
        for target, breaker in self._breakers.items():
            yield Report(target, breaker.state(now), breaker.open_until, self._is_cooling(target, now))
        for channel, key in self._cooling:
            if not any(t.channel == channel and t.key == key for t in self._breakers):
                target = TargetId(channel, "", key)
                yield Report(target, None, None, self._is_cooling(target, now))

    def sweep(self, now: float) -> None:
        """Forget what has ended. Called now and then; nothing depends on when."""
        for target in [t for t, breaker in self._breakers.items() if breaker.idle(now)]:
            del self._breakers[target]
        for channel in tuple(self._ill):
            self._settle(channel, now)

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._breakers) + len(self._cooling) + len(self._overrides)

    def _cool(self, target: TargetId, cause: Cause, wait: float | None, *, now: float) -> None:
        care = self._care.get(target.channel)
        if care is None:
            return
        place = (target.channel, target.key)
        before = self._cooling.get(place)
        times = before.times + 1 if before is not None and before.cause == cause and now >= before.until else 0
        usual = {"rate_limit": care.cooldown.rate_limit, "auth": care.cooldown.auth, "quota": care.cooldown.quota}
        seconds = wait if wait is not None else usual[cause] * 2.0 ** min(times, DOUBLINGS)
        until = now + min(seconds, care.cooldown.longest)
        if before is not None and before.until > until and now < before.until:
            return  # the longer word stands
        self._cooling[place] = _Cooling(until, cause, times)

    def _is_cooling(self, target: TargetId, now: float) -> Trouble | None:
        cooling = self._cooling.get((target.channel, target.key))
        return Trouble("cooling", cooling.until, cooling.cause) if cooling and now < cooling.until else None

    def _settle(self, channel: str, now: float) -> None:
        """Note whether anything is known against a channel, forgetting what has ended."""
        care = self._care.get(channel)
        # Kept a while after its end: a key that is refused again at once cools for longer.
        kept = care.cooldown.longest if care is not None else 0.0
        for place in [p for p, c in self._cooling.items() if p[0] == channel and now >= c.until + kept]:
            del self._cooling[place]
        order = self._overrides.get(channel)
        if order is not None and now >= order.until:
            del self._overrides[channel]
        period = self._periods.get(channel)
        if period is not None and self._unix(now) >= period.until:
            del self._periods[channel]
        if self._known_against(channel):
            self._ill.add(channel)
        else:
            self._ill.discard(channel)

    def _declared(self, channel: str, now: float) -> Override | None:
        period = self._periods.get(channel)
        if period is None:
            return None
        unix = self._unix(now)
        if unix >= period.until or (period.start is not None and unix < period.start):
            return None
        return Override("promote", now + period.until - unix, source="spec")

    def _known_against(self, channel: str) -> bool:
        return (
            channel in self._overrides
            or channel in self._periods
            or any(place[0] == channel for place in self._cooling)
            or any(t.channel == channel and b.remembers for t, b in self._breakers.items())
        )
