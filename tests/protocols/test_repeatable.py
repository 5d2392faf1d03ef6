"""Which requests ask for the same answer each time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ccx.protocols.body import Body, open_body
from ccx.protocols.names import Operation, Protocol
from ccx.protocols.repeatable import is_remembered, is_repeatable

SEARCH = [{"type": "web_search"}]


def body_of(fields: dict[str, Any]) -> Body:
    return open_body(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("protocol", "fields", "expected"),
    [
        (Protocol.MESSAGES, {"temperature": 0}, True),
        (Protocol.MESSAGES, {"temperature": 0.0}, True),
        (Protocol.MESSAGES, {"seed": 1}, False),
        (Protocol.MESSAGES, {}, False),
        (Protocol.MESSAGES, {"temperature": 0, "tools": [{"type": "web_search_20250305", "name": "w"}]}, False),
        (Protocol.MESSAGES, {"temperature": 0, "tools": [{"name": "own", "input_schema": {}}]}, True),
        (Protocol.CHAT, {"temperature": 0}, True),
        (Protocol.CHAT, {"temperature": False}, False),
        (Protocol.CHAT, {"temperature": "0"}, False),
        (Protocol.CHAT, {"seed": 7}, True),
        (Protocol.CHAT, {"seed": None, "temperature": 1}, False),
        (Protocol.CHAT, {"seed": 7, "web_search_options": {"search_context_size": "low"}}, False),
        (Protocol.RESPONSES, {"temperature": 0}, True),
        (Protocol.RESPONSES, {"temperature": 0, "tools": SEARCH}, False),
        (Protocol.GEMINI, {"generationConfig": {"temperature": 0}}, True),
        (Protocol.GEMINI, {"generation_config": {"seed": 3}}, True),
        (Protocol.GEMINI, {"generationConfig": {"temperature": 1}}, False),
        (Protocol.GEMINI, {"generationConfig": []}, False),
        (Protocol.GEMINI, {"temperature": 0}, False),
        (Protocol.IMAGES, {"temperature": 0}, False),
    ],
)
def test_a_request_is_repeatable_by_its_sampling_and_its_tools(
    protocol: Protocol, fields: dict[str, Any], *, expected: bool
) -> None:
    body = body_of(fields)
    assert is_repeatable(protocol, Operation.GENERATE, body, value=body.value) is expected


@pytest.mark.parametrize("operation", [Operation.EMBED, Operation.BATCH_EMBED])
def test_embeddings_are_repeatable(operation: Operation) -> None:
    body = body_of({})
    assert is_repeatable(Protocol.GEMINI, operation, body, value=body.value)
    assert is_repeatable(Protocol.EMBEDDINGS, operation, body, value=body.value)


@pytest.mark.parametrize(
    ("protocol", "fields", "expected"),
    [
        (Protocol.RESPONSES, {}, True),
        (Protocol.RESPONSES, {"store": True}, True),
        (Protocol.RESPONSES, {"store": False}, False),
        (Protocol.RESPONSES, {"store": False, "previous_response_id": "resp_1"}, True),
        (Protocol.RESPONSES, {"store": False, "conversation": "conv_1"}, True),
        (Protocol.RESPONSES, {"store": False, "background": True}, True),
        (Protocol.RESPONSES, {"store": False, "prompt": {"id": "pmpt_1"}}, True),
        (Protocol.RESPONSES, {"store": False, "input": [{"type": "item_reference", "id": "msg_1"}]}, True),
        (Protocol.CHAT, {"store": True}, True),
        (Protocol.CHAT, {"store": False}, False),
        (Protocol.MESSAGES, {"container": "c"}, True),
        (Protocol.MESSAGES, {}, False),
        (Protocol.GEMINI, {"cachedContent": "cachedContents/1"}, False),
        (Protocol.IMAGES, {}, False),
        (Protocol.EMBEDDINGS, {}, False),
    ],
)
def test_what_a_provider_remembers(protocol: Protocol, fields: dict[str, Any], *, expected: bool) -> None:
    body = body_of(fields)
    assert is_remembered(protocol, body, value=body.value) is expected
