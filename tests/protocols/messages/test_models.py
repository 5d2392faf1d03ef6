"""Names of models, and what each accepts."""

from __future__ import annotations

import pytest

from ccx.protocols.messages.models import traits


@pytest.mark.parametrize(
    ("name", "think", "rest", "sampling", "forced", "system", "prefill", "json"),
    [
        ("claude-3-haiku-20240307", None, "disabled", "free", True, False, True, False),
        ("claude-2.1", None, "disabled", "free", True, False, True, False),
        ("claude-3-7-sonnet-20250219", "enabled", "disabled", "free", True, False, True, False),
        ("claude-opus-4-20250514", "enabled", "disabled", "free", True, False, True, False),
        ("claude-opus-4-1-20250805", "enabled", "disabled", "one", True, False, True, True),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "enabled", "disabled", "one", True, False, True, True),
        ("claude-haiku-4-5@20251001", "enabled", "disabled", "one", True, False, True, True),
        ("anthropic/claude-opus-4.6", "adaptive", "disabled", "one", True, False, False, True),
        ("claude-opus-4-7", "adaptive", "disabled", "none", True, False, False, True),
        ("Claude-Opus-4-8", "adaptive", "disabled", "none", True, True, False, True),
        ("claude-sonnet-5", "adaptive", "disabled", "none", True, False, False, True),
        ("claude-opus-5", "adaptive", "disabled", "none", True, True, False, True),
        ("claude-fable-5", "adaptive", None, "none", True, True, False, True),
        ("claude-fable-5-2", "adaptive", None, "none", False, True, False, True),
        ("claude-opus-5-5", "adaptive", None, "none", False, True, False, True),
        ("claude-sonnet-5-5", "adaptive", "between_tools", "none", False, True, False, True),
        ("claude-haiku-5-5", "adaptive", "disabled", "none", False, True, False, True),
        ("claude-mythos-preview", "adaptive", None, "one", True, False, False, True),
        ("claude-opus-latest", "adaptive", None, "none", False, True, False, True),
        ("deepseek-chat", "enabled", "disabled", "free", True, False, True, False),
    ],
)
def test_generations(
    name: str,
    think: str | None,
    rest: str | None,
    sampling: str,
    forced: bool,
    system: bool,
    prefill: bool,
    json: bool,
) -> None:
    row = traits(name)
    assert (row.think, row.rest, row.sampling) == (think, rest, sampling)
    assert (row.forced_tools, row.system_turns, row.prefill, row.json_schema) == (forced, system, prefill, json)


def test_efforts() -> None:
    assert traits("claude-sonnet-4-5").efforts == ()
    assert traits("claude-opus-4-5").efforts == ("low", "medium", "high")
    assert traits("claude-sonnet-4-6").efforts == ("low", "medium", "high", "max")
    assert traits("claude-opus-4-7").efforts == ("low", "medium", "high", "xhigh", "max")
    assert traits("claude-opus-5").rest_efforts == ("low", "medium", "high")
    assert traits("claude-opus-4-8").rest_efforts == ("low", "medium", "high", "xhigh", "max")


def test_a_date_is_no_version() -> None:
    assert traits("claude-opus-4-20250514") == traits("claude-opus-4-0") == traits("claude-opus-4")


def test_other_vendors_are_not_judged() -> None:
    assert not traits("kimi-k2").known
    assert traits("claude-opus-5").known
