"""The faulty upstream, a process of its own: `python -m tests.soak.upstream '{"listen": …}'`.

Each request holds a marker, which is repeated in the answer. Of `share` of the requests something is done to the answer
instead, and written down with the marker, so that every error that a client sees can be explained. A key may be known
as refused for a while, or retired.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
import re
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from ccx.spec.suite import ScriptedAnswer
from ccx.testing.asking import written
from ccx.testing.upstreams import failing
from ccx.upstream.demo.answer import Answer
from ccx.upstream.demo.respond import respond
from ccx.upstream.reply import Call, Origin, Timeouts

MARKER: Final = re.compile(rb"mk[0-9a-f]{12}")
STATUSES: Final = (401, 402, 403, 404, 408, 413, 429, 500, 503, 529)
BEFORE: Final = (
    *(f"status {status}" for status in STATUSES),
    "429 with retry-after",
    "reset",
    "closed",
    "stall",
    "garbage",
    "torn gzip",
)
"""What may befall any answer before anything of it has been shown."""
WHOLE: Final = (*BEFORE, "short")
"""What may befall an answer in one piece."""
WITHIN: Final = ("cut", "reset within", "stall within")
"""What may befall a stream."""
SLOW: Final = ("drip", "late")
"""No faults: it is only slow."""

_SUFFIXES: Final = (
    (b"/messages", Protocol.MESSAGES),
    (b"/chat/completions", Protocol.CHAT),
    (b"/responses", Protocol.RESPONSES),
)
_STREAM: Final = re.compile(rb'"stream"\s*:\s*true')


@dataclass(slots=True)
class Order:
    """What the soak tells this process, a line of JSON at a time on its standard input."""

    refused: str | None = None
    accepted: tuple[str, ...] = ()


class Upstream:
    def __init__(self, record: TextIO, *, share: float, seed: int) -> None:
        self._record = record
        self._share = share
        self._rng = random.Random(seed)
        self._order = Order()
        self._grace: dict[str, float] = {}
        self.served = 0

    def tell(self, said: dict[str, Any]) -> None:
        """An order of the soak: a key to refuse, or the values that the rotating key may have."""
        if "refused" in said:
            self._order.refused = said["refused"]
        if "accepted" in said:
            self._order.accepted = tuple(said["accepted"])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines if one)}
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        target = line.split(b" ")[1]
        found = MARKER.search(body)
        marker = found[0].decode() if found else "mk" + "0" * 12
        self.served += 1
        channel = target.split(b"/")[1].decode()
        path, _, query = target.partition(b"?")
        protocol = next((p for suffix, p in _SUFFIXES if path.endswith(suffix)), Protocol.GEMINI)
        streamed = b":stream" in path if protocol is Protocol.GEMINI else _STREAM.search(body) is not None
        fault = self._fault(channel, headers, protocol, streamed=streamed)
        if fault is not None:
            self._note(marker, channel, fault)
        sent = written(Facts(protocol, marker, stream=streamed))
        query_ = "?" + query.decode() if protocol is Protocol.GEMINI and query else ""
        answer = respond("POST", sent.path + query_, [], sent.body)
        return await self._play(writer, fault, answer, protocol=protocol, streamed=streamed)

    def _fault(self, channel: str, headers: dict[bytes, bytes], protocol: Protocol, *, streamed: bool) -> str | None:
        key = headers.get(b"x-api-key") or headers.get(b"x-goog-api-key") or headers.get(b"authorization", b"")
        key = key.removeprefix(b"Bearer ")
        if key.startswith(b"rotating-") and key.decode() not in self._order.accepted:
            return "retired key"
        if self._order.refused is not None and key.decode() == self._order.refused:
            return self._rng.choice(("status 401", "status 429", "429 with retry-after"))
        if self._rng.random() >= self._share:
            return self._rng.choice(SLOW) if self._rng.random() < 0.04 else None
        if not streamed:
            return self._rng.choice(WHOLE)
        fault = self._rng.choice((*BEFORE, *WITHIN, *WITHIN))
        # Gemini streams JSON too: of a packed answer the beginning is passed on before the end is known.
        return "cut" if fault == "torn gzip" and protocol is Protocol.GEMINI else fault

    def _note(self, marker: str, channel: str, fault: str) -> None:
        self._record.write(json.dumps({"t": time.time(), "marker": marker, "channel": channel, "fault": fault}) + "\n")

    async def _play(
        self, writer: asyncio.StreamWriter, fault: str | None, answer: Answer, *, protocol: Protocol, streamed: bool
    ) -> bool:
        body = b"".join(piece.data for piece in answer.pieces)
        kind = next(value for name, value in answer.headers if name == b"content-type")
        match fault:
            case None | "drip" | "late":
                if fault == "late":
                    await asyncio.sleep(0.3)
                if not streamed:
                    await asyncio.sleep(self._rng.uniform(0.0, 0.02))
                    writer.write(_whole(200, kind, body))
                    await writer.drain()
                    return True
                await self._stream(writer, kind, answer, upto=len(answer.pieces), slow=fault == "drip")
                writer.write(b"0\r\n\r\n")
                await writer.drain()
                return True
            case "reset" | "closed":
                _leave(writer, rudely=fault == "reset")
                return False
            case "stall":
                await asyncio.sleep(4.0)
                return False
            case "garbage":
                writer.write(_whole(200, kind, b"<html>data: nothing of the kind</html>\n"))
            case "torn gzip":
                packed = gzip.compress(body)
                writer.write(
                    _whole(200, b"application/json", packed[: len(packed) // 2], b"content-encoding: gzip\r\n")
                )
            case "short":
                writer.write(_whole(200, kind, body, length=len(body) + 10)[: -len(body) // 2 or None])
                await writer.drain()
                return False
            case "cut" | "reset within" | "stall within":
                await self._stream(writer, kind, answer, upto=self._rng.randint(4, len(answer.pieces) - 4), slow=False)
                if fault == "stall within":
                    await asyncio.sleep(4.0)
                _leave(writer, rudely=fault == "reset within")
                return False
            case "429 with retry-after":
                writer.write(self._refusal(429, protocol, wait=self._rng.choice((100, 1000))))
            case "retired key":
                writer.write(self._refusal(401, protocol))
            case _:
                writer.write(self._refusal(int(fault.removeprefix("status ")), protocol))
        await writer.drain()
        return True

    def _refusal(self, status: int, protocol: Protocol, *, wait: int | None = None) -> bytes:
        path = {Protocol.MESSAGES: "/messages", Protocol.CHAT: "/chat/completions", Protocol.RESPONSES: "/responses"}
        call = Call(
            b"POST", Origin(False, "x", 1), path.get(protocol, "/v1beta/models/m:x").encode(), [], [b"{}"], Timeouts()
        )
        answer = failing(call, ScriptedAnswer(status=status, retry_after=wait))
        extra = b"".join(b"%s: %s\r\n" % pair for pair in answer.headers if pair[0].startswith(b"retry"))
        return _whole(status, b"application/json", b"".join(piece.data for piece in answer.pieces), extra)

    async def _stream(
        self, writer: asyncio.StreamWriter, kind: bytes, answer: Answer, *, upto: int, slow: bool
    ) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nx-request-id: up\r\ntransfer-encoding: chunked\r\n\r\n" % kind
        )
        pace = 0.08 if slow else self._rng.choice((0.0, 0.0, 0.003))
        for piece in answer.pieces[:upto]:
            writer.write(b"%x\r\n%s\r\n" % (len(piece.data), piece.data))
            if pace:
                await writer.drain()
                await asyncio.sleep(pace)
        await writer.drain()


def _whole(status: int, kind: bytes, body: bytes, extra: bytes = b"", *, length: int | None = None) -> bytes:
    head = b"HTTP/1.1 %d Status\r\ncontent-type: %s\r\nx-request-id: up\r\ncontent-length: %d\r\n%s\r\n"
    return head % (status, kind, len(body) if length is None else length, extra) + body


def _leave(writer: asyncio.StreamWriter, *, rudely: bool) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    if rudely and found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort() if rudely else writer.close()


async def _main(job: dict[str, Any]) -> None:
    folder = Path(job["folder"])
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    with (folder / "faults.jsonl").open("w", buffering=1) as record:
        upstream = Upstream(record, share=job["share"], seed=job["seed"])
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", job["port"], limit=2**22, backlog=512)
        orders = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)

        async def obey() -> None:
            while line := await orders.readline():
                upstream.tell(json.loads(line))
            stopped.set()  # whoever started this is gone

        obeying = asyncio.create_task(obey())
        await stopped.wait()
        obeying.cancel()
        server.close()
    (folder / "upstream.json").write_text(json.dumps({"served": upstream.served}))


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
