"""A condition in few words, for people."""

from __future__ import annotations

from ccx.routing.conditions import Condition


def say(condition: Condition) -> str:
    """`claude-* except claude-opus-*, 128,000 <= tokens < 200,000, client not eval-*`; `every request` for all."""
    return str(condition)
