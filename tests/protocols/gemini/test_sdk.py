"""Google's own SDK as a judge of shapes: it knows every field by name and refuses others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from google.genai import types
from hypothesis import given, settings

from ccx.protocols import ir
from ccx.protocols.gemini import codec
from ccx.protocols.names import Protocol
from tests.protocols import strategies as some
from tests.protocols.gemini.kit import ASKED, mint, streamed, target, whole
from tests.protocols.gemini.test_goldens import AGENT, CLAUDE
from tests.protocols.gemini.test_properties import answers


def understood(payload: Any) -> types.GenerateContentResponse:
    return types.GenerateContentResponse.model_validate(payload)


THEIRS = some.natives(Protocol.MESSAGES, issuers=("anthropic",), keys=("signature",))


@given(response=some.responses(THEIRS))
@settings(max_examples=25)
def test_an_answer_of_anyone_is_understood(response: ir.Response) -> None:
    parts = tuple(part for part in response.parts if not isinstance(part, ir.Opaque))
    response = ir.Response(response.id, response.model, parts, response.finish, response.usage)
    encoded = codec.encode_response(response, ASKED, new_id=mint)
    found = understood(msgspec.json.decode(msgspec.json.encode(encoded.payload)))
    assert found.response_id == response.id
    stream, _ = streamed(response)
    for line in stream.split(b"\n\n"):
        if line:
            understood(msgspec.json.decode(line.removeprefix(b"data: ")))


@given(response=answers())
def test_what_the_sdk_says_was_said(response: ir.Response) -> None:
    found = understood(codec.encode_response(response, ASKED, new_id=mint).payload)
    said = [part.text for part in response.parts if isinstance(part, ir.Text)]
    calls = [part.name for part in response.parts if isinstance(part, ir.ToolCall)]
    assert found.candidates is not None
    content = found.candidates[0].content
    assert content is not None
    kept = content.parts or []
    assert [part.text for part in kept if part.text is not None and not part.thought] == said
    assert [call.name for call in found.function_calls or []] == calls


def test_thoughts_of_others_come_back_through_the_sdk() -> None:
    """The SDK reads signatures as bytes and writes them in its own alphabet of base64."""
    stream, _ = streamed(CLAUDE)
    parts: list[Any] = []
    for line in stream.split(b"\n\n"):
        if line:
            candidates = understood(msgspec.json.decode(line.removeprefix(b"data: "))).candidates
            assert candidates is not None
            content = candidates[0].content
            assert content is not None
            parts.extend(part for part in content.parts or [] if not part.thought and part.text != "")
    history = types.Content(role="model", parts=parts)
    body: Any = {"contents": [msgspec.json.decode(history.model_dump_json(by_alias=True, exclude_none=True))]}
    read = codec.decode_request(body, model="m", stream=False)
    thoughts = [part for part in read.messages[0].parts if isinstance(part, ir.Reasoning)]
    assert thoughts == [CLAUDE.parts[0]]
    assert whole([stream]).finish.reason == "tool_calls"


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3.5-flash"])
def test_a_request_has_only_fields_that_the_sdk_knows(model: str) -> None:
    payload: Any = codec.encode_request(AGENT, target(model), new_id=mint).payload
    for content in payload["contents"]:
        types.Content.model_validate(content)
    for tool in payload["tools"]:
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(payload["toolConfig"])
    types.GenerationConfig.model_validate(payload["generationConfig"])
    types.Content.model_validate(payload["systemInstruction"])
