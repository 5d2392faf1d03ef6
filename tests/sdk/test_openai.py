"""The official OpenAI SDK through the gateway: Chat, Responses, Embeddings, Images, Models."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import types
from openai.types import chat as chat_types
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem

from tests.gateway import Running
from tests.sdk.conftest import KEY
from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

pytestmark = [pytest.mark.sdk, pytest.mark.asyncio(loop_scope="session")]

FUNCTIONS: Any = [
    {"name": "weather", "parameters": SCHEMA},
    {"name": "clock", "parameters": {"type": "object", "properties": {}}},
]
CHAT_TOOLS: Any = [{"type": "function", "function": function} for function in FUNCTIONS]
TOOLS: Any = [{"type": "function", **function} for function in FUNCTIONS]
PNG = b"\x89PNG\r\n\x1a\n"
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(served: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


async def chat(client: openai.AsyncOpenAI, stream: bool, **kwargs: Any) -> Any:
    """The completion, streamed or not."""
    text = kwargs.pop("text", "hello there")
    kwargs = {"model": "gpt-demo", "messages": [{"role": "user", "content": text}], **kwargs}
    if not stream:
        return await client.chat.completions.create(**kwargs)
    async with client.chat.completions.stream(**kwargs, stream_options={"include_usage": True}) as streamed:
        return await streamed.get_final_completion()


async def respond(client: openai.AsyncOpenAI, stream: bool, **kwargs: Any) -> Response:
    """The response, streamed or not."""
    kwargs = {"model": "gpt-demo", "input": "hello there", **kwargs}
    if not stream:
        response: Response = await client.responses.create(**kwargs)
        return response
    async with client.responses.stream(**kwargs) as streamed:
        return await streamed.get_final_response()


@both
async def test_chat(client: openai.AsyncOpenAI, gateway: Running, stream: bool) -> None:
    completion = await chat(client, stream)
    assert isinstance(completion, chat_types.ChatCompletion)
    (choice,) = completion.choices
    assert isinstance(choice.message, chat_types.ChatCompletionMessage)
    assert '"hello there"' in choice.message.content
    assert (choice.finish_reason, completion.model) == ("stop", "gpt-demo")
    assert completion.usage is not None
    exchange = await gateway.exchange()
    assert (exchange.protocol, exchange.stream, exchange.finish) == ("chat", stream, "stop")
    assert (exchange.input_tokens, exchange.output_tokens) == (
        completion.usage.prompt_tokens,
        completion.usage.completion_tokens,
    )


@both
async def test_chat_tools_in_parallel_and_their_results(client: openai.AsyncOpenAI, stream: bool) -> None:
    completion = await chat(client, stream, text="call weather and clock", tools=CHAT_TOOLS)
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls]
    assert calls == [("weather", ARGUMENTS), ("clock", {})]
    spoken = [
        {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": "{}"}}
        for call in message.tool_calls
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"r-{call.function.name}"} for call in message.tool_calls
    ]
    history = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": spoken},
        *results,
    ]
    answer = await chat(client, stream, messages=history, tools=CHAT_TOOLS)
    assert "r-weather r-clock" in answer.choices[0].message.content


@both
async def test_chat_reasoning_and_images(client: openai.AsyncOpenAI, stream: bool) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}}
    content = [{"type": "text", "text": "what is this"}, image]
    completion = await chat(client, stream, messages=[{"role": "user", "content": content}], reasoning_effort="low")
    message = completion.choices[0].message
    assert '"what is this"' in message.content
    assert message.model_extra["reasoning_content"]
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0


ERRORS = [
    ("demo-fail-400", openai.BadRequestError, None),
    ("demo-fail-401", openai.AuthenticationError, "invalid_api_key"),
    ("demo-fail-403", openai.PermissionDeniedError, None),
    ("demo-fail-404", openai.NotFoundError, "model_not_found"),
    ("demo-fail-429", openai.RateLimitError, "rate_limit_exceeded"),
    ("demo-fail-503", openai.InternalServerError, "server_is_overloaded"),
    ("demo-fail-529", openai.InternalServerError, "server_is_overloaded"),
    ("demo-quota", openai.RateLimitError, "insufficient_quota"),
    ("demo-context-window", openai.BadRequestError, "context_length_exceeded"),
    ("demo-content-filter", openai.BadRequestError, "content_policy_violation"),
]


@both
@pytest.mark.parametrize("call", [chat, respond])
@pytest.mark.parametrize(("model", "error", "code"), ERRORS)
async def test_errors(
    client: openai.AsyncOpenAI,
    stream: bool,
    call: Any,
    model: str,
    error: type[openai.APIStatusError],
    code: str | None,
) -> None:
    with pytest.raises(error) as caught:
        await call(client, stream, model=model)
    assert type(caught.value) is error
    assert caught.value.code == code
    assert caught.value.response.headers["x-ccx-attempts"].endswith(f":{caught.value.status_code}")


async def test_errors_in_a_stream(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIError, match="middle of its answer"):
        await chat(client, True, model="demo-error-midstream")
    stream = await client.responses.create(model="demo-error-midstream", input="hi", stream=True)
    last = [event async for event in stream][-1]
    assert last.type == "response.failed"


async def test_streams_that_are_cut_are_errors(client: openai.AsyncOpenAI, gateway: Running) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        await chat(client, True, model="demo-cut")
    # The SDK hands an `error` event of this protocol on to who iterates.
    events = [event async for event in await client.responses.create(model="demo-cut", input="hi", stream=True)]
    assert events[0].type == "response.created"
    assert events[-1].type == "response.failed"
    assert "response.completed" not in {event.type for event in events}
    assert {exchange.error_kind for exchange in gateway.exchanges} == {"upstream_cut"}
    for call in (chat, respond):
        with pytest.raises(openai.InternalServerError):
            await call(client, False, model="demo-cut")


async def test_a_key_that_is_not_ours(gateway: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="wrong", max_retries=0) as stranger:
        for call in (chat, respond):
            with pytest.raises(openai.AuthenticationError, match="not valid here"):
                await call(stranger, False)
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


@both
async def test_responses(client: openai.AsyncOpenAI, gateway: Running, stream: bool) -> None:
    response = await respond(client, stream, instructions="be brief")
    assert isinstance(response, Response)
    assert (response.status, response.model) == ("completed", "gpt-demo")
    assert '"hello there"' in response.output_text
    assert response.usage is not None
    exchange = await gateway.exchange()
    assert (exchange.protocol, exchange.stream) == ("responses", stream)
    assert (exchange.input_tokens, exchange.output_tokens) == (
        response.usage.input_tokens,
        response.usage.output_tokens,
    )


@both
async def test_responses_tools_and_their_results(client: openai.AsyncOpenAI, stream: bool) -> None:
    response = await respond(client, stream, input="call weather and clock", tools=TOOLS)
    calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("weather", ARGUMENTS), ("clock", {})]
    history: Any = [
        {"role": "user", "content": "go"},
        *[call.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for call in calls],
        *[{"type": "function_call_output", "call_id": call.call_id, "output": f"r-{call.name}"} for call in calls],
    ]
    answer = await respond(client, stream, input=history, tools=TOOLS)
    assert "r-weather r-clock" in answer.output_text


@both
async def test_responses_reasoning_images_and_schema(client: openai.AsyncOpenAI, stream: bool) -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{b64encode(PNG).decode()}", "detail": "auto"}
    response = await respond(
        client,
        stream,
        input=[{"role": "user", "content": [{"type": "input_text", "text": "what"}, image]}],
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        text={"format": {"type": "json_schema", "name": "w", "schema": SCHEMA, "strict": True}},
    )
    thought, message = response.output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.encrypted_content
    assert isinstance(message, ResponseOutputMessage)
    assert json.loads(response.output_text) == ARGUMENTS


async def test_responses_counting_and_compaction(client: openai.AsyncOpenAI) -> None:
    counted = await client.responses.input_tokens.count(model="gpt-demo", input="one two three")
    assert counted.input_tokens > 0
    compacted = await client.responses.compact(model="gpt-demo", input="one two three")
    (item,) = compacted.output
    assert item.type == "compaction"
    assert item.encrypted_content


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_embeddings(client: openai.AsyncOpenAI, encoding: Any) -> None:
    made = await client.embeddings.create(model="demo", input=["one", "two"], dimensions=64, encoding_format=encoding)
    assert isinstance(made, types.CreateEmbeddingResponse)
    assert [item.index for item in made.data] == [0, 1]
    assert made.usage.prompt_tokens == 2


async def test_images(client: openai.AsyncOpenAI, gateway: Running) -> None:
    made = await client.images.generate(model="gpt-image-1", prompt="a cat", n=2, size="1024x1536")
    assert isinstance(made, types.ImagesResponse)
    assert made.data is not None
    assert len(made.data) == 2
    first = b64decode(made.data[0].b64_json or "")
    assert first.startswith(PNG)
    edited = await client.images.edit(model="gpt-image-1", image=("a.png", first), mask=("m.png", PNG), prompt="a dog")
    assert edited.data is not None
    assert b64decode(edited.data[0].b64_json or "").startswith(PNG)
    several = await client.images.edit(model="gpt-image-1", image=[("a.png", first), ("b.png", PNG)], prompt="both")
    assert several.data is not None
    with pytest.deprecated_call():
        varied = await client.images.create_variation(model="gpt-image-1", image=("a.png", first), n=3)
    assert varied.data is not None
    assert len(varied.data) == 3
    seen = [(exchange.protocol, exchange.operation, exchange.model_asked) for exchange in gateway.exchanges]
    assert seen == [("images", name, "gpt-image-1") for name in ("generate", "edit", "edit", "variation")]


@pytest.mark.parametrize("editing", [False, True])
async def test_image_streams(client: openai.AsyncOpenAI, editing: bool) -> None:
    stream: Any
    if editing:
        stream = await client.images.edit(
            model="gpt-image-1", image=("a.png", PNG), prompt="a", stream=True, partial_images=2
        )
    else:
        stream = await client.images.generate(model="gpt-image-1", prompt="a cat", stream=True, partial_images=2)
    kind = "image_edit" if editing else "image_generation"
    kinds = [event.type async for event in stream]
    assert kinds == [f"{kind}.partial_image", f"{kind}.partial_image", f"{kind}.completed"]


async def test_models(client: openai.AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert all(isinstance(model, types.Model) and model.object == "model" for model in models)
    assert "gpt-demo" in {model.id for model in models}
    assert (await client.models.retrieve("gpt-demo")).id == "gpt-demo"
