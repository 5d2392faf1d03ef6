"""What a spec compiles to: inheritance, presets, implicit routes, and what is refused."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.protocols.names import RESERVED_SEGMENTS, Protocol
from ccx.routing.canonical import table_json
from ccx.routing.compile import Compiled, compile_spec
from ccx.routing.conditions import Direct, PrefixIn
from ccx.routing.decide import Decider, Decision, NeedsTokens
from ccx.routing.facts import Facts
from ccx.routing.globs import Globs
from ccx.routing.table import (
    Channel,
    Cooldown,
    Failover,
    Hedge,
    Limits,
    PriceTier,
    Probe,
    RequestPolicy,
    Route,
    Target,
    Tier,
    Timeouts,
)
from ccx.secrets import SecretRef
from ccx.spec.document import Spec
from ccx.spec.references import RESERVED_PREFIXES
from tests.routing.test_compile_digest import full


def compiled(**sections: Any) -> Compiled:
    """A spec of these sections; one demo channel where none is given."""
    raw = {"version": "ccx/v1", "channels": {"demo": {"provider": "demo"}}, **sections}
    return compile_spec(Spec.model_validate(raw))


def channel(settings: dict[str, Any], **defaults: Any) -> Channel:
    """The one channel with these settings."""
    found = compiled(channels={"a": settings}, defaults={"channel": defaults})
    assert found.diagnostics == ()
    return found.table.channel("a")


def told(found: Compiled) -> list[tuple[str, str, str, str]]:
    """What the diagnostics say."""
    return [(d.severity, d.code, d.pointer, d.message) for d in found.diagnostics]


def test_the_full_example(snapshot: SnapshotAssertion) -> None:
    found = compile_spec(Spec.model_validate(full()))
    assert told(found) == []
    assert json.dumps(json.loads(table_json(found.table)), indent=2, sort_keys=True) == snapshot
    assert found.digest == snapshot


def test_a_field_is_the_channels_own_else_inherited_else_built_in() -> None:
    mine = {"connect": "1s"}
    theirs = {"connect": "2s", "idle": "3s"}
    got = channel({"provider": "demo", "timeouts": mine}, timeouts=theirs)
    assert got.timeouts == Timeouts(connect=1000, idle=3000)
    got = channel(
        {"provider": "demo", "limits": {"requests": "1/s"}, "tags": {"a": "1"}, "http2": False},
        limits={"requests": "2/s", "concurrency": 4, "output_tokens": ["9/h", "8/s", "9/h"]},
        tags={"a": "2", "b": "2"},
        http2=True,
        key_strategy="in_order",
        proxy={"env": "P"},
        tls={"ca": "ca.pem"},
    )
    assert got.limits == Limits(requests=((1, 1),), concurrency=4, output_tokens=((8, 1), (9, 3600)))
    assert got.tags == (("a", "1"), ("b", "2"))
    assert got.http2 is False
    assert (got.key_strategy, got.proxy, got.ca) == ("in_order", SecretRef("env", "P"), "ca.pem")


def test_a_limit_taken_back_is_not_inherited() -> None:
    got = channel({"provider": "demo", "limits": {"requests": []}}, limits={"requests": "2/s"})
    assert got.limits == Limits()


def test_cooldowns() -> None:
    assert channel({"provider": "demo"}).cooldown == Cooldown()
    mixed = channel({"provider": "demo", "cooldown": {"auth": "2m"}}, cooldown={"auth": "1s", "longest": "10m"})
    assert mixed.cooldown == Cooldown(auth=120_000, longest=600_000)
    assert b"cooldown" not in table_json(compiled(channels={"a": {"provider": "demo", "cooldown": {}}}).table)


def test_probes() -> None:
    assert channel({"provider": "demo"}).probe is None
    assert channel({"provider": "demo", "probe": {}}).probe == Probe(60_000)
    asked = channel({"provider": "demo", "probe": {"ask": "generate", "model": "m"}}, probe={"every": "10s"})
    assert asked.probe == Probe(10_000, "generate", "m")
    assert channel({"provider": "demo", "probe": "off"}, probe={"every": "10s"}).probe is None
    wrong = compiled(channels={"a": {"provider": "demo", "probe": {"ask": "generate"}}})
    assert [found.code for found in wrong.diagnostics] == ["CCX110"]


def test_retry_budgets_and_ejection() -> None:
    def routed(failover: dict[str, Any], group: dict[str, Any], **defaults: Any) -> Route:
        two = {"a": {"provider": "demo"}, "b": {"provider": "demo"}}
        to = [{"balance": "weighted", "targets": ["a", "b"], **group}]
        route = {"name": "r", "to": to, "failover": failover}
        return compiled(channels=two, routes=[route], defaults={"failover": defaults}).table.routes[0]

    assert routed({}, {}).failover.retry_budget == Fraction(1, 5)
    assert routed({}, {}, retry_budget="off").failover.retry_budget is None
    assert routed({"retry_budget": "50%"}, {}, retry_budget="off").failover.retry_budget == Fraction(1, 2)
    assert routed({}, {}).failover.hedge is None
    assert routed({"hedge": {"after": "2s"}}, {}).failover.hedge == Hedge(2_000, Fraction(1, 20))
    assert routed({"hedge": "off"}, {}, hedge={"after": "2s", "share": "10%"}).failover.hedge is None
    assert routed({}, {}, hedge={"after": "2s", "share": "10%"}).failover.hedge == Hedge(2_000, Fraction(1, 10))
    assert routed({}, {}).failover.midstream == "error"
    assert routed({}, {}, midstream="continue").failover.midstream == "continue"
    assert routed({"midstream": "error"}, {}, midstream="continue").failover.midstream == "error"
    assert routed({}, {}).tiers[0].max_ejection == 1
    assert routed({}, {"max_ejection": "30%"}).tiers[0].max_ejection == Fraction(3, 10)


def test_breakers() -> None:
    usual = channel({"provider": "demo"}).breaker
    assert usual is not None
    assert (usual.error_rate, usual.consecutive) == (Fraction(1, 2), 5)
    assert channel({"provider": "demo", "breaker": "off"}).breaker is None
    assert channel({"provider": "demo"}, breaker="off").breaker is None
    back = channel({"provider": "demo", "breaker": {"probes": 2}}, breaker="off").breaker
    assert back is not None
    assert back.probes == 2
    both = channel(
        {"provider": "demo", "breaker": {"consecutive": 2}}, breaker={"error_rate": "5%", "consecutive": 9}
    ).breaker
    assert both is not None
    assert (both.error_rate, both.consecutive) == (Fraction(1, 20), 2)


def test_headers_of_a_channel_beat_inherited_ones() -> None:
    got = channel(
        {"provider": "demo", "headers": {"set": {"x-a": "mine"}, "remove": ["x-b"]}},
        headers={"set": {"x-a": "theirs", "x-b": "theirs", "x-c": "theirs"}, "remove": ["x-a", "x-d"]},
    )
    assert got.set_headers == (("x-a", "mine"), ("x-c", "theirs"))
    assert got.remove_headers == ("x-b", "x-d")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (
            {"provider": "anthropic", "keys": {"env": "K"}},
            [("messages", "https", "api.anthropic.com", 443, "/v1", "x-api-key")],
        ),
        (
            {"provider": "gemini", "keys": {"env": "K"}},
            [("gemini", "https", "generativelanguage.googleapis.com", 443, "/v1beta", "x-goog-api-key")],
        ),
        ({"provider": "ollama", "protocol": "chat"}, [("chat", "http", "127.0.0.1", 11434, "/v1", "none")]),
        (
            {"provider": "ollama", "protocol": "chat", "keys": {"env": "K"}},
            [("chat", "http", "127.0.0.1", 11434, "/v1", "bearer")],
        ),
        # A bare host is a mirror of the provider: its paths stay, as different as they are.
        (
            {
                "provider": "deepseek",
                "protocol": ["chat", "messages"],
                "base_url": "https://mirror.example",
                "keys": {"env": "K"},
            },
            [
                ("chat", "https", "mirror.example", 443, "/v1", "bearer"),
                ("messages", "https", "mirror.example", 443, "/anthropic/v1", "x-api-key"),
            ],
        ),
        (
            {"provider": "zhipu", "protocol": "chat", "base_url": "https://mirror.example/glm", "keys": {"env": "K"}},
            [("chat", "https", "mirror.example", 443, "/glm/v4", "bearer")],
        ),
        (
            {"provider": "azure", "protocol": "chat", "base_url": "https://r.openai.azure.com", "keys": {"env": "K"}},
            [("chat", "https", "r.openai.azure.com", 443, "/openai/v1", "api-key")],
        ),
        # With an address of its own, ccx believes what a channel says that it speaks.
        (
            {
                "provider": "openai-compatible",
                "protocol": ["chat", "responses"],
                "base_url": "https://h/api",
                "keys": {"env": "K"},
            },
            [("chat", "https", "h", 443, "/api/v1", "bearer"), ("responses", "https", "h", 443, "/api/v1", "bearer")],
        ),
        (
            {"protocol": ["gemini", "messages"], "base_url": "http://h:1", "keys": {"env": "K"}},
            [("gemini", "http", "h", 1, "/v1beta", "x-goog-api-key"), ("messages", "http", "h", 1, "/v1", "x-api-key")],
        ),
        (
            {"protocol": "chat", "base_url": "http://h:1", "keys": {"env": "K"}, "auth": "api-key"},
            [("chat", "http", "h", 1, "/v1", "api-key")],
        ),
        (
            {"protocol": "chat", "base_url": "http://h:1", "keys": "none", "auth": "bearer"},
            [("chat", "http", "h", 1, "/v1", "none")],
        ),
        ({"provider": "demo", "protocol": "chat"}, [("chat", "demo", "", 0, "", "none")]),
        ({"protocol": "chat", "base_url": "demo:", "keys": "none"}, [("chat", "demo", "", 0, "", "none")]),
    ],
)
def test_where_and_how_a_channel_is_reached(settings: dict[str, Any], wanted: list[tuple[Any, ...]]) -> None:
    got = channel(settings)
    assert [(s.protocol.value, s.scheme, s.host, s.port, s.path, s.auth) for s in got.surfaces] == wanted


def test_presets_say_dialect_version_header_and_counting() -> None:
    anthropic = channel({"provider": "anthropic", "keys": {"env": "K"}})
    assert (anthropic.dialect, anthropic.provider) == ("anthropic", "anthropic")
    assert anthropic.surfaces[0].default_headers == (("anthropic-version", "2023-06-01"),)
    assert anthropic.surfaces[0].count_tokens
    plain = channel({"protocol": "messages", "base_url": "http://h", "keys": "none"})
    assert (plain.dialect, plain.provider) == ("anthropic", None)
    assert plain.surfaces[0].default_headers == (("anthropic-version", "2023-06-01"),)
    assert not plain.surfaces[0].count_tokens
    assert channel({"protocol": "gemini", "base_url": "http://h", "keys": "none"}).dialect == "gemini"
    assert channel({"protocol": ["chat", "gemini"], "base_url": "http://h", "keys": "none"}).dialect == "generic"
    assert channel({"provider": "gemini", "keys": {"env": "K"}}).provider == "google"


def test_keys_without_a_use_are_not_in_the_table() -> None:
    pool = [{"env": "A"}, {"file": "b", "weight": 3, "limits": {"requests": "1/s"}}, {"env": "C", "enabled": False}]
    got = channel({"provider": "openai", "keys": pool})
    assert [(str(k.secret), k.weight, k.limits.requests) for k in got.keys] == [
        ("env:A", 1, ()),
        ("file:b", 3, ((1, 1),)),
    ]
    assert channel({"provider": "openai", "keys": pool, "auth": "none"}).keys == ()


def test_models_of_a_channel() -> None:
    got = channel({"provider": "demo", "models": ["b*", "!bx", "a"]})
    assert (got.models, got.not_models) == ((("a", None), ("b*", None)), ("bx",))
    assert channel({"provider": "demo", "models": {"a": "a", "b": "c"}}).models == (("a", None), ("b", "c"))
    only = channel({"provider": "demo", "models": ["!a*"]})
    assert (only.models, only.not_models) == (None, ("a*",))
    assert channel({"provider": "demo"}).models is None


def test_no_routes_mean_one_to_all_enabled_channels_in_the_order_written() -> None:
    found = compiled(
        channels={"z": {"provider": "demo"}, "off": {"provider": "demo", "enabled": False}, "a": {"provider": "demo"}},
        defaults={"failover": {"attempts": 2}, "request": {"drop": ["x"]}, "on_loss": "reject"},
    )
    (route,) = found.table.routes
    assert route.name == "@all"
    assert route.tiers == (Tier((Target("z"),)), Tier((Target("a"),)))
    assert (route.failover.attempts, route.policy.drop, route.on_loss) == (2, ("x",), "reject")
    assert [c.name for c in found.table.channels] == ["a", "off", "z"]


def test_prefixes_come_first() -> None:
    found = compiled(
        channels={"a": {"provider": "demo", "prefix": "lab"}, "b": {"provider": "demo"}},
        routes=[{"name": "r", "to": ["b"]}],
        defaults={"request": {"cap": {"max_output_tokens": "1k"}}},
    )
    first, second = found.table.routes
    assert (first.name, first.when, first.tiers) == ("@prefix-lab", PrefixIn(Globs(("lab",))), (Tier((Target("a"),)),))
    assert first.policy.max_output_tokens == second.policy.max_output_tokens == 1000
    assert "lab" in Decider(found.table).prefixes


def test_the_gateways_own_paths_are_no_prefixes() -> None:
    found = compiled(routes=[{"name": "r", "when": {"prefix": "!x"}, "to": ["demo"]}])
    prefixes = Decider(found.table).prefixes
    assert "anything" in prefixes
    assert not any(segment in prefixes for segment in RESERVED_SEGMENTS)
    assert RESERVED_PREFIXES <= RESERVED_SEGMENTS, "what the validator refuses is no prefix either"


def test_a_request_that_names_its_channel_is_treated_as_any_route() -> None:
    found = compiled(defaults={"request": {"cap": {"max_output_tokens": "1k"}}, "failover": {"attempts": 1}})
    decision = Decider(found.table).decide(Facts(Protocol.CHAT, "demo/m", direct=True))
    assert isinstance(decision, Decision)
    assert decision.route is not None
    assert decision.route.name == "@demo"
    assert decision.route.when == Direct()
    assert decision.route.policy.max_output_tokens == 1000
    assert decision.route.failover.attempts == 1
    assert decision.steps[0].choices[0].model == "m"


def test_failover_and_policy_inherit_field_by_field() -> None:
    found = compiled(
        routes=[
            {
                "name": "r",
                "to": ["demo"],
                "failover": {"on": [], "backoff": {"max": "1s"}},
                "request": {
                    "default": {"a": 1, "b": {"y": 1, "x": 2}},
                    "set": {"c": "mine", "d": None},
                    "drop": ["e"],
                    "system": {"prefix": ""},
                },
            },
        ],
        defaults={
            "failover": {
                "on": ["quota"],
                "deadline": "9s",
                "backoff": {"initial": "1ms", "max": "2ms", "jitter": "none"},
            },
            "request": {
                "cap": {"max_output_tokens": 5},
                "default": {"a": 2, "d": 3, "e": 4, "f": "inherited"},
                "set": {"c": "theirs", "e": 1},
                "drop": ["c", "g"],
                "system": {"prefix": "p", "replace": "r"},
            },
        },
    )
    (route,) = found.table.routes
    assert route.failover == Failover(frozenset(), deadline=9000, backoff_initial=1, backoff_max=1000, jitter=False)
    assert route.policy == RequestPolicy(
        max_output_tokens=5,
        default=(("a", "1"), ("b", '{"x":2,"y":1}'), ("f", '"inherited"')),
        set=(("c", '"mine"'), ("d", "null")),
        drop=("e", "g"),
        system_prefix="",
        system_replace="r",
    )


@pytest.mark.parametrize(
    ("step", "wanted"),
    [
        ({"balance": "weighted", "targets": [{"channel": "demo", "weight": 6}, {"channel": "b", "weight": 4}]}, (3, 2)),
        ({"balance": "weighted", "targets": [{"channel": "demo", "weight": 6}, {"channel": "b", "weight": 0}]}, (1, 0)),
        (
            {"balance": "round_robin", "targets": [{"channel": "demo", "weight": 6}, {"channel": "b", "weight": 0}]},
            (1, 0),
        ),
        ({"balance": "priority", "targets": [{"channel": "demo", "weight": 6}, "b"]}, (1, 1)),
    ],
)
def test_weights_in_lowest_terms(step: dict[str, Any], wanted: tuple[int, ...]) -> None:
    found = compiled(
        channels={"demo": {"provider": "demo"}, "b": {"provider": "demo"}},
        routes=[{"name": "r", "to": [step]}],
    )
    assert tuple(target.weight for target in found.table.routes[0].tiers[0].targets) == wanted


def test_prices_above_a_size() -> None:
    price = {"input": 1, "output": "2.50", "above": {"1M": {"output": 9}, "200k": {"input": 3}}}
    (model,) = compiled(models={"m": {"price": price}}).table.models
    assert (model.input, model.output) == (Decimal(1), Decimal("2.50"))
    assert model.above == (PriceTier(200_000, input=Decimal(3)), PriceTier(1_000_000, output=Decimal(9)))


CHANNELS = {
    "claude": {"provider": "anthropic", "keys": {"env": "K"}},
    "gem": {"provider": "google", "keys": {"env": "K"}},
    "embed": {"protocol": "embeddings", "base_url": "http://127.0.0.1:1", "keys": "none"},
    "all": {"provider": "demo"},
}


@pytest.mark.parametrize(
    ("when", "to"),
    [
        ({"protocol": "messages"}, ["gem"]),
        ({"protocol": "messages"}, ["claude", "gem"]),
        ({"protocol": ["messages", "gemini"]}, ["claude"]),
        ({"protocol": ["messages", "gemini"]}, ["claude", "gem"]),
        ({"protocol": ["messages", "chat"], "not": {"protocol": "chat"}}, ["claude"]),
        ({"not": {"protocol": ["messages", "chat"]}}, ["claude"]),
        ({"not": {"protocol": "chat"}}, ["claude"]),
        ({"any": [{"protocol": "gemini"}, {"model": "x"}]}, ["claude"]),
        ({"any": [{"protocol": "gemini"}, {"protocol": "chat", "model": "x"}]}, ["claude"]),
        ({"model": "x"}, ["claude"]),
        ({"model": "x"}, ["embed"]),
        ({"protocol": "embeddings"}, ["embed"]),
        ({"protocol": "images", "any": [{"protocol": "chat"}]}, ["claude"]),
        ({"protocol": "messages"}, [{"balance": "weighted", "targets": ["claude", "gem"]}]),
        ({"protocol": ["messages", "chat", "responses", "gemini", "images", "embeddings"]}, ["all"]),
        ({"protocol": "images"}, ["gem"]),
        ({"protocol": ["messages", "images"]}, ["claude", "gem"]),
        ({"not": {"protocol": ["messages", "chat", "responses", "gemini"]}}, ["claude"]),
        ({"any": [{"protocol": "images"}, {"protocol": "embeddings", "model": "x"}]}, ["claude"]),
        ({"protocol": "images"}, ["claude"]),
        ({"protocol": ["messages", "embeddings"]}, ["claude", "gem"]),
    ],
)
def test_targets_that_speak_another_protocol(when: dict[str, Any], to: list[Any], snapshot: SnapshotAssertion) -> None:
    found = compiled(channels=CHANNELS, routes=[{"name": "r", "when": when, "to": to}])
    assert told(found) == snapshot
    assert found.servable is not any(d.severity == "error" for d in found.diagnostics)
    for protocol in Protocol:
        model = "gemini-3-pro-image" if protocol is Protocol.IMAGES else "x"
        decision = Decider(found.table).decide(Facts(protocol, model))
        assert not isinstance(decision, NeedsTokens)
        # What is accepted answers every protocol that it names.
        if found.servable and protocol in (when.get("protocol") or ()) and decision.route is not None:
            assert decision.steps


@pytest.mark.parametrize(
    "sections",
    [
        {"channels": {"a": {"provider": "nobody"}}},
        {"channels": {"a": {"keys": "none"}}},
        {"channels": {"a": {"protocol": "chat", "keys": "none"}}},
        {"channels": {"a": {"provider": "azure", "keys": {"env": "K"}}}},
        {"channels": {"a": {"provider": "anthropic", "protocol": ["messages", "chat"], "keys": {"env": "K"}}}},
        {"channels": {"a": {"protocol": "chat", "base_url": "http://h/v1/chat/completions", "keys": "none"}}},
        {"channels": {"a": {"provider": "anthropic", "base_url": "https://h/?x=1", "keys": {"env": "K"}}}},
        {"routes": [{"name": "r", "to": ["ghost", {"channel": "demo"}]}]},
        {"routes": [{"name": "r", "to": [{"balance": "weighted", "targets": ["demo", "ghost"]}]}]},
        {"routes": [{"name": "r"}]},
        {"routes": [{"name": "r", "to": ["demo"], "request": {"set": {"x": float("nan")}}}]},
        {"defaults": {"request": {"default": {"x": {1, 2}}}}, "routes": [{"name": "r", "to": ["demo"]}]},
        {"models": {"m": {"price": {"input": 1, "output": 2, "above": {"lots": {}, "1k": {}, "1000": {}}}}}},
        {"server": {"listen": "127.0.0.1:99999"}},
    ],
)
def test_what_cannot_be_compiled_is_said(sections: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    found = compiled(**sections)
    assert not found.servable
    assert [(*row, d.suggestion) for row, d in zip(told(found), found.diagnostics, strict=True)] == snapshot
    # Even then the table is one that can be looked at.
    assert Decider(found.table).decide(Facts(Protocol.CHAT, "m")) is not None
    assert table_json(found.table)


def test_no_secret_can_be_in_a_table() -> None:
    text = table_json(compile_spec(Spec.model_validate(full())).table).decode()
    for reference in ("KEY_A", "keys/b", "EGRESS", "REDIS", "ADMIN"):
        assert f'"name":"{reference}"' in text
    assert text.count('"secret":{"kind":') == 2


@pytest.mark.slow
def test_a_thousand_routes_compile() -> None:
    routes = [
        {
            "name": f"r{n}",
            "when": {
                "protocol": "messages",
                "model": [f"m{n}-*", f"m{n}", "!*-x"],
                "input_tokens": f"{n}..{n + 100}",
                "any": [{"stream": True}, {"header": {"x-tier": "gold"}}],
            },
            "to": [{"balance": "weighted", "targets": [{"channel": "demo", "weight": 2}, "b"]}, "demo"],
        }
        for n in range(1000)
    ]
    raw = {"version": "ccx/v1", "channels": {"demo": {"provider": "demo"}, "b": {"provider": "demo"}}, "routes": routes}
    spec = Spec.model_validate(raw)
    begun = time.perf_counter()
    found = compile_spec(spec)
    taken = time.perf_counter() - begun
    assert len(found.table.routes) == 1000
    assert found.diagnostics == ()
    # Nothing asserts on time; the figure is for the record.
    print(f"compile of 1,000 routes: {taken * 1000:.0f} ms")
