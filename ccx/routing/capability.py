"""Targets whose model lacks what their route asks of every request: CCX208, as a warning.

Law: only what is certain is told. A route asks for something if no request without it could match; a target's model is
known if the spec names it, as the target's or as the only ones that its channel asks for; and it lacks something if the
spec's `models:`, or else the catalogue, says so. A model that neither knows lacks nothing. Reads no clock and no file
but the packaged catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from ccx.catalog.models import lookup
from ccx.routing.conditions import All, AnyOf, Condition, Flag, FlagName, TokensIn
from ccx.routing.globs import glob_matches, most_specific
from ccx.routing.table import Channel, ModelInfo, Target

_WORDS: Final[Mapping[FlagName, tuple[str, str, str]]] = {
    "images": ("with images", "takes none", "vision"),
    "tools": ("with tools", "has no use of them", "tools"),
    "thinking": ("that ask for thinking", "cannot think", "thinking"),
}
"""Of each ability: which requests ask for it, what a model without it does, and its key in `models:`."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What every request that matches a condition has: these flags, and at least so many input tokens."""

    flags: frozenset[FlagName] = frozenset()
    tokens: int = 0


def needs(condition: Condition) -> Needs:
    """What no request can lack that the condition holds for."""
    match condition:
        case Flag(name, True) if name in _WORDS:
            return Needs(frozenset({name}))
        case TokensIn(low, _):
            return Needs(tokens=low)
        case All(parts):
            found = [needs(part) for part in parts]
            return Needs(frozenset().union(*(n.flags for n in found)), max((n.tokens for n in found), default=0))
        case AnyOf(parts) if parts:
            return reduce(lambda a, b: Needs(a.flags & b.flags, min(a.tokens, b.tokens)), map(needs, parts))
        case _:
            return Needs()


def check_target(
    target: Target,
    channel: Channel,
    asked: Needs,
    *,
    route: str,
    models: Mapping[str, ModelInfo],
    report: Callable[..., None],
) -> None:
    """Warn of each thing that a route needs and the target's model lacks. `report` takes a message and, by keyword,
    its `help`."""
    names = upstream_models(target, channel)
    if not names:
        return
    which = " or ".join(repr(name) for name in names)
    for flag, (requests, lack, key) in _WORDS.items():
        sources = [lacks(name, flag, models) for name in names]
        if flag in asked.flags and all(sources):
            report(
                f"the route {route!r} is for requests {requests}, and the model {which} {lack}, says {_told(sources)}",
                help=f"Send them to a model that can, or say `models: {{{names[0]}: {{{key}: true}}}}` if it can.",
            )
    windows = [window(name, models) for name in names]
    known = [size for size, _ in windows if size is not None]
    if asked.tokens and len(known) == len(names) and asked.tokens >= max(known):
        report(
            f"the route {route!r} is for prompts of at least {asked.tokens:,} tokens, and the model {which} takes "
            f"{max(known):,} with its answer, says {_told([source for _, source in windows])}",
            help=f"Send them to a model with a larger window, or say `models: {{{names[0]}: {{context_window: …}}}}` "
            "if it has one.",
        )


def upstream_models(target: Target, channel: Channel) -> tuple[str, ...]:
    """The only models that a target can ask its upstream for, sorted; none if a client may choose others, or if the
    channel does not allow the target's."""
    rows = dict(channel.models) if channel.models is not None else None
    if target.model is not None:
        if any(glob_matches(pattern, target.model) for pattern in channel.not_models):
            return ()
        if rows is None:
            return (target.model,)
        entry = most_specific(tuple(rows), target.model)
        return () if entry is None else (rows[entry] or target.model,)
    names = {(name or (entry if "*" not in entry else None)) for entry, name in (rows or {}).items()}
    return () if None in names else tuple(sorted(name for name in names if name is not None))


def lacks(name: str, flag: FlagName, models: Mapping[str, ModelInfo]) -> str | None:
    """Who says that a model lacks this ability; None if it has it, or nobody knows."""
    said, row = models.get(name), lookup(name)
    own: bool | None = None
    has: bool | None = None
    match flag:
        case "images":
            own, has = said.vision if said else None, "image" in row.modalities if row else None
        case "tools":
            own, has = said.tools if said else None, "tools" in row.capabilities if row else None
        case "thinking":
            own, has = said.thinking if said else None, "thinking" in row.capabilities if row else None
        case "stream":
            return None
    if own is not None:
        return None if own else _SPEC
    return _CATALOGUE if has is False else None


def window(name: str, models: Mapping[str, ModelInfo]) -> tuple[int | None, str | None]:
    """The context window of a model in tokens, if it is known, and who says so."""
    said, row = models.get(name), lookup(name)
    if said is not None and said.context_window is not None:
        return said.context_window, _SPEC
    return (row.context_window, _CATALOGUE) if row is not None else (None, None)


_SPEC: Final = "`models` of the spec"
_CATALOGUE: Final = "the catalogue"


def _told(sources: Sequence[str | None]) -> str:
    return " and ".join(sorted({source for source in sources if source is not None}))
