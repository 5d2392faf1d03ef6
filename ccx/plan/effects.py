"""What a change means to whoever sends the requests, in one word and a share.

Law: a function of the two outcomes alone. The first target asked counts most, since it answers nearly always; where a
stage shares its load, so do the shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, get_args

from ccx.analysis.outcome import Outcome, Stage
from ccx.plan.model import Effect
from ccx.protocols.names import Protocol

RANK: Final[Mapping[Effect, int]] = {effect: place for place, effect in enumerate(get_args(Effect))}
"""Effects in the order of a reader's interest."""

_Target = tuple[str, Protocol, str | None]


def effect(before: Outcome, after: Outcome) -> Effect:
    """The one word. Requests that nobody served and nobody serves now, only refused otherwise, are `treatment`."""
    if after.kind != "routed":
        if before.kind != "routed":
            return "treatment"
        return "newly_unrouted" if after.kind in ("no_route", "unservable") else "newly_refused"
    if before.kind != "routed":
        return "newly_routed"
    old, new = first(before), first(after)
    if old.keys() != new.keys():
        return "retargeted"
    if _rest(before) != _rest(after):
        return "failover"
    if before.stages != after.stages:
        return "weights"
    return "treatment"


def share(before: Outcome, after: Outcome) -> str | None:
    """The part of the traffic that is sent to another first target, where it is neither all nor none of it.

    Half the sum of the differences (total variation distance), as a decimal of at most four digits.
    """
    if before.kind != "routed" or after.kind != "routed":
        return None
    old, new = first(before), first(after)
    none = Fraction(0)
    part = sum((abs(old.get(target, none) - new.get(target, none)) for target in old.keys() | new.keys()), none) / 2
    if part in (0, 1):
        return None
    return f"{Decimal(part.numerator) / Decimal(part.denominator):.4f}".rstrip("0")


def first(outcome: Outcome) -> dict[_Target, Fraction]:
    """Who is asked first, and for which part of the requests; all of them where one stage is asked in order."""
    if not outcome.stages:
        return {}
    stage = outcome.stages[0]
    asked = stage.targets[:1] if stage.balance == "priority" else stage.targets
    parts: dict[_Target, Fraction] = {}
    for one in asked:
        key = (one.channel, one.protocol, one.model)
        parts[key] = parts.get(key, Fraction(0)) + (Fraction(1) if stage.balance == "priority" else one.share)
    return parts


def _rest(outcome: Outcome) -> tuple[Stage, ...]:
    """What is asked after the first: the later stages, and those behind the first of a stage asked in order."""
    stage, *later = outcome.stages
    behind = stage.targets[1:] if stage.balance == "priority" else ()
    return (Stage(behind, "priority", "none"), *later)
