"""The models a caller can ask for: those named in the spec, and those of the catalogue that a route would serve.

A model is listed when some route of the table could take it in the asking protocol and the client may use it: what is
listed can be asked for. Models of the catalogue that their provider has retired are not; deprecated ones are.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from ccx.catalog.models import ANY, Model, lookup
from ccx.catalog.models import models as catalogued
from ccx.catalog.providers import provider
from ccx.protocols.listing import ModelCard
from ccx.protocols.names import Protocol
from ccx.routing.conditions import ModelMatches, leaves
from ccx.routing.table import Client, RoutingTable
from ccx.runtime.live import Live

Shape = Literal["anthropic", "openai", "gemini", "codex"]
_PROTOCOLS: dict[Shape, tuple[Protocol, ...]] = {
    "anthropic": (Protocol.MESSAGES,),
    "openai": (Protocol.CHAT, Protocol.RESPONSES, Protocol.EMBEDDINGS, Protocol.IMAGES),
    "gemini": (Protocol.GEMINI,),
    "codex": (Protocol.RESPONSES,),
}


# Vendors by the prefix that their models have behind a provider that relays everybody's; open models are left out,
# since relays spell them in their own ways. https://openrouter.ai/models
_VENDORS = {"anthropic": "anthropic", "openai": "openai", "google": "google", "xai": "x-ai"}


def names(table: RoutingTable, *, today: date | None = None) -> tuple[str, ...]:
    """Every model name that the table or the catalogue of its channels' providers holds, sorted. With `today` those of
    the catalogue's that are retired by then are left out; what the spec names stays."""
    found: set[str] = {info.name for info in table.models}
    for route in table.routes:
        for leaf in leaves(route.when):
            if isinstance(leaf, ModelMatches):
                found.update(leaf.globs.include)
    sold: set[str] = set()
    for channel in table.channels:
        if not channel.enabled:
            continue
        found.update(name for name, _ in channel.models or ())
        preset = provider(channel.provider) if channel.provider else None
        if preset is not None:
            sold.add(preset.models)
    for model in catalogued():
        if today is not None and model.retires is not None and model.retires <= today:
            continue
        if model.provider in sold:
            found.add(model.id)
        if ANY in sold and model.provider in _VENDORS:
            found.add(f"{_VENDORS[model.provider]}/{_relayed(model)}")
    return tuple(sorted(name for name in found if "*" not in name))


def _relayed(model: Model) -> str:
    """A model's name behind a relay, which writes versions with dots."""
    return next((alias for alias in model.aliases if alias.replace(".", "-") == model.id), model.id)


def cards(live: Live, shape: Shape, *, client: Client | None, today: date) -> list[ModelCard]:
    """The models that this client can ask for in this shape's protocols."""
    return [
        card(live, name) for name in names(live.table, today=today) if _served(live, name, shape=shape, client=client)
    ]


def find(live: Live, name: str, shape: Shape, *, client: Client | None) -> ModelCard | None:
    """One model, if this client can ask for it."""
    return card(live, name) if _served(live, name, shape=shape, client=client) else None


def _served(live: Live, name: str, *, shape: Shape, client: Client | None) -> bool:
    if client is not None and client.models is not None and not client.models.matches(name):
        return False
    return any(
        rule.decision.steps for protocol in _PROTOCOLS[shape] for rule in live.decider.cell(protocol, name).rules
    )


def card(live: Live, name: str) -> ModelCard:
    """What is known of a model: the spec's word over the catalogue's."""
    known = lookup(name)
    said = next((info for info in live.table.models if info.name == name), None)
    context = said.context_window if said is not None else None
    output = said.max_output_tokens if said is not None else None
    return ModelCard(
        id=name,
        display_name=name,
        created=0,
        owned_by=known.provider if known is not None else "ccx",
        context_window=context or (known.context_window if known is not None else None),
        max_output_tokens=output or (known.max_output_tokens if known is not None else None),
    )
