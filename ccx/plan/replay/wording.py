"""How the figures of a replay are worded, the same in every output."""

from __future__ import annotations

from decimal import Decimal

from ccx.plan.render.words import counted, listed
from ccx.plan.replay.result import Cost, Flow, Group, Replay

PRICED_AS = "list prices, the first target of each request, the logged tokens on both sides"


def share(part: int, whole: int) -> str:
    """A part in percent. What is not nothing is never shown as 0 %, what is not all never as 100 %."""
    if not part or not whole:
        return "0 %"
    if part == whole:
        return "100 %"
    percent = part * 100 / whole
    if percent < 0.1:
        return "<0.1 %"
    return ">99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def partly(flow: Flow) -> str:
    """`50 % of them`, where not all of a flow are sent elsewhere; empty where all or none are."""
    return f"{float(flow.share) * 100:.3g} % of them" if flow.share is not None else ""


def usd(amount: Decimal) -> str:
    """`$1,483.88`; small amounts with as many figures as tell something."""
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if 0 < size < Decimal("0.01"):
        return f"{sign}${size:.6f}"
    return f"{sign}${size:,.2f}"


def delta(cost: Cost) -> str:
    """`-$5,797.75, -7.9 %`."""
    change = cost.change
    words = "±$0.00" if not change else f"{'+' if change > 0 else ''}{usd(change)}"
    if not cost.before or not change:
        return words
    percent = change * 100 / cost.before
    return f"{words}, {percent:+.1f} %"


def verdict(replay: Replay) -> str:
    """The one sentence that says it all."""
    if not replay.requests:
        return "no requests to replay"
    whole = counted(replay.requests, "request")
    if replay.moved:
        moved = f"{share(replay.moved, replay.requests)} of {whole} go elsewhere ({replay.moved:,})"
    elif replay.changed:
        moved = f"none of {whole} goes elsewhere, {replay.changed:,} are treated otherwise"
    elif replay.undetermined:
        moved = f"none of {whole} is known to change"
    else:
        moved = f"none of {whole} changes"
    if replay.moved and replay.changed > replay.moved:
        moved += f", {replay.changed - replay.moved:,} are treated otherwise"
    if replay.undetermined:
        moved += f"; {share(replay.undetermined, replay.requests)} undetermined ({replay.undetermined:,})"
    return moved


def doubts(replay: Replay, limit: int = 5) -> str:
    """What the log lacks: `thinking (222,302), header x-tier (12)`."""
    return _some([f"{what} ({number:,})" for what, number in replay.doubts], limit)


def unpriced(replay: Replay, limit: int = 5) -> str:
    """Targets without a known price."""
    return _some([f"{what} ({number:,})" for what, number in replay.unpriced], limit)


def skipped(replay: Replay, limit: int = 5) -> str:
    """Lines that are no requests."""
    return _some([f"{s.why} ({s.lines:,}, first {s.first})" for s in replay.skipped], limit)


def sources(replay: Replay, limit: int = 3) -> str:
    """`access.jsonl (ccx, 12,000 lines)`."""
    return _some([f"{s.name} ({s.format}, {counted(s.lines, 'line')})" for s in replay.sources], limit)


def group_name(group: Group) -> str:
    """A client, a route, or a client and a model."""
    return " · ".join(part if part is not None else "(none)" for part in group.name)


def _some(parts: list[str], limit: int) -> str:
    rest = len(parts) - limit
    return listed([*parts[:limit], f"{rest:,} more"]) if rest > 0 else listed(parts)


def given(replay: Replay) -> str:
    """`12 requests that had an answer of the cache, or another's, and cost nothing`."""
    return f"{replay.given:,} requests that had an answer of the cache, or another's, and cost nothing"
