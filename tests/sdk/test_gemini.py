"""The official Google Gen AI SDK through the gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google import genai
from google.genai import errors, types

from tests.gateway import Running
from tests.sdk.conftest import KEY
from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

pytestmark = [pytest.mark.sdk, pytest.mark.asyncio(loop_scope="session")]

TOOLS: Any = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA),
            types.FunctionDeclaration(name="clock", parameters_json_schema={"type": "object", "properties": {}}),
        ]
    )
]
MANUAL = types.AutomaticFunctionCallingConfig(disable=True)
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(served: Running) -> AsyncIterator[genai.Client]:
    made = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=served.url))
    yield made
    await made.aio.aclose()
    made.close()


async def asked(
    client: genai.Client, stream: bool, contents: Any = "hello there", *, model: str = "gemini-demo", **config: Any
) -> Any:
    """The parts of the answer, the finish reason and the usage."""
    made = types.GenerateContentConfig(**config)
    if not stream:
        replies = [await client.aio.models.generate_content(model=model, contents=contents, config=made)]
    else:
        chunks = await client.aio.models.generate_content_stream(model=model, contents=contents, config=made)
        replies = [reply async for reply in chunks]
        assert len(replies) > 1
    assert all(isinstance(reply, types.GenerateContentResponse) for reply in replies)
    parts = [part for reply in replies for part in reply.candidates[0].content.parts]  # type: ignore[index,union-attr]  # always set here
    return parts, replies[-1].candidates[0].finish_reason, replies[-1].usage_metadata  # type: ignore[index]  # likewise


@both
async def test_text(client: genai.Client, gateway: Running, stream: bool) -> None:
    parts, finish, usage = await asked(client, stream, system_instruction="be brief")
    text = "".join(part.text for part in parts)
    assert "gemini-demo" in text
    assert '"hello there"' in text
    assert finish == types.FinishReason.STOP
    exchange = await gateway.exchange()
    assert (exchange.protocol, exchange.stream, exchange.model_asked) == ("gemini", stream, "gemini-demo")
    assert (exchange.input_tokens, exchange.output_tokens) == (usage.prompt_token_count, usage.candidates_token_count)


@both
async def test_tools_in_parallel_and_their_results(client: genai.Client, stream: bool) -> None:
    parts, _, _ = await asked(client, stream, "call weather and clock", tools=TOOLS, automatic_function_calling=MANUAL)
    calls = [part for part in parts if part.function_call]
    assert [(part.function_call.name, part.function_call.args) for part in calls] == [
        ("weather", ARGUMENTS),
        ("clock", {}),
    ]
    assert all(part.thought_signature for part in calls)
    results = [
        types.Part.from_function_response(name=part.function_call.name, response={"said": part.function_call.name})
        for part in calls
    ]
    history = [
        types.Content(role="user", parts=[types.Part(text="go")]),
        types.Content(role="model", parts=calls),
        types.Content(role="user", parts=results),
    ]
    parts, _, _ = await asked(client, stream, history, tools=TOOLS, automatic_function_calling=MANUAL)
    assert '{"said":"weather"} {"said":"clock"}' in "".join(part.text for part in parts)


@both
async def test_thinking_images_and_schema(client: genai.Client, stream: bool) -> None:
    image = types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n", mime_type="image/png")
    parts, _, usage = await asked(
        client,
        stream,
        [types.Content(role="user", parts=[types.Part(text="what"), image])],
        thinking_config=types.ThinkingConfig(include_thoughts=True),
        response_mime_type="application/json",
        response_json_schema=SCHEMA,
    )
    assert parts[0].thought
    assert json.loads("".join(part.text for part in parts if not part.thought)) == ARGUMENTS
    assert usage.thoughts_token_count > 0


@both
@pytest.mark.parametrize(
    ("model", "code", "status", "kind"),
    [
        ("demo-fail-400", 400, "INVALID_ARGUMENT", errors.ClientError),
        ("demo-fail-401", 401, "UNAUTHENTICATED", errors.ClientError),
        ("demo-fail-403", 403, "PERMISSION_DENIED", errors.ClientError),
        ("demo-fail-404", 404, "NOT_FOUND", errors.ClientError),
        ("demo-fail-429", 429, "RESOURCE_EXHAUSTED", errors.ClientError),
        ("demo-fail-500", 500, "INTERNAL", errors.ServerError),
        ("demo-overloaded", 503, "UNAVAILABLE", errors.ServerError),
        ("demo-fail-529", 529, "UNAVAILABLE", errors.ServerError),
    ],
)
async def test_errors(
    client: genai.Client, stream: bool, model: str, code: int, status: str, kind: type[errors.APIError]
) -> None:
    with pytest.raises(kind) as caught:
        await asked(client, stream, model=model)
    assert (caught.value.code, caught.value.status) == (code, status)
    assert "as asked" in (caught.value.message or "")


async def test_streams_that_break_are_errors(client: genai.Client, gateway: Running) -> None:
    with pytest.raises(errors.APIError, match="middle of its answer"):
        await asked(client, True, model="demo-error-midstream")
    with pytest.raises(errors.APIError, match="broke off"):
        await asked(client, True, model="demo-cut")
    with pytest.raises(errors.ServerError):
        await asked(client, False, model="demo-cut")
    assert (await gateway.exchange(2)).error_kind == "upstream_cut"


async def test_a_key_that_is_not_ours(gateway: Running) -> None:
    stranger = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=gateway.url))
    with pytest.raises(errors.ClientError, match="not valid here") as caught:
        await asked(stranger, False)
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    await stranger.aio.aclose()
    stranger.close()


async def test_counting(client: genai.Client) -> None:
    counted = await client.aio.models.count_tokens(model="gemini-demo", contents="one two three")
    assert isinstance(counted, types.CountTokensResponse)
    assert counted.total_tokens


@pytest.mark.parametrize(("model", "count"), [("demo", 2), ("gemini-demo", 1)])
async def test_embeddings(client: genai.Client, gateway: Running, model: str, count: int) -> None:
    """For newer models the SDK sends several texts as the parts of one content."""
    made = await client.aio.models.embed_content(
        model=model, contents=["one", "two"], config=types.EmbedContentConfig(output_dimensionality=32)
    )
    assert isinstance(made, types.EmbedContentResponse)
    assert [len(embedding.values or []) for embedding in made.embeddings or []] == [32] * count
    assert (await gateway.exchange()).operation == "batch_embed"


async def test_models(client: genai.Client) -> None:
    names = [model.name async for model in await client.aio.models.list(config={"query_base": True})]
    assert "models/gemini-demo" in names
    found = await client.aio.models.get(model="gemini-demo")
    assert isinstance(found, types.Model)
    assert found.name == "models/gemini-demo"
