"""How much to think: levels and budgets.

Law: what the model takes goes as it was asked; all else is brought to what it takes by the tables below, and each step
of it is an approximate loss. A request that leaves here is legal for its model: a level that it knows or a budget
within its bounds, never both.

    level      budget of models that think by budget     budget up to    level of models that think by level
    minimal     1,024                                        512         minimal
    low         1,024                                      2,048         low
    medium      8,192                                      8,192         medium
    high       24,576                                     beyond         high
    xhigh, max  the most

Sources: https://ai.google.dev/gemini-api/docs/thinking; from levels to budgets by
https://ai.google.dev/gemini-api/docs/openai#thinking. The way back is ours.
"""

from __future__ import annotations

from typing import Final

from ccx.protocols.codec import Target
from ccx.protocols.gemini.models import LEVELS, Traits
from ccx.protocols.gemini.spelling import LEVELS as NUMBERS
from ccx.protocols.gemini.spelling import integer, word
from ccx.protocols.ir import Json, JsonObject, Loss, Thinking

BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576}
_UP_TO: Final = ((512, "minimal"), (2048, "low"), (8192, "medium"))
_OFF: Final = frozenset({"none", "off"})
_DYNAMIC: Final = -1


def decode_thinking(raw: Json) -> tuple[Thinking, JsonObject]:
    """Thinking out of `thinkingConfig`, and the fields of it that have no neutral meaning. Gemini shows no thoughts
    unless it is asked to."""
    if not isinstance(raw, dict):
        return Thinking(), {}
    rest: JsonObject = {
        key: value for key, value in raw.items() if key not in ("includeThoughts", "thinkingBudget", "thinkingLevel")
    }
    shown = raw.get("includeThoughts") is True
    level, budget = word(raw.get("thinkingLevel"), NUMBERS), integer(raw.get("thinkingBudget"))
    if level is not None and level != "THINKING_LEVEL_UNSPECIFIED":
        return Thinking(True, effort=level.lower(), summary=shown), rest
    match budget:
        case None:
            return Thinking(True if shown else None, summary=shown), rest
        case 0:
            return Thinking(False, summary=shown), rest
        case _ if budget < 0:
            return Thinking(True, adaptive=True, summary=shown), rest
        case _:
            return Thinking(True, budget=budget, summary=shown), rest


def encode_thinking(asked: Thinking, target: Target, traits: Traits, losses: list[Loss]) -> JsonObject:
    """`thinkingConfig`, empty where there is nothing to say."""
    off = asked.enabled is False or (asked.enabled is None and asked.effort in _OFF)
    wants = not off and (asked.enabled is True or asked.effort is not None or asked.budget is not None)
    if target.thinking is False or traits.thinking == "none":
        if wants:
            losses.append(Loss("thinking", "reasoning", detail="the model does not think, or not as it is told"))
        return {}
    found = _off(traits, losses) if off else _amount(asked, traits, losses) if wants else {}
    # Whoever turns thinking on elsewhere is shown it unless he says otherwise.
    if asked.summary or (asked.summary is None and asked.enabled is True):
        found["includeThoughts"] = True
    return found


def _off(traits: Traits, losses: list[Loss]) -> JsonObject:
    if traits.thinking == "level":
        least = traits.levels[0]
        losses.append(Loss("thinking", "reasoning", approximate=True, detail=f"told as {least}"))
        return {"thinkingLevel": least.upper()}
    if not traits.off:
        least_budget = traits.budget[0]
        losses.append(Loss("thinking", "reasoning", approximate=True, detail=f"told as {least_budget} tokens"))
        return {"thinkingBudget": least_budget}
    return {"thinkingBudget": 0}


def _amount(asked: Thinking, traits: Traits, losses: list[Loss]) -> JsonObject:
    effort = None if asked.effort in _OFF else asked.effort
    if traits.thinking == "level" or (traits.thinking == "any" and effort is not None):
        return _level(effort, asked.budget, traits, losses)
    if asked.budget is not None:
        least, most = traits.budget
        budget = asked.budget if traits.thinking == "any" else min(max(asked.budget, least), most)
        if budget != asked.budget:
            losses.append(Loss("thinking.budget", "budget", approximate=True, detail=f"{asked.budget} -> {budget}"))
        return {"thinkingBudget": budget}
    if effort is not None:
        least, most = traits.budget
        budget = min(max(BUDGETS.get(effort, most if effort in ("xhigh", "max") else BUDGETS["medium"]), least), most)
        losses.append(Loss("thinking.effort", "effort", approximate=True, detail=f"told as {budget} tokens"))
        return {"thinkingBudget": budget}
    return {"thinkingBudget": _DYNAMIC} if asked.adaptive else {}


def _level(effort: str | None, budget: int | None, traits: Traits, losses: list[Loss]) -> JsonObject:
    """A level that the model knows. Without one it decides for itself, as it also does by default."""
    if effort is None and budget is None:
        return {}
    if effort is None:
        wanted = next((level for most, level in _UP_TO if (budget or 0) <= most), "high")
        told = _nearest(wanted, traits.levels)
        losses.append(Loss("thinking.budget", "budget", approximate=True, detail=f"{budget} tokens told as {told}"))
    else:
        told = effort if effort in traits.levels else _nearest(effort, traits.levels)
        if told != effort:
            losses.append(Loss("thinking.effort", "effort", approximate=True, detail=f"{effort} told as {told}"))
    return {"thinkingLevel": told.upper()}


def _nearest(level: str, known: tuple[str, ...]) -> str:
    """The nearest level; of two as near, the higher."""
    if level not in LEVELS:
        return known[-1] if level == "max" else "medium" if "medium" in known else known[-1]
    rank = LEVELS.index(level)
    return min(known, key=lambda one: (abs(LEVELS.index(one) - rank), -LEVELS.index(one)))
