"""Token counts as an answer, where no upstream counts: ccx's own count in the protocol's shape.

Sources: https://docs.anthropic.com/en/api/messages-count-tokens, https://ai.google.dev/api/tokens,
https://platform.openai.com/docs/api-reference/responses/input-tokens
"""

from __future__ import annotations

import msgspec

from ccx.protocols.names import Protocol


def counted_answer(protocol: Protocol, count: int) -> bytes:
    """The body that says how many input tokens a request has."""
    match protocol:
        case Protocol.GEMINI:
            return msgspec.json.encode({"totalTokens": count})
        case Protocol.RESPONSES:
            return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": count})
        case _:
            return msgspec.json.encode({"input_tokens": count})
