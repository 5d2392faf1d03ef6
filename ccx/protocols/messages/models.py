"""What each generation of Claude accepts of the Messages API, read off a model's name.

Law: a table of documented facts, one row a generation; no other module asks for a version. A model that is not Claude
(vendors serve their own behind this protocol) gets the permissive row: what a client writes for it goes as written.

Sources, read as stored copies in November 2026
- thinking types that a model rejects: https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting
- effort levels: https://platform.claude.com/docs/en/build-with-claude/effort
- prefill, forced tools, sampling: https://platform.claude.com/docs/en/api/errors and the models' migration guides
- system messages: https://platform.claude.com/docs/en/build-with-claude/mid-conversation-system-messages
- structured outputs: https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

ThinkingType = Literal["adaptive", "enabled", "disabled", "between_tools"]
SamplingRule = Literal["free", "one", "none"]

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a model accepts.

    `thinking`: the accepted values of `thinking.type`. `think` turns it on and `rest` off, None where the model cannot;
    `default_on`: it thinks unless told not to. `efforts`: accepted values of `output_config.effort`; `rest_efforts`:
    those accepted while thinking is off. `sampling`: whether temperature and top_p are free, exclude each other, or are
    refused. `prefill`: the conversation may end with the assistant. `forced_tools`: tool_choice any and tool.
    `system_turns`: system messages within the conversation. `json_schema`: output_config.format and strict tools.
    """

    known: bool = True
    thinking: frozenset[str] = frozenset()
    think: ThinkingType | None = None
    rest: ThinkingType | None = "disabled"
    default_on: bool = False
    efforts: tuple[str, ...] = ()
    rest_efforts: tuple[str, ...] = ()
    sampling: SamplingRule = "free"
    prefill: bool = True
    forced_tools: bool = True
    system_turns: bool = False
    json_schema: bool = False


_FOREIGN = Traits(
    known=False,
    thinking=frozenset({"enabled", "adaptive", "disabled", "between_tools"}),
    think="enabled",
    efforts=EFFORTS,
    rest_efforts=EFFORTS,
)
_EARLY = Traits()
_EXTENDED = Traits(thinking=frozenset({"enabled", "disabled"}), think="enabled")
_STRUCTURED = replace(_EXTENDED, sampling="one", json_schema=True)
_BOTH = Traits(
    thinking=frozenset({"adaptive", "enabled", "disabled"}),
    think="adaptive",
    efforts=("low", "medium", "high", "max"),
    rest_efforts=("low", "medium", "high", "max"),
    sampling="one",
    prefill=False,
    json_schema=True,
)
_ADAPTIVE = replace(
    _BOTH, thinking=frozenset({"adaptive", "disabled"}), efforts=EFFORTS, rest_efforts=EFFORTS, sampling="none"
)
_MODERN = replace(_ADAPTIVE, default_on=True, rest_efforts=EFFORTS[:3], system_turns=True)
_ALWAYS = replace(_MODERN, thinking=frozenset({"adaptive"}), rest=None, rest_efforts=())
_UNFORCED = replace(_ALWAYS, forced_tools=False)

_NEWEST = (5, 5)
_FAMILY = r"opus|sonnet|haiku|fable|mythos|instant"
# `claude-opus-4-5-20251101`, `anthropic/claude-opus-4.5`, `claude-3-7-sonnet-20250219`: a version has one or two parts
# of at most two digits, so that a date is never taken for one.
_NAME = re.compile(
    rf"claude(?:-(?P<family>{_FAMILY}))?(?:-(?P<major>\d{{1,2}})(?!\d)(?:[.-](?P<minor>\d{{1,2}})(?!\d))?)?"
    rf"(?:-(?P<after>{_FAMILY}))?"
)


@lru_cache(maxsize=512)
def traits(model: str) -> Traits:
    """The row of a model name: with or without vendor prefix, date or cloud suffix."""
    model = model.lower()
    found = _NAME.search(model)
    if found is None:
        return _FOREIGN
    family = found["family"] or found["after"] or "sonnet"
    if family == "mythos" and "preview" in model:
        return replace(_BOTH, rest=None, default_on=True, thinking=frozenset({"adaptive", "enabled"}), rest_efforts=())
    version = (int(found["major"]), int(found["minor"] or 0)) if found["major"] else _NEWEST
    return _row(family, version)


def _row(family: str, version: tuple[int, int]) -> Traits:
    if version < (3, 7):
        return _EARLY
    if version < (4, 1):
        return _EXTENDED
    if version < (4, 6):
        if family == "opus" and version >= (4, 5):
            return replace(_STRUCTURED, efforts=EFFORTS[:3], rest_efforts=EFFORTS[:3])
        return _STRUCTURED
    if version < (4, 7):
        return _BOTH
    if version < (5, 0):
        return replace(_ADAPTIVE, system_turns=version >= (4, 8))
    if version < (5, 1):
        match family:
            case "fable" | "mythos":
                return _ALWAYS
            case "sonnet":
                return replace(_MODERN, rest_efforts=EFFORTS, system_turns=False)
            case _:
                return _MODERN
    match family:
        case "haiku":
            return replace(_MODERN, forced_tools=False)
        case "sonnet":
            return replace(
                _MODERN,
                thinking=frozenset({"adaptive", "between_tools"}),
                rest="between_tools",
                forced_tools=False,
            )
        case _:
            return _UNFORCED
