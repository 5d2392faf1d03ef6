"""An upstream's stream of chunks, read.

Law: the events that come out fold to the answer that is not streamed. Chunks are read as vendors send them: calls
with no index or no id, one index for all, a whole call in a chunk, thoughts in any field, usage anywhere, no `[DONE]`
after a reason to end. A stream that closes without either was cut. Choices beyond the first are none of the answer's:
they are never asked for.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from functools import partial

import msgspec

from ccx.errors import BadReply
from ccx.protocols.chat import parts as content
from ccx.protocols.chat import reasoning, tools
from ccx.protocols.chat.finish import read_finish, read_usage
from ccx.protocols.chat.reading import Origin
from ccx.protocols.chat.refused import failed
from ccx.protocols.chat.response_decoder import CHOICE, MESSAGE, TOP, read_citations, read_sound, restored
from ccx.protocols.chat.slots import Queue, Slot
from ccx.protocols.chat.tags import Splitter
from ccx.protocols.codec import Context
from ccx.protocols.dialects import dialect
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
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from ccx.protocols.sse import Event as SseEvent
from ccx.protocols.values import integer, record, records, rest, text

_decode = msgspec.json.Decoder(dict[str, object]).decode
# Padding against observers of sizes says nothing.
_TOP = TOP | {"obfuscation"}
_CUT = "the upstream's stream ended before the answer was whole"


class _Thought:
    """A thought as it comes: what its residue is made of."""

    __slots__ = ("details", "key", "part", "slot")

    def __init__(self, slot: Slot, key: object) -> None:
        self.slot = slot
        self.key = key
        self.details: list[JsonObject] = []
        self.part: JsonObject = {}


class _Call:
    """A call as it comes."""

    __slots__ = ("extra", "id", "kind", "name", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.id = ""
        self.name = ""
        self.kind = ""
        self.extra: JsonObject = {}


class ChatStreamDecoder:
    """Decodes one stream."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._origin = Origin(context.issuer)
        self._row = dialect(context.issuer)
        self._queue = Queue()
        self._begun = self._done = False
        self._thought: _Thought | None = None
        self._detailed = False
        self._splitter = Splitter() if self._row.think_tags else None
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._cited: list[Citation] = []
        self._sound: JsonObject = {}
        self._sounds: list[str] = []
        self._refused = False
        self._finish: str | None = None
        self._sequence: str | None = None
        self._usage: Usage | None = None
        self._top: JsonObject = {}
        self._choice: JsonObject = {}
        self._message: JsonObject = {}

    def feed(self, event: SseEvent) -> list[Event]:
        if self._done:
            return []
        data = event.data.strip()
        if data == b"[DONE]":
            return self._ended()
        if not data:
            return []
        try:
            chunk: JsonObject = _decode(data)  # type: ignore[assignment]  # JSON values by construction
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadReply(f"an event of the stream is not a JSON object: {error}", stage="body") from None
        if event.event == "error" or chunk.get("error"):
            self._done = True
            return [failed(data)]
        choices = chunk.get("choices")
        if (usage := read_usage(chunk)) is not None:
            self._usage = usage
        if not isinstance(choices, list):
            return []
        for key, value in chunk.items():
            if key not in _TOP and value is not None:
                self._top[key] = value
        if not choices:
            return []
        if not self._begun:
            self._begun = True
            model = text(chunk.get("model")) or self._context.model
            begin = Begin(text(chunk.get("id")), model, integer(chunk.get("created")))
            return [begin, *self._read(choices)]
        return self._read(choices)

    def end(self) -> list[Event]:
        if self._done:
            return []
        if self._finish is None:
            self._done = True
            return [Failed("api_error", _CUT)]
        return self._ended()

    # --- chunks -------------------------------------------------------------------------------------------------------

    def _read(self, choices: list[Json]) -> list[Event]:
        for choice in choices:
            if not isinstance(choice, dict):
                raise BadReply("a choice of the stream is not an object", stage="body")
            if not integer(choice.get("index")):
                self._read_choice(choice)
        return self._queue.take()

    def _read_choice(self, choice: JsonObject) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, dict) and self._queue.last is None:
            # Some vendors send a whole message instead; after deltas it would say all again.
            delta = choice.get("message")
        if isinstance(delta, dict):
            self._read_delta(delta)
        if reason := text(choice.get("finish_reason")):
            self._finish = reason
            self._sequence = text(choice.get("stop_reason")) or None
        for key, value in choice.items():
            if key not in CHOICE and value is not None:
                _grow(self._choice, key, value, lists=True)

    def _read_delta(self, delta: JsonObject) -> None:
        if len(delta) == 1 and type(words := delta.get("content")) is str:
            if words:
                self._say(words)
            return
        said = next((words for name in self._row.reasoning_out if (words := text(delta.get(name)))), "")
        details = records(delta.get("reasoning_details"))
        if said or details:
            self._think(said, details)
        match delta.get("content"):
            case str(words) if words:
                self._say(words)
            case list(listed):
                for part in listed:
                    self._part(part)
        if words := text(delta.get("refusal")):
            self._settle()
            self._refused = True
            self._words(Refusal, words)
        for item in records(delta.get("tool_calls")):
            self._call(item)
        if (function := delta.get("function_call")) and isinstance(function, dict):
            self._function(function)
        if annotations := delta.get("annotations"):
            self._cite(read_citations(annotations, self._origin))
        for image in records(delta.get("images")):
            self._whole(content.read_part(image, self._origin))
        if isinstance(sound := delta.get("audio"), dict):
            self._hear(sound)
        for key, value in delta.items():
            if key not in MESSAGE and value is not None:
                _grow(self._message, key, value, lists=True)

    # --- words and thoughts -------------------------------------------------------------------------------------------

    def _say(self, piece: str) -> None:
        splitter = self._splitter
        if splitter is None:
            self._words(Text, piece)
            return
        for kind, words in splitter.feed(piece):
            self._split(kind, words)
        if splitter.done:
            self._splitter = None

    def _settle(self) -> None:
        """What was held back as the possible beginning of a tag was none, now that something else begins."""
        if self._splitter is not None:
            splitter, self._splitter = self._splitter, None
            for kind, words in splitter.end():
                self._split(kind, words)

    def _split(self, kind: str, words: str) -> None:
        if kind == "answer":
            self._words(Text, words)
        else:
            self._queue.say(self._thinking("text").slot, words)

    def _words(self, kind: type[Text] | type[Refusal], piece: str) -> None:
        slot = self._queue.last
        # A part with residue of its own came whole.
        if slot is None or slot.closed or slot.call or not isinstance(slot.part, kind) or slot.part.native:
            slot = self._queue.open(Slot(kind("")))
            if self._cited and kind is Text:
                slot.citations, self._cited = self._cited, []
        self._queue.say(slot, piece)

    def _part(self, part: Json) -> None:
        """A part of content: words and thoughts come in pieces, others whole."""
        found = content.read_part(part, self._origin)
        match found:
            case Text(words) if not found.native:
                self._words(Text, words)
            case Reasoning(words):
                thought = self._thinking("thinking")
                _grow_thinking(thought.part, record(part))
                self._queue.say(thought.slot, words)
            case _:
                self._whole(found)

    def _whole(self, part: content.Content) -> None:
        self._settle()
        match part:
            case Text(words) | Reasoning(words) | Refusal(words):
                slot = Slot(replace(part, text=""))
                self._queue.open(slot)
                self._queue.say(slot, words)
            case Media() | Opaque():
                self._queue.open(Slot(part))

    def _think(self, said: str, details: list[JsonObject]) -> None:
        self._settle()
        if not details:
            self._queue.say(self._thinking("text").slot, said)
            return
        shown = False
        for item in details:
            words, key = reasoning.detail_text(item), ("details", integer(item.get("index")))
            if not said and (thought := self._repeated(words)) is not None:
                thought.key = key
                thought.details.append(dict(item))
                continue
            thought = self._thinking(key, summary=reasoning.summarised([item]))
            reasoning.grow(thought.details, item)
            shown |= bool(words)
            self._queue.say(thought.slot, words)
        self._detailed |= shown
        if said and not self._detailed and self._thought is not None:
            self._queue.say(self._thought.slot, said)

    def _thinking(self, key: object, *, summary: bool = False) -> _Thought:
        """The thought of this key, which is gone on with unless something else was said meanwhile."""
        thought = self._thought
        if thought is not None and thought.key == key and not thought.slot.closed and self._queue.last is thought.slot:
            return thought
        slot = Slot(Reasoning("", summary=summary))
        thought = self._thought = _Thought(slot, key)
        slot.natives = partial(self._thought_residue, thought)
        self._queue.open(slot)
        return thought

    def _repeated(self, words: str) -> _Thought | None:
        """The thought that was said as text, where its details follow only when it is whole."""
        thought = self._thought
        if thought is None or thought.key != "text" or self._queue.last is not thought.slot:
            return None
        return thought if not words or words == "".join(thought.slot.said) else None

    def _thought_residue(self, thought: _Thought, said: str) -> tuple[Native, ...]:
        if thought.details:
            return self._origin.native({"reasoning_details": list[Json](thought.details)})
        if residue := reasoning.thinking_residue(thought.part):
            return self._origin.native(residue)
        if said and self._row.reasoning_back != "never":
            return self._origin.native({"reasoning_content": said})
        return ()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call(self, item: JsonObject) -> None:
        function = record(item.get("function"))
        custom = record(item.get("custom"))
        kind = text(item.get("type"))
        if kind == "custom" or (kind != "function" and custom):
            kind, named, piece = "custom", text(custom.get("name")), text(custom.get("input"))
        else:
            kind, named, piece = "", text(function.get("name")), tools.arguments_text(function.get("arguments"))
        call = self._called(integer(item.get("index")), text(item.get("id")), named)
        extra = rest(item, ("id", "type", "custom", "function", "index"))
        if inside := rest(function, ("name", "arguments")):
            extra["function"] = inside
        for key, value in extra.items():
            _grow(call.extra, key, value, lists=False)
        # Residue that is there when the call begins is told then: it may have to be written before it.
        self._name(call, named, kind)
        self._queue.say(call.slot, piece)

    def _called(self, index: int | None, ident: str, named: str) -> _Call:
        """The call that a piece belongs to."""
        if ident and (known := self._by_id.get(ident)) is not None:
            return known
        if index is not None:
            found = self._by_index.get(index)
        else:
            found = self._calls[-1] if self._calls and not ident and not named else None
        if found is not None:
            another = bool(ident and found.id) or bool(not ident and named and found.name and found.slot.complete)
            if not another or (not ident and found.name == named and not found.slot.said):
                if ident:
                    found.id = ident
                    self._by_id[ident] = found
                return found
        self._settle()
        call = _Call(Slot(None, call=True))
        call.id = ident
        call.slot.natives = lambda _: self._origin.native(call.extra)
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        if ident:
            self._by_id[ident] = call
        self._queue.open(call.slot)
        return call

    def _function(self, function: JsonObject) -> None:
        """A call in the older way: there is one."""
        call = self._by_index.get(-1)
        named = text(function.get("name"))
        if call is None and not named:
            return
        call = call or self._called(-1, "", named)
        self._name(call, named, "")
        self._queue.say(call.slot, tools.arguments_text(function.get("arguments")))

    def _name(self, call: _Call, named: str, kind: str) -> None:
        """Begin a call once its name is known. Names are never continued, though some vendors repeat them."""
        if not named or call.name:
            return
        call.name, call.kind = named, kind
        spoken = ToolCall(
            call.id,
            named,
            "",
            kind="custom" if kind == "custom" else "function",
            native=self._origin.native(call.extra),
        )
        call.extra = {}
        begun = restored(spoken, self._context)
        slot = call.slot
        slot.part = begun
        slot.free = kind == "custom"
        if isinstance(begun, ToolCall) and begun.kind == "custom" and kind != "custom":
            slot.whole = tools.unwrapped
        self._queue.known(slot)

    # --- other --------------------------------------------------------------------------------------------------------

    def _cite(self, cited: tuple[Citation, ...]) -> None:
        slot = self._queue.last
        if slot is not None and isinstance(slot.part, Text) and not slot.closed:
            slot.citations.extend(cited)
        else:
            self._cited.extend(cited)

    def _hear(self, sound: JsonObject) -> None:
        if data := text(sound.get("data")):
            self._sounds.append(data)
        for key, value in rest(sound, ("data",)).items():
            _grow(self._sound, key, value, lists=False)

    # --- end ----------------------------------------------------------------------------------------------------------

    def _ended(self) -> list[Event]:
        self._done = True
        if not self._begun:
            return [Failed("api_error", "the upstream's stream was empty")]
        self._settle()
        if self._cited:
            self._queue.open(Slot(Text(""), citations=self._cited))
        if self._sounds:
            self._whole(read_sound({**self._sound, "data": _joined(self._sounds)}, self._origin))
        for call in self._calls:
            if call.slot.part is None:
                call.slot.part = ToolCall(call.id, call.name, "")
                self._queue.known(call.slot)
        self._queue.end()
        residual = self._choice
        if self._message:
            residual["message"] = self._message
        if residual:
            self._top["choices"] = [residual]
        finish = read_finish(
            self._finish,
            calls=any(isinstance(call.slot.part, ToolCall) for call in self._calls),
            refused=self._refused,
            sequence=self._sequence,
        )
        return [*self._queue.take(), End(finish, self._usage or Usage(), self._origin.native(self._top))]


def _grow(found: JsonObject, key: str, value: Json, *, lists: bool) -> None:
    """More of a field that comes in pieces: text and lists go on, objects are merged, all else is replaced."""
    before = found.get(key)
    match before, value:
        case str(), str() if before != value:
            found[key] = before + value
        case list(), list() if lists:
            found[key] = [*before, *value]
        case dict(), dict():
            for inner, piece in value.items():
                if piece is not None or inner not in before:
                    _grow(before, inner, piece, lists=lists)
        case _:
            found[key] = dict(value) if isinstance(value, dict) else value


def _grow_thinking(part: JsonObject, piece: JsonObject) -> None:
    """More of a part of type `thinking`."""
    held, more = part.get("thinking"), piece.get("thinking")
    if isinstance(held, str) and isinstance(more, str):
        part["thinking"] = held + more
    elif isinstance(held, list) and isinstance(more, list):
        for item in more:
            last = record(held[-1]) if held else {}
            if isinstance(item, dict) and item.get("type") == "text" == last.get("type"):
                held[-1] = {**last, "text": text(last.get("text")) + text(item.get("text"))}
            else:
                held.append(item)
    elif more is not None:
        part["thinking"] = list(more) if isinstance(more, list) else more
    for key, value in piece.items():
        if key != "thinking":
            part[key] = value


def _joined(pieces: list[str]) -> str:
    """Base64 pieces as one; each may be padded on its own."""
    try:
        return base64.b64encode(b"".join(map(base64.b64decode, pieces))).decode()
    except (ValueError, binascii.Error):
        return "".join(pieces)
