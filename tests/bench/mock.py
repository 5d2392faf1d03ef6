"""The upstream of every benchmark: just enough of Messages and Chat, as fast as Python can.

Law: it must not be the bottleneck, so it is a bare `asyncio.Protocol` that parses a head once (heads repeat) and never
the body. What it answers is said by the model's name, which every gateway passes on or maps, in words between dashes:

    ...-json            one JSON answer of about 1 KB
    ...-burst           an SSE stream of `EVENTS` deltas, written at once
    ...-paced-20[-50]   the same at one delta every 20 ms, 50 of them
    ...-wait-20         the JSON answer after 20 ms

The model as received is repeated in the answer, so that a client can see which name the gateway put in.
The preamble of a stream (start events) goes out together with the first delta, so that a gateway that waits for the
first meaningful event is not charged for the pace.

Wire formats: https://docs.anthropic.com/en/api/messages-streaming and
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import uvloop

EVENTS: Final = 50
_MODEL: Final = re.compile(rb'"model"\s*:\s*"([^"\\]{1,128})"')
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_CONTINUE: Final = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_REMEMBERED: Final = 4096
_TEXT: Final = "The quick answer is that nothing here was thought about; it only has the right size. "
_LAST_CHUNK: Final = b"0\r\n\r\n"
_CLOSED: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out: whole, or `first`, then `pieces` one every `interval` seconds, then `last`."""

    first: bytes
    pieces: tuple[bytes, ...] = ()
    last: bytes = b""
    interval: float = 0.0


@dataclass(frozen=True, slots=True)
class _Head:
    """What a request head says. `length` is -1 for a chunked body."""

    chat: bool
    length: int
    expects: bool
    close: bool


def plan(model: str, *, chat: bool) -> Answer:
    """The answer to a request for a model."""
    words = model.split("-")
    kind = next((word for word in words if word in ("json", "burst", "paced", "wait")), "json")
    numbers = [int(word) for word in words[words.index(kind) + 1 :] if word.isdigit()] if kind in words else []
    match kind:
        case "paced":
            count = numbers[1] if len(numbers) > 1 else EVENTS
            return _stream(model, chat=chat, count=count, interval=(numbers[0] if numbers else 20) / 1000)
        case "burst":
            return _stream(model, chat=chat, count=numbers[0] if numbers else EVENTS, interval=0.0)
        case "wait":
            return Answer(b"", last=_whole(model, chat=chat), interval=(numbers[0] if numbers else 20) / 1000)
        case _:
            return Answer(_whole(model, chat=chat))


def _whole(model: str, *, chat: bool) -> bytes:
    text = _TEXT * 9
    body: dict[str, object]
    if chat:
        message = {"role": "assistant", "content": text, "refusal": None}
        body = {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1700000000,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350},
        }
    else:
        body = {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 200,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 150,
            },
        }
    data = json.dumps(body, separators=(",", ":")).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\ncontent-length: %d\r\n\r\n"
    return head % len(data) + data


def _stream(model: str, *, chat: bool, count: int, interval: float) -> Answer:
    start, piece, end = _chat_events(model) if chat else _messages_events(model)
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
        b"request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    first = head + _chunk(start + piece)
    pieces = (_chunk(piece),) * (count - 1)
    last = _chunk(end) + _LAST_CHUNK
    return Answer(first + b"".join(pieces) + last) if not interval else Answer(first, pieces, last, interval)


def _messages_events(model: str) -> tuple[bytes, bytes, bytes]:
    usage = {"input_tokens": 200, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message: dict[str, Any] = {"id": "msg_bench", "type": "message", "role": "assistant", "model": model, "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
    start = _event("message_start", {"message": message})
    start += _event("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
    start += _event("ping", {})
    piece = _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "about twenty bytes. "}})
    end = _event("content_block_stop", {"index": 0})
    stop = {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": EVENTS}}
    return start, piece, end + _event("message_delta", stop) + _event("message_stop", {})


def _event(name: str, fields: dict[str, object]) -> bytes:
    data = json.dumps({"type": name, **fields}, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode()


def _chat_events(model: str) -> tuple[bytes, bytes, bytes]:
    def event(choices: list[object], **more: object) -> bytes:
        fields = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": model}
        return b"data: " + json.dumps({**fields, "choices": choices, **more}, separators=(",", ":")).encode() + b"\n\n"

    start = event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    piece = event([{"index": 0, "delta": {"content": "about twenty bytes. "}, "finish_reason": None}])
    end = event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    usage = {"prompt_tokens": 200, "completion_tokens": EVENTS, "total_tokens": 200 + EVENTS}
    return start, piece, end + event([], usage=usage) + b"data: [DONE]\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """One connection. Requests are answered in order; a pipelined one waits for the answer before it."""

    _heads: ClassVar[dict[bytes, _Head]] = {}
    _answers: ClassVar[dict[tuple[bytes, bool], Answer]] = {}

    def __init__(self, call_later: Callable[..., asyncio.TimerHandle]) -> None:
        self._call_later = call_later
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._head: _Head | None = None
        self._parts: list[bytes] = []
        self._model: bytes | None = None
        self._missing = 0
        self._answering: Answer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        self._answering = None

    def data_received(self, data: bytes) -> None:
        if self._head is not None and self._head.length >= 0 and len(data) <= self._missing:
            # The rest of a large body, on its own: nothing to cut, and nothing to keep once the model is known.
            self._missing -= len(data)
            self._keep(data)
            if not self._missing:
                self._answer(self._head)
            return
        self._buffer = self._buffer + data if self._buffer else data
        self._go_on()

    def _go_on(self) -> None:
        """Work off the buffer until an answer takes its time or more bytes are needed."""
        while self._buffer and self._answering is None and self._transport is not None:
            if not self._step():
                return

    def _step(self) -> bool:
        """Take one thing off the buffer; False when more bytes are needed."""
        head = self._head
        if head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = self._understand(self._buffer[: end + 2])
            self._buffer = self._buffer[end + 4 :]
            self._missing = max(0, head.length)
            if head.expects and self._transport is not None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if head.length == 0:
                self._answer(head)
                return True
            self._head = head
        if head.length < 0:
            return self._chunked(head)
        piece = self._buffer[: self._missing]
        self._buffer = self._buffer[self._missing :]
        self._missing -= len(piece)
        self._keep(piece)
        if not self._missing:
            self._answer(head)
        return True

    def _keep(self, piece: bytes) -> None:
        """Look for the model in what came; only while it has not been found is the body kept."""
        if self._model is not None:
            return
        body = b"".join((*self._parts, piece)) if self._parts else piece
        match = _MODEL.search(body)
        if match:
            self._model = match[1]
            self._parts = []
        else:
            self._parts = [body]

    def _chunked(self, head: _Head) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        try:
            size = int(self._buffer[:end].partition(b";")[0], 16)
        except ValueError:
            self._refuse()
            return False
        if len(self._buffer) < end + 2 + size + 2:
            return False
        if size:
            self._keep(self._buffer[end + 2 : end + 2 + size])
        self._buffer = self._buffer[end + 2 + size + 2 :]
        if not size:
            self._answer(head)
        return True

    @classmethod
    def _understand(cls, head: bytes) -> _Head:
        found = cls._heads.get(head)
        if found is None:
            length = _LENGTH.search(head)
            line = head[: head.find(b"\r\n")]
            found = _Head(
                chat=b"/chat/completions" in line,
                length=-1 if _CHUNKED.search(head) else int(length[1]) if length else 0,
                expects=_CONTINUE.search(head) is not None,
                close=_CLOSE.search(head) is not None,
            )
            if len(cls._heads) < _REMEMBERED:
                cls._heads[head] = found
        return found

    def _answer(self, head: _Head) -> None:
        key = (self._model or b"none-json", head.chat)
        self._head = None
        self._model = None
        self._parts = []
        answer = self._answers.get(key)
        if answer is None:
            answer = plan(key[0].decode("utf-8", "replace"), chat=head.chat)
            if len(self._answers) < _REMEMBERED:
                self._answers[key] = answer
        transport = self._transport
        if transport is None:
            return
        if answer.first:
            transport.write(answer.first)
        if answer.interval:
            self._answering = answer
            self._sent = 0
            self._timer = self._call_later(answer.interval, self._continue)
        elif head.close:
            transport.close()

    def _continue(self) -> None:
        answer, transport = self._answering, self._transport
        if answer is None or transport is None:
            return
        if self._sent < len(answer.pieces):
            transport.write(answer.pieces[self._sent])
            self._sent += 1
            self._timer = self._call_later(answer.interval, self._continue)
            return
        transport.write(answer.last)
        self._answering = None
        self._go_on()

    def _refuse(self) -> None:
        self._buffer = b""
        if self._transport is not None:
            self._transport.write(_CLOSED)
            self._transport.close()


async def serve(host: str, port: int) -> asyncio.Server:
    """Start listening; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Upstream(loop.call_later), host, port, backlog=4096)


async def _main(port: int) -> None:
    server = await serve("127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until told to stop; the port is printed once it is open."""
    parser = argparse.ArgumentParser(description="The upstream of the benchmarks.")
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(_main(parser.parse_args().port))


if __name__ == "__main__":
    main()
