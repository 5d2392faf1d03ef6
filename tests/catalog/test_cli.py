"""`ccx models` and `ccx providers`: tables for people, JSON for programs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from ccx.catalog.models import models
from ccx.catalog.providers import providers
from ccx.cli.catalog import app
from ccx.errors import Exit

ESCAPE = "\x1b"


def run(*args: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


HAIKU = """\
MODEL               PROVIDER   KIND  CONTEXT tok  MAX OUT tok  IN $/M  OUT $/M  CACHE READ $/M  CACHE WRITE $/M  RETIRES
claude-haiku-5-5    anthropic  chat    1,000,000      128,000    0.10     0.50            0.01            0.125
  prompt > 100,000                                               0.50     2.50            0.05            0.625
claude-haiku-4-5    anthropic  chat      200,000       64,000    1.00     5.00            0.10             1.25
"""


def test_models_are_a_table_with_units() -> None:
    assert run("models", "claude-haiku") == (HAIKU, "")


def test_a_table_for_a_pipe_has_no_colour_and_every_column() -> None:
    out, err = run("models")
    assert ESCAPE not in out
    assert "RETIRES" in out.splitlines()[0]
    assert "too narrow" not in out
    assert err == ""
    assert sum(not line.startswith("  prompt >") for line in out.splitlines()[1:]) == len(models())


def test_an_unknown_limit_or_price_is_a_dash() -> None:
    out, _ = run("models", "text-embedding-3-small")
    assert out.splitlines()[1].split() == [
        "text-embedding-3-small",
        "openai",
        "embedding",
        "8,192",
        "-",
        "0.02",
        "0.00",
        "-",
        "-",
    ]


def test_an_end_is_shown() -> None:
    out, _ = run("models", "claude-opus-4-1")
    assert out.splitlines()[1].endswith("2026-08-05")


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("HAIKU", {"claude-haiku-5-5", "claude-haiku-4-5"}),
        ("claude-opus-4.*", {f"claude-opus-4-{minor}" for minor in (1, 5, 6, 7, 8)}),  # by their aliases
        ("deepseek-v4-flash", {"deepseek-flash"}),
        ("gpt-5.[56]", {"gpt-5.5"}),
    ],
)
def test_a_pattern_chooses_by_id_or_alias(pattern: str, ids: set[str]) -> None:
    out, _ = run("models", pattern, "--json")
    assert {row["id"] for row in json.loads(out)} == ids


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gemini", {"google"}),
        ("azure", {"openai"}),
        ("z.ai", {"zhipu"}),
        ("openrouter", {it.provider for it in models()}),
    ],
)
def test_a_provider_shows_what_it_serves(asked: str, served: set[str]) -> None:
    out, _ = run("models", "--provider", asked, "--json")
    assert {row["provider"] for row in json.loads(out)} == served


def test_json_has_every_field_and_exact_amounts() -> None:
    out, _ = run("models", "--json")
    rows = json.loads(out)
    assert [row["id"] for row in rows] == [it.id for it in models()]
    (pro,) = (row for row in rows if row["id"] == "gemini-2.5-pro")
    assert pro["price"] == {
        "input": "1.25",
        "output": "10",
        "cache_read": "0.125",
        "cache_write": None,
        "cache_write_1h": None,
    }
    assert pro["above"]["200000"]["output"] == "15"
    assert pro["retires"] == "2026-12-01"
    assert pro["modalities"] == ["audio", "image", "pdf", "text", "video"]
    for row, it in zip(rows, models(), strict=True):
        assert Decimal(row["price"]["input"]) == it.price.input
        assert (row["source"], row["checked"]) == (it.source, it.checked.isoformat())


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_no_match_is_said_and_is_a_finding(flags: list[str]) -> None:
    out, err = run("models", "nonesuch", *flags, code=Exit.FINDINGS)
    assert err == "no model of the catalogue matches\n"
    assert out == ("[]\n" if flags else "")


def test_an_unknown_provider_is_a_mistake_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["models", "--provider", "antropic"])
    assert result.exit_code == 2  # click's usage error: the command line maps it to Exit.USAGE
    assert "there is no provider 'antropic'; did you mean 'anthropic'?" in " ".join(result.stderr.split())


def test_a_hopeless_provider_lists_the_legal_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    result = CliRunner().invoke(app, ["models", "--provider", "\u4f60\u597d"])
    assert "choose one of anthropic, openai, google" in " ".join(result.stderr.split())


def test_providers_are_a_table() -> None:
    out, _ = run("providers")
    lines = out.splitlines()
    assert lines[0].split() == ["PROVIDER", "PROTOCOLS", "BASE", "URL", "AUTH", "KEY", "VARIABLE", "ALIASES", "TITLE"]
    deepseek = next(at for at, line in enumerate(lines) if line.startswith("deepseek"))
    assert lines[deepseek].split()[1:5] == [
        "chat,responses",
        "https://api.deepseek.com/v1",
        "bearer",
        "DEEPSEEK_API_KEY",
    ]
    assert lines[deepseek + 1].split() == ["messages", "https://api.deepseek.com/anthropic/v1", "x-api-key"]
    assert lines[deepseek + 1].startswith("  "), "the same provider at another address"
    assert "(yours, such as https://YOUR-RESOURCE.openai.azure.com/openai/v1)" in out


def test_providers_as_json() -> None:
    out, _ = run("providers", "--json")
    rows = json.loads(out)
    assert [row["name"] for row in rows] == [it.name for it in providers()]
    (anthropic,) = (row for row in rows if row["name"] == "anthropic")
    assert anthropic["surfaces"] == [
        {
            "protocol": "messages",
            "base_url": "https://api.anthropic.com/v1",
            "auth": "x-api-key",
            "headers": {},
            "default_headers": {"anthropic-version": "2023-06-01"},
            "counts_tokens": True,
            "source": "https://platform.claude.com/docs/en/api/overview",
        }
    ]
    (azure,) = (row for row in rows if row["name"] == "azure")
    assert (azure["needs_base_url"], azure["surfaces"][0]["base_url"]) == (True, None)


class TestTerminal:
    """The table as a terminal of some width shows it."""

    @staticmethod
    def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str, width: int) -> list[str]:
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((width, 24)))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        app(list(args), standalone_mode=False)
        return capsys.readouterr().out.splitlines()

    def test_a_wide_one_shows_everything(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = self.show(monkeypatch, capsys, "models", "haiku", width=200)
        head, *body = HAIKU.splitlines()
        assert lines == [f"{ESCAPE}[1m{head}{ESCAPE}[0m", *body]

    def test_a_narrow_one_leaves_out_columns_and_says_which(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = self.show(monkeypatch, capsys, "models", "haiku", width=80)
        assert (
            lines[0]
            == f"{ESCAPE}[1mMODEL               PROVIDER   CONTEXT tok  MAX OUT tok  IN $/M  OUT $/M{ESCAPE}[0m"
        )
        assert all(len(line) <= 80 for line in lines[1:-1])
        assert lines[-1] == "(too narrow for KIND, CACHE READ $/M, CACHE WRITE $/M, RETIRES; --json shows everything)"

    @pytest.mark.parametrize("width", [1, 10, 40, 72, 100, 120, 121, 160])
    @pytest.mark.parametrize("command", ["models", "providers"])
    def test_the_names_are_always_whole(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, width: int
    ) -> None:
        lines = self.show(monkeypatch, capsys, command, width=width)
        shown = {line.split()[0] for line in lines[1:] if line and not line.startswith((" ", "("))}
        assert shown >= ({it.id for it in models()} if command == "models" else {it.name for it in providers()})
        widest = max(len(name) for name in shown)
        body = [line for line in lines[1:] if not line.startswith("(too narrow")]
        assert max(map(len, body)) <= max(width, widest)
