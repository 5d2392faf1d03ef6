"""Errors in the shape of each protocol: those ccx says itself, those it appends to a stream that broke, and those it
reads from upstreams.

Law: a client finds an error where its SDK looks for one. What an upstream said is read whatever its shape and never
raises; what it did not say is None, not a guess.

Sources
- Anthropic: https://docs.anthropic.com/en/api/errors
- OpenAI: https://platform.openai.com/docs/guides/error-codes, stream events
  https://platform.openai.com/docs/api-reference/responses-streaming/response/failed
- Google: https://cloud.google.com/apis/design/errors, https://ai.google.dev/gemini-api/docs/troubleshooting
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from ccx.errors import ErrorKind
from ccx.protocols.names import Protocol
from ccx.protocols.sse import encode, parse_events

MAX_MESSAGE: Final = 8 * 1024
"""Characters of an upstream's message that are kept."""

_encode = msgspec.json.Encoder().encode

_ANTHROPIC: dict[ErrorKind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "too_large": "request_too_large",
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "api_error": "api_error",
    "not_supported": "not_supported",
}
_OPENAI: dict[ErrorKind, tuple[str, str | None]] = {
    "invalid_request": ("invalid_request_error", None),
    "authentication": ("invalid_request_error", "invalid_api_key"),
    "permission": ("invalid_request_error", "permission_denied"),
    "not_found": ("invalid_request_error", "not_found"),
    "too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded": ("server_error", "overloaded"),
    "timeout": ("server_error", "timeout"),
    "api_error": ("server_error", None),
    "not_supported": ("invalid_request_error", "not_supported"),
}
_GOOGLE: dict[ErrorKind, tuple[str, int]] = {
    "invalid_request": ("INVALID_ARGUMENT", 400),
    "authentication": ("UNAUTHENTICATED", 401),
    "permission": ("PERMISSION_DENIED", 403),
    "not_found": ("NOT_FOUND", 404),
    "too_large": ("INVALID_ARGUMENT", 413),
    "rate_limit": ("RESOURCE_EXHAUSTED", 429),
    "overloaded": ("UNAVAILABLE", 503),
    "timeout": ("DEADLINE_EXCEEDED", 504),
    "api_error": ("INTERNAL", 500),
    "not_supported": ("UNIMPLEMENTED", 501),
}


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """What an upstream said: its words for machines, and its text for people. None is what it did not say.

    For Google, `type` is the reason of its ErrorInfo, `code` the numeric code and `status_text` the canonical status.
    """

    type: str | None
    code: str | None
    message: str | None
    status_text: str | None


def render_error(
    protocol: Protocol,
    *,
    status: int,
    kind: ErrorKind,
    message: str,
    request_id: str | None,
    code: str | None = None,
    param: str | None = None,
) -> bytes:
    """The JSON body of an error answer with the HTTP status `status`. `code` and `param` are for OpenAI's clients."""
    match protocol:
        case Protocol.MESSAGES:
            return _encode(_anthropic(kind, message, request_id))
        case Protocol.CHAT | Protocol.RESPONSES | Protocol.IMAGES | Protocol.EMBEDDINGS:
            error = _openai(kind, message)
            return _encode({"error": {**error, "code": code or error["code"], "param": param}})
        case Protocol.GEMINI:
            return _encode({"error": {"code": status, "message": message, "status": _GOOGLE[kind][0]}})
    assert_never(protocol)


def render_stream_error(
    protocol: Protocol,
    *,
    kind: ErrorKind,
    message: str,
    request_id: str | None = None,
    sequence_number: int = 0,
    response_id: str | None = None,
) -> bytes:
    """The bytes to append to a cut stream of server-sent events, before it is closed.

    The relay passes whole events on, so they stand between two events. `sequence_number` and `response_id` go on where
    a Responses stream was, see `StreamObserver`. Empty for a protocol that does not stream.
    """
    match protocol:
        case Protocol.MESSAGES:
            event = encode("error", _encode(_anthropic(kind, message, request_id)))
        case Protocol.CHAT:
            event = encode(None, _encode({"error": _openai(kind, message)}))
        case Protocol.RESPONSES:
            # Codex knows a failure by response.failed only, and retries on the code server_error.
            failed = {
                "type": "response.failed",
                "sequence_number": sequence_number,
                "response": {
                    "id": response_id or f"resp_{request_id or 'unknown'}",
                    "object": "response",
                    "status": "failed",
                    "error": {"code": _response_code(kind), "message": message},
                    "incomplete_details": None,
                    "output": [],
                    "usage": None,
                },
            }
            event = encode("response.failed", _encode(failed))
        case Protocol.IMAGES:
            event = encode("error", _encode({"type": "error", "error": _openai(kind, message)}))
        case Protocol.GEMINI:
            status, code = _GOOGLE[kind]
            event = encode(None, _encode({"error": {"code": code, "message": message, "status": status}}))
        case Protocol.EMBEDDINGS:
            return b""
        case _:
            assert_never(protocol)
    return event


def keepalive(protocol: Protocol) -> bytes | None:
    """What may be sent between two events of a silent stream; None where clients would stumble over it.

    Gemini's own clients take a comment line for broken JSON.
    """
    match protocol:
        case Protocol.MESSAGES:
            return b'event: ping\ndata: {"type": "ping"}\n\n'
        case Protocol.CHAT | Protocol.RESPONSES | Protocol.IMAGES:
            return b": keep-alive\n\n"
        case Protocol.GEMINI | Protocol.EMBEDDINGS:
            return None
    assert_never(protocol)


def read_error(protocol: Protocol, raw: bytes) -> UpstreamFailure:
    """What an upstream's error body, or the payload of its error event, says. Never raises.

    The shape decides, not `protocol`: gateways and vendors answer in shapes other than their protocol's.
    """
    if raw.lstrip()[:6] in (b"event:", b"data: ", b"data:{"):
        events = parse_events(raw.replace(b"\r\n", b"\n"))
        raw = events[0].data if events else raw
    try:
        found: object = json.loads(raw)
    except (ValueError, RecursionError):
        return UpstreamFailure(None, None, _plain(raw), None)
    if isinstance(found, list):
        # Google wraps what a stream without alt=sse would have said into an array.
        found = next((item for item in found if isinstance(item, dict)), None)
    if isinstance(found, str):
        return UpstreamFailure(None, None, _bounded(found), None)
    return _failure(found) if isinstance(found, dict) else UpstreamFailure(None, None, None, None)


def _anthropic(kind: ErrorKind, message: str, request_id: str | None) -> dict[str, object]:
    error: dict[str, object] = {"type": "error", "error": {"type": _ANTHROPIC[kind], "message": message}}
    if request_id is not None:
        error["request_id"] = request_id
    return error


def _openai(kind: ErrorKind, message: str) -> dict[str, object]:
    type_, code = _OPENAI[kind]
    return {"message": message, "type": type_, "param": None, "code": code}


def _response_code(kind: ErrorKind) -> str:
    if kind == "rate_limit":
        return "rate_limit_exceeded"
    return "server_error" if _OPENAI[kind][0] == "server_error" else "invalid_prompt"


def _failure(found: dict[str, object]) -> UpstreamFailure:
    response = found.get("response")
    error = found.get("error") or (response.get("error") if isinstance(response, dict) else None)
    if error is None and isinstance(errors := found.get("errors"), list) and errors:
        error = errors[0]
    if isinstance(error, str):
        return UpstreamFailure(_word(found.get("type")), _word(found.get("code")), _bounded(error), None)
    if isinstance(error, dict):
        return UpstreamFailure(
            _reason(error.get("details")) or _word(error.get("type")),
            _word(error.get("code")),
            _message(error) or _message(found),
            _word(error.get("status")),
        )
    type_ = _word(found.get("type"))
    return UpstreamFailure(
        None if type_ == "error" else type_ or _word(found.get("__type")),
        _word(found.get("code")) or _word(found.get("error_code")),
        _message(found),
        None,
    )


def _message(found: dict[str, object]) -> str | None:
    for key in ("message", "detail", "error_message", "error_msg", "msg", "Message", "title"):
        value = found.get(key)
        if isinstance(value, list) and value:
            # FastAPI's validation errors: https://fastapi.tiangolo.com/tutorial/handling-errors/
            value = value[0]
        if isinstance(value, dict):
            value = value.get("message") or value.get("msg") or value.get("error")
        if isinstance(value, str) and value:
            return _bounded(value)
    return None


def _reason(details: object) -> str | None:
    """The reason in a google.rpc.ErrorInfo, which tells more than the canonical status."""
    if isinstance(details, list):
        for detail in details:
            if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("google.rpc.ErrorInfo"):
                return _word(detail.get("reason"))
    return None


def _word(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)[:200] or None


def _plain(raw: bytes) -> str | None:
    """The text of a body that is not JSON: a page's title, or the text itself."""
    text = raw[: 4 * MAX_MESSAGE].decode("utf-8", "replace").strip()
    if text.startswith("<"):
        title = re.search(r"<title[^>]*>([^<]*)</title>", text, re.IGNORECASE)
        text = title[1].strip() if title else ""
    return _bounded(text)


def _bounded(text: str) -> str | None:
    if not text:
        return None
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "…"
