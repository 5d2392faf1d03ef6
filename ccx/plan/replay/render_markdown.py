"""A replay as a section of a pull request's comment: a summary line that opens to the tables.

Law: names from a log are hostile. They stand in code spans that nothing inside can end, and in tables that no `|` can
split. The section has a bound, whatever the replay found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from ccx.plan.render.github import code, details, prose, table_row
from ccx.plan.render.words import EFFECTS, outcome_words
from ccx.plan.replay.result import Cost, Flow, Group, Replay
from ccx.plan.replay.wording import (
    PRICED_AS,
    delta,
    doubts,
    given,
    group_name,
    partly,
    share,
    skipped,
    sources,
    unpriced,
    usd,
    verdict,
)

MAX_SECTION: Final = 12_000
"""Characters, a fifth of what a comment on GitHub may have."""
_FLOWS: Final = 20
_GROUPS: Final = 10
_NAME: Final = 100


def render_markdown(replay: Replay) -> str:
    """The section by itself, with a line end."""
    return details(prose(title(replay)), body(replay)) + "\n"


def title(replay: Replay) -> str:
    """The line that is always seen."""
    money = f", cost {delta(replay.cost)}" if replay.cost.requests else ""
    return f"Traffic replay: {verdict(replay)}{money}"


def body(replay: Replay) -> str:
    """What opens below it, in at most `MAX_SECTION` characters."""
    text = ""
    for flows, groups in ((_FLOWS, _GROUPS), (8, 3), (3, 0)):
        text = "\n".join(_lines(replay, flows, groups))
        if len(text) <= MAX_SECTION:
            break
    return text


def _lines(replay: Replay, flows: int, groups: int) -> Iterator[str]:
    if replay.flows:
        yield "| | Requests | Share | Before | After | Cost |"
        yield "|--|--:|--:|--|--|--|"
        yield from (_flow(flow, replay) for flow in replay.flows[:flows])
        if len(replay.flows) > flows:
            yield ""
            rest = replay.flows[flows:]
            yield f"and {len(rest):,} more ways, {sum(flow.requests for flow in rest):,} requests"
        yield ""
    if replay.cost.requests:
        cost = replay.cost
        money = f"**{_usd(cost.before)} → {_usd(cost.after)}** ({_delta(cost)})"
        yield f"{money}, of {cost.requests:,} requests: {PRICED_AS}."
        yield ""
    for title, found in (("Client, model", replay.movers), ("Route", replay.routes)):
        yield from _groups(title, [group for group in found if group.moved], groups)
    for note in _notes(replay):
        yield f"- {note}"


def _flow(flow: Flow, replay: Replay) -> str:
    money = f"{_usd(flow.cost.before)} → {_usd(flow.cost.after)}" if flow.cost.requests else ""
    cells = (
        f"{EFFECTS[flow.effect].emoji} {EFFECTS[flow.effect].does}",
        f"{flow.requests:,}" + (f", {partly(flow)}" if flow.share is not None else ""),
        share(flow.requests, replay.requests),
        code(outcome_words(flow.before), room=_NAME),
        code(outcome_words(flow.after), room=_NAME),
        money,
    )
    return table_row(cells)


def _groups(title: str, groups: Sequence[Group], limit: int) -> Iterator[str]:
    if not groups or not limit:
        return
    yield f"| {title} | Moved | Of | Cost |"
    yield "|--|--:|--:|--|"
    for group in groups[:limit]:
        money = _delta(group.cost) if group.cost.requests else ""
        yield table_row((code(group_name(group), room=_NAME), f"{group.moved:,}", f"{group.requests:,}", money))
    if len(groups) > limit:
        yield f"| and {len(groups) - limit:,} more | | | |"
    yield ""


def _notes(replay: Replay) -> Iterator[str]:
    yield f"Read: {code(sources(replay), room=_NAME)}"
    if replay.undetermined:
        lacks = code(doubts(replay), room=_NAME)
        yield f"Undetermined: {replay.undetermined:,} requests, of which the log does not say {lacks}"
    if replay.unpriced:
        yield f"No price known: {code(unpriced(replay), room=_NAME)}"
    if replay.unmeasured:
        yield f"Not priced: {replay.unmeasured:,} requests of which the log has no usage"
    if replay.given:
        yield f"From cache: {given(replay)}"
    if replay.elsewhere:
        yield f"{replay.elsewhere:,} requests were served by another route than the old side gives"
    if replay.skipped:
        yield f"Not read: {code(skipped(replay), room=_NAME)}"


def _usd(amount: Decimal) -> str:
    """With a `$` that GitHub does not take for the beginning of a formula."""
    return usd(amount).replace("$", "&#36;")


def _delta(cost: Cost) -> str:
    return delta(cost).replace("$", "&#36;")
