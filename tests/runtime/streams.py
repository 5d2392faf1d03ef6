"""An answer of the Messages protocol, whole and as a stream, and a way to send a stream in any pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults import Peer, Received, chunk, encode

MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"cache_read_input_tokens":3,'
    b'"cache_creation_input_tokens":0,"output_tokens":2}}'
)
STREAM = [
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    b'"model":"up","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":1}}}\n\n',
    b"event: content_block_start\n"
    b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
    b'"usage":{"output_tokens":5}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


@dataclass(frozen=True, slots=True)
class Pieces:
    """A stream sent in these pieces, one chunk each; then whole, `cut`, or silent for good."""

    pieces: Sequence[bytes]
    cut: bool = False
    stall: bool = False

    async def play(self, peer: Peer, request: Received) -> bool:
        """Send it."""
        head = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
        await peer.write(encode(200, head))
        for piece in self.pieces:
            await peer.write(chunk(piece))
            await asyncio.sleep(0)
        if self.stall:
            await peer.gone()
        if self.stall or self.cut:
            return False
        await peer.write(chunk(b""))
        return True
