"""One file for each mistake: the first line names the codes expected, no others may come, and the words are golden."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from ccx.spec.render.report import report
from ccx.spec.render.text import render_text
from ccx.spec.rules import RULES
from ccx.spec.validate import load

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))
COMPILER_RULES = {"CCX140", "CCX141", "CCX208"}
"""Found by compiling, and tested there."""
MADE_BY_TESTS = {"CCX408"}
"""Needs a file mode, which git does not keep; see test_exposure."""


def expected(path: Path) -> list[str]:
    first = path.read_bytes().split(b"\n", 1)[0].decode("utf-8-sig")
    return re.findall(r"CCX\d{3}", first)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_mistake_is_one_diagnostic(
    path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    monkeypatch.chdir(BROKEN)
    loaded = load(Path(path.name), environ={"KEY": "k" * 20})
    text = render_text([report(loaded)])
    assert sorted(one.code for one in loaded.diagnostics) == sorted(expected(path)), text
    assert (loaded.spec is None) == any(one.severity == "error" for one in loaded.diagnostics)
    assert text == snapshot
    assert "correct-horse" not in text
    assert "notARealKey" not in text


def test_every_rule_has_a_broken_file() -> None:
    shown = {code for path in FILES for code in expected(path)}
    loading = {info.code for info in RULES.values() if info.finder == "validate"}
    assert loading - COMPILER_RULES - MADE_BY_TESTS - shown == set()
