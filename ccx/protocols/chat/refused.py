"""Errors inside a stream: the upstream broke off in its own words.

Shapes: https://platform.openai.com/docs/guides/error-codes, and with a status as code
https://openrouter.ai/docs/api/reference/errors-and-debugging#mid-stream-error-handling.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from ccx.errors import ErrorKind
from ccx.protocols.failures import read_error, render_error
from ccx.protocols.ir import Failed
from ccx.protocols.names import Protocol
from ccx.protocols.sse import encode

_KINDS: dict[str, ErrorKind] = {
    "400": "invalid_request",
    "invalid_request": "invalid_request",
    "invalid_request_error": "invalid_request",
    "bad_request": "invalid_request",
    "context_length_exceeded": "invalid_request",
    "401": "authentication",
    "authentication_error": "authentication",
    "invalid_api_key": "authentication",
    "402": "permission",
    "403": "permission",
    "permission_error": "permission",
    "permission_denied": "permission",
    "404": "not_found",
    "not_found": "not_found",
    "not_found_error": "not_found",
    "model_not_found": "not_found",
    "408": "timeout",
    "504": "timeout",
    "timeout": "timeout",
    "timeout_error": "timeout",
    "413": "too_large",
    "request_too_large": "too_large",
    "429": "rate_limit",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "insufficient_quota": "rate_limit",
    "503": "overloaded",
    "529": "overloaded",
    "overloaded": "overloaded",
    "overloaded_error": "overloaded",
    "engine_overloaded_error": "overloaded",
}
_UNTOLD = "the upstream broke the answer off and gave no reason"
_decode = msgspec.json.Decoder(dict[str, dict[str, str | None]]).decode
_encode = msgspec.json.Encoder().encode


def failed(data: bytes) -> Failed:
    """What an error event says."""
    found = read_error(Protocol.CHAT, data)
    kind = _KINDS.get(found.code or "") or _KINDS.get(found.type or "") or "api_error"
    return Failed(kind, found.message or _UNTOLD, found.code)


def write_failed(event: Failed) -> bytes:
    """The event for a client. No `[DONE]` follows, for nothing was done."""
    kind: ErrorKind = next((known for known in get_args(ErrorKind) if known == event.kind), "api_error")
    body = render_error(Protocol.CHAT, status=500, kind=kind, message=event.message, request_id=None)
    if event.code is None:
        return encode(None, body)
    return encode(None, _encode({"error": {**_decode(body)["error"], "code": event.code}}))
