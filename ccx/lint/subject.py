"""What rules look at: a spec that loaded, the table it compiles to, and how the two belong together.

Law: everything here is derived from the arguments, once, when first asked for. Rules read it and never write. `today`
is an argument, so that the same spec on the same day gives the same findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

from ccx.analysis.outcome import Outcome
from ccx.analysis.proofs import Proofs
from ccx.analysis.query import find
from ccx.analysis.space import Budget
from ccx.routing.capability import upstream_models
from ccx.routing.compile import Compiled
from ccx.routing.conditions import ModelMatches
from ccx.routing.globs import Globs
from ccx.routing.table import Channel, ModelInfo, RoutingTable, Target
from ccx.routing.table import Route as Rule
from ccx.spec.diagnostics import Path
from ccx.spec.document import Spec
from ccx.spec.locations import Locations, Tree
from ccx.spec.routes import Group, Route
from ccx.spec.routes import Target as WrittenTarget
from ccx.spec.validate import Loaded

NAMED: Final = ModelMatches(Globs(("*",)))
"""Requests that name a model: one that names none is refused by most upstreams, and is no use of a channel."""


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target of a route. `step` is its place in the failover order, `group` how many share that step."""

    path: Path
    written: WrittenTarget
    target: Target
    channel: Channel
    step: int
    group: int

    @property
    def models(self) -> tuple[str, ...]:
        """The only models it can ask for, by their names upstream; none if the client's choice decides."""
        return upstream_models(self.target, self.channel)

    @property
    def label(self) -> str:
        """How it is called: `openai`, or `openai gpt-5` where it names a model."""
        return self.channel.name if self.target.model is None else f"{self.channel.name} {self.target.model}"


@dataclass(frozen=True, slots=True)
class RouteView:
    """A declared route: as written and as compiled."""

    index: int
    written: Route
    rule: Rule
    targets: tuple[TargetView, ...]

    @property
    def path(self) -> Path:
        """Where it is."""
        return ("routes", self.index)

    @property
    def name_path(self) -> Path:
        """Where its name is: the place to point at when the whole route is meant."""
        return ("routes", self.index, "name")

    @property
    def live(self) -> tuple[TargetView, ...]:
        """Targets that take requests at all: enabled, with a weight."""
        return tuple(one for one in self.targets if one.channel.enabled and one.target.weight)


class Subject:
    """One spec under examination."""

    def __init__(self, loaded: Loaded, spec: Spec, compiled: Compiled, *, today: date, budget: Budget) -> None:
        self.loaded = loaded
        self.spec = spec
        self.compiled = compiled
        self.today = today
        self.budget = budget

    @property
    def table(self) -> RoutingTable:
        """The compiled table."""
        return self.compiled.table

    @property
    def locations(self) -> Locations:
        """Where everything stands."""
        return self.loaded.locations

    def tree(self, path: Path) -> Tree | None:
        """The value written at a path."""
        return self.loaded.locations.tree(path)

    @cached_property
    def channels(self) -> Mapping[str, Channel]:
        """Compiled channels by name."""
        return {channel.name: channel for channel in self.table.channels}

    @cached_property
    def overrides(self) -> Mapping[str, ModelInfo]:
        """What the spec itself says of models, by name."""
        return {info.name: info for info in self.table.models}

    @cached_property
    def routes(self) -> tuple[RouteView, ...]:
        """The declared routes in order."""
        rules = {rule.name: rule for rule in self.table.routes}
        return tuple(
            RouteView(index, route, rules[route.name], tuple(self._targets(index, route)))
            for index, route in enumerate(self.spec.routes)
        )

    def _targets(self, index: int, route: Route) -> Iterator[TargetView]:
        for place, step in enumerate(route.to or ()):
            here: Path = ("routes", index, "to", place)
            members = step.targets if isinstance(step, Group) else (step,)
            for position, member in enumerate(members):
                path: Path = (*here, "targets", position) if isinstance(step, Group) else here
                yield TargetView(
                    path,
                    member,
                    Target(member.channel, member.model, member.weight),
                    self.channels[member.channel],
                    place,
                    len(members),
                )

    @cached_property
    def by_name(self) -> Mapping[str, RouteView]:
        """Declared routes by name."""
        return {route.written.name: route for route in self.routes}

    @cached_property
    def proofs(self) -> Proofs:
        """The proofs about its table, which share what they have in common."""
        return Proofs(self.table, budget=self.budget)

    @cached_property
    def outcomes(self) -> Mapping[str | None, set[Outcome]]:
        """Every outcome that some request has which names a model, by the route that decides. Raises Unfinished."""
        had: dict[str | None, set[Outcome]] = {}

        def kept(outcome: Outcome) -> bool:
            had.setdefault(outcome.route, set()).add(outcome)
            return False

        # To prove that nothing is accepted, the engine has to offer every outcome that there is.
        find(self.table, within=NAMED, accept=kept, budget=self.budget)
        return had

    @cached_property
    def uses(self) -> Counter[int]:
        """How often each tree is part of the document, by identity: more than once for what an alias repeats."""
        counted: Counter[int] = Counter()
        root = self.locations.root
        todo = [root] if root is not None else []
        while todo:
            tree = todo.pop()
            counted[id(tree)] += 1
            if counted[id(tree)] > 1:
                continue  # below it everything is shared; asking for a parent finds that out
            if isinstance(tree.content, Mapping):
                todo.extend(tree.content.values())
            elif isinstance(tree.content, tuple):
                todo.extend(tree.content)
        return counted

    def shared(self, path: Path) -> bool:
        """Whether what is written at a path also stands elsewhere, through an alias or a merge key."""
        return any(
            (tree := self.tree(path[:depth])) is not None and self.uses[id(tree)] > 1
            for depth in range(1, len(path) + 1)
        )
