"""What is known of a model: the spec's own word, else the catalogue's; None where neither says."""

from __future__ import annotations

from ccx.catalog.models import Model, lookup
from ccx.lint.subject import Subject, TargetView
from ccx.routing.capability import window
from ccx.routing.conditions import All, AnyOf, Condition, Flag, FlagName, TokensIn

ABILITIES: tuple[tuple[FlagName, str], ...] = (("tools", "tools"), ("images", "images"), ("thinking", "thinking"))
"""What a route can ask for and a model can lack, with its word."""


def able(subject: Subject, name: str, flag: FlagName) -> bool | None:
    """Whether a model can handle this."""
    said, row = subject.overrides.get(name), lookup(name)
    match flag:
        case "images":
            own, known = said.vision if said else None, "image" in row.modalities if row else None
        case "tools":
            own, known = said.tools if said else None, "tools" in row.capabilities if row else None
        case "thinking":
            own, known = said.thinking if said else None, "thinking" in row.capabilities if row else None
        case "stream":
            return None
    return own if own is not None else known


def window_of(subject: Subject, name: str) -> int | None:
    """The context window in tokens."""
    return window(name, subject.overrides)[0]


def largest_window(subject: Subject, target: TargetView) -> int | None:
    """The largest context window of the models that a target can ask for; None if one is not known."""
    windows = [window_of(subject, name) for name in target.models]
    known = [one for one in windows if one is not None]
    return max(known) if known and len(known) == len(windows) else None


def longest_answer(subject: Subject, name: str) -> int | None:
    """The longest answer in tokens."""
    said, row = subject.overrides.get(name), lookup(name)
    if said is not None and said.max_output_tokens is not None:
        return said.max_output_tokens
    return row.max_output_tokens if row is not None else None


def priced(subject: Subject, name: str) -> bool:
    """Whether anybody knows what a model costs."""
    said = subject.overrides.get(name)
    return (said is not None and said.input is not None) or lookup(name) is not None


def rows(target: TargetView) -> tuple[Model, ...]:
    """The catalogue's rows of the models that a target can ask for, if each has one."""
    found = [lookup(name) for name in target.models]
    known = tuple(row for row in found if row is not None)
    return known if len(known) == len(found) else ()


def most_tokens(condition: Condition) -> int | None:
    """The largest prompt that the condition can hold for; None without a bound."""
    match condition:
        case TokensIn(_, high):
            return high - 1 if high is not None else None
        case All(parts):
            bounds = [bound for part in parts if (bound := most_tokens(part)) is not None]
            return min(bounds) if bounds else None
        case AnyOf(parts):
            each = [most_tokens(part) for part in parts]
            known = [bound for bound in each if bound is not None]
            return max(known) if known and len(known) == len(each) else None
        case _:
            return None


def kept_out(condition: Condition, flag: FlagName) -> bool:
    """Whether the condition holds for no request that has this."""
    match condition:
        case Flag(name, value):
            return name == flag and not value
        case All(parts):
            return any(kept_out(part, flag) for part in parts)
        case AnyOf(parts):
            return bool(parts) and all(kept_out(part, flag) for part in parts)
        case _:
            return False
