"""The provider presets: whole, well-formed, and unambiguous."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import date
from typing import get_args
from urllib.parse import urlsplit

import pytest

from ccx.catalog.models import ANY
from ccx.catalog.providers import Auth, Dialect, Provider, Surface, parse, provider, providers
from ccx.protocols.names import Protocol

SURFACES = [(row, surface) for row in providers() for surface in row.surfaces.values()]
VERSION = re.compile(r"v\d+(?:beta|alpha)?")
LOCAL = {"ollama", "vllm", "lmstudio"}


def row(toml: str) -> Provider:
    (only,) = parse(toml)
    return only


def minimal(*, extra: str = "", surface: str = 'base_url = "https://a.example/v1", auth = "bearer"') -> str:
    return f"""
[[provider]]
name = "a"
title = "A"
dialect = "generic"
source = "https://a.example/docs"
checked = 2026-11-21
{extra}
surface.chat = {{ {surface} }}
"""


def test_every_provider_of_the_product_is_there() -> None:
    expected = {
        *("anthropic", "openai", "google", "deepseek", "openrouter", "xai", "groq", "mistral", "qwen", "moonshot"),
        *("zhipu", "azure", "openai-compatible", "anthropic-compatible", "ollama", "vllm", "lmstudio", "demo"),
    }
    assert expected <= {it.name for it in providers()}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("gemini", "google"),
        ("dashscope", "qwen"),
        ("kimi", "moonshot"),
        ("glm", "zhipu"),
        ("z.ai", "zai"),
        ("x-ai", "xai"),
        ("anthropic", "anthropic"),
    ],
)
def test_names_and_aliases_are_resolved(alias: str, name: str) -> None:
    found = provider(alias)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", ["", "antropic", "Anthropic", "anthropic "])
def test_a_name_is_never_guessed(name: str) -> None:
    assert provider(name) is None


def test_names_and_aliases_share_one_namespace() -> None:
    names = [name for it in providers() for name in (it.name, *it.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("it", providers(), ids=lambda it: it.name)
def test_rows_are_complete(it: Provider) -> None:
    assert it.title
    assert it.surfaces
    assert it.dialect in get_args(Dialect)
    assert type(it.checked) is date
    assert it.checked >= date(2026, 1, 1)
    assert it.count_tokens <= it.surfaces.keys()
    assert it.models == ANY or provider(it.models) is not None
    assert (it.source is None) == (it.name == "demo")
    assert it.needs_base_url == (it.base_url_example is not None)
    if it.key_env is not None:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", it.key_env)
    if it.needs_key:
        assert it.key_env


@pytest.mark.parametrize(("it", "surface"), SURFACES, ids=lambda value: getattr(value, "name", None) or value.protocol)
def test_surfaces_are_well_formed(it: Provider, surface: Surface) -> None:
    assert it.surfaces[surface.protocol] is surface
    assert surface.auth in get_args(Auth)
    if it.name == "demo":
        assert (surface.base_url, surface.auth, surface.source) == ("demo:", "none", None)
        return
    assert surface.source is not None
    assert urlsplit(surface.source).scheme == "https"
    if it.needs_base_url:
        assert surface.base_url == ""
        return
    address = urlsplit(surface.base_url)
    assert (address.query, address.fragment) == ("", "")
    assert VERSION.fullmatch(address.path.rsplit("/", 1)[-1]), "the version segment is the last"
    if it.name in LOCAL:
        assert (address.scheme, address.hostname) == ("http", "127.0.0.1")
        assert not it.needs_key
    else:
        assert address.scheme == "https"


@pytest.mark.parametrize(("it", "surface"), SURFACES, ids=lambda value: getattr(value, "name", None) or value.protocol)
def test_messages_is_asked_with_a_version_unless_the_client_names_one(it: Provider, surface: Surface) -> None:
    wanted = (("anthropic-version", "2023-06-01"),)
    expected = wanted if surface.protocol is Protocol.MESSAGES and it.name != "demo" else ()
    assert surface.default_headers == expected
    assert surface.headers == ()


def test_what_the_providers_speak() -> None:
    def speaks(name: str) -> set[str]:
        found = provider(name)
        assert found is not None
        return {str(protocol) for protocol in found.surfaces}

    assert speaks("anthropic") == {"messages"}
    assert speaks("openai") == {"chat", "responses", "images", "embeddings"}
    assert speaks("google") == {"gemini"}
    assert {"chat", "messages"} <= speaks("deepseek") & speaks("moonshot") & speaks("zhipu") & speaks("qwen")
    assert "messages" not in speaks("xai")
    assert speaks("demo") == {str(protocol) for protocol in Protocol}


def test_who_counts_tokens() -> None:
    counting = {it.name: set(map(str, it.count_tokens)) for it in providers() if it.count_tokens}
    assert counting == {
        "anthropic": {"messages"},
        "openai": {"responses"},
        "google": {"gemini"},
        "vllm": {"messages"},
        "demo": {"messages", "gemini", "responses"},
    }


def test_rows_cannot_be_changed() -> None:
    it = provider("openai")
    assert it is not None
    with pytest.raises(FrozenInstanceError):
        it.title = "other"  # type: ignore[misc]  # what is tested
    with pytest.raises(TypeError):
        it.surfaces[Protocol.GEMINI] = it.surfaces[Protocol.CHAT]  # type: ignore[index]  # what is tested


def test_the_data_is_read_once() -> None:
    assert providers() is providers()
    assert provider("gemini") is provider("google")


def test_a_row_has_sensible_defaults() -> None:
    it = row(minimal())
    assert (it.aliases, it.models, it.needs_key, it.needs_base_url, it.count_tokens) == (
        (),
        "a",
        True,
        False,
        frozenset(),
    )
    assert it.surfaces[Protocol.CHAT].source == it.source


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        pytest.param(minimal(extra="colour = 1"), "unknown keys ['colour']", id="unknown key"),
        pytest.param(minimal(surface='base_url = "https://a.example/v1", auth = "basic"'), "unknown auth", id="auth"),
        pytest.param(
            minimal(surface='base_url = "https://a.example/v1", auth = "bearer", x = 1'),
            "unknown keys ['x']",
            id="surface key",
        ),
        pytest.param(minimal(surface='auth = "bearer"'), "a surface has a base_url exactly if", id="no address"),
        pytest.param(minimal(extra="needs_base_url = true"), "a surface has a base_url exactly if", id="address twice"),
        pytest.param(minimal(extra='count_tokens = ["gemini"]'), "without a surface", id="counts what it has not"),
        pytest.param(minimal().replace("generic", "klingon"), "unknown dialect 'klingon'", id="dialect"),
        pytest.param(minimal().replace("surface.chat", "surface.smoke"), "'smoke'", id="protocol"),
        pytest.param(minimal().replace('title = "A"', ""), "KeyError('title')", id="missing field"),
        pytest.param(minimal() + minimal(), "the name 'a' already means 'a'", id="name twice"),
        pytest.param(minimal(extra='aliases = ["a"]'), "the name 'a' already means 'a'", id="alias of itself"),
        pytest.param("[other]\n" + minimal(), "unknown tables: ['other']", id="unknown table"),
    ],
)
def test_a_wrong_row_is_refused_by_name(toml: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(toml)
