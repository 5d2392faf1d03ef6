"""An upstream's stream of Messages, as neutral events.

Law: parts come out one after the other, in the order in which their blocks began; what a later block says while an
earlier one is open waits. Nothing is held back otherwise, but for what has no meaning in pieces: the text of a custom
tool inside its JSON, and blocks that are not known. The fold of the events equals the answer that is not streamed. An
end is only what the provider called one.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ccx.errors import BadReply
from ccx.protocols.codec import Context, ToolName
from ccx.protocols.ir import (
    Begin,
    Citation,
    End,
    Event,
    Failed,
    Json,
    JsonObject,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Text,
    ToolCall,
)
from ccx.protocols.messages.ending import decode_finish, decode_usage
from ccx.protocols.messages.natives import Sealed, made
from ccx.protocols.messages.parts import SERVER_CALLS, Malformed, Reader, arguments_text, custom_input
from ccx.protocols.sse import Event as SseEvent

_MESSAGE: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"},
)
_DELTA: Final = frozenset({"stop_reason", "stop_sequence"})
_KINDS: Final = {
    "invalid_request_error": "invalid_request",
    "authentication_error": "authentication",
    "billing_error": "permission",
    "permission_error": "permission",
    "not_found_error": "not_found",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
    "gateway_timeout_error": "timeout",
}

_loads = msgspec.json.Decoder().decode


class MessagesStreamDecoder:
    """Decodes one stream; see the module's law."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reader = Reader.of_answer(context)
        self._begun = self._done = False
        self._count = 0
        self._blocks: dict[int, _Block] = {}  # those that are not over, by the upstream's index
        self._queue: list[_Block] = []  # the open one, and those that wait for it
        self._usage: list[Json] = []
        self._reason: Json = None
        self._sequence: Json = None
        self._stood_in = self._called = False
        self._rest: JsonObject = {}

    def feed(self, event: SseEvent) -> list[Event]:
        """The neutral events that this one completes. Raises BadReply."""
        if self._done:
            return []
        data = _read(event)
        if data is None:
            return []
        try:
            return self._take(data, event.event)
        except Malformed as error:
            raise BadReply(f"the stream is not one of the Messages API: {error}", stage="body") from None

    def end(self) -> list[Event]:
        """What is left to say once the upstream closed the stream: a stream that was cut gives `Failed`."""
        if self._done:
            return []
        if isinstance(self._reason, str) and not self._queue:
            return self._end()
        self._done = True
        return [Failed("api_error", "The upstream's stream ended before its answer was whole.")]

    def _take(self, data: dict[str, Any], name: str) -> list[Event]:
        kind = data.get("type")
        match kind if isinstance(kind, str) else name:
            case "content_block_delta":
                return self._delta(data)
            case "content_block_start":
                return [*self._begin({}), *self._start(_index(data), _object(data, "content_block"))]
            case "content_block_stop":
                block = self._blocks.pop(_index(data), None)
                return [] if block is None else self._stop(block)
            case "message_start":
                return self._message(_object(data, "message"))
            case "message_delta":
                self._update(data)
                return []
            case "message_stop":
                return self._end()
            case "error":
                return self._failed(data)
            case _:
                return self._failed(data) if isinstance(data.get("error"), dict) else []

    def _message(self, message: JsonObject) -> list[Event]:
        if self._begun:
            return []
        found = self._begin(message)
        content = message.get("content")
        for at, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict):
                found.extend(self._start(at, block))
                if (begun := self._blocks.pop(at, None)) is not None:
                    found.extend(self._stop(begun))
        return found

    def _begin(self, message: JsonObject) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        self._keep(message, _MESSAGE)
        id_, model, usage = message.get("id"), message.get("model"), message.get("usage")
        self._reason, self._sequence = message.get("stop_reason"), message.get("stop_sequence")
        if isinstance(usage, dict):
            self._usage.append(usage)
        return [
            Begin(
                id_ if isinstance(id_, str) else "",
                model if isinstance(model, str) else self._context.model,
                usage=decode_usage(usage) if isinstance(usage, dict) else None,
            )
        ]

    def _start(self, at: int, raw: JsonObject) -> list[Event]:
        name = raw.get("name")
        if raw.get("type") == "tool_use":
            stands_in = name is not None and name == self._context.json_tool
            self._stood_in, self._called = self._stood_in or stands_in, self._called or not stands_in
        block = _Block(self._count, raw, self._reader)
        self._count += 1
        self._blocks[at] = block
        self._queue.append(block)
        return self._said(block, block.begin())

    def _delta(self, data: dict[str, Any]) -> list[Event]:
        at, delta = _index(data), _object(data, "delta")
        begun: list[Event] = []
        block = self._blocks.get(at)
        if block is None:
            # Some vendors do not announce their blocks.
            kind = {"text_delta": "text", "thinking_delta": "thinking"}.get(str(delta.get("type")))
            if kind is None:
                raise Malformed(f"index {at}", "a delta of a block that did not start")
            begun = [*self._begin({}), *self._start(at, {"type": kind, ("text" if kind == "text" else kind): ""})]
            block = self._blocks[at]
        return [*begun, *self._said(block, block.delta(delta))] if begun else self._said(block, block.delta(delta))

    def _stop(self, block: _Block) -> list[Event]:
        block.over = True
        found = self._said(block, block.end())
        while self._queue and self._queue[0].over:
            self._queue.pop(0)
            if self._queue:
                found.extend(self._queue[0].waiting)
        return found

    def _said(self, block: _Block, events: list[Event]) -> list[Event]:
        if self._queue[0] is block:
            return events
        block.waiting.extend(events)
        return []

    def _update(self, data: dict[str, Any]) -> None:
        delta = data.get("delta")
        if isinstance(delta, dict):
            if delta.get("stop_reason") is not None:
                self._reason = delta["stop_reason"]
            if delta.get("stop_sequence") is not None:
                self._sequence = delta["stop_sequence"]
            self._keep(delta, _DELTA)
        if isinstance(data.get("usage"), dict):
            self._usage.append(data["usage"])
        self._keep(data, frozenset({"type", "delta", "usage"}))

    def _keep(self, fields: JsonObject, known: frozenset[str]) -> None:
        self._rest.update((key, value) for key, value in fields.items() if key not in known and value is not None)

    def _end(self) -> list[Event]:
        found = self._begin({})
        for block in self._queue[:]:
            # The message is whole, so its blocks are, although the upstream did not say so.
            found.extend(self._stop(block) if not block.over else ())
        self._done = True
        json_tool = self._stood_in and not self._called
        finish = decode_finish(self._reason, self._sequence, json_tool=json_tool)
        found.append(End(finish, decode_usage(*self._usage), made(self._rest, self._context.issuer)))
        return found

    def _failed(self, data: dict[str, Any]) -> list[Event]:
        self._done = True
        error = data.get("error")
        found = error if isinstance(error, dict) else data
        code, message = found.get("type"), found.get("message")
        if not isinstance(message, str):
            message = error if isinstance(error, str) else "The upstream reported an error without a message."
        word = code if isinstance(code, str) and found is error else None
        return [Failed(_KINDS.get(word or "", "api_error"), message, word)]


class _Block:
    """A block that has begun: its part, and what was said of it."""

    __slots__ = ("_back", "_citations", "_held", "_mode", "_raw", "_reader", "_silent", "index", "over", "waiting")

    def __init__(self, index: int, raw: JsonObject, reader: Reader) -> None:
        self.index = index
        self.over = False
        self.waiting: list[Event] = []
        self._raw = dict(raw)
        self._reader = reader
        self._citations: list[Citation] = []
        self._held: list[str] = []
        self._silent = True
        self._back: ToolName | None = None
        self._mode = self._chosen()

    def _chosen(self) -> str:
        kind, name = self._raw.get("type"), self._raw.get("name")
        if kind in ("text", "thinking"):
            return str(kind)
        if kind not in ("tool_use", *SERVER_CALLS):
            return "whole"
        if kind == "tool_use" and isinstance(name, str):
            if name == self._reader.json_tool:
                return "json"
            self._back = self._reader.called(name)
            if self._back is not None and self._back.kind == "custom":
                return "custom"
        return "call"

    def begin(self) -> list[Event]:
        """The events of its start."""
        match self._mode:
            case "text":
                return self._opened(Text(""), "text")
            case "thinking":
                return self._opened(Reasoning(""), "thinking")
            case "json":
                return [PartBegin(self.index, Text(""))]
            case "call" | "custom":
                part = self._reader.part({**self._raw, "input": None}, "content_block")
                if not isinstance(part, ToolCall):
                    raise Malformed("content_block", "not a call")
                empty = ToolCall(part.id, part.name, "", part.kind, part.namespace, part.server, part.native)
                return [PartBegin(self.index, empty)]
            case _:
                return []

    def _opened(self, part: Text | Reasoning, key: str) -> list[Event]:
        said = self._raw.pop(key, None)
        begun: list[Event] = [PartBegin(self.index, part)]
        return [*begun, PartDelta(self.index, said)] if isinstance(said, str) and said else begun

    def delta(self, delta: JsonObject) -> list[Event]:
        """The events of a delta."""
        kind = delta.get("type")
        match self._mode, kind:
            case "text", "text_delta":
                return self._more(delta.get("text"))
            case "thinking", "thinking_delta":
                return self._more(delta.get("thinking"))
            case "thinking", "signature_delta":
                # The official SDKs take a signature as a whole, not as a piece of one.
                self._raw["signature"] = delta.get("signature")
            case "text", "citations_delta":
                if isinstance(citation := delta.get("citation"), dict):
                    self._citations.append(self._reader.citation(citation))
            case (("call" | "json"), "input_json_delta"):
                return self._more(delta.get("partial_json"))
            case "custom", "input_json_delta":
                if isinstance(piece := delta.get("partial_json"), str):
                    self._held.append(piece)
            case _:
                self._absorb(delta)
        return []

    def _more(self, text: Json) -> list[Event]:
        if not isinstance(text, str):
            raise Malformed("delta", "Input should be a valid string")
        if not text:
            return []
        self._silent = False
        return [PartDelta(self.index, text)]

    def _absorb(self, delta: JsonObject) -> None:
        for key, value in delta.items():
            if key == "type":
                continue
            before = self._raw.get(key)
            self._raw[key] = before + value if isinstance(before, str) and isinstance(value, str) else value

    def end(self) -> list[Event]:
        """The events of its end."""
        match self._mode:
            case "text":
                part = self._reader.text({**self._raw, "text": ""}, "content_block")
                return [PartEnd(self.index, part.native, (*part.citations, *self._citations))]
            case "thinking":
                part_ = self._reader.part({**self._raw, "thinking": ""}, "content_block")
                return [PartEnd(self.index, part_.native if isinstance(part_, Reasoning) else ())]
            case "call" | "json":
                if not self._silent:
                    return [PartEnd(self.index)]
                return [PartDelta(self.index, arguments_text(self._raw.get("input"))), PartEnd(self.index)]
            case "custom":
                given = _given("".join(self._held), self._raw.get("input"))
                said = custom_input(given)
                ended: list[Event] = [PartEnd(self.index)]
                return [PartDelta(self.index, said), *ended] if said else ended
            case _:
                return self._whole()

    def _whole(self) -> list[Event]:
        part = self._reader.part(self._raw, "content_block")
        if isinstance(part, Sealed):
            raise Malformed("content_block", "sealed")
        if isinstance(part, Reasoning):
            return [PartBegin(self.index, Reasoning("")), PartEnd(self.index, part.native)]
        return [PartBegin(self.index, part), PartEnd(self.index)]


def _given(text: str, start: Json) -> Json:
    if not text.strip():
        return start
    try:
        found: Json = _loads(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text
    return found


def _read(event: SseEvent) -> dict[str, Any] | None:
    """The data of an event; None for one that says nothing."""
    if event.event == "ping" or not event.data.strip() or event.data.strip() == b"[DONE]":
        return None
    try:
        found = _loads(event.data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadReply(f"an event of the stream is not JSON: {error}", stage="body") from None
    if not isinstance(found, dict):
        raise BadReply("an event of the stream is not a JSON object", stage="body")
    return found


def _index(data: dict[str, Any]) -> int:
    index = data.get("index", 0)
    if not isinstance(index, int):
        raise Malformed("index", "Input should be a valid integer")
    return index


def _object(data: dict[str, Any], key: str) -> JsonObject:
    found = data.get(key)
    if not isinstance(found, dict):
        raise Malformed(key, "Input should be a valid object")
    return found
