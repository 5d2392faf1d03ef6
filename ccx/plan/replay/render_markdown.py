"""A replay as a section of a pull request's comment: a summary line that opens to the tables.

Law: names from a log are hostile. They stand in code spans that nothing inside can end, and in tables that no `|` can
split. The section has a bound, whatever the replay found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ccx.plan.render.cells import elided, visible
from ccx.plan.render.words import EFFECTS, outcome_words
from ccx.plan.replay.result import Flow, Group, Replay
from ccx.plan.replay.wording import (
    PRICED_AS,
    delta,
    doubts,
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
    """The section, with a line end."""
    for flows, groups in ((_FLOWS, _GROUPS), (8, 3), (3, 0)):
        text = "\n".join(_lines(replay, flows, groups)) + "\n"
        if len(text) <= MAX_SECTION:
            break
    return text


def _lines(replay: Replay, flows: int, groups: int) -> Iterator[str]:
    money = f", cost {delta(replay.cost)}" if replay.cost.requests else ""
    yield f"<details><summary>Traffic replay: {verdict(replay)}{money}</summary>"
    yield ""
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
        yield (
            f"**{usd(cost.before)} → {usd(cost.after)}** ({delta(cost)}), of {cost.requests:,} requests: {PRICED_AS}."
        )
        yield ""
    for title, found in (("Client, model", replay.movers), ("Route", replay.routes)):
        yield from _groups(title, [group for group in found if group.moved], groups)
    for note in _notes(replay):
        yield f"- {note}"
    yield ""
    yield "</details>"


def _flow(flow: Flow, replay: Replay) -> str:
    money = f"{usd(flow.cost.before)} → {usd(flow.cost.after)}" if flow.cost.requests else ""
    cells = (
        f"{EFFECTS[flow.effect].emoji} {EFFECTS[flow.effect].does}",
        f"{flow.requests:,}" + (f", {partly(flow)}" if flow.share is not None else ""),
        share(flow.requests, replay.requests),
        _code(outcome_words(flow.before)),
        _code(outcome_words(flow.after)),
        money,
    )
    return f"| {' | '.join(cells)} |"


def _groups(title: str, groups: Sequence[Group], limit: int) -> Iterator[str]:
    if not groups or not limit:
        return
    yield f"| {title} | Moved | Of | Cost |"
    yield "|--|--:|--:|--|"
    for group in groups[:limit]:
        money = delta(group.cost) if group.cost.requests else ""
        yield f"| {_code(group_name(group))} | {group.moved:,} | {group.requests:,} | {money} |"
    if len(groups) > limit:
        yield f"| and {len(groups) - limit:,} more | | | |"
    yield ""


def _notes(replay: Replay) -> Iterator[str]:
    yield f"Read: {_code(sources(replay))}"
    if replay.undetermined:
        yield f"Undetermined: {replay.undetermined:,} requests, of which the log does not say {_code(doubts(replay))}"
    if replay.unpriced:
        yield f"No price known: {_code(unpriced(replay))}"
    if replay.unmeasured:
        yield f"Not priced: {replay.unmeasured:,} requests of which the log has no usage"
    if replay.elsewhere:
        yield f"{replay.elsewhere:,} requests were served by another route than the old side gives"
    if replay.skipped:
        yield f"Not read: {_code(skipped(replay))}"


def _code(text: str) -> str:
    """A code span inside a table cell. A backtick in it would need another fence, a pipe ends a cell even there."""
    shown = elided(visible(text), _NAME).replace("|", "\\|")
    if "`" not in shown:
        return f"`{shown}`"
    fence = "`" * (_longest(shown) + 1)
    return f"{fence} {shown} {fence}"


def _longest(text: str) -> int:
    """The longest run of backticks."""
    longest = run = 0
    for sign in text:
        run = run + 1 if sign == "`" else 0
        longest = max(longest, run)
    return longest
