"""Neutral events, as a stream of Gemini that a strict SDK accepts.

Law: each event that carries something becomes one chunk, which is a whole GenerateContentResponse, at once; a call goes
out whole, when it is whole; the finish reason and usage are in the last chunk. Server-sent events have no names and
there is never a comment among them, as Google's clients take one for broken JSON. A client that did not ask for
`alt=sse` is given the same chunks as one JSON array.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never, get_args

import msgspec

from ccx.errors import ErrorKind
from ccx.protocols.codec import Asked, NewId
from ccx.protocols.failures import render_stream_error
from ccx.protocols.gemini.ending import encode_time
from ccx.protocols.gemini.natives import SIGNATURE
from ccx.protocols.gemini.response import PartWriter, ending
from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    JsonObject,
    Loss,
    Media,
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
from ccx.protocols.names import Protocol
from ccx.protocols.sse import encode
from ccx.protocols.stream import merged

_KINDS: Final[dict[str, ErrorKind]] = {kind: kind for kind in get_args(ErrorKind)}

_dumps = msgspec.json.Encoder().encode


class GeminiStreamEncoder:
    """Encodes one stream; see the module's law. `array`: as a JSON array, not as server-sent events."""

    def __init__(self, asked: Asked, *, new_id: NewId, array: bool = False) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._new_id = new_id
        self._array = array
        self._sent = False
        self._told: JsonObject = {"modelVersion": asked.model}  # in every chunk
        self._usage: Usage | None = None
        self._writer = PartWriter(self.losses)
        self._part: Part | None = None
        self._said: list[str] = []
        self._count = 0  # of parts that were sent, as a client counts them that puts texts together

    def encode(self, event: Event) -> bytes:
        """The bytes for this event, possibly none."""
        match event:
            case PartDelta(_, text):
                return self._delta(text) if text else b""
            case PartBegin(_, part):
                self._part, self._said = part, []
                if isinstance(part, Refusal) and any(one.protocol is Protocol.GEMINI for one in part.native):
                    self._part = None
                    return b""
                return self._delta(_text(part)) if _text(part) else b""
            case PartEnd():
                return self._end_part(event)
            case Begin(id_):
                self._usage = event.usage
                created = encode_time(event.created)
                self._told = {"modelVersion": self._asked.model, "responseId": id_ or self._new_id("")}
                if created is not None:
                    self._told["createTime"] = created
                return b""
            case End(finish, usage, native):
                body = ending(
                    finish,
                    merged(self._usage, usage),
                    native,
                    parts=[{"text": ""}],
                    grounds=self._writer.grounds,
                    losses=self.losses,
                )
                return self._chunk(body, last=True)
            case Failed(kind, message):
                return self._failed(kind, message)
            case _:
                assert_never(event)

    def _delta(self, text: str) -> bytes:
        self._said.append(text)
        match self._part:
            case Text() | Refusal():
                return self._say({"text": text})
            case Reasoning():
                return self._say({"text": text, "thought": True})
            case _:
                return b""

    def _end_part(self, event: PartEnd) -> bytes:
        part, said, path = self._part, "".join(self._said), f"parts[{event.index}]"
        self._part, self._said = None, []
        found = b""
        match part:
            case Text():
                found = self._after(replace(part, text=said, native=(*part.native, *event.native)))
                self._writer.cite((*part.citations, *event.citations), said, index=self._count, path=path)
            case Reasoning():
                thought = replace(part, text=said, native=(*part.native, *event.native))
                self._writer.thought(thought)
                found = self._after(thought)
            case Refusal():
                self.losses.append(Loss(path, "refusal", approximate=True, detail="told as text"))
                found = self._after(replace(part, text=said, native=(*part.native, *event.native)))
            case ToolCall():
                call = replace(part, arguments="".join((part.arguments, said)), native=(*part.native, *event.native))
                found = self._say(self._writer.call(call, path))
            case Media() | ToolResult():
                whole = replace(part, native=(*part.native, *event.native))
                found = b"".join(self._say(one) for one in self._writer.part(whole, path))
            case Opaque():
                found = b"".join(self._say(one) for one in self._writer.part(part, path))
            case None:
                return b""
            case _:
                assert_never(part)
        self._count += 1
        return found

    def _after(self, part: Text | Reasoning | Refusal) -> bytes:
        """What is known of words only when they were said, on an empty part of their kind."""
        fields = self._writer.fields(part.native)
        if not fields or (SIGNATURE not in fields and not part.text):
            return b""
        thought: JsonObject = {"thought": True} if isinstance(part, Reasoning) else {}
        return self._say({"text": "", **thought, **fields})

    def _say(self, part: JsonObject) -> bytes:
        return self._chunk({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]})

    def _chunk(self, body: JsonObject, *, last: bool = False) -> bytes:
        return self._framed(_dumps({**self._told, **body}), last=last)

    def _framed(self, data: bytes, *, last: bool) -> bytes:
        if not self._array:
            return encode(None, data)
        before = b",\r\n" if self._sent else b"["
        self._sent = True
        return before + data + (b"]" if last else b"")

    def _failed(self, kind: str, message: str) -> bytes:
        known = _KINDS.get(kind, "api_error")
        event = render_stream_error(Protocol.GEMINI, kind=known, message=message).lstrip(b"\n")
        if not self._array:
            return event
        return self._framed(event.removeprefix(b"data: ").rstrip(b"\n"), last=True)


def _text(part: Part) -> str:
    return part.text if isinstance(part, Text | Reasoning | Refusal) else ""
