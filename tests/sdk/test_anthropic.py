"""The official Anthropic SDK through the gateway."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
import pytest_asyncio
from anthropic import types

from ccx.upstream.demo.png import png
from tests.gateway import Running
from tests.sdk.conftest import KEY
from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

pytestmark = [pytest.mark.sdk, pytest.mark.asyncio(loop_scope="session")]

TOOLS: Any = [{"name": "weather", "input_schema": SCHEMA}, {"name": "clock", "input_schema": {"type": "object"}}]
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(served: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=served.url, api_key=KEY, max_retries=0) as made:
        yield made


async def asked(client: anthropic.AsyncAnthropic, stream: bool, **kwargs: Any) -> types.Message:
    """The final message, streamed or not."""
    text = kwargs.pop("text", "hello there")
    kwargs = {"model": "claude-demo", "max_tokens": 2048, "messages": [{"role": "user", "content": text}], **kwargs}
    if not stream:
        message: types.Message = await client.messages.create(**kwargs)
        return message
    async with client.messages.stream(**kwargs) as streamed:
        return await streamed.get_final_message()


@both
async def test_text(client: anthropic.AsyncAnthropic, gateway: Running, stream: bool) -> None:
    message = await asked(client, stream, system="be brief")
    assert isinstance(message, types.Message)
    (block,) = message.content
    assert isinstance(block, types.TextBlock)
    assert '"hello there"' in block.text
    assert (message.role, message.type, message.model, message.stop_reason) == (
        "assistant",
        "message",
        "claude-demo",
        "end_turn",
    )
    exchange = await gateway.exchange()
    assert (exchange.protocol, exchange.stream, exchange.status) == ("messages", stream, 200)
    assert exchange.input_tokens == message.usage.input_tokens > 0
    assert exchange.output_tokens == message.usage.output_tokens > 0
    assert exchange.finish == "end_turn"


async def test_events_come_one_by_one(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(
        model="claude-demo", max_tokens=512, messages=[{"role": "user", "content": "hello there"}]
    ) as streamed:
        kinds = [event.type async for event in streamed]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert kinds.count("content_block_delta") > 5


@both
async def test_limits_end_an_answer(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await asked(client, stream, max_tokens=3)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 3
    message = await asked(client, stream, stop_sequences=["demo"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "demo")


@both
async def test_tools_in_parallel_and_their_results(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await asked(client, stream, text="please call weather and clock", tools=TOOLS)
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if isinstance(block, types.ToolUseBlock)]
    assert [(call.name, call.input) for call in calls] == [("weather", ARGUMENTS), ("clock", {})]
    assert len({call.id for call in calls}) == 2
    results: Any = [{"type": "tool_result", "tool_use_id": call.id, "content": f"r-{call.name}"} for call in calls]
    history: Any = [
        {"role": "user", "content": "please call weather and clock"},
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
        {"role": "user", "content": results},
    ]
    answer = await asked(client, stream, messages=history, tools=TOOLS)
    (block,) = answer.content
    assert isinstance(block, types.TextBlock)
    assert "r-weather r-clock" in block.text
    assert answer.stop_reason == "end_turn"


@both
async def test_thinking(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await asked(client, stream, thinking={"type": "enabled", "budget_tokens": 1024})
    thought, text = message.content
    assert isinstance(thought, types.ThinkingBlock)
    assert thought.thinking
    assert thought.signature
    assert isinstance(text, types.TextBlock)


@both
async def test_an_image_goes_in(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(png(8, 8, b"\xff\0\0")).decode()}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is this"}]
    message = await asked(client, stream, messages=[{"role": "user", "content": content}])
    (block,) = message.content
    assert isinstance(block, types.TextBlock)
    assert '"what is this"' in block.text


@both
@pytest.mark.parametrize(
    ("model", "error", "kind"),
    [
        ("demo-fail-400", anthropic.BadRequestError, "invalid_request_error"),
        ("demo-fail-401", anthropic.AuthenticationError, "authentication_error"),
        ("demo-fail-403", anthropic.PermissionDeniedError, "permission_error"),
        ("demo-fail-404", anthropic.NotFoundError, "not_found_error"),
        ("demo-fail-413", anthropic.RequestTooLargeError, "request_too_large"),
        ("demo-fail-429", anthropic.RateLimitError, "rate_limit_error"),
        ("demo-fail-500", anthropic.InternalServerError, "api_error"),
        ("demo-overloaded", anthropic.OverloadedError, "overloaded_error"),
        ("demo-context-window", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
async def test_errors(
    client: anthropic.AsyncAnthropic,
    gateway: Running,
    stream: bool,
    model: str,
    error: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    with pytest.raises(error) as caught:
        await asked(client, stream, model=model)
    assert type(caught.value) is error
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert "as asked" in body["error"]["message"]
    headers = caught.value.response.headers
    assert headers["x-ccx-attempts"].endswith(f":{caught.value.status_code}")
    assert headers["x-ccx-request-id"].startswith("req_")
    assert ("retry-after" in headers) is (caught.value.status_code in (429, 529))
    assert (await gateway.exchange()).status == caught.value.status_code


async def test_an_error_in_a_stream(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="middle of its answer"):
        await asked(client, True, model="demo-error-midstream")


async def test_a_stream_that_is_cut_is_an_error(client: anthropic.AsyncAnthropic, gateway: Running) -> None:
    with pytest.raises(anthropic.APIStatusError, match="stream broke off") as caught:
        await asked(client, True, model="demo-cut")
    body: Any = caught.value.body
    assert body["error"]["type"] == "api_error"
    assert (await gateway.exchange()).error_kind == "upstream_cut"


async def test_an_answer_that_is_cut_is_an_error(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.InternalServerError) as caught:
        await asked(client, False, model="demo-cut")
    assert caught.value.status_code == 502


@pytest.mark.parametrize("model", ["demo-garbage", "demo-empty"])
@both
async def test_what_is_no_answer_is_an_error(client: anthropic.AsyncAnthropic, model: str, stream: bool) -> None:
    with pytest.raises(anthropic.InternalServerError) as caught:
        await asked(client, stream, model=model)
    assert caught.value.status_code == 502


async def test_a_key_that_is_not_ours(gateway: Running) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError, match="not valid here"):
            await asked(stranger, False)
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.models.list()
    async with anthropic.AsyncAnthropic(base_url=gateway.url, auth_token=KEY, max_retries=0) as bearer:
        assert (await asked(bearer, False)).content


async def test_counting(client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(
        model="claude-demo", messages=[{"role": "user", "content": "one two three"}]
    )
    assert isinstance(counted, types.MessageTokensCount)
    assert counted.input_tokens > 0


async def test_models(client: anthropic.AsyncAnthropic) -> None:
    models = [model async for model in client.models.list(limit=2)]
    assert all(isinstance(model, types.ModelInfo) and model.type == "model" for model in models)
    assert {"demo", "claude-demo"} <= {model.id for model in models}
    found = await client.models.retrieve("claude-demo")
    assert (found.id, found.display_name) == ("claude-demo", "claude-demo")
