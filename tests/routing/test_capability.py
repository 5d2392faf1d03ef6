"""What a route asks of every request, and the targets whose model cannot."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.routing.capability import Needs, needs, upstream_models
from ccx.routing.compile import Compiled
from ccx.routing.compile_conditions import compile_when
from ccx.routing.table import Channel, Target
from ccx.spec.conditions import When
from tests.routing.test_compile import compiled

LAB = {"protocol": "chat", "base_url": "http://127.0.0.1:1", "keys": "none"}


def one(when: dict[str, Any], target: Any, *, models: Any = None, renames: Any = None) -> Compiled:
    """A spec with one route. `renames` are the models of its channel."""
    return compiled(
        channels={"lab": {**LAB, **({"models": renames} if renames else {})}},
        routes=[{"name": "r", "when": when, "to": [target]}],
        models=models or {},
    )


def to(model: str) -> dict[str, str]:
    return {"channel": "lab", "model": model}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, Needs()),
        ({"images": True}, Needs(frozenset({"images"}))),
        ({"images": False, "tools": False}, Needs()),
        ({"stream": True}, Needs()),
        ({"images": True, "tools": True, "thinking": True}, Needs(frozenset({"images", "tools", "thinking"}))),
        ({"not": {"images": True}}, Needs()),
        ({"any": [{"images": True}, {"model": "x"}]}, Needs()),
        ({"any": [{"images": True, "tools": True}, {"images": True, "model": "x"}]}, Needs(frozenset({"images"}))),
        ({"input_tokens": ">=200k"}, Needs(tokens=200_000)),
        ({"input_tokens": "<200k"}, Needs()),
        ({"any": [{"input_tokens": ">=200k"}, {"input_tokens": ">=100k", "model": "x"}]}, Needs(tokens=100_000)),
    ],
)
def test_needs(when: dict[str, Any], expected: Needs) -> None:
    assert needs(compile_when(When.model_validate(when))) == expected


@pytest.mark.parametrize(
    ("target", "models", "excluded", "expected"),
    [
        (None, None, (), ()),
        ("m", None, (), ("m",)),
        ("m", None, ("m*",), ()),
        ("m", (("m", "up"),), (), ("up",)),
        ("m", (("*", None),), (), ("m",)),
        ("m", (("n", None),), (), ()),
        (None, (("*", "up"),), (), ("up",)),
        (None, (("a", None), ("b*", "up")), (), ("a", "up")),
        (None, (("a", None), ("b*", None)), (), ()),
        (None, (), (), ()),
    ],
)
def test_the_models_that_are_certain(
    target: str | None, models: Any, excluded: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    channel = Channel("lab", "generic", (), models=models, not_models=excluded)
    assert upstream_models(Target("lab", target), channel) == expected


@pytest.mark.parametrize(
    "found",
    [
        one({"images": True}, to("deepseek-v4-pro")),
        one({"tools": True}, to("grok-4.20-multi-agent")),
        one({"thinking": True}, to("gpt-4.1")),
        one({"images": True, "thinking": True}, to("qwen3-max")),
        one({"input_tokens": ">=128k"}, to("gpt-4o")),
        one({"images": True}, to("mine"), models={"mine": {"vision": False}}),
        one({"tools": True}, to("gpt-4.1"), models={"gpt-4.1": {"tools": False}}),
        one({"input_tokens": ">=32k"}, to("gpt-4.1"), models={"gpt-4.1": {"context_window": "32k"}}),
        one({"images": True}, to("short"), renames={"short": "deepseek-v4-pro"}),
        one({"images": True}, "lab", renames={"a": "deepseek-v4-pro", "b": "glm-5"}),
        one({"images": True}, {"balance": "round_robin", "targets": [to("gpt-4.1"), to("glm-5")]}),
    ],
)
def test_what_a_target_lacks_is_a_warning(found: Compiled, snapshot: SnapshotAssertion) -> None:
    assert [(d.severity, d.code, d.pointer, d.message, d.help) for d in found.diagnostics] == snapshot
    assert found.diagnostics
    assert found.servable


@pytest.mark.parametrize(
    "found",
    [
        one({}, to("deepseek-v4-pro")),
        one({"images": False}, to("deepseek-v4-pro")),
        one({"images": True}, to("gpt-4.1")),
        one({"tools": True}, to("gpt-4.1")),
        one({"thinking": True}, to("o3")),
        one({"images": True, "tools": True, "thinking": True}, to("nobody-knows")),
        one({"input_tokens": ">=127k"}, to("gpt-4o")),
        one({"input_tokens": "<200k"}, to("gpt-4o")),
        one({"input_tokens": ">=2M"}, to("nobody-knows")),
        one({"images": True}, to("deepseek-v4-pro"), models={"deepseek-v4-pro": {"vision": True}}),
        one({"input_tokens": ">=128k"}, to("gpt-4o"), models={"gpt-4o": {"context_window": "256k"}}),
        one({"images": True}, "lab"),
        one({"images": True}, "lab", renames={"a": "deepseek-v4-pro", "b": "gpt-4.1"}),
        one({"images": True}, "lab", renames={"*": None, "b": "glm-5"}),
    ],
)
def test_what_is_not_certain_is_not_told(found: Compiled) -> None:
    assert found.diagnostics == ()
