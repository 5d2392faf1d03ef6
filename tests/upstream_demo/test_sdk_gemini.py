"""The official Google Gen AI SDK against the demo upstream."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

pytestmark = pytest.mark.sdk

FUNCTIONS = [
    types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA),
    types.FunctionDeclaration(
        name="clock",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"zone": types.Schema(type=types.Type.STRING)}, required=["zone"]
        ),
    ),
]
TOOLS: Any = [types.Tool(function_declarations=FUNCTIONS)]
MANUAL = types.AutomaticFunctionCallingConfig(disable=True)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[genai.Client]:
    made = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=demo_url))
    yield made
    await made.aio.aclose()
    made.close()


async def asked(
    client: genai.Client, stream: bool, contents: Any = "hello there", *, model: str = "demo", **config: Any
) -> Any:
    """The parts of the answer joined, the finish reason and the usage."""
    made = types.GenerateContentConfig(**config)
    if not stream:
        replies = [await client.aio.models.generate_content(model=model, contents=contents, config=made)]
    else:
        chunks = await client.aio.models.generate_content_stream(model=model, contents=contents, config=made)
        replies = [reply async for reply in chunks]
    parts = [part for reply in replies for part in reply.candidates[0].content.parts]  # type: ignore[index,union-attr]  # always set here
    return parts, replies[-1].candidates[0].finish_reason, replies[-1].usage_metadata  # type: ignore[index]  # likewise


@both
async def test_text(client: genai.Client, stream: bool) -> None:
    parts, finish, usage = await asked(client, stream, model="gemini-demo")
    text = "".join(part.text for part in parts)
    assert "gemini-demo" in text
    assert '"hello there"' in text
    assert finish == types.FinishReason.STOP
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count


@both
async def test_tools(client: genai.Client, stream: bool) -> None:
    parts, _, _ = await asked(client, stream, "call weather and clock", tools=TOOLS, automatic_function_calling=MANUAL)
    calls = [part for part in parts if part.function_call]
    assert [(part.function_call.name, part.function_call.args) for part in calls] == [
        ("weather", ARGUMENTS),
        ("clock", {"zone": "demo"}),
    ]
    assert all(part.thought_signature for part in calls)
    history = [
        types.Content(role="user", parts=[types.Part(text="go")]),
        types.Content(role="model", parts=calls),
        types.Content(
            role="user",
            parts=[
                types.Part.from_function_response(
                    name=part.function_call.name, response={"said": f"r-{part.function_call.name}"}
                )
                for part in calls
            ],
        ),
    ]
    parts, _, _ = await asked(client, stream, history, tools=TOOLS, automatic_function_calling=MANUAL)
    text = "".join(part.text for part in parts)
    assert '{"said":"r-weather"} {"said":"r-clock"}' in text


@both
async def test_thinking(client: genai.Client, stream: bool) -> None:
    parts, _, usage = await asked(client, stream, thinking_config=types.ThinkingConfig(include_thoughts=True))
    assert parts[0].thought
    assert not parts[-1].thought
    assert usage.thoughts_token_count > 0
    assert usage.total_token_count == (
        usage.prompt_token_count + usage.candidates_token_count + usage.thoughts_token_count
    )


@both
async def test_structured(client: genai.Client, stream: bool) -> None:
    parts, _, _ = await asked(client, stream, response_mime_type="application/json", response_json_schema=SCHEMA)
    assert json.loads("".join(part.text for part in parts)) == ARGUMENTS


@both
@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        ("demo-fail-400", 400, "INVALID_ARGUMENT"),
        ("demo-fail-401", 401, "UNAUTHENTICATED"),
        ("demo-fail-403", 403, "PERMISSION_DENIED"),
        ("demo-fail-404", 404, "NOT_FOUND"),
        ("demo-fail-429", 429, "RESOURCE_EXHAUSTED"),
        ("demo-fail-500", 500, "INTERNAL"),
        ("demo-overloaded", 503, "UNAVAILABLE"),
        ("demo-quota", 429, "RESOURCE_EXHAUSTED"),
    ],
)
async def test_errors(client: genai.Client, stream: bool, model: str, code: int, status: str) -> None:
    with pytest.raises(errors.APIError) as caught:
        await asked(client, stream, model=model)
    assert caught.value.code == code
    assert caught.value.status == status


async def test_error_in_a_stream(client: genai.Client) -> None:
    with pytest.raises(errors.APIError, match="middle of its answer"):
        await asked(client, True, model="demo-error-midstream")


async def test_blocked(client: genai.Client) -> None:
    reply = await client.aio.models.generate_content(model="demo-content-filter", contents="hi")
    assert reply.prompt_feedback is not None
    assert reply.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert not reply.candidates


async def test_count_embed_and_models(client: genai.Client) -> None:
    counted = await client.aio.models.count_tokens(model="demo", contents="one two three")
    assert counted.total_tokens == 3
    made = await client.aio.models.embed_content(
        model="demo", contents=["one", "two"], config=types.EmbedContentConfig(output_dimensionality=32)
    )
    assert made.embeddings is not None
    for embedding in made.embeddings:
        assert len(embedding.values or []) == 32
        assert math.isclose(sum(value * value for value in embedding.values or []), 1, abs_tol=1e-5)
    names = [model.name async for model in await client.aio.models.list(config={"query_base": True})]
    assert "models/demo" in names
    assert (await client.aio.models.get(model="anything")).name == "models/anything"
