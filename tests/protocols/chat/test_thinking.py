"""How upstreams are asked to think."""

from __future__ import annotations

import pytest

from ccx.protocols import ir
from tests.protocols.chat.kit import names, write

ON = ir.Thinking(enabled=True)
OFF = ir.Thinking(enabled=False)
BUDGET = ir.Thinking(enabled=True, budget=10_000)


def asked_with(wanted: ir.Thinking, name: str, **known: object) -> tuple[dict[str, object], list[str]]:
    encoded = write(ir.Request("m", (), thinking=wanted), name, **known)
    fields = {key: value for key, value in encoded.payload.items() if key not in ("model", "messages")}
    return fields, names(encoded.losses)


def effort(level: str) -> ir.Thinking:
    return ir.Thinking(enabled=level != "none", effort=level)


@pytest.mark.parametrize(
    ("name", "wanted", "fields", "lost"),
    [
        ("openai", effort("low"), {"reasoning_effort": "low"}, []),
        ("openai", effort("max"), {"reasoning_effort": "xhigh"}, ["effort~"]),
        ("openai", effort("none"), {"reasoning_effort": "none"}, []),
        ("openai", effort("novel"), {"reasoning_effort": "novel"}, []),
        ("openai", OFF, {}, ["reasoning"]),
        ("openai", ON, {"reasoning_effort": "medium"}, []),
        ("openai", BUDGET, {"reasoning_effort": "medium"}, ["budget~"]),
        ("openai", ir.Thinking(enabled=True, budget=1024), {"reasoning_effort": "minimal"}, ["budget~"]),
        ("openai", ir.Thinking(enabled=True, budget=32_000), {"reasoning_effort": "high"}, ["budget~"]),
        ("openai", ir.Thinking(True, effort="low", budget=9), {"reasoning_effort": "low"}, ["budget~"]),
        ("openai", ir.Thinking(enabled=True, adaptive=True), {}, []),
        ("openai", ir.Thinking(True, effort="high", adaptive=True), {"reasoning_effort": "high"}, []),
        ("openai", ir.Thinking(summary=True), {}, []),
        ("openrouter", effort("high"), {"reasoning": {"effort": "high"}}, []),
        ("openrouter", effort("none"), {"reasoning": {"effort": "none"}}, []),
        ("openrouter", OFF, {"reasoning": {"enabled": False}}, []),
        ("openrouter", ON, {"reasoning": {"enabled": True}}, []),
        ("openrouter", BUDGET, {"reasoning": {"max_tokens": 10_000}}, []),
        ("openrouter", ir.Thinking(True, "low", 99), {"reasoning": {"max_tokens": 99}}, ["effort~"]),
        ("openrouter", ir.Thinking(summary=False), {"reasoning": {"exclude": True}}, []),
        ("openrouter", ir.Thinking(summary=True), {}, []),
        ("deepseek", ON, {"thinking": {"type": "enabled"}}, []),
        ("deepseek", OFF, {"thinking": {"type": "disabled"}}, []),
        ("deepseek", effort("medium"), {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, ["effort~"]),
        ("deepseek", effort("max"), {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, []),
        ("moonshot", effort("high"), {"thinking": {"type": "enabled"}}, ["effort"]),
        ("moonshot", BUDGET, {"thinking": {"type": "enabled"}}, ["budget"]),
        ("zhipu", effort("xhigh"), {"thinking": {"type": "enabled"}, "reasoning_effort": "xhigh"}, []),
        ("dashscope", BUDGET, {"enable_thinking": True, "thinking_budget": 10_000}, []),
        ("dashscope", effort("low"), {"enable_thinking": True}, ["effort~"]),
        ("dashscope", OFF, {"enable_thinking": False}, []),
        ("vllm", ON, {"chat_template_kwargs": {"enable_thinking": True}}, []),
        ("vllm", OFF, {"chat_template_kwargs": {"enable_thinking": False}}, []),
        (
            "vllm",
            effort("minimal"),
            {"chat_template_kwargs": {"enable_thinking": True}, "reasoning_effort": "low"},
            ["effort~"],
        ),
        ("mistral", OFF, {"reasoning_effort": "none"}, []),
        ("mistral", effort("low"), {"reasoning_effort": "high"}, ["effort~"]),
        ("ollama", OFF, {"reasoning_effort": "none"}, []),
        ("groq", effort("minimal"), {"reasoning_effort": "low"}, ["effort~"]),
        ("xai", effort("none"), {"reasoning_effort": "none"}, []),
        ("generic", effort("high"), {}, ["reasoning"]),
        ("generic", OFF, {}, ["reasoning"]),
    ],
)
def test_in_the_terms_of_each_vendor(
    name: str, wanted: ir.Thinking, fields: dict[str, object], lost: list[str]
) -> None:
    assert asked_with(wanted, name) == (fields, lost)


@pytest.mark.parametrize("name", ["openai", "deepseek", "dashscope", "openrouter", "vllm"])
def test_a_model_that_does_not_think_is_not_asked_to(name: str) -> None:
    assert asked_with(effort("high"), name, thinking=False) == ({}, ["reasoning"])
    assert asked_with(OFF, name, thinking=False) == ({}, [])


def test_the_lower_of_two_efforts_that_are_as_near() -> None:
    # medium lies between low and high.
    assert asked_with(effort("medium"), "deepseek")[0]["reasoning_effort"] == "low"
