"""A table survives being written and read; whatever is not exactly a table is refused, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.routing.canonical import digest, table_json
from ccx.routing.compile import compile_spec
from ccx.routing.decode import TableError, table_of
from ccx.routing.table import RoutingTable
from ccx.spec.document import Spec
from ccx.spec.validate import load
from tests.routing.drawn import specs

EXAMPLES = sorted(Path("examples/configs").glob("*.yaml")) + sorted(Path("examples/configs").glob("*/ccx.yaml"))

FULL: dict[str, Any] = {
    "version": "ccx/v1",
    "server": {"listen": "[::1]:4000", "cors": ["https://a.example"], "drain": "3s", "max_body": "1MiB"},
    "admin": {"key": {"env": "ADMIN"}, "dashboard": False},
    "clients": {
        "team": {
            "key": {"sha256": "1" * 64},
            "models": ["claude-*", "!*opus*"],
            "limits": {"requests": "600/min", "input_tokens": "2M/min", "concurrency": 20},
            "budget": {"usd": "500.50", "per": "month"},
            "expires": "2031-06-30",
            "tags": {"team": "core"},
            "direct": True,
        },
    },
    "channels": {
        "one": {
            "provider": "anthropic",
            "keys": [{"env": "A"}, {"file": "b.key", "weight": 2, "limits": {"requests": "50/min"}}],
            "key_strategy": "least_used",
            "models": {"claude-opus-*": "claude-opus-4-1", "claude-*": None},
            "timeouts": {"connect": "1s", "first_byte": "7s", "idle": "8s", "total": "9m"},
            "breaker": {"window": "30s", "min_requests": 10, "error_rate": "33.3%", "consecutive": 5},
            "headers": {"set": {"x-one": "é"}, "remove": ["x-two"]},
            "proxy": {"env": "PROXY"},
            "tls": {"ca": "corp.pem"},
            "http2": True,
            "tags": {"region": "eu"},
        },
        "two": {
            "protocol": ["chat", "responses"],
            "base_url": "http://10.0.0.1:8000",
            "keys": "none",
            "models": ["*", "!o3"],
            "proxy": "http://10.0.0.2:3128",
        },
    },
    "models": {
        "claude-sonnet-4-5": {
            "context_window": "200k",
            "max_output_tokens": 64000,
            "price": {"input": "3.00", "output": "15.00", "above": {"200k": {"input": "6.00", "output": "22.50"}}},
        },
    },
    "routes": [
        {
            "name": "all",
            "when": {
                "protocol": ["messages", "chat"],
                "model": ["claude-*", "!*haiku*"],
                "input_tokens": ["> 60k", "< 10"],
                "tools": True,
                "server_tools": "web_*",
                "client": "team",
                "tag": {"team": "core"},
                "header": {"x-tier": "gold"},
                "prefix": "lab",
                "body": {"metadata.tier": ["gold", 3, True]},
                "any": [{"thinking": True}, {"images": False}],
                "not": {"stream": True, "client": "other"},
            },
            "to": [
                {
                    "balance": "weighted",
                    "affinity": "session",
                    "targets": [{"channel": "one", "weight": 3}, {"channel": "two", "model": "x"}],
                },
                "two",
            ],
            "failover": {
                "on": ["connect"],
                "attempts": 4,
                "deadline": "90s",
                "backoff": {"initial": "1ms", "jitter": "none"},
            },
            "request": {
                "cap": {"max_output_tokens": 32000},
                "default": {"temperature": 0.25},
                "set": {"a": {"b": [1]}},
                "drop": ["c"],
            },
            "on_loss": "reject",
            "cache": {"ttl": "10m", "scope": "client"},
        },
        {"name": "no", "when": {"protocol": "images"}, "deny": {"status": 429, "message": 'no "images"\n'}},
        {"name": "rest", "to": ["two"]},
    ],
    "state": {"redis": {"url": {"env": "REDIS"}, "prefix": "p", "timeout": "100ms", "ca": "redis.pem"}},
    "telemetry": {"logs": {"format": "text"}, "traces": {"otlp": "http://127.0.0.1:4318"}},
}


def compiled(spec: dict[str, Any]) -> RoutingTable:
    return compile_spec(Spec.model_validate(spec)).table


def assert_survives(table: RoutingTable) -> None:
    data = table_json(table)
    read = table_of(data)
    assert read == table
    assert table_json(read) == data
    assert digest(read) == digest(table)


@given(specs())
def test_any_table_survives(spec: dict[str, Any]) -> None:
    assert_survives(compiled(spec))


def test_every_part_of_a_table_survives() -> None:
    assert_survives(compiled(FULL))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_example_survives(path: Path) -> None:
    loaded = load(path)
    assert loaded.spec is not None
    assert_survives(compile_spec(loaded.spec).table)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The full table with one change, in canonical spelling."""
    tree = json.loads(table_json(compiled(FULL)))
    change(tree)
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update(version="ccx/v7"), "the table has the version 'ccx/v7'; this ccx reads ccx/v1"),
        (lambda t: t.pop("version"), "it has no version"),
        (lambda t: t.update(weather="fine"), "the table: the field 'weather' is not known here; it was perhaps"),
        (
            lambda t: t["routes"][1].update(when={"is": "Phase", "moon": 1}),
            "routes[1].when: the condition 'Phase' is not",
        ),
        (lambda t: t["routes"][1].update(when={"moon": 1}), "routes[1].when: the condition None is not known"),
        (lambda t: t["routes"][1].update(when=[]), "routes[1].when: [] is not an object"),
        (lambda t: t["routes"][1].update(on_loss="shrug"), "routes[1].on_loss: 'shrug' is none of allow, warn, reject"),
        (
            lambda t: t["routes"][0]["failover"].update(attempts=True),
            "routes[0].failover.attempts: True is not an integer",
        ),
        (
            lambda t: t["routes"][0]["failover"].update(attempts="4"),
            "routes[0].failover.attempts: '4' is not an integer",
        ),
        (lambda t: t["routes"][0].pop("name"), "routes[0]: the field 'name' is missing"),
        (
            lambda t: t["routes"][2]["tiers"][0]["targets"][0].update(channel="gone"),
            "routes[2] names the channel 'gone'",
        ),
        (lambda t: t["routes"][2].update(name="no"), "routes: a name is there twice"),
        (lambda t: t["channels"].reverse(), "channels: the names are not sorted"),
        (lambda t: t["channels"][0].update(is_new=1), "channels[0]: the field 'is_new' is not known"),
        (
            lambda t: t["channels"][0]["breaker"].update(error_rate="1/0"),
            "channels[0].breaker.error_rate: '1/0' is not known",
        ),
        (lambda t: t["clients"][0].update(expires="soon"), "clients[0].expires: 'soon' is not known"),
        (
            lambda t: t["clients"][0]["limits"].update(requests=[[1]]),
            "clients[0].limits.requests[0]: [1] is not a list of 2",
        ),
        (lambda t: t["server"].update(host=None), "server.host: None is not a text"),
        (lambda t: t["server"].update(direct=True), "not in its canonical form"),
        (lambda t: t["channels"][0].update(surfaces="x"), "channels[0].surfaces: 'x' is not a list"),
        (lambda t: t.update(admin=3), "admin: 3 is not an object"),
        (lambda t: t["models"][0].update(input="\x1b[2J"), r"models[0].input: '\x1b[2J' is not known"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(change: Callable[[dict[str, Any]], object], said: str) -> None:
    with pytest.raises(TableError, match=re.escape(said)):
        table_of(changed(change))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff", b'{"version":1}', b"[" * 100_000, b"NaN"])
def test_what_is_not_json_of_a_table_is_refused(data: bytes) -> None:
    with pytest.raises(TableError):
        table_of(data)


def test_conditions_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {"is": "Constant", "value": True}
    for _ in range(300):
        deep = {"is": "Not", "part": deep}
    with pytest.raises(TableError, match="nested deeper"):
        table_of(changed(lambda t: t["routes"][1].update(when=deep)))


def test_another_spelling_of_the_same_table_is_refused() -> None:
    tree = json.loads(table_json(compiled(FULL)))
    with pytest.raises(TableError, match="canonical form"):
        table_of(json.dumps(tree, indent=1).encode())


@given(st.data())
def test_a_damaged_table_is_refused_or_another_one(data: st.DataObject) -> None:
    good = table_json(compiled(FULL))
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
    try:
        read = table_of(bad)
    except TableError:
        return
    assert table_json(read) == bad
