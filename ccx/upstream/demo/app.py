"""The demo upstream as a plain ASGI application, for `ccx demo` and for clients that need a socket.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ccx.upstream.demo.answer import Answer, End
from ccx.upstream.demo.respond import LARGE_BODY, MAX_BODY, respond, too_large

# ASGI's own types: its messages are open dictionaries, and servers and applications agree on `Any`.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class DemoApp:
    """Answers every request. `delay` is a pause in seconds before each piece of every answer."""

    __slots__ = ("_delay",)

    def __init__(self, *, delay: float = 0.0) -> None:
        self._delay = delay

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case _:  # a WebSocket: closing before it is accepted is a 403
                await receive()
                await send({"type": "websocket.close"})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        query: bytes = scope["query_string"]
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        target = (path + b"?" + query if query else path).decode("latin-1")
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > MAX_BODY:
                answer = too_large(scope["method"], target, scope["headers"])
                break
            chunks.append(chunk)
            if not message.get("more_body", False):
                asked = scope["method"], target, scope["headers"], b"".join(chunks)
                answer = respond(*asked) if size < LARGE_BODY else await asyncio.to_thread(respond, *asked)
                break
        if not self._waits(answer):
            await self._give(answer, send)
            return
        giving = asyncio.ensure_future(self._give(answer, send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:  # a client that leaves ends a slow answer; nobody waits for a stalled one for ever
            await asyncio.wait((giving, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (giving, gone):
                task.cancel()
            results = await asyncio.gather(giving, gone, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _waits(self, answer: Answer) -> bool:
        """Whether giving the answer takes time, in which the client may leave."""
        return bool(
            self._delay or answer.delay != 0 or answer.end is End.STALL or any(piece.delay for piece in answer.pieces)
        )

    async def _give(self, answer: Answer, send: Send) -> None:
        if answer.delay is None:
            await asyncio.Event().wait()
        elif answer.delay > 0:
            await asyncio.sleep(answer.delay)
        await send({"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)})
        for piece in answer.pieces:
            if pause := piece.delay + self._delay:
                await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": piece.data, "more_body": True})
        match answer.end:
            case End.COMPLETE:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            case End.CUT:
                return  # an ASGI server closes the connection of an application that returns too early
            case End.STALL:
                await asyncio.Event().wait()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
