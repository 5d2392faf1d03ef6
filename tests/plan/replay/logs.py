"""Logs to replay, and the tables to replay them through."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ccx.plan.model import Side
from ccx.plan.replay.result import Replay
from ccx.plan.replay.run import replay
from ccx.protocols.names import Protocol
from ccx.routing.canonical import digest
from ccx.routing.compile import compile_spec
from ccx.routing.decide import Decider
from ccx.routing.facts import Facts
from ccx.routing.table import RoutingTable
from ccx.spec.document import Spec
from ccx.telemetry.lines import Clock, json_line
from tests.telemetry.records import exchange

CHANNELS: dict[str, Any] = {
    "anthropic": {"provider": "anthropic", "keys": {"env": "KEY"}},
    "gemini": {"provider": "gemini", "keys": {"env": "KEY"}},
    "lab": {"protocol": "chat", "base_url": "http://127.0.0.1:8000", "keys": "none"},
}


def table(*routes: dict[str, Any], **parts: Any) -> RoutingTable:
    spec = {"version": "ccx/v1", "channels": CHANNELS, "routes": list(routes), **parts}
    compiled = compile_spec(Spec.model_validate(spec))
    assert compiled.servable, compiled.diagnostics
    return compiled.table


OLD = table(
    {"name": "long", "when": {"model": "claude-*", "input_tokens": "> 60k"}, "to": ["gemini"]},
    {"name": "claude", "when": {"model": "claude-*"}, "to": ["anthropic"]},
    {"name": "rest", "when": {"model": "gpt-*"}, "to": ["lab"]},
)
NEW = table(
    {"name": "long", "when": {"model": "claude-*", "input_tokens": "> 30k"}, "to": ["gemini"]},
    {"name": "claude", "when": {"model": "claude-*"}, "to": ["anthropic"]},
)


def line(table: RoutingTable, facts: Facts, **changes: Any) -> bytes:
    """The line that ccx, serving `table`, logs of a request."""
    said: dict[str, Any] = {
        "protocol": facts.protocol.value,
        "model_asked": facts.model,
        "client": facts.client,
        "tags": dict(facts.tags),
        "prefix": facts.prefix,
        "stream": facts.stream,
        "seen": facts,
        "asked": Decider(table).cell(facts.protocol, facts.model),
        "counted_tokens": facts.input_tokens,
        "route": None,
    }
    return json_line(exchange(**said | changes), Clock())


def claude(tokens: int | None, **changes: Any) -> Facts:
    return replace(Facts(Protocol.MESSAGES, "claude-sonnet-4-5", input_tokens=tokens), **changes)


def side(table: RoutingTable, name: str) -> tuple[Side, RoutingTable]:
    return Side(name, digest(table)), table


def replayed(
    folder: Path,
    *lines: bytes | dict[str, Any],
    old: RoutingTable = OLD,
    new: RoutingTable = NEW,
    name: str = "log",
    **options: Any,
) -> Replay:
    path = folder / name
    data = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in lines]
    path.write_bytes(b"".join(item if item.endswith(b"\n") else item + b"\n" for item in data))
    return replay(side(old, "before"), side(new, "after"), logs=[str(path)], **options)
