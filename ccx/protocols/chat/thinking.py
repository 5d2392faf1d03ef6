"""How an upstream is asked to think.

Vendors ask for an effort, a budget in tokens, a switch, or some of these. A wish that a vendor cannot be told in its
own terms is told in the nearest it has, and is a loss that says so.
"""

from __future__ import annotations

from typing import assert_never

from ccx.protocols.chat.reading import merged
from ccx.protocols.codec import Target
from ccx.protocols.dialects import Dialect
from ccx.protocols.ir import JsonObject, Loss, Thinking

_RANK = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# The budgets, in tokens, that are the upper ends of these efforts.
_BUDGETS = ((1024, "minimal"), (4096, "low"), (16384, "medium"))


def write_thinking(payload: JsonObject, wanted: Thinking, *, target: Target, losses: list[Loss]) -> None:
    """Put the wish into the payload, in the vendor's terms."""
    if wanted == Thinking():
        return
    dialect = target.dialect
    off = wanted.enabled is False or wanted.effort == "none"
    if target.thinking is False:
        # A model that does not think has nothing to switch off.
        if not off:
            losses.append(Loss("thinking", "reasoning", detail="the model does not think"))
        return
    match dialect.reasoning_in:
        case "none":
            if off or wanted.enabled or wanted.effort or wanted.budget:
                losses.append(Loss("thinking", "reasoning", detail="the vendor has no field for it"))
        case "reasoning_effort":
            if not off:
                _effort(payload, wanted, dialect=dialect, losses=losses)
            elif wanted.effort == "none" and "none" in dialect.efforts:
                payload["reasoning_effort"] = "none"
            elif dialect.effort_off is not None:
                payload["reasoning_effort"] = dialect.effort_off
            else:
                losses.append(Loss("thinking", "reasoning", detail="it is the model's to think or not"))
        case "reasoning":
            if written := _reasoning(wanted, off=off, dialect=dialect, losses=losses):
                payload["reasoning"] = written
        case "thinking":
            if off or wanted.enabled:
                payload["thinking"] = {"type": "disabled" if off else "enabled"}
            if not off:
                _effort(payload, wanted, dialect=dialect, losses=losses, default=None)
        case "enable_thinking":
            if off or wanted.enabled or wanted.effort or wanted.budget:
                payload["enable_thinking"] = not off
            if wanted.budget and not off:
                payload["thinking_budget"] = wanted.budget
            elif wanted.effort and not off:
                losses.append(Loss("thinking.effort", "effort", approximate=True, detail="switched on"))
        case "chat_template_kwargs":
            if off or wanted.enabled:
                merged(payload, {"chat_template_kwargs": {"enable_thinking": not off}})
            if not off:
                _effort(payload, wanted, dialect=dialect, losses=losses, default=None)
        case _:
            assert_never(dialect.reasoning_in)


def _reasoning(wanted: Thinking, *, off: bool, dialect: Dialect, losses: list[Loss]) -> JsonObject:
    """OpenRouter's object. Effort and budget exclude each other there; a budget says more."""
    if off:
        return {"effort": "none"} if wanted.effort == "none" else {"enabled": False}
    written: JsonObject = {}
    if wanted.budget:
        written["max_tokens"] = wanted.budget
        if wanted.effort:
            losses.append(Loss("thinking.effort", "effort", approximate=True, detail="the budget is sent"))
    elif wanted.effort:
        written["effort"] = nearest(wanted.effort, dialect.efforts, losses)
    elif wanted.enabled:
        written["enabled"] = True
    if wanted.summary is False:
        written["exclude"] = True
    return written


def _effort(
    payload: JsonObject, wanted: Thinking, *, dialect: Dialect, losses: list[Loss], default: str | None = "medium"
) -> None:
    """`reasoning_effort`, from an effort, a budget, or the bare wish to think, for which `default` stands."""
    effort = wanted.effort
    if effort is None and wanted.budget:
        if dialect.efforts:
            effort = next((level for most, level in _BUDGETS if wanted.budget <= most), "high")
            losses.append(Loss("thinking.budget", "budget", approximate=True, detail=f"as effort {effort}"))
        else:
            losses.append(Loss("thinking.budget", "budget"))
            return
    elif effort is not None and wanted.budget:
        losses.append(Loss("thinking.budget", "budget", approximate=True, detail="the effort is sent"))
    elif effort is None and wanted.enabled and not wanted.adaptive:
        effort = default
    if effort is None:
        return
    if not dialect.efforts:
        losses.append(Loss("thinking.effort", "effort"))
        return
    # Who wants thoughts is not given none.
    payload["reasoning_effort"] = nearest(effort, tuple(one for one in dialect.efforts if one != "none"), losses)


def nearest(effort: str, legal: tuple[str, ...], losses: list[Loss]) -> str:
    """The legal effort that is nearest to the one wanted, the lower of two; a word that has no rank stays as it is."""
    if effort in legal or effort not in _RANK or not legal:
        return effort
    rank = _RANK.index(effort)
    found = min(legal, key=lambda level: (abs(_RANK.index(level) - rank), _RANK.index(level)))
    losses.append(Loss("thinking.effort", "effort", approximate=True, detail=f"{effort} as {found}"))
    return found
