"""The vocabulary is loaded beside the first requests, for those tables only that count."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ccx.cli import serving
from ccx.routing.table import RoutingTable
from ccx.runtime.loading import Loader
from ccx.telemetry.events import EventLog
from ccx.telemetry.hub import Telemetry
from ccx.telemetry.log import RequestLog
from ccx.telemetry.metrics import Metrics
from ccx.telemetry.writer import LineWriter
from ccx.tokens.counter import TokenCounter


def table(folder: Path, *, when: str) -> RoutingTable:
    path = folder / "ccx.yaml"
    path.write_text(
        textwrap.dedent(f"""
            version: ccx/v1
            channels: {{demo: {{provider: demo}}}}
            routes:
              - {{name: asking, when: {{{when}}}, to: [demo]}}
              - {{name: default, to: [demo]}}
        """)
    )
    found = Loader(path, {}).look()
    assert found.table is not None, found.problems
    return found.table


@pytest.mark.parametrize(("when", "loads"), [('input_tokens: "> 10k"', 1), ("stream: true", 0)])
async def test_only_a_table_that_counts_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, loads: int
) -> None:
    loaded: list[TokenCounter] = []

    async def prepare(counter: TokenCounter) -> None:
        loaded.append(counter)

    monkeypatch.setattr(TokenCounter, "prepare", prepare)
    counter = TokenCounter()
    await serving._warm(counter, table(tmp_path, when=when))
    assert loaded == [counter] * loads


async def test_a_vocabulary_that_cannot_be_loaded_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prepare(counter: TokenCounter) -> None:
        raise OSError("no such vocabulary")

    monkeypatch.setattr(TokenCounter, "prepare", prepare)
    writer = LineWriter(tmp_path / "log")
    telemetry = Telemetry(RequestLog(writer), Metrics(), events=EventLog(writer))
    await serving._warm_first(TokenCounter(), table(tmp_path, when='input_tokens: "> 10k"'), telemetry)
    telemetry.flush()
    assert "the vocabulary could not be loaded" in (tmp_path / "log").read_text()
