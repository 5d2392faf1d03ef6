"""Neutral events, as a stream of Messages that a strict SDK accepts.

Law: blocks have indexes from 0 without a gap, each starts once and stops once before the next, and a signature comes
whole and last. Every event goes out as soon as it can be said; a block opens with the first thing it says, so that a
part which says nothing leaves none. Residue of another protocol goes before its part where it is known in time, and
behind it otherwise.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, assert_never, get_args

import msgspec

from ccx.errors import ErrorKind
from ccx.protocols.codec import Asked, NewId
from ccx.protocols.custom_tools import call_object
from ccx.protocols.failures import render_stream_error
from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    Json,
    JsonObject,
    Loss,
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
    Usage,
)
from ccx.protocols.messages.ending import encode_finish, encode_usage
from ccx.protocols.messages.natives import foreign, own, refused
from ccx.protocols.messages.response import (
    beside,
    blocks,
    call_block,
    carried,
    citations,
    hidden,
    message_id,
    reasoning_block,
    shown,
)
from ccx.protocols.names import Protocol
from ccx.protocols.residue import seal
from ccx.protocols.stream import merged

_IN_DELTA: Final = frozenset({"container", "stop_details"})
_KINDS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)

_dumps = msgspec.json.Encoder().encode
_WORDS: Final = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}\n\n'
)


class MessagesStreamEncoder:
    """Encodes one stream; see the module's law."""

    def __init__(self, asked: Asked, *, new_id: NewId) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._new_id = new_id
        self._usage: Usage | None = None
        self._index = -1  # of the latest block
        self._part: Part | None = None
        self._at = 0  # of the part, for losses
        self._open = False  # whether its block has begun
        self._held: list[str] = []  # what is said of a part that only goes out whole
        self._late: tuple[tuple[Native, ...], str | None] | None = None  # residue of the part before, its call's id
        self._said: list[Part] = []  # calls and refusals, on which the stop reason depends

    def encode(self, event: Event) -> bytes:
        """The bytes for this event, possibly none."""
        match event:
            case PartDelta(_, text):
                return self._delta(text) if text else b""
            case PartBegin(index, part):
                return self._begin(index, part)
            case PartEnd():
                return self._end_part(event)
            case Begin():
                return self._message(event)
            case End():
                return self._end(event)
            case Failed(kind, message):
                return render_stream_error(Protocol.MESSAGES, kind=_kind(kind), message=message).lstrip(b"\n")
            case _:
                assert_never(event)

    def _message(self, begin: Begin) -> bytes:
        self._usage = begin.usage
        message: JsonObject = {
            "id": message_id(begin.id, self._new_id),
            "type": "message",
            "role": "assistant",
            "model": self._asked.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": encode_usage(begin.usage),
        }
        return _event("message_start", {"message": message})

    def _begin(self, index: int, part: Part) -> bytes:
        self._part, self._at, self._open, self._held = part, index, False, []
        before = self._behind()
        match part:
            case Text(native=native) | Refusal(native=native):
                if isinstance(part, Refusal):
                    self._said.append(part)
                return before + self._blocks(carried(native))
            case ToolCall():
                self._said.append(part)
                if part.kind == "custom" or (part.server and not shown(part)):
                    return before
                sealed = b"" if part.server else self._blocks(carried(part.native, call=part.id))
                return before + sealed + self._start({**call_block(part, f"parts[{index}]", self.losses), "input": {}})
            case Reasoning() | ToolResult() | Media() | Opaque():
                return before
            case _:
                assert_never(part)

    def _delta(self, text: str) -> bytes:
        match self._part:
            case Text(native=native):
                start = b"" if self._open else self._start({"type": "text", "text": "", **own(native)})
                # By far the most frequent event, as `_piece` would write it.
                return start + _WORDS % (self._index, _dumps(text))
            case Refusal():
                start = b"" if self._open else self._start({"type": "text", "text": ""})
                return start + self._piece({"type": "text_delta", "text": text})
            case Reasoning():
                start = b"" if self._open else self._start({"type": "thinking", "thinking": "", "signature": ""})
                return start + self._piece({"type": "thinking_delta", "thinking": text})
            case ToolCall() if self._open:
                return self._piece({"type": "input_json_delta", "partial_json": text})
            case _:
                self._held.append(text)
                return b""

    def _end_part(self, end: PartEnd) -> bytes:
        part, path = self._part, f"parts[{self._at}]"
        match part:
            case Text():
                found = self._cited(replace(part, citations=(*part.citations, *end.citations)), path)
                self._left(end.native, path)
            case Refusal():
                self.losses.append(Loss(path, "refusal", approximate=True, detail="told as text"))
                self._left(end.native, path)
                found = b""
            case Reasoning():
                return self._end_reasoning(replace(part, native=(*part.native, *end.native)))
            case ToolCall() if self._open:
                self._left(end.native, path, call=None if part.server else part.id)
                found = b""
            case ToolCall():
                whole = replace(part, arguments="".join(self._held), native=(*part.native, *end.native))
                return self._whole_call(whole, path)
            case ToolResult() | Media():
                return self._blocks(blocks(replace(part, native=(*part.native, *end.native)), path, self.losses))
            case Opaque():
                return self._blocks(blocks(part, path, self.losses))
            case None:
                return b""
            case _:
                assert_never(part)
        return found + self._stop() if self._open else found

    def _cited(self, part: Text, path: str) -> bytes:
        if not part.citations:
            return b""
        start = b"" if self._open else self._start({"type": "text", "text": "", **own(part.native)})
        pieces = (
            self._piece({"type": "citations_delta", "citation": one}) for one in citations(part, path, self.losses)
        )
        return start + b"".join(pieces)

    def _end_reasoning(self, part: Reasoning) -> bytes:
        if not self._open:
            block = reasoning_block(part)
            if block is None:
                return b""
            if block["type"] == "redacted_thinking":
                return self._blocks((block,))
            found = self._start({**block, "signature": ""})
            return found + self._piece({"type": "signature_delta", "signature": block["signature"]}) + self._stop()
        fields = own(part.native)
        signature = fields.pop("signature", None)
        for key in fields:
            self.losses.append(Loss(f"parts[{self._at}].native", f"unknown_field:{key}", detail="known too late"))
        if signature is None and (theirs := foreign(part.native)):
            signature = seal(theirs)
        signed = b"" if signature is None else self._piece({"type": "signature_delta", "signature": signature})
        return signed + self._stop()

    def _whole_call(self, part: ToolCall, path: str) -> bytes:
        if part.server and not shown(part):
            return self._blocks((hidden(part, path, self.losses),))
        sealed = b"" if part.server else self._blocks(carried(part.native, call=part.id))
        given, _ = call_object(part)
        start = self._start({**call_block(part, path, self.losses), "input": {}})
        piece = self._piece({"type": "input_json_delta", "partial_json": _dumps(given).decode()})
        return sealed + start + piece + self._stop()

    def _left(self, natives: tuple[Native, ...], path: str, *, call: str | None = None) -> None:
        """Residue that became known when its part was out already."""
        for key in own(natives):
            self.losses.append(Loss(f"{path}.native", f"unknown_field:{key}", detail="known too late"))
        if theirs := foreign(natives):
            self._late = (theirs, call)

    def _behind(self) -> bytes:
        if self._late is None:
            return b""
        natives, call = self._late
        self._late = None
        return self._blocks(carried(natives, place="previous", call=call))

    def _end(self, end: End) -> bytes:
        found = b""
        if self._late is not None:
            if self._late[1] is not None:
                found = self._behind()
            else:
                # Clients take the last block for the answer, so nothing may follow a last text.
                self.losses.extend(refused(self._late[0], "", f"parts[{self._at}].native"))
        fields = beside(end.native, self.losses)
        reason, sequence = encode_finish(end.finish, self._said, self.losses)
        delta: JsonObject = {"stop_reason": reason, "stop_sequence": sequence}
        delta.update((key, value) for key, value in fields.items() if key in _IN_DELTA)
        rest: JsonObject = {key: value for key, value in fields.items() if key not in _IN_DELTA}
        usage = encode_usage(merged(self._usage, end.usage))
        return found + _event("message_delta", {"delta": delta, "usage": usage, **rest}) + _event("message_stop", {})

    def _start(self, block: JsonObject) -> bytes:
        self._index += 1
        self._open = True
        return _event("content_block_start", {"index": self._index, "content_block": block})

    def _piece(self, delta: Json) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _stop(self) -> bytes:
        self._open = False
        return _event("content_block_stop", {"index": self._index})

    def _blocks(self, whole: Iterable[JsonObject]) -> bytes:
        """Blocks that come whole. Their text comes in a delta, which is where clients read it."""
        found: list[bytes] = []
        for block in whole:
            text = block.get("text") if block.get("type") == "text" else None
            found.append(self._start({**block, "text": ""} if text is not None else block))
            if text is not None:
                found.append(self._piece({"type": "text_delta", "text": text}))
            found.append(self._stop())
        return b"".join(found)


def _event(name: str, payload: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _dumps({"type": name, **payload}))


def _kind(kind: str) -> ErrorKind:
    return next((one for one in _KINDS if one == kind), _KINDS[_KINDS.index("api_error")])
