"""How an answer ended and what it cost, in both directions.

Law: the provider's own word and its own usage object are kept beside the neutral ones, and are what a client of this
protocol is given; numbers of another protocol are brought into Gemini's, where thoughts are not part of
`candidatesTokenCount`.

Sources: https://ai.google.dev/api/generate-content#FinishReason, …#BlockReason, …#UsageMetadata
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ccx.errors import ErrorKind
from ccx.protocols.gemini.spelling import BLOCK_REASONS, FINISH_REASONS, word
from ccx.protocols.ir import Finish, FinishReason, Json, JsonObject, Loss, Part, ToolCall, Usage
from ccx.protocols.usage import gemini_usage

_REASONS: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "CONTINUATION": "pause",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
    "LANGUAGE": "other",
    "OTHER": "other",
    "IMAGE_OTHER": "other",
    "NO_IMAGE": "other",
}
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "refusal": "SAFETY",
    "context_window": "MAX_TOKENS",
    "pause": "OTHER",
    "error": "OTHER",
    "other": "OTHER",
}
_EXACT: Final = frozenset({"stop", "tool_calls", "length", "content_filter"})
_REPORTED: Final = frozenset({"promptTokenCount", "candidatesTokenCount", "totalTokenCount", "trafficType"})
_KINDS: Final[dict[str, ErrorKind]] = {
    "INVALID_ARGUMENT": "invalid_request",
    "FAILED_PRECONDITION": "invalid_request",
    "OUT_OF_RANGE": "invalid_request",
    "UNAUTHENTICATED": "authentication",
    "PERMISSION_DENIED": "permission",
    "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "UNAVAILABLE": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
    "UNIMPLEMENTED": "not_supported",
}
_CODES: Final[dict[int, ErrorKind]] = {
    400: "invalid_request",
    401: "authentication",
    403: "permission",
    404: "not_found",
    413: "too_large",
    429: "rate_limit",
    501: "not_supported",
    503: "overloaded",
    504: "timeout",
}


def decode_finish(reason: Json, parts: Sequence[Part]) -> Finish:
    """The end of an answer; one that stopped with calls awaits their results."""
    raw = word(reason, FINISH_REASONS)
    unified = _REASONS.get(raw, "other") if raw is not None else "other"
    if unified == "stop" and any(isinstance(part, ToolCall) and not part.server for part in parts):
        unified = "tool_calls"
    return Finish(unified, raw)


def ends(reason: Json) -> bool:
    """Whether a finish reason says that the answer is over."""
    raw = word(reason, FINISH_REASONS)
    return raw is not None and raw != "FINISH_REASON_UNSPECIFIED"


def blocked(feedback: Json) -> str | None:
    """Why a prompt was blocked; None if it was not."""
    if not isinstance(feedback, dict):
        return None
    raw = word(feedback.get("blockReason"), BLOCK_REASONS)
    return None if raw in (None, "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED") else raw


def encode_finish(finish: Finish, losses: list[Loss]) -> str:
    """The finish reason for a client."""
    if finish.stop_sequence is not None:
        losses.append(Loss("finish.stop_sequence", "stop_sequence"))
    if finish.raw in _REASONS and (_REASONS[finish.raw] == finish.reason or finish.reason == "tool_calls"):
        return finish.raw
    if finish.reason not in _EXACT:
        losses.append(Loss("finish", "finish_reason", approximate=True, detail=finish.raw or finish.reason))
    return _WORDS[finish.reason]


def error_kind(status: Json, code: Json) -> ErrorKind:
    """The neutral kind of an error, by its canonical status or its number."""
    if isinstance(status, str) and status in _KINDS:
        return _KINDS[status]
    return _CODES.get(code, "api_error") if isinstance(code, int) else "api_error"


def decode_time(created: Json) -> int | None:
    """Unix seconds of an RFC 3339 time."""
    if not isinstance(created, str):
        return None
    try:
        found = datetime.fromisoformat(created)
        return int(found.timestamp()) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def encode_time(created: int | None) -> str | None:
    """The RFC 3339 time of unix seconds."""
    if created is None:
        return None
    try:
        return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None


def decode_usage(report: JsonObject | None) -> Usage:
    """The usage of an answer: the one report, or those of a stream laid over each other."""
    if not report:
        return Usage()
    found = gemini_usage(report)
    return Usage(
        found.input_tokens,
        found.output_tokens,
        found.cache_read_tokens,
        found.cache_write_tokens,
        found.reasoning_tokens,
        report,
    )


def encode_usage(usage: Usage) -> JsonObject | None:
    """The usage object; None where nothing is known."""
    if usage.raw is not None and not _REPORTED.isdisjoint(usage.raw):
        return usage.raw
    found: JsonObject = {}
    if usage.input_tokens is not None:
        found["promptTokenCount"] = usage.input_tokens
    if usage.output_tokens is not None:
        found["candidatesTokenCount"] = max(0, usage.output_tokens - (usage.reasoning_tokens or 0))
    if usage.reasoning_tokens:
        found["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cache_read_tokens:
        found["cachedContentTokenCount"] = usage.cache_read_tokens
    if found:
        found["totalTokenCount"] = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    return found or None
