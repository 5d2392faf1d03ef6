"""What upstreams say and what clients hear, in each protocol that the faults are tried on.

The reader here is written apart from the gateway's own: it knows an answer that is whole, an error before the answer
and one inside a stream, and takes nothing else for any of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tests.runtime.chats import said, streamed
from tests.runtime.streams import MESSAGE, STREAM

TEXT = "hi"
Kinds = Mapping[str, tuple[str, str | None]]

# A provider's type and code for each kind of error. https://docs.claude.com/en/api/errors
_ANTHROPIC: Kinds = MappingProxyType(
    {
        "invalid_request": ("invalid_request_error", None),
        "authentication": ("authentication_error", None),
        "billing": ("billing_error", None),
        "permission": ("permission_error", None),
        "not_found": ("not_found_error", None),
        "timeout": ("timeout_error", None),
        "too_large": ("request_too_large", None),
        "rate_limit": ("rate_limit_error", None),
        "overloaded": ("overloaded_error", None),
        "api_error": ("api_error", None),
    }
)
# https://developers.openai.com/api/docs/guides/error-codes; the codes of a timeout and a size are ccx's own.
_OPENAI: Kinds = MappingProxyType(
    {
        "invalid_request": ("invalid_request_error", None),
        "authentication": ("invalid_request_error", "invalid_api_key"),
        "billing": ("insufficient_quota", "insufficient_quota"),
        "permission": ("invalid_request_error", "permission_denied"),
        "not_found": ("invalid_request_error", "model_not_found"),
        "timeout": ("server_error", "timeout"),
        "too_large": ("invalid_request_error", "request_too_large"),
        "rate_limit": ("rate_limit_error", "rate_limit_exceeded"),
        "overloaded": ("server_error", "overloaded"),
        "api_error": ("server_error", None),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """One protocol. `begun` is how many of a stream's pieces it takes until something was said."""

    name: str
    path: str
    whole: bytes
    pieces: tuple[bytes, ...]
    begun: int
    kinds: Kinds

    def ask(self, model: str, *, stream: bool) -> bytes:
        """A client's request."""
        asked = {"model": model, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        return json.dumps(asked).encode()

    def error(self, kind: str) -> bytes:
        """The body of an upstream's error."""
        type_, code = self.kinds[kind]
        message = "model: m" if kind == "not_found" else "scripted"  # Anthropic tells a model from a file by that
        if self.name == "messages":
            return json.dumps({"type": "error", "error": {"type": type_, "message": message}}).encode()
        return json.dumps({"error": {"message": message, "type": type_, "param": None, "code": code}}).encode()

    def error_event(self, kind: str) -> bytes:
        """The same inside a stream."""
        event = b"event: error\n" if self.name == "messages" else b""
        return event + b"data: " + self.error(kind) + b"\n\n"

    def kind(self, found: object) -> str:
        """The kind of an error that a client was told."""
        error = found.get("error") if isinstance(found, dict) else None
        if not isinstance(error, dict):
            return f"no error: {found!r}"
        if self.name == "messages" and isinstance(found, dict) and found.get("type") != "error":
            return f"no Messages error: {found!r}"
        said = (error.get("type"), error.get("code"))
        found_kinds = [kind for kind, words in self.kinds.items() if words == said]
        return found_kinds[0] if found_kinds else f"unknown {said!r}"


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as it reached the client. `ended`: properly, as HTTP has it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    ended: bool


MESSAGES = Speech("messages", "/v1/messages", MESSAGE, tuple(STREAM), 3, _ANTHROPIC)
CHAT = Speech("chat", "/v1/chat/completions", said(TEXT).body, tuple(streamed(TEXT).pieces), 2, _OPENAI)


def judged(speech: Speech, heard: Heard, *, stream: bool) -> str:
    """What a client makes of it: `answer`, `<status> <kind>` of an error, `error event <kind>` after a part of the
    answer, `cut`; or a description of what it should never be given."""
    if not heard.ended:
        return "cut" if heard.status == 200 else f"cut error {heard.status}"
    if heard.status != 200:
        try:
            return f"{heard.status} {speech.kind(json.loads(heard.body))}"
        except ValueError:
            return f"{heard.status} without JSON: {heard.body[:80]!r}"
    if stream:
        return _streamed(speech, heard.body)
    try:
        found = json.loads(heard.body)
        text = found["content"][0]["text"] if speech.name == "messages" else found["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return f"200 that is no answer: {heard.body[:80]!r}"
    return "answer" if text == TEXT else f"another text: {text!r}"


def _streamed(speech: Speech, body: bytes) -> str:
    blocks = [block for block in body.replace(b"\r\n", b"\n").split(b"\n\n") if block.strip()]
    if not body.endswith(b"\n\n"):
        return f"half an event: {body[-80:]!r}"
    events: list[object] = []
    for block in blocks:
        data = b"".join(line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
        try:
            events.append("[DONE]" if data == b"[DONE]" else json.loads(data))
        except ValueError:
            return f"garbled event: {block[:80]!r}"
    if not events:
        return "an empty stream"
    errors = [place for place, event in enumerate(events) if isinstance(event, dict) and event.get("error")]
    text, ends = _spoken(speech, events), [place for place, event in enumerate(events) if _is_end(event)]
    if errors:
        if errors != [len(events) - 1] or ends:
            return "an error that is not the end"
        return f"error event {speech.kind(events[-1])}"
    if not ends or ends[-1] != len(events) - 1:
        return f"a stream without its end, after {text!r}"
    return "answer" if text == TEXT else f"another text: {text!r}"


def _spoken(speech: Speech, events: Sequence[object]) -> str:
    """The text of a stream."""
    found = [event for event in events if isinstance(event, dict)]
    if speech.name == "messages":
        deltas = [event["delta"] for event in found if event.get("type") == "content_block_delta"]
        return "".join(delta.get("text", "") for delta in deltas)
    choices = [choice for event in found for choice in event.get("choices") or []]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def _is_end(event: object) -> bool:
    """Whether a client would take the answer for whole at this event."""
    return event == "[DONE]" or (isinstance(event, dict) and event.get("type") == "message_stop")
