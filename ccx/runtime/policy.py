"""Declared request policies on a body of the client's own protocol: cap, default, set, drop, system.

Law: pure; it says which top-level fields get which values, and the body's splice leaves every other byte alone. Names
are the protocol's own, but for the few that every protocol has under another name; those are written once, neutrally.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ccx.protocols.body import Body
from ccx.protocols.names import Protocol
from ccx.protocols.system_prompt import with_system
from ccx.routing.table import NO_POLICY, RequestPolicy

# Neutral name -> the protocol's own path. https://platform.openai.com/docs/api-reference,
# https://docs.anthropic.com/en/api/messages, https://ai.google.dev/api/generate-content
_NEUTRAL: Mapping[Protocol, Mapping[str, tuple[str, ...]]] = {
    Protocol.MESSAGES: {"max_output_tokens": ("max_tokens",), "stop": ("stop_sequences",)},
    Protocol.CHAT: {"max_output_tokens": ("max_completion_tokens",)},
    Protocol.RESPONSES: {},
    Protocol.GEMINI: {
        "max_output_tokens": ("generationConfig", "maxOutputTokens"),
        "temperature": ("generationConfig", "temperature"),
        "top_p": ("generationConfig", "topP"),
        "top_k": ("generationConfig", "topK"),
        "seed": ("generationConfig", "seed"),
        "stop": ("generationConfig", "stopSequences"),
    },
    Protocol.IMAGES: {},
    Protocol.EMBEDDINGS: {},
}


@dataclass(frozen=True, slots=True)
class Edits:
    """Top-level fields to write and to take away."""

    write: Mapping[str, object]
    drop: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.write or self.drop)


NO_EDITS = Edits({}, frozenset())


def edits(policy: RequestPolicy, protocol: Protocol, body: Body) -> Edits:
    """What a policy changes in this body. A cap that is already kept changes nothing; the system prompt comes last,
    so that it goes before or in place of one that was set."""
    if policy is NO_POLICY:
        return NO_EDITS
    names = _NEUTRAL[protocol]
    write: dict[str, object] = {}
    drop: set[str] = set()

    def current(path: tuple[str, ...]) -> object:
        value: object = write.get(path[0], body.value(path[0]))
        for part in path[1:]:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def put(path: tuple[str, ...], value: object) -> None:
        if len(path) == 1:
            write[path[0]] = value
            return
        holder = write.get(path[0], body.value(path[0]))
        write[path[0]] = {**(holder if isinstance(holder, dict) else {}), path[1]: value}

    for name in policy.drop:
        path = names.get(name, (name,))
        if len(path) == 1:
            drop.add(path[0])
        elif current(path) is not None:
            holder = write.get(path[0], body.value(path[0]))
            write[path[0]] = {k: v for k, v in holder.items() if k != path[1]} if isinstance(holder, dict) else holder
    for name, text in policy.default:
        path = names.get(name, (name,))
        if current(path) is None:
            put(path, json.loads(text))
    for name, text in policy.set:
        put(names.get(name, (name,)), json.loads(text))
    limit = policy.max_output_tokens
    if limit is not None and protocol not in (Protocol.IMAGES, Protocol.EMBEDDINGS):
        paths = [names.get("max_output_tokens", ("max_output_tokens",))]
        if protocol is Protocol.CHAT:
            paths.append(("max_tokens",))
        present = [(path, value) for path in paths if (value := current(path)) is not None]
        if not present:
            put(paths[0], limit)
        for path, value in present:
            if isinstance(value, int) and value > limit:
                put(path, limit)
    drop -= write.keys()
    system = with_system(
        protocol,
        body,
        prefix=policy.system_prefix or "",
        replace=policy.system_replace,
        write=write,
        drop=drop,
    )
    if system is not None:
        field, value = system
        write.pop(field, None)
        if value is None:
            drop.add(field)
        else:
            write[field] = value
    return Edits(write, frozenset(drop - write.keys()))
