"""A replay as JSON, for programs.

Format 1: further fields may be added without notice, none is renamed or removed without another number. Counts are of
requests. Amounts are US dollars as decimal text, exact. `share` is the part of a flow that is sent to another first
target, null where that is all or none. `flows` are ordered by effect, then by size; groups by how many of their
requests move. A name that is null is none; outcomes are worded as in the text, with the parts beside.
"""

from __future__ import annotations

import json
from typing import Final

from ccx.analysis.outcome import Outcome
from ccx.plan.model import Side
from ccx.plan.render.words import outcome_words
from ccx.plan.replay.result import Cost, Flow, Group, Replay
from ccx.routing.canonical import Json

FORMAT: Final = 1


def as_data(replay: Replay) -> dict[str, Json]:
    """The replay as plain JSON data."""
    return {
        "format": FORMAT,
        "old": _side(replay.old),
        "new": _side(replay.new),
        "sources": [{"name": s.name, "format": s.format, "lines": s.lines} for s in replay.sources],
        "skipped": [{"why": s.why, "lines": s.lines, "first": s.first} for s in replay.skipped],
        "requests": replay.requests,
        "unchanged": replay.same,
        "changed": replay.changed,
        "moved": replay.moved,
        "undetermined": replay.undetermined,
        "effects": {effect: count for effect, count in replay.effects},  # noqa: C416  # typed as Json, not as Effect
        "lacking": dict(replay.doubts),
        "served_otherwise": replay.elsewhere,
        "cost": _cost(replay.cost),
        "without_usage": replay.unmeasured,
        "from_cache": replay.given,
        "unpriced": dict(replay.unpriced),
        "flows": [_flow(flow) for flow in replay.flows],
        "clients": [_group(group, ("client",)) for group in replay.clients],
        "routes": [_group(group, ("route",)) for group in replay.routes],
        "movers": [_group(group, ("client", "model")) for group in replay.movers],
    }


def render_json(replay: Replay) -> str:
    """The replay as a JSON text, with a line end."""
    return json.dumps(as_data(replay), indent=2, ensure_ascii=False) + "\n"


def _side(side: Side) -> Json:
    return {"name": side.name, "revision": side.revision, "digest": side.digest}


def _cost(cost: Cost) -> Json:
    return {
        "requests": cost.requests,
        "before": f"{cost.before:f}",
        "after": f"{cost.after:f}",
        "change": f"{cost.change:f}",
    }


def _flow(flow: Flow) -> Json:
    return {
        "effect": flow.effect,
        "requests": flow.requests,
        "share": flow.share,
        "before": _outcome(flow.before),
        "after": _outcome(flow.after),
        "input_tokens": flow.input_tokens,
        "output_tokens": flow.output_tokens,
        "cost": _cost(flow.cost),
    }


def _outcome(outcome: Outcome) -> Json:
    return {
        "kind": outcome.kind,
        "route": outcome.route,
        "words": outcome_words(outcome),
        "targets": [
            [{"channel": t.channel, "model": t.model, "share": str(t.share)} for t in stage.targets]
            for stage in outcome.stages
        ],
        "deny": outcome.deny.status if outcome.deny is not None else None,
    }


def _group(group: Group, labels: tuple[str, ...]) -> Json:
    names: dict[str, Json] = dict(zip(labels, group.name, strict=True))
    return {
        **names,
        "requests": group.requests,
        "moved": group.moved,
        "undetermined": group.undetermined,
        "cost": _cost(group.cost),
    }
