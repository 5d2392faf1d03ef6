"""How much to think, what form the output takes, how tokens are drawn: the settings that depend on the model.

Law: what a client of this protocol wrote for a model that takes it goes as written. All else is brought to what the
model takes, by the tables below, and each step of it is an approximate loss. A request that leaves here is legal for
its model: a budget is below max_tokens and at least 1,024, sampling does not contradict thinking.

    level      budget of models that think by budget     budget up to    level of models that think by effort
    minimal     1,024                                      2,048         low
    low         2,048                                      8,192         medium
    medium      8,192                                     24,576         high
    high       16,384                                     49,152         xhigh
    xhigh      32,768                                     beyond         max
    max        63,999

Sources: https://platform.claude.com/docs/en/build-with-claude/extended-thinking (rules of budgets, sampling),
https://platform.claude.com/docs/en/build-with-claude/effort, …/structured-outputs. The numbers are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccx.protocols.codec import Target
from ccx.protocols.ir import Json, JsonObject, Loss, OutputFormat, Request, Thinking
from ccx.protocols.messages.models import EFFORTS, Traits

MIN_BUDGET: Final = 1024
DEFAULT_MAX_TOKENS: Final = 8192
LARGEST_DEFAULT: Final = 32_000
"""Tokens an answer may have where the client did not say: the model's maximum up to the latter, else the former."""

BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_768, "max": 63_999}
_LEVELS: Final = ((2048, "low"), (8192, "medium"), (24_576, "high"), (49_152, "xhigh"))
_FIELDS: Final = {
    "enabled": frozenset({"type", "budget_tokens", "display"}),
    "adaptive": frozenset({"type", "display"}),
    "disabled": frozenset({"type"}),
}
_OFF: Final = frozenset({"none", "off"})


# --- reading ----------------------------------------------------------------------------------------------------------


def decode_thinking(thinking: Json, config: Json) -> tuple[Thinking, JsonObject]:
    """Thinking out of `thinking` and `output_config`, and the fields of these that have no neutral meaning.

    `output_config` is among them, be it empty, whenever there was one: here effort does not turn thinking on, while in
    other protocols it does.
    """
    residue: JsonObject = {}
    effort: str | None = None
    if isinstance(config, dict):
        level = config.get("effort")
        effort = level if isinstance(level, str) else None
        known = ("format", "effort") if level is None or effort is not None else ("format",)
        residue["output_config"] = {key: value for key, value in config.items() if key not in known}
    elif config is not None:
        residue["output_config"] = config
    if not isinstance(thinking, dict):
        if thinking is not None:
            residue["thinking"] = thinking
        return Thinking(effort=effort), residue
    kind, budget = thinking.get("type"), thinking.get("budget_tokens")
    if not isinstance(budget, int) or isinstance(budget, bool):
        budget = None
    on = {"enabled": True, "adaptive": True, "disabled": False, "between_tools": False}.get(str(kind))
    display = thinking.get("display")
    whole = set(thinking) <= _FIELDS.get(str(kind), frozenset()) and display in ("summarized", "omitted", None)
    if not whole or (kind == "enabled" and budget is None):
        residue["thinking"] = thinking
    return (
        Thinking(
            on,
            effort,
            budget if kind == "enabled" else None,
            adaptive=kind == "adaptive",
            summary=None if display is None or not on else display == "summarized",
        ),
        residue,
    )


def decode_format(config: Json, older: Json) -> OutputFormat | None:
    """Structured output, from `output_config.format` or from `output_format`, its older name."""
    found = config.get("format") if isinstance(config, dict) else None
    match found if found is not None else older:
        case {"type": "json_schema", "schema": dict(schema)}:
            return OutputFormat("json_schema", schema)
        case _:
            return None


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Settings:
    """What is decided for a request: fields to send, and whether the model will think."""

    max_tokens: int
    thinking: JsonObject | None = None
    effort: str | None = None
    thinks: bool = False


def settle(
    request: Request, fields: JsonObject, *, target: Target, traits: Traits, may_think: bool, losses: list[Loss]
) -> Settings:
    """Decide max_tokens, thinking and effort. `fields` is top-level residue that may be sent; what of it is settled
    here is taken out. `may_think`: the conversation and the choice of tools allow thinking by budget."""
    asked = request.thinking
    config = fields.get("output_config")
    native = fields.pop("thinking", None)
    settings = Settings(_max_tokens(request, target, losses))
    level = None if asked.effort in _OFF else asked.effort
    # Where effort is a setting of its own, it says nothing about thinking.
    wants = asked.enabled if asked.enabled is not None else (level is not None and config is None) or None
    if asked.enabled is None and asked.effort in _OFF:
        wants = False
    if target.thinking is False and wants:
        losses.append(Loss("thinking", "reasoning", detail="the model does not think"))
        return settings
    if isinstance(native, dict) and isinstance(kind := native.get("type"), str) and kind in traits.thinking:
        settings.thinking, settings.thinks = native, kind in ("enabled", "adaptive")
        settings.effort = level
        _effort(settings, level, True, traits=traits, losses=losses)
        return settings
    if native is not None:
        losses.append(
            Loss("native", "reasoning", approximate=True, detail="this kind of thinking is not for the model")
        )
    if wants:
        _think(asked, level, settings, traits=traits, may_think=may_think, explicit=request, losses=losses)
    elif wants is False:
        _rest(settings, level, traits=traits, losses=losses)
    else:
        settings.thinks = traits.default_on
    _effort(settings, level, config is not None, traits=traits, losses=losses)
    return settings


def _max_tokens(request: Request, target: Target, losses: list[Loss]) -> int:
    limit = target.max_output_tokens
    asked = request.max_output_tokens
    if asked is None:
        return DEFAULT_MAX_TOKENS if limit is None else min(limit, LARGEST_DEFAULT)
    if limit is not None and asked > limit:
        losses.append(Loss("max_output_tokens", "max_output_tokens", approximate=True, detail=f"{asked} -> {limit}"))
        return limit
    return asked


def _think(
    asked: Thinking,
    level: str | None,
    settings: Settings,
    *,
    traits: Traits,
    may_think: bool,
    explicit: Request,
    losses: list[Loss],
) -> None:
    if traits.think is None:
        losses.append(Loss("thinking", "reasoning", detail="the model does not think"))
        return
    by_budget = traits.think == "enabled"
    if asked.adaptive and "adaptive" in traits.thinking:
        by_budget = False
    elif asked.budget is not None and "enabled" in traits.thinking:
        by_budget = True
    if not by_budget:
        settings.thinking, settings.thinks = {"type": "adaptive"}, True
        if asked.budget is not None and not asked.adaptive:
            losses.append(Loss("thinking.budget", "budget", approximate=True, detail="told as effort"))
            settings.effort = None if level is not None else _level(asked.budget)
    else:
        budget = _budget(asked, level, settings, explicit, losses) if may_think else None
        if budget is None:
            detail = "max_tokens leaves no room" if may_think else "the conversation does not allow it"
            losses.append(Loss("thinking", "reasoning", detail=detail))
            if traits.default_on and traits.rest is not None:
                settings.thinking = {"type": traits.rest}
            return
        settings.thinking, settings.thinks = {"type": "enabled", "budget_tokens": budget}, True
    if asked.summary is not None:
        settings.thinking["display"] = "summarized" if asked.summary else "omitted"


def _level(budget: int) -> str:
    return next((level for most, level in _LEVELS if budget <= most), "max")


def _budget(asked: Thinking, level: str | None, settings: Settings, request: Request, losses: list[Loss]) -> int | None:
    """The budget to send, or None if max_tokens is too small for any; max_tokens grows where nobody set it."""
    wanted = asked.budget if asked.budget is not None else BUDGETS.get(level or "medium", BUDGETS["medium"])
    budget = max(wanted, MIN_BUDGET)
    if budget >= settings.max_tokens:
        # The answer needs room beside the thoughts: a fifth of what there is.
        budget = max(MIN_BUDGET, min(budget, settings.max_tokens * 4 // 5))
    if budget >= settings.max_tokens:
        if request.max_output_tokens is not None or settings.max_tokens < DEFAULT_MAX_TOKENS:
            return None
        settings.max_tokens = budget + DEFAULT_MAX_TOKENS
    if asked.budget is None:
        losses.append(Loss("thinking.effort", "effort", approximate=True, detail=f"told as {budget} tokens"))
    elif budget != asked.budget:
        losses.append(Loss("thinking.budget", "budget", approximate=True, detail=f"{asked.budget} -> {budget}"))
    return budget


def _rest(settings: Settings, level: str | None, *, traits: Traits, losses: list[Loss]) -> None:
    if traits.think is None:
        return
    if traits.rest is None:
        losses.append(Loss("thinking", "reasoning", approximate=True, detail="the model always thinks"))
        settings.thinks = True
        return
    if traits.rest == "between_tools":
        losses.append(Loss("thinking", "reasoning", approximate=True, detail="told as between_tools"))
    settings.thinking = {"type": traits.rest}


def _effort(settings: Settings, level: str | None, own: bool, *, traits: Traits, losses: list[Loss]) -> None:
    """The level of `output_config.effort`. `own`: the client wrote one in this very place."""
    level = level if level is not None else settings.effort
    settings.effort = None
    if level is None:
        return
    off = settings.thinking is not None and settings.thinking.get("type") in ("disabled", "between_tools")
    accepted = traits.rest_efforts if off else traits.efforts
    if not traits.known:
        # Other vendors' models: what the client wrote in this place goes; who wrote elsewhere asked for a budget.
        settings.effort = level if own else None
    elif not accepted:
        # Where it became a budget, or went with the thinking it was for, that is declared already.
        if not any(loss.path in ("thinking", "thinking.effort") for loss in losses):
            losses.append(Loss("thinking.effort", "effort"))
    elif level in accepted:
        settings.effort = level
    else:
        settings.effort = _nearest(level, accepted)
        losses.append(Loss("thinking.effort", "effort", approximate=True, detail=f"{level} told as {settings.effort}"))


def _nearest(level: str, accepted: tuple[str, ...]) -> str:
    if level not in EFFORTS:
        return accepted[0] if level == "minimal" else "medium" if "medium" in accepted else accepted[0]
    rank = EFFORTS.index(level)
    return min(accepted, key=lambda one: (abs(EFFORTS.index(one) - rank), -EFFORTS.index(one)))


def sample(request: Request, settings: Settings, *, traits: Traits, losses: list[Loss]) -> JsonObject:
    """Sampling parameters and stop sequences, as far as they are known here and go with thinking."""
    given = request.sampling
    found: JsonObject = {}
    temperature, top_p, top_k = given.temperature, given.top_p, given.top_k
    fixed = traits.known and (traits.sampling == "none" or settings.thinks)
    if temperature is not None:
        if temperature > 1:
            losses.append(Loss("sampling.temperature", "temperature", approximate=True, detail=f"{temperature} -> 1"))
            temperature = 1.0
        if fixed and temperature != 1:
            losses.append(Loss("sampling.temperature", "temperature"))
        else:
            found["temperature"] = temperature
    if top_p is not None:
        # With thinking, top_p may only be lowered to 0.95.
        allowed = traits.sampling != "none" and (not fixed or top_p >= 0.95)
        if not allowed or (traits.sampling == "one" and "temperature" in found):
            losses.append(Loss("sampling.top_p", "top_p"))
        else:
            found["top_p"] = top_p
    if top_k is not None:
        if fixed:
            losses.append(Loss("sampling.top_k", "top_k"))
        else:
            found["top_k"] = top_k
    stop = [one for one in given.stop if one.strip()]
    if len(stop) != len(given.stop):
        losses.append(Loss("sampling.stop", "stop", detail="of white space only"))
    if stop:
        found["stop_sequences"] = list(stop)
    unknown = (
        ("seed", "seed", given.seed),
        ("presence_penalty", "penalties", given.presence_penalty or None),
        ("frequency_penalty", "penalties", given.frequency_penalty or None),
        ("logprobs", "logprobs", given.logprobs),
        ("candidates", "candidates", None if given.candidates == 1 else given.candidates),
    )
    losses.extend(Loss(f"sampling.{name}", what) for name, what, value in unknown if value is not None)
    return found
