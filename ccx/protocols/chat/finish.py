"""Why an answer ended, and what it cost: vendors' words and numbers, read and written.

Sources: https://platform.openai.com/docs/api-reference/chat/object; DeepSeek's words
https://api-docs.deepseek.com/api/create-chat-completion, Zhipu's https://docs.z.ai/api-reference/llm/chat-completion,
Mistral's https://docs.mistral.ai/api/; Groq's place of usage in streams https://console.groq.com/docs/api-reference.
"""

from __future__ import annotations

from ccx.protocols.ir import Finish, FinishReason, JsonObject, Loss, Usage
from ccx.protocols.usage import openai_usage
from ccx.protocols.values import record

_READ: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "model_length": "context_window",
    "model_context_window_exceeded": "context_window",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
_WRITTEN: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "context_window": "length",
    "refusal": "content_filter",
    "pause": "stop",
    "error": "stop",
    "other": "stop",
}
_EXACT = frozenset({"stop", "length", "tool_calls", "content_filter"})


def read_finish(raw: str | None, *, calls: bool, refused: bool, sequence: str | None = None) -> Finish:
    """The reason. Some vendors say nothing, or `stop`, where the model calls tools; and where a tool stood in for the
    form of an answer, there is no call."""
    if not raw:
        reason: FinishReason = "tool_calls" if calls else "refusal" if refused else "stop"
        return Finish(reason, None, sequence)
    reason = _READ.get(raw.lower(), "other")
    if reason == "stop" or (reason == "tool_calls" and not calls):
        reason = "tool_calls" if calls else "refusal" if refused else "stop"
    return Finish(reason, raw, sequence)


def write_finish(finish: Finish, *, refused: bool, losses: list[Loss]) -> str:
    """The word for a client. A refusal in words ends like any answer; one without is filtered content."""
    if finish.stop_sequence is not None:
        losses.append(Loss("finish.stop_sequence", "stop_sequence"))
    if finish.reason == "refusal" and refused:
        return "stop"
    if finish.reason not in _EXACT:
        losses.append(Loss("finish", "finish_reason", approximate=True, detail=finish.raw or finish.reason))
    return _WRITTEN[finish.reason]


def read_usage(body: JsonObject) -> Usage | None:
    """What a body or chunk says of tokens; None if nothing."""
    raw = record(body.get("usage")) or record(record(body.get("x_groq")).get("usage"))
    if not raw:
        return None
    said = openai_usage(raw)
    return Usage(
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        cache_read_tokens=said.cache_read_tokens,
        cache_write_tokens=said.cache_write_tokens,
        reasoning_tokens=said.reasoning_tokens,
        raw=raw,
    )


def write_usage(usage: Usage) -> JsonObject | None:
    """The object for a client; None where nothing is known. What came in this protocol's own terms goes as it came."""
    raw = usage.raw
    if raw is not None and "prompt_tokens" in raw:
        return raw
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    prompt, said = usage.input_tokens or 0, usage.output_tokens or 0
    asked: JsonObject = {"cached_tokens": usage.cache_read_tokens or 0}
    if usage.cache_write_tokens:
        asked["cache_write_tokens"] = usage.cache_write_tokens
    written: JsonObject = {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": asked,
    }
    if usage.reasoning_tokens is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return written
