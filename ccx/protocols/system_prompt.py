"""A declared prefix or replacement of the system prompt, written into a request of any chat protocol.

Law: pure, and bytes elsewhere stay as they came: a prefix goes inside the value that is there, in front of its first
word, and what follows is not decoded and written anew. What a protocol takes for the system prompt: Messages `system`,
Chat the system or developer messages at the head of `messages`, Responses `instructions`, Gemini `systemInstruction`
(also spelled `system_instruction`). Later system messages are part of the conversation and stay. A body whose value has
a shape that the protocol does not know is left to the upstream to refuse.

Sources: https://docs.anthropic.com/en/api/messages, https://platform.openai.com/docs/api-reference/chat/create,
https://platform.openai.com/docs/api-reference/responses/create, https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from ccx.protocols.body import Body, open_body
from ccx.protocols.names import Protocol

SEPARATOR: Final = "\n\n"
"""What stands between a prefix and the prompt after it, where both are one text."""

_encode = msgspec.json.Encoder().encode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_HEAD: Final = (b'"system"', b'"developer"')


@dataclass(frozen=True, slots=True)
class _Value:
    """A JSON value as received and as strict JSON: the same length, offset by offset (see `Body.text`)."""

    raw: bytes
    text: bytes


def with_system(
    protocol: Protocol,
    body: Body,
    *,
    prefix: str,
    replace: str | None,
    write: Mapping[str, object],
    drop: Collection[str],
) -> tuple[str, msgspec.Raw | None] | None:
    """The top-level field to change and its new value (None: it is taken away); None where nothing changes.

    `replace` stands for the prompt that is there, the empty text for none; `prefix` stands before either. `write` and
    `drop` are changes to top-level fields that are made before.
    """
    if not prefix and replace is None:
        return None
    whole = prefix if not replace else prefix + SEPARATOR + replace if prefix else replace
    match protocol:
        case Protocol.MESSAGES:
            key = "system"
        case Protocol.RESPONSES:
            key = "instructions"
        case Protocol.CHAT:
            key = "messages"
        case Protocol.GEMINI:
            snake = "system_instruction" in body.top and "systemInstruction" not in body.top
            key = "system_instruction" if snake else "systemInstruction"
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            return None
        case _:
            assert_never(protocol)
    value = _current(body, key, write=write, drop=drop)
    if protocol is Protocol.CHAT:
        new = None if value is None else _conversation(value, prefix=prefix, whole=None if replace is None else whole)
        return None if new is None else (key, msgspec.Raw(new))
    if replace is not None or value is None:
        if not whole:
            return None if value is None else (key, None)
        part = {"parts": [{"text": whole}]} if protocol is Protocol.GEMINI else whole
        return key, msgspec.Raw(_encode(part))
    new = _instruction(value, prefix) if protocol is Protocol.GEMINI else _prompt(value, prefix)
    return None if new is None else (key, msgspec.Raw(new))


def _current(body: Body, key: str, *, write: Mapping[str, object], drop: Collection[str]) -> _Value | None:
    if key in write:
        new = _encode(write[key])
        return None if new == b"null" else _Value(new, new)
    if key not in body.top or key in drop:
        return None
    member = next(member for member in reversed(body.members()) if member.key == key)
    value = _Value(body.raw[member.value : member.end], body.text[member.value : member.end])
    return None if value.text == b"null" else value


def _prompt(value: _Value, prefix: str) -> bytes | None:
    """A text, or a list of text blocks, with more in front."""
    match value.raw[:1]:
        case b'"':
            return _encode(prefix + SEPARATOR)[:-1] + value.raw[1:]
        case b"[":
            return _in_front(value, {"type": "text", "text": prefix})
        case _:
            return None


def _instruction(value: _Value, prefix: str) -> bytes | None:
    """Gemini's content object."""
    if value.raw[:1] == b'"':
        return _prompt(value, prefix)
    if value.raw[:1] != b"{":
        return None
    content = open_body(value.raw)
    parts = _current(content, "parts", write={}, drop=())
    if parts is None:
        return b"".join(content.with_fields({"parts": [{"text": prefix}]}, ()))
    if parts.raw[:1] != b"[":
        return None
    return b"".join(content.with_fields({"parts": msgspec.Raw(_in_front(parts, {"text": prefix}))}, ()))


def _conversation(value: _Value, *, prefix: str, whole: str | None) -> bytes | None:
    """Chat's messages with another prompt at their head: `whole` instead of what is there, or `prefix` before it."""
    if value.raw[:1] != b"[":
        return None
    spans = _head(value)
    if not spans:
        text = prefix if whole is None else whole
        return _in_front(value, {"role": "system", "content": text}) if text else None
    first, last = spans[0], spans[-1]
    if whole is None:
        message = open_body(value.raw[slice(*first)])
        content = _current(message, "content", write={}, drop=())
        new = _encode(prefix) if content is None else _prompt(content, prefix)
        if new is None:
            return None
        edited = b"".join(message.with_fields({"content": msgspec.Raw(new)}, ()))
        return value.raw[: first[0]] + edited + value.raw[first[1] :]
    if whole:
        edited = b"".join(open_body(value.raw[slice(*first)]).with_fields({"content": whole}, ()))
        return value.raw[: first[0]] + edited + value.raw[last[1] :]
    rest = value.raw[last[1] :]
    return value.raw[: first[0]] + (rest.lstrip()[1:].lstrip() if rest.lstrip()[:1] == b"," else rest)


def _head(value: _Value) -> list[tuple[int, int]]:
    """Where the system and developer messages at the head of a list are, as byte offsets."""
    spans: list[tuple[int, int]] = []
    at = 1
    for element in map(bytes, _elements(value.text)):
        # Between two elements there is white space and one comma only, and an element begins with neither.
        at = value.text.index(element, at)
        if element[:1] != b"{" or (role := _members(element).get("role")) is None or bytes(role) not in _HEAD:
            break
        spans.append((at, at + len(element)))
        at += len(element)
    return spans


def _in_front(value: _Value, first: object) -> bytes:
    """A list with one element more, in front."""
    comma = b"" if value.text[1:].lstrip()[:1] == b"]" else b","
    return value.raw[:1] + _encode(first) + comma + value.raw[1:]
