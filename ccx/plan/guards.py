"""What a reviewer should not miss: marks on a plan, and what a pipeline refuses.

Law: a mark states a fact of the two tables, says which, and names the changes it is about. Nothing is marked that only
might be: of models that neither the spec nor the catalogue knows, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, get_args

from ccx.analysis.outcome import Outcome
from ccx.plan.edits import Edits, implicit
from ccx.plan.model import Guard, Mark, Moved, Plan
from ccx.plan.readable import names, number, percent, url
from ccx.routing.capability import lacks, window
from ccx.routing.conditions import ALWAYS, All, Condition, Flag, FlagName, ModelMatches, Not, TokensIn
from ccx.routing.globs import Globs
from ccx.routing.table import Channel, Route, RoutingTable

MANY: Final = Fraction(3, 10)
"""The share of routes above which a change is large, among at least `FEW` routes."""
FEW: Final = 10
SMALLER: Final = Fraction(1, 10)
"""By how much a context window has to be smaller to be told: a million is as good as 2**20."""
GUARDS: Final[tuple[Guard, ...]] = get_args(Guard)
ANY: Final = "any"

_ABILITIES: Final[Mapping[FlagName, str]] = {"tools": "tools", "images": "vision", "thinking": "thinking"}
_NONE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class Case:
    """All that marks are read off. `edits` are those of the plan."""

    old: RoutingTable
    new: RoutingTable
    edits: Edits
    moved: tuple[Moved, ...]
    unfinished: str | None


def marks(case: Case) -> tuple[Mark, ...]:
    """All marks, in the order of `Guard`."""
    found = [mark for rule in _RULES for mark in rule(case)]
    return tuple(sorted(found, key=lambda mark: GUARDS.index(mark.guard)))


def forbidden(plan: Plan, kinds: Iterable[str]) -> tuple[str, ...]:
    """A line for each of the kinds that the plan has: a guard's name, or `any` for any change of routing."""
    lines: list[str] = []
    for kind in dict.fromkeys(kinds):
        if kind == ANY:
            if plan.moved:
                lines.append(f"any: {_count(len(plan.moved), 'routing change')}")
            elif not plan.complete:
                lines.append(f"any: that no request is routed differently is not proven: {plan.unfinished}")
        lines += [f"{mark.guard}: {mark.message}" for mark in plan.marks if mark.guard == kind]
    return tuple(lines)


def _unrouted(case: Case) -> Iterable[Mark]:
    found = [one for one in case.moved if one.effect == "newly_unrouted"]
    if found:
        yield Mark("newly-unrouted", f"requests are no longer served: {_from(found)}", _ids(found))


def _refused(case: Case) -> Iterable[Mark]:
    found = [one for one in case.moved if one.effect == "newly_refused"]
    if found:
        yield Mark("newly-refused", f"requests are refused that were served: {_from(found)}", _ids(found))


def _from(found: Sequence[Moved]) -> str:
    routes = dict.fromkeys(one.change.before.route for one in found)
    return f"those of {names(name for name in routes if name is not None)}"


def _catch_all(case: Case) -> Iterable[Mark]:
    """The route that takes whatever nothing else takes."""
    before, after = catch_all(case.old), catch_all(case.new)
    if _body(before) == _body(after):
        return
    about = [
        one
        for one in case.moved
        if (before is not None and one.change.before.route == before.name)
        or (after is not None and one.change.after.route == after.name)
    ]
    if before is None and after is not None:
        said = f"`{after.name}` now takes whatever no other route takes"
    elif before is not None and after is None:
        said = f"`{before.name}` took whatever no other route takes, and nothing does now"
    elif before is not None and after is not None and before.name != after.name:
        said = f"whatever no other route takes goes to `{after.name}` instead of `{before.name}`"
    else:
        said = f"`{before.name if before else ''}`, which takes whatever no other route takes, is changed"
    yield Mark("catch-all-changed", said, _ids(about))


def catch_all(table: RoutingTable) -> Route | None:
    """The first route that takes every request, or every request that names a model."""
    everything = (ALWAYS, ModelMatches(Globs(("*",))))
    return next((route for route in table.routes if route.when in everything), None)


def _body(route: Route | None) -> object:
    if route is None:
        return None
    return (route.when, route.tiers, route.deny, route.failover, route.policy, route.on_loss, route.cache)


def _many(case: Case) -> Iterable[Mark]:
    before = [route.name for route in case.old.routes if not implicit(route.name)]
    changed = {
        edit.name for edit in case.edits.listed if edit.kind == "route" and edit.operation in ("edit", "remove", "move")
    }
    if len(before) >= FEW and Fraction(len(changed), len(before)) > MANY:
        part = percent(Fraction(len(changed), len(before)))
        said = (
            f"{len(changed)} of {len(before)} routes are changed, moved or removed ({part}; more than {percent(MANY)})"
        )
        yield Mark("many-routes-changed", said)


def _single(case: Case) -> Iterable[Mark]:
    was = {
        edit.name: edit.was
        for edit in case.edits.listed
        if edit.kind == "route" and edit.operation == "rename" and edit.was is not None
    }
    before = {route.name: _usable(route, case.old) for route in case.old.routes}
    for route in case.new.routes:
        old = before.get(was.get(route.name, route.name), ())
        left = _usable(route, case.new)
        if len(old) > 1 and len(left) == 1:
            about = [one for one in case.moved if one.change.after.route == route.name]
            said = f"`{route.name}` is left with `{left[0]}` alone; it had {names(old)}"
            yield Mark("single-target", said, _ids(about))


def _usable(route: Route, table: RoutingTable) -> tuple[str, ...]:
    enabled = {channel.name for channel in table.channels if channel.enabled}
    listed = (target.channel for tier in route.tiers for target in tier.targets if target.weight)
    return tuple(name for name in dict.fromkeys(listed) if name in enabled)


def _plaintext(case: Case) -> Iterable[Mark]:
    before = {channel.name: _open(channel) for channel in case.old.channels}
    for channel in case.new.channels:
        new = [address for address in _open(channel) if address not in before.get(channel.name, ())]
        if new:
            said = f"`{channel.name}` is asked over plain HTTP, keys and prompts in the clear: {', '.join(new)}"
            about = [one for one in case.moved if channel.name in one.change.after.channels]
            yield Mark("plaintext-upstream", said, _ids(about))


def _open(channel: Channel) -> tuple[str, ...]:
    """Addresses that are asked without encryption and are not of this machine."""
    return tuple(
        dict.fromkeys(url(one) for one in channel.surfaces if one.scheme == "http" and not _loopback(one.host))
    )


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")


def _tags(case: Case) -> Iterable[Mark]:
    """Traffic that goes to a channel of another tag, and channels whose own tag changed."""
    old, new = ({one.name: dict(one.tags) for one in side.channels} for side in (case.old, case.new))
    shifts: dict[tuple[str, str, str], list[tuple[str, Moved]]] = {}
    for one in case.moved:
        if one.change.before.kind != "routed" or one.change.after.kind != "routed":
            continue
        before, after = one.change.before.channels, one.change.after.channels
        for tag in sorted({tag for name in before for tag in old.get(name, {})}):
            values = {old.get(name, {}).get(tag, _NONE) for name in before}
            for name in after:
                value = new.get(name, {}).get(tag, _NONE)
                if value not in values:
                    was = ", ".join(sorted(values - {_NONE})) or _NONE
                    shifts.setdefault((tag, was, value), []).append((name, one))
    for (tag, was, value), about in sorted(shifts.items(), key=lambda item: item[0]):
        channels = dict.fromkeys(name for name, _ in about)
        said = f"traffic goes from {tag} {was} to {tag} {value}: {names(channels)}"
        yield Mark("tag-changed", said, _ids([one for _, one in about]))
    for name in sorted(old.keys() & new.keys()):
        for tag, was in sorted(old[name].items()):
            value = new[name].get(tag, _NONE)
            if value != was:
                yield Mark("tag-changed", f"the channel `{name}` goes from {tag} {was} to {tag} {value}")


def _capability(case: Case) -> Iterable[Mark]:
    """Abilities that the first targets had and a new first target lacks, where the requests may need them."""
    old, new = ({model.name: model for model in side.models} for side in (case.old, case.new))
    found: dict[str, list[Moved]] = {}
    for one in case.moved:
        if one.change.before.kind != "routed" or one.change.after.kind != "routed":
            continue
        for region in one.change.regions:
            asked = region.witness.model
            before = _models(one.change.before, asked)
            for name in _models(one.change.after, asked) - before:
                for flag, word in _ABILITIES.items():
                    had = any(lacks(model, flag, old) is None and _known(model, old) for model in before)
                    if had and lacks(name, flag, new) is not None and _may(region.when, flag):
                        found.setdefault(f"`{name}` lacks {word}", []).append(one)
                size = window(name, new)[0]
                widest = max((window(model, old)[0] or 0 for model in before), default=0)
                if size is not None and size < widest * (1 - SMALLER) and _reaches(region.when, size):
                    said = f"`{name}` takes {number(size)} tokens, where up to {number(widest)} were taken"
                    found.setdefault(said, []).append(one)
    for said, about in found.items():
        yield Mark("capability-lost", said, _ids(about))


def _models(outcome: Outcome, asked: str | None) -> set[str]:
    if not outcome.stages:
        return set()
    stage = outcome.stages[0]
    targets = stage.targets[:1] if stage.balance == "priority" else stage.targets
    return {name for target in targets if (name := target.model or asked) is not None}


def _known(model: str, models: Mapping[str, object]) -> bool:
    return model in models or window(model, {})[0] is not None


def _may(when: Condition, flag: FlagName) -> bool:
    """Whether requests of a region may have a flag: it is not asked to be off."""
    return Flag(flag, False) not in (when.parts if isinstance(when, All) else (when,))


def _reaches(when: Condition, size: int) -> bool:
    """Whether prompts of a region may be as large as this."""
    for part in when.parts if isinstance(when, All) else (when,):
        match part:
            case TokensIn(_, high) if high is not None and high <= size:
                return False
            case Not(TokensIn(low, None)) if low <= size:
                return False
    return True


def _incomplete(case: Case) -> Iterable[Mark]:
    if case.unfinished is not None:
        yield Mark("incomplete", f"there may be more changes than listed: {case.unfinished}")


_RULES: Final[tuple[Callable[[Case], Iterable[Mark]], ...]] = (
    _unrouted,
    _catch_all,
    _many,
    _single,
    _plaintext,
    _tags,
    _refused,
    _capability,
    _incomplete,
)


def _ids(found: Iterable[Moved]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.id for one in found))


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
