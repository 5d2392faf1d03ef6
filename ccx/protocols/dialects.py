"""What vendors' versions of a protocol need, as data: one row a vendor, no branch anywhere.

A row is named like the dialect of a provider preset. Rows hold only what differs from OpenAI's own Chat Completions;
sources are beside each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a vendor's Chat differs.

    `max_tokens`: the field for the answer's length. `system_role`: the role of system messages. `reasoning_out`: the
    field of an answer's message that holds thoughts. `reasoning_in`: how thinking is asked for. `reasoning_back`:
    whether thoughts of earlier turns are sent back. `stream_usage`: whether `stream_options.include_usage` is understood.
    `unsupported`: top-level fields that are refused. `tool_choices`: legal modes. `json_schema`: whether structured
    output by schema is understood (else `json_object`, else a tool).
    """

    name: str
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    reasoning_out: tuple[str, ...] = ("reasoning_content", "reasoning", "reasoning_details")
    reasoning_in: Literal["reasoning_effort", "reasoning", "thinking", "enable_thinking", "none"] = "none"
    reasoning_back: Literal["never", "tool_turns", "always"] = "never"
    stream_usage: bool = True
    unsupported: frozenset[str] = frozenset()
    tool_choices: frozenset[str] = frozenset({"auto", "none", "required", "named"})
    json_schema: Literal["json_schema", "json_object", "none"] = "json_schema"


GENERIC = Dialect("generic")
_ROWS: dict[str, Dialect] = {row.name: row for row in (GENERIC,)}


def dialect(name: str) -> Dialect:
    """The row of this name; the generic one for a vendor without peculiarities."""
    return _ROWS.get(name, GENERIC)
