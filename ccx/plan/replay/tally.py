"""Counting: requests of the same facts are counted together and decided once.

Law: what is kept does not grow with the log: past `KEPT` kinds of requests they are decided and forgotten, and past
`NAMES` clients, models or targets the rest are counted as others. The counts of a log are the same in whatever pieces
it comes. No clock, no file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from ccx.analysis.outcome import Outcome
from ccx.plan.effects import RANK
from ccx.plan.effects import effect as effect_of
from ccx.plan.effects import share as share_of
from ccx.plan.model import Effect, Side
from ccx.plan.replay.judging import Judging, Verdict
from ccx.plan.replay.logged import Request, Row
from ccx.plan.replay.prices import Prices, Used
from ccx.plan.replay.result import MOVING, OTHERS, Cost, Flow, Group, Replay, Skipped, Source
from ccx.routing.table import RoutingTable

KEPT: Final = 50_000
NAMES: Final = 1_000
_UNMEASURED: Final = -1
_GIVEN: Final = -2
"""In place of a tier of prices: the usage is not known; there was none."""

_Key = tuple[Request, int, int, int]
_FlowKey = tuple[Outcome, Outcome, str | None, str | None]


class _Sum:
    """What is counted of a group."""

    __slots__ = ("after", "before", "input", "moved", "output", "priced", "requests", "undetermined")

    def __init__(self) -> None:
        self.requests = self.moved = self.undetermined = self.input = self.output = self.priced = 0
        self.before = self.after = Decimal(0)

    def cost(self) -> Cost:
        return Cost(self.priced, self.before, self.after)


class Tally:
    """Counts the rows of logs against two tables."""

    def __init__(self, old: RoutingTable, new: RoutingTable) -> None:
        self._judging = Judging(old, new)
        self._prices = Prices(old), Prices(new)
        self._cuts = tuple(sorted(self._prices[0].cuts | self._prices[1].cuts))
        self._kinds: dict[_Key, list[int]] = {}
        self._flows: dict[_FlowKey, _Sum] = {}
        self._clients: dict[tuple[str | None, ...], _Sum] = {}
        self._routes: dict[tuple[str | None, ...], _Sum] = {}
        self._movers: dict[tuple[str | None, ...], _Sum] = {}
        self._effects: Counter[Effect] = Counter()
        self._doubts: Counter[str] = Counter()
        self._unpriced: Counter[str] = Counter()
        self._all = _Sum()
        self._unmeasured = 0
        self._given = 0
        self._elsewhere = 0

    def add(self, row: Row) -> None:
        """Count a row."""
        low, high = self._judging.tokens(row)
        prompt, output, count = row.prompt, row.output, row.count
        if row.given:
            prompt = output = None
        tier = _GIVEN if row.given else _UNMEASURED
        if prompt is not None and output is not None:
            tier = bisect_left(self._cuts, prompt)
        request = row.request if row.sticky is None else self._judging.remembered(row)
        key = (request, low, high, tier)
        sums = self._kinds.get(key)
        if sums is None:
            if len(self._kinds) >= KEPT:
                self._settle()
            self._kinds[key] = sums = [0, 0, 0, 0, 0]
        sums[0] += count
        if prompt is not None and output is not None:
            sums[1] += prompt * count
            sums[2] += output * count
            sums[3] += row.cache_read * count
            sums[4] += row.cache_write * count

    def result(
        self,
        old: Side,
        new: Side,
        *,
        sources: Sequence[Source],
        skipped: Sequence[Skipped],
        seconds: float = 0.0,
    ) -> Replay:
        """All that was counted so far."""
        self._settle()
        flows = [
            Flow(
                effect_of(before, after),
                before,
                after,
                s.requests,
                s.input,
                s.output,
                s.cost(),
                share_of(before, after),
            )
            for (before, after, _, _), s in self._flows.items()
        ]
        flows.sort(key=lambda f: (RANK[f.effect], -f.requests, f.before.route or "", f.after.route or ""))
        movers = {name: s for name, s in self._movers.items() if s.moved}
        return Replay(
            old,
            new,
            tuple(sources),
            tuple(sorted(skipped, key=lambda s: (-s.lines, s.why))),
            requests=self._all.requests,
            same=self._all.requests - self._all.undetermined - sum(self._effects.values()),
            undetermined=self._all.undetermined,
            effects=tuple((effect, self._effects[effect]) for effect in RANK if self._effects[effect]),
            doubts=_most(self._doubts),
            flows=tuple(flows),
            clients=_groups(self._clients),
            routes=_groups(self._routes),
            movers=_groups(movers),
            cost=self._all.cost(),
            unmeasured=self._unmeasured,
            given=self._given,
            unpriced=_most(self._unpriced),
            elsewhere=self._elsewhere,
            seconds=seconds,
        )

    def _settle(self) -> None:
        """Decide on what was counted, and forget it."""
        verdicts: dict[tuple[Request, int, int], Verdict] = {}
        for (request, low, high, tier), sums in self._kinds.items():
            place = (request, low, high)
            verdict = verdicts.get(place)
            if verdict is None:
                verdicts[place] = verdict = self._judging.verdict(request, low, high)
            self._count(request, verdict, sums, tier)
        self._kinds.clear()

    def _count(self, request: Request, verdict: Verdict, sums: list[int], tier: int) -> None:
        count = sums[0]
        used = Used(count, *sums[1:])
        before, after = verdict.before, verdict.after
        groups = [
            self._all,
            _sum(self._clients, (request.client if request.named else None,)),
            _sum(self._routes, (before.route if before is not None else request.route,)),
        ]
        if verdict.doubts:
            for group in groups:
                group.undetermined += count
            self._doubts.update(dict.fromkeys(verdict.doubts, count))
        if before is not None and request.route is not None and before.route != request.route:
            self._elsewhere += count
        if before is not None and after is not None and before != after:
            effect = effect_of(before, after)
            self._effects[effect] += count
            flow = self._flows.setdefault((before, after, before.route, after.route), _Sum())
            mover = _sum(self._movers, (request.client if request.named else None, request.model))
            groups += [flow, mover]
            if effect in MOVING:
                for group in groups:
                    group.moved += count
        for group in groups:
            group.requests += count
            group.input += used.input
            group.output += used.output
        if tier == _UNMEASURED:
            self._unmeasured += count
        elif tier == _GIVEN:
            self._given += count
            if before is not None and after is not None:
                for group in groups:
                    group.priced += count  # at nothing
        elif before is not None and after is not None:
            self._price(request, (before, after), used, tier, groups)

    def _price(
        self, request: Request, outcomes: tuple[Outcome, Outcome], used: Used, tier: int, groups: list[_Sum]
    ) -> None:
        prompt = self._cuts[tier - 1] + 1 if tier else 0
        costs: list[Decimal] = []
        for prices, outcome in zip(self._prices, outcomes, strict=True):
            cost = prices.cost(outcome, request.model, used, prompt=prompt)
            if isinstance(cost, str):
                name = cost if cost in self._unpriced or len(self._unpriced) < NAMES else OTHERS
                self._unpriced[name] += used.requests
                return
            costs.append(cost)
        for group in groups:
            group.priced += used.requests
            group.before += costs[0]
            group.after += costs[1]


def _sum(groups: dict[tuple[str | None, ...], _Sum], name: tuple[str | None, ...]) -> _Sum:
    found = groups.get(name)
    if found is None:
        if len(groups) >= NAMES:
            name = (OTHERS,) * len(name)
        found = groups.setdefault(name, _Sum())
    return found


def _groups(sums: Mapping[tuple[str | None, ...], _Sum]) -> tuple[Group, ...]:
    """Groups, those that move most first."""
    groups = [Group(name, s.requests, s.moved, s.undetermined, s.cost()) for name, s in sums.items()]
    groups.sort(key=lambda g: (-g.moved, -g.requests, tuple(part or "" for part in g.name)))
    return tuple(groups)


def _most(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
