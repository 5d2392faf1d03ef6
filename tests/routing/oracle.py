"""A naive interpreter of the spec: what a request means, read straight off the pydantic models.

It shares no code with the compiler, the conditions or the decision engine; regular expressions do the globs. Slow and
plain on purpose. It knows the exact token count (None: no countable prompt) and never waits for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ccx.catalog.models import models
from ccx.catalog.providers import provider
from ccx.protocols.conversion import CODECS
from ccx.routing.facts import Facts
from ccx.spec.channels import Channel
from ccx.spec.conditions import When
from ccx.spec.document import Spec
from ccx.spec.routes import Group


@dataclass(frozen=True)
class Answer:
    """Name of the route (None: nothing matches), status of a denial, and steps of (channel, model, weight)."""

    route: str | None
    deny: int | None
    steps: tuple[tuple[tuple[str, str | None, int], ...], ...]


def answer(spec: Spec, facts: Facts) -> Answer:
    """What becomes of a request."""
    named = _named_channel(spec, facts)
    if named is not None:
        channel, rest = named
        given = [[(channel, None, 1)]] if rest else []
        return Answer(f"@{channel}", None, _steps(spec, given, facts, model=rest))
    for name, channel in sorted(spec.channels.items()):
        if channel.prefix is not None and channel.prefix == facts.prefix:
            return Answer(
                f"@prefix-{channel.prefix}", None, _steps(spec, [[(name, None, 1)]], facts, model=facts.model)
            )
    if not spec.routes:
        enabled = [[(name, None, 1)] for name, channel in spec.channels.items() if channel.enabled]
        return Answer("@all", None, _steps(spec, enabled, facts, model=facts.model))
    for route in spec.routes:
        if holds(route.when, facts):
            if route.deny is not None:
                return Answer(route.name, route.deny.status, ())
            groups = [
                [(t.channel, t.model, t.weight) for t in (step.targets if isinstance(step, Group) else (step,))]
                for step in route.to or ()
            ]
            return Answer(route.name, None, _steps(spec, groups, facts, model=facts.model))
    return Answer(None, None, ())


def holds(when: When, facts: Facts) -> bool:
    """Whether every key of a `when:` holds."""
    return all(_answers(when, facts))


def _answers(when: When, facts: Facts) -> list[bool]:
    out: list[bool] = []
    if when.protocol is not None:
        out.append(facts.protocol.value in when.protocol)
    if when.model is not None:
        out.append(among(when.model, facts.model))
    if when.input_tokens is not None:
        count = facts.input_tokens
        out.append(
            count is not None
            and any(low <= count and (high is None or count < high) for low, high in when.input_tokens)
        )
    for flag in ("stream", "tools", "thinking", "images"):
        wanted = getattr(when, flag)
        if wanted is not None:
            out.append(getattr(facts, flag) == wanted)
    if when.server_tools is not None:
        out.append(any(among(when.server_tools, tool) for tool in facts.server_tools))
    if when.client is not None:
        out.append(among(when.client, facts.client))
    for name, globs in (when.tag or {}).items():
        out.append(among(globs, facts.tags.get(name)))
    for name, globs in (when.header or {}).items():
        out.append(among(globs, facts.headers.get(name)))
    if when.prefix is not None:
        out.append(among(when.prefix, facts.prefix))
    for path, values in (when.body or {}).items():
        out.append(path in facts.body and _is_one_of(facts.body[path], values))
    if when.any is not None:
        out.append(any(holds(part, facts) for part in when.any))
    if when.not_ is not None:
        out.append(not holds(when.not_, facts))
    return out


def among(patterns: tuple[str, ...], text: str | None) -> bool:
    """Some inclusion (or there is none) and no exclusion matches; a lacking text is in no set."""
    if text is None:
        return False
    wanted = [p for p in patterns if p[0] != "!"]
    return (not wanted or any(_glob(p, text) for p in wanted)) and not any(
        _glob(p[1:], text) for p in patterns if p[0] == "!"
    )


def _glob(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(re.escape(piece) for piece in pattern.split("*")), text, re.DOTALL) is not None


def _is_one_of(value: Any, legal: tuple[Any, ...]) -> bool:
    if isinstance(value, bool):
        return any(item is value for item in legal if isinstance(item, bool))
    if isinstance(value, int | float):
        return any(item == value for item in legal if isinstance(item, int) and not isinstance(item, bool))
    texts = tuple(item for item in legal if isinstance(item, str))
    return isinstance(value, str) and bool(texts) and among(texts, value)


def _named_channel(spec: Spec, facts: Facts) -> tuple[str, str] | None:
    found = re.fullmatch(r"([^/,]+)[/,]\s*(.*?)\s*", facts.model or "", re.DOTALL)
    if not (spec.server.direct and facts.direct and found and found[1] in spec.channels):
        return None
    return found[1], found[2]


def answers(client: str, spoken: set[str]) -> bool:
    """Whether an upstream that speaks these can serve a client: in its own protocol, or by conversion."""
    converted = {protocol.value for protocol in CODECS}
    if client == "images":
        return bool(spoken & {"images", "gemini"})
    return client in spoken or (client in converted and bool(spoken & converted))


def is_drawn(channel: Channel, own: str | None, asked: str | None, upstream: str | None) -> bool:
    """Whether a channel that speaks no Images makes images: the spec names the model, or Google is known for it."""
    row = _row(channel, asked) if channel.models is not None and asked is not None else None
    if own is not None or (row is not None and (row[1] is not None or "*" not in row[0])):
        return True
    return any(
        row.kind == "image" and row.provider == "google" and upstream in (row.id, *row.aliases) for row in models()
    )


def speaks(channel: Channel) -> set[str]:
    """The protocols of a channel."""
    if channel.protocol is not None:
        return set(channel.protocol)
    row = provider(channel.provider or "")
    assert row is not None
    return {protocol.value for protocol in row.surfaces}


def _steps(
    spec: Spec, groups: list[list[tuple[str, str | None, int]]], facts: Facts, *, model: str | None
) -> tuple[tuple[tuple[str, str | None, int], ...], ...]:
    steps = []
    for group in groups:
        able = []
        for name, own, weight in group:
            channel = spec.channels[name]
            asked = own or model
            if not channel.enabled or not answers(facts.protocol.value, speaks(channel)) or weight == 0:
                continue
            if _has_no_key(channel):
                continue
            upstream = _upstream_name(channel, asked)
            drawn = facts.protocol.value == "images" and "images" not in speaks(channel)
            if upstream is not False and not (drawn and not is_drawn(channel, own, asked, upstream)):
                able.append((name, upstream, weight))
        if able:
            steps.append(tuple(able))
    return tuple(steps)


def _has_no_key(channel: Channel) -> bool:
    if channel.keys == "none" or channel.auth == "none":
        return False
    row = provider(channel.provider) if channel.provider else None
    if row is not None and (row.name == "demo" or (not row.needs_key and not channel.keys)):
        return False
    # Keys that are all disabled are a channel out of use, not one that goes without.
    return not [key for key in channel.keys or () if key.enabled]


def _upstream_name(channel: Channel, asked: str | None) -> Any:
    """The name upstream; False where the channel does not allow the model."""
    if channel.models is None or asked is None:
        return asked
    if any(_glob(p[1:], asked) for p in channel.models if p[0] == "!"):
        return False
    if all(p[0] == "!" for p in channel.models):
        return asked
    row = _row(channel, asked)
    return (row[1] or asked) if row is not None else False


def _row(channel: Channel, asked: str) -> tuple[str, str | None] | None:
    """The row of a channel's models that fits best, with its name upstream."""
    assert channel.models is not None
    rows = channel.models if isinstance(channel.models, dict) else dict.fromkeys(channel.models)
    wanted = {p: name for p, name in rows.items() if p[0] != "!"}
    fitting = [p for p in wanted if p == asked] or sorted(
        (p for p in wanted if _glob(p, asked)), key=lambda p: (-len(p.replace("*", "")), p)
    )
    return (fitting[0], wanted[fitting[0]]) if fitting else None
