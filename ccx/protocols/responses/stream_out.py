"""Neutral events as the event stream that a client reads.

Law: an answer that was not whole never gets a proper end; `response.failed` is the only word for that, since Codex
knows a failure by it. Each event is numbered, in order, without gaps.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from ccx.protocols.codec import Asked, NewId
from ccx.protocols.ir import (
    Begin,
    End,
    Event,
    Failed,
    JsonObject,
    Loss,
    PartBegin,
    PartDelta,
    PartEnd,
    Usage,
)
from ccx.protocols.responses.ending import write_failure
from ccx.protocols.responses.output import Output
from ccx.protocols.responses.response import answer_id
from ccx.protocols.responses.shell import Shell
from ccx.protocols.stream import merged

_encode = msgspec.json.Encoder().encode


class ResponsesStreamEncoder:
    """Encodes one stream; see the module's law."""

    def __init__(self, asked: Asked, *, new_id: NewId) -> None:
        self.losses: list[Loss] = []
        self._new_id = new_id
        self._shell = Shell(asked)
        self._output = Output(asked, new_id=new_id, tell=self._tell, losses=self.losses)
        self._usage: Usage | None = None
        self._number = 0
        self._out = bytearray()

    def encode(self, event: Event) -> bytes:
        """The bytes for this event, possibly none."""
        match event:
            case Begin():
                self._begin(event)
            case PartBegin(_, part):
                self._output.begin(part)
            case PartDelta(_, words):
                self._output.more(words)
            case PartEnd(_, natives, citations):
                self._output.end(natives, citations)
            case End(finish, usage, natives):
                self._output.close()
                response = self._shell.whole(
                    self._output.items, finish, merged(self._usage, usage), natives=natives, losses=self.losses
                )
                self._tell(f"response.{response['status']}", {"response": response})
            case Failed():
                if not self._shell.id:
                    self._shell.id = self._new_id("resp_")
                response = self._shell.failed(write_failure(event), self._output.items)
                self._tell("response.failed", {"response": response})
            case _:
                assert_never(event)
        found = bytes(self._out)
        self._out.clear()
        return found

    def _begin(self, event: Begin) -> None:
        shell = self._shell
        shell.id = answer_id(event.id, self._new_id)
        if event.created is not None:
            shell.created = event.created
        self._usage = event.usage
        response = shell.begun()
        self._tell("response.created", {"response": response})
        self._tell("response.in_progress", {"response": response})

    def _tell(self, kind: str, fields: JsonObject) -> None:
        # No type of an event has a line end, so it is written here rather than by `sse.encode`.
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        self._out += b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
