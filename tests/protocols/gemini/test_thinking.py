"""Levels, budgets and models: tables."""

from __future__ import annotations

from typing import Any

import pytest

from ccx.protocols import ir
from ccx.protocols.gemini import codec
from ccx.protocols.gemini.models import traits
from tests.protocols.gemini.kit import mint, target, user, whats, write

ON = True


@pytest.mark.parametrize(
    ("to", "thinking", "config", "losses"),
    [
        # Not said.
        ("gemini-3.5-flash", ir.Thinking(), None, []),
        # Levels.
        ("gemini-3.5-flash", ir.Thinking(effort="minimal"), {"thinkingLevel": "MINIMAL"}, []),
        ("gemini-3.5-flash", ir.Thinking(ON, "high"), {"thinkingLevel": "HIGH", "includeThoughts": True}, []),
        ("gemini-3.5-flash", ir.Thinking(ON, "high", summary=False), {"thinkingLevel": "HIGH"}, []),
        ("gemini-3.5-flash", ir.Thinking(effort="xhigh"), {"thinkingLevel": "HIGH"}, ["effort"]),
        ("gemini-3.5-flash", ir.Thinking(effort="max"), {"thinkingLevel": "HIGH"}, ["effort"]),
        ("gemini-3.1-pro-preview", ir.Thinking(effort="medium"), {"thinkingLevel": "MEDIUM"}, []),
        ("gemini-3.1-pro-preview", ir.Thinking(effort="minimal"), {"thinkingLevel": "LOW"}, ["effort"]),
        ("gemini-3-pro-preview", ir.Thinking(effort="medium"), {"thinkingLevel": "HIGH"}, ["effort"]),
        ("gemini-3-pro-preview", ir.Thinking(effort="odd"), {"thinkingLevel": "HIGH"}, ["effort"]),
        (
            "gemini-3.5-flash",
            ir.Thinking(ON, budget=400),
            {"thinkingLevel": "MINIMAL", "includeThoughts": True},
            ["budget"],
        ),
        (
            "gemini-3.5-flash",
            ir.Thinking(ON, budget=1024),
            {"thinkingLevel": "LOW", "includeThoughts": True},
            ["budget"],
        ),
        (
            "gemini-3.5-flash",
            ir.Thinking(ON, budget=8192),
            {"thinkingLevel": "MEDIUM", "includeThoughts": True},
            ["budget"],
        ),
        (
            "gemini-3.5-flash",
            ir.Thinking(ON, budget=31_999),
            {"thinkingLevel": "HIGH", "includeThoughts": True},
            ["budget"],
        ),
        ("gemini-3.5-flash", ir.Thinking(ON, adaptive=True), {"includeThoughts": True}, []),
        ("gemini-3.5-flash", ir.Thinking(False), {"thinkingLevel": "MINIMAL"}, ["reasoning"]),
        ("gemini-3-pro-preview", ir.Thinking(effort="none"), {"thinkingLevel": "LOW"}, ["reasoning"]),
        # Budgets.
        ("gemini-2.5-flash", ir.Thinking(ON, budget=5000), {"thinkingBudget": 5000, "includeThoughts": True}, []),
        (
            "gemini-2.5-flash",
            ir.Thinking(ON, budget=99_999),
            {"thinkingBudget": 24_576, "includeThoughts": True},
            ["budget"],
        ),
        ("gemini-2.5-flash-lite", ir.Thinking(budget=100), {"thinkingBudget": 512}, ["budget"]),
        ("gemini-2.5-flash", ir.Thinking(effort="low"), {"thinkingBudget": 1024}, ["effort"]),
        ("gemini-2.5-flash", ir.Thinking(effort="high"), {"thinkingBudget": 24_576}, ["effort"]),
        ("gemini-2.5-pro", ir.Thinking(effort="max"), {"thinkingBudget": 32_768}, ["effort"]),
        ("gemini-2.5-pro", ir.Thinking(ON, adaptive=True), {"thinkingBudget": -1, "includeThoughts": True}, []),
        (
            "gemini-2.5-pro",
            ir.Thinking(ON, "high", adaptive=True),
            {"thinkingBudget": 24_576, "includeThoughts": True},
            ["effort"],
        ),
        ("gemini-2.5-flash", ir.Thinking(False), {"thinkingBudget": 0}, []),
        ("gemini-2.5-flash", ir.Thinking(effort="none"), {"thinkingBudget": 0}, []),
        ("gemini-2.5-pro", ir.Thinking(False), {"thinkingBudget": 128}, ["reasoning"]),
        # None, and models that are not known.
        ("gemini-2.0-flash", ir.Thinking(ON, "high"), None, ["reasoning"]),
        ("gemini-2.0-flash", ir.Thinking(False), None, []),
        ("gemini-2.5-flash-image", ir.Thinking(ON, budget=100), None, ["reasoning"]),
        ("some-model", ir.Thinking(effort="high"), {"thinkingLevel": "HIGH"}, []),
        ("some-model", ir.Thinking(budget=77_777), {"thinkingBudget": 77_777}, []),
    ],
)
def test_how_much_to_think(to: str, thinking: ir.Thinking, config: dict[str, Any] | None, losses: list[str]) -> None:
    found = write(user("a"), model=to, thinking=thinking)
    written: Any = found.payload.get("generationConfig", {})
    assert written.get("thinkingConfig") == config
    assert whats(found) == losses
    assert all(loss.approximate for loss in found.losses) or config is None


def test_a_target_that_does_not_think_is_not_told_to() -> None:
    request = ir.Request("m", (user("a"),), thinking=ir.Thinking(True, "high"))
    found = codec.encode_request(request, target(thinking=False), new_id=mint)
    assert "generationConfig" not in found.payload
    assert whats(found) == ["reasoning"]


@pytest.mark.parametrize(
    ("name", "thinking", "levels", "signed"),
    [
        ("gemini-1.5-pro", "none", 5, False),
        ("gemini-2.5-pro", "budget", 5, False),
        ("gemini-2.5-flash-preview-09-2025", "budget", 5, False),
        ("gemini-3-pro-preview", "level", 2, True),
        ("gemini-3.1-pro-preview", "level", 3, True),
        ("gemini-3.8-flash", "level", 4, True),
        ("models/gemini-3.1-flash-lite", "level", 4, True),
        ("publishers/google/models/gemini-3-flash-preview", "level", 4, True),
        ("gemini-3.1-flash-image", "level", 2, False),
        ("gemini-3-pro-image-preview", "none", 4, False),
        ("gemini-4-pro", "level", 3, True),
        ("gemini-flash-latest", "level", 4, True),
        ("gemini-pro-latest", "level", 3, True),
        ("gemini-3.1-flash-tts-preview", "none", 4, False),
        ("gemma-3-27b-it", "any", 5, False),
    ],
)
def test_models(name: str, thinking: str, levels: int, signed: bool) -> None:
    row = traits(name)
    assert (row.thinking, len(row.levels), row.signed_calls) == (thinking, levels, signed)
