"""A client that knows what it got: how an answer ended, and whether it is the one that was asked for."""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ccx.protocols.names import Protocol
from ccx.routing.facts import Facts
from ccx.testing.asking import WORDS, written

MARKER: Final = re.compile(rb"mk[0-9a-f]{12}")
KEY_HEADERS: Final = {
    Protocol.MESSAGES: ("x-api-key", ""),
    Protocol.CHAT: ("authorization", "Bearer "),
    Protocol.RESPONSES: ("authorization", "Bearer "),
    Protocol.GEMINI: ("x-goog-api-key", ""),
}
FRONTS: Final = tuple(KEY_HEADERS)
Verdict = Literal["good", "refused", "broken", "error", "lost", "left", "wrong"]
"""Of an answer: whole and right; a status of 400 or more; cut off; ended by an error event; no answer at all; the
client left first; right by its form and not the answer to this request, or torn."""


@dataclass(slots=True)
class Asked:
    """One request and what came of it."""

    marker: str
    verdict: Verdict = "lost"
    status: int = 0
    request_id: str = ""
    digest: str = ""
    why: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def expected(marker: str) -> str:
    """What an upstream says to a marker."""
    asked = f"It was asked for {marker} with 1 message."
    return f'This is the ccx demo upstream, not a model. {asked} The newest says: "{WORDS}"'


def request(front: Protocol, *, model: str, key: str, marker: str, stream: bool, size: int, session: str) -> bytes:
    """The bytes of a request of about `size` bytes whose body holds the marker."""
    sent = written(Facts(front, model, stream=stream))
    words = f"{WORDS} {marker} " + "word " * max(0, (size - len(sent.body)) // 5)
    body = sent.body.replace(WORDS.encode(), words.encode())
    name, before = KEY_HEADERS[front]
    target = sent.path + ("?" + sent.query if sent.query else "")
    head = f"POST {target} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n{name}: {before}{key}\r\n"
    head += f"x-ccx-session: {session}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection:
    """One connection to the gateway, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def close(self, *, rudely: bool = False) -> None:
        """Leave."""
        if self._writer is not None:
            if rudely:
                self._writer.transport.abort()
            self._writer.close()
        self._reader = self._writer = None

    async def ask(self, sent: bytes, asked: Asked) -> None:
        """Send a request and read its answer into `asked`: the head, and what there is of the body. Raises
        ConnectionError and IncompleteReadError where it ends early."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        reader, writer = self._reader, self._writer
        writer.write(sent)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        asked.headers = headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in head[1:])}
        asked.request_id = headers.get("x-ccx-request-id", "")
        asked.digest = headers.get("x-ccx-digest", "")
        asked.status = int(head[0].split(" ")[1])
        if "content-length" in headers:
            asked.body = await reader.readexactly(int(headers["content-length"]))
        else:
            while size := int(await reader.readline(), 16):
                asked.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        if headers.get("connection") == "close":
            self.close()


def judged(front: Protocol, asked: Asked, *, stream: bool, whole: bool) -> Verdict:
    """What an answer is. `whole`: it ended as HTTP says."""
    strange = {found.decode() for found in MARKER.findall(asked.body)} - {asked.marker}
    if strange:
        asked.why = f"markers of others: {sorted(strange)}"
        return "wrong"
    if asked.status >= 400:
        asked.why = asked.body[:300].decode("utf-8", "replace")
        return "refused" if whole else "broken"
    try:
        said, ended = _streamed(front, asked.body) if stream else _whole(front, asked.body, whole=whole)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        asked.why = f"unreadable: {error!r} in {asked.body[-200:]!r}"
        return "wrong"
    right = expected(asked.marker)
    if ended == "well" and whole:
        if said == right:
            return "good"
        asked.why = f"said {said!r}"
        return "wrong"
    if not right.startswith(said):
        asked.why = f"torn: {said!r}"
        return "wrong"
    asked.why = asked.why or asked.body[-300:].decode("utf-8", "replace")
    return "error" if ended == "error" else "broken"


Ended = Literal["well", "error", "no"]


def _whole(front: Protocol, body: bytes, *, whole: bool) -> tuple[str, Ended]:
    if not whole:
        return "", "no"
    found = json.loads(body)
    match front:
        case Protocol.MESSAGES:
            return "".join(part.get("text", "") for part in found["content"]), "well"
        case Protocol.CHAT:
            return found["choices"][0]["message"]["content"], "well"
        case Protocol.RESPONSES:
            parts = [part for item in found["output"] if item["type"] == "message" for part in item["content"]]
            return "".join(part["text"] for part in parts), "well"
        case _:
            return "".join(part["text"] for part in found["candidates"][0]["content"]["parts"]), "well"


def _streamed(front: Protocol, body: bytes) -> tuple[str, Ended]:
    said, ended = "", "no"
    blocks = body.split(b"\n\n")
    if blocks[-1].strip():
        blocks.pop()  # an event that had only begun
    for block in blocks:
        data = b"".join(line[6:] for line in block.split(b"\n") if line.startswith(b"data: "))
        if not data:
            continue
        if data == b"[DONE]":
            ended = "well" if ended == "no" else ended
            continue
        event: dict[str, Any] = json.loads(data)
        kind = event.get("type")
        if event.get("error") or kind in ("error", "response.failed"):
            ended = "error"
        elif front is Protocol.MESSAGES:
            said += event["delta"].get("text", "") if kind == "content_block_delta" else ""
            ended = "well" if kind == "message_stop" else ended
        elif front is Protocol.RESPONSES:
            said += event["delta"] if kind == "response.output_text.delta" else ""
            ended = "well" if kind == "response.completed" else ended
        elif front is Protocol.CHAT:
            said += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
        else:
            candidate = event["candidates"][0]
            said += "".join(part.get("text", "") for part in candidate.get("content", {}).get("parts", ()))
            ended = "well" if candidate.get("finishReason") else ended
    return said, ended  # type: ignore[return-value]  # narrowed by hand


def marker(rng: random.Random) -> str:
    """A new marker."""
    return f"mk{rng.getrandbits(48):012x}"
