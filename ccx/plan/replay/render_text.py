"""A replay for a terminal: the verdict, where requests go from where, what it costs, who is affected.

Law: no line is wider than asked, and nothing in it is more than text: names from a log are shown, never obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ccx.plan.render.cells import UNICODE, Signs, Span, Tone, cells, elided, fitted, painted, visible, wrapped
from ccx.plan.render.words import EFFECTS, pair_words, side_words
from ccx.plan.replay.result import Flow, Group, Replay
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

_FLOWS: Final = 20
_GROUPS: Final = 8
_LABEL: Final = 14


def render_text(replay: Replay, *, width: int = 100, colour: bool = False, signs: Signs = UNICODE) -> str:
    """The whole report, with a line end."""
    width = max(width, 40)
    lines = _lines(replay, width, signs)
    return "".join(painted(fitted(line, width, cut=signs.cut), colour=colour) + "\n" for line in lines)


def _lines(replay: Replay, width: int, signs: Signs) -> Iterator[list[Span]]:
    title = f"{side_words(replay.old, signs)} {signs.to} {side_words(replay.new, signs)}"
    yield [Span("replay  ", "dim"), Span(elided(title, width - 8, cut=signs.cut), "bold")]
    yield from _labelled("", _seen(sources(replay), signs), width, signs, tone="dim", indent=8)
    yield []
    tone: Tone = "bold" if replay.changed else "plain"
    for line in wrapped(_seen(verdict(replay), signs), width, cut=signs.cut):
        yield [Span(line, tone)]
    if replay.flows:
        yield []
    for flow in replay.flows[:_FLOWS]:
        yield from _flow(flow, replay, width, signs)
    if len(replay.flows) > _FLOWS:
        rest = replay.flows[_FLOWS:]
        yield [Span(f"  and {len(rest):,} more ways, {sum(f.requests for f in rest):,} requests", "dim")]
    yield from _cost(replay, width, signs)
    for title, groups in (("Top movers", replay.movers), ("Clients", replay.clients), ("Routes", replay.routes)):
        yield from _groups(title, groups, width, signs)
    yield from _caveats(replay, width, signs)


def _flow(flow: Flow, replay: Replay, width: int, signs: Signs) -> Iterator[list[Span]]:
    words = EFFECTS[flow.effect]
    figures = f"{flow.requests:>11,}  {share(flow.requests, replay.requests):>7}"
    money = (
        f"  {usd(flow.cost.before)} {signs.to} {usd(flow.cost.after)}  ({delta(flow.cost)})"
        if flow.cost.requests
        else ""
    )
    yield [
        Span(f"{words.symbol} {words.does:<20}", words.tone),
        Span(figures, "bold"),
        Span(_seen(money, signs), "dim"),
    ]
    before, after, rest = pair_words(flow.before, flow.after, signs)
    route = _routes(flow, signs)
    shown = after if before == after else f"{before}  {signs.to}  {after}"
    route += f"   {partly(flow)}" if flow.share is not None else ""
    yield from _labelled("", shown + route, width, signs, indent=4)
    for difference in rest:
        yield from _labelled("", difference, width, signs, tone="dim", indent=6)


def _routes(flow: Flow, signs: Signs) -> str:
    before, after = flow.before.route, flow.after.route
    if before == after:
        return f"   [{_seen(before, signs)}]" if before is not None else ""
    names = (_seen(name, signs) if name is not None else "none" for name in (before, after))
    return f"   [{f' {signs.to} '.join(names)}]"


def _cost(replay: Replay, width: int, signs: Signs) -> Iterator[list[Span]]:
    if not (replay.cost.requests or replay.unpriced or replay.unmeasured or replay.given):
        return
    yield []
    cost = replay.cost
    if cost.requests:
        money = f"{usd(cost.before)} {signs.to} {usd(cost.after)}  ({_seen(delta(cost), signs)})"
        yield [Span(f"{'Cost':<{_LABEL}}"), Span(money, "bold")]
        yield from _labelled("", f"{cost.requests:,} requests: {PRICED_AS}", width, signs, tone="dim")
    if replay.unpriced:
        yield from _labelled("No price", _seen(unpriced(replay), signs), width, signs, tone="note")
    if replay.unmeasured:
        said = f"{replay.unmeasured:,} requests of which the log has no usage"
        yield from _labelled("Not priced", said, width, signs, tone="dim")
    if replay.given:
        yield from _labelled("From cache", given(replay), width, signs, tone="dim")


def _groups(title: str, groups: Sequence[Group], width: int, signs: Signs) -> Iterator[list[Span]]:
    moving = [group for group in groups if group.moved][:_GROUPS]
    if not moving:
        return
    yield []
    names = [elided(_seen(group_name(group), signs), max(width - 40, 20), cut=signs.cut) for group in moving]
    room = max(cells(name) for name in names)
    for place, (group, name) in enumerate(zip(moving, names, strict=True)):
        label = title if not place else ""
        money = f"  {_seen(delta(group.cost), signs)}" if group.cost.requests and group.cost.change else ""
        of = f" of {group.requests:,}" if group.requests != group.moved else ""
        gap = " " * (room - cells(name))
        yield [Span(f"{label:<{_LABEL}}"), Span(f"{name}{gap}  {group.moved:>9,}{of}"), Span(money, "dim")]
    rest = sum(1 for group in groups if group.moved) - len(moving)
    if rest > 0:
        yield [Span(f"{'':<{_LABEL}}and {rest:,} more", "dim")]


def _caveats(replay: Replay, width: int, signs: Signs) -> Iterator[list[Span]]:
    if replay.undetermined or replay.skipped or replay.elsewhere:
        yield []
    if replay.undetermined:
        lacks = f"{replay.undetermined:,} requests: the log does not say {_seen(doubts(replay), signs)}"
        yield from _labelled("Undetermined", lacks, width, signs, tone="note")
    if replay.elsewhere:
        said = f"{replay.elsewhere:,} requests were served by another route than {side_words(replay.old, signs)} gives"
        yield from _labelled("Note", said, width, signs, tone="dim")
    if replay.skipped:
        yield from _labelled("Not read", _seen(skipped(replay), signs), width, signs, tone="note")


def _labelled(
    label: str, text: str, width: int, signs: Signs, *, tone: Tone = "plain", indent: int = _LABEL
) -> Iterator[list[Span]]:
    for place, line in enumerate(wrapped(text, width - indent, cut=signs.cut)):
        yield [Span(f"{label if not place else '':<{indent}}"), Span(line, tone)]


def _seen(text: str, signs: Signs) -> str:
    return visible(text, ascii_only=signs is not UNICODE)
