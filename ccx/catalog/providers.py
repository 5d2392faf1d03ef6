"""The provider presets: which protocols a provider speaks, where, and how a key is sent.

Law: a preset is a fact about a public API, read once from the packaged `data/providers.toml` and never changed in
memory. It knows nothing of channels, of keys or of what the user wrote; a channel may override any field of it. Names
and aliases share one namespace, so that a name means one provider everywhere.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, get_args

from ccx.protocols.names import Protocol

Auth = Literal["bearer", "x-api-key", "x-goog-api-key", "api-key", "none"]
"""How a key is sent: `Authorization: Bearer`, the header of that name, or not at all."""

Dialect = Literal[
    "anthropic",
    "openai",
    "gemini",
    "deepseek",
    "openrouter",
    "groq",
    "mistral",
    "xai",
    "dashscope",
    "zhipu",
    "moonshot",
    "azure",
    "ollama",
    "vllm",
    "generic",
    "demo",
]
"""The row of the error classification table that reads a provider's errors."""


@dataclass(frozen=True, slots=True)
class Surface:
    """One protocol at one address.

    `base_url` ends with the version segment (`/v1`, `/v1beta`); it is empty where the provider `needs_base_url`.
    `auth` says how a key is sent if the channel has one. `headers` are always sent, `default_headers` only where the
    client sent none of that name. `source` is the public page that documents the surface; None for ccx's own.
    """

    protocol: Protocol
    base_url: str
    auth: Auth
    headers: tuple[tuple[str, str], ...]
    default_headers: tuple[tuple[str, str], ...]
    source: str | None


@dataclass(frozen=True, slots=True)
class Provider:
    """A preset.

    `dialect` is the row of the error classification table. `models` names the provider whose rows in the model
    catalogue describe what this one serves (`azure` serves `openai`'s; "*" is everybody's). `needs_key` is false where
    a key is optional. `key_env` is the environment variable by which the provider's own tools find the key.
    `count_tokens` lists the protocols whose token counting endpoint it has. `source` is None for ccx's own; `checked`
    is the day when the row was compared with it.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    surfaces: Mapping[Protocol, Surface]
    dialect: Dialect
    models: str
    needs_key: bool
    needs_base_url: bool
    base_url_example: str | None
    key_env: str | None
    count_tokens: frozenset[Protocol]
    source: str | None
    checked: date


def provider(name: str) -> Provider | None:
    """The provider of that name or alias, exactly as written in lower case; None if there is none."""
    return _by_name().get(name)


def providers() -> tuple[Provider, ...]:
    """Every preset, in the order of the data file: vendors first, then generic, local and built-in ones."""
    return _load()


def parse(text: str) -> tuple[Provider, ...]:
    """Read provider rows from TOML.

    Raises ValueError, naming the row, for an unknown key or value, a missing field, or a name used twice.
    """
    document = tomllib.loads(text)
    rows: list[Provider] = []
    for raw in document.pop("provider", []):
        try:
            rows.append(_provider(raw))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"provider {raw.get('name')!r}: {error!r}") from error
    if document:
        raise ValueError(f"unknown tables: {sorted(document)!r}")
    _index(rows)
    return tuple(rows)


@cache
def _load() -> tuple[Provider, ...]:
    return parse(files("ccx.catalog").joinpath("data/providers.toml").read_text(encoding="utf-8"))


@cache
def _by_name() -> Mapping[str, Provider]:
    return MappingProxyType(_index(_load()))


def _index(rows: list[Provider] | tuple[Provider, ...]) -> dict[str, Provider]:
    index: dict[str, Provider] = {}
    for row in rows:
        for name in (row.name, *row.aliases):
            if name in index:
                raise ValueError(f"provider {row.name!r}: the name {name!r} already means {index[name].name!r}")
            index[name] = row
    return index


# The two functions below are the border where TOML's untyped tables become values: what they let through is trusted.
def _provider(raw: dict[str, Any]) -> Provider:
    rest = dict(raw)
    name: str = rest.pop("name")
    source: str | None = rest.pop("source", None)
    needs_base_url = bool(rest.pop("needs_base_url", False))
    surfaces = {
        Protocol(protocol): _surface(Protocol(protocol), fields, source=source)
        for protocol, fields in rest.pop("surface").items()
    }
    if any(bool(surface.base_url) is needs_base_url for surface in surfaces.values()):
        raise ValueError("a surface has a base_url exactly if the provider does not need one")
    dialect = rest.pop("dialect")
    if dialect not in get_args(Dialect):
        raise ValueError(f"unknown dialect {dialect!r}")
    row = Provider(
        name=name,
        title=rest.pop("title"),
        aliases=tuple(rest.pop("aliases", ())),
        surfaces=MappingProxyType(surfaces),
        dialect=dialect,
        models=rest.pop("models", name),
        needs_key=bool(rest.pop("needs_key", True)),
        needs_base_url=needs_base_url,
        base_url_example=rest.pop("base_url_example", None),
        key_env=rest.pop("key_env", None),
        count_tokens=frozenset(Protocol(protocol) for protocol in rest.pop("count_tokens", ())),
        source=source,
        checked=rest.pop("checked"),
    )
    if rest:
        raise ValueError(f"unknown keys {sorted(rest)!r}")
    if not row.count_tokens <= surfaces.keys():
        raise ValueError("count_tokens names a protocol without a surface")
    return row


def _surface(protocol: Protocol, raw: dict[str, Any], *, source: str | None) -> Surface:
    rest = dict(raw)
    auth = rest.pop("auth")
    if auth not in get_args(Auth):
        raise ValueError(f"unknown auth {auth!r}")
    surface = Surface(
        protocol=protocol,
        base_url=rest.pop("base_url", ""),
        auth=auth,
        headers=tuple((name, value) for name, value in rest.pop("headers", ())),
        default_headers=tuple((name, value) for name, value in rest.pop("default_headers", ())),
        source=rest.pop("source", source),
    )
    if rest:
        raise ValueError(f"unknown keys {sorted(rest)!r} in surface {protocol!r}")
    return surface
