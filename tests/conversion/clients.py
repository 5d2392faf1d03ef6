"""Four clients by their official SDKs, all asked in the same way: what differs is theirs.

A conversation is a list of what the client's own protocol makes of `said`, `back` (an answer, returned as the SDK gave
it) and `results`.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic
import httpx
import openai
from google import genai
from google.genai import types as google

from ccx.upstream.demo.png import png

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
ARGUMENTS = {"city": "demo", "days": 1}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
PNG = png(8, 8, b"\xff\0\0")
DATA = b64encode(PNG).decode()


@dataclass(frozen=True)
class Call:
    """A call as the SDK parsed it."""

    id: str
    name: str
    arguments: Any


@dataclass(frozen=True)
class Answer:
    """What an SDK made of an answer. `own` is what the client returns of it with its next turn."""

    text: str
    thoughts: str
    calls: tuple[Call, ...]
    finish: str
    input_tokens: int
    output_tokens: int
    own: Any
    model: str
    pieces: int = 0


@dataclass(frozen=True)
class Wish:
    """What is asked for besides the conversation."""

    stream: bool = False
    tools: bool = False
    think: bool = False
    schema: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    model: str = "demo"


class Client(Protocol):
    """One SDK."""

    failed: type[Exception]

    def said(self, text: str, *, image: bool = False) -> list[Any]: ...

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> list[Any]: ...

    async def ask(self, talk: list[Any], wish: Wish) -> Answer: ...

    def status(self, error: Any) -> int: ...

    async def close(self) -> None: ...


class Messages:
    """The Anthropic SDK."""

    failed = anthropic.APIError

    def __init__(self, url: str) -> None:
        self._sdk = anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0)

    def said(self, text: str, *, image: bool = False) -> list[Any]:
        content: list[Any] = [{"type": "text", "text": text}]
        if image:
            source = {"type": "base64", "media_type": "image/png", "data": DATA}
            content.insert(0, {"type": "image", "source": source})
        return [{"role": "user", "content": content}]

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> list[Any]:
        blocks = [{"type": "tool_result", "tool_use_id": c.id, "content": t} for c, t in zip(calls, texts, strict=True)]
        return [{"role": "user", "content": blocks}]

    async def ask(self, talk: list[Any], wish: Wish) -> Answer:
        asked: dict[str, Any] = {
            "model": wish.model,
            "max_tokens": 4096,
            "messages": talk,
            "extra_headers": wish.headers,
        }
        if wish.tools:
            asked["tools"] = [{"name": "weather", "input_schema": SCHEMA}, {"name": "clock", "input_schema": NOTHING}]
        if wish.think:
            asked["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        if wish.schema:
            asked["extra_body"] = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
        pieces = 0
        if wish.stream:
            async with self._sdk.messages.stream(**asked) as streamed:
                async for event in streamed:
                    pieces += event.type in ("text", "input_json", "thinking")
                message = await streamed.get_final_message()
        else:
            message = await self._sdk.messages.create(**asked)
        assert isinstance(message, anthropic.types.Message)
        calls = tuple(Call(b.id, b.name, b.input) for b in message.content if b.type == "tool_use")
        own = [{"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in message.content]}]
        return Answer(
            "".join(b.text for b in message.content if b.type == "text"),
            "".join(b.thinking for b in message.content if b.type == "thinking"),
            calls,
            message.stop_reason or "",
            message.usage.input_tokens,
            message.usage.output_tokens,
            own,
            message.model,
            pieces,
        )

    def status(self, error: Any) -> int:
        body = error.body
        assert body["type"] == "error"
        assert body["error"]["type"]
        assert body["error"]["message"]
        return int(error.status_code)

    async def close(self) -> None:
        await self._sdk.close()


class Chat:
    """The OpenAI SDK, Chat Completions."""

    failed = openai.APIError

    def __init__(self, url: str) -> None:
        self._sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)

    def said(self, text: str, *, image: bool = False) -> list[Any]:
        content: list[Any] = [{"type": "text", "text": text}]
        if image:
            content.insert(0, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}})
        return [{"role": "user", "content": content}]

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> list[Any]:
        return [{"role": "tool", "tool_call_id": c.id, "content": t} for c, t in zip(calls, texts, strict=True)]

    async def ask(self, talk: list[Any], wish: Wish) -> Answer:
        asked: dict[str, Any] = {"model": wish.model, "messages": talk, "extra_headers": wish.headers}
        if wish.tools:
            functions = [{"name": "weather", "parameters": SCHEMA}, {"name": "clock", "parameters": NOTHING}]
            asked["tools"] = [{"type": "function", "function": one} for one in functions]
        if wish.think:
            asked["reasoning_effort"] = "low"
        if wish.schema:
            form = {"name": "place", "schema": SCHEMA, "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": form}
        pieces = 0
        if wish.stream:
            asked["stream_options"] = {"include_usage": True}
            async with self._sdk.chat.completions.stream(**asked) as streamed:
                async for event in streamed:
                    pieces += event.type == "chunk"
                done: Any = await streamed.get_final_completion()
        else:
            done = await self._sdk.chat.completions.create(**asked)
        assert isinstance(done, openai.types.chat.ChatCompletion)
        (choice,) = done.choices
        message = choice.message
        assert done.usage is not None
        return Answer(
            message.content or "",
            getattr(message, "reasoning_content", None) or "",
            tuple(
                Call(c.id, c.function.name, json.loads(c.function.arguments))
                for c in message.tool_calls or ()
                if c.type == "function"
            ),
            choice.finish_reason,
            done.usage.prompt_tokens,
            done.usage.completion_tokens,
            [message.model_dump(exclude_none=True, exclude={"parsed"})],
            done.model,
            pieces,
        )

    def status(self, error: Any) -> int:
        assert error.body["message"]
        assert error.body["type"]
        return int(error.status_code)

    async def close(self) -> None:
        await self._sdk.close()


class Responses:
    """The OpenAI SDK, Responses, without storing anything."""

    failed = openai.APIError

    def __init__(self, url: str) -> None:
        self._sdk = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)

    def said(self, text: str, *, image: bool = False) -> list[Any]:
        content: list[Any] = [{"type": "input_text", "text": text}]
        if image:
            content.insert(0, {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}", "detail": "auto"})
        return [{"role": "user", "content": content}]

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> list[Any]:
        return [
            {"type": "function_call_output", "call_id": c.id, "output": t} for c, t in zip(calls, texts, strict=True)
        ]

    async def ask(self, talk: list[Any], wish: Wish) -> Answer:
        asked: dict[str, Any] = {
            "model": wish.model,
            "input": talk,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "extra_headers": wish.headers,
        }
        if wish.tools:
            functions = [{"name": "weather", "parameters": SCHEMA}, {"name": "clock", "parameters": NOTHING}]
            asked["tools"] = [{"type": "function", "strict": True, **one} for one in functions]
        if wish.think:
            asked["reasoning"] = {"effort": "low", "summary": "auto"}
        if wish.schema:
            asked["text"] = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}
        pieces = 0
        if wish.stream:
            numbers: list[int] = []
            async with self._sdk.responses.stream(**asked) as streamed:
                async for event in streamed:
                    numbers.append(event.sequence_number)
                    pieces += event.type.endswith(".delta")
                done: Any = await streamed.get_final_response()
            assert numbers == list(range(len(numbers)))
        else:
            done = await self._sdk.responses.create(**asked)
        assert isinstance(done, openai.types.responses.Response)
        assert done.usage is not None
        return Answer(
            done.output_text,
            "".join(part.text for item in done.output if item.type == "reasoning" for part in item.summary),
            tuple(
                Call(item.call_id, item.name, json.loads(item.arguments))
                for item in done.output
                if item.type == "function_call"
            ),
            done.status or "",
            done.usage.input_tokens,
            done.usage.output_tokens,
            [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in done.output],
            done.model,
            pieces,
        )

    def status(self, error: Any) -> int:
        assert error.body["message"]
        return int(error.status_code)

    async def close(self) -> None:
        await self._sdk.close()


class Gemini:
    """The Google Gen AI SDK."""

    failed = genai.errors.APIError

    def __init__(self, url: str) -> None:
        self._sdk = genai.Client(api_key="k", http_options=google.HttpOptions(base_url=url))

    def said(self, text: str, *, image: bool = False) -> list[Any]:
        parts = [google.Part(text=text)]
        if image:
            parts.insert(0, google.Part.from_bytes(data=PNG, mime_type="image/png"))
        return [google.Content(role="user", parts=parts)]

    def results(self, calls: Sequence[Call], texts: Sequence[str]) -> list[Any]:
        parts = [
            google.Part(function_response=google.FunctionResponse(id=c.id or None, name=c.name, response={"output": t}))
            for c, t in zip(calls, texts, strict=True)
        ]
        return [google.Content(role="user", parts=parts)]

    async def ask(self, talk: list[Any], wish: Wish) -> Answer:
        config = google.GenerateContentConfig(http_options=google.HttpOptions(headers=wish.headers))
        if wish.tools:
            declared = [
                google.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA),
                google.FunctionDeclaration(name="clock", parameters_json_schema=NOTHING),
            ]
            config.tools = [google.Tool(function_declarations=declared)]
            config.automatic_function_calling = google.AutomaticFunctionCallingConfig(disable=True)
        if wish.think:
            config.thinking_config = google.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
        if wish.schema:
            config.response_mime_type, config.response_json_schema = "application/json", SCHEMA
        models = self._sdk.aio.models
        if wish.stream:
            chunks = await models.generate_content_stream(model=wish.model, contents=talk, config=config)
            replies = [one async for one in chunks]
        else:
            replies = [await models.generate_content(model=wish.model, contents=talk, config=config)]
        assert all(isinstance(one, google.GenerateContentResponse) for one in replies)
        parts = [p for one in replies for c in one.candidates or () if c.content for p in c.content.parts or ()]
        finishes = [c.finish_reason for one in replies for c in one.candidates or () if c.finish_reason]
        (finish,) = finishes
        usage = replies[-1].usage_metadata
        assert usage is not None
        return Answer(
            "".join(part.text for part in parts if part.text and not part.thought),
            "".join(part.text for part in parts if part.text and part.thought),
            tuple(
                Call(p.function_call.id or "", p.function_call.name or "", p.function_call.args)
                for p in parts
                if p.function_call
            ),
            finish.value,
            usage.prompt_token_count or 0,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
            [google.Content(role="model", parts=parts)],
            replies[-1].model_version or "",
            len(replies),
        )

    def status(self, error: Any) -> int:
        assert error.message
        assert error.status
        return int(error.code)

    async def close(self) -> None:
        await self._sdk.aio.aclose()
        self._sdk.close()


SDKS: dict[str, Any] = {"messages": Messages, "chat": Chat, "responses": Responses, "gemini": Gemini}
BROKEN = (anthropic.APIError, openai.APIError, genai.errors.APIError, httpx.HTTPError)
"""What an SDK raises for an answer that broke off."""

RAW: dict[str, tuple[str, str, dict[str, Any]]] = {
    "messages": (
        "/v1/messages",
        "/v1/messages",
        {"model": "demo", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]},
    ),
    "chat": (
        "/v1/chat/completions",
        "/v1/chat/completions",
        {"model": "demo", "messages": [{"role": "user", "content": "hello"}]},
    ),
    "responses": ("/v1/responses", "/v1/responses", {"model": "demo", "input": "hello", "store": False}),
    "gemini": (
        "/v1beta/models/demo:generateContent",
        "/v1beta/models/demo:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]},
    ),
}
"""Where a plain request goes, whole and as a stream, and its body."""


def raw(client: str, *, stream: bool) -> tuple[str, dict[str, Any]]:
    """A plain request without an SDK."""
    whole, streamed, body = RAW[client]
    if client == "gemini":
        return (streamed if stream else whole), dict(body)
    return whole, {**body, "stream": stream}
