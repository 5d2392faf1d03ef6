"""Which conversation a request belongs to, from what clients send: headers first, then the body.

Law: an id is only ever compared, never shown: whoever keeps one keeps its digest. What is no id is None; nothing is
made up from an address or a key. Where no id is sent, `prompt_prefix` is the next best: the start of the prompt, which
a conversation repeats with each turn.

Sources: Claude Code sends `x-claude-code-session-id` and a JSON text in `metadata.user_id`
(https://docs.claude.com/en/api/messages); Codex `session-id` and `prompt_cache_key`
(https://platform.openai.com/docs/api-reference/responses/create); OpenCode and others `x-session-id`. `x-ccx-session`
is ours, for a client that wants to say it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

import msgspec

from ccx.errors import ClientError
from ccx.protocols.body import Body
from ccx.protocols.names import Protocol

HEADERS: Final = (
    "x-ccx-session",
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-session-id",
    "conversation-id",
    "conversation_id",
    "thread-id",
)
"""In order of trust; the first that is there counts."""

LONGEST: Final = 512
PREFIX_BYTES: Final = 4096


def session_id(protocol: Protocol, headers: Mapping[str, str], body: Body | None) -> str | None:
    """The id of the conversation, as the client says it; None where it says none. `headers` are lower case."""
    for name in HEADERS:
        value = headers.get(name, "").strip()
        if value:
            return value[:LONGEST]
    if body is None:
        return None
    found: object | None
    match protocol:
        case Protocol.MESSAGES:
            found = _in_user_id(_read(body, "metadata"))
        case Protocol.RESPONSES:
            found = _conversation(_read(body, "conversation")) or _read(body, "prompt_cache_key")
        case Protocol.CHAT:
            found = _read(body, "prompt_cache_key")
        case _:
            found = None
    return found[:LONGEST] if isinstance(found, str) and found else None


def prompt_prefix(protocol: Protocol, body: Body) -> bytes:
    """A digest of what the prompt begins with: the system prompt and the first messages up to the user's, which
    a provider's prompt cache goes by as well. The same for each turn of a conversation, and for those that begin so."""
    found = hashlib.blake2b(digest_size=16)
    for field in _FIRST[protocol]:
        raw = body.top.get(field)
        if raw is not None:
            found.update(_beginning(bytes(raw)))
            found.update(b"\0")
    return found.digest()


def _beginning(raw: bytes) -> bytes:
    """The start of a value. Of a short list of messages, those up to the user's first: the end of it is another with
    each turn."""
    if len(raw) > PREFIX_BYTES or not raw.startswith(b"["):
        return raw[:PREFIX_BYTES]
    kept: list[bytes] = []
    for item in msgspec.json.decode(raw, type=list[msgspec.Raw]):
        kept.append(bytes(item))
        if b'"user"' in kept[-1]:
            break
    return b",".join(kept)


_FIRST: Final[Mapping[Protocol, tuple[str, ...]]] = {
    Protocol.MESSAGES: ("system", "messages"),
    Protocol.CHAT: ("messages",),
    Protocol.RESPONSES: ("instructions", "input"),
    Protocol.GEMINI: ("systemInstruction", "system_instruction", "contents"),
    Protocol.IMAGES: ("prompt",),
    Protocol.EMBEDDINGS: ("input",),
}


def _read(body: Body, field: str) -> object | None:
    try:
        return body.value(field)
    except ClientError:
        return None  # the request will be refused for it elsewhere, if anyone minds


def _conversation(value: object) -> str | None:
    """Responses' `conversation`: an id, or an object that has one."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _in_user_id(metadata: object) -> str | None:
    """`metadata.user_id`: Claude Code's is a JSON object with a session_id, or ends in `_session_` and the id. Any
    other is a person, not a conversation."""
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str) or len(user) > PREFIX_BYTES:
        return None
    if user.startswith("{"):
        try:
            said = json.loads(user)
        except (ValueError, RecursionError):
            return None
        found = said.get("session_id") if isinstance(said, dict) else None
        return found if isinstance(found, str) else None
    _, sign, found = user.rpartition("_session_")
    return found if sign else None
