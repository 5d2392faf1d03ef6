"""Reading along: usage, finish and health out of a copy of what is relayed.

Law
- Nothing here ever raises and nothing here changes what is relayed. What cannot be read is unknown.
- The result does not depend on how a stream was cut into chunks.
- It is cheap: once a stream is known to be meaningful, an event is parsed only if it contains the bytes of a marker
  that every usage-bearing, final or erroneous event of its protocol must contain.
- A quoted marker such as `"usage"` cannot occur inside a JSON string, where quotes are escaped; an unquoted one can,
  which costs a parse and decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ccx.errors import BadReply
from ccx.protocols.jsonarray import JsonArrayDecoder
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.sse import Blocks, parse_events
from ccx.protocols.usage import NO_USAGE, Usage, anthropic_usage, counted, gemini_usage, openai_usage

MAX_OBSERVED: Final = 64 * 1024 * 1024
"""Bytes of one event (an image, say) that are kept for reading; beyond it the observer gives up."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was read of an answer. `finish` is the provider's own word, `model` the one it says it used; `failed`: it is
    an error in place of an answer, whatever its status."""

    usage: Usage = NO_USAGE
    finish: str | None = None
    model: str | None = None
    failed: bool = False


class _Response(msgspec.Struct):
    """A Responses response without its output, which may be megabytes."""

    id: Any = None
    status: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None


class _Heard(msgspec.Struct):
    """The fields that any of the protocols tells something by; all others are skipped, not decoded."""

    type: Any = None
    error: Any = None
    usage: Any = None
    model: Any = None
    # Messages
    message: Any = None
    delta: Any = None
    content_block: Any = None
    stop_reason: Any = None
    # Chat
    choices: Any = None
    x_groq: Any = None
    # Responses
    response: _Response | None = None
    item: Any = None
    part: Any = None
    sequence_number: Any = None
    status: Any = None
    incomplete_details: Any = None
    # Gemini
    candidates: Any = None
    promptFeedback: Any = None  # noqa: N815  # Google's spelling
    usageMetadata: Any = None  # noqa: N815  # likewise
    modelVersion: Any = None  # noqa: N815  # likewise


_heard = msgspec.json.Decoder(_Heard).decode

_CHAT_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_CHAT_FINISH = re.compile(rb'"finish_reason"\s*:\s*[^\sn]')
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')

# What a Responses stream says before it has anything to say.
_OVERTURE = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive", "ping"})
_RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_IMAGE_ENDS = frozenset({"image_generation.completed", "image_edit.completed"})


class StreamObserver:
    """An ear at a stream of server-sent events (for Gemini also a JSON array).

    `meaningful`: an event came that carries content, a tool call or thinking, or properly ends the stream. Pings,
    empty starts and errors are not meaningful: until it is set, another upstream can still be asked.
    `terminal`: the protocol's proper end came. A stream that ends without it was cut.
    `over`: its very last event came, behind which nothing can be missing; a Chat stream has usage after its finish.
    `error`: the payload of an error inside the stream. Look at it first: a failed response is terminal as well.
    An observer that gives up (an event beyond `MAX_OBSERVED`) sets both flags, so that nothing is blamed on the stream.
    """

    __slots__ = (
        "_array",
        "_blocks",
        "_done",
        "_finish",
        "_hears",
        "_keeps",
        "_last",
        "_lost",
        "_model",
        "_reads",
        "_reports",
        "error",
        "meaningful",
        "response_id",
        "terminal",
    )

    def __init__(self, protocol: Protocol) -> None:
        self._reads, self._hears, self._keeps = _EARS[protocol]
        self._blocks: Blocks | None = None
        self._array: JsonArrayDecoder | None = None
        self._reports: list[object] = []
        self._finish: str | None = None
        self._model: str | None = None
        # The newest events of a protocol where any may hold what only the last one is asked for.
        self._last = b""
        self._lost = False
        self._done = False
        self.meaningful = False
        self.terminal = False
        self.error: bytes | None = None
        self.response_id: str | None = None

    def feed(self, chunk: bytes) -> None:
        """Listen to the next bytes. Never raises."""
        if self._lost or self.error is not None:
            return
        try:
            blocks = self._blocks or self._begin(chunk)
            if blocks is None:
                return
            if self._array is not None:
                for element in self._array.feed(chunk):
                    self._hear("message", element)
                return
            block = blocks.feed(chunk)
        except BadReply:
            self._lost = self.meaningful = self.terminal = True
            return
        if block:
            if self.meaningful and not self._reads(block):
                if self._keeps is not None and self._keeps in block:
                    self._last = block
                return
            for event, data in parse_events(block):
                self._hear(event, data)

    def end(self) -> None:
        """The stream is over: what is left counts as an event, or as a whole answer when it was no stream at all."""
        if self._blocks is None or self._array is not None or self._lost:
            return
        rest = self._blocks.end()
        if rest.lstrip()[:1] == b"{":
            self._hear("message", rest)
        else:
            for event, data in parse_events(rest):
                self._hear(event, data)

    @property
    def over(self) -> bool:
        """See the class."""
        return self.terminal and not self._lost and (self._done or self._hears is not _hear_chat)

    @property
    def observation(self) -> Observation:
        """What has been read so far."""
        if self._hears is _hear_gemini and self._last:
            _read_last(self)
        return Observation(_USAGES[self._hears](self._reports), self._finish, self._model)

    @property
    def next_sequence_number(self) -> int:
        """The number that the next event of a Responses stream must have."""
        numbers = _SEQUENCE.findall(self._last)
        return int(numbers[-1]) + 1 if numbers else 0

    def _begin(self, chunk: bytes) -> Blocks | None:
        start = chunk.lstrip()
        if not start:
            return None
        if self._hears is _hear_gemini and start[:1] == b"[":
            self._array = JsonArrayDecoder(MAX_OBSERVED)
        self._blocks = Blocks(MAX_OBSERVED)
        return self._blocks

    def _hear(self, event: str, data: bytes) -> None:
        if self.error is not None:
            return
        # Asked again for each event, so that it does not matter with which others it came in a chunk.
        if self.meaningful and event != "error" and not self._reads(data):
            if self._keeps is not None and self._keeps in data:
                self._last = data
            return
        heard = _decoded(data)
        if heard is None:
            if event == "error":
                self.error = data
            elif data == b"[DONE]" and self._hears is _hear_chat:
                self.terminal = self.meaningful = self._done = True
        elif event == "error" or heard.type == "error" or heard.error:
            self.error = data
        else:
            self._hears(self, heard, data)


def observe_body(protocol: Protocol, operation: Operation, raw: bytes) -> Observation:
    """What a whole answer that was not streamed says of itself. Never raises."""
    if operation is Operation.COUNT_TOKENS:
        return Observation(counted(_generic(raw)))
    if protocol is Protocol.GEMINI and raw.lstrip()[:1] == b"[":
        observer = StreamObserver(protocol)
        observer.feed(raw)
        return observer.observation
    heard = _decoded(raw)
    if heard is None:
        return Observation()
    if heard.error and _says_nothing(protocol, heard):
        return Observation(failed=True)
    match protocol:
        case Protocol.MESSAGES:
            return Observation(anthropic_usage(heard.usage), _text(heard.stop_reason), _text(heard.model))
        case Protocol.CHAT:
            finish = _last_of(_items(heard.choices), "finish_reason")
            return Observation(openai_usage(heard.usage), finish, _text(heard.model))
        case Protocol.RESPONSES:
            finish = _text(_get(heard.incomplete_details, "reason")) or _text(heard.status)
            return Observation(openai_usage(heard.usage), finish, _text(heard.model))
        case Protocol.GEMINI:
            finish = _last_of(_items(heard.candidates), "finishReason") or _text(
                _get(heard.promptFeedback, "blockReason")
            )
            return Observation(gemini_usage(heard.usageMetadata), finish, _text(heard.modelVersion))
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            return Observation(openai_usage(heard.usage), None, _text(heard.model))


def _says_nothing(protocol: Protocol, heard: _Heard) -> bool:
    """Whether an answer that names an error has nothing beside it. Gateways send such with a status of 200:
    https://openrouter.ai/docs/api/reference/errors-and-debugging"""
    match protocol:
        case Protocol.MESSAGES:
            return bool(heard.type != "message")
        case Protocol.CHAT:
            return not heard.choices
        case Protocol.RESPONSES:
            return _text(heard.status) in ("failed", None)
        case Protocol.GEMINI:
            return not heard.candidates
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            return True


def _reads_messages(block: bytes) -> bool:
    return b"message_" in block or b"error" in block


def _hear_messages(observer: StreamObserver, heard: _Heard, data: bytes) -> None:
    match heard.type:
        case "message_start":
            observer._reports.append(_get(heard.message, "usage"))
            observer._model = _text(_get(heard.message, "model"))
        case "message_delta":
            observer._reports.append(heard.usage)
            reason = _text(_get(heard.delta, "stop_reason"))
            if reason is not None:
                observer._finish = reason
                observer.meaningful = True
        case "message_stop":
            observer.terminal = observer.meaningful = True
        case "content_block_start":
            # An empty text block promises nothing yet; a block of any other kind is a beginning in itself.
            block = heard.content_block
            if _get(block, "type") != "text" or _get(block, "text"):
                observer.meaningful = True
        case "content_block_delta":
            if _get(heard.delta, "type") != "text_delta" or _get(heard.delta, "text"):
                observer.meaningful = True


def _reads_chat(block: bytes) -> bool:
    return (
        _CHAT_FINISH.search(block) is not None
        or b"[DONE]" in block
        or b"error" in block
        or (b'"usage"' in block and _CHAT_USAGE.search(block) is not None)
    )


def _hear_chat(observer: StreamObserver, heard: _Heard, data: bytes) -> None:
    observer._model = observer._model or _text(heard.model)
    usage = heard.usage or _get(heard.x_groq, "usage")
    if usage:
        observer._reports.append(usage)
    for choice in _items(heard.choices):
        reason = _text(choice.get("finish_reason"))
        if reason is not None:
            observer._finish = reason
            observer.terminal = observer.meaningful = True
        delta = choice.get("delta")
        if choice.get("text") or (isinstance(delta, dict) and any(v for k, v in delta.items() if k != "role")):
            observer.meaningful = True


def _reads_responses(block: bytes) -> bool:
    # Only the events about the response as a whole carry it.
    return b'"response"' in block or b"error" in block


def _hear_responses(observer: StreamObserver, heard: _Heard, data: bytes) -> None:
    observer._last = data
    kind, response = heard.type, heard.response
    if response is not None:
        observer._model = _text(response.model) or observer._model
        observer.response_id = _text(response.id) or observer.response_id
    if kind in _RESPONSE_ENDS:
        observer.terminal = True
        if response is not None:
            observer._reports.append(response.usage)
            observer._finish = _text(_get(response.incomplete_details, "reason")) or _text(response.status)
        if kind == "response.failed":
            observer.error = data
        else:
            observer.meaningful = True
    elif kind is None or not kind.startswith("response.") or kind in _OVERTURE:
        return
    elif kind == "response.output_item.added":
        # An empty message is announced before its text; any other item is a beginning in itself.
        observer.meaningful = observer.meaningful or _get(heard.item, "type") != "message"
    elif kind == "response.content_part.added":
        observer.meaningful = observer.meaningful or bool(_get(heard.part, "text"))
    else:
        observer.meaningful = True


def _reads_gemini(block: bytes) -> bool:
    return b'"finishReason"' in block or b"error" in block or b'"promptFeedback"' in block


def _hear_gemini(observer: StreamObserver, heard: _Heard, data: bytes) -> None:
    observer._last = b""
    observer._model = _text(heard.modelVersion) or observer._model
    if heard.usageMetadata:
        observer._reports = [heard.usageMetadata]
    for candidate in _items(heard.candidates):
        reason = _text(candidate.get("finishReason"))
        if reason is not None:
            observer._finish = reason
            observer.terminal = observer.meaningful = True
        for part in _items(_get(candidate.get("content"), "parts")):
            if any(value for key, value in part.items() if key != "thought"):
                observer.meaningful = True
    blocked = _text(_get(heard.promptFeedback, "blockReason"))
    if blocked is not None:
        observer._finish = blocked
        observer.terminal = observer.meaningful = True


def _read_last(observer: StreamObserver) -> None:
    last = observer._last
    for data in [event.data for event in parse_events(last)] or [last]:
        heard = _decoded(data)
        if heard is not None:
            _hear_gemini(observer, heard, data)


def _reads_images(block: bytes) -> bool:
    return b"completed" in block or b"error" in block


def _hear_images(observer: StreamObserver, heard: _Heard, data: bytes) -> None:
    if heard.type in _IMAGE_ENDS:
        observer._reports.append(heard.usage)
        observer.terminal = observer.meaningful = True
    elif heard.type is not None and heard.type.startswith(("image_generation.", "image_edit.")):
        observer.meaningful = True


_Reads = Callable[[bytes], bool]
_Hears = Callable[[StreamObserver, _Heard, bytes], None]
# Which bytes must be parsed, what is heard in an event, and which unparsed events are kept for the last of them.
_EARS: dict[Protocol, tuple[_Reads, _Hears, bytes | None]] = {
    Protocol.MESSAGES: (_reads_messages, _hear_messages, None),
    Protocol.CHAT: (_reads_chat, _hear_chat, None),
    Protocol.RESPONSES: (_reads_responses, _hear_responses, b'"sequence_number"'),
    Protocol.GEMINI: (_reads_gemini, _hear_gemini, b'"usageMetadata"'),
    Protocol.IMAGES: (_reads_images, _hear_images, None),
    # Embeddings do not stream; should one try, it would do so as OpenAI's images do.
    Protocol.EMBEDDINGS: (_reads_images, _hear_images, None),
}


def _of_last(read: Callable[[object], Usage]) -> Callable[[list[object]], Usage]:
    return lambda reports: read(next((report for report in reversed(reports) if report), None))


_USAGES: dict[_Hears, Callable[[list[object]], Usage]] = {
    _hear_messages: lambda reports: anthropic_usage(*reports),
    _hear_chat: _of_last(openai_usage),
    _hear_responses: _of_last(openai_usage),
    _hear_gemini: _of_last(gemini_usage),
    _hear_images: _of_last(openai_usage),
}


def _decoded(data: bytes) -> _Heard | None:
    try:
        heard = _heard(data)
    except (msgspec.DecodeError, RecursionError):
        # Lone surrogates, which msgspec refuses, and a `response` that is no object.
        found = _generic(data)
        if not isinstance(found, dict):
            return None
        if not isinstance(found.get("response"), dict):
            found.pop("response", None)
        heard = msgspec.convert(found, _Heard)
    if not isinstance(heard.type, str):
        heard.type = None
    return heard


def _generic(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _get(found: object, key: str) -> object:
    return found.get(key) if isinstance(found, dict) else None


def _items(found: object) -> list[dict[str, object]]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _last_of(found: list[dict[str, object]], key: str) -> str | None:
    return next((text for item in reversed(found) if (text := _text(item.get(key))) is not None), None)


def _text(value: object) -> str | None:
    """A word; numeric enums, which Gemini sends to some clients, become their digits. Zero says nothing."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and value else None
