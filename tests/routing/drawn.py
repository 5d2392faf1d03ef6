"""Random specs (as a person would write them: plain data), random requests, and other spellings of the same spec."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts

PROTOCOLS = [protocol.value for protocol in Protocol]
MODELS = [
    "claude-opus-4",
    "claude-haiku-4",
    "claude",
    "gpt-5",
    "gpt-5-mini",
    "o3",
    "gemini-3-pro-image",
    "gpt-image-2",
    "",
]
GLOBS = ["claude-*", "claude-opus-*", "*haiku*", "gpt-*", "gpt-5", "o3", "*", "*-mini", "c*e*", "**"]
CLIENTS = ["team-a", "team-b", "interns"]
CHANNELS = ["a", "b", "c", "d"]
VALUES = ["gold", "silver", "go", "1"]
EDGES = [0, 1, 2, 10, 60, 100, 1000]


def lists(items: list[str], *, exclude: bool = True) -> st.SearchStrategy[Any]:
    """One pattern, or several, some of them exclusions."""
    one = st.sampled_from(items)
    signed = st.builds(lambda sign, item: sign + item, st.sampled_from(["", "", "!"]), one) if exclude else one
    return one | st.lists(signed, min_size=1, max_size=3)


@st.composite
def ranges(draw: st.DrawFn) -> str:
    """A range as it is written."""
    low, high = sorted(draw(st.lists(st.sampled_from(EDGES), min_size=2, max_size=2, unique=True)))
    return draw(st.sampled_from([f"> {low}", f">= {low}", f"< {high}", f"<= {low}", f"{low}..{high}"]))


LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "protocol": st.sampled_from(PROTOCOLS) | st.lists(st.sampled_from(PROTOCOLS), min_size=1, max_size=6),
    "model": lists(GLOBS),
    "input_tokens": ranges() | st.lists(ranges(), min_size=1, max_size=3),
    "stream": st.booleans(),
    "tools": st.booleans(),
    "server_tools": lists(["web_search", "web_*", "code"]),
    "thinking": st.booleans(),
    "images": st.booleans(),
    "client": lists([*CLIENTS, "team-*"]),
    "tag": st.dictionaries(st.sampled_from(["team", "env"]), lists(VALUES), min_size=1, max_size=2),
    "header": st.dictionaries(st.sampled_from(["x-tier", "x-team"]), lists([*VALUES, "*"]), min_size=1, max_size=2),
    "prefix": lists(["lab", "p*"]),
    "body": st.dictionaries(
        st.sampled_from(["metadata.tier", "n"]),
        st.lists(st.sampled_from([*VALUES, "g*", "!gold", 1, 0, 2, True, False]), min_size=1, max_size=3),
        min_size=1,
        max_size=2,
    ),
}


def _when(inner: st.SearchStrategy[dict[str, Any]] | None) -> st.SearchStrategy[dict[str, Any]]:
    keys = dict(LEAVES)
    if inner is not None:
        keys |= {"any": st.lists(inner, min_size=1, max_size=3), "not": inner}
    return st.lists(st.sampled_from(sorted(keys)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: keys[name] for name in names})
    )


def whens() -> st.SearchStrategy[dict[str, Any]]:
    """Conditions, nested up to three deep."""
    return _when(_when(_when(None)))


@st.composite
def channels(draw: st.DrawFn) -> dict[str, Any]:
    """A channel that compiles: of a provider, or of a protocol and an address."""
    if draw(st.booleans()):
        channel: dict[str, Any] = {
            "provider": draw(st.sampled_from(["demo", "anthropic", "openai", "gemini", "ollama"]))
        }
    else:
        spoken = draw(st.lists(st.sampled_from(PROTOCOLS), min_size=1, max_size=3, unique=True))
        channel = {"protocol": spoken, "base_url": "http://127.0.0.1:8000"}
    channel["keys"] = draw(st.sampled_from(["none", {"env": "K"}, [{"env": "K"}, {"env": "L", "enabled": False}]]))
    if draw(st.integers(0, 9)) == 0:
        channel["keys"] = {"env": "K", "enabled": False}
    if draw(st.booleans()):
        mapped = st.dictionaries(
            st.sampled_from([p for p in GLOBS if p != "**"]), st.sampled_from([None, "up-1", "up-2"])
        )
        plain = st.lists(st.sampled_from(["claude-*", "gpt-*", "o3", "!*haiku*", "!o3"]), min_size=1, max_size=3)
        channel["models"] = draw(mapped.filter(bool) | plain)
    if draw(st.integers(0, 5)) == 0:
        channel["enabled"] = False
    return channel


def targets(names: list[str]) -> st.SearchStrategy[Any]:
    """A target in its short or long form."""
    long = st.fixed_dictionaries(
        {"channel": st.sampled_from(names)},
        optional={"model": st.sampled_from(["claude-opus-4", "gpt-5"]), "weight": st.sampled_from([0, 1, 2, 4])},
    )
    return st.sampled_from(names) | long


def steps(names: list[str]) -> st.SearchStrategy[Any]:
    """A target or a balanced group."""
    group = st.fixed_dictionaries(
        {
            "balance": st.sampled_from(["priority", "round_robin", "weighted", "least_connections"]),
            "targets": st.lists(targets(names), min_size=1, max_size=3),
        },
        optional={"affinity": st.sampled_from(["session", "client", "none"])},
    )
    return targets(names) | group


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A whole spec as plain data."""
    names = draw(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=4, unique=True))
    spec: dict[str, Any] = {"version": "ccx/v1", "channels": {name: draw(channels()) for name in names}}
    if draw(st.booleans()):
        spec["channels"][names[0]]["prefix"] = "lab"
    if draw(st.integers(0, 3)) == 0:
        spec["server"] = {"direct": False}
    routes = []
    for place in range(draw(st.integers(0, 4))):
        route: dict[str, Any] = {"name": f"r{place}", "when": draw(whens())}
        if draw(st.integers(0, 7)) == 0:
            route["deny"] = {"status": draw(st.sampled_from([403, 429])), "message": "no"}
        else:
            route["to"] = draw(st.lists(steps(names), min_size=1, max_size=3))
        routes.append(route)
    if routes:
        spec["routes"] = routes
    return spec


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """A request, exactly counted; any fact may be lacking."""
    model = draw(
        st.sampled_from([None, *MODELS, *(f"{c}{s}{m}" for c in "abx" for s in "/," for m in ("gpt-5", " o3"))])
    )
    some = st.sampled_from([*VALUES, "web"])
    scalars = st.sampled_from([*VALUES, 0, 1, 2, 1.0, 1.5, True, False])
    return Facts(
        protocol=Protocol(draw(st.sampled_from(PROTOCOLS))),
        model=model,
        input_tokens=draw(st.none() | st.sampled_from([n + d for n in EDGES for d in (-1, 0, 1) if n + d >= 0])),
        stream=draw(st.booleans()),
        tools=draw(st.booleans()),
        server_tools=draw(st.frozensets(st.sampled_from(["web_search", "code", "shell"]), max_size=2)),
        thinking=draw(st.booleans()),
        images=draw(st.booleans()),
        client=draw(st.none() | st.sampled_from(CLIENTS)),
        tags=draw(st.dictionaries(st.sampled_from(["team", "env"]), some, max_size=2)),
        headers=draw(st.dictionaries(st.sampled_from(["x-tier", "x-team"]), some, max_size=2)),
        prefix=draw(st.sampled_from([None, "lab", "p1"])),
        body=draw(st.dictionaries(st.sampled_from(["metadata.tier", "n"]), scalars, max_size=2)),
        direct=draw(st.booleans()),
    )
