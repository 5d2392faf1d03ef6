"""Random small tables, edits of them, and the requests of a small space, counted out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ccx.protocols.names import Protocol
from ccx.routing.conditions import (
    All,
    AnyOf,
    BodyField,
    ClientIn,
    Condition,
    Constant,
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
from ccx.routing.decide import PrefixSet, drawing
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs
from ccx.routing.normal import normal
from ccx.routing.table import (
    Affinity,
    Balance,
    Channel,
    Client,
    Deny,
    Key,
    Route,
    RoutingTable,
    Server,
    Surface,
    Target,
    Tier,
)
from ccx.secrets import SecretRef

KINDS = ("tokens", "flags", "client", "tag", "header", "prefix", "body", "server_tools", "protocol")
MODELS = tuple("".join(t) for n in range(1, 4) for t in itertools.product("abc", repeat=n))
LONGER = tuple("".join(t) for n in (4, 5) for t in itertools.product("abc", repeat=n))
IMAGE_MODEL = drawing()[0].rstrip("*")


@dataclass(frozen=True)
class Taste:
    """What a case is made of: the kinds of conditions, and whether channels, clients and direct names play a part."""

    kinds: tuple[str, ...]
    channels: bool
    clients: bool
    direct: bool


def taste(r: random.Random) -> Taste:
    """A case's ingredients: few at a time, so that all of its requests can be counted out."""
    return Taste(tuple(r.sample(KINDS, r.randint(0, 3))), r.random() < 0.5, r.random() < 0.4, r.random() < 0.25)


def glob(r: random.Random) -> str:
    """A pattern over `abc`."""
    k = r.random()
    if k < 0.1:
        return "*"
    if k < 0.35:
        return "".join(r.choice("abc") for _ in range(r.randint(1, 3)))
    if k < 0.7:
        return "".join(r.choice("abc") for _ in range(r.randint(1, 2))) + "*"
    return "".join(r.choice("abc**") for _ in range(r.randint(1, 4)))


def globs(r: random.Random) -> Globs:
    """A set of them."""
    include = tuple(sorted({glob(r) for _ in range(r.choice((0, 1, 1, 1, 2, 3)))}))
    exclude = tuple(sorted({glob(r) for _ in range(r.choice((0, 0, 0, 1, 1, 2)))}))
    return Globs(include, exclude) if include or exclude else Globs(("a*",))


def leaf(r: random.Random, t: Taste) -> Condition:
    """A leaf of the kinds in play."""
    if not t.kinds or r.random() < 0.5:
        return ModelMatches(globs(r))
    match r.choice(t.kinds):
        case "tokens":
            low = r.randint(0, 7)
            return TokensIn(low, r.choice((None, low + r.randint(1, 4))))
        case "flags":
            name = r.choice(("stream", "thinking", "images", "tools"))
            return Flag(name, r.random() < 0.5)  # type: ignore[arg-type]  # one of the four names
        case "client":
            return ClientIn(r.choice((Globs(("t*",)), Globs(("ta",)), Globs((), ("ta",)), Globs(("*",)))))
        case "tag":
            return TagMatches(r.choice(("team", "env")), r.choice((Globs(("x*",)), Globs(("x",)), Globs((), ("y",)))))
        case "header":
            return HeaderMatches("x-h", globs(r))
        case "prefix":
            return PrefixIn(r.choice((Globs(("pa",)), Globs(("p*",)), Globs((), ("pa",)), Globs(("*",), ("pb", "q")))))
        case "body":
            numbers = frozenset(r.sample((0, 1, 2), r.randint(0, 2)))
            booleans = frozenset(r.sample((True, False), r.randint(0, 1)))
            return BodyField(
                "f", globs(r) if r.random() < 0.6 or not (numbers or booleans) else None, numbers, booleans
            )
        case "server_tools":
            return ServerTool(
                r.choice((Globs(("web*",)), Globs(("web_search",)), Globs(("code",)), Globs((), ("mcp",))))
            )
        case _:
            return ProtocolIn(frozenset(r.sample(list(Protocol), r.randint(1, 4))))


def condition(r: random.Random, t: Taste, depth: int = 2) -> Condition:
    """A condition, nested at most so deep."""
    k = r.random()
    if depth == 0 or k < 0.3:
        return leaf(r, t)
    if k < 0.36:
        return Constant(True)
    parts = tuple(condition(r, t, depth - 1) for _ in range(r.randint(1, 3)))
    if k < 0.7:
        return All(parts)
    return AnyOf(parts) if k < 0.85 else Not(parts[0])


def channel(r: random.Random, name: str, t: Taste) -> Channel:
    """An upstream: what it speaks, whether it is on, and which models it allows under which names."""
    spoken = r.choice(
        (
            (Protocol.MESSAGES,),
            (Protocol.CHAT,),
            (Protocol.GEMINI,),
            (Protocol.CHAT, Protocol.IMAGES, Protocol.EMBEDDINGS),
        )
    )
    auth = r.choice(("none", "bearer", "bearer"))
    surfaces = tuple(Surface(p, "http", "127.0.0.1", 80, "/v1", auth) for p in spoken)  # type: ignore[arg-type]  # a scheme
    keys = () if r.random() < 0.1 else (Key(SecretRef("env", "K")),)
    found = Channel(name, "openai", surfaces, keys=keys)
    if not t.channels:
        return replace(found, keys=(Key(SecretRef("env", "K")),))
    if r.random() < 0.5:
        entries = {glob(r): r.choice((None, None, "a", "abc", "up", IMAGE_MODEL)) for _ in range(r.randint(1, 3))}
        found = replace(found, models=tuple(sorted(entries.items(), key=str)))
    if r.random() < 0.25:
        found = replace(found, not_models=(glob(r),))
    return replace(found, enabled=r.random() > 0.08)


def tiers(r: random.Random) -> tuple[Tier, ...]:
    """Where a route goes."""
    found: list[Tier] = []
    for _ in range(r.randint(1, 2)):
        several = tuple(
            Target(r.choice(("x", "y", "z")), r.choice((None, None, None, "ab", "up")), r.choice((1, 1, 2, 0)))
            for _ in range(r.choice((1, 1, 2)))
        )
        balance: Balance = "priority" if len(several) == 1 else r.choice(("priority", "weighted", "round_robin"))
        affinity: Affinity = r.choice(("none", "session"))
        found.append(Tier(several, balance, affinity))
    return tuple(found)


def route(r: random.Random, name: str, t: Taste) -> Route:
    """One rule."""
    when = condition(r, t)
    if r.random() < 0.8:
        when = normal(when)
    if r.random() < 0.1:
        return Route(name, when, deny=Deny(403, "no"))
    simple = (Tier((Target(r.choice(("x", "y", "z"))),)),)
    return Route(name, when, simple if r.random() < 0.6 else tiers(r))


def client(r: random.Random, name: str) -> Client:
    """Someone who may ask."""
    tags = tuple((key, r.choice(("x", "y", "xy"))) for key in ("env", "team") if r.random() < 0.5)
    models = globs(r) if r.random() < 0.3 else None
    if models is not None and r.random() < 0.2:
        models = Globs((), (f"x/{glob(r)}",))
    return Client(name, ("00",), models, tags=tags, direct=r.random() < 0.5, enabled=r.random() > 0.08)


def table(r: random.Random, t: Taste) -> RoutingTable:
    """A whole table."""
    routes = tuple(route(r, f"r{k}", t) for k in range(r.randint(1, 7)))
    names = r.sample(("ta", "tb"), r.randint(0, 2)) if t.clients else []
    return RoutingTable(
        "ccx/v1",
        tuple(channel(r, name, t) for name in ("x", "y", "z")),
        routes,
        tuple(client(r, name) for name in sorted(names)),
        server=Server(direct=t.direct),
    )


def edited(r: random.Random, before: RoutingTable, t: Taste) -> RoutingTable:
    """The table after one to three edits."""
    found = before
    for _ in range(r.choice((1, 1, 2, 3))):
        found = _edit(r, found, t)
    return found


def _edit(r: random.Random, before: RoutingTable, t: Taste) -> RoutingTable:
    routes = list(before.routes)
    k = r.random()
    at = r.randrange(len(routes)) if routes else 0
    if k < 0.2 or not routes:
        routes.insert(r.randint(0, len(routes)), route(r, f"n{r.randint(0, 999)}", t))
    elif k < 0.3:
        routes.pop(at)
    elif k < 0.4 and len(routes) > 1:
        at = r.randrange(len(routes) - 1)
        routes[at], routes[at + 1] = routes[at + 1], routes[at]
    elif k < 0.55:
        routes[at] = replace(routes[at], when=condition(r, t))
    elif k < 0.65:
        routes[at] = replace(routes[at], when=All((routes[at].when, leaf(r, t))))
    elif k < 0.75:
        routes[at] = replace(routes[at], tiers=tiers(r), deny=None)
    elif k < 0.8:
        routes[at] = replace(routes[at], name=f"renamed{r.randint(0, 99)}")
    elif k < 0.9:
        name = r.choice(("x", "y", "z"))
        changed = tuple(channel(r, name, t) if c.name == name else c for c in before.channels)
        return replace(before, channels=changed)
    elif t.clients:
        name = r.choice(("ta", "tb"))
        kept = [c for c in before.clients if c.name != name]
        if r.random() < 0.7:
            kept.append(client(r, name))
        return replace(before, clients=tuple(sorted(kept, key=lambda c: c.name)))
    elif t.direct:
        return replace(before, server=Server(direct=r.random() < 0.5))
    return replace(before, routes=tuple(routes))


def requests(r: random.Random, tables: tuple[RoutingTable, ...], t: Taste, *, limit: int) -> Iterator[Facts]:
    """The requests of a small space: all of them where there are few, else a sample."""
    axes = _values(tables, t)
    models: list[str | None] = [None, *MODELS, *r.sample(LONGER, 20)]
    if t.direct:
        models += [f"{c}{sign}{m}" for c in ("x", "y", "q") for sign in "/," for m in ("", *r.sample(MODELS, 9))]
    if t.channels:
        models += [IMAGE_MODEL, f"{IMAGE_MODEL}-x", "up", f"x/{IMAGE_MODEL}"]
    axes.insert(0, [{"model": model} for model in models])
    size = 1
    for values in axes:
        size *= len(values)
    combinations: Iterator[tuple[dict[str, object], ...]]
    if size <= limit:
        combinations = itertools.product(*axes)
    else:
        combinations = (tuple(r.choice(values) for values in axes) for _ in range(limit))
    for chosen in combinations:
        facts = Facts(Protocol.MESSAGES, None, direct=True)
        for values_of in chosen:
            facts = replace(facts, **values_of)  # type: ignore[arg-type]  # fields of Facts by name
        yield facts


def _values(tables: tuple[RoutingTable, ...], t: Taste) -> list[list[dict[str, object]]]:
    axes: list[list[dict[str, object]]] = []
    if "protocol" in t.kinds or t.channels:
        axes.append([{"protocol": p} for p in Protocol])
    else:
        axes.append([{"protocol": p} for p in (Protocol.MESSAGES, Protocol.CHAT)])
    if "tokens" in t.kinds:
        axes.append([{"input_tokens": n} for n in (None, *range(12))])
    if "flags" in t.kinds:
        axes += [[{name: False}, {name: True}] for name in ("stream", "thinking", "images", "tools")]
    if "header" in t.kinds:
        sent: list[dict[str, object]] = [{"headers": {"x-h": text}} for text in ("", *MODELS)]
        axes.append([{"headers": {}}, *sent])
    if "body" in t.kinds:
        values: tuple[object, ...] = (*MODELS[:20], 0, 1, 2, 3, 1.0, 1.5, True, False, ())
        given: list[dict[str, object]] = [{"body": {"f": value}} for value in values]
        axes.append([{"body": {}}, *given])
    if "prefix" in t.kinds:
        served = [PrefixSet(table) for table in tables]
        admitted = [p for p in ("pa", "pb", "p", "q", "z", "v1") if any(p in one for one in served)]
        axes.append([{"prefix": p} for p in (None, *admitted)])
    if "server_tools" in t.kinds:
        names = ("web_search", "web_fetch", "code", "mcp", "shell")
        sets = [frozenset(s) for n in range(3) for s in itertools.combinations(names, n)]
        had = [a for a in axes if "tools" in a[0]]
        axes = [a for a in axes if a not in had]
        axes.append([{"tools": False}, *({"tools": True, "server_tools": s} for s in sets)])
    declared = {c.name: c for one in tables for c in one.clients}
    callers: list[dict[str, object]] = [
        {"client": c.name, "tags": dict(c.tags), "direct": c.direct} for c in declared.values()
    ]
    if not all(one.clients for one in tables):
        callers.append({"client": None, "direct": True})
    axes.append(callers)
    return axes
