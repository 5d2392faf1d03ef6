"""An upstream's event stream, as neutral events.

Law
- Parts come out one after the other, in the order in which their items began; what a later item says while an earlier
  one is open waits. Words, thoughts and arguments come as they are said, all else when its item is whole.
- An item is whole when it is given whole; what was not streamed of it is said then. Items that only the final response
  holds come at the end. So the fold of the events equals the answer that is not streamed.
- An end is only what the provider called one.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import msgspec

from ccx.errors import BadReply
from ccx.protocols.codec import Context
from ccx.protocols.ir import (
    Begin,
    Citation,
    End,
    Event,
    Failed,
    Json,
    JsonObject,
    Media,
    Native,
    Opaque,
    Part,
    PartBegin,
    PartDelta,
    PartEnd,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from ccx.protocols.responses.content import read_part
from ccx.protocols.responses.ending import read_failure, read_finish, read_usage
from ccx.protocols.responses.items import Reader
from ccx.protocols.responses.sealed import Sealed
from ccx.protocols.responses.shell import read_residue
from ccx.protocols.sse import Event as SseEvent
from ccx.protocols.values import integer, record, text

_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.done"})
_CONTENT: Final = {"output_text": "text", "refusal": "refusal"}
_FAILURES: Final = frozenset({"response.failed", "response.cancelled", "error", "response.error"})

_loads = msgspec.json.Decoder().decode


class ResponsesStreamDecoder:
    """Decodes one stream; see the module's law."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._reader = Reader.of_answer(context)
        self._begun = self._done = False
        self._count = 0
        self._items: dict[int, _Item] = {}  # by the upstream's index
        self._queue: list[_Item] = []  # the open one, and those that wait for it
        self._parts: list[Part] = []  # as far as the finish depends on them

    def feed(self, event: SseEvent) -> list[Event]:
        """The neutral events that this one completes. Raises BadReply."""
        if self._done:
            return []
        data = event.data.strip()
        if not data or data == b"[DONE]":
            return []
        try:
            told: object = _loads(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise BadReply("an event of the stream is not JSON", stage="body") from None
        if not isinstance(told, dict):
            raise BadReply("an event of the stream is not a JSON object", stage="body")
        kind = text(told.get("type")) or event.event
        return self._take(kind, told)

    def end(self) -> list[Event]:
        """The upstream closed the stream: without its end, it was cut."""
        if self._done:
            return []
        self._done = True
        return [Failed("api_error", "The upstream's stream ended before its answer was whole.")]

    def _take(self, kind: str, told: JsonObject) -> list[Event]:
        match kind:
            case "response.output_text.delta":
                return self._said(told, "text")
            case "response.refusal.delta":
                return self._said(told, "refusal")
            case "response.reasoning_summary_text.delta" | "response.reasoning_summary.delta":
                return self._said(told, "summary")
            case "response.reasoning_text.delta" | "response.reasoning.delta":
                return self._said(told, "thought")
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                return self._said(told, "arguments")
            case "response.output_item.added":
                return [*self._began(record(told.get("response"))), *self._added(told)]
            case "response.output_item.done":
                return [*self._began(record(told.get("response"))), *self._whole(told)]
            case "response.content_part.added":
                return self._opened(told)
            case "response.content_part.done":
                self._content_done(told)
                return []
            case "response.created" | "response.in_progress" | "response.queued":
                return self._began(record(told.get("response")))
            case _ if kind in _ENDS:
                return self._ended(record(told.get("response")))
            case _ if kind in _FAILURES:
                return self._failed(told)
            case _:
                if "error" in told and isinstance(told["error"], dict | str):
                    # Gateways before the provider report errors in no shape of the protocol.
                    return self._failed(told)
                return []

    def _began(self, response: JsonObject) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [
            Begin(
                text(response.get("id")),
                text(response.get("model")) or self._context.model,
                integer(response.get("created_at")),
            )
        ]

    # --- items --------------------------------------------------------------------------------------------------------

    def _added(self, told: JsonObject) -> list[Event]:
        index, item = self._index(told), record(told.get("item"))
        if index in self._items or not item:
            return []
        self._enter(index, item)
        return self._drained()

    def _enter(self, index: int, item: JsonObject) -> _Item:
        found = self._items[index] = _Item(item, self._reader)
        self._queue.append(found)
        return found

    def _said(self, told: JsonObject, mode: str) -> list[Event]:
        words = told.get("delta")
        if not isinstance(words, str):
            words = text(record(words).get("text"))
        if not words:
            return []
        begun = self._began({})
        item = self._items.get(self._index(told))
        if item is None:
            item = self._enter(self._index(told), _guessed(told, mode))
        item.say(words, mode, integer(told.get("summary_index" if mode == "summary" else "content_index")) or 0)
        return [*begun, *self._drained()]

    def _opened(self, told: JsonObject) -> list[Event]:
        item = self._items.get(self._index(told))
        mode = _CONTENT.get(text(record(told.get("part")).get("type")))
        if item is None or mode is None:
            return []
        item.open(mode, integer(told.get("content_index")) or 0)
        return self._drained()

    def _content_done(self, told: JsonObject) -> None:
        item = self._items.get(self._index(told))
        if item is not None:
            item.content_done(integer(told.get("content_index")) or 0, told.get("part"))

    def _whole(self, told: JsonObject) -> list[Event]:
        index, item = self._index(told), record(told.get("item"))
        if not item:
            raise BadReply("an item of the stream is not an object", stage="body")
        known = self._items.get(index)
        if known is None:
            known = self._enter(index, item)
        known.finish(item)
        return self._drained()

    def _index(self, told: JsonObject) -> int:
        index = integer(told.get("output_index"))
        if index is not None:
            return index
        # Some servers leave it out; then the item's id must do.
        ident = text(told.get("item_id")) or text(record(told.get("item")).get("id"))
        return next((at for at, item in self._items.items() if ident and item.ident == ident), len(self._items))

    def _drained(self) -> list[Event]:
        """What can be said now: of the first item, and of the next ones as far as those before are whole."""
        found: list[Event] = []
        while self._queue:
            item = self._queue[0]
            for one in item.taken():
                match one:
                    case PartBegin(_, part):
                        self._parts.append(part if not isinstance(part, Media | Opaque) else Reasoning(""))
                        found.append(PartBegin(self._count, part))
                    case PartDelta(_, words):
                        found.append(PartDelta(self._count, words))
                    case PartEnd(_, natives, citations):
                        found.append(PartEnd(self._count, natives, citations))
                        self._count += 1
            if not item.done:
                break
            self._queue.pop(0)
        return found

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _ended(self, response: JsonObject) -> list[Event]:
        if response.get("status") == "failed":
            return self._failed({"response": response})
        found = self._began(response)
        output = response.get("output")
        for index, item in enumerate(output if isinstance(output, list) else []):
            if not isinstance(item, dict):
                continue
            known = self._items.get(index)
            if known is None:
                known = self._enter(index, item)
            if not known.done:
                known.finish(item)
        for cut in self._queue:
            # Its provider called the answer whole, so what was said of it is all there is.
            cut.finish(None)
        found += self._drained()
        self._done = True
        found.append(
            End(
                read_finish(response, self._parts),
                read_usage(response.get("usage")),
                read_residue(response, self._context.issuer),
            )
        )
        return found

    def _failed(self, told: JsonObject) -> list[Event]:
        self._done = True
        response = record(told.get("response"))
        error: Json = response.get("error") or told.get("error") or (None if response else told)
        if error is None and response.get("status") == "cancelled":
            error = "The answer was cancelled."
        if error is told:
            error = {key: value for key, value in told.items() if key != "type"}
        return [read_failure(error)]


class _Item:
    """An output item that has begun: what can be told of it, and what was said."""

    __slots__ = ("_closed", "_content", "_item", "_mode", "_out", "_place", "_reader", "_said", "done", "ident")

    def __init__(self, item: JsonObject, reader: Reader) -> None:
        self.ident = text(item.get("id"))
        self.done = False
        self._item = item
        self._reader = reader
        self._out: list[PartBegin | PartDelta | PartEnd] = []
        # What the open part is made of (None: there is none), where in its item it stands, and what it has said.
        self._mode: str | None = None
        self._place = -1
        self._said: list[str] = []
        self._content: dict[int, Json] = {}
        self._closed: set[tuple[str, int]] = set()
        kind = item.get("type")
        if kind in ("function_call", "custom_tool_call") and text(item.get("name")) and text(item.get("call_id")):
            self._call(item)

    def taken(self) -> list[PartBegin | PartDelta | PartEnd]:
        """What has become sayable since the last time."""
        found, self._out = self._out, []
        return found

    def say(self, words: str, mode: str, place: int) -> None:
        """More of a part of this item."""
        if self.done:
            return
        if mode == "arguments":
            if self._mode in ("arguments", "held"):
                self._more(words)
            return
        key = "text" if mode == "refusal" else mode
        slot = 0 if mode == "thought" else place
        if (self._mode, self._place) != (mode, slot):
            if mode == "summary" and self._mode == "summary":
                # The paragraphs of a summary are one thought.
                self._place = slot
                self._more("\n\n")
            elif (key, slot) in self._closed:
                return
            else:
                self._next(mode, slot)
        self._more(words)

    def open(self, mode: str, place: int) -> None:
        """A part of a message begins, of which nothing need be said."""
        if not self.done and (self._mode, self._place) != (mode, place) and ("text", place) not in self._closed:
            self._next(mode, place)

    def content_done(self, place: int, part: Json) -> None:
        """A part of a message was given whole; the next one may follow."""
        self._content[place] = part

    def finish(self, item: JsonObject | None) -> None:
        """The item is whole. None: it was never given whole."""
        if self.done:
            return
        whole = self._item if item is None else item
        if item is None and self._mode is None:
            # Begun, and nothing said of it.
            self.done = True
            return
        match self._mode:
            case "arguments" | "held":
                self._end_call(whole, given=item is not None)
            case "summary" | "thought":
                self._end_thought(whole, given=item is not None)
            case "text" | "refusal":
                self._end_message(whole, given=item is not None)
            case _:
                for part in self._reader.parts(whole):
                    if not isinstance(part, Sealed):
                        self._tell(part)
        self.done = True

    # --- one part -----------------------------------------------------------------------------------------------------

    def _more(self, words: str) -> None:
        self._said.append(words)
        if self._mode != "held":
            self._out.append(PartDelta(0, words))

    def _next(self, mode: str, place: int) -> None:
        """Open the next part of the item."""
        if self._mode is not None:
            self._close_content(self._content.get(self._place))
        self._mode, self._place, self._said = mode, place, []
        opening = self._reader.opening(self._item)
        part: Part
        match mode:
            case "text":
                part = Text("", native=opening)
            case "refusal":
                part = Refusal("", opening)
            case _:
                part = Reasoning("", mode == "summary", opening)
        self._out.append(PartBegin(0, part))

    def _close_content(self, given: Json, closing: tuple[Native, ...] = ()) -> None:
        """Close the open part. `given`: its own form when whole, if it was given."""
        natives: tuple[Native, ...] = ()
        citations: tuple[Citation, ...] = ()
        if self._mode in ("text", "refusal") and isinstance(given, dict):
            part = read_part(given, self._reader.issuer)
            if isinstance(part, Text):
                self._rest(part.text)
                natives, citations = part.native, part.citations
            elif isinstance(part, Refusal):
                self._rest(part.text)
                natives = part.native
        self._closed.add(("text" if self._mode == "refusal" else self._mode or "", self._place))
        self._out.append(PartEnd(0, (*natives, *closing), citations))
        self._mode = None

    def _rest(self, whole: str) -> None:
        """Say what was not streamed."""
        said = "".join(self._said)
        if len(whole) > len(said) and whole.startswith(said):
            self._more(whole[len(said) :])

    def _tell(self, part: Part) -> None:
        """A part that comes whole."""
        match part:
            case Text(words, citations):
                empty: Part = replace(part, text="", citations=())
                self._out += [PartBegin(0, empty), *_piece(words), PartEnd(0, citations=citations)]
            case Reasoning(words, summary, native):
                # Providers send the residue of a thought behind it, but for the id.
                early = sum(1 for one in native[:1] if one.data.keys() == {"id"})
                empty = Reasoning("", summary, native[:early])
                self._out += [PartBegin(0, empty), *_piece(words), PartEnd(0, native[early:])]
            case Refusal(words):
                self._out += [PartBegin(0, replace(part, text="")), *_piece(words), PartEnd(0)]
            case ToolCall():
                empty = replace(part, arguments="")
                self._out += [PartBegin(0, empty), *_piece(part.arguments), PartEnd(0)]
            case ToolResult() | Media() | Opaque():
                self._out += [PartBegin(0, part), PartEnd(0)]

    # --- kinds of items -----------------------------------------------------------------------------------------------

    def _call(self, item: JsonObject) -> None:
        part = self._reader.call({**item, "arguments": "", "input": ""})
        # The text of a custom tool inside the JSON of a function that stands in for it means nothing in pieces.
        self._mode = "held" if part.kind == "custom" and item.get("type") == "function_call" else "arguments"
        opening = self._reader.opening(item)
        self._out.append(PartBegin(0, ToolCall(part.id, part.name, "", part.kind, part.namespace, native=opening)))

    def _end_call(self, whole: JsonObject, *, given: bool) -> None:
        custom = whole.get("type") == "custom_tool_call"
        said = "".join(self._said)
        if given:
            part = self._reader.call(whole)
        else:
            part = self._reader.call({**whole, "input" if custom else "arguments": said})
        if self._mode == "held":
            self._out += _piece(part.arguments)
        else:
            self._rest(part.arguments)
        self._out.append(PartEnd(0, self._reader.called(whole)))
        self._mode = None

    def _end_thought(self, whole: JsonObject, *, given: bool) -> None:
        parts = [part for part in self._reader.reasoning(whole) if isinstance(part, Reasoning)] if given else []
        wanted = next((part for part in parts if part.summary == (self._mode == "summary")), None)
        if wanted is not None:
            self._rest(wanted.text)
        later = [part for part in parts if part.text and not part.summary] if self._mode == "summary" else []
        closing = self._reader.thought(whole) if given else ()
        self._close_content(None, () if later else closing)
        for part in later:
            self._tell(part)

    def _end_message(self, whole: JsonObject, *, given: bool) -> None:
        content = whole.get("content")
        listed: list[Json] = content if isinstance(content, list) and given else []
        closing = self._reader.closing(whole) if given else ()
        place = self._place
        own = listed[place] if 0 <= place < len(listed) else self._content.get(place)
        last = place >= len(listed) - 1
        self._close_content(own, closing if last else ())
        if not last:
            for part in self._reader.message(whole)[place + 1 :]:
                self._tell(part)


def _piece(words: str) -> list[PartBegin | PartDelta | PartEnd]:
    return [PartDelta(0, words)] if words else []


def _guessed(told: JsonObject, mode: str) -> JsonObject:
    """An item of which only a piece was told, as some servers leave its beginning out."""
    ident = text(told.get("item_id"))
    if mode in ("summary", "thought"):
        return {"type": "reasoning", "id": ident}
    return {"type": "message", "id": ident, "role": "assistant"}
