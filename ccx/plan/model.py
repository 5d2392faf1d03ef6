"""The plan, as a value. Renderers lay it out, gates judge it, `ccx apply` binds itself to its digest.

Law: a plan is a function of two compiled specs (and of the texts they came from, for places); it holds no clock, no
secret and no terminal. What cannot be proven within the budget is said to be unproven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ccx.analysis.difference import Change, Effort
from ccx.spec.locations import Place

Effect = Literal["newly_unrouted", "newly_refused", "retargeted", "newly_routed", "failover", "weights", "treatment"]
"""In the order of a reader's interest. `retargeted`: another first target, or another model. `weights`: the same
targets with other shares. `treatment`: the same targets with other policies, limits, cache or failover rules."""

Operation = Literal["add", "edit", "remove", "move", "rename", "reorder"]
Kind = Literal[
    "route", "channel", "client", "group", "model", "defaults", "server", "telemetry", "state", "admin", "tokens"
]


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """One value that changed: a path within the thing (`when.input_tokens`), and how it reads before and after; None is
    absent. Never a secret: references and fingerprints only."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit of the spec, by meaning: comments, key order and short forms are none. `place` is where it stands in the
    new text, or in the old one for a removal. `was` is the old name after a rename."""

    kind: Kind
    name: str
    operation: Operation
    fields: tuple[FieldEdit, ...] = ()
    place: Place | None = None
    was: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """Requests that fare differently, with the edit that causes it. `share` is the part of that traffic that changes
    target, where weights changed: 0.1 is 10 %. `cause` is an index into the plan's edits; None: several at once."""

    id: str
    effect: Effect
    change: Change
    cause: int | None
    share: str | None = None


@dataclass(frozen=True, slots=True)
class Touched:
    """A channel, client, group or setting that changed in itself, with the routes that use it, or the clients that
    belong to it."""

    edit: Edit
    routes: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    @property
    def users(self) -> tuple[str, ...]:
        """The names of whichever of the two it has."""
        return self.routes or self.clients


Guard = Literal[
    "newly-unrouted",
    "catch-all-changed",
    "many-routes-changed",
    "single-target",
    "plaintext-upstream",
    "tag-changed",
    "newly-refused",
    "capability-lost",
    "incomplete",
]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something a reviewer should not miss. `moved` are ids of the changes it is about."""

    guard: Guard
    message: str
    moved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two compared: what it is called (`main`, a file, an address), its revision if git has one, and the
    digest of its table. `absent`: there is no such spec on this side, and the other is compared with nothing."""

    name: str
    digest: str
    revision: str | None = None
    absent: bool = False


@dataclass(frozen=True, slots=True)
class RouteCount:
    """Edits of routes, for the summary."""

    added: int = 0
    edited: int = 0
    removed: int = 0
    moved: int = 0
    renamed: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """`edits` are all edits by meaning; `quiet` counts those of routes that change no request; `moved` are ordered by
    effect; `touched` are channel-, client- and setting-level changes; `digest` binds all of it (`sha256:...`). With
    `within`, a condition in words, only such requests were looked at."""

    spec: str
    old: Side
    new: Side
    edits: tuple[Edit, ...]
    moved: tuple[Moved, ...]
    touched: tuple[Touched, ...]
    marks: tuple[Mark, ...]
    routes: RouteCount
    effort: Effort
    unfinished: str | None = None
    digest: str = ""
    within: str | None = None
    effects: Mapping[Effect, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every request was covered."""
        return self.unfinished is None

    @property
    def no_op(self) -> bool:
        """Whether it is proven that no request and no upstream is treated differently."""
        return self.complete and not self.moved and not self.touched
