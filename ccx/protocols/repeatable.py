"""Whether a request asks for the same answer each time, and whether its provider is to remember it.

Law: by documented fields only, and when in doubt it is not repeatable. What a route's policy writes over the client's
fields counts in their place, so values come from a function.

Sources: temperature and seed, https://platform.openai.com/docs/api-reference/chat/create,
https://docs.anthropic.com/en/api/messages, https://ai.google.dev/api/generate-content; what is stored,
https://platform.openai.com/docs/guides/conversation-state; containers,
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/code-execution-tool
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, assert_never

from ccx.protocols.body import Body
from ccx.protocols.facts import server_tools
from ccx.protocols.names import Operation, Protocol

Value = Callable[[str], object]
"""The value of a top-level field as it goes upstream, None where there is none."""

CACHEABLE: Final = frozenset({Operation.GENERATE, Operation.EMBED, Operation.BATCH_EMBED})

WHOLE: Final = frozenset(
    {
        *("end_turn", "stop_sequence", "max_tokens", "tool_use"),  # Messages
        *("stop", "length", "tool_calls", "function_call", "eos"),  # Chat
        *("completed", "max_output_tokens"),  # Responses
        *("STOP", "MAX_TOKENS"),  # Gemini
    },
)
"""Ends of an answer that the same request would come to again. Refusals and filters are a provider's mood, and a turn
that pauses is not over."""


def is_repeatable(protocol: Protocol, operation: Operation, body: Body, *, value: Value) -> bool:
    """Whether equal requests are meant to get equal answers."""
    if operation in (Operation.EMBED, Operation.BATCH_EMBED):
        return True
    match protocol:
        case Protocol.MESSAGES | Protocol.RESPONSES:
            settled = _is_zero(value("temperature"))
        case Protocol.CHAT:
            settled = _is_zero(value("temperature")) or _is_number(value("seed"))
        case Protocol.GEMINI:
            config = value("generationConfig")
            config = config if config is not None else value("generation_config")
            settled = isinstance(config, Mapping) and (
                _is_zero(config.get("temperature")) or _is_number(config.get("seed"))
            )
        case Protocol.IMAGES | Protocol.EMBEDDINGS:
            settled = protocol is Protocol.EMBEDDINGS
        case _:
            assert_never(protocol)
    return settled and not server_tools(protocol, body)


def is_remembered(protocol: Protocol, body: Body, *, value: Value) -> bool:
    """Whether the request goes on from something that the provider keeps, or has it keep the answer: then the answer's
    id means more than its text, and must not be given twice."""
    match protocol:
        case Protocol.RESPONSES:
            named = any(value(name) for name in ("previous_response_id", "conversation", "background", "prompt"))
            return named or value("store") is not False or b'"item_reference"' in body.raw
        case Protocol.CHAT:
            return value("store") is True
        case Protocol.MESSAGES:
            return value("container") is not None
        case Protocol.GEMINI | Protocol.IMAGES | Protocol.EMBEDDINGS:
            return False
        case _:
            assert_never(protocol)


def _is_zero(value: object) -> bool:
    return _is_number(value) and value == 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
