"""Errors in the shape of each provider. One `Failure` says what is wrong; a shape says it as the provider would.

Sources: https://docs.anthropic.com/en/api/errors, https://platform.openai.com/docs/guides/error-codes,
https://ai.google.dev/gemini-api/docs/troubleshooting and https://cloud.google.com/apis/design/errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ccx.upstream.demo.fields import Json

Cause = Literal["status", "overloaded", "context_window", "quota", "content_filter"]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error: its HTTP status, the message, and the cause where the status alone does not tell.

    `code` and `param` are OpenAI's fields of that name, for errors in a request.
    """

    status: int
    message: str
    cause: Cause = "status"
    code: str | None = None
    param: str | None = None


class RefusedError(Exception):
    """The request is not one its protocol allows."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def refusal(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> RefusedError:
    """A request error, ready to be raised."""
    return RefusedError(Failure(status, message, code=code, param=param))


@dataclass(frozen=True, slots=True)
class Shape:
    """How one provider says errors: their body, and the statuses that differ from provider to provider."""

    body: Callable[[Failure], Json]
    overloaded: int
    quota: int

    def status(self, failure: Failure) -> int:
        """The HTTP status of a failure."""
        match failure.cause:
            case "overloaded":
                return self.overloaded
            case "quota":
                return self.quota
            case _:
                return failure.status


_MESSAGES_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _messages_body(failure: Failure) -> Json:
    """The body of an Anthropic error."""
    status = MESSAGES.status(failure)
    kind = _MESSAGES_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": failure.message}}


# (type, code) by status; the code of a request error is its own.
_OPENAI_TYPES: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("request_forbidden", None),
    404: ("invalid_request_error", "model_not_found"),
    408: ("server_error", "timeout"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", "server_error"),
    503: ("service_unavailable_error", "server_is_overloaded"),
    529: ("service_unavailable_error", "server_is_overloaded"),
}
_OPENAI_CAUSES: dict[Cause, tuple[str, str]] = {
    "overloaded": ("service_unavailable_error", "server_is_overloaded"),
    "context_window": ("invalid_request_error", "context_length_exceeded"),
    "quota": ("insufficient_quota", "insufficient_quota"),
    "content_filter": ("invalid_request_error", "content_policy_violation"),
}


def openai_code(failure: Failure) -> tuple[str, str | None]:
    """The type and the code that OpenAI gives an error."""
    if failure.cause != "status":
        return _OPENAI_CAUSES[failure.cause]
    kind, code = _OPENAI_TYPES.get(
        failure.status,
        ("server_error", "server_error") if failure.status >= 500 else ("invalid_request_error", None),
    )
    return kind, failure.code or code


def _openai_body(failure: Failure) -> Json:
    """The body of an OpenAI error: Chat, Responses, Images and Embeddings share it."""
    kind, code = openai_code(failure)
    return {"error": {"message": failure.message, "type": kind, "param": failure.param, "code": code}}


_GEMINI_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}


def _gemini_body(failure: Failure) -> Json:
    """The body of a Google API error."""
    name = _GEMINI_STATUSES.get(failure.status, "INTERNAL" if failure.status >= 500 else "INVALID_ARGUMENT")
    error: dict[str, object] = {"code": failure.status, "message": failure.message, "status": name}
    if failure.status == 429:
        period = "PerDay" if failure.cause == "quota" else "PerMinute"
        quota: Json = {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [
                {
                    "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                    "quotaId": f"GenerateRequests{period}PerProjectPerModel",
                }
            ],
        }
        retry: Json = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}
        error["details"] = [quota] if failure.cause == "quota" else [quota, retry]
    return {"error": error}


MESSAGES = Shape(_messages_body, overloaded=529, quota=402)
OPENAI = Shape(_openai_body, overloaded=503, quota=429)
GEMINI = Shape(_gemini_body, overloaded=503, quota=429)
