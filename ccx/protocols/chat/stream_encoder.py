"""A stream of chunks, written for a client.

The order that strict SDKs take: a chunk with the role, deltas, a chunk with the reason to end, the usage if the client
asked for it, `[DONE]`. Each event is flushed as it comes.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import msgspec

from ccx.protocols.chat.finish import write_finish, write_usage
from ccx.protocols.chat.reasoning import lost_logprobs, residue_details, thought_details
from ccx.protocols.chat.refused import write_failed
from ccx.protocols.chat.response_encoder import (
    CLIENT,
    place_of,
    put_media,
    put_residue,
    wants_functions,
    write_call,
    write_citations,
)
from ccx.protocols.codec import Asked, NewId
from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    Json,
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
from ccx.protocols.stream import merged
from ccx.protocols.values import record

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"


class ChatStreamEncoder:
    """Encodes one stream."""

    def __init__(self, asked: Asked, *, new_id: NewId) -> None:
        self.losses: list[Loss] = []
        self._asked = asked
        self._new_id = new_id
        self._counted = record(asked.body.get("stream_options")).get("include_usage") is True
        self._legacy = wants_functions(asked)
        self._head: JsonObject = {}
        self._before = self._after = b""
        self._early: Usage | None = None
        self._part: Part | None = None
        self._said: list[str] = []
        self._calls = -1
        self._thoughts = -1
        self._detailed = 0
        self._spoken = self._offset = 0
        self._place = 0
        self._refused = self._heard = False

    def encode(self, event: Event) -> bytes:
        match event:
            case PartDelta(_, words):
                return self._more(words)
            case PartBegin(index, part):
                return self._open(part, f"parts[{index}]")
            case PartEnd(index):
                return self._close(event, f"parts[{index}]")
            case Begin():
                return self._begin(event)
            case End():
                return self._end(event)
            case Failed():
                return write_failed(event)
            case _:
                assert_never(event)

    # --- the answer ---------------------------------------------------------------------------------------------------

    def _begin(self, event: Begin) -> bytes:
        self._early = event.usage
        created = self._asked.created if event.created is None else event.created
        self._head = {
            "id": event.id or self._new_id("chatcmpl-"),
            "object": "chat.completion.chunk",
            "created": created,
            "model": self._asked.model,
        }
        # All chunks but the last have the same frame, so it is encoded once.
        self._before = b"data: " + _encode(self._head)[:-1] + b',"choices":[{"index":0,"delta":'
        usage = b',"usage":null' if self._counted else b""
        self._after = b',"logprobs":null,"finish_reason":null}]' + usage + b"}\n\n"
        return self._delta({"role": "assistant", "content": None, "refusal": None})

    def _end(self, event: End) -> bytes:
        reason = write_finish(event.finish, refused=self._refused, losses=self.losses)
        if self._legacy and reason == "tool_calls":
            reason = "function_call"
        choice: JsonObject = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}
        chunk: JsonObject = {**self._head, "choices": [choice]}
        put_residue(chunk, choice, event.native, key="delta", losses=self.losses)
        if self._counted:
            chunk["usage"] = None
        written = b"data: " + _encode(chunk) + b"\n\n"
        if self._counted and (usage := write_usage(merged(self._early, event.usage))) is not None:
            written += b"data: " + _encode({**self._head, "choices": [], "usage": usage}) + b"\n\n"
        return written + _DONE

    # --- its parts ----------------------------------------------------------------------------------------------------

    def _open(self, part: Part, path: str) -> bytes:
        self._part, self._said, self._offset = part, [], self._spoken
        self._order(part, path)
        match part:
            case Text() | Refusal():
                return self._more(part.text) if part.text else b""
            case Reasoning():
                self._thoughts += 1
                return self._more(part.text) if part.text else b""
            case ToolCall():
                return self._call(part, path)
            case Media() | Opaque() | ToolResult():
                return b""
            case _:
                assert_never(part)

    def _call(self, part: ToolCall, path: str) -> bytes:
        if part.server:
            self.losses.append(Loss(path, "server_tool"))
            return b""
        self._calls += 1
        if not part.id:
            # Residue is addressed by the id, at the end.
            self._part = part = replace(part, id=self._new_id("call_"))
        written = write_call(part, path=path, losses=self.losses)
        if self._legacy:
            if self._calls:
                self.losses.append(Loss(path, "parallel_tool_calls"))
                return b""
            return self._delta({"function_call": {"name": part.name, "arguments": part.arguments}})
        return self._delta({"tool_calls": [{"index": self._calls, **written}]})

    def _more(self, words: str) -> bytes:
        match self._part:
            case Text():
                self._spoken += len(words)
                return self._delta({"content": words})
            case Reasoning():
                self._said.append(words)
                return self._delta({"reasoning_content": words})
            case Refusal():
                self._refused = True
                return self._delta({"refusal": words})
            case ToolCall(kind=kind, server=False):
                if self._legacy:
                    return b"" if self._calls else self._delta({"function_call": {"arguments": words}})
                piece: JsonObject = (
                    {"custom": {"input": words}} if kind == "custom" else {"function": {"arguments": words}}
                )
                return self._delta({"tool_calls": [{"index": self._calls, **piece}]})
            case _:
                return b""

    def _close(self, event: PartEnd, path: str) -> bytes:
        part, self._part = self._part, None
        natives = event.native
        match part:
            case Reasoning():
                whole = Reasoning("".join(self._said), part.summary, (*part.native, *natives))
                details = thought_details(whole, at=self._detailed, again=self._thoughts > 0)
                return self._details(details)
            case Text():
                return self._text_end(part, event, path)
            case ToolCall(server=False):
                whole_call = ToolCall(part.id, part.name, "", native=(*part.native, *natives))
                own = CLIENT.own(natives)
                late: JsonObject = {"tool_calls": [{"index": self._calls, **own}]} if own and not self._legacy else {}
                return (self._delta(late) if late else b"") + self._details(
                    residue_details(whole_call, at=self._detailed)
                )
            case Media():
                return self._media(part, event, path)
            case ToolResult():
                self.losses.append(Loss(path, "server_tool"))
            case Opaque():
                self.losses.append(Loss(path, f"unknown_part:{part.kind}"))
            case Refusal():
                self.losses += CLIENT.foreign((*part.native, *natives), path)
            case ToolCall() | None:
                pass
            case _:
                assert_never(part)
        return b""

    def _text_end(self, part: Text, event: PartEnd, path: str) -> bytes:
        whole = Text("", native=(*part.native, *event.native))
        self.losses += lost_logprobs(whole, path)
        delta: JsonObject = {}
        cited = (*part.citations, *event.citations)
        if cited:
            annotations = list[Json](write_citations(cited, offset=self._offset, path=path, losses=self.losses))
            if annotations:
                delta["annotations"] = annotations
        return (self._delta(delta) if delta else b"") + self._details(residue_details(whole, at=self._detailed))

    def _media(self, part: Media, event: PartEnd, path: str) -> bytes:
        whole = Media(part.kind, part.source, part.name, part.detail, (*part.native, *event.native))
        # A message has one sound, so for the next it is as if it were there.
        delta: JsonObject = {"audio": None} if self._heard else {}
        images: list[Json] = []
        put_media(delta, images, whole, asked=self._asked, new_id=self._new_id, path=path, losses=self.losses)
        if self._heard:
            del delta["audio"]
        self._heard |= "audio" in delta
        if images:
            delta["images"] = images
        return self._delta(delta) if delta else b""

    def _details(self, details: list[JsonObject]) -> bytes:
        self._detailed += len(details)
        return self._delta({"reasoning_details": list[Json](details)}) if details else b""

    def _order(self, part: Part, path: str) -> None:
        """A client that folds the stream gets parts in the order of a message, whatever it was."""
        place = place_of(part)
        if place is not None:
            if place < self._place:
                self.losses.append(Loss(path, "part_order", approximate=True))
            self._place = max(place, self._place)

    def _delta(self, delta: JsonObject) -> bytes:
        return self._before + _encode(delta) + self._after
