"""What the README shows is what the code does."""

from __future__ import annotations

import re

import pytest

from tests.project.readme import README, ROOT, captured, refreshed


def test_generated_parts_are_fresh() -> None:
    text = README.read_text()
    assert refreshed(text) == text, "run: python -m tests.project.readme"


def test_links_and_paths_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "command", ["init", "validate", "compile", "explain", "fidelity", "serve", "keys", "schema", "demo"]
)
def test_commands_are_described(command: str) -> None:
    assert f"`ccx {command}" in README.read_text()
    assert "Usage" in captured(f"ccx {command} --help")
