"""What logged requests cost where they go, at list price. Costs are of the first choice: what failover costs is not
foreseen."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ccx.analysis.outcome import Asked, Outcome
from ccx.catalog.models import charge
from ccx.routing.prices import PriceList
from ccx.routing.table import RoutingTable

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
        self._list = PriceList(table)

    @property
    def cuts(self) -> frozenset[int]:
        """Sizes of prompts above which a price changes, in tokens."""
        return self._list.cuts

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
        price = self._list.price(target.channel, name, prompt=prompt)
        if price is None:
            return f"{target.channel}/{name}" if name is not None else target.channel
        return charge(
            price,
            input_tokens=used.input,
            output_tokens=used.output,
            cache_read_tokens=used.cache_read,
            cache_write_tokens=used.cache_write,
        )
