"""The official Anthropic SDK against the demo upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from tests.upstream_demo.asking import ARGUMENTS, SCHEMA

pytestmark = pytest.mark.sdk

TOOLS: Any = [{"name": "weather", "input_schema": SCHEMA}, {"name": "clock", "input_schema": {"type": "object"}}]


@pytest.fixture
async def client(demo_url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=demo_url, api_key="none", max_retries=0) as made:
        yield made


async def asked(client: anthropic.AsyncAnthropic, stream: bool, **kwargs: Any) -> anthropic.types.Message:
    """The final message, streamed or not."""
    text = kwargs.pop("text", "hello there")
    kwargs = {"model": "demo", "max_tokens": 2048, "messages": [{"role": "user", "content": text}], **kwargs}
    if not stream:
        message: anthropic.types.Message = await client.messages.create(**kwargs)
        return message
    async with client.messages.stream(**kwargs) as streamed:
        return await streamed.get_final_message()


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@both
async def test_text(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await asked(client, stream, model="claude-demo")
    (block,) = message.content
    assert isinstance(block, anthropic.types.TextBlock)
    assert "demo" in block.text
    assert "claude-demo" in block.text
    assert '"hello there"' in block.text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens == 2
    assert message.usage.output_tokens > 10


@both
async def test_tools(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await asked(client, stream, text="please call weather and clock", tools=TOOLS)
    assert message.stop_reason == "tool_use"
    calls = [block for block in message.content if isinstance(block, anthropic.types.ToolUseBlock)]
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
    assert isinstance(block, anthropic.types.TextBlock)
    assert "r-weather r-clock" in block.text
    assert answer.stop_reason == "end_turn"


@both
async def test_thinking(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    message = await asked(client, stream, thinking={"type": "enabled", "budget_tokens": 1024})
    thought, text = message.content
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert thought.thinking
    assert thought.signature
    assert isinstance(text, anthropic.types.TextBlock)


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
    client: anthropic.AsyncAnthropic, stream: bool, model: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        await asked(client, stream, model=model)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert caught.value.request_id


async def test_error_in_a_stream(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="middle of its answer"):
        await asked(client, True, model="demo-error-midstream")


@both
async def test_cut(client: anthropic.AsyncAnthropic, stream: bool) -> None:
    with pytest.raises(Exception, match=r"peer closed|Connection error"):
        await asked(client, stream, model="demo-cut")


async def test_count_and_models(client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "one two three"}])
    assert counted.input_tokens == 3
    names = [model.id async for model in client.models.list()]
    assert "demo" in names
    assert (await client.models.retrieve("anything")).id == "anything"
