"""What logged requests cost where they go, at list price: the spec's prices over the catalogue's.

Law: an unknown price is None, never zero. A channel whose provider is not known has no prices but the spec's, since
the same model costs something else elsewhere. Costs are of the first choice: what failover costs is not foreseen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from ccx.analysis.outcome import Asked, Outcome
from ccx.catalog.models import Model, Price, Tier, charge, lookup, models, price_at
from ccx.routing.table import ModelInfo, RoutingTable

_FREE: Final = Decimal(0)


@dataclass(slots=True)
class Used:
    """Tokens of `requests` requests; the cached ones are parts of `input`."""

    requests: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class Prices:
    """The prices of one table."""

    def __init__(self, table: RoutingTable) -> None:
        self._providers = {channel.name: channel.provider for channel in table.channels}
        self._said = {model.name: model for model in table.models}
        self._found: dict[tuple[str, str | None], tuple[Price, tuple[Tier, ...]] | None] = {}

    @property
    def cuts(self) -> frozenset[int]:
        """Sizes of prompts above which a price changes, in tokens."""
        own = {tier.tokens for model in self._said.values() for tier in model.above}
        return frozenset(own | {tier.above for model in models() for tier in model.tiers})

    def cost(self, outcome: Outcome, model: str | None, used: Used, *, prompt: int) -> Decimal | str:
        """What these tokens cost in USD, or the target whose price is not known. `model` is what the client asked for;
        `prompt` a size that stands for that of each request."""
        if outcome.kind != "routed":
            return _FREE
        stage = outcome.stages[0]
        if stage.balance == "priority":
            return self._of(stage.targets[0], model, used, prompt)
        total = _FREE
        for target in stage.targets:
            part = self._of(target, model, used, prompt)
            if isinstance(part, str):
                return part
            total += part * target.share.numerator / target.share.denominator
        return total

    def _of(self, target: Asked, asked: str | None, used: Used, prompt: int) -> Decimal | str:
        name = target.model if target.model is not None else asked
        key = (target.channel, name)
        if key not in self._found:
            if len(self._found) >= 10_000:  # names are the clients' to choose
                self._found.clear()
            self._found[key] = self._find(target.channel, name)
        found = self._found[key]
        if found is None:
            return f"{target.channel}/{name}" if name is not None else target.channel
        price = found[0]
        for tier in found[1]:
            if prompt <= tier.above:
                break
            price = tier.price
        return charge(
            price,
            input_tokens=used.input,
            output_tokens=used.output,
            cache_read_tokens=used.cache_read,
            cache_write_tokens=used.cache_write,
        )

    def _find(self, channel: str, name: str | None) -> tuple[Price, tuple[Tier, ...]] | None:
        if name is None:
            return None
        provider = self._providers[channel]
        row = lookup(name, provider=provider) if provider is not None else None
        said = self._said.get(name)
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
