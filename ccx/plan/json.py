"""A plan as JSON: documented, versioned, and bound by its digest. The schema is in `schema/plan.v1.json`.

Law: `format_version` is MAJOR.MINOR; a minor version only adds, and readers pass over what they do not know. The
digest is of everything but what two runs may call differently: names, revisions, paths and places, and the effort it
took. Keys are sorted, and there is no clock. No secret is in it, for there is none in a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from ccx.analysis.asking import command
from ccx.analysis.difference import Region
from ccx.analysis.outcome import Asked, Outcome, Stage, Treatment
from ccx.analysis.wording import say
from ccx.plan.model import Edit, Mark, Moved, Plan, Side, Touched
from ccx.routing.canonical import Json, canonical
from ccx.routing.conditions import (
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
    Direct,
    Flag,
    HeaderMatches,
    ModelMatches,
    Not,
    PrefixIn,
    ProtocolIn,
    ServerTool,
    TagMatches,
    TokensIn,
)
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs
from ccx.spec.locations import Place

FORMAT_VERSION: Final = "1.0"

Data = dict[str, Json]

_UNBOUND: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"digest", "spec", "analysis", "replay"}),
    "old": frozenset({"name", "revision"}),
    "new": frozenset({"name", "revision"}),
    "edits": frozenset({"place"}),
    "regions": frozenset({"command"}),
}
"""What the digest leaves out, by where it stands; "" is the plan itself. `replay` is of a log, not of the specs."""


def render_json(plan: Plan) -> str:
    """The plan as a JSON text, with a line break at its end."""
    return json.dumps(as_data(plan), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def digest(plan: Plan) -> str:
    """`sha256:` and the digest of the plan."""
    return digest_of(as_data(plan))


def digest_of(data: Mapping[str, Any]) -> str:
    """The digest of a plan in JSON, whatever digest is written in it."""
    bound = {key: _without(key, value) for key, value in data.items() if key not in _UNBOUND[""]}
    changes = bound.get("changes")
    if isinstance(changes, list):
        bound["changes"] = [
            {key: _without(key, value) for key, value in one.items()} if isinstance(one, dict) else one
            for one in changes
        ]
    text = json.dumps(bound, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode('utf-8', errors='surrogatepass')).hexdigest()}"


def _without(name: str, value: Any) -> Any:
    left_out = _UNBOUND.get(name)
    match value:
        case dict() if left_out:
            return {key: below for key, below in value.items() if key not in left_out}
        case list() if left_out:
            return [_without(name, below) for below in value]
        case _:
            return value


def as_data(plan: Plan) -> Data:
    """The plan as plain JSON data."""
    return {
        "format_version": FORMAT_VERSION,
        "spec": plan.spec,
        "old": _side(plan.old),
        "new": _side(plan.new),
        "within": plan.within,
        "complete": plan.complete,
        "unfinished": plan.unfinished,
        "no_op": plan.no_op,
        "analysis": {
            "states": plan.effort.states,
            "budget": plan.effort.budget,
            "model_classes": plan.effort.model_classes,
            "token_ranges": plan.effort.token_ranges,
        },
        "summary": {
            "routes": {
                "added": plan.routes.added,
                "edited": plan.routes.edited,
                "removed": plan.routes.removed,
                "moved": plan.routes.moved,
                "renamed": plan.routes.renamed,
            },
            "effects": {effect: plan.effects[effect] for effect in plan.effects},
            "touched": len(plan.touched),
        },
        "edits": [_edit(edit) for edit in plan.edits],
        "changes": [_moved(one, plan.spec) for one in plan.moved],
        "touched": [_touched(one, plan) for one in plan.touched],
        "marks": [_mark(mark) for mark in plan.marks],
        "digest": plan.digest,
    }


def _side(side: Side) -> Data:
    return {"name": side.name, "revision": side.revision, "digest": side.digest, "absent": side.absent}


def _touched(touched: Touched, plan: Plan) -> Data:
    # Left out where there are none, so that the digests of plans without groups are what they were.
    clients: Data = {"clients": list(touched.clients)} if touched.clients else {}
    return {"edit": plan.edits.index(touched.edit), "routes": list(touched.routes), **clients}


def _edit(edit: Edit) -> Data:
    return {
        "kind": edit.kind,
        "name": edit.name,
        "operation": edit.operation,
        "was": edit.was,
        "fields": [{"path": one.path, "before": one.before, "after": one.after} for one in edit.fields],
        "place": _place(edit.place),
    }


def _place(place: Place | None) -> Json:
    return {"file": place.file, "line": place.span.line, "col": place.span.col} if place is not None else None


def _moved(one: Moved, spec: str) -> Data:
    return {
        "id": one.id,
        "effect": one.effect,
        "cause": one.cause,
        "share": one.share,
        "before": outcome_data(one.change.before),
        "after": outcome_data(one.change.after),
        "regions": [_region(region, spec) for region in one.change.regions],
        "more_regions": one.change.more,
    }


def _mark(mark: Mark) -> Data:
    return {"guard": mark.guard, "message": mark.message, "changes": list(mark.moved)}


def outcome_data(outcome: Outcome) -> Data:
    """What becomes of a request."""
    data: Data = {"kind": outcome.kind, "route": outcome.route}
    if outcome.stages:
        data["stages"] = [_stage(stage) for stage in outcome.stages]
    if outcome.treatment is not None:
        data["treatment"] = _treatment(outcome.treatment)
    if outcome.deny is not None:
        data["deny"] = {"status": outcome.deny.status, "message": outcome.deny.message}
    if outcome.reason:
        data["reason"] = outcome.reason
    return data


def _stage(stage: Stage) -> Data:
    return {
        "balance": stage.balance,
        "affinity": stage.affinity,
        "targets": [_asked(target) for target in stage.targets],
    }


def _asked(target: Asked) -> Data:
    return {
        "channel": target.channel,
        "protocol": target.protocol.value,
        "model": target.model,
        "share": str(target.share),
    }


def _treatment(treatment: Treatment) -> Data:
    data = canonical(treatment)
    return data if isinstance(data, dict) else {}


def _region(region: Region, spec: str) -> Data:
    return {
        "when": box(region.when),
        "words": say(region.when),
        "witness": facts_data(region.witness),
        "command": command(region.witness, spec=spec),
    }


def facts_data(facts: Facts) -> Data:
    """A request in facts; what a request lacks is left out."""
    data: Data = {
        "protocol": facts.protocol.value,
        "model": facts.model,
        "input_tokens": facts.input_tokens,
        "stream": facts.stream,
        "tools": facts.tools,
        "thinking": facts.thinking,
        "images": facts.images,
    }
    if facts.server_tools:
        data["server_tools"] = [*sorted(facts.server_tools)]
    if facts.client is not None:
        data["client"] = facts.client
    if facts.tags:
        data["tags"] = dict(sorted(facts.tags.items()))
    if facts.headers:
        data["headers"] = dict(sorted(facts.headers.items()))
    if facts.prefix is not None:
        data["prefix"] = facts.prefix
    if facts.body:
        data["body"] = {path: _scalar(value) for path, value in sorted(facts.body.items())}
    if facts.direct:
        data["direct"] = True
    return data


def _scalar(value: object) -> Json:
    if isinstance(value, bool | int | str):
        return value
    # Canonical JSON has no floats; a whole one is its integer, and conditions ask for no other.
    return int(value) if isinstance(value, float) and value.is_integer() else str(value)


def box(when: Condition) -> Data:
    """A region by axis: `{"model": {"any_of": ["claude-*"]}, "input_tokens": {"from": 128000, "below": 200000}}`.

    An empty one is every request. What a request lacks is in no set, and in the complement of each.
    """
    if when == Constant(True):
        return {}
    data: Data = {}
    for part in when.parts if isinstance(when, All) else (when,):
        leaf, negated = (part.part, True) if isinstance(part, Not) else (part, False)
        axis, name, value = _predicate(leaf)
        said: Json = {"not": value} if negated else value
        if name is None:
            data[axis] = said
        else:
            named = data.setdefault(axis, {})
            if isinstance(named, dict):
                named[name] = said
    return data


def _predicate(leaf: Condition) -> tuple[str, str | None, Json]:
    """The axis, the name on it where there are several, and what is asked."""
    match leaf:
        case ProtocolIn(protocols):
            return "protocol", None, {"any_of": [*sorted(protocols)]}
        case ModelMatches(globs):
            return "model", None, _globs(globs)
        case TokensIn(low, high):
            return "input_tokens", None, {"from": low, "below": high}
        case Flag(name, value):
            return name, None, value
        case ServerTool(globs):
            return "server_tools", None, _globs(globs)
        case ClientIn(globs):
            return "client", None, _globs(globs)
        case TagMatches(name, globs):
            return "tag", name, _globs(globs)
        case HeaderMatches(name, globs):
            return "header", name, _globs(globs)
        case PrefixIn(globs):
            return "prefix", None, _globs(globs)
        case BodyField(path, globs, integers, booleans):
            texts: Data = _globs(globs) if globs is not None else {}
            values: list[Json] = [*sorted(integers), *sorted(booleans)]
            return "body", path, texts | {"values": values} if values else texts
        case Direct():
            return "direct", None, True
        case Constant(value):
            return "constant", None, value
        case All() | AnyOf() | Not():
            return "condition", None, canonical(leaf)


def _globs(globs: Globs) -> Data:
    data: Data = {"any_of": list(globs.include) or ["*"]}
    if globs.exclude:
        data["none_of"] = list(globs.exclude)
    return data
