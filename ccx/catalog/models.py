"""The model catalogue: limits, abilities and list prices of the models that the preset providers serve.

Law: facts with a source and a date, read once from the packaged `data/models/*.toml` (one file per provider) and never
changed in memory. A name is looked up exactly, by alias, as a dated snapshot or behind a vendor prefix; never by
likeness, because a wrong price is worse than none. It knows nothing of channels: a spec overrides a row by building
another value.

Unit of all prices: US dollars per million tokens, as exact `Decimal`. List prices of the standard service tier: batch,
priority, regional and negotiated prices are not modelled.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, get_args

from ccx.catalog import providers as _providers

Kind = Literal["chat", "embedding", "image"]
Modality = Literal["text", "image", "pdf", "audio", "video"]
Capability = Literal["tools", "parallel_tools", "thinking", "structured_output", "streaming"]


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in USD per million tokens.

    `cache_read` is None where a cached prompt token costs as much as any other; `cache_write` where writing the cache
    costs nothing beyond the input price; `cache_write_1h` where there is no longer-lived cache of another price.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of every token of a request whose whole prompt, cached tokens included, exceeds `above` tokens."""

    above: int
    price: Price


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the catalogue.

    `provider` names the preset whose row this is. `context_window` is in tokens, prompt and answer together, and None
    for image models; `max_output_tokens` is None for embedding and image models, and where the provider states no
    limit. `tiers` ascend. `deprecated` is the day when the provider announced the end, `retires` the day when requests
    begin to fail; each None if no such day is known. `source` is the page that the row was taken from on `checked`.
    """

    id: str
    provider: str
    title: str
    aliases: tuple[str, ...]
    kind: Kind
    context_window: int | None
    max_output_tokens: int | None
    modalities: frozenset[Modality]
    capabilities: frozenset[Capability]
    price: Price
    tiers: tuple[Tier, ...]
    deprecated: date | None
    retires: date | None
    source: str
    checked: date


ANY = "*"  # the `models` of a provider that relays everybody's models under vendor prefixes
_SNAPSHOT = re.compile(r"(?P<base>.+)[-@](?P<day>\d{8}|\d{4}-\d{2}-\d{2})")


def models() -> tuple[Model, ...]:
    """Every row, by provider in the order of the presets, within a provider in the order of its file."""
    return _load()


def lookup(model: str, *, provider: str | None = None) -> Model | None:
    """The row that describes a model name, or None.

    In order: the exact id or alias; a dated snapshot of one (`claude-sonnet-4-5-20250929`, `gpt-5.4-2026-03-05`,
    `claude-opus-4-5@20251101`); the rest of the name after a vendor prefix (`anthropic/claude-opus-4.8`). Gemini's
    `models/` prefix is ignored. `provider`, a preset's name or alias, restricts the search to what that provider
    serves; an unknown one has no models. Behind OpenRouter a name needs its vendor prefix, and the row is the vendor's
    own: who else serves an open model there, and for how much, is not known here.
    """
    scope: str | None = None
    if provider is not None:
        preset = _providers.provider(provider)
        if preset is None:
            return None
        scope = preset.models
    name = model.removeprefix("models/")
    if scope != ANY and (row := _find(name, scope=scope)) is not None:
        return row
    vendor, slash, bare = name.partition("/")
    preset = _providers.provider(vendor) if slash else None
    if preset is None or preset.models == ANY or scope not in (None, ANY, preset.models):
        return None
    return _find(bare, scope=preset.models)


def price_at(model: Model, prompt_tokens: int) -> Price:
    """The prices that apply to a request with a prompt of that many tokens, cached ones included."""
    price = model.price
    for tier in model.tiers:
        if prompt_tokens <= tier.above:
            break
        price = tier.price
    return price


def cost(
    model: Model,
    *,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
) -> Decimal:
    """What a request costs at list price, in USD, exactly.

    `input_tokens` is the whole prompt; the cache tokens are parts of it, those written for an hour counted only in
    `cache_write_1h_tokens`. Raises ValueError for a negative count, or if the parts exceed the whole.
    """
    return charge(
        price_at(model, input_tokens),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
        cache_write_1h_tokens=cache_write_1h_tokens,
    )


def charge(
    price: Price,
    *,
    input_tokens: int,
    output_tokens: int,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
) -> Decimal:
    """What tokens cost at these prices, in USD, exactly: of one request, or of many to which the same prices apply.

    The counts are as in `cost`, and so is the ValueError.
    """
    uncached = input_tokens - cache_read_tokens - cache_write_tokens - cache_write_1h_tokens
    if min(uncached, output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens) < 0:
        raise ValueError(
            f"impossible token counts: input {input_tokens!r} of which cache read {cache_read_tokens!r}, written "
            f"{cache_write_tokens!r} and {cache_write_1h_tokens!r} for 1h; output {output_tokens!r}"
        )
    write = price.input if price.cache_write is None else price.cache_write
    total = (
        uncached * price.input
        + cache_read_tokens * (price.input if price.cache_read is None else price.cache_read)
        + cache_write_tokens * write
        + cache_write_1h_tokens * (write if price.cache_write_1h is None else price.cache_write_1h)
        + output_tokens * price.output
    )
    return total.scaleb(-6)


def parse(text: str) -> tuple[Model, ...]:
    """Read the rows of one provider from TOML.

    Raises ValueError, naming the row, for an unknown key or value, a missing field, or prices out of order.
    """
    document = tomllib.loads(text)
    try:
        shared = {key: document.pop(key) for key in ("provider", "source", "checked")}
    except KeyError as error:
        raise ValueError(f"missing {error}") from error
    rows: list[Model] = []
    for raw in document.pop("model", []):
        try:
            rows.append(_model({**shared, **raw}))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"model {raw.get('id')!r}: {error!r}") from error
    if document:
        raise ValueError(f"unknown keys: {sorted(document)!r}")
    _index(rows)
    return tuple(rows)


@cache
def _load() -> tuple[Model, ...]:
    folder = files("ccx.catalog").joinpath("data/models")
    parsed = {
        entry.name.removesuffix(".toml"): parse(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }
    return tuple(row for preset in _providers.providers() for row in parsed.get(preset.name, ()))


@cache
def _by_name() -> Mapping[str, Model]:
    return MappingProxyType(_index(_load()))


def _find(name: str, *, scope: str | None) -> Model | None:
    row = _by_name().get(name)
    if row is None and (snapshot := _SNAPSHOT.fullmatch(name)) is not None and _is_day(snapshot["day"]):
        row = _by_name().get(snapshot["base"])
    return row if row is not None and scope in (None, row.provider) else None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _index(rows: Iterable[Model]) -> dict[str, Model]:
    index: dict[str, Model] = {}
    for row in rows:
        for name in (row.id, *row.aliases):
            if name in index:
                raise ValueError(f"model {row.id!r}: the name {name!r} already means {index[name].id!r}")
            index[name] = row
    return index


# The functions below are the border where TOML's untyped tables become values: what they let through is trusted.
def _model(raw: dict[str, Any]) -> Model:
    rest = dict(raw)
    kind = rest.pop("kind", "chat")
    modalities = frozenset(rest.pop("modalities"))
    capabilities = frozenset(rest.pop("capabilities", ()))
    for value, known in ((frozenset({kind}), Kind), (modalities, Modality), (capabilities, Capability)):
        if unknown := value - set(get_args(known)):
            raise ValueError(f"unknown {sorted(unknown)!r}: not in {get_args(known)!r}")
    price = _price(rest.pop("price"))
    tiers = tuple(Tier(above=tier["above"], price=_price(tier, skip="above")) for tier in rest.pop("tiers", ()))
    if [tier.above for tier in tiers] != sorted({tier.above for tier in tiers}):
        raise ValueError("tiers do not ascend")
    row = Model(
        id=rest.pop("id"),
        provider=rest.pop("provider"),
        title=rest.pop("title"),
        aliases=tuple(rest.pop("aliases", ())),
        kind=kind,
        context_window=rest.pop("context_window", None),
        max_output_tokens=rest.pop("max_output_tokens", None),
        modalities=modalities,
        capabilities=capabilities,
        price=price,
        tiers=tiers,
        deprecated=rest.pop("deprecated", None),
        retires=rest.pop("retires", None),
        source=rest.pop("source"),
        checked=rest.pop("checked"),
    )
    if rest:
        raise ValueError(f"unknown keys {sorted(rest)!r}")
    return row


def _price(raw: dict[str, Any], *, skip: str | None = None) -> Price:
    amounts: dict[str, Decimal] = {}
    for name, text in raw.items():
        if name == skip:
            continue
        if not isinstance(text, str):  # a TOML float has already lost the exact amount
            raise TypeError(f"price {name!r} is {text!r}: write amounts as strings")
        amounts[name] = Decimal(text)
    return Price(**amounts)
