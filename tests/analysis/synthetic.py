"""Large tables of the kind a company grows, made harder than they come: random booleans, infix globs, allowlists with
renames, clients with tags, headers. Used by the benchmark.

    python -m tests.analysis.synthetic 1000
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import replace
from typing import get_args

from ccx.analysis.compare import compare
from ccx.analysis.effort import Unfinished
from ccx.analysis.proofs import Proofs
from ccx.protocols.names import Protocol
from ccx.routing.conditions import (
    All,
    ClientIn,
    Condition,
    Flag,
    FlagName,
    HeaderMatches,
    ModelMatches,
    ProtocolIn,
    TagMatches,
    TokensIn,
    leaves,
)
from ccx.routing.globs import Globs
from ccx.routing.normal import normal
from ccx.routing.table import Channel, Client, Key, Route, RoutingTable, Server, Surface, Target, Tier
from ccx.secrets import SecretRef

FAMILIES = (
    "claude-opus-4",
    "claude-sonnet-4",
    "claude-haiku-4",
    "gpt-5",
    "gpt-5-mini",
    "gpt-4o",
    "o3",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "deepseek-v3",
    "qwen3-coder",
    "llama-4",
    "mistral-large",
    "glm-4.6",
    "kimi-k2",
)
CLIENTS = ("alice", "bob", *(f"team-{n}" for n in range(12)), *(f"eval-{n}" for n in range(4)), "ci-main", "svc-a")
CHANNELS = ("anthropic", "bedrock", "vertex", "openai", "azure", "gemini", "lab", "router")
SPOKEN = (
    (Protocol.MESSAGES,),
    (Protocol.CHAT, Protocol.RESPONSES),
    (Protocol.GEMINI,),
    (Protocol.CHAT, Protocol.IMAGES, Protocol.EMBEDDINGS),
)


def _model(r: random.Random) -> Condition:
    family = r.choice(FAMILIES)
    k = r.random()
    if k < 0.3:
        pattern = family + "*"
    elif k < 0.55:
        pattern = family
    elif k < 0.72:
        pattern = f"{family}-{r.randint(1, 30)}*"
    elif k < 0.85:
        pattern = family.split("-")[0] + "-*"
    else:
        pattern = f"*{family.split('-')[-1]}*"
    return ModelMatches(Globs((pattern,), (f"{family}-2025*",) if r.random() < 0.1 else ()))


def condition(r: random.Random) -> Condition:
    """What a route may ask for."""
    parts: list[Condition] = []
    if r.random() < 0.3:
        parts.append(ProtocolIn(frozenset(r.sample(list(Protocol), r.randint(1, 3)))))
    parts += [Flag(name, r.random() < 0.5) for name in get_args(FlagName) if r.random() < 0.1]
    if r.random() < 0.4:
        low = r.choice((0, 0, 1_000, 8_000, 32_000, 60_000, 100_000, 200_000))
        high = r.choice((None, 32_000, 60_000, 128_000, 200_000, 1_000_000))
        if (high is None or high > low) and (low or high):
            parts.append(TokensIn(low, high))
    if r.random() < 0.25:
        parts.append(ClientIn(Globs((r.choice((*CLIENTS, "team-*", "eval-*", "ci-*")),))))
    if r.random() < 0.08:
        parts.append(TagMatches("team", Globs((r.choice(("core", "web", "c*")),))))
    if r.random() < 0.1:
        parts.append(HeaderMatches("x-stage", Globs((r.choice(("beta-*", "canary", "*-exp*")),))))
    if r.random() < 0.95 or not parts:
        parts.append(_model(r))
    return normal(All(tuple(parts)))


def route(r: random.Random, name: str) -> Route:
    """One rule, with a failover."""
    one, other = r.sample(CHANNELS, 2)
    return Route(name, condition(r), (Tier((Target(one),)), Tier((Target(other, r.choice((None, "gpt-5"))),))))


def table(seed: int, routes: int) -> RoutingTable:
    """A table of so many routes, and a catch-all."""
    r = random.Random(seed)
    keys = (Key(SecretRef("env", "K")),)
    allowed = {
        "bedrock": (("claude-*", None), ("claude-opus-*", "opus-on-bedrock")),
        "azure": (("gpt-4o*", "deployment-4o"), ("gpt-5*", None), ("o3", None)),
        "lab": (("*coder*", "qwen3-coder"), ("llama-*", None)),
    }
    channels = tuple(
        Channel(
            name,
            "openai",
            tuple(Surface(p, "http", "127.0.0.1", 80, "/v1", "bearer") for p in SPOKEN[place % len(SPOKEN)]),
            keys=keys,
            models=allowed.get(name),
            not_models=("*-preview",) if name == "router" else (),
        )
        for place, name in enumerate(CHANNELS)
    )
    clients = tuple(
        Client(
            name,
            ("00",),
            Globs(("claude-*", "gpt-*")) if name == "ci-main" else None,
            tags=(("team", r.choice(("core", "web"))),),
            direct=name == "alice",
        )
        for name in sorted(CLIENTS)
    )
    rules = [route(r, f"r{n}") for n in range(routes)]
    rules.append(Route("default", tiers=(Tier((Target("router"),)),)))
    return RoutingTable("ccx/v1", tuple(sorted(channels, key=lambda c: c.name)), tuple(rules), clients, server=Server())


def edited(before: RoutingTable, seed: int) -> RoutingTable:
    """Three edits: a route that goes elsewhere, two that change places, and a new one."""
    r = random.Random(seed)
    routes = list(before.routes)
    at = r.randrange(len(routes) - 1)
    routes[at] = replace(routes[at], tiers=(Tier((Target("vertex", "edited"),)),))
    at = r.randrange(len(routes) - 2)
    routes[at], routes[at + 1] = routes[at + 1], routes[at]
    routes.insert(r.randrange(len(routes) - 1), route(r, "new"))
    return replace(before, routes=tuple(routes))


def distinct_globs(one: RoutingTable) -> int:
    """How many patterns of models its routes have."""
    asked = (leaf.globs for route in one.routes for leaf in leaves(route.when) if isinstance(leaf, ModelMatches))
    return len({pattern for globs in asked for pattern in (*globs.include, *globs.exclude)})


def measure(routes: int) -> str:
    """One row of the benchmark."""
    old = table(routes, routes)
    words = [f"{routes:5} routes, {distinct_globs(old):3} globs"]
    start = time.process_time()
    found = compare(old, edited(old, routes + 1))
    words.append(
        f"compare {time.process_time() - start:5.2f} s "
        f"({found.effort.states} states, {found.effort.model_classes} models,"
        f" {len(found.changes)} changes, {sum(len(c.regions) for c in found.changes)} regions)"
    )
    proofs = Proofs(old)
    for name in ("unmatchable", "unreachable", "redundant", "gaps"):
        start = time.process_time()
        try:
            count = str(len(getattr(proofs, name)()))
        except Unfinished as ended:
            count = str(ended)
        words.append(f"{name} {time.process_time() - start:5.2f} s ({count})")
    return "; ".join(words)


if __name__ == "__main__":
    for size in [int(word) for word in sys.argv[1:]] or [30, 100, 200, 500, 1000]:
        print(measure(size), flush=True)
