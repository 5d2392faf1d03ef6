"""`ccx demo`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import uvicorn
from typer.testing import CliRunner

from ccx.cli.demo import app, duration
from ccx.upstream.demo.app import DemoApp
from ccx.upstream.demo.behaviour import Manner


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[uvicorn.Config]]:
    """The configurations that would have been served."""
    found: list[uvicorn.Config] = []
    log = logging.getLogger("uvicorn.error")
    filters = list(log.filters)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self: found.append(self.config))
    yield found
    log.filters = filters


def test_loopback_unless_told(started: list[uvicorn.Config]) -> None:
    assert CliRunner().invoke(app, []).exit_code == 0
    assert CliRunner().invoke(app, ["--port", "0", "--host", "0.0.0.0", "--delay", "20ms"]).exit_code == 0
    plain, other = started
    assert (plain.host, plain.port) == ("127.0.0.1", 9100)
    assert (other.host, other.port) == ("0.0.0.0", 0)
    assert isinstance(other.app, DemoApp)


def test_delay_is_handed_on(started: list[uvicorn.Config], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr("ccx.cli.demo.DemoApp", lambda *, delay: given.append(delay))
    assert CliRunner().invoke(app, ["--delay", "1.5s"]).exit_code == 0
    assert CliRunner().invoke(app, []).exit_code == 0
    assert given == [1.5, 0.0]


@pytest.mark.parametrize("text", ["20", "ms", "-1s", "1h", ""])
def test_bad_durations(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a duration"):
        duration(text)
    assert CliRunner().invoke(app, ["--delay", text]).exit_code == 2


def test_help_names_every_behaviour() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    for manner in Manner:
        assert manner is Manner.PLAIN or f"    {manner.value} " in shown
    for word in ("fail-<400..599>", "overloaded", "context-window", "quota", "content-filter"):
        assert f"    {word} " in shown


def test_only_the_cut_is_left_out_of_the_log(started: list[uvicorn.Config]) -> None:
    CliRunner().invoke(app, [])
    (quiet,) = logging.getLogger("uvicorn.error").filters[-1:]
    assert callable(quiet)
    for message, shown in (("ASGI callable returned without completing response.", False), ("Started server", True)):
        assert quiet(logging.LogRecord("uvicorn.error", logging.INFO, "", 0, message, None, None)) is shown
