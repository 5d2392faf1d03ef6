"""The official OpenAI SDK against the demo upstream: Chat, Responses, Images and Embeddings."""

from __future__ import annotations

import json
import math
from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem

from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

pytestmark = pytest.mark.sdk

FUNCTIONS: Any = [
    {"name": "weather", "parameters": SCHEMA},
    {"name": "clock", "parameters": {"type": "object", "properties": {}}},
]
CHAT_TOOLS: Any = [{"type": "function", "function": function} for function in FUNCTIONS]
TOOLS: Any = [{"type": "function", **function} for function in FUNCTIONS]
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{demo_url}/v1", api_key="none", max_retries=0) as made:
        yield made


async def chat(client: openai.AsyncOpenAI, stream: bool, **kwargs: Any) -> Any:
    """The completion, streamed or not."""
    text = kwargs.pop("text", "hello there")
    kwargs = {"model": "demo", "messages": [{"role": "user", "content": text}], **kwargs}
    if not stream:
        return await client.chat.completions.create(**kwargs)
    async with client.chat.completions.stream(**kwargs, stream_options={"include_usage": True}) as streamed:
        return await streamed.get_final_completion()


async def respond(client: openai.AsyncOpenAI, stream: bool, **kwargs: Any) -> Response:
    """The response, streamed or not."""
    kwargs = {"model": "demo", "input": "hello there", **kwargs}
    if not stream:
        response: Response = await client.responses.create(**kwargs)
        return response
    async with client.responses.stream(**kwargs) as streamed:
        return await streamed.get_final_response()


@both
async def test_chat_text(client: openai.AsyncOpenAI, stream: bool) -> None:
    completion = await chat(client, stream, model="gpt-demo")
    (choice,) = completion.choices
    assert "gpt-demo" in choice.message.content
    assert '"hello there"' in choice.message.content
    assert choice.finish_reason == "stop"
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert completion.usage.completion_tokens > 10


@both
async def test_chat_tools(client: openai.AsyncOpenAI, stream: bool) -> None:
    completion = await chat(client, stream, text="call weather and clock", tools=CHAT_TOOLS)
    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == [
        ("weather", ARGUMENTS),
        ("clock", {}),
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"r-{call.function.name}"} for call in message.tool_calls
    ]
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
    ]
    history = [{"role": "user", "content": "go"}, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
    answer = await chat(client, stream, messages=history, tools=CHAT_TOOLS)
    assert "r-weather r-clock" in answer.choices[0].message.content


@both
async def test_chat_reasoning(client: openai.AsyncOpenAI, stream: bool) -> None:
    completion = await chat(client, stream, reasoning_effort="low")
    assert completion.choices[0].message.model_extra["reasoning_content"]
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0


@both
async def test_chat_custom_tool(client: openai.AsyncOpenAI, stream: bool) -> None:
    tools: Any = [{"type": "custom", "custom": {"name": "patch"}}]
    if stream:  # the SDK's accumulating helper refuses custom tools; the chunks are looked at instead
        messages: Any = [{"role": "user", "content": "call patch"}]
        chunks: Any = await client.chat.completions.create(model="demo", messages=messages, tools=tools, stream=True)
        deltas = [
            call.model_extra["custom"] async for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []
        ]
        assert deltas == [{"name": "patch", "input": ""}, {"input": "demo"}]
        return
    (call,) = (await chat(client, stream, text="call patch", tools=tools)).choices[0].message.tool_calls
    assert (call.type, call.custom.name, call.custom.input) == ("custom", "patch", "demo")


ERRORS = [
    ("demo-fail-400", openai.BadRequestError, None),
    ("demo-fail-401", openai.AuthenticationError, "invalid_api_key"),
    ("demo-fail-403", openai.PermissionDeniedError, None),
    ("demo-fail-404", openai.NotFoundError, "model_not_found"),
    ("demo-fail-429", openai.RateLimitError, "rate_limit_exceeded"),
    ("demo-fail-503", openai.InternalServerError, "server_is_overloaded"),
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
    assert caught.value.code == code


async def test_chat_error_in_a_stream(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIError, match="middle of its answer"):
        await chat(client, True, model="demo-error-midstream")


@both
async def test_responses_text(client: openai.AsyncOpenAI, stream: bool) -> None:
    response = await respond(client, stream, model="gpt-demo", instructions="be brief")
    assert response.status == "completed"
    assert "gpt-demo" in response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.input_tokens == 4


@both
async def test_responses_tools(client: openai.AsyncOpenAI, stream: bool) -> None:
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
async def test_responses_reasoning(client: openai.AsyncOpenAI, stream: bool) -> None:
    response = await respond(
        client, stream, reasoning={"effort": "low", "summary": "auto"}, include=["reasoning.encrypted_content"]
    )
    thought, message = response.output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.summary[0].text
    assert thought.encrypted_content
    assert isinstance(message, ResponseOutputMessage)
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


@both
async def test_responses_structured(client: openai.AsyncOpenAI, stream: bool) -> None:
    text = {"format": {"type": "json_schema", "name": "w", "schema": SCHEMA, "strict": True}}
    response = await respond(client, stream, text=text)
    assert json.loads(response.output_text) == ARGUMENTS


async def test_responses_error_in_a_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.responses.create(model="demo-error-midstream", input="hi", stream=True)
    last = [event async for event in stream][-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.code == "server_error"


async def test_responses_count_and_compact(client: openai.AsyncOpenAI) -> None:
    counted = await client.responses.input_tokens.count(model="demo", input="one two three")
    assert counted.input_tokens == 3
    compacted = await client.responses.compact(model="demo", input="one two three")
    (item,) = compacted.output
    assert item.type == "compaction"
    assert item.encrypted_content


async def test_cut(client: openai.AsyncOpenAI) -> None:
    for call in (chat, respond):
        with pytest.raises(Exception, match=r"peer closed|Connection error"):
            await call(client, True, model="demo-cut")
        with pytest.raises(openai.APIConnectionError):
            await call(client, False, model="demo-cut")


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_embeddings(client: openai.AsyncOpenAI, encoding: Any) -> None:
    made = await client.embeddings.create(model="demo", input=["one", "two"], dimensions=64)
    plain = await client.embeddings.create(model="demo", input=["one", "two"], dimensions=64, encoding_format="float")
    assert [item.index for item in made.data] == [0, 1]
    for item, same in zip(made.data, plain.data, strict=True):
        assert len(item.embedding) == 64
        assert math.isclose(sum(value * value for value in item.embedding), 1, abs_tol=1e-5)
        assert item.embedding == pytest.approx(same.embedding, abs=1e-6)
    assert made.data[0].embedding != made.data[1].embedding
    assert made.usage.prompt_tokens == 2


async def test_images(client: openai.AsyncOpenAI) -> None:
    made = await client.images.generate(model="gpt-image-1", prompt="a cat", n=2, size="1024x1536")
    assert made.data is not None
    assert len(made.data) == 2
    first = b64decode(made.data[0].b64_json or "")
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    linked = await client.images.generate(model="dall-e-3", prompt="a cat")
    assert linked.data is not None
    assert (linked.data[0].url or "").startswith("data:image/png;base64,")
    edited = await client.images.edit(model="gpt-image-1", image=("a.png", first), prompt="a dog")
    assert edited.data is not None
    assert b64decode(edited.data[0].b64_json or "").startswith(b"\x89PNG")
    with pytest.deprecated_call():
        varied = await client.images.create_variation(
            image=("a.png", first), n=3, size="256x256", response_format="b64_json"
        )
    assert varied.data is not None
    assert len(varied.data) == 3


@pytest.mark.parametrize("editing", [False, True])
async def test_image_streams(client: openai.AsyncOpenAI, editing: bool) -> None:
    stream: Any
    if editing:
        stream = await client.images.edit(
            model="gpt-image-1", image=[("a.png", b"x"), ("b.png", b"y")], prompt="a", stream=True, partial_images=2
        )
    else:
        stream = await client.images.generate(model="gpt-image-1", prompt="a cat", stream=True, partial_images=2)
    kind = "image_edit" if editing else "image_generation"
    kinds = [event.type async for event in stream]
    assert kinds == [f"{kind}.partial_image", f"{kind}.partial_image", f"{kind}.completed"]


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert "demo" in [model.id async for model in client.models.list()]
    assert (await client.models.retrieve("anything")).id == "anything"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("demo-fail-404")
