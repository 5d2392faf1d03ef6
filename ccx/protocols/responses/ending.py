"""How an answer ended, what it cost, and why it failed: words and numbers, read and written.

Sources: https://platform.openai.com/docs/api-reference/responses/object (status, incomplete_details, error, usage),
https://platform.openai.com/docs/guides/error-codes; codes beyond those are what Codex tells apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ccx.errors import ErrorKind
from ccx.protocols.ir import Failed, Finish, FinishReason, Json, JsonObject, Loss, Part, Refusal, Text, ToolCall, Usage
from ccx.protocols.usage import openai_usage
from ccx.protocols.values import record, text

_INCOMPLETE: Final[dict[str, FinishReason]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_STATUSES: Final[dict[FinishReason, tuple[str, str | None]]] = {
    "stop": ("completed", None),
    "tool_calls": ("completed", None),
    "refusal": ("completed", None),
    "pause": ("completed", None),
    "other": ("completed", None),
    "length": ("incomplete", "max_output_tokens"),
    "context_window": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
    "error": ("failed", None),
}
_EXACT: Final = frozenset({"stop", "tool_calls", "length", "content_filter", "error"})
_KINDS: Final[dict[str, ErrorKind]] = {
    "server_error": "api_error",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "usage_limit_reached": "rate_limit",
    "usage_not_included": "permission",
    "server_is_overloaded": "overloaded",
    "slow_down": "overloaded",
    "vector_store_timeout": "timeout",
    "invalid_api_key": "authentication",
    "model_not_found": "not_found",
}
# Codes of errors that the request itself is to blame for.
_INVALID: Final = frozenset(
    {"context_length_exceeded", "invalid_prompt", "bio_policy", "cyber_policy", "misalignment_policy_violation"}
)
_CODES: Final = {
    "rate_limit": "rate_limit_exceeded",
    "invalid_request": "invalid_prompt",
    "too_large": "invalid_prompt",
}


def read_finish(response: JsonObject, parts: Iterable[Part]) -> Finish:
    """The end of an answer. A completed one says only that; what it holds says the rest."""
    status = text(response.get("status"))
    if status == "incomplete":
        word = text(record(response.get("incomplete_details")).get("reason"))
        return Finish(_INCOMPLETE.get(word, "other"), word or status)
    if status not in ("completed", "complete", ""):
        return Finish("other", status)
    spoken = [part for part in parts if isinstance(part, ToolCall | Refusal | Text)]
    if any(isinstance(part, ToolCall) and not part.server for part in spoken):
        return Finish("tool_calls", status or None)
    if any(isinstance(part, Refusal) for part in spoken) and not any(isinstance(part, Text) for part in spoken):
        return Finish("refusal", status or None)
    return Finish("stop", status or None)


def write_finish(finish: Finish, *, refused: bool, losses: list[Loss]) -> tuple[str, str | None]:
    """The status, and the reason why an answer is incomplete. `refused`: the answer holds a refusal."""
    if finish.stop_sequence is not None:
        losses.append(Loss("finish.stop_sequence", "stop_sequence"))
    if finish.reason == "other" and finish.raw in ("max_messages", "steered"):
        return "incomplete", finish.raw
    if finish.reason == "other" and finish.raw in ("queued", "in_progress", "cancelled"):
        # An answer in the background, which the client asks for again.
        return finish.raw, None
    if finish.reason not in _EXACT and not (finish.reason == "refusal" and refused):
        losses.append(Loss("finish", "finish_reason", approximate=True, detail=finish.raw or finish.reason))
    return _STATUSES[finish.reason]


def read_usage(raw: Json) -> Usage:
    """What an answer says of tokens."""
    if not isinstance(raw, dict):
        return Usage()
    said = openai_usage(raw)
    return Usage(
        said.input_tokens,
        said.output_tokens,
        said.cache_read_tokens,
        said.cache_write_tokens,
        said.reasoning_tokens,
        raw,
    )


def write_usage(usage: Usage) -> JsonObject | None:
    """The usage object; None where nothing is known. What is unknown is zero where clients need a number."""
    raw = usage.raw or {}
    # Anthropic's object has details of the output too, and counts the prompt without what was cached; but no total.
    if "total_tokens" in raw and ("input_tokens_details" in raw or "output_tokens_details" in raw):
        before, after = record(raw.get("input_tokens_details")), record(raw.get("output_tokens_details"))
        found: JsonObject = {"input_tokens": 0, "output_tokens": 0, **raw}
    elif usage.input_tokens is None and usage.output_tokens is None:
        return None
    else:
        before, after, found = {}, {}, {}
    spent, said = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": spent,
        "output_tokens": said,
        "total_tokens": spent + said,
        **found,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens or 0,
            "cache_write_tokens": usage.cache_write_tokens or 0,
            **before,
        },
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0, **after},
    }


def read_failure(error: Json) -> Failed:
    """An error inside an answer, in the provider's words."""
    found = record(error)
    code = text(found.get("code")) or text(found.get("type")) or None
    message = text(found.get("message")) or (error if isinstance(error, str) and error else "")
    kind: ErrorKind = "api_error"
    if code is not None:
        # Codes of images that cannot be used all say so.
        kind = _KINDS.get(code) or ("invalid_request" if code in _INVALID or "image" in code else "api_error")
    return Failed(kind, message or "The upstream reported an error without a message.", code)


def write_failure(failed: Failed) -> JsonObject:
    """The error of a failed answer. Clients go by the code, which is one of this protocol's: Codex retries on
    `server_error`, waits on `rate_limit_exceeded`, and stops on others that it knows."""
    code = failed.code
    if code not in _KINDS and code not in _INVALID:
        code = _CODES.get(failed.kind, "server_error")
    return {"code": code, "message": failed.message}
