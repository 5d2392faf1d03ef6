"""The digest: other spellings of one spec share it, and every edit of the meaning changes it."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ccx.routing.canonical import digest, table_json
from ccx.routing.compile import compile_spec
from ccx.spec.document import Spec
from tests.routing import drawn

FULL = """
version: ccx/v1
server: {listen: 127.0.0.1:3100, max_body: 20MiB, cors: [https://b.example, https://a.example], drain: 10s}
admin: {key: {env: ADMIN}, dashboard: false}
clients:
  team-a: {key: {sha256: "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11"},
           models: [claude-*, gpt-5*],
           limits: {requests: [600/min, 10/s], input_tokens: 2M/min, concurrency: 20}, budget: {usd: 500, per: month},
           expires: 2027-06-30, tags: {team: core, env: prod}, direct: true}
channels:
  main:
    provider: anthropic
    keys: [{env: KEY_A}, {file: keys/b, weight: 2, limits: {requests: 50/min}}]
    key_strategy: least_used
    models: {claude-opus-*: claude-opus-4-1, claude-*: null}
    limits: {requests: 100/min}
    timeouts: {connect: 2s, idle: 30s}
    breaker: {consecutive: 3}
    headers: {set: {x-team: core}, remove: [x-internal]}
    proxy: {env: EGRESS}
    tls: {ca: corp.pem}
    tags: {region: eu}
    prefix: claude
  lab: {protocol: [chat, embeddings], base_url: "http://127.0.0.1:8000", keys: none, breaker: off}
  spare: {provider: demo, enabled: false}
models:
  claude-opus-4-1: {context_window: 200k, max_output_tokens: 32k, vision: true,
                    price: {input: 15, output: 75.00, above: {200k: {input: 30}}}}
routes:
  - name: long
    when: {protocol: messages, model: [claude-*, "!*haiku*"], input_tokens: "> 60k", tag: {team: core},
           any: [{stream: true}, {header: {x-tier: [gold, silver]}}], not: {thinking: true}}
    to: [main]
    failover: {attempts: 5, on: [connect, timeout], backoff: {initial: 100ms}}
    request: {cap: {max_output_tokens: 8k}, default: {temperature: 0.2}, set: {service_tier: auto}, drop: [metadata]}
    on_loss: reject
    cache: {ttl: 10m}
  - {name: nope, when: {client: interns, protocol: images}, deny: {status: 403, message: "Not here."}}
  - name: mixed
    when: {body: {metadata.tier: [gold, 3, true]}, server_tools: web_*, prefix: [x, y], tools: true, images: false}
    to:
      - {balance: weighted, targets: [{channel: main, weight: 3}, {channel: lab, model: qwen}], affinity: session}
      - spare
  - {name: default, to: [main, lab]}
defaults:
  channel: {timeouts: {total: 5m}, headers: {set: {x-via: ccx}}}
  failover: {attempts: 4, deadline: 60s}
  request: {default: {top_p: 1}}
  on_loss: allow
state: {redis: {url: {env: REDIS}, prefix: gw}}
telemetry: {logs: {format: text, redact: [x-api-key, Authorization]}, metrics: none, traces: {otlp: "http://127.0.0.1:4318"},
            usage: {store: usage.db}}
"""


def table_of(raw: Any) -> str:
    """The digest of plain data."""
    return compile_spec(Spec.model_validate(raw)).digest


def full() -> dict[str, Any]:
    """The example as plain data."""
    data = YAML(typ="safe", pure=True).load(io.StringIO(FULL))
    data["clients"]["team-a"]["expires"] = "2027-06-30"
    return data


def respelled(value: Any, path: tuple[Any, ...], random: Any) -> Any:
    """The same spec, written otherwise: order of keys and of sets, repetition, short and long forms."""
    here = path[-1] if path else None
    if isinstance(value, dict):
        items = [(k, respelled(v, (*path, k), random)) for k, v in value.items()]
        if path != ("channels",):
            random.shuffle(items)
        value = dict(items)
        if here == "to-target" and set(value) == {"channel"} and random.random() < 0.5:
            return value["channel"]
        if "when" in value and value["when"] == {}:
            del value["when"]
        return value
    if isinstance(value, list):
        if here in ("to", "targets"):
            return [respelled({"channel": v} if isinstance(v, str) else v, (*path, "to-target"), random) for v in value]
        items = [respelled(v, (*path, n), random) for n, v in enumerate(value)]
        if here in SETS or (len(path) > 1 and path[-2] in ("header", "tag", "body")):
            random.shuffle(items)
            items += [item for item in items if random.random() < 0.3]
        return items
    if here in SETS and "when" in path and random.random() < 0.5:
        return [value, value]
    return value


SETS = {
    "protocol",
    "model",
    "input_tokens",
    "server_tools",
    "client",
    "prefix",
    "cors",
    "redact",
    "remove",
    "on",
    "any",
}


@given(drawn.specs(), st.randoms(use_true_random=False))
def test_other_spellings_have_the_same_digest(raw: dict[str, Any], random: Any) -> None:
    assert table_of(respelled(raw, (), random)) == table_of(raw)


@given(st.randoms(use_true_random=False))
def test_other_spellings_of_the_full_example(random: Any) -> None:
    assert table_of(respelled(full(), (), random)) == table_of(full())


def test_order_of_channels_means_nothing_where_routes_are_declared() -> None:
    raw = full()
    raw["channels"] = dict(reversed(raw["channels"].items()))
    assert table_of(raw) == table_of(full())


@pytest.mark.parametrize(
    ("path", "spelling"),
    [
        (("server", "max_body"), 20 * 2**20),
        (("server", "drain"), "10000ms"),
        (("server", "listen"), "127.0.0.1:03100"),
        (("models", "claude-opus-4-1", "price", "output"), "75"),
        (("models", "claude-opus-4-1", "price", "above"), {"200000": {"input": "30.0"}}),
        (("models", "claude-opus-4-1", "context_window"), 200_000),
        (("routes", 0, "when", "input_tokens"), ">= 60001"),
        (("routes", 0, "when", "input_tokens"), ["> 60.0k", "70k..80k"]),
        (("routes", 0, "when", "not"), {"not": {"not": {"thinking": True}}}),
        (("routes", 0, "when", "not"), {"thinking": True, "any": [{"thinking": True}]}),
        (("routes", 0, "when", "model"), ["!*haiku*", "claude-*", "claude-opus-*", "claude-**"]),
        (("routes", 0, "failover"), {"attempts": 5, "on": ["timeout", "connect"], "backoff": {"initial": "0.1s"}}),
        (("routes", 3, "to"), [{"channel": "main"}, {"balance": "round_robin", "targets": ["lab"]}]),
        (("routes", 3, "failover"), {"attempts": 4}),
        (("routes", 3, "description"), "said for people"),
        (("routes", 3, "owner"), "team-x"),
        (("routes", 3, "when"), {"protocol": ["messages", "chat", "responses", "gemini", "images", "embeddings"]}),
        (("routes", 2, "to", 0, "targets", 0, "weight"), 3),
        (("routes", 1, "failover"), {"attempts": 9}),
        (("channels", "lab", "base_url"), "http://127.0.0.1:8000/v1/"),
        (("channels", "main", "base_url"), "https://API.anthropic.com:443"),
        (("channels", "main", "timeouts", "total"), "300s"),
        (("channels", "main", "headers", "set", "x-via"), "ccx"),
        (("channels", "spare", "keys"), "none"),
        (("clients", "team-a", "budget"), [{"usd": "500.00"}]),
        (("lint",), {"rules": {"CCX101": "off"}}),
        (("tests",), [{"name": "t", "request": {"model": "m"}, "expect": {}}]),
        (("include",), []),
    ],
)
def test_the_same_meaning(path: tuple[Any, ...], spelling: Any) -> None:
    assert table_of(_put(full(), path, spelling)) == table_of(full())


def _put(raw: Any, path: tuple[Any, ...], value: Any) -> Any:
    here = raw
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return raw


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _paths(inner, (*path, place))
    else:
        yield path


OTHER: dict[Any, Any] = {
    "listen": "127.0.0.1:3101",
    "version": None,
    "per": "day",
    "key_strategy": "in_order",
    "protocol": "gemini",
    "provider": "openai",
    "channel": "spare",
    "balance": "round_robin",
    "affinity": "client",
    "on_loss": "warn",
    "format": "json",
    "metrics": "prometheus",
    "status": 404,
    "expires": "2028-01-01",
    "base_url": "http://127.0.0.1:8001",
    "otlp": "http://127.0.0.1:4319",
    "prefix": "other",
    "breaker": {"window": "31s"},
    "keys": {"env": "LAB"},
    "sha256": "bb" * 32,
    "input_tokens": "> 61k",
    "cors": "https://c.example",
    "weight": 7,
    "above": {},
}


def _edited(path: tuple[Any, ...], value: Any) -> Any:
    """Another legal value for this place that means something else."""
    named = next(part for part in reversed(path) if isinstance(part, str))
    if path[0] == "clients" and named in ("requests", "input_tokens"):
        return "7/h"
    if named == "max_output_tokens":
        return "9k"
    if named == "requests":
        return "51/min"
    if named == "on":
        return "quota"
    if path[:1] == ("channels",) and path[2] == "protocol":
        return "responses" if value == "chat" else "images"
    if path[:1] == ("routes",) and "to" in path and isinstance(value, str) and named in ("to", "targets"):
        return "lab" if value != "lab" else "spare"
    if path[:1] == ("models",) and isinstance(value, int | float | str) and not isinstance(value, bool):
        return 17
    if named in OTHER:
        return OTHER[named]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return 6
    if isinstance(value, str) and value.endswith(("s", "m")) and value[:-1].rstrip("m").isdigit():
        return "7s"
    return f"{value}x"


EDITS = [path for path in _paths(full()) if path != ("version",)]


@pytest.mark.parametrize("path", EDITS, ids=lambda path: ".".join(map(str, path)))
def test_another_meaning_has_another_digest(path: tuple[Any, ...]) -> None:
    raw = full()
    here = raw
    for part in path:
        here = here[part]
    if path == ("server", "max_body"):
        edited: Any = "21MiB"
    else:
        edited = _edited(path, here)
    assert edited != here
    assert table_of(_put(raw, path, edited)) != table_of(full()), edited


def test_the_order_of_routes_and_targets_is_meaning() -> None:
    raw = full()
    raw["routes"].reverse()
    assert table_of(raw) != table_of(full())
    raw = full()
    raw["routes"][3]["to"].reverse()
    assert table_of(raw) != table_of(full())


@given(drawn.specs())
def test_bytes_are_a_function_of_the_table(raw: dict[str, Any]) -> None:
    one, two = compile_spec(Spec.model_validate(raw)), compile_spec(Spec.model_validate(copy.deepcopy(raw)))
    assert table_json(one.table) == table_json(two.table)
    assert one.digest == digest(two.table)
    assert hash(one.table) == hash(two.table), "a table is immutable all the way down"
