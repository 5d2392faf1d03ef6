"""What a model costs at a channel, at list price: the spec's prices over the catalogue's.

Law: an unknown price is None, never zero. A channel whose provider is not known has no prices but the spec's, since
the same model costs something else elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ccx.catalog.models import Model, Price, Tier, lookup, models, price_at
from ccx.routing.table import ModelInfo, RoutingTable

NAMES_KEPT: Final = 10_000
"""Names are the clients' to choose."""


class PriceList:
    """The prices of one table."""

    def __init__(self, table: RoutingTable) -> None:
        self._providers = {channel.name: channel.provider for channel in table.channels}
        self._said = {model.name: model for model in table.models}
        self._found: dict[tuple[str, str], tuple[Price, tuple[Tier, ...]] | None] = {}

    @property
    def cuts(self) -> frozenset[int]:
        """Sizes of prompts above which a price changes, in tokens."""
        own = {tier.tokens for model in self._said.values() for tier in model.above}
        return frozenset(own | {tier.above for model in models() for tier in model.tiers})

    def price(self, channel: str, model: str | None, *, prompt: int) -> Price | None:
        """The prices of a request with a prompt of so many tokens, cached ones included. Raises KeyError for a channel
        that is not the table's."""
        if model is None:
            return None
        key = (channel, model)
        if key not in self._found:
            if len(self._found) >= NAMES_KEPT:
                self._found.clear()
            self._found[key] = self._find(channel, model)
        found = self._found[key]
        if found is None:
            return None
        price = found[0]
        for tier in found[1]:
            if prompt <= tier.above:
                break
            price = tier.price
        return price

    def _find(self, channel: str, model: str) -> tuple[Price, tuple[Tier, ...]] | None:
        provider = self._providers[channel]
        row = lookup(model, provider=provider) if provider is not None else None
        said = self._said.get(model)
        if said is None or (said.input is None and said.output is None):
            return (row.price, row.tiers) if row is not None else None
        return _own(said, row)


def _own(said: ModelInfo, row: Model | None) -> tuple[Price, tuple[Tier, ...]] | None:
    """The spec's prices; what it leaves out is the catalogue's. Its steps replace the catalogue's."""
    base = price_at(row, 0) if row is not None else None
    entry = said.input if said.input is not None else base.input if base is not None else None
    leaving = said.output if said.output is not None else base.output if base is not None else None
    if entry is None or leaving is None:
        return None
    price = Price(entry, leaving, said.cache_read, said.cache_write)
    tiers: list[Tier] = []
    for tier in said.above:
        last = tiers[-1].price if tiers else price
        changed = {
            name: value
            for name in ("input", "output", "cache_read", "cache_write")
            if (value := getattr(tier, name)) is not None
        }
        tiers.append(Tier(tier.tokens, replace(last, **changed)))
    return price, tuple(tiers)
