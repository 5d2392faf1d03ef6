"""Promotion: channels that go first for a time, wherever they are targets.

Law: a period holds its first moment and not its last. Promoted channels go before all steps of a decision, in the steps
and the order that they have among themselves; the others follow as they were. Who is not a target stays none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from ccx.routing.decide import Step
from ccx.routing.table import Promotion


def holds(period: Promotion, at: int) -> bool:
    """Whether a period holds at this unix time in milliseconds."""
    return at < period.until and (period.start is None or period.start <= at)


def overlap(one: Promotion, other: Promotion) -> bool:
    """Whether both hold at some time."""
    starts = [period.start for period in (one, other) if period.start is not None]
    return max(starts, default=min(one.until, other.until) - 1) < min(one.until, other.until)


def promoted_first(steps: tuple[Step, ...], promoted: Collection[str]) -> tuple[Step, ...]:
    """The steps with these channels before all others."""
    first = tuple(_of(step, promoted, inside=True) for step in steps)
    rest = tuple(_of(step, promoted, inside=False) for step in steps)
    return tuple(step for step in (*first, *rest) if step.choices)


def moment(at: int) -> str:
    """A unix time in milliseconds as the spec may write it: `2026-12-01T00:00Z`."""
    found = datetime.fromtimestamp(at / 1000, UTC)
    spec = "milliseconds" if at % 1000 else "seconds" if at % 60_000 else "minutes"
    return found.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def _of(step: Step, promoted: Collection[str], *, inside: bool) -> Step:
    return replace(step, choices=tuple(c for c in step.choices if (c.channel.name in promoted) is inside))
