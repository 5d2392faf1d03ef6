"""Which models are listed: the catalogue's that channels would serve and that are not retired, and the spec's."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ccx.catalog.models import Model, lookup, models
from ccx.runtime.live import Live, prepare
from ccx.runtime.loading import Loader
from ccx.runtime.models import cards, names
from tests.gateway import running

DAY = date(2026, 6, 15)


def live(folder: Path, channel: str, more: str = "") -> Live:
    path = folder / "ccx.yaml"
    path.write_text(f"version: ccx/v1\nchannels:\n  up: {channel}\n{more}")
    candidate = Loader(path, {"K": "k"}).look()
    assert candidate.table is not None, candidate.problems
    return prepare(candidate.table, candidate.digest, folder=folder, environ={"K": "k"})


def listed(found: Live, *, today: date = DAY) -> set[str]:
    return {card.id for card in cards(found, "anthropic", client=None, today=today)}


def sold(provider: str, today: date) -> set[str]:
    rows = [row for row in models() if row.provider == provider and row.kind == "chat"]
    return {row.id for row in rows if row.retires is None or row.retires > today}


def retiring() -> Model:
    return next(row for row in models() if row.provider == "anthropic" and row.retires is not None)


@pytest.mark.parametrize(
    "channel",
    [
        "{provider: anthropic, keys: [{env: K}]}",
        "{provider: anthropic, keys: [{env: K}], models: {'*': null}}",
        "{provider: anthropic, keys: [{env: K}], models: ['claude-*']}",
    ],
)
def test_a_channel_lists_what_the_catalogue_knows_for_its_provider(channel: str, tmp_path: Path) -> None:
    assert listed(live(tmp_path, channel)) == sold("anthropic", DAY)


def test_patterns_choose(tmp_path: Path) -> None:
    found = listed(live(tmp_path, "{provider: anthropic, keys: [{env: K}], models: ['*-opus-*', '!*-4-*']}"))
    assert found
    assert found == {name for name in sold("anthropic", DAY) if "-opus-" in name and "-4-" not in name}


def test_a_model_is_listed_until_it_retires(tmp_path: Path) -> None:
    row, found = retiring(), live(tmp_path, "{provider: anthropic, keys: [{env: K}]}")
    assert row.retires is not None
    assert row.id in listed(found, today=row.retires - timedelta(days=1))
    assert row.id not in listed(found, today=row.retires)
    assert row.id in names(found.table)


def test_deprecated_models_are_listed(tmp_path: Path) -> None:
    found = names(live(tmp_path, "{provider: openai, keys: [{env: K}]}").table, today=DAY)
    deprecated = {
        row.id
        for row in models()
        if row.provider == "openai" and row.deprecated is not None and row.deprecated <= DAY
        if row.retires is None or row.retires > DAY
    }
    assert deprecated
    assert deprecated <= set(found)


def test_what_the_spec_names_stays(tmp_path: Path) -> None:
    """The spec's word goes: its name may be another upstream."""
    row = retiring()
    channel = f"{{provider: anthropic, keys: [{{env: K}}], models: {{{row.id}: claude-opus-5}}}}"
    assert listed(live(tmp_path, channel), today=date.max) == {row.id}


def test_a_relay_lists_vendors_models_by_its_names(tmp_path: Path) -> None:
    channel = "{provider: openrouter, keys: [{env: K}], models: {'anthropic/*': null, 'x-ai/*': null}}"
    found = listed(live(tmp_path, channel))
    assert {"anthropic/claude-opus-4.8", "anthropic/claude-opus-4.5"} & found
    assert {name.partition("/")[0] for name in found} == {"anthropic", "x-ai"}
    for name in found:
        row = lookup(name, provider="openrouter")
        assert row is not None, name
        assert row.retires is None or row.retires > DAY


def test_a_channel_of_an_unknown_provider_lists_only_what_is_named(tmp_path: Path) -> None:
    url = "base_url: 'http://127.0.0.1:1', keys: none"
    assert listed(live(tmp_path, f"{{protocol: messages, {url}, models: {{'*': null}}}}")) == set()
    assert listed(live(tmp_path, f"{{protocol: messages, {url}, models: {{'*': null, mine: null}}}}")) == {"mine"}


async def test_over_http(tmp_path: Path) -> None:
    spec = "version: ccx/v1\nchannels:\n  up: {provider: anthropic, keys: [{env: K}], models: {'*': null}}\n"
    async with running(spec, tmp_path, environ={"K": "k"}) as gw:
        answer: dict[str, Any] = (await gw.client.get("/v1/models")).json()
        found = {one["id"] for one in answer["data"]}
        assert "claude-opus-5" in found
        gone = [row.id for row in models() if row.retires is not None and row.retires <= date(2026, 9, 1)]
        assert gone
        assert found.isdisjoint(gone)
