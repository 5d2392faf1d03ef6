"""How an answer ended and what it cost, in both directions.

Law: the provider's own word and its own usage object are kept beside the neutral ones, and are what a client of this
protocol is given; numbers of another protocol are brought into Anthropic's, where the cached parts of the prompt are
not part of `input_tokens`.

Sources: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons,
https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ccx.protocols.ir import Finish, FinishReason, Json, JsonObject, Loss, Part, Refusal, ToolCall, Usage
from ccx.protocols.usage import anthropic_usage

_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
# Words of betas that have no neutral reason, yet are Anthropic's.
_OTHERS: Final = frozenset({"compaction"})
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}
# OpenAI's Responses counts under the same names, but has a total and details of both.
_OTHER_USAGE: Final = frozenset({"total_tokens", "input_tokens_details"})


def decode_finish(reason: Json, sequence: Json, *, json_tool: bool = False) -> Finish:
    """The end of an answer. `json_tool`: the call that ended it stands for structured output, so it just stopped."""
    word = reason if isinstance(reason, str) else None
    unified = _REASONS.get(word, "other") if word is not None else "other"
    if json_tool and unified == "tool_calls":
        unified = "stop"
    return Finish(unified, word, sequence if isinstance(sequence, str) else None)


def encode_finish(finish: Finish, parts: Sequence[Part], losses: list[Loss]) -> tuple[str, str | None]:
    """The stop reason and the stop sequence that was met. `parts` need only be calls and refusals."""
    if finish.reason == "other" and finish.raw in _OTHERS:
        return finish.raw, finish.stop_sequence
    word = _WORDS.get(finish.reason)
    if finish.reason == "stop":
        # Some upstreams say "stop" although they call a tool; clients of this protocol go by the word.
        if any(isinstance(part, ToolCall) and not part.server for part in parts):
            word = "tool_use"
        elif any(isinstance(part, Refusal) for part in parts):
            word = "refusal"
        elif finish.stop_sequence is not None:
            word = "stop_sequence"
    if word is None:
        losses.append(Loss("finish", "finish_reason", approximate=True, detail=finish.raw or finish.reason))
        word = "end_turn"
    return word, finish.stop_sequence if word == "stop_sequence" else None


def decode_usage(*reports: Json) -> Usage:
    """The usage of an answer: one report, or those of a stream in their order."""
    raw: JsonObject = {}
    for report in reports:
        if isinstance(report, dict):
            raw.update((key, value) for key, value in report.items() if value is not None or key not in raw)
    found = anthropic_usage(*reports)
    return Usage(
        found.input_tokens,
        found.output_tokens,
        found.cache_read_tokens,
        found.cache_write_tokens,
        found.reasoning_tokens,
        raw or None,
    )


def encode_usage(usage: Usage | None) -> JsonObject:
    """The usage object. The two counts that clients need are zero where they are unknown."""
    if usage is None:
        usage = Usage()
    if usage.raw is not None and "output_tokens" in usage.raw and _OTHER_USAGE.isdisjoint(usage.raw):
        return {"input_tokens": 0, **usage.raw}
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    found: JsonObject = {"input_tokens": max(0, (usage.input_tokens or 0) - (read or 0) - (written or 0))}
    if written is not None:
        found["cache_creation_input_tokens"] = written
    if read is not None:
        found["cache_read_input_tokens"] = read
    found["output_tokens"] = usage.output_tokens or 0
    if usage.reasoning_tokens is not None:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return found
