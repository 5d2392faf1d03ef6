"""A thousand routes are linted within five seconds of one processor, proofs included."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from ccx.lint.examine import Wish, examine
from tests.lint.cases import TODAY

VENDORS = ("claude", "gpt", "gemini", "qwen", "llama", "mistral", "grok", "o")


def large(routes: int, globs: int, *, seed: int = 1) -> str:
    """A spec with so many routes over so many patterns, of which some hold a star in their middle."""
    dice = random.Random(seed)
    patterns: set[str] = set()
    while len(patterns) < globs:
        vendor, kind = dice.choice(VENDORS), dice.random()
        if kind < 0.6:
            patterns.add(f"{vendor}-{dice.randrange(30)}-*")
        elif kind < 0.85:
            patterns.add(f"{vendor}-*-{dice.choice(['mini', 'pro', 'x1', 'x2'])}")
        else:
            patterns.add(f"*{dice.choice(['mini', 'pro'])}{dice.randrange(40)}*")
    ordered = sorted(patterns)
    lines = ["version: ccx/v1", "channels:"]
    for number in range(12):
        allowed = f", models: ['{VENDORS[number % 8]}-*']" if number > 7 else ""
        lines.append(f"  c{number}: {{provider: demo{allowed}}}")
    lines.append("routes:")
    for number in range(routes):
        when = [f"model: '{dice.choice(ordered)}'"]
        for share, text in (
            (0.4, f"input_tokens: '{dice.choice(['> 10k', '< 50k', '20k..80k'])}'"),
            (0.3, f"stream: {dice.choice(['true', 'false'])}"),
            (0.3, f"tools: {dice.choice(['true', 'false'])}"),
            (0.2, f"protocol: {dice.choice(['messages', 'chat', '[chat, responses]'])}"),
            (0.2, f"header: {{x-tier: '{dice.choice(['gold', 'silver', 'v*'])}'}}"),
        ):
            if dice.random() < share:
                when.append(text)
        first, second = dice.sample(range(12), 2)
        lines.append(f"  - {{name: r{number}, when: {{{', '.join(when)}}}, to: [c{first}, c{second}]}}")
    lines.append("  - {name: rest, to: [c0, c1]}")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_a_thousand_routes(tmp_path: Path) -> None:
    path = tmp_path / "ccx.yaml"
    path.write_text(large(1000, 185))
    begun = time.process_time()
    one = examine(path, Wish(today=TODAY))
    taken = time.process_time() - begun
    assert one.linted.unfinished == ()
    assert one.linted.findings
    assert taken <= 5.0
