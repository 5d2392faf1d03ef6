"""OpenAI's own SDK in front of an upstream that keeps no conversations: its types hold for all that ccx adds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.responses import (
    FunctionToolParam,
    ResponseCompactionItem,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
)

from tests.gateway import running

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest_asyncio.fixture(params=["chat", "messages", "gemini"])
async def sdk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncOpenAI]:
    text = f"""
    version: ccx/v1
    channels:
      demo: {{provider: demo, protocol: {request.param}}}
    """
    async with (
        running(text, tmp_path) as gw,
        AsyncOpenAI(base_url=f"{gw.url}/v1", api_key="k", max_retries=0) as client,
    ):
        yield client


async def test_a_tool_loop_by_previous_response(sdk: AsyncOpenAI) -> None:
    first = await sdk.responses.create(model="demo", input="Weather in Bern?", tools=[WEATHER], tool_choice="required")
    calls = [item for item in first.output if isinstance(item, ResponseFunctionToolCall)]
    assert [call.name for call in calls] == ["weather"]
    second = await sdk.responses.create(
        model="demo",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": calls[0].call_id, "output": "It is sunny in Bern."}],
        tools=[WEATHER],
    )
    assert second.previous_response_id == first.id
    assert "sunny" in second.output_text
    async with sdk.responses.stream(model="demo", previous_response_id=second.id, input="Thanks") as stream:
        third = await stream.get_final_response()
    assert third.previous_response_id == second.id
    assert "Thanks" in third.output_text
    items = await sdk.responses.input_items.list(third.id, order="asc", limit=2)
    # Gemini's signatures travel in reasoning items.
    kinds = [item.type async for item in items if item.type != "reasoning"]
    assert kinds == ["message", "function_call", "function_call_output", "message", "message"]
    assert (await sdk.responses.retrieve(second.id)).output_text == second.output_text
    await sdk.responses.delete(second.id)
    with pytest.raises(NotFoundError):
        await sdk.responses.retrieve(second.id)
    with pytest.raises(BadRequestError) as caught:
        await sdk.responses.create(model="demo", previous_response_id=second.id, input="x")
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_compaction(sdk: AsyncOpenAI) -> None:
    first = await sdk.responses.create(model="demo", input="Hello")
    compacted = await sdk.responses.compact(model="demo", previous_response_id=first.id)
    message, summary = compacted.output
    assert isinstance(summary, ResponseCompactionItem)
    assert message.type == "message"
    assert compacted.usage.total_tokens > 0
    after = await sdk.responses.create(
        model="demo",
        input=[
            *(item.model_dump(exclude_none=True, warnings="none") for item in compacted.output),  # type: ignore[list-item]  # as the guide does
            {"role": "user", "content": "Go on"},
        ],
    )
    items = await sdk.responses.input_items.list(after.id, order="asc")
    assert [item.type for item in items.data] == ["message"] * 3, "the summary is opened"
    async with sdk.responses.stream(
        model="demo",
        input=[{"role": "user", "content": "Hello"}, {"type": "compaction_trigger"}],
    ) as stream:
        final = await stream.get_final_response()
    assert [type(item) for item in final.output] == [ResponseCompactionItem]
    assert not any(isinstance(item, ResponseOutputMessage) for item in final.output)
